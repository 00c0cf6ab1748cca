package spc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Lengths of block descriptors (SPC-6, 7.5.6; SBC-4, 6.5.2).
const (
	shortDescriptor = 8
	longDescriptor  = 16
)

// modeSelect6 is MODE SELECT(6) (SPC-6, 6.12).
func (d *Device) modeSelect6(c *core.Command) error {
	return d.modeSelect(c, 4, func(b []byte) (Header, int, bool) {
		return Header{MediumType: b[1], Specific: b[2]}, int(b[3]), false
	})
}

// modeSelect10 is MODE SELECT(10) (SPC-6, 6.13).
func (d *Device) modeSelect10(c *core.Command) error {
	return d.modeSelect(c, 8, func(b []byte) (Header, int, bool) {
		return Header{MediumType: b[2], Specific: b[3]}, int(binary.BigEndian.Uint16(b[6:])), b[4]&longLBA != 0
	})
}

// modeChange is what a MODE SELECT is about to do. Nothing of the device changes
// before all of the parameter list has been found good.
type modeChange struct {
	before [][]byte // the values of all pages, in the order of Device.pages
	values [][]byte // as they will be
	header func()   // nil: nothing
}

// modeSelect reads the parameter list, of which parse decodes the first n bytes.
func (d *Device) modeSelect(c *core.Command, n int, parse func([]byte) (h Header, descriptors int, long bool)) error {
	d.selecting.Lock()
	defer d.selecting.Unlock()
	if c.CDB[1]&sp != 0 && d.host.State() == nil {
		return sense.FieldBit(1, 0)
	}
	list, before := c.Out, d.live(d.modes.Load())
	switch {
	case len(list) < c.OutLen:
		return sense.ErrParamLength // the initiator sent less than it announced
	case c.CDB[1]&rtd != 0 && len(list) > 0:
		return sense.FieldBit(int(c.Row.Len.Off), 7)
	case c.CDB[1]&rtd != 0:
		return d.commit(c, modeChange{before: before, values: d.defaults()})
	case len(list) == 0: // not an error (SPC-6, 6.12)
		return d.commit(c, modeChange{before: before, values: before})
	case len(list) < n:
		return sense.ErrParamLength
	}
	h, length, long := parse(list)
	h.At = n
	want := shortDescriptor
	if long {
		want = longDescriptor
	}
	switch {
	case length != 0 && length != want:
		return sense.Param(n - 1)
	case len(list) < n+length:
		return sense.ErrParamLength
	}
	h.Block = list[n : n+length]
	change := modeChange{before: before}
	var err error
	if change.header, err = d.selectHeader(c, h); err != nil {
		return err
	}
	if change.values, err = d.selectPages(c, n+length, before); err != nil {
		return err
	}
	return d.commit(c, change)
}

// selectHeader hands the mode parameter header and block descriptor to the device.
func (d *Device) selectHeader(c *core.Command, h Header) (func(), error) {
	if d.cfg.SetHeader != nil {
		return d.cfg.SetHeader(c, h)
	}
	return nil, d.sameHeader(c, h)
}

// sameHeader refuses a header that would change anything. The DEVICE-SPECIFIC
// PARAMETER is only reported. NUMBER OF LOGICAL BLOCKS may be zero or all ones,
// which mean the capacity that there is (SBC-4, 6.5.2).
func (d *Device) sameHeader(c *core.Command, h Header) error {
	var now Header
	if d.cfg.Header != nil {
		now = d.cfg.Header(c, len(h.Block) == longDescriptor)
	}
	if h.MediumType != now.MediumType && h.MediumType != 0 {
		return sense.Param(h.At / 4) // byte 1 of the 4, byte 2 of the 8
	}
	if len(h.Block) == 0 {
		return nil
	}
	if len(h.Block) != len(now.Block) {
		return sense.Param(h.At - 1)
	}
	half := len(h.Block) / 2
	number := h.Block[:half]
	if !bytes.Equal(number, now.Block[:half]) && !all(number, 0x00) && !all(number, 0xff) {
		return sense.ParamBit(h.At, 7)
	}
	for i := half; i < len(h.Block); i++ {
		if diff := h.Block[i] ^ now.Block[i]; diff != 0 {
			return sense.ParamBit(h.At+i, uint8(bits.Len8(diff)-1))
		}
	}
	return nil
}

