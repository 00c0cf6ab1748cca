package blocktest

import (
	"fmt"
	"testing"

	"github.com/targate/targate/core/block"
)

// Allocs counts what one call costs the collector.
func Allocs(t *testing.T, s Suite) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	st := s.open(t, diskSize)
	p := fill(make([]byte, 4096), 0, 1)
	for i := int64(0); i < 1<<20; i += 4096 {
		mustWrite(t, st, p, i)
	}
	flags := []block.Flags{0, block.FUA}
	if st.Info().NoWait != block.No {
		flags = append(flags, block.NoWait)
	}
	for _, f := range flags {
		i := int64(0)
		try := func(op string, do func([]byte, int64, block.Flags) error) {
			n := testing.AllocsPerRun(200, func() {
				if err := do(p, i%(1<<20), f); err != nil && err != block.ErrWouldBlock {
					t.Fatal(err)
				}
				i += 4096
			})
			if n > s.MaxAllocs {
				t.Errorf("%s with flags %d: %v allocations, want at most %v", op, f, n, s.MaxAllocs)
			}
		}
		try("ReadAt", st.ReadAt)
		try("WriteAt", st.WriteAt)
	}
	if l, ok := st.(block.Lender); ok {
		dst := make([][]byte, 0, 64)
		for _, n := range []int64{4096, 256 << 10} {
			allocs := testing.AllocsPerRun(200, func() {
				if _, release, ok := l.Lend(dst, 4096, n); ok {
					release.Release()
				}
			})
			if allocs > s.MaxAllocs {
				t.Errorf("Lend of %d bytes: %v allocations, want at most %v", n, allocs, s.MaxAllocs)
			}
		}
	}
}

// benchSize is far beyond the processor's caches.
const benchSize = 256 << 20

// Bench measures ReadAt and WriteAt, as the inline path and as a worker call them,
// and Lend, over blocks that are allocated and resident.
func Bench(b *testing.B, s Suite) {
	if s.Block == 0 {
		s.Block = 512
	}
	st := s.open(b, benchSize)
	p := fill(make([]byte, 1<<20), 0, 1)
	for off := int64(0); off < benchSize; off += 1 << 20 {
		mustWrite(b, st, p, off)
	}
	run := func(name string, n int64, do func(off int64, f block.Flags) error, f block.Flags) {
		b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
			b.SetBytes(n)
			b.ReportAllocs()
			blocked := 0
			x := uint64(1)
			for b.Loop() {
				x = x*6364136223846793005 + 1442695040888963407
				off := int64(x>>33) % (benchSize / n) * n
				err := do(off, f)
				if err == block.ErrWouldBlock {
					blocked++
					err = do(off, 0)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if blocked > 0 {
				b.ReportMetric(float64(blocked)/float64(b.N), "blocked/op")
			}
		})
	}
	l, lends := st.(block.Lender)
	dst := make([][]byte, 0, 64)
	for _, n := range []int64{512, 4096, 64 << 10, 256 << 10, 1 << 20} {
		read := func(off int64, f block.Flags) error { return st.ReadAt(p[:n], off, f) }
		write := func(off int64, f block.Flags) error { return st.WriteAt(p[:n], off, f) }
		run("read/now", n, read, block.NoWait)
		run("read/wait", n, read, 0)
		run("write/now", n, write, block.NoWait)
		run("write/wait", n, write, 0)
		if lends {
			run("lend", n, func(off int64, _ block.Flags) error {
				_, release, ok := l.Lend(dst, off, n)
				if ok {
					release.Release()
				}
				return nil
			}, 0)
		}
	}
}
