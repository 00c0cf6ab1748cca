package spc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Bits of the MODE SENSE and MODE SELECT CDBs and parameter lists.
const (
	dbd     = 0x08 // byte 1: no block descriptors
	llbaa   = 0x10 // byte 1 of MODE SENSE(10): long ones are accepted
	pf      = 0x10 // byte 1: the parameter list is made of pages
	rtd     = 0x02 // byte 1: revert to defaults
	sp      = 0x01 // byte 1: save pages
	longLBA = 0x01 // byte 4 of the mode parameter header(10)
)

// Page control (SPC-6, table 179).
const (
	pcCurrent = iota
	pcChangeable
	pcDefault
	pcSaved
)

// modeSense6 is MODE SENSE(6) (SPC-6, 6.14).
func (d *Device) modeSense6(c *core.Command) error {
	h := d.modeHeader(c, false)
	b := append([]byte{0, h.MediumType, h.Specific, byte(len(h.Block))}, h.Block...)
	b, err := d.appendModes(b, c)
	if err != nil {
		return err
	}
	b[0] = byte(min(len(b)-1, 0xff)) // more than fits can only be asked for by MODE SENSE(10)
	return c.Reply(b[:min(len(b), 0xff+1)])
}

// modeSense10 is MODE SENSE(10) (SPC-6, 6.15).
func (d *Device) modeSense10(c *core.Command) error {
	h := d.modeHeader(c, c.CDB[1]&llbaa != 0)
	var long byte
	if len(h.Block) == longDescriptor {
		long = longLBA
	}
	b := []byte{0, 0, h.MediumType, h.Specific, long, 0, 0, byte(len(h.Block))}
	b, err := d.appendModes(append(b, h.Block...), c)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return c.Reply(b)
}

// modeHeader is what the device says of itself to c, without the block descriptor
// when that is not wanted.
func (d *Device) modeHeader(c *core.Command, long bool) Header {
	var h Header
	if d.cfg.Header != nil {
		h = d.cfg.Header(c, long)
	}
	if c.CDB[1]&dbd != 0 {
		h.Block = nil
	}
	return h
}

// appendModes adds the pages that the CDB of a MODE SENSE asks for.
func (d *Device) appendModes(b []byte, c *core.Command) ([]byte, error) {
	pc, code, sub := c.CDB[2]>>6, c.CDB[2]&pageCodeMask, c.CDB[3]
	saving := d.host.State() != nil
	if pc == pcSaved && !saving {
		return nil, sense.ErrSaving
	}
	t := d.modes.Load()
	found, known := false, code == allPages
	if d.cfg.NoPageZero && code == 0 && sub == 0 {
		return b, nil
	}
	for i := range d.pages {
		p := &d.pages[i]
		if code != allPages && p.code() != code {
			continue
		}
		known = true
		if sub != p.sub() && sub != allSubpages {
			continue
		}
		found = true
		start := len(b)
		switch pc {
		case pcCurrent:
			b = append(b, p.live(t.current[i])...)
		case pcDefault:
			b = append(b, p.steady(p.Default)...)
		case pcSaved:
			b = append(b, p.steady(t.saved[i])...)
		case pcChangeable:
			b = append(b, p.Default...)
			for j := headerLen(p.Default[0]); j < len(p.Default); j++ {
				b[start+j] = p.changeable(j)
			}
		}
		if saving && p.saveable() {
			b[start] |= ps
		}
	}
	switch {
	case !known:
		return nil, sense.FieldBit(2, 5)
	case !found, code == allPages && sub != 0 && sub != allSubpages:
		return nil, sense.FieldBit(3, 7)
	}
	return b, nil
}
