package blocktest

import (
	"bytes"
	"sync"
	"testing"

	"github.com/targate/targate/core/block"
)

// lender gives the store as a Lender, or ends the test: to lend is optional.
func (s Suite) lender(t *testing.T, st block.Store) block.Lender {
	l, ok := st.(block.Lender)
	if !ok {
		t.Skip("the store does not lend (block.Lender is optional)")
	}
	return l
}

func testLend(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	l := s.lender(t, st)
	salt := uint64(0)
	for _, at := range boundaries(st.Info()) {
		for _, n := range []int64{s.Block, 4096, 64 << 10, 256<<10 + s.Block} {
			for _, off := range []int64{at, at - s.Block, at - n} {
				if off < 0 || off+n > diskSize {
					continue
				}
				salt++
				hole := salt%3 == 0
				p := fill(make([]byte, n), off, salt)
				mustWrite(t, st, p, off)
				if hole {
					if err := st.Unmap(off, n, 0); err != nil {
						t.Fatal(err)
					}
					clear(p)
				}
				prefix := [][]byte{{1}}
				got, release, ok := l.Lend(prefix, off, n)
				if !ok {
					continue
				}
				if len(got) < 1 || len(got[0]) != 1 || release == nil {
					t.Fatalf("Lend(%d, %d) does not append, or gives nothing to release", off, n)
				}
				before := bytes.Join(got[1:], nil)
				same(t, "lent", off, before, s.want(p))
				// whatever happens to the blocks, what is lent stays, and a part that is
				// written leaves the rest as it was
				q := fill(make([]byte, s.Block), off, ^salt)
				mustWrite(t, st, q, off)
				same(t, "lent, after a write", off, bytes.Join(got[1:], nil), before)
				copy(p, q)
				same(t, "after a write to what is lent,", off, mustRead(t, st, off, n), s.want(p))
				if err := st.Unmap(off, n, 0); err != nil {
					t.Fatal(err)
				}
				same(t, "lent, after an unmap", off, bytes.Join(got[1:], nil), before)
				mustWrite(t, st, fill(make([]byte, s.Block), off, salt+1), off)
				if err := st.Zero(off, n, 0); err != nil {
					t.Fatal(err)
				}
				same(t, "lent, after a zero", off, bytes.Join(got[1:], nil), before)
				release.Release()
			}
		}
	}
}

// testLendOutlivesClose: a socket may still hold a loan when its device goes.
func testLendOutlivesClose(t *testing.T, s Suite) {
	st := s.Open(t, diskSize)
	l := s.lender(t, st)
	p := fill(make([]byte, 128<<10), 0, 5)
	mustWrite(t, st, p, 4096)
	got, release, ok := l.Lend(nil, 4096, int64(len(p)))
	closeStore(t, st)
	if ok {
		same(t, "lent, after Close", 4096, bytes.Join(got, nil), s.want(p))
		release.Release()
	}
}

func testResize(t *testing.T, s Suite) {
	st := s.open(t, 1<<20)
	rs, ok := st.(block.Resizer)
	if !ok {
		t.Skip("the store has a fixed size (block.Resizer is optional)")
	}
	p := fill(make([]byte, 1<<20), 0, 1)
	mustWrite(t, st, p, 0)
	if err := rs.Resize(1 << 20); err != nil {
		t.Fatalf("Resize to the size that it has: %v", err)
	}
	last := int64(1 << 20)
	for _, size := range []int64{1<<20 + 64<<10, 33<<20 + 8192, 65 << 20} {
		if err := rs.Resize(size); err != nil {
			t.Fatalf("Resize(%d): %v", size, err)
		}
		if got := st.Info().Size; got != size {
			t.Fatalf("size %d after Resize(%d)", got, size)
		}
		same(t, "old data", 0, mustRead(t, st, 0, 1<<20), s.want(p))
		for _, off := range []int64{last, max(last, size-1<<20)} {
			n := min(1<<20, size-off)
			same(t, "new space", off, mustRead(t, st, off, n), make([]byte, n))
		}
		last = size
		q := fill(make([]byte, s.Block), size-s.Block, 2)
		mustWrite(t, st, q, size-s.Block)
		same(t, "the new last block", size-s.Block, mustRead(t, st, size-s.Block, s.Block), s.want(q))
		WantError(t, st.WriteAt(q, size, 0), "write", block.ErrRange, size, size+1)
		if err := st.Zero(size-s.Block, s.Block, 0); err != nil {
			t.Fatal(err)
		}
	}
	// To shrink is done or refused, never half done.
	if err := rs.Resize(1 << 20); err != nil {
		if got := st.Info().Size; got != 65<<20 {
			t.Fatalf("size %d after shrinking was refused", got)
		}
	}
}

