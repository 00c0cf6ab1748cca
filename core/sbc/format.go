package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

const (
	fmtData = 0x10
	cmpLst  = 0x08
)

// headerLen is the length of FORMAT UNIT's parameter list header, the only part of a
// parameter list that we take. The CDB says no length.
func headerLen(cdb []byte, _ uint32) uint64 {
	const longList = 0x20
	switch {
	case cdb[1]&fmtData == 0:
		return 0
	case cdb[1]&longList != 0:
		return 8
	default:
		return 4
	}
}

var formatRule = core.Rule{Off: 1, Func: headerLen}

// formatUnit is FORMAT UNIT (SBC-4, 5.5): all blocks read as zeros afterwards, and
// are deallocated where the store can.
func (d *Disk) formatUnit(c *core.Command) error {
	if len(c.Out) != c.OutLen {
		return sense.ErrParamLength
	}
	op, err := parseFormat(c.CDB, c.Out, d.pi != nil)
	if err != nil {
		return err
	}
	op.path = c.Path
	const immed = 0x02
	return d.perform(c, op, len(c.Out) > 0 && c.Out[1]&immed != 0)
}

// parseFormat checks FORMAT UNIT's CDB and parameter list header (SBC-4, 5.5.2).
// protectable: the disk supports protection information.
func parseFormat(cdb, list []byte, protectable bool) (*operation, error) {
	switch f := cdb[1] & 7; {
	case cdb[1]&fmtData == 0 && cdb[1]&(0x20|cmpLst|7) != 0:
		return nil, sense.FieldBit(1, 5) // they describe a list that is not there
	case f != 0 && f != 4 && f != 5:
		return nil, sense.FieldBit(1, 2)
	}
	kind, err := formatKind(cdb, list, protectable)
	if err != nil {
		return nil, err
	}
	if err := checkFormatHeader(list); err != nil {
		return nil, err
	}
	op := &operation{code: sense.FormatInProgress, failed: formatFailed,
		state: stateFormatFailed, mends: stateFormatFailed, passes: 1, run: (*Disk).wipe, kind: kind}
	if protectable {
		op.run = func(d *Disk, done func(int64)) error { return d.formatAs(op, done) }
	}
	return op, nil
}

// formatKind is the protection type of FMTPINFO and PROTECTION FIELD USAGE (SBC-4, 5.5,
// the table of both fields, with PROTECT 1 and SPT 111b).
func formatKind(cdb, list []byte, protectable bool) (uint8, error) {
	usage := byte(0)
	if len(list) > 0 {
		usage = list[0] & 7
	}
	switch info := cdb[1] >> 6; {
	case !protectable && info != 0, info == 1:
		return 0, sense.FieldBit(1, 7)
	case info == 0 && usage == 0:
		return 0, nil
	case info == 2 && usage == 0:
		return 1, nil
	case info == 3 && usage <= 1:
		return 2 + usage, nil
	}
	return 0, sense.ParamBit(0, 2)
}

// formatAs is wipe that ends with another protection type.
func (d *Disk) formatAs(op *operation, done func(int64)) error {
	if err := d.wipe(done); err != nil {
		return err
	}
	was := uint8(d.pi.kind.Load())
	if err := d.pi.setKind(op.kind); err != nil {
		return err
	}
	if was != op.kind { // what READ CAPACITY(16) returns is not what it was
		d.host.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged), op.path)
	}
	return nil
}

func checkFormatHeader(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	const (
		fov      = 0x80
		needsFOV = 0x78 // DPRY DCRT STPF IP
	)
	defects := 0
	if len(b) == 8 {
		if b[3] != 0 {
			return sense.Param(3) // protection information interval
		}
		defects = int(binary.BigEndian.Uint32(b[4:]))
	} else {
		defects = int(binary.BigEndian.Uint16(b[2:]))
	}
	switch {
	case b[0]&0xf8 != 0:
		return sense.ParamBit(0, 7)
	case b[1]&fov == 0 && b[1]&needsFOV != 0:
		return sense.ParamBit(1, 6)
	case b[1]&0x08 != 0:
		return sense.ParamBit(1, 3) // an initialization pattern
	case defects != 0:
		return sense.Param(len(b) / 2) // a defect list: there are no defects to know of
	}
	return nil
}

// wipe makes the whole medium read as zeros.
func (d *Disk) wipe(done func(int64)) error {
	f := d.zeroRange
	if d.canUnmap() {
		f = d.unmapRange
	}
	return d.stretches(d.ctx, 0, int64(d.blocks.Load()<<d.shift), done, f)
}
