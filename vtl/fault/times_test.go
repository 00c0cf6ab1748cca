package fault

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/ssc"
)

var timing = personality.Timing{Load: 10 * time.Second, Thread: 5 * time.Second, Unload: 20 * time.Second,
	Locate: 100 * time.Second, Rewind: 50 * time.Second, Rate: 1 << 20}

func TestTimes(t *testing.T) {
	for _, c := range []struct {
		name  string
		move  ssc.Move
		scale float64
		want  time.Duration
	}{
		{"load", ssc.Move{Kind: ssc.MoveLoad}, 1, 15 * time.Second},
		{"unload, ten times as fast", ssc.Move{Kind: ssc.MoveUnload}, 0.1, 2 * time.Second},
		{"over the whole tape", ssc.Move{Kind: ssc.MoveLocate, To: 1, ToObject: 100}, 1, 100 * time.Second},
		{"to the next block", ssc.Move{Kind: ssc.MoveLocate, From: 0.5, To: 0.5, FromObject: 5, ToObject: 6}, 1, time.Second},
		{"where it is", ssc.Move{Kind: ssc.MoveLocate, From: 0.5, To: 0.5, FromObject: 5, ToObject: 5}, 1, 0},
		{"rewind from the end", ssc.Move{Kind: ssc.MoveRewind, From: 1, FromObject: 9}, 1, 50 * time.Second},
		{"at once", ssc.Move{Kind: ssc.MoveLoad}, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin, last := time.Now(), -1.0
			err := NewTimes(timing, c.scale).Move(t.Context(), c.move, func(f float64) {
				if f <= last || f > 1 {
					t.Errorf("%s: progress %v after %v", c.name, f, last)
				}
				last = f
			})
			if d := time.Since(begin).Round(time.Millisecond); err != nil || d != c.want {
				t.Errorf("%s: took %v, %v; want %v", c.name, d, err, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewTimes(timing, 1).Move(ctx, ssc.Move{Kind: ssc.MoveLoad}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("aborted: %v", err)
	}
}

// TestRate: what is more than the buffer passes at the drive's rate.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := memtape.New(medium.Info{Barcode: "TG0001L8"}, 1<<30).Mount(false)
		if err != nil {
			t.Fatal(err)
		}
		m = NewTimes(timing, 1).Medium(m, 1<<20)
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = byte(i * i >> 3)
		}
		begin := time.Now()
		for i := range uint64(4) {
			if err := m.Write(0, i, block, medium.Recording{}); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin).Round(time.Second); d != 3*time.Second {
			t.Errorf("4 MiB with a buffer of 1 MiB at 1 MiB/s took %v", d)
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin).Round(time.Second); d != 4*time.Second {
			t.Errorf("until the heads were done: %v", d)
		}
		for i := range uint64(4) {
			if _, err := m.Read(0, i, block, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(begin).Round(time.Second); d != 7*time.Second {
			t.Errorf("with 4 MiB read back: %v", d)
		}
	})
}

func TestMotion(t *testing.T) {
	in := NewInjector(Options{})
	m := in.Motion(1, ssc.Still{})
	if s, ok := m.(ssc.Stiller); !ok || !s.Still() {
		t.Error("not still without rules")
	}
	in.Set(parse(t, "fail class=stuck op=load tape=TG0001L8 nth=2; fail class=position op=locate object=5"))
	if m.(ssc.Stiller).Still() {
		t.Error("still with rules")
	}
	move := func(v ssc.Move) error { return m.Move(t.Context(), v, func(float64) {}) }
	load := ssc.Move{Kind: ssc.MoveLoad, Barcode: "TG0001L8"}
	if err := move(load); err != nil {
		t.Error(err)
	}
	if err := move(load); !errors.Is(err, sense.New(sense.MediumError, loadOrEjectFailed)) {
		t.Errorf("the second load: %v", err)
	}
	if err := move(ssc.Move{Kind: ssc.MoveLocate, ToObject: 6}); err != nil {
		t.Error(err)
	}
	if err := move(ssc.Move{Kind: ssc.MoveLocate, ToObject: 5}); !errors.Is(err, sense.New(sense.MediumError, positioningError)) {
		t.Errorf("to object 5: %v", err)
	}
}
