package blocktest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/targate/targate/core/block"
)

func testInfo(t *testing.T, s Suite) {
	i := s.open(t, diskSize).Info()
	for _, x := range []struct {
		name string
		n    int64
		min  int64
	}{
		{"Granularity", i.Granularity, s.Block},
		{"PhysicalBlock", i.PhysicalBlock, s.Block},
		{"Align", int64(i.Align), 1},
	} {
		if x.n < x.min || x.n&(x.n-1) != 0 {
			t.Errorf("%s = %d, want a power of two from %d on", x.name, x.n, x.min)
		}
	}
	if i.ReadOnly {
		t.Error("the store under test is read only")
	}
	if i.Extents != block.No && i.Unmap == block.No {
		t.Error("Extents without Unmap")
	}
}

func testRange(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	for _, c := range []struct{ off, n int64 }{
		{diskSize, s.Block},
		{diskSize - s.Block, 2 * s.Block},
		{-s.Block, s.Block},
		{math.MaxInt64 - s.Block + 1, s.Block},
		{1 << 62, 1 << 20},
	} {
		p := make([]byte, c.n)
		for _, f := range []block.Flags{0, block.NoWait} {
			WantError(t, st.ReadAt(p, c.off, f), "read", block.ErrRange, c.off, c.off+1)
			WantError(t, st.WriteAt(p, c.off, f), "write", block.ErrRange, c.off, c.off+1)
		}
		WantError(t, st.Zero(c.off, c.n, 0), "zero", block.ErrRange, c.off, c.off+1)
		WantError(t, st.Unmap(c.off, c.n, 0), "unmap", block.ErrRange, c.off, c.off+1)
		_, err := st.Extent(c.off, c.n)
		WantError(t, err, "extent", block.ErrRange, c.off, c.off+1)
		if l, ok := st.(block.Lender); ok {
			if _, _, ok := l.Lend(nil, c.off, c.n); ok {
				t.Errorf("lent %d bytes at %d of %d", c.n, c.off, int64(diskSize))
			}
		}
	}
	// a negative length comes from an overflow above
	WantError(t, st.Unmap(0, -s.Block, 0), "unmap", block.ErrRange, 0, 1)
	WantError(t, st.Zero(0, math.MinInt64, 0), "zero", block.ErrRange, 0, 1)
	for _, off := range []int64{0, diskSize} {
		if err := st.ReadAt(nil, off, 0); err != nil {
			t.Errorf("read of nothing at %d: %v", off, err)
		}
		if err := st.WriteAt(nil, off, 0); err != nil {
			t.Errorf("write of nothing at %d: %v", off, err)
		}
		if err := st.Zero(off, 0, 0); err != nil {
			t.Errorf("zero of nothing at %d: %v", off, err)
		}
		if err := st.Unmap(off, 0, 0); err != nil {
			t.Errorf("unmap of nothing at %d: %v", off, err)
		}
	}
	if got := st.Info().Size; got != diskSize {
		t.Errorf("size %d after calls beyond the end of %d", got, int64(diskSize))
	}
}

func testFresh(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	same(t, "a fresh store", 0, mustRead(t, st, 0, diskSize), make([]byte, diskSize))
}

// boundaries are offsets at which implementations change their mind.
func boundaries(info block.Info) []int64 {
	at := []int64{0, 4096, info.Granularity, info.PhysicalBlock, 64 << 10, 1 << 20, 32 << 20, info.Size}
	slices.Sort(at)
	return slices.Compact(at)
}

func testReadAfterWrite(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	salt := uint64(0)
	for _, at := range boundaries(st.Info()) {
		for _, n := range []int64{s.Block, 4096, 4096 + s.Block, 64 << 10, 1<<20 + s.Block} {
			for _, before := range []int64{0, s.Block, 4096, n - s.Block, n} {
				off := at - before
				if off < 0 || off+n > diskSize {
					continue
				}
				for shift := range int64(2) { // an aligned and an unaligned buffer
					salt++
					p := fill(make([]byte, n+shift)[shift:], off, salt)
					lo, hi := max(off-s.Block, 0), min(off+n+s.Block, diskSize)
					around := mustRead(t, st, lo, hi-lo)
					copy(around[off-lo:], s.want(p))
					mustWrite(t, st, p, off)
					same(t, "read after write", off, mustRead(t, st, off, n), s.want(p))
					same(t, "the neighbourhood of a write", lo, mustRead(t, st, lo, hi-lo), around)
				}
			}
		}
	}
}

