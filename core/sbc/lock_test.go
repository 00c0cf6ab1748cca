package sbc

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// granted reports whether h passes now.
func granted(h *hold) bool {
	select {
	case <-h.granted:
		return true
	default:
		return false
	}
}

// claim enters a claim without waiting for it.
func (l *rangeLock) claim(off, n int64, exclusive bool) *hold {
	h := &hold{off: off, end: off + n, exclusive: exclusive, granted: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if exclusive {
		l.excl.Add(1)
	}
	l.holds = append(l.holds, h)
	l.grant()
	return h
}

func TestRangeLockOrder(t *testing.T) {
	var l rangeLock
	a := l.claim(0, 10, true)
	b := l.claim(5, 10, true)
	far := l.claim(20, 5, true)
	s1 := l.claim(0, 30, false)
	s2 := l.claim(0, 30, false)
	for i, c := range []struct {
		h    *hold
		want bool
	}{{a, true}, {b, false}, {far, true}, {s1, false}, {s2, false}} {
		if granted(c.h) != c.want {
			t.Errorf("claim %d: granted %v", i, !c.want)
		}
	}
	l.unlock(a)
	if !granted(b) || granted(s1) {
		t.Error("after the first: the second passes, later ones still wait")
	}
	l.unlock(far)
	l.unlock(b)
	if !granted(s1) || !granted(s2) {
		t.Error("shared claims pass together")
	}
	x := l.claim(29, 1, true)
	l.unlock(s1)
	if granted(x) {
		t.Error("an exclusive claim passed a shared hold")
	}
	l.unlock(s2)
	if !granted(x) {
		t.Error("an exclusive claim does not pass")
	}
	l.unlock(x)
	if len(l.holds) != 0 || l.excl.Load() != 0 {
		t.Error("something is left")
	}
}

func TestRangeLockDrainsWriters(t *testing.T) {
	var l rangeLock
	if !l.beginWrite() {
		t.Fatal("a plain write does not pass")
	}
	got := make(chan *hold)
	go func() {
		h, err := l.lock(context.Background(), 0, 1, true)
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	for l.excl.Load() == 0 { // the claim is on its way
		select {
		case <-got:
			t.Fatal("exclusive beside a plain write")
		default:
		}
	}
	if l.beginWrite() {
		t.Error("a plain write passes an exclusive claim")
	}
	l.endWrite()
	l.unlock(<-got)
	if !l.beginWrite() {
		t.Error("a plain write does not pass afterwards")
	}
	l.endWrite()
}

func TestRangeLockAbort(t *testing.T) {
	var l rangeLock
	h := l.claim(0, 10, true)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.lock(ctx, 5, 1, false); err == nil {
		t.Error("an aborted claim was granted")
	}
	l.unlock(h)
	l.writers.Add(1) // a plain write that does not end
	if _, err := l.lock(ctx, 5, 1, true); err == nil {
		t.Error("an aborted claim waited for writers")
	}
	if len(l.holds) != 0 || l.excl.Load() != 0 {
		t.Error("something is left")
	}
}

// A write that counted down to zero long ago wakes nobody who waits for another.
func TestRangeLockLateWakeup(t *testing.T) {
	var l rangeLock
	if !l.beginWrite() {
		t.Fatal("a plain write does not pass")
	}
	got := make(chan *hold)
	go func() {
		h, err := l.lock(context.Background(), 0, 10, true)
		if err != nil {
			t.Error(err)
		}
		got <- h
	}()
	waits := func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.idle != nil
	}
	for !waits() {
		runtime.Gosched()
	}
	l.drained()
	if !waits() {
		t.Error("the hold no longer waits for the write")
	}
	l.endWrite()
	l.unlock(<-got)
}

// Many goroutines check what the lock promises, at random ranges.
func TestRangeLockExcludes(t *testing.T) {
	const blocks = 8
	var l rangeLock
	var writers, owners [blocks]atomic.Int32
	var wg sync.WaitGroup
	use := func(off, n int64, who *[blocks]atomic.Int32, f func()) {
		for i := off; i < off+n; i++ {
			who[i].Add(1)
		}
		f()
		for i := off; i < off+n; i++ {
			who[i].Add(-1)
		}
	}
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			for range 3000 {
				off := rnd.Int64N(blocks)
				n := 1 + rnd.Int64N(blocks-off)
				if exclusive := rnd.IntN(4) == 0; exclusive {
					h, err := l.lock(context.Background(), off, n, true)
					if err != nil {
						t.Error(err)
						return
					}
					use(off, n, &owners, func() {
						for i := off; i < off+n; i++ {
							if owners[i].Load() != 1 || writers[i].Load() != 0 {
								t.Error("not alone")
							}
						}
					})
					l.unlock(h)
					continue
				}
				check := func() {
					for i := off; i < off+n; i++ {
						if owners[i].Load() != 0 {
							t.Error("a write beside an exclusive hold")
						}
					}
				}
				if l.beginWrite() {
					use(off, n, &writers, check)
					l.endWrite()
					continue
				}
				h, err := l.lock(context.Background(), off, n, false)
				if err != nil {
					t.Error(err)
					return
				}
				use(off, n, &writers, check)
				l.unlock(h)
			}
		})
	}
	wg.Wait()
}
