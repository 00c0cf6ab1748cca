package smc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

// Seconds after which an initiator may give a command up: those that only look, a motion, and an
// inventory of the whole library.
const (
	quick     = 10
	motion    = 600
	inventory = 1800
)

func row(code uint8, name, usage string, dir scsi.Dir, length core.Rule, gate core.Gate, timeout uint32,
	run func(*Changer, *core.Command) error) ops.Op[*Changer] {
	return ops.Op[*Changer]{Row: core.Row{Code: code, Action: core.NoAction, Name: name, Usage: usage,
		Dir: dir, Len: length, Gate: gate, Timeout: timeout}, Run: run}
}

func none(code uint8, name, usage string, gate core.Gate, timeout uint32, run func(*Changer, *core.Command) error) ops.Op[*Changer] {
	return row(code, name, usage, scsi.None, core.Rule{}, gate, timeout, run)
}

// unless is o, which conflicts with no reservation when the CDB has none of mask in byte at, or all
// of it, as set says.
func unless(o ops.Op[*Changer], at int, mask byte, set bool) ops.Op[*Changer] {
	o.PastReserveIf = func(cdb []byte) bool { return cdb[at]&mask != 0 == set }
	return o
}

// rows are the commands of SMC-3, and those that changers had before, in order of opcode. What moves
// something is Serial: an initiator's moves happen in the order in which they were sent.
var rows = []ops.Op[*Changer]{
	none(0x00, "TEST UNIT READY", "\x00\x00\x00\x00\x00\x00", core.PastReserve|core.Inline, quick, (*Changer).testUnitReady),
	none(0x01, "REZERO UNIT", "\x01\x00\x00\x00\x00\x00", core.Serial, motion, (*Changer).rezero),
	none(0x07, "INITIALIZE ELEMENT STATUS", "\x07\x00\x00\x00\x00\x00", core.Serial, inventory, (*Changer).initialize),
	none(0x1b, "OPEN/CLOSE IMPORT/EXPORT ELEMENT", "\x1b\x00\xff\xff\x1f\x00", core.Serial, motion, (*Changer).openClose),
	unless(none(0x1e, "PREVENT ALLOW MEDIUM REMOVAL", "\x1e\x00\x00\x00\x01\x00", core.Inline, quick, (*Changer).preventAllow), 4, 1, false),
	none(0x2b, "POSITION TO ELEMENT", "\x2b\x00\xff\xff\xff\xff\x00\x00\x00\x00", core.Serial, motion, (*Changer).position),
	none(0x37, "INITIALIZE ELEMENT STATUS WITH RANGE", "\x37\x03\xff\xff\x00\x00\xff\xff\x00\x00",
		core.Serial, inventory, (*Changer).initializeRange),
	// Bits 7 and 6 of CONTROL are the vendor's: EEPOS of mtx, how a mailslot goes out and in, of which
	// ours need nothing.
	none(0xa5, "MOVE MEDIUM", "\xa5\x00\xff\xff\xff\xff\xff\xff\x00\x00\x00\xc0", core.Serial, motion, (*Changer).move),
	none(0xa6, "EXCHANGE MEDIUM", "\xa6\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00", core.Serial, motion, (*Changer).exchange),
	row(0xb5, "REQUEST VOLUME ELEMENT ADDRESS", "\xb5\x1f\xff\xff\xff\xff\x00\xff\xff\xff\x00\x00",
		scsi.In, core.Bytes(7, 3), core.ReadsMedium, quick, (*Changer).requestVolumeElementAddress),
	row(0xb6, "SEND VOLUME TAG", "\xb6\x0f\xff\xff\x00\x1f\x00\x00\xff\xff\x00\x00",
		scsi.Out, core.Bytes(8, 2), core.ReadsMedium, quick, (*Changer).sendVolumeTag),
	unless(row(0xb8, "READ ELEMENT STATUS", "\xb8\x1f\xff\xff\xff\xff\x03\xff\xff\xff\x00\x00",
		scsi.In, core.Bytes(7, 3), core.ReadsMedium, inventory, (*Changer).readElementStatus), 6, curData, true),
	none(0xe7, "INITIALIZE ELEMENT STATUS WITH RANGE (vendor specific)", "\xe7\x01\xff\xff\x00\x00\xff\xff\x00\x80",
		core.Serial, inventory, (*Changer).initializeRange),
}
