package sbc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

// Opcodes that code asks for by name.
const (
	opTestUnitReady = 0x00
	opFormat        = 0x04
	opSanitize      = 0x48
)

// row is a command and when a disk has it.
type row struct {
	ops.Op[*Disk]
	when func(*Disk) bool // nil: always
}

func none(code uint8, name, usage string, gate core.Gate, timeout uint32, run func(*Disk, *core.Command) error) row {
	return row{Op: ops.Op[*Disk]{Row: core.Row{Code: code, Action: core.NoAction, Name: name, Dir: scsi.None,
		Gate: gate, Usage: usage, Timeout: timeout}, Run: run}}
}

func in(code uint8, name string, n core.Rule, usage string, gate core.Gate, timeout uint32, run func(*Disk, *core.Command) error) row {
	r := none(code, name, usage, gate, timeout, run)
	r.Dir, r.Len = scsi.In, n
	return r
}

func out(code uint8, name string, n core.Rule, usage string, gate core.Gate, timeout uint32, run func(*Disk, *core.Command) error) row {
	r := none(code, name, usage, gate, timeout, run)
	r.Dir, r.Len = scsi.Out, n
	return r
}

// action makes r one service action of its opcode.
func (r row) action(a int16) row { r.Action = a; return r }

// only gives r to the disks for which when holds.
func (r row) only(when func(*Disk) bool) row { r.when = when; return r }

// blocks6 is the TRANSFER LENGTH of READ(6) and WRITE(6), where 0 means 256.
var blocks6 = core.Rule{Off: 4, Width: 1, Blocks: true, Zero: 256}

// Recommended timeouts in seconds.
const (
	quick = 10
	io    = 60
	long  = 600   // as long as a flush or a large deallocation may take
	whole = 86400 // passes over the whole medium
)

const (
	read  = core.ReadsMedium | core.Inline
	write = core.WritesMedium | core.Inline
)

// The commands of a disk in order of opcode (SBC-4, table 33). The usage masks leave
// out what is off: protection information (RDPROTECT and its like), RARC, ANCHOR.
// CONTROL is zero: there is no ACA.
var table = []row{
	none(0x00, "TEST UNIT READY", "\x00\x00\x00\x00\x00\x00",
		core.PastReserve|core.Inline, quick, (*Disk).testUnitReady),
	in(0x08, "READ(6)", blocks6, "\x08\x1f\xff\xff\xff\x00", read, io, (*Disk).read6),
	out(0x0a, "WRITE(6)", blocks6, "\x0a\x1f\xff\xff\xff\x00", write, io, (*Disk).write6),
	in(0x25, "READ CAPACITY(10)", core.Rule{Func: eight}, "\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		core.PastReserve|core.InStandby|core.Inline, quick, (*Disk).readCapacity10),
	in(0x28, "READ(10)", core.Blocks(7, 2), "\x28\x18\xff\xff\xff\xff\x3f\xff\xff\x00", read, io, (*Disk).read10),
	out(0x2a, "WRITE(10)", core.Blocks(7, 2), "\x2a\x18\xff\xff\xff\xff\x3f\xff\xff\x00", write, io, (*Disk).write10),
	in(0x88, "READ(16)", core.Blocks(10, 4), "\x88\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		read, io, (*Disk).read16),
	out(0x8a, "WRITE(16)", core.Blocks(10, 4), "\x8a\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		write, io, (*Disk).write16),
	in(0x9e, "READ CAPACITY(16)", core.Bytes(10, 4), "\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00",
		core.PastReserve|core.InStandby|core.Inline, quick, (*Disk).readCapacity16).action(0x10),
	in(0xa8, "READ(12)", core.Blocks(6, 4), "\xa8\x18\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00", read, io, (*Disk).read10),
	out(0xaa, "WRITE(12)", core.Blocks(6, 4), "\xaa\x18\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00", write, io, (*Disk).write10),
}
