package spc

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/targate/targate/core/sense"
)

// ModePage is a mode page as data. Its bytes are numbered as in the standard: byte 0
// holds PAGE CODE, and SPF for a subpage.
type ModePage struct {
	// Default is the whole page at its default values, header included, with PS 0.
	Default []byte
	// Changeable has a 1 for each bit that MODE SELECT may change, and is as long as
	// Default; its header bytes are ignored. nil: none.
	Changeable []byte
	// Check refuses values that the mask allows: the error is a sense.Param or
	// sense.ParamBit whose byte is counted from the start of the page. It is called
	// before anything changes. nil: all are taken.
	Check func(page []byte) error
	// Apply makes the page's values effective: after a MODE SELECT that changed them,
	// and once when the device is attached. It must not keep page, and is never
	// called twice at a time. May be nil.
	Apply func(page []byte)
	// Live, when set, writes what has changed otherwise than by MODE SELECT of this page, by the device
	// itself or by another page, into a copy of the values: what there is now.
	Live func(page []byte)
	// Least is the length of the shortest form of the page, header included, that MODE SELECT
	// takes: what is left out keeps its values. 0: only the whole page.
	Least int
}

// Bits of the first byte of a mode page (SPC-6, 7.5.7).
const (
	ps           = 0x80 // parameters saveable
	spf          = 0x40 // subpage format
	pageCodeMask = 0x3f

	allPages    = 0x3f // page code
	allSubpages = 0xff
)

func (p *ModePage) code() uint8 { return p.Default[0] & pageCodeMask }

func (p *ModePage) sub() uint8 {
	if p.Default[0]&spf == 0 {
		return 0
	}
	return p.Default[1]
}

// headerLen is the length of the header of a page that begins with b0.
func headerLen(b0 byte) int {
	if b0&spf != 0 {
		return 4
	}
	return 2
}

// pageLen is the length of the whole page that begins with the header b.
func pageLen(b []byte) int {
	if b[0]&spf != 0 {
		return 4 + int(binary.BigEndian.Uint16(b[2:]))
	}
	return 2 + int(b[1])
}

// check finds a page that contradicts itself.
func (p *ModePage) check() error {
	b := p.Default
	switch {
	case len(b) < 2 || len(b) < headerLen(b[0]):
		return fmt.Errorf("a mode page of %d bytes", len(b))
	case pageLen(b) != len(b):
		return fmt.Errorf("mode page %s says %d bytes and has %d", p, pageLen(b), len(b))
	case b[0]&ps != 0:
		return fmt.Errorf("mode page %s sets PS itself", p)
	case p.code() == allPages || p.sub() == allSubpages:
		return fmt.Errorf("mode page %s is a wildcard", p)
	case p.Changeable != nil && len(p.Changeable) != len(b):
		return fmt.Errorf("mode page %s has a mask of %d bytes", p, len(p.Changeable))
	}
	return nil
}

func (p *ModePage) String() string { return fmt.Sprintf("%02Xh/%02Xh", p.code(), p.sub()) }

// changeable is the mask of byte i, none in the header.
func (p *ModePage) changeable(i int) byte {
	if p.Changeable == nil || i < headerLen(p.Default[0]) {
		return 0
	}
	return p.Changeable[i]
}

// saveable says whether the page has anything that a save would keep.
func (p *ModePage) saveable() bool {
	for i := range p.Default {
		if p.changeable(i) != 0 {
			return true
		}
	}
	return false
}

// live is values, of the page, as they are now. They are not changed.
func (p *ModePage) live(values []byte) []byte {
	if p.Live == nil {
		return values
	}
	b := bytes.Clone(values)
	p.Live(b)
	return b
}

// steady is live for values that are not the current ones: what MODE SELECT can change stays.
func (p *ModePage) steady(values []byte) []byte {
	b := p.live(values)
	if p.Live != nil {
		for i := range b {
			m := p.changeable(i)
			b[i] = b[i]&^m | values[i]&m
		}
	}
	return b
}

// merge gives the changeable bits of from to a copy of the default values.
func (p *ModePage) merge(from []byte) []byte {
	b := bytes.Clone(p.Default)
	for i := range b {
		m := p.changeable(i)
		b[i] = b[i]&^m | from[i]&m
	}
	return b
}

// modeTable is the values of all mode pages, in the order of Device.pages. A
// published table is never changed.
type modeTable struct {
	current, saved [][]byte
}

