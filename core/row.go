package core

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// NoAction marks a Row whose opcode has no service actions.
const NoAction int16 = -1

// Gate is what the core checks before a command is carried out, and how.
type Gate uint16

// Gates. A row without any is refused by a pending unit attention, by every
// reservation, and in every ALUA state but the active ones.
const (
	PastUA       Gate = 1 << iota // runs although a unit attention waits (SAM-6, 5.14)
	PastReserve                   // never conflicts with a reservation (SPC-6, table 72)
	ReadsMedium                   // refused under Exclusive Access
	WritesMedium                  // refused under Write Exclusive too, and on a read-only LUN
	InStandby                     // allowed in ALUA standby
	InUnavail                     // allowed in ALUA unavailable
	Inline                        // does not block, or says ErrWouldBlock: may run on the reader
	NoLU                          // answered although the LUN is not mapped
	WhileBusy                     // runs during FORMAT UNIT and SANITIZE
	PastACA                       // runs during an ACA of another I_T nexus (SAM-6, 5.9.3)
	Serial                        // runs alone among the unit's Serial commands, those of a nexus in order
)

// Rule says how the length of the data phase follows from the CDB.
type Rule struct {
	Off, Width uint8 // where the length field lies; Width 0: no data phase
	Blocks     bool  // counted in logical blocks, not bytes
	Zero       uint32
	// Func, when set, is the whole rule: the bytes to transfer for cdb on a unit
	// with blockSize byte blocks.
	Func func(cdb []byte, blockSize uint32) uint64
}

// Bytes is the rule of an ALLOCATION LENGTH or PARAMETER LIST LENGTH field.
func Bytes(off, width uint8) Rule { return Rule{Off: off, Width: width} }

// Blocks is the rule of a TRANSFER LENGTH field in logical blocks.
func Blocks(off, width uint8) Rule { return Rule{Off: off, Width: width, Blocks: true} }

// Length is the number of bytes that cdb asks to move.
func (r *Rule) Length(cdb []byte, blockSize uint32) uint64 {
	if r.Func != nil {
		return r.Func(cdb, blockSize)
	}
	var n uint64
	switch r.Width {
	case 0:
		return 0
	case 1:
		n = uint64(cdb[r.Off])
	case 2:
		n = uint64(binary.BigEndian.Uint16(cdb[r.Off:]))
	case 3:
		n = uint64(cdb[r.Off])<<16 | uint64(binary.BigEndian.Uint16(cdb[r.Off+1:]))
	case 4:
		n = uint64(binary.BigEndian.Uint32(cdb[r.Off:]))
	}
	if n == 0 {
		n = uint64(r.Zero)
	}
	if r.Blocks {
		n *= uint64(blockSize)
	}
	return n
}

// Row declares one command, or one service action of one. It is the whole truth
// about it: dispatch, the check of reserved bits, direction and length of the data
// phase, gates, REPORT SUPPORTED OPERATION CODES, names in logs, and the command
// table in docs/ are all read from here.
type Row struct {
	Code   uint8
	Action int16  // service action, or NoAction
	Name   string // as the T10 list prints it
	Dir    scsi.Dir
	Len    Rule // of the only, or the Data-Out, phase
	LenIn  Rule // of the Data-In phase of a bidirectional command
	Gate   Gate
	// Usage is the CDB usage data of REPORT SUPPORTED OPERATION CODES (SPC-6,
	// 6.31.3): a 1 for each bit that is evaluated; its length is the CDB length.
	Usage string
	// Timeout is the recommended command timeout in seconds (SPC-6, 6.31.4).
	Timeout uint32
	// PastReserveIf, when set, tells the CDBs for which the row has PastReserve too:
	// START STOP UNIT conflicts unless it starts the unit (SBC-4, table 13).
	PastReserveIf func(cdb []byte) bool

	Index int // position in the set that compiled the row, for its dispatch

	reserved [4]uint64 // bits that must be zero, of the first 32 bytes
	run      func(*Command) error
}

// Is reports whether the row has all of g.
func (r *Row) Is(g Gate) bool { return r.Gate&g == g }

// actionMask is the SERVICE ACTION field of the opcodes that have one: its byte
// and mask (SPC-6, 4.2.5.1 and the command tables).
func actionField(code uint8) (off int, wide bool) {
	if code == 0x7f {
		return 8, true // variable length CDB: two bytes
	}
	return 1, false
}

// action extracts the service action of cdb.
func action(cdb []byte) int16 {
	off, wide := actionField(cdb[0])
	if wide {
		return int16(binary.BigEndian.Uint16(cdb[off:]))
	}
	return int16(cdb[off] & 0x1f)
}

// controlField is the offset of the CONTROL byte in cdb (SPC-6, 4.2.2), -1 when its
// length is not known.
func controlField(cdb []byte) int {
	switch n := cdbLen(cdb[0]); {
	case n > 0:
		return n - 1
	case cdb[0] == 0x7f:
		return 1
	}
	return -1
}

