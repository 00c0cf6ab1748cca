package ssc

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/personality"
)

// vpdPages are the VPD pages of a drive beyond those of every device (SSC-5, 8.6), and the
// vendor specific ones of its model.
func (d *Drive) vpdPages() []spc.VPDPage {
	pages := []spc.VPDPage{
		{Code: 0xb0, Append: d.capabilitiesVPD},
		{Code: 0xb1, Append: func(b []byte, _ *core.Command) []byte { return append(b, d.cfg.Identity.Serial...) }},
		{Code: 0xb2, Append: func(b []byte, _ *core.Command) []byte { return binary.BigEndian.AppendUint64(b, supportedAlerts) }},
	}
	if len(d.model.Protection) > 0 {
		pages = append(pages, spc.VPDPage{Code: 0xb5, Append: d.protectionVPD})
	}
	for _, code := range slices.Sorted(maps.Keys(d.model.VPD)) {
		page := d.model.VPD[code]
		pages = append(pages, spc.VPDPage{Code: code, Append: func(b []byte, _ *core.Command) []byte { return page.Append(b, d.facts()) }})
	}
	return pages
}

// imitation is what the model says otherwise than the standard data. Drives older than SPC-3 have none of the
// pages that came with it.
func (d *Drive) imitation() *spc.Imitation {
	im := &spc.Imitation{Version: d.model.Version, Tail: d.model.InquiryTail.Append(nil, d.facts()), ProductInT10: true}
	if d.model.Version < 5 {
		im.NoVPD = []uint8{0x86, 0x87, 0x88}
	}
	return im
}

func (d *Drive) facts() personality.Facts {
	id := d.cfg.Identity
	return personality.Facts{Serial: id.Serial, Vendor: id.Vendor, Product: id.Product, Revision: id.Revision}
}

// capabilitiesVPD is page B0h: whether some WORM medium can be used, and whether TapeAlert flags are as
// SSC-5 has them.
func (d *Drive) capabilitiesVPD(b []byte, _ *core.Command) []byte {
	const (
		worm = 0x01
		tsmc = 0x02 // TapeAlert state can be read without a change of it: log page 12h
	)
	p := []byte{0, 0}
	if slices.ContainsFunc(d.model.Supports, func(s personality.Support) bool { return s.WORM }) {
		p[0] = worm
	}
	if len(d.model.LogPages) == 0 || slices.Contains(d.model.LogPages, 0x12) {
		p[0] |= tsmc
	}
	return append(b, p...)
}

// protectionVPD is page B5h: the methods of logical block protection, none first.
func (d *Drive) protectionVPD(b []byte, _ *core.Command) []byte {
	const rest = 7 // of a descriptor
	b = append(b, rest, guardNone, 0, 0, 0, 0, 0, 0)
	for _, method := range d.model.Protection {
		b = append(b, rest, method, guardLen, lbpW|lbpR, 0, 0, 0, 0)
	}
	return b
}

// logPages are the log pages of a drive. They report Drive.stats, and what the loaded medium says of
// itself (Drive.look).
func (d *Drive) logPages() []spc.LogPage { return d.driveLogs() }

// extraModePages are mode pages beyond those of modes.go: of logical block protection, and vendor
// specific ones of the model.
func (d *Drive) extraModePages() []spc.ModePage {
	var list []spc.ModePage
	if len(d.model.Protection) > 0 {
		list = append(list, d.guardPage())
	}
	for _, name := range slices.Sorted(maps.Keys(d.model.ModePages)) {
		list = append(list, d.vendorPage(name))
	}
	return list
}

// vendorPage is the vendor specific mode page of the model that is called name, "25" or "25/01". Its fields
// cannot be changed; those that tell of the medium are as it is.
func (d *Drive) vendorPage(name string) spc.ModePage {
	body := d.model.ModePages[name]
	code, sub, _ := personality.ModePage(name) // the data file was checked
	var page []byte
	if sub == 0 {
		page = append([]byte{code, byte(len(body))}, body...)
	} else {
		page = binary.BigEndian.AppendUint16([]byte{code | 0x40, sub}, uint16(len(body)))
		page = append(page, body...)
	}
	p := spc.ModePage{Default: page}
	if code == mediumSense && sub == 0 {
		p.Changeable, p.Live = make([]byte, len(page)), d.mediumSense
		if len(page) > senseScale {
			p.Changeable[senseScale] = senseSet
		}
	}
	return p
}

// mediumSense is the page Medium Sense of IBM's 3592 drives, where LTFS looks for write protection, and
// scales a medium to all of its capacity, which it always has here.
const (
	mediumSense = 0x23

	senseFlags    = 10 // bytes of the page
	senseScale    = 11 // the scale is in the next byte: 0 is all
	sensePhysical = 0x80
	senseSet      = 0x01
)

func (d *Drive) mediumSense(page []byte) {
	if len(page) <= senseScale {
		return
	}
	page[senseScale] &^= senseSet
	d.look(func(m *mount) {
		if m != nil && m.readOnly {
			page[senseFlags] |= sensePhysical
		}
	})
}
