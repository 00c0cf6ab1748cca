package blocktest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/targate/targate/core/block"
)

// model is the disk as a slice.
type model struct {
	s       Suite
	b       []byte
	written []bool // one per logical block: written since it was last deallocated
}

func newModel(s Suite, size int64) *model {
	return &model{s: s, b: make([]byte, size), written: make([]bool, size/s.Block)}
}

func (m *model) write(p []byte, off int64) {
	copy(m.b[off:], m.s.want(p))
	m.mark(off, int64(len(p)), true)
}

func (m *model) zero(off, n int64) {
	clear(m.b[off : off+n])
	m.mark(off, n, false)
}

func (m *model) mark(off, n int64, written bool) {
	for i := off / m.s.Block; i < (off+n)/m.s.Block; i++ {
		m.written[i] = written
	}
}

// checkExtents walks the whole store: no gap, no overlap, and nothing that was
// written is called deallocated.
func (m *model) checkExtents(t *testing.T, st block.Store) {
	t.Helper()
	size := int64(len(m.b))
	for off := int64(0); off < size; {
		n := size - off
		e, err := st.Extent(off, n)
		if err != nil {
			t.Fatalf("Extent(%d, %d): %v", off, n, err)
		}
		if e.Off != off || e.Len <= 0 || e.Len > n || e.Len%m.s.Block != 0 {
			t.Fatalf("Extent(%d, %d) = %+v", off, n, e)
		}
		if !e.Data && !m.s.Forgets {
			for i := off / m.s.Block; i < (off+e.Len)/m.s.Block; i++ {
				if m.written[i] {
					t.Fatalf("Extent(%d, %d) = %+v, but block %d was written", off, n, e, i)
				}
			}
		}
		off += e.Len
	}
}

// testRandom does what chance says to the store and to the model.
func testRandom(t *testing.T, s Suite) {
	const size = 2<<20 + 8192
	r := Rand(t)
	st := s.open(t, size)
	m := newModel(s, size)
	steps := 1500
	if testing.Short() {
		steps = 500
	}
	var log []string
	for i := range steps {
		off, n := randomRange(r, s.Block, size)
		what, err := m.step(r, st, off, n, uint64(i))
		log = append(log, fmt.Sprintf("%s %d+%d: %v", what, off, n, err))
		d := ""
		if err != nil && err != block.ErrWouldBlock {
			d = err.Error()
		} else if i%64 == 0 || i == steps-1 {
			d = diff(mustRead(t, st, 0, size), m.b)
		} else {
			d = diff(mustRead(t, st, off, n), m.b[off:off+n])
		}
		if d != "" {
			for _, l := range log[max(0, len(log)-20):] {
				t.Log(l)
			}
			t.Fatalf("step %d, %s %d bytes at %d: %s", i, what, n, off, d)
		}
	}
	if st.Info().Extents != block.No {
		m.checkExtents(t, st)
	}
}

// randomRange prefers short runs and ends that meet granules.
func randomRange(r *rand.Rand, unit, size int64) (off, n int64) {
	n = unit << r.IntN(11)
	if r.IntN(2) == 0 {
		n = unit * (1 + r.Int64N(n/unit))
	}
	off = r.Int64N((size-n)/unit+1) * unit
	if r.IntN(4) == 0 {
		off &^= 64<<10 - 1
	}
	return off, min(n, size-off)
}

// step does one operation to both.
func (m *model) step(r *rand.Rand, st block.Store, off, n int64, salt uint64) (string, error) {
	flags := [...]block.Flags{0, 0, block.NoWait, block.NoWait, block.FUA}[r.IntN(5)]
	switch k := r.IntN(10); {
	case k < 5:
		p := fill(make([]byte, n), off, salt)
		err := st.WriteAt(p, off, flags)
		if err == nil {
			m.write(p, off)
		}
		return fmt.Sprintf("write(flags %d)", flags), err
	case k < 7:
		flags |= block.Flags(r.IntN(2)) * block.MayUnmap
		err := st.Zero(off, n, flags)
		if err == nil {
			m.zero(off, n)
		}
		return fmt.Sprintf("zero(flags %d)", flags), err
	case k < 9:
		err := st.Unmap(off, n, flags)
		if err == nil {
			m.zero(off, n)
		}
		return fmt.Sprintf("unmap(flags %d)", flags), err
	default:
		return "flush", st.Flush()
	}
}
