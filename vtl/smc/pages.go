package smc

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
)

// primary is what the changer says of itself to the primary commands.
func (ch *Changer) primary() spc.Config {
	m, id := ch.model, ch.lib.Identity()
	facts := personality.Facts{Serial: id.Serial, Vendor: id.Vendor, Product: id.Product, Revision: id.Revision,
		Slot: fmt.Sprintf("%04x", m.Slot)}
	im := &spc.Imitation{Version: m.Version, Tail: m.InquiryTail.Append(nil, facts), ProductInT10: true}
	if m.NoDeviceID {
		im.NoVPD = append(im.NoVPD, 0x83)
	}
	var vpd []spc.VPDPage
	for code, t := range m.VPD {
		im.NoVPD = append(im.NoVPD, code)
		page := t.Append(nil, facts)
		vpd = append(vpd, spc.VPDPage{Code: code, Append: func(b []byte, _ *core.Command) []byte { return append(b, page...) }})
	}
	id.Serial = m.Serial(id.Serial)
	return spc.Config{
		Type:      scsi.MediumChanger,
		Identity:  id,
		Removable: true,
		Versions:  []uint16{spc.SMC3},
		VPD:       vpd,
		Modes:     ch.modePages(),
		Logs:      ch.logPages(),
		SelfTest:  func(c *core.Command) error { return ch.lib.SelfTest(c) },
		Imitation: im,
	}
}

// modePages are the mode pages of a changer.
func (ch *Changer) modePages() []spc.ModePage {
	// Disconnect-Reconnect: no limits.
	reconnect := make([]byte, 16)
	reconnect[0], reconnect[1] = 0x02, 14

	// Power Condition: no timers.
	power := make([]byte, 12)
	power[0], power[1] = 0x1a, 10

	// Informational Exceptions Control: TapeAlert flags are for LOG SENSE to read, no command ends
	// otherwise for them (MRIE 0h).
	exceptions := make([]byte, 12)
	exceptions[0], exceptions[1] = 0x1c, 10

	// Element Address Assignment (SMC-3, 7.3.4): the addresses are the model's.
	assignment := make([]byte, 20)
	assignment[0], assignment[1] = 0x1d, 18

	// Transport Geometry Parameters (SMC-3, 7.3.5): no picker can turn a cartridge.
	geometry := []byte{0x1e, byte(2 * ch.model.Pickers)}
	for i := range ch.model.Pickers {
		geometry = append(geometry, 0, byte(i))
	}

	// Device Capabilities (SMC-3, 7.3.3).
	capabilities := make([]byte, 20)
	capabilities[0], capabilities[1] = 0x1f, 18

	return []spc.ModePage{
		{Default: reconnect},
		{Default: power},
		{Default: exceptions},
		{Default: assignment, Live: ch.addressAssignment},
		{Default: geometry},
		{Default: capabilities, Live: ch.capabilities},
	}
}

// addressAssignment fills in first address and number of elements by type.
func (ch *Changer) addressAssignment(page []byte) {
	for i, r := range ch.lib.Ranges() {
		binary.BigEndian.PutUint16(page[2+4*i:], r.First)
		binary.BigEndian.PutUint16(page[4+4*i:], uint16(r.Count))
	}
}

// capabilities fills in which element types keep cartridges, and between which they can be moved and
// exchanged. Those of which there are no elements are left out, and so are pickers.
func (ch *Changer) capabilities(page []byte) {
	var stores byte
	for _, r := range ch.lib.Ranges() {
		if r.Count > 0 && r.Type != library.MediumTransport {
			stores |= 1 << (r.Type - 1)
		}
	}
	page[2] = stores
	for t := library.Storage; t <= library.DataTransfer; t++ {
		if bit := t - 1; stores&(1<<bit) != 0 {
			page[4+bit], page[12+bit] = stores, stores
		}
	}
}

// logPages are the log pages of a changer.
func (ch *Changer) logPages() []spc.LogPage {
	return []spc.LogPage{
		{Code: 0x0d, Params: temperature},
		{Code: 0x14, Params: ch.statistics},
		{Code: 0x2e, Params: ch.tapeAlert},
	}
}

// temperature is the Temperature log page (SPC-6, 7.3.22): there is nothing to measure it, and no
// reference.
func temperature(*core.Command) []spc.LogParam {
	return []spc.LogParam{
		{Code: 0, Format: spc.BinaryList, Value: []byte{0, 0xff}},
		{Code: 1, Format: spc.BinaryList, Value: []byte{0, 0xff}},
	}
}

// statistics is the Media Changer Statistics log page (SMC-3, 7.2.4), of what is counted.
func (ch *Changer) statistics(*core.Command) []spc.LogParam {
	s := ch.lib.Status()
	var list []spc.LogParam
	for _, p := range []struct {
		code  uint16
		value uint64
	}{
		{0x00, s.Moves},
		{0x01, s.Moves}, // picks
		{0x03, s.Moves}, // places
		{0x07, s.DoorOpens},
		{0x08, s.MailslotOpens},
		{0x09, s.Scans},
	} {
		list = append(list, spc.LogParam{Code: p.code, Format: spc.UnboundedCounter,
			Value: binary.BigEndian.AppendUint64(nil, p.value)})
	}
	return list
}

// TapeAlert flags of a changer (SMC-3, annex A).
const (
	alertMailslot  = 17 // nothing can go on, since it is open
	alertInventory = 24 // what is in the library is not what should be
)

// tapeAlert is the TapeAlert log page (SMC-3, 7.2.6): all 64 flags.
func (ch *Changer) tapeAlert(*core.Command) []spc.LogParam {
	s := ch.lib.Status()
	var set []uint16
	if s.MailslotOpen {
		set = append(set, alertMailslot)
	}
	if s.Missing > 0 {
		set = append(set, alertInventory)
	}
	list := make([]spc.LogParam, 64)
	for i := range list {
		code := uint16(i + 1)
		list[i] = spc.LogParam{Code: code, Format: spc.BinaryList, Value: []byte{0}}
		if slices.Contains(set, code) {
			list[i].Value[0] = 1
		}
	}
	return list
}