// setModes joins the pages that every device has with those of its type, in the
// order in which MODE SENSE returns them: ascending, but page 00h last
// (SPC-6, 6.14.1).
func (d *Device) setModes(own []ModePage) error {
	d.pages = append(d.controlPages(), own...)
	for i := range d.pages {
		if err := d.pages[i].check(); err != nil {
			return err
		}
	}
	slices.SortFunc(d.pages, func(a, b ModePage) int {
		return cmp.Or(cmp.Compare(a.code()-1, b.code()-1), cmp.Compare(a.sub(), b.sub())) // 00h wraps to the end
	})
	t := &modeTable{}
	for i := range d.pages {
		p := &d.pages[i]
		if i > 0 && d.pages[i-1].code() == p.code() && d.pages[i-1].sub() == p.sub() {
			return fmt.Errorf("mode page %s is declared twice", p)
		}
		t.current = append(t.current, p.Default)
	}
	t.saved = slices.Clone(t.current)
	d.modes.Store(t)
	return nil
}

// findMode is the index of a mode page, -1 when there is none.
func (d *Device) findMode(code, sub uint8) int {
	return slices.IndexFunc(d.pages, func(p ModePage) bool { return p.code() == code && p.sub() == sub })
}

// live are the values of all pages now: those of t, but for what changes by itself.
func (d *Device) live(t *modeTable) [][]byte {
	values := slices.Clone(t.current)
	for i := range values {
		values[i] = d.pages[i].live(values[i])
	}
	return values
}

// Mode returns a copy of the current values of a mode page, nil when the device does
// not have it.
func (d *Device) Mode(code, sub uint8) []byte {
	if i := d.findMode(code, sub); i >= 0 {
		return bytes.Clone(d.pages[i].live(d.modes.Load().current[i]))
	}
	return nil
}

// Bits of the Control mode page (SPC-6, 7.5.9).
const (
	tst      = 0xe0 // byte 2
	tstNexus = 0x20 // each I_T nexus has a task set
	dpicz    = 0x08 // byte 2: no checks where the PROTECT field is zero
	dSense   = 0x04 // byte 2
	gltsd    = 0x02 // byte 2: log parameters are not saved
	qam      = 0xf0 // byte 3
	qam1     = 0x10 // SIMPLE commands may be reordered without restriction
	qErr     = 0x06 // byte 3
	uaIntlck = 0x30 // byte 4
	swp      = 0x08 // byte 4
	ato      = 0x80 // byte 5: the application tag is the application's
	tas      = 0x40 // byte 5
)

// controlPages are Control and Control Extension. What the core does not act on is not
// changeable.
func (d *Device) controlPages() []ModePage {
	control := ModePage{
		Default: []byte{0x0a, 10, gltsd, qam1, 0, 0, 0, 0,
			0xff, 0xff, // BUSY TIMEOUT PERIOD: unlimited
			0, 0}, // no extended self-test
		Changeable: []byte{0, 0, tst | dSense, qam | qErr, uaIntlck, tas, 0, 0, 0, 0, 0, 0},
		Check:      checkControl,
		Apply: func(b []byte) {
			d.control.DSense.Store(b[2]&dSense != 0)
			d.control.SWP.Store(b[4]&swp != 0)
			d.control.TAS.Store(b[5]&tas != 0)
			d.control.QErr.Store(uint32(b[3]&qErr) >> 1)
			d.control.Interlock.Store(uint32(b[4]&uaIntlck) >> 4)
			d.control.SetOrder(b[2]&tst == tstNexus, b[3]&qam == 0)
			if pi := d.cfg.Protection; pi != nil {
				pi.Apply(b[5]&ato != 0, b[2]&dpicz != 0)
			}
		},
	}
	if d.cfg.Protection != nil {
		control.Changeable[2] |= dpicz
		control.Changeable[5] |= ato
	}
	if d.cfg.CanProtect {
		control.Changeable[4] |= swp
	}
	extension := make([]byte, 32)
	extension[0], extension[1], extension[3] = 0x0a|spf, 0x01, 28
	return []ModePage{control, {Default: extension}}
}

// checkControl refuses the reserved values of the Control mode page.
func checkControl(b []byte) error {
	switch {
	case b[2]&tst > tstNexus:
		return sense.ParamBit(2, 7)
	case b[3]&qam > qam1:
		return sense.ParamBit(3, 7)
	case b[3]&qErr == 0x04:
		return sense.ParamBit(3, 2)
	case b[4]&uaIntlck == 0x10:
		return sense.ParamBit(4, 5)
	}
	return nil
}
