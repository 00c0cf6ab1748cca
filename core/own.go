package core

import (
	"encoding/binary"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// ownRow is a command that the core answers for every device type.
type ownRow struct {
	Row
	run func(*Unit, *Command) error
}

// The core's own commands. They are copied into each unit's table, since a row
// belongs to one table.
var own = []ownRow{
	{Row{Code: 0x03, Action: NoAction, Name: "REQUEST SENSE", Dir: scsi.In, Len: Bytes(4, 1),
		Gate:  PastUA | PastReserve | InStandby | InUnavail | Inline | NoLU | WhileBusy,
		Usage: "\x03\x01\x00\x00\xff\x00", Timeout: 10}, (*Unit).requestSense},
	{Row{Code: 0xa0, Action: NoAction, Name: "REPORT LUNS", Dir: scsi.In, Len: Bytes(6, 4),
		Gate:  PastUA | PastReserve | InStandby | InUnavail | Inline | NoLU | WhileBusy,
		Usage: "\xa0\x00\xff\x00\x00\x00\xff\xff\xff\xff\x00\x00", Timeout: 10}, (*Unit).reportLUNs},
	{Row{Code: 0xa3, Action: 0x0c, Name: "REPORT SUPPORTED OPERATION CODES", Dir: scsi.In, Len: Bytes(6, 4),
		Gate:  PastReserve | InStandby | Inline | WhileBusy,
		Usage: "\xa3\x0c\x87\xff\xff\xff\xff\xff\xff\xff\x00\x00", Timeout: 10}, (*Unit).reportOpcodes},
	{Row{Code: 0xa3, Action: 0x0d, Name: "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", Dir: scsi.In, Len: Bytes(6, 4),
		Gate:  PastReserve | InStandby | Inline | WhileBusy,
		Usage: "\xa3\x0d\x80\x00\x00\x00\xff\xff\xff\xff\x00\x00", Timeout: 10}, (*Unit).reportTMF},
}

func (u *Unit) ownRows() []*Row {
	rows := make([]*Row, len(own))
	for i := range own {
		r := own[i].Row
		run := own[i].run
		r.run = func(c *Command) error { return run(u, c) }
		rows[i] = &r
	}
	return rows
}

// requestSense returns the first unit attention that waits, else what the handler
// says of its state (SPC-6, 6.44). Sense data is parameter data here, so the status
// is GOOD.
func (u *Unit) requestSense(c *Command) error {
	e := sense.New(sense.NoSense, sense.NoAdditionalSense)
	if u == noUnit {
		e = sense.ErrNoUnit
	} else if ua := c.Path.takeUA(true); ua != nil {
		e = ua
	} else if p, ok := As[PollSenser](u.h); ok {
		if s := p.PollSense(); s != nil {
			e = s
		}
	}
	return c.Reply(e.Append(nil, c.CDB[1]&1 != 0))
}

// reportLUNs lists the nexus's LUNs (SPC-6, 6.33). LUN 0 is always listed, mapped or
// not: initiators begin there.
func (u *Unit) reportLUNs(c *Command) error {
	var list []scsi.LUN
	switch sel := c.CDB[2]; sel {
	case 0x00, 0x02, 0x11: // 11h: administrative; we have none, so the plain list
		for _, p := range c.Path.nexus.Paths() {
			list = append(list, p.LUN)
		}
		if len(list) == 0 || list[0] != 0 {
			list = append([]scsi.LUN{0}, list...)
		}
	case 0x01, 0x10, 0x12: // well known, administrative, subsidiary: none
	default:
		return sense.FieldBit(2, 7)
	}
	if binary.BigEndian.Uint32(c.CDB[6:]) < 16 {
		return sense.FieldBit(6, 7) // SPC-4: shall not be less than 16
	}
	for _, p := range c.Path.nexus.Paths() {
		p.dropUA(sense.ReportedLUNsDataHasChanged)
	}
	b := make([]byte, 8+8*len(list))
	binary.BigEndian.PutUint32(b, uint32(8*len(list)))
	for i, l := range list {
		l.Put(b[8+8*i:])
	}
	return c.Reply(b)
}

// reportOpcodes answers from the unit's rows and from nothing else (SPC-6, 6.31).
func (u *Unit) reportOpcodes(c *Command) error {
	const rctd = 0x80
	timeouts := c.CDB[2]&rctd != 0
	code, act := c.CDB[3], int16(binary.BigEndian.Uint16(c.CDB[4:]))
	switch opt := c.CDB[2] & 7; opt {
	case 0:
		var list []byte
		for _, r := range u.Rows() {
			list = r.appendDescriptor(list, timeouts)
		}
		b := binary.BigEndian.AppendUint32(nil, uint32(len(list)))
		return c.Reply(append(b, list...))
	case 1, 2, 3:
		r, found, actions := u.table.Find(code, act)
		switch {
		case opt == 1 && found && actions:
			return sense.FieldBit(2, 2) // needs a service action
		case opt == 2 && found && !actions:
			return sense.FieldBit(2, 2) // has none
		case opt == 3 && found && !actions && act != 0:
			r = nil
		}
		return c.Reply(r.appendOne(timeouts))
	default:
		return sense.FieldBit(2, 2)
	}
}

func (r *Row) timeoutDescriptor(b []byte) []byte {
	b = append(b, 0x00, 0x0a, 0, 0)
	b = binary.BigEndian.AppendUint32(b, 0) // NOMINAL: not specified
	return binary.BigEndian.AppendUint32(b, r.Timeout)
}

// appendDescriptor is a command descriptor of the all_commands format.
func (r *Row) appendDescriptor(b []byte, timeouts bool) []byte {
	var flags byte
	act := uint16(0)
	if r.Action != NoAction {
		flags |= 0x01 // SERVACTV
		act = uint16(r.Action)
	}
	if timeouts {
		flags |= 0x02 // CTDP
	}
	b = append(b, r.Code, 0)
	b = binary.BigEndian.AppendUint16(b, act)
	b = append(b, 0, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Usage)))
	if timeouts {
		b = r.timeoutDescriptor(b)
	}
	return b
}

