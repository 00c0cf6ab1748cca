package library_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	. "github.com/targate/targate/vtl/library"
)

// Each motion of the robot is announced with what it moves and how long that takes. When it fails, nothing has
// moved: what was taken out of a drive is in it again.
func TestMotion(t *testing.T) {
	var seen []Motion
	var fail error
	r := newRig(t, func(c *Config) {
		c.Motion = func(_ context.Context, m Motion) error {
			seen = append(seen, m)
			return fail
		}
	})
	times := r.Model().Timing
	expect := func(want ...Motion) {
		t.Helper()
		if !reflect.DeepEqual(seen, want) {
			t.Errorf("motions %+v, want %+v", seen, want)
		}
		seen = nil
		r.check()
	}
	r.must(r.Load(bg, "TG0001L8", 1))
	expect(Motion{MotionMove, p("slot:1"), p("drive:1"), "TG0001L8", times.Move})
	r.must(r.Exchange(bg, p("slot:2"), p("drive:1"), p("slot:1")))
	expect(Motion{MotionMove, p("slot:2"), p("drive:1"), "TG0002L8", times.Move},
		Motion{MotionMove, p("drive:1"), p("slot:1"), "TG0001L8", times.Move})
	r.must(r.Position(bg, p("slot:3")))
	expect(Motion{Kind: MotionPosition, To: p("slot:3"), Time: times.Move})
	r.must(r.Initialize(bg, 7))
	expect(Motion{Kind: MotionScan, Time: times.Scan / 2})
	r.must(r.Carry(bg, p("slot:1"), p("slot:1")))
	expect()

	fail = errors.New("the robot is stuck")
	before := r.Cartridges()
	if err := r.Carry(bg, p("drive:1"), p("slot:9")); !errors.Is(err, fail) {
		t.Error(err)
	}
	if err := r.Exchange(bg, p("drive:1"), p("slot:3"), p("drive:2")); !errors.Is(err, fail) {
		t.Error(err)
	}
	if err := r.Scan(bg); !errors.Is(err, fail) {
		t.Error(err)
	}
	if !reflect.DeepEqual(before, r.Cartridges()) {
		t.Errorf("%v\nis %v now", before, r.Cartridges())
	}
	r.check()
}

// Who waits for the robot can give up.
func TestGiveUp(t *testing.T) {
	moving, done := make(chan struct{}), make(chan struct{})
	r := newRig(t, func(c *Config) {
		c.Motion = func(ctx context.Context, m Motion) error {
			close(moving)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	ctx, cancel := context.WithCancel(bg)
	go func() {
		defer close(done)
		if err := r.Carry(ctx, p("slot:1"), p("slot:9")); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	<-moving
	waits, giveUp := context.WithCancel(bg)
	giveUp()
	if err := r.Carry(waits, p("slot:2"), p("slot:9")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := r.place("TG0001L8"); got != p("slot:1") { // which does not wait
		t.Errorf("at %v", got)
	}
	cancel()
	<-done
	r.check()
}