func all(b []byte, v byte) bool {
	return !slices.ContainsFunc(b, func(x byte) bool { return x != v })
}

// selectPages checks the pages of c's parameter list, which begin at off, and
// returns the values of all pages as they would be.
func (d *Device) selectPages(c *core.Command, off int, before [][]byte) ([][]byte, error) {
	list := c.Out
	values := slices.Clone(before)
	if off < len(list) && c.CDB[1]&pf == 0 {
		return nil, sense.FieldBit(1, 4) // the vendor specific format of SCSI-1: we have none
	}
	for off < len(list) {
		b := list[off:]
		if len(b) < 2 || len(b) < headerLen(b[0]) {
			return nil, sense.ErrParamLength
		}
		if err := d.selectPage(b, values); err != nil {
			return nil, shift(err, off)
		}
		off += pageLen(b)
	}
	return values, nil
}

// selectPage checks the page at the start of b against values, and puts it in. An
// error's byte is counted from the start of b.
func (d *Device) selectPage(b []byte, values [][]byte) error {
	code, sub, lengthAt := b[0]&pageCodeMask, uint8(0), 1
	if b[0]&spf != 0 {
		sub, lengthAt = b[1], 2
	}
	i := d.findMode(code, sub)
	switch {
	case i < 0 && slices.ContainsFunc(d.pages, func(p ModePage) bool { return p.code() == code }):
		return sense.Param(1)
	case i < 0:
		return sense.ParamBit(0, 5)
	}
	p := &d.pages[i]
	switch {
	case b[0]&spf != p.Default[0]&spf:
		return sense.ParamBit(0, 6)
	case pageLen(b) != len(p.Default) && (p.Least == 0 || pageLen(b) < p.Least || pageLen(b) > len(p.Default)):
		return sense.Param(lengthAt)
	case len(b) < pageLen(b):
		return sense.ErrParamLength
	}
	if n := pageLen(b); n < len(p.Default) {
		b = append(bytes.Clone(b[:n]), values[i][n:]...)
	}
	for j := headerLen(b[0]); j < len(p.Default); j++ {
		if bad := (b[j] ^ values[i][j]) &^ p.changeable(j); bad != 0 {
			return sense.ParamBit(j, uint8(bits.Len8(bad)-1))
		}
	}
	page := p.merge(b)
	if p.Check != nil {
		if err := p.Check(page); err != nil {
			return err
		}
	}
	values[i] = page
	return nil
}

// shift moves the field pointer of an error in a page to that of the parameter list.
func shift(err error, off int) error {
	var e *sense.Error
	if !errors.As(err, &e) || !e.InData {
		return err
	}
	s := *e
	s.Field += uint16(off)
	return &s
}

func (d *Device) defaults() [][]byte {
	values := make([][]byte, len(d.pages))
	for i := range d.pages {
		values[i] = d.pages[i].Default
	}
	return values
}

// commit saves what SP asks to save, makes ch effective and tells the other
// nexuses. The caller holds d.selecting.
func (d *Device) commit(c *core.Command, ch modeChange) error {
	t := &modeTable{current: ch.values, saved: d.modes.Load().saved}
	if c.CDB[1]&sp != 0 {
		t.saved = ch.values
		if err := d.saveModes(ch.values); err != nil {
			return sense.Hardware(err)
		}
	}
	d.modes.Store(t)
	changed := false
	for i := range d.pages {
		if bytes.Equal(ch.before[i], t.current[i]) {
			continue
		}
		changed = true
		if apply := d.pages[i].Apply; apply != nil {
			apply(t.current[i])
		}
	}
	if ch.header != nil {
		ch.header()
		changed = true
	}
	if changed {
		d.host.Raise(sense.New(sense.UnitAttention, sense.ModeParametersChanged), c.Path)
	}
	return nil
}