// compile derives the mask of reserved bits. NACA is evaluated in every command, so
// the usage data has it.
func (r *Row) compile() error {
	u := []byte(r.Usage)
	want := cdbLen(r.Code)
	switch {
	case len(u) < 6 || u[0] != r.Code:
		return fmt.Errorf("%s: usage data does not begin with the opcode", r.Name)
	case want != 0 && len(u) != want:
		return fmt.Errorf("%s: usage data of %d bytes, the opcode has %d", r.Name, len(u), want)
	case r.Action != NoAction && action(u) != r.Action:
		return fmt.Errorf("%s: usage data names service action %#x", r.Name, action(u))
	}
	if off := controlField(u); off >= 0 {
		u[off] |= scsi.NACA
		r.Usage = string(u)
	}
	var allowed [32]byte
	for i := range allowed {
		switch {
		case i >= len(u): // past the CDB: the transport's padding
			allowed[i] = 0xff
		default:
			allowed[i] = u[i]
		}
	}
	allowed[0] = 0xff
	if r.Action != NoAction {
		off, wide := actionField(r.Code)
		if wide {
			allowed[off], allowed[off+1] = 0xff, 0xff
		} else {
			allowed[off] |= 0x1f
		}
	}
	for i := range r.reserved {
		r.reserved[i] = ^binary.BigEndian.Uint64(allowed[8*i:])
	}
	return nil
}

// cdbLen is the CDB length that the group code fixes, 0 where it does not
// (SPC-6, 4.2.5.1).
func cdbLen(code uint8) int {
	switch code >> 5 {
	case 0:
		return 6
	case 1, 2:
		return 10
	case 4:
		return 16
	case 5:
		return 12
	}
	return 0
}

// check finds the first reserved bit that is set in cdb, which is at least 16
// bytes long and as long as the row's usage data.
func (r *Row) check(cdb []byte) *sense.Error {
	bad := binary.BigEndian.Uint64(cdb)&r.reserved[0] |
		binary.BigEndian.Uint64(cdb[8:])&r.reserved[1]
	if bad == 0 && len(r.Usage) <= 16 {
		return nil
	}
	for i := 0; i < len(r.Usage) && i < 32; i++ {
		mask := byte(r.reserved[i/8] >> (8 * (7 - i%8)))
		if b := cdb[i] & mask; b != 0 {
			return sense.FieldBit(i, uint8(bits.Len8(b)-1))
		}
	}
	return nil
}

// Table finds rows by CDB.
type Table struct {
	plain  [256]*Row
	action [256]map[int16]*Row
	rows   []*Row
}

// NewTable compiles rows. A duplicate or a row whose usage data contradicts it is
// an error; those are mistakes of ours, found at start.
func NewTable(rows []*Row) (*Table, error) {
	t := &Table{}
	for _, r := range rows {
		if err := r.compile(); err != nil {
			return nil, err
		}
		if r.Action == NoAction {
			if t.plain[r.Code] != nil || t.action[r.Code] != nil {
				return nil, fmt.Errorf("%s: opcode %02Xh is declared twice", r.Name, r.Code)
			}
			t.plain[r.Code] = r
		} else {
			if t.plain[r.Code] != nil || t.action[r.Code][r.Action] != nil {
				return nil, fmt.Errorf("%s: %02Xh/%02Xh is declared twice", r.Name, r.Code, r.Action)
			}
			if t.action[r.Code] == nil {
				t.action[r.Code] = map[int16]*Row{}
			}
			t.action[r.Code][r.Action] = r
		}
		t.rows = append(t.rows, r)
	}
	return t, nil
}

// Rows are all rows, in the order in which they were given.
func (t *Table) Rows() []*Row { return t.rows }

// Lookup finds the row of cdb: INVALID COMMAND OPERATION CODE when the opcode is
// unknown, INVALID FIELD IN CDB at the service action when only that is.
func (t *Table) Lookup(cdb []byte) (*Row, *sense.Error) {
	if r := t.plain[cdb[0]]; r != nil {
		return r, nil
	}
	m := t.action[cdb[0]]
	if m == nil {
		return nil, sense.ErrInvalidOpcode
	}
	off, wide := actionField(cdb[0])
	if wide && len(cdb) < 10 {
		return nil, sense.Field(7)
	}
	if r := m[action(cdb)]; r != nil {
		return r, nil
	}
	if wide {
		return nil, sense.Field(off)
	}
	return nil, sense.FieldBit(off, 4)
}

// Find looks a row up by opcode and service action, as REPORT SUPPORTED OPERATION
// CODES does. found says whether the opcode is known at all, actions whether it
// has service actions.
func (t *Table) Find(code uint8, act int16) (r *Row, found, actions bool) {
	if r := t.plain[code]; r != nil {
		return r, true, false
	}
	m := t.action[code]
	return m[act], m != nil, m != nil
}
