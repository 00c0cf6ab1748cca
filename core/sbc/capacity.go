package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
)

// maxBlocks is the MAXIMUM TRANSFER LENGTH: as many blocks as a command may move, with
// their protection information if they can have it.
func (d *Disk) maxBlocks() uint64 {
	n := d.cfg.BlockSize
	if d.pi != nil {
		n += tupleLen
	}
	return uint64(d.cfg.MaxTransfer / n)
}

// eight is the rule of READ CAPACITY(10), whose CDB has no length field.
func eight([]byte, uint32) uint64 { return 8 }

// testUnitReady is TEST UNIT READY: whatever makes the disk not ready has been found
// by Execute.
func (d *Disk) testUnitReady(*core.Command) error { return nil }

// readCapacity10 is READ CAPACITY(10) (SBC-4, 5.18): FFFFFFFFh sends the initiator
// on to READ CAPACITY(16).
func (d *Disk) readCapacity10(c *core.Command) error {
	last := min(d.blocks.Load()-1, 0xffffffff)
	b := make([]byte, 0, 8)
	b = binary.BigEndian.AppendUint32(b, uint32(last))
	return c.Reply(binary.BigEndian.AppendUint32(b, d.cfg.BlockSize))
}

// readCapacity16 is READ CAPACITY(16) (SBC-4, 5.19).
func (d *Disk) readCapacity16(c *core.Command) error {
	const (
		lbpme = 0x8000
		lbprz = 0x4000 // what is deallocated reads as zeros: block.Store promises it
	)
	b := make([]byte, 32)
	binary.BigEndian.PutUint64(b, d.blocks.Load()-1)
	binary.BigEndian.PutUint32(b[8:], d.cfg.BlockSize)
	if d.pi != nil {
		if kind := byte(d.pi.kind.Load()); kind != 0 {
			const protEn = 0x01
			b[12] = (kind-1)<<1 | protEn // P_TYPE
		}
	}
	b[13] = d.cfg.PhysicalExponent
	aligned := d.cfg.LowestAligned
	if d.canUnmap() {
		aligned |= lbpme | lbprz
	}
	binary.BigEndian.PutUint16(b[14:], aligned)
	return c.Reply(b)
}
