package cartridge_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/cartridge/simfs"
	"github.com/targate/targate/vtl/medium"
)

const simDir = "/tapes/tape"

// simTape makes a cartridge on a file system that can lose power.
func simTape(t *testing.T, i cartridge.Identity) *simfs.FS {
	t.Helper()
	fs := simfs.New("/tapes")
	if i.Capacity == 0 {
		i.Capacity = 1 << 30
	}
	if i.SegmentSize == 0 {
		i.SegmentSize = 128 << 10
	}
	if _, err := cartridge.Create(simDir, i, simOptions(fs)); err != nil {
		t.Fatal(err)
	}
	return fs
}

func simOptions(fs *simfs.FS) cartridge.Options {
	return cartridge.Options{FS: fs, FrameSize: 16 << 10, Compression: cartridge.LZ4}
}

// TestPowerLoss cuts the power before each sync, with all lost that was not synced, nothing
// (kill -9), or sectors and names by chance. The tape is then as it was at some moment from
// the last acknowledged one on, goes on to work, and its generations are there.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			powerLoss(t, seed)
		})
	}
}

func powerLoss(t *testing.T, seed uint64) {
	fs := simTape(t, cartridge.Identity{})
	m, err := cartridge.Open(simDir, simOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(seed, m)
	p.largest = 30_000
	type crash struct {
		fs             *simfs.FS
		from, to, step int
		loss           simfs.Loss
	}
	var mu sync.Mutex
	var crashes []crash
	r := rand.New(rand.NewPCG(seed, 2))
	var step atomic.Int64
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, l := range []simfs.Loss{simfs.All, simfs.None, simfs.Chance, simfs.Chance} {
			crashes = append(crashes, crash{fs.Crash(l, r), p.acknowledged, len(p.history) - 1, int(step.Load()), l})
		}
	}
	fs.BeforeSync = cut
	verify := func() {
		mu.Lock()
		all := crashes
		crashes = nil
		mu.Unlock()
		for _, c := range all {
			p.recovered(t, c.fs, c.from, c.to, fmt.Sprintf("seed %d, step %d, loss %d", seed, c.step, c.loss))
		}
	}
	for range 150 {
		n := step.Add(1)
		if err := p.step(); err != nil {
			t.Fatal(err)
		}
		if n%10 == 0 {
			cut()
			verify()
		}
		if n%40 == 0 {
			if err := p.m.Close(); err != nil {
				t.Fatal(err)
			}
			p.done()
			cut()
			if p.m, err = cartridge.Open(simDir, simOptions(fs)); err != nil {
				t.Fatal(err)
			}
		}
	}
	verify()
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
}

