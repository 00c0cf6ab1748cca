package spc_test

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// toy is the least device: primary commands, pages of its own, and a command that
// writes.
type toy struct {
	*spc.Device
	set     *ops.Set[*toy]
	count   atomic.Uint64 // of log page 0Ch
	applied atomic.Uint64 // calls of Apply of page 08h
	ill     atomic.Bool   // the self-test fails
	header  atomic.Uint32 // the DEVICE-SPECIFIC PARAMETER, when it can be set
}

var errIll = errors.New("the toy is ill")

// caching is page 08h: WCE and MAXIMUM PRE-FETCH are changeable, the latter up to
// 100.
func (d *toy) caching() spc.ModePage {
	p := spc.ModePage{
		Default:    make([]byte, 20),
		Changeable: make([]byte, 20),
		Check: func(b []byte) error {
			if binary.BigEndian.Uint16(b[8:]) > 100 {
				return sense.Param(8)
			}
			return nil
		},
		Apply: func([]byte) { d.applied.Add(1) },
	}
	p.Default[0], p.Default[1], p.Default[2] = 0x08, 18, 0x04
	p.Changeable[2], p.Changeable[8], p.Changeable[9] = 0x04, 0xff, 0xff
	return p
}

func (d *toy) config() spc.Config {
	return spc.Config{
		Type: scsi.DirectAccess,
		Identity: core.Identity{Vendor: "TARGATE", Product: "Toy", Revision: "0001", Serial: "TOY00001",
			NAA: [8]byte{0x30, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}},
		Versions: []uint16{spc.SBC3},
		VPD: []spc.VPDPage{{Code: 0xb1, Append: func(b []byte, _ *core.Command) []byte {
			return append(b, make([]byte, 60)...)
		}}},
		Modes: []spc.ModePage{
			{Default: []byte{0x1c, 10, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
			d.caching(),
		},
		Logs: []spc.LogPage{
			{Code: 0x2f, Params: func(*core.Command) []spc.LogParam {
				return []spc.LogParam{{Code: 0, Format: spc.BinaryList, Value: []byte{0, 0, 0, 0}}}
			}},
			{Code: 0x19, Sub: 0x20, Params: func(*core.Command) []spc.LogParam { return nil }},
			{Code: 0x0c, Params: d.counters, Clear: func() { d.count.Store(0) }},
		},
		Header: func(c *core.Command, long bool) spc.Header {
			h := spc.Header{Specific: 0x10, Block: []byte{0, 0, 0x10, 0, 0, 0, 2, 0}}
			if d.WriteProtected(c) {
				h.Specific |= 0x80
			}
			if long {
				h.Block = []byte{0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0}
			}
			return h
		},
		SelfTest: func(*core.Command) error {
			if d.ill.Load() {
				return errIll
			}
			return nil
		},
		CanProtect:    true,
		VolatileCache: true,
	}
}

func (d *toy) counters(*core.Command) []spc.LogParam {
	return []spc.LogParam{ // not in order
		{Code: 0x8000, Format: spc.BinaryList, Value: []byte{7}},
		{Code: 1, Format: spc.BoundedCounter, Value: binary.BigEndian.AppendUint64(nil, d.count.Load())},
	}
}

// newToy makes a toy whose configuration change alters. It is attached by NewUnit.
func newToy(tb testing.TB, change func(*toy, *spc.Config)) *toy {
	tb.Helper()
	d := &toy{}
	cfg := d.config()
	if change != nil {
		change(d, &cfg)
	}
	dev, err := spc.NewDevice(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	d.Device = dev
	d.set = ops.Compile(spc.Ops[*toy](dev), []ops.Op[*toy]{
		{Row: core.Row{Code: 0x2a, Action: core.NoAction, Name: "WRITE(10)", Gate: core.WritesMedium,
			Usage: "\x2a\x00\xff\xff\xff\xff\x00\xff\xff\x00"},
			Run: func(*toy, *core.Command) error { return nil }},
	})
	return d
}

func (d *toy) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, Rows: d.set.Rows(), Control: d.Control()}
}

func (d *toy) Execute(c *core.Command) error { return d.set.Execute(d, c) }
func (d *toy) Close() error                  { return nil }

var _ core.Handler = (*toy)(nil)

// attach gives a path to a new toy whose mode pages can be saved in state.
func attach(tb testing.TB, state core.State) (*toy, *core.Path) {
	tb.Helper()
	d := newToy(tb, nil)
	return d, coretest.NewPath(tb, coretest.NewUnit(tb, d, state))
}