func testZeroAndUnmap(t *testing.T, s Suite) {
	for _, op := range []struct {
		name string
		do   func(block.Store, int64, int64) error
	}{
		{"zero", func(st block.Store, off, n int64) error { return st.Zero(off, n, 0) }},
		{"zero may unmap", func(st block.Store, off, n int64) error { return st.Zero(off, n, block.MayUnmap) }},
		{"unmap", func(st block.Store, off, n int64) error { return st.Unmap(off, n, 0) }},
		{"unmap fua", func(st block.Store, off, n int64) error { return st.Unmap(off, n, block.FUA) }},
	} {
		t.Run(op.name, func(t *testing.T) {
			st := s.open(t, diskSize)
			g := st.Info().Granularity
			base := g * 8
			n := g * 6
			for _, c := range []struct{ off, n int64 }{
				{0, g}, {g, 2 * g}, // aligned
				{s.Block, g - s.Block}, {s.Block, 2 * g}, {g - s.Block, 2 * s.Block}, {2*g + s.Block, s.Block},
				{0, s.Block}, {g - s.Block, s.Block}, {0, 6 * g},
			} {
				p := fill(make([]byte, n), base, uint64(c.off+c.n))
				mustWrite(t, st, p, base)
				if err := op.do(st, base+c.off, c.n); err != nil {
					t.Fatalf("%d bytes at +%d: %v", c.n, c.off, err)
				}
				clear(p[c.off : c.off+c.n])
				same(t, fmt.Sprintf("after %d bytes at +%d,", c.n, c.off), base, mustRead(t, st, base, n), s.want(p))
			}
			// the partial granule at the end, and everything
			mustWrite(t, st, fill(make([]byte, 4*s.Block), 0, 9), diskSize-4*s.Block)
			if err := op.do(st, diskSize-2*s.Block, 2*s.Block); err != nil {
				t.Fatal(err)
			}
			same(t, "the end", diskSize-2*s.Block, mustRead(t, st, diskSize-2*s.Block, 2*s.Block), make([]byte, 2*s.Block))
			if err := op.do(st, 0, diskSize); err != nil {
				t.Fatal(err)
			}
			for _, at := range boundaries(st.Info()) {
				off := max(0, at-128<<10)
				n := min(256<<10, diskSize-off)
				same(t, "after everything was zeroed,", off, mustRead(t, st, off, n), make([]byte, n))
			}
		})
	}
}

func testExtents(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	info := st.Info()
	if info.Extents == block.No {
		e, err := st.Extent(s.Block, 8*s.Block)
		if want := (block.Extent{Off: s.Block, Len: 8 * s.Block, Data: true}); err != nil || e != want {
			t.Fatalf("Extent = %+v, %v; a store that does not know says %+v", e, err, want)
		}
		return
	}
	m := newModel(s, diskSize)
	m.checkExtents(t, st)
	g := info.Granularity
	steps := []struct {
		op     string
		off, n int64
	}{
		{"write", 0, s.Block},
		{"write", 5*g - s.Block, 2 * s.Block},
		{"write", diskSize - s.Block, s.Block},
		{"write", 8 * g, 8 * g},
		{"unmap", 9 * g, 2 * g},
		{"unmap", 13*g + s.Block, 2 * g},
		{"unmap", 0, 2 * g},
		{"unmap", 0, diskSize},
	}
	for _, c := range steps {
		var err error
		if c.op == "write" {
			p := fill(make([]byte, c.n), c.off, 3)
			err = st.WriteAt(p, c.off, 0)
			m.write(p, c.off)
		} else {
			err = st.Unmap(c.off, c.n, 0)
			m.zero(c.off, c.n)
		}
		if err != nil {
			t.Fatalf("%s %d bytes at %d: %v", c.op, c.n, c.off, err)
		}
		m.checkExtents(t, st)
		if c.op == "unmap" && info.Unmap == block.Native && info.Extents == block.Native {
			lo, hi := (c.off+g-1)&^(g-1), (c.off+c.n)&^(g-1)
			for off := lo; off < hi; {
				e, err := st.Extent(off, hi-off)
				if err != nil || e.Data || e.Len == 0 {
					t.Fatalf("Extent(%d, %d) = %+v, %v after it was unmapped", off, hi-off, e, err)
				}
				off += e.Len
			}
		}
	}
}

