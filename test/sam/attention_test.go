//go:build system

package sam

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

func testUnitAttention(t *testing.T) {
	run(t, "a new nexus is told of the power on", func(t *testing.T) {
		h := fresh(t)
		for _, lun := range []uint16{lunMem, lunFile, lunNull, lun4K} {
			got := h.attentions(lun)
			if len(got) != 1 || got[0] != powerOn && got[0] != powerOnOnly && got[0] != 0x2907 {
				t.Errorf("LUN %d: unit attentions %04x, want one of power on or nexus loss", lun, got)
			}
		}
	})
	run(t, "each logical unit has its own", func(t *testing.T) {
		h := fresh(t)
		h.attentions(lunMem)
		if r := h.none(lunOther, tur); r.Key() != attention {
			t.Errorf("LUN %d: %v", lunOther, r.Err())
		}
	})
	run(t, "each nexus has its own", func(t *testing.T) {
		a, b := login(t), login(t)
		a.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		a.told(lunOther, busReset)
		a.told(lunOther)
		b.told(lunOther, busReset)
	})
	run(t, "INQUIRY neither reports nor clears it", func(t *testing.T) {
		h := fresh(t)
		h.good(h.in(lunMem, inquiry(-1, 36), 36))
		h.good(h.in(lunMem, inquiry(0x83, 252), 252))
		if r := h.none(lunMem, tur); r.Key() != attention {
			t.Errorf("the unit attention is gone: %v", r.Err())
		}
	})
	run(t, "REPORT LUNS neither reports nor clears it", func(t *testing.T) {
		h := fresh(t)
		if _, err := h.LUNs(h.ctx); err != nil {
			t.Error(err)
		}
		if r := h.none(0, tur); r.Key() != attention {
			t.Errorf("the unit attention is gone: %v", r.Err())
		}
	})
	run(t, "REQUEST SENSE reports it as data and clears it", func(t *testing.T) {
		h := fresh(t)
		if r := h.sense(lunMem); r.Key() != attention {
			t.Errorf("sense %x/%04x", r.Key(), r.Code())
		}
		h.told(lunMem)
		if r := h.sense(lunMem); r.Key() != noSense || r.Code() != 0 {
			t.Errorf("then sense %x/%04x, want none", r.Key(), r.Code())
		}
	})
	run(t, "REQUEST SENSE in descriptor format", func(t *testing.T) {
		h := fresh(t)
		r := h.in(lunMem, []byte{0x03, 1, 0, 0, 252, 0}, 252)
		h.good(r)
		if len(r.Data) < 8 || r.Data[0] != 0x72 || r.Data[1] != attention {
			t.Errorf("got %x", r.Data)
		}
	})
	for _, c := range []struct {
		name string
		cmd  initiator.Command
	}{
		{"READ(10)", initiator.Command{CDB: read10(0, 1), In: 512}},
		{"MODE SENSE(6)", initiator.Command{CDB: []byte{0x1a, 0, 0x3f, 0, 255, 0}, In: 255}},
		{"READ CAPACITY(10)", initiator.Command{CDB: make10(0x25), In: 8}},
		{"LOG SENSE", initiator.Command{CDB: []byte{0x4d, 0, 0x40, 0, 0, 0, 0, 0, 64, 0}, In: 64}},
		{"REPORT SUPPORTED OPERATION CODES", initiator.Command{CDB: []byte{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, In: 64}},
		{"SYNCHRONIZE CACHE(10)", initiator.Command{CDB: make10(0x35)}},
	} {
		run(t, c.name+" reports it and is not carried out", func(t *testing.T) {
			h := fresh(t)
			cmd := c.cmd
			cmd.LUN = lunOther
			r := h.do(&cmd)
			h.is(r, checkCond)
			if r.Key() != attention || len(r.Data) != 0 {
				t.Errorf("sense %x/%04x, %d bytes", r.Key(), r.Code(), len(r.Data))
			}
			h.good(h.do(&cmd))
		})
	}
	run(t, "a write that reports one writes nothing", func(t *testing.T) {
		h := login(t)
		h.write(lunOther, free, 1, 1)
		h.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		h.fails(h.out(lunOther, write10(free, 1), fill(1, 2)), attention, busReset)
		h.holds(lunOther, free, 1, 1)
	})
	run(t, "the gravest of resets is told alone", func(t *testing.T) {
		h := fresh(t) // power on
		h.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		if got := h.attentions(lunOther); len(got) != 1 {
			t.Errorf("unit attentions %04x, want one", got)
		}
	})
	run(t, "two resets are told once", func(t *testing.T) {
		h := login(t)
		for range 2 {
			h.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		}
		h.told(lunOther, busReset)
	})
	run(t, "a reset is told before the rest", func(t *testing.T) {
		a, b := login(t), login(t)
		page := a.modePage(lunOther, 0, 0x0a, 0)
		a.good(a.setMode(lunOther, page)) // the same values may be told or not
		b.settle()
		changed := slices.Clone(page)
		changed[5] ^= 0x40
		a.good(a.setMode(lunOther, changed))
		a.good(a.setMode(lunOther, page))
		a.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		b.told(lunOther, busReset, modeChanged)
		a.told(lunOther, busReset)
	})
	run(t, "7.5.4 mode parameters changed is told to the others only, and once", func(t *testing.T) {
		a, b, c := login(t), login(t, to(iqnAgain)), login(t)
		page := a.modePage(lunOther, 0, 0x0a, 0)
		changed := slices.Clone(page)
		changed[5] ^= 0x40
		a.good(a.setMode(lunOther, changed))
		a.good(a.setMode(lunOther, page))
		a.told(lunOther)
		b.told(lunOther, modeChanged)
		c.told(lunOther, modeChanged)
	})
	for _, form := range []struct {
		name  string
		dsens byte
		first byte
	}{{"fixed", 0, 0x70}, {"descriptor", 4, 0x72}} {
		run(t, "4.4 autosense in "+form.name+" format", func(t *testing.T) {
			h := login(t)
			h.control(lunOther, func(p []byte) { p[2] = p[2]&^4 | form.dsens })
			r := h.in(lunOther, read10(1<<30, 1), 512)
			h.fails(r, illegal, lbaOutOfRange)
			if r.Sense[0]&0x7f != form.first {
				t.Errorf("sense data %x", r.Sense)
			}
		})
	}
	for _, intlck := range []byte{2, 3} {
		run(t, fmt.Sprintf("7.5.9 UA_INTLCK_CTRL %d keeps it", intlck), func(t *testing.T) {
			h, other := login(t), login(t)
			h.control(lunOther, func(p []byte) { p[4] = p[4]&^0x30 | intlck<<4 })
			other.settle()
			page := other.modePage(lunOther, 0, 0x0a, 0)
			page[5] ^= 0x40
			other.good(other.setMode(lunOther, page))
			for range 3 {
				h.fails(h.none(lunOther, tur), attention, modeChanged)
			}
			if r := h.sense(lunOther); r.Code() != modeChanged {
				t.Errorf("REQUEST SENSE says %04x", r.Code())
			}
			h.told(lunOther)
		})
	}
}

func make10(op byte) []byte { return append([]byte{op}, make([]byte, 9)...) }

func testLUNs(t *testing.T) {
	lunList := func(h *host) []uint16 {
		h.t.Helper()
		l, err := h.LUNs(h.ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		return l
	}
	wants := func(h *host, want ...uint16) {
		h.t.Helper()
		if got := lunList(h); !slices.Equal(got, want) {
			h.t.Errorf("LUNs %v, want %v", got, want)
		}
	}
	run(t, "REPORT LUNS lists them in order", func(t *testing.T) {
		wants(login(t), 0, 1, 2, 3, 4, 5, 6, 7, 8)
	})
	run(t, "REPORT LUNS at a LUN that is not there", func(t *testing.T) {
		h := login(t)
		h.good(h.in(99, []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256))
	})
	for _, sel := range []byte{0x01, 0x10, 0x12} {
		run(t, fmt.Sprintf("SPC-6.33 SELECT REPORT %02xh has none", sel), func(t *testing.T) {
			h := login(t)
			r := h.in(0, []byte{0xa0, 0, sel, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256)
			h.good(r)
			if len(r.Data) != 8 || binary.BigEndian.Uint32(r.Data) != 0 {
				t.Errorf("got %x", r.Data)
			}
		})
	}
	run(t, "SPC-6.33 SELECT REPORT that is reserved", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(0, []byte{0xa0, 0, 0x77, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256), illegal, invalidCDB)
	})
	run(t, "a group sees its own map", func(t *testing.T) {
		wants(login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-a1")), 0, 3, 300)
	})
	run(t, "who is in no group sees the map for all", func(t *testing.T) {
		wants(login(t, to(iqnGroups)), 0)
	})
	run(t, "LUN 0 is listed though nothing is there", func(t *testing.T) {
		h := login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-b1"))
		wants(h, 0, 1)
		h.fails(h.none(0, tur), illegal, noSuchLU)
		r := h.in(0, inquiry(-1, 36), 36)
		h.good(r)
		if r.Data[0] != 0x7f && r.Data[0] != 0x3f {
			t.Errorf("peripheral qualifier and type %02x", r.Data[0])
		}
	})
	run(t, "an empty group sees nothing", func(t *testing.T) {
		wants(login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-empty")), 0)
	})
	run(t, "a LUN above 255 in flat addressing", func(t *testing.T) {
		h := login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-a2"))
		n, size, err := h.Capacity(h.ctx, 300)
		if err != nil || n*uint64(size) != 1<<40 {
			t.Errorf("capacity %d x %d, %v", n, size, err)
		}
	})
	run(t, "a small LUN in flat addressing is the same LUN", func(t *testing.T) {
		h := login(t)
		p := new(initiator.PDU)
		p.BHS[0], p.BHS[1] = initiator.OpCommand, initiator.Final|initiator.Simple
		p.BHS[8], p.BHS[9] = 0x40, lunOther
		task, err := h.Request(p)
		if err != nil {
			t.Fatal(err)
		}
		h.good(h.wait(task))
	})
	for name, lun := range map[string][8]byte{
		"with a second level":           {0, lunMem, 0, 1},
		"in logical unit addressing":    {0x80, 0},
		"in extended addressing":        {0xc1, 1},
		"with bits behind the address":  {0, 0, 0, 0, 0, 0, 0, 1},
		"on another bus than the first": {0x01, 0},
	} {
		run(t, "a LUN "+name+" is not there", func(t *testing.T) {
			h := login(t)
			p := new(initiator.PDU)
			p.BHS[0], p.BHS[1] = initiator.OpCommand, initiator.Final|initiator.Simple
			copy(p.BHS[8:], lun[:])
			task, err := h.Request(p)
			if err != nil {
				t.Fatal(err)
			}
			h.fails(h.wait(task), illegal, noSuchLU)
		})
	}
	for _, c := range []struct {
		name string
		cmd  initiator.Command
	}{
		{"TEST UNIT READY", initiator.Command{CDB: tur}},
		{"READ(10)", initiator.Command{CDB: read10(0, 1), In: 512}},
		{"WRITE(10)", initiator.Command{CDB: write10(0, 1), Out: fill(1, 1)}},
		{"MODE SENSE(6)", initiator.Command{CDB: []byte{0x1a, 0, 0x3f, 0, 255, 0}, In: 255}},
	} {
		run(t, "5.11 "+c.name+" at a LUN that is not there", func(t *testing.T) {
			h := login(t)
			cmd := c.cmd
			cmd.LUN = 99
			h.fails(h.do(&cmd), illegal, noSuchLU)
		})
	}
	run(t, "5.11 INQUIRY at a LUN that is not there", func(t *testing.T) {
		h := login(t)
		r := h.in(99, inquiry(-1, 36), 36)
		h.good(r)
		if r.Data[0] != 0x7f {
			t.Errorf("peripheral qualifier and type %02x, want 7f", r.Data[0])
		}
	})
	run(t, "5.11 REQUEST SENSE at a LUN that is not there", func(t *testing.T) {
		h := login(t)
		if r := h.sense(99); r.Key() != illegal || r.Code() != noSuchLU {
			t.Errorf("sense %x/%04x", r.Key(), r.Code())
		}
	})
	for _, c := range []struct {
		name string
		cmd  initiator.Command
	}{
		{"WRITE(10)", initiator.Command{CDB: write10(free, 1), Out: fill(1, 0x77)}},
		{"WRITE(16)", initiator.Command{CDB: cdb16(0x8a, 0, free, 1), Out: fill(1, 0x77)}},
		{"WRITE AND VERIFY(10)", initiator.Command{CDB: cdb10(0x2e, 0, free, 1), Out: fill(1, 0x77)}},
		{"WRITE SAME(16)", initiator.Command{CDB: cdb16(0x93, 0, free, 1), Out: fill(1, 0x77)}},
		{"COMPARE AND WRITE", initiator.Command{CDB: caw(free, 1), Out: append(fill(1, 0x33), fill(1, 0x77)...)}},
		{"WRITE ATOMIC(16)", initiator.Command{CDB: atomicWrite(free, 1), Out: fill(1, 0x77)}},
		{"ORWRITE(16)", initiator.Command{CDB: cdb16(0x8b, 0, free, 1), Out: fill(1, 0x77)}},
		{"UNMAP", initiator.Command{CDB: unmapCDB(24), Out: unmapList(free, 1)}},
	} {
		run(t, "a read-only LUN refuses "+c.name, func(t *testing.T) {
			h := login(t)
			h.write(lunMem, free, 1, 0x33)
			cmd := c.cmd
			cmd.LUN = lunRO
			h.fails(h.do(&cmd), protect, 0x2700)
			h.holds(lunRO, free, 1, 0x33)
		})
	}
	run(t, "a read-only LUN says so in MODE SENSE", func(t *testing.T) {
		h := login(t)
		for lun, want := range map[uint16]byte{lunRO: 0x80, lunMem: 0} {
			r := h.in(lun, []byte{0x1a, 8, 0x3f, 0, 255, 0}, 255)
			h.good(r)
			if r.Data[2]&0x80 != want {
				t.Errorf("LUN %d: device-specific parameter %02x", lun, r.Data[2])
			}
		}
	})
}

func caw(lba uint64, n byte) []byte {
	b := cdb16(0x89, 0, lba, 0)
	b[13] = n
	return b
}

func atomicWrite(lba uint64, n uint16) []byte {
	b := cdb16(0x9c, 0, lba, 0)
	binary.BigEndian.PutUint16(b[12:], n)
	return b
}

func unmapCDB(n int) []byte { return []byte{0x42, 0, 0, 0, 0, 0, 0, byte(n >> 8), byte(n), 0} }

// unmapList is a parameter list with pairs of first block and number of blocks.
func unmapList(pairs ...uint64) []byte {
	n := len(pairs) / 2
	b := make([]byte, 8+16*n)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	binary.BigEndian.PutUint16(b[2:], uint16(16*n))
	for i := range n {
		binary.BigEndian.PutUint64(b[8+16*i:], pairs[2*i])
		binary.BigEndian.PutUint32(b[16+16*i:], uint32(pairs[2*i+1]))
	}
	return b
}
