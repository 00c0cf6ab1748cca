package sbc

import (
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
)

// still is a store without work, so that what is measured is the disk.
type still struct{ block.Store }

func (still) ReadAt([]byte, int64, block.Flags) error  { return nil }
func (still) WriteAt([]byte, int64, block.Flags) error { return nil }

// lending is one that lends.
type lending struct {
	still
	page []byte
}

func (l lending) Lend(dst [][]byte, _, n int64) ([][]byte, block.Releaser, bool) {
	return append(dst, l.page[:n]), loan{}, true
}

type loan struct{}

func (loan) Release() {}

// fixedPort gives the same room every time.
type fixedPort struct {
	core.Port
	b []byte
}

func (p *fixedPort) Room(_ *core.Command, n int) []byte { return p.b[:n] }

// hotCommand is a command ready to Execute, and what makes it so again.
func hotCommand(tb testing.TB, store block.Store, cdb []byte) (*Disk, *core.Command, func()) {
	tb.Helper()
	d, err := New(store, testConfig())
	if err != nil {
		tb.Fatal(err)
	}
	u := coretest.NewUnit(tb, d, nil)
	c := &core.Command{Path: coretest.NewPath(tb, u), Port: &fixedPort{b: make([]byte, 4096)}}
	c.SetCDB(cdb)
	if err := c.Parse(); err != nil {
		tb.Fatal(err)
	}
	c.NoWait = true
	if c.OutLen > 0 {
		c.Out = make([]byte, c.OutLen)
	}
	return d, c, func() { c.In, c.Lent, c.Release = nil, nil, nil }
}

var hot = []struct {
	name  string
	store func() block.Store
	cdb   []byte
}{
	{"Read4K", func() block.Store { return still{newTestStore(1 << 20)} }, cdb10(0x28, 0, 8, 8)},
	{"Lend4K", func() block.Store { return lending{still{newTestStore(1 << 20)}, make([]byte, 4096)} }, cdb16(0x88, 0, 8, 8)},
	{"Write4K", func() block.Store { return still{newTestStore(1 << 20)} }, cdb10(0x2a, 0, 8, 8)},
}

func BenchmarkExecute(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			d, c, again := hotCommand(b, h.store(), h.cdb)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Execute(c); err != nil {
					b.Fatal(err)
				}
				again()
			}
		})
	}
}