// testUsage holds a store that knows what is deallocated to its own figures.
func testUsage(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	a, ok := st.(block.Accountant)
	if !ok {
		t.Skip("the store does not count (block.Accountant is optional)")
	}
	used := func() int64 {
		t.Helper()
		if err := st.Flush(); err != nil {
			t.Fatal(err)
		}
		u, err := a.Usage()
		if err != nil || u.Used < 0 || u.Available < 0 {
			t.Fatalf("Usage() = %+v, %v", u, err)
		}
		return u.Used
	}
	before := used()
	if s.Forgets || st.Info().Extents != block.Native {
		return
	}
	const n = 4 << 20
	mustWrite(t, st, fill(make([]byte, n), 0, 1), 0)
	if got := used() - before; got < n || got > 2*n {
		t.Errorf("%d bytes more are used after %d were written", got, n)
	}
	if err := st.Unmap(0, n, 0); err != nil {
		t.Fatal(err)
	}
	if got := used() - before; got > n/4 {
		t.Errorf("%d bytes more are used after %d were written and unmapped", got, n)
	}
}

func testNoWait(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	r := Rand(t)
	for i := range 300 {
		n := s.Block * (1 + r.Int64N(256))
		off := r.Int64N((diskSize-n)/s.Block) * s.Block
		old := mustRead(t, st, off, n)
		p := fill(make([]byte, n), off, uint64(i))
		want := s.want(p)
		switch err := st.WriteAt(p, off, block.NoWait); {
		case err == block.ErrWouldBlock:
			want = old
		case err != nil:
			t.Fatalf("WriteAt(NoWait): %v", err)
		}
		same(t, "after a write with NoWait", off, mustRead(t, st, off, n), want)
		got := make([]byte, n)
		switch err := st.ReadAt(got, off, block.NoWait); {
		case err == block.ErrWouldBlock:
		case err != nil:
			t.Fatalf("ReadAt(NoWait): %v", err)
		default:
			same(t, "read with NoWait", off, got, want)
		}
		if err := st.Unmap(off, n, block.NoWait); err == nil {
			clear(want)
		} else if err != block.ErrWouldBlock {
			t.Fatalf("Unmap(NoWait): %v", err)
		}
		same(t, "after an unmap with NoWait", off, mustRead(t, st, off, n), want)
	}
	if st.Info().NoWait == block.No {
		p := make([]byte, s.Block)
		if err := st.ReadAt(p, 0, block.NoWait); err != block.ErrWouldBlock {
			t.Errorf("ReadAt(NoWait) = %v of a store that always blocks", err)
		}
		if err := st.WriteAt(p, 0, block.NoWait); err != block.ErrWouldBlock {
			t.Errorf("WriteAt(NoWait) = %v of a store that always blocks", err)
		}
	}
}

func testFUA(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	for _, off := range []int64{0, s.Block, 64<<10 - s.Block} {
		p := fill(make([]byte, 4096), off, 7)
		if err := st.WriteAt(p, off, block.FUA); err != nil {
			t.Fatal(err)
		}
		same(t, "read after write with FUA", off, mustRead(t, st, off, 4096), s.want(p))
	}
	if err := st.Zero(0, 4096, block.FUA); err != nil {
		t.Fatal(err)
	}
	same(t, "read after zero with FUA", 0, mustRead(t, st, 0, 4096), make([]byte, 4096))
	if err := st.Flush(); err != nil {
		t.Fatal(err)
	}
}

// testKeepsNoBuffer changes a buffer after WriteAt returned.
func testKeepsNoBuffer(t *testing.T, s Suite) {
	st := s.open(t, diskSize)
	for _, n := range []int64{s.Block, 4096, 64 << 10, 1 << 20} {
		p := fill(make([]byte, n), 0, uint64(n))
		want := append([]byte(nil), s.want(p)...)
		mustWrite(t, st, p, 0)
		clear(p)
		same(t, "after the buffer was used again", 0, mustRead(t, st, 0, n), want)
	}
}
