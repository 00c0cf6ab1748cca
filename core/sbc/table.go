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

func both(code uint8, name string, n core.Rule, usage string, gate core.Gate, timeout uint32, run func(*Disk, *core.Command) error) row {
	r := none(code, name, usage, gate, timeout, run)
	r.Dir, r.Len, r.LenIn = scsi.Both, n, n
	return r
}

// action makes r one service action of its opcode.
func (r row) action(a int16) row { r.Action = a; return r }

// only gives r to the disks for which when holds.
func (r row) only(when func(*Disk) bool) row { r.when = when; return r }

// pastReserveIf lets the CDBs for which harmless holds past reservations.
func (r row) pastReserveIf(harmless func(cdb []byte) bool) row { r.PastReserveIf = harmless; return r }

// blocks6 is the TRANSFER LENGTH of READ(6) and WRITE(6), where 0 means 256.
var blocks6 = core.Rule{Off: 4, Width: 1, Blocks: true, Zero: 256}

// Recommended timeouts in seconds.
const (
	quick = 10
	short = 60
	long  = 600   // as long as a flush or a large deallocation may take
	whole = 86400 // passes over the whole medium
)

// Gates of the fast commands.
const (
	reads  = core.ReadsMedium | core.Inline
	writes = core.WritesMedium | core.Inline
)

