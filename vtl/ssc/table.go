package ssc

import (
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/spc"
)

// row is a command and when a drive has it.
type row struct {
	ops.Op[*Drive]
	when func(*Drive) bool // nil: always
}

type run = func(*Drive, *core.Command) error

func none(code uint8, name, usage string, gate core.Gate, timeout uint32, f run) row {
	return row{Op: ops.Op[*Drive]{Row: core.Row{Code: code, Action: core.NoAction, Name: name, Dir: scsi.None,
		Gate: gate, Usage: usage, Timeout: timeout}, Run: f}}
}

func in(code uint8, name string, n core.Rule, usage string, gate core.Gate, timeout uint32, f run) row {
	r := none(code, name, usage, gate, timeout, f)
	r.Dir, r.Len = scsi.In, n
	return r
}

func out(code uint8, name string, n core.Rule, usage string, gate core.Gate, timeout uint32, f run) row {
	r := none(code, name, usage, gate, timeout, f)
	r.Dir, r.Len = scsi.Out, n
	return r
}

// action makes r one service action of its opcode.
func (r row) action(a int16) row { r.Action = a; return r }

// only gives r to the drives for which when holds.
func (r row) only(when func(*Drive) bool) row { r.when = when; return r }

// Recommended timeouts in seconds, for models that name none of their own.
const (
	quick = 60
	slow  = 1500  // a block to or from the medium, with all that the drive tries again
	seek  = 2880  // over the whole tape
	whole = 54896 // passes over the whole medium
)

// Gates. Commands to the medium are carried out one at a time, in order. None has ReadsMedium:
// they move the tape, which a Write Exclusive reservation keeps others from too (SSC-5,
// table 26).
const (
	medial = core.Serial
	writes = core.Serial | core.WritesMedium
)

// tables are all commands of a drive beyond the primary ones, one table per file.
var tables = [][]row{
	motionTable,
	spaceTable,
	readTable,
	writeTable,
	appendTable,
	eraseTable,
	formatTable,
	verifyTable,
	loadTable,
	attributeTable,
	densityTable,
	timestampTable,
	securityTable,
	panelTable,
	raoTable,
}

// Opcodes that code asks for by name.
const (
	opModeSelect6  = 0x15
	opModeSelect10 = 0x55
)

// rows are the commands that the model has, the primary ones among them.
func (d *Drive) rows() []ops.Op[*Drive] {
	var list []ops.Op[*Drive]
	for _, o := range spc.Ops[*Drive](d.Device) {
		if o.Code == opModeSelect6 || o.Code == opModeSelect10 { // what follows is by its values
			o.Gate |= core.Serial
		}
		list = append(list, d.timed(o))
	}
	for _, r := range slices.Concat(tables...) {
		if r.when != nil && !r.when(d) {
			continue
		}
		r.Len = d.guarded(r.Row)
		list = append(list, d.timed(r.Op))
	}
	return list
}

// timed is o with the timeout that the model recommends.
func (d *Drive) timed(o ops.Op[*Drive]) ops.Op[*Drive] {
	if t := d.model.Timeouts[o.Name]; t != 0 {
		o.Timeout = t
	}
	return o
}