// recovered opens what a loss of power left, and finds it in the history.
func (p *player) recovered(t *testing.T, fs *simfs.FS, from, to int, what string) {
	t.Helper()
	o := simOptions(fs)
	checkClean(t, simDir, o)
	m, err := cartridge.Open(simDir, o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	s, err := look(m)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	found := false
	for i := to; i >= from && !found; i-- {
		found = s.equal(p.history[i])
	}
	if !found {
		t.Fatalf("%s: %v; acknowledged was %v, begun %v", what, s, p.history[from], p.history[to])
	}
	// It goes on to work.
	n := m.Partition(0).Objects
	if err := m.Write(0, n, []byte("after"), medium.Recording{}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := m.WriteFilemarks(0, n+1, 1); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := m.Flush(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	again := fs.Crash(simfs.All, nil)
	checkClean(t, simDir, simOptions(again))
	m2, err := cartridge.Open(simDir, simOptions(again))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	s2, err := look(m2)
	if err != nil || len(s2.parts[0]) != int(n)+2 {
		t.Fatalf("%s: after it was used again: %v, %v", what, s2, err)
	}
	for _, g := range m2.Generations() {
		if want, ok := p.ends[g.Number]; ok && g.Number < s.generation {
			x, err := cartridge.OpenGeneration(simDir, g.Number, simOptions(again))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got, err := look(x); err != nil || !got.equal(want) {
				t.Fatalf("%s: generation %d: %v, %v; want %v", what, g.Number, got, err, want)
			}
			_ = x.Close()
			break // the oldest will do
		}
	}
	for _, m := range []*cartridge.Cartridge{m, m2} {
		if err := m.Close(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// TestNoSpace fills the file system now and then. What was acknowledged stays, the tape can be
// read, and goes on when there is room.
func TestNoSpace(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			fs := simTape(t, cartridge.Identity{})
			m, err := cartridge.Open(simDir, simOptions(fs))
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 3))
			full := 0
			for range 40 {
				p := newPlayer(r.Uint64(), m)
				p.largest = 30_000
				if p.history[0], err = look(m); err != nil {
					t.Fatal(err)
				}
				fs.SetLimit(fs.Used() + 1 + r.Int64N(200_000))
				var failed error
				for range 60 {
					if p.r.IntN(3) == 0 {
						failed = p.flush()
					} else {
						failed = p.append()
					}
					if failed != nil {
						break
					}
				}
				if failed == nil {
					failed = p.flush()
				}
				if failed == nil {
					fs.SetLimit(0)
					continue
				}
				full++
				if !errors.Is(failed, medium.ErrNoSpace) {
					t.Fatal(failed)
				}
				s, err := look(m)
				if err != nil {
					t.Fatal(err)
				}
				at := 0
				for i := range p.history {
					if s.equal(p.history[i]) {
						at = i
					}
				}
				if !s.equal(p.history[at]) || at < p.acknowledged {
					t.Fatalf("%v; acknowledged was %v", s, p.history[p.acknowledged])
				}
				var d *medium.Deferred
				if errors.As(failed, &d) && d.First != m.Partition(0).Objects {
					t.Fatalf("%+v, but the end of data is %d", d, m.Partition(0).Objects)
				}
				c := fs.Crash(simfs.Chance, r)
				q := &player{r: r, total: p.total, history: p.history, ends: p.ends}
				q.recovered(t, c, p.acknowledged, len(p.history)-1, "full and without power")
				fs.SetLimit(0)
				if err := m.Flush(); err != nil {
					t.Fatal(err)
				}
				if s2, err := look(m); err != nil || !s2.equal(s) {
					t.Fatalf("%v, %v; want %v", s2, err, s)
				}
			}
			if full < 10 {
				t.Errorf("only %d times full", full)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			checkClean(t, simDir, simOptions(fs))
		})
	}
}

// append records a block or a filemark at the end.
func (p *player) append() error {
	for {
		before := len(p.history)
		s := p.now()
		n := len(s.parts[0])
		if p.r.IntN(5) == 0 {
			s = s.clone()
			s.parts[0] = append(s.parts[0][:n:n], object{})
			p.becomes(s)
			return p.m.WriteFilemarks(0, uint64(n), 1)
		}
		p.only = true
		err := p.step()
		p.only = false
		if err != nil || len(p.history) > before {
			return err
		}
	}
}

// TestFailedSync has a sync fail now and then. What it was for is never said to be durable,
// and the tape goes back to what is.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			fs := simTape(t, cartridge.Identity{})
			m, err := cartridge.Open(simDir, simOptions(fs))
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 4))
			p := newPlayer(seed+50, m)
			p.largest = 30_000
			failures := 0
			for range 300 {
				if r.IntN(12) == 0 {
					fs.SetFault(func(o simfs.Op) error {
						if strings.HasPrefix(o.Name, "sync") {
							return unix.EIO
						}
						return nil
					})
				}
				err := p.step()
				fs.SetFault(nil)
				if err == nil {
					continue
				}
				failures++
				if !errors.Is(err, medium.ErrGone) || !errors.Is(err, unix.EIO) {
					t.Fatal(err)
				}
				// The next call that records goes back.
				if err := m.Flush(); err != nil && !errors.Is(err, medium.ErrGone) {
					t.Fatal(err)
				}
				s, err := look(m)
				if err != nil {
					t.Fatal(err)
				}
				at := -1
				for i := p.acknowledged; i < len(p.history); i++ {
					if s.equal(p.history[i]) {
						at = i
					}
				}
				if at < 0 {
					t.Fatalf("%v; acknowledged was %v", s, p.history[p.acknowledged])
				}
				for g := range p.ends {
					if g >= s.generation {
						delete(p.ends, g)
					}
				}
				p.history, p.acknowledged = p.history[:at+1], at
				if err := m.Flush(); err != nil {
					t.Fatal(err)
				}
				q := &player{r: r, total: p.total, history: p.history, ends: p.ends}
				q.recovered(t, fs.Crash(simfs.All, r), at, at, "after a failed sync")
			}
			if failures < 1 {
				t.Errorf("only %d failures", failures)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			checkClean(t, simDir, simOptions(fs))
		})
	}
}