func testReopen(t *testing.T, s Suite) {
	if s.Reopen == nil {
		t.Skip("nothing survives Close of this store (Suite.Reopen)")
	}
	const size = 4 << 20
	st := s.Open(t, size)
	m := newModel(s, size)
	r := Rand(t)
	for round := range 4 {
		for i := range 40 {
			off, n := randomRange(r, s.Block, size)
			if _, err := m.step(r, st, off, n, uint64(100*round+i)); err != nil && err != block.ErrWouldBlock {
				t.Fatal(err)
			}
		}
		st = s.Reopen(t, st)
		if got := st.Info().Size; got != size {
			t.Fatalf("size %d after reopening, was %d", got, int64(size))
		}
		same(t, "after reopening", 0, mustRead(t, st, 0, size), m.b)
	}
	closeStore(t, st)
}

// testConcurrent gives each worker every eighth run of blocks: neighbours write to
// the same granules at the same time, and nobody's data may suffer.
func testConcurrent(t *testing.T, s Suite) {
	const workers, run = 8, 3
	const size = 1 << 20
	st := s.open(t, size)
	l, lends := st.(block.Lender)
	runs := size / (run * s.Block)
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	var wg sync.WaitGroup
	for w := range int64(workers) {
		wg.Go(func() {
			n := run * s.Block
			p := make([]byte, n)
			got := make([]byte, n)
			for round := range rounds {
				for i := w; i < runs; i += workers {
					off := i * n
					fill(p, off, uint64(round*workers)+uint64(w))
					if err := st.WriteAt(p, off, block.NoWait); err == block.ErrWouldBlock {
						err = st.WriteAt(p, off, 0)
						if err != nil {
							t.Error(err)
							return
						}
					} else if err != nil {
						t.Error(err)
						return
					}
					if (i+int64(round))%5 == 0 {
						if err := st.Unmap(off, n, 0); err != nil {
							t.Error(err)
							return
						}
						clear(p)
					}
					if lends && i%2 == 0 {
						if slices, release, ok := l.Lend(nil, off, n); ok {
							if d := diff(bytes.Join(slices, nil), s.want(p)); d != "" {
								t.Errorf("worker %d lent %d: %s", w, off, d)
							}
							release.Release()
							continue
						}
					}
					if err := st.ReadAt(got, off, 0); err != nil {
						t.Error(err)
						return
					}
					if d := diff(got, s.want(p)); d != "" {
						t.Errorf("worker %d read %d: %s", w, off, d)
						return
					}
				}
			}
		})
	}
	wg.Go(func() { // readers of everything see anything, but no error
		p := make([]byte, size)
		for range rounds {
			if err := st.ReadAt(p, 0, 0); err != nil {
				t.Error(err)
			}
			if _, err := st.Extent(0, size); err != nil {
				t.Error(err)
			}
			if err := st.Flush(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

// testConcurrentResize grows the store under its users.
func testConcurrentResize(t *testing.T, s Suite) {
	const start, step, steps = 1 << 20, 8 << 20, 8
	st := s.open(t, start)
	rs, ok := st.(block.Resizer)
	if !ok {
		t.Skip("the store has a fixed size (block.Resizer is optional)")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range int64(4) {
		wg.Go(func() {
			p, got := make([]byte, 4096), make([]byte, 4096)
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// the last granules that there are, where growth happens
				size := st.Info().Size
				off := size - (w+1)*4096
				fill(p, off, uint64(i))
				if err := st.WriteAt(p, off, 0); err != nil {
					t.Error(err)
					return
				}
				if err := st.ReadAt(got, off, 0); err != nil {
					t.Error(err)
					return
				}
				// another worker may have written here by an older size
				if w == 0 && st.Info().Size == size {
					if d := diff(got, s.want(p)); d != "" {
						t.Errorf("at %d: %s", off, d)
						return
					}
				}
			}
		})
	}
	for i := range int64(steps) {
		if err := rs.Resize(start + (i+1)*step); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}