// The commands of a disk in order of opcode (SBC-4, table 33). The usage masks leave
// out what is off: protection information (RDPROTECT and its like), RARC, ANCHOR.
// CONTROL is zero: the core adds NACA.
var table = []row{
	none(0x00, "TEST UNIT READY", "\x00\x00\x00\x00\x00\x00",
		core.PastReserve|core.Inline, quick, (*Disk).testUnitReady),
	out(0x04, "FORMAT UNIT", formatRule, "\x04\x3f\x00\x00\x00\x00", core.WritesMedium, whole, (*Disk).formatUnit),
	in(0x08, "READ(6)", blocks6, "\x08\x1f\xff\xff\xff\x00", reads, short, (*Disk).read6),
	out(0x0a, "WRITE(6)", blocks6, "\x0a\x1f\xff\xff\xff\x00", writes, short, (*Disk).write6),
	none(0x1b, "START STOP UNIT", "\x1b\x01\x00\x0f\xf7\x00", 0, long, (*Disk).startStop).pastReserveIf(starts),
	in(0x25, "READ CAPACITY(10)", core.Rule{Func: eight}, "\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		core.PastReserve|core.InStandby|core.Inline, quick, (*Disk).readCapacity10),
	in(0x28, "READ(10)", core.Blocks(7, 2), "\x28\x18\xff\xff\xff\xff\x3f\xff\xff\x00", reads, short, (*Disk).read10),
	out(0x2a, "WRITE(10)", core.Blocks(7, 2), "\x2a\x18\xff\xff\xff\xff\x3f\xff\xff\x00", writes, short, (*Disk).write10),
	out(0x2e, "WRITE AND VERIFY(10)", core.Blocks(7, 2), "\x2e\x16\xff\xff\xff\xff\x3f\xff\xff\x00",
		core.WritesMedium, short, (*Disk).writeVerify10),
	out(0x2f, "VERIFY(10)", verifyRule(7, blocks10), "\x2f\x16\xff\xff\xff\xff\x3f\xff\xff\x00",
		core.ReadsMedium, long, (*Disk).verify10),
	none(0x34, "PRE-FETCH(10)", "\x34\x02\xff\xff\xff\xff\x3f\xff\xff\x00", core.ReadsMedium, short, (*Disk).prefetch10),
	none(0x35, "SYNCHRONIZE CACHE(10)", "\x35\x02\xff\xff\xff\xff\x3f\xff\xff\x00", 0, long, (*Disk).syncCache10),
	in(0x37, "READ DEFECT DATA(10)", core.Bytes(7, 2), "\x37\x00\x1f\x00\x00\x00\x00\xff\xff\x00",
		core.ReadsMedium|core.Inline, quick, (*Disk).readDefects10),
	out(0x41, "WRITE SAME(10)", writeSameRule(7, 0), "\x41\x08\xff\xff\xff\xff\x3f\xff\xff\x00",
		core.WritesMedium, long, (*Disk).writeSame10).only((*Disk).canUnmap),
	out(0x41, "WRITE SAME(10)", writeSameRule(7, 0), "\x41\x00\xff\xff\xff\xff\x3f\xff\xff\x00",
		core.WritesMedium, long, (*Disk).writeSame10).only((*Disk).cannotUnmap),
	out(0x42, "UNMAP", core.Bytes(7, 2), "\x42\x00\x00\x00\x00\x00\x3f\xff\xff\x00",
		core.WritesMedium, long, (*Disk).unmap).only((*Disk).canUnmap),
	out(0x48, "SANITIZE", core.Bytes(7, 2), "\x48\xa1\x00\x00\x00\x00\x00\xff\xff\x00",
		core.WritesMedium, whole, (*Disk).sanitize).action(saOverwrite),
	none(0x48, "SANITIZE", "\x48\xa2\x00\x00\x00\x00\x00\x00\x00\x00",
		core.WritesMedium, whole, (*Disk).sanitize).action(saBlockErase).only((*Disk).canUnmap),
	none(0x48, "SANITIZE", "\x48\x1f\x00\x00\x00\x00\x00\x00\x00\x00",
		0, quick, (*Disk).sanitizeExit).action(saExit),
	both(0x53, "XDWRITEREAD(10)", core.Blocks(7, 2), "\x53\x1c\xff\xff\xff\xff\x3f\xff\xff\x00",
		core.ReadsMedium|core.WritesMedium, short, (*Disk).xdWriteRead),
	in(0x88, "READ(16)", core.Blocks(10, 4), "\x88\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		reads, short, (*Disk).read16),
	out(0x89, "COMPARE AND WRITE", compareAndWriteRule, "\x89\x18\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\xff\x3f\x00",
		core.WritesMedium, short, (*Disk).compareAndWrite),
	out(0x8a, "WRITE(16)", core.Blocks(10, 4), "\x8a\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		writes, short, (*Disk).write16),
	out(0x8b, "ORWRITE(16)", core.Blocks(10, 4), "\x8b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.WritesMedium, short, (*Disk).orWrite),
	out(0x8e, "WRITE AND VERIFY(16)", core.Blocks(10, 4), "\x8e\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.WritesMedium, short, (*Disk).writeVerify16),
	out(0x8f, "VERIFY(16)", verifyRule(10, blocks16), "\x8f\x16\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.ReadsMedium, long, (*Disk).verify16),
	none(0x90, "PRE-FETCH(16)", "\x90\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.ReadsMedium, short, (*Disk).prefetch16),
	none(0x91, "SYNCHRONIZE CACHE(16)", "\x91\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		0, long, (*Disk).syncCache16),
	out(0x93, "WRITE SAME(16)", writeSameRule(10, wsNDOB), "\x93\x09\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.WritesMedium, long, (*Disk).writeSame16).only((*Disk).canUnmap),
	out(0x93, "WRITE SAME(16)", writeSameRule(10, wsNDOB), "\x93\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.WritesMedium, long, (*Disk).writeSame16).only((*Disk).cannotUnmap),
	out(0x9c, "WRITE ATOMIC(16)", core.Blocks(12, 2), "\x9c\x18\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\xff\xff\x3f\x00",
		core.WritesMedium, short, (*Disk).writeAtomic),
	in(0x9e, "READ CAPACITY(16)", core.Bytes(10, 4), "\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00",
		core.PastReserve|core.InStandby|core.Inline, quick, (*Disk).readCapacity16).action(0x10),
	in(0x9e, "GET LBA STATUS", core.Bytes(10, 4), "\x9e\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00",
		core.ReadsMedium, short, (*Disk).getLBAStatus).action(0x12).only((*Disk).hasExtents),
	in(0xa8, "READ(12)", core.Blocks(6, 4), "\xa8\x18\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00", reads, short, (*Disk).read10),
	out(0xaa, "WRITE(12)", core.Blocks(6, 4), "\xaa\x18\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00", writes, short, (*Disk).write10),
	out(0xae, "WRITE AND VERIFY(12)", core.Blocks(6, 4), "\xae\x16\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.WritesMedium, short, (*Disk).writeVerify10),
	out(0xaf, "VERIFY(12)", verifyRule(6, blocks12), "\xaf\x16\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00",
		core.ReadsMedium, long, (*Disk).verify12),
	in(0xb7, "READ DEFECT DATA(12)", core.Bytes(6, 4), "\xb7\x1f\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00",
		core.ReadsMedium|core.Inline, quick, (*Disk).readDefects12),
}