// appendOne is the one_command format; r nil is "not supported".
func (r *Row) appendOne(timeouts bool) []byte {
	if r == nil {
		return []byte{0, 0x01, 0, 0}
	}
	b := []byte{0, 0x03} // supported in conformance with a standard
	if timeouts {
		b[1] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Usage)))
	b = append(b, r.Usage...)
	if timeouts {
		b = r.timeoutDescriptor(b)
	}
	return b
}

// reportTMF names the task management functions (SPC-6, 6.32).
func (u *Unit) reportTMF(c *Command) error {
	b := []byte{
		0x80 | 0x40 | 0x20 | 0x10 | 0x08 | 0x04, // ATS ATSS CACAS CTSS LURS QTS
		0x04 | 0x02 | 0x01,                      // QAES QTSS ITNRS
		0, 0,
	}
	if c.CDB[2]&0x80 != 0 { // REPD: with timeouts
		b[3] = 0x0c
		b = append(b, 0, 0, 0, 1) // TMFTMOV
		b = binary.BigEndian.AppendUint32(b, 300)
		b = binary.BigEndian.AppendUint32(b, 150)
	}
	return c.Reply(b)
}

// noUnit answers at every LUN where nothing is mapped: INQUIRY with "no device
// here", REPORT LUNS, REQUEST SENSE (SPC-6, 6.7.2 and SAM-6, 4.8.4).
var noUnit *Unit

func init() {
	var err error
	if noUnit, err = NewUnit("none", noHandler{}, UnitOptions{}); err != nil {
		panic(err)
	}
}

type noHandler struct{}

func (noHandler) Profile() Profile {
	return Profile{Type: scsi.NoDevice, Rows: []*Row{{
		Code: 0x12, Action: NoAction, Name: "INQUIRY", Dir: scsi.In, Len: Bytes(3, 2),
		Gate:  PastUA | PastReserve | InStandby | InUnavail | Inline | NoLU | WhileBusy,
		Usage: "\x12\x01\xff\xff\xff\x00", Timeout: 10}}}
}

func (noHandler) Attach(Host) error { return nil }
func (noHandler) Close() error      { return nil }

func (noHandler) Execute(c *Command) error {
	if c.CDB[1]&1 != 0 {
		return sense.FieldBit(1, 0)
	}
	if c.CDB[2] != 0 {
		return sense.FieldBit(2, 7) // a page code without EVPD
	}
	b := make([]byte, 36)
	b[0] = 0x7f // peripheral qualifier 011b: no logical unit can be here
	b[2], b[3], b[4] = scsi.VersionSPC4, 0x02, 31
	copy(b[8:], "TARGATE No device here   0001")
	return c.Reply(b)
}
