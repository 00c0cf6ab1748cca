package sbc

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/core/coretest"
)

// model is what a protected disk should have.
type model struct {
	*protectedRig
	r    *rand.Rand
	kind uint8
	ato  bool
	data []byte
	pi   []tuple
}

// flagged makes a command of one that can carry protection information with the type.
func (m *model) flagged(c16, action, flags byte, lba, n int) []byte {
	if m.kind == 2 {
		return tagged(action, flags, uint64(lba), uint32(n), uint32(lba), 0, 0)
	}
	return cdb16(c16, flags, uint64(lba), uint32(n))
}

// made is the protection information of blocks written without.
func (m *model) made(lba, n int) {
	x := expected{kind: m.kind, ato: m.ato}
	for i := lba; i < lba+n; i++ {
		m.pi[i] = x.made(slowGuard(m.data[i*512:][:512]), uint64(i))
	}
}

// step does what chance says, and tells what it did.
func (m *model) step() (what string, lba, n int) {
	n = 1 + m.r.IntN(1<<m.r.IntN(7))
	lba = m.r.IntN(rigBlocks - n)
	p := make([]byte, n*512)
	for i := range p {
		p[i] = byte(m.r.Uint32())
	}
	at := m.data[lba*512 : (lba+n)*512]
	switch m.r.IntN(9) {
	case 0, 1:
		what = "WRITE without"
		m.good(cdb10(0x2a, 0, uint32(lba), uint16(n)), p)
		copy(at, p)
		m.made(lba, n)
	case 2, 3:
		what = "WRITE with any protection information, unchecked"
		v := make([]tuple, n)
		for i := range v {
			// the application tag disables checks, so that later commands pass
			v[i] = tuple{uint16(m.r.Uint32()), 0xffff, 0xffffffff}
		}
		m.good(m.flagged(0x8a, 0x0b, 3<<5, lba, n), with(p, v...))
		copy(at, p)
		copy(m.pi[lba:], v)
	case 4:
		what = "WRITE with what is right"
		v := make([]tuple, n)
		for i := range v {
			v[i] = tuple{slowGuard(p[i*512:][:512]), uint16(m.r.IntN(0xffff)), uint32(lba + i)}
		}
		m.good(m.flagged(0x8a, 0x0b, 1<<5, lba, n), with(p, v...))
		copy(at, p)
		copy(m.pi[lba:], v)
	case 5:
		what = "UNMAP"
		m.good(unmapCDB(24), unmapList(extent{uint64(lba), uint64(n)}))
		clear(at)
		for i := range n {
			m.pi[lba+i] = noCheck
		}
	case 6:
		what = "WRITE SAME"
		m.good(cdb16(0x93, 0, uint64(lba), uint32(n)), p[:512])
		for i := range n {
			copy(at[i*512:], p[:512])
		}
		m.made(lba, n)
	case 7:
		what = "ORWRITE"
		m.good(cdb16(0x8b, 0, uint64(lba), uint32(n)), p)
		for i := range p {
			at[i] |= p[i]
		}
		m.made(lba, n)
	case 8:
		what = "XDWRITEREAD"
		got := m.good(xdWriteRead10(0, uint32(lba), uint16(n)), p)
		for i := range p {
			if got[i] != p[i]^at[i] {
				m.t.Fatalf("XDWRITEREAD %d+%d: byte %d", lba, n, i)
			}
		}
		copy(at, p)
		m.made(lba, n)
	}
	return what, lba, n
}

// TestProtectedModel does what chance says to the disk and to a slice.
func TestProtectedModel(t *testing.T) {
	for kind := uint8(1); kind <= 3; kind++ {
		for _, ato := range []bool{false, true} {
			t.Run(fmt.Sprintf("type_%d/ato_%t", kind, ato), func(t *testing.T) {
				m := &model{protectedRig: newProtectedRig(t, kind, nil), r: blocktest.Rand(t), kind: kind, ato: ato,
					data: make([]byte, rigBlocks*512), pi: make([]tuple, rigBlocks)}
				m.set(ato, false)
				for i := range m.pi {
					m.pi[i] = noCheck
				}
				for i := range 400 {
					what, lba, n := m.step()
					lba, n = max(0, lba-1), min(n+2, rigBlocks-max(0, lba-1))
					at := m.data[lba*512 : (lba+n)*512]
					if got := m.good(m.flagged(0x88, 0x09, 3<<5, lba, n), nil); !bytes.Equal(got, with(at, m.pi[lba:lba+n]...)) {
						t.Fatalf("step %d, %s: the blocks at %d+%d are others", i, what, lba, n)
					}
					if got := m.good(cdb10(0x28, 0, uint32(lba), uint16(n)), nil); !bytes.Equal(got, at) {
						t.Fatalf("step %d, %s: the data at %d+%d is other", i, what, lba, n)
					}
				}
				if !slices.Equal(m.tuples(0, rigBlocks), m.pi) {
					t.Error("other protection information at the end")
				}
			})
		}
	}
}

// TestProtectedConcurrency: who reads while others write the same blocks never finds
// data and protection information that do not fit.
func TestProtectedConcurrency(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	var wg sync.WaitGroup
	seeds := blocktest.Rand(t)
	for w := range 4 {
		p := coretest.NewPath(t, r.unit)
		rnd := rand.New(rand.NewPCG(seeds.Uint64(), uint64(w)))
		wg.Go(func() {
			for i := range 150 {
				lba, n := rnd.IntN(8), 1+rnd.IntN(8)
				cdb, out := cdb10(0x28, 1<<5, uint32(lba), uint16(n)), []byte(nil)
				switch rnd.IntN(4) {
				case 0, 1:
					cdb, out = cdb10(0x2a, 0, uint32(lba), uint16(n)), fill(byte(i), n)
				case 2:
					cdb, out = unmapCDB(24), unmapList(extent{uint64(lba), uint64(n)})
				}
				if res := coretest.Do(p, cdb, out, coretest.AnyLength); !res.Good() {
					t.Errorf("% x: %v", cdb, res)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzProtectedCommand is FuzzCommand for disks of each type.
func FuzzProtectedCommand(f *testing.F) {
	var rigs [4]*protectedRig
	for kind := range rigs {
		rigs[kind] = newProtectedRig(f, uint8(kind), nil)
	}
	for _, row := range rigs[2].unit.Rows() {
		f.Add(byte(2), cdbOf(row), []byte{}, 520)
		f.Add(byte(1), []byte(row.Usage), make([]byte, 520), -1)
	}
	f.Fuzz(func(t *testing.T, kind byte, cdb, out []byte, expect int) {
		if len(cdb) < 6 || len(cdb) > 32 || cdb[0] == opFormat || cdb[0] == opSanitize {
			return
		}
		r := rigs[kind&3]
		expect = max(coretest.AnyLength, min(expect, 1<<20))
		defer r.path.ClearACA(func() {})
		res := coretest.Do(r.path, cdb, out, expect)
		if expect >= 0 && len(res.Data) > expect {
			t.Errorf("% x: %d bytes, expected %d", cdb, len(res.Data), expect)
		}
	})
}
