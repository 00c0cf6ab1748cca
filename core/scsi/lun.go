package scsi

import (
	"encoding/binary"
	"fmt"
)

// LUN is a logical unit number as a single-level number, not as its eight
// bytes on the wire. A LUN that we cannot address is BadLUN.
type LUN uint32

// MaxLUN is the largest number that the flat space addressing method carries.
const MaxLUN LUN = 0x3fff

// BadLUN stands for eight bytes that name no single-level logical unit.
const BadLUN LUN = 0xffffffff

// ParseLUN decodes the eight bytes of a LUN field (SAM-6, 4.7): peripheral and
// flat space addressing of one level. All else is BadLUN, as is a REPORT LUNS
// well known logical unit, which we do not have.
func ParseLUN(b []byte) LUN {
	v := binary.BigEndian.Uint64(b)
	if v&0x0000_ffff_ffff_ffff != 0 {
		return BadLUN // a second level
	}
	top := uint16(v >> 48)
	switch top >> 14 {
	case 0: // peripheral device addressing; the bus identifier must be 0
		if top>>8 != 0 {
			return BadLUN
		}
		return LUN(top & 0xff)
	case 1: // flat space addressing
		return LUN(top & 0x3fff)
	}
	return BadLUN
}

// Put encodes l into the first eight bytes of b: peripheral addressing below
// 256, flat space above, as Linux, Windows and ESXi expect.
func (l LUN) Put(b []byte) {
	v := uint64(l) << 48
	if l > 0xff {
		v |= 1 << 62
	}
	binary.BigEndian.PutUint64(b, v)
}

func (l LUN) String() string {
	if l == BadLUN {
		return "bad LUN"
	}
	return fmt.Sprintf("LUN %d", uint32(l))
}
