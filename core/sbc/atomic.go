package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// maxAtomic is the MAXIMUM ATOMIC TRANSFER LENGTH in bytes.
const maxAtomic = 1 << 20

// exactly refuses a command that only makes sense with all of its Data-Out. off is
// where the CDB says how long that is.
func exactly(c *core.Command, off int) error {
	if c.HasExpected && int64(c.ExpectedOut) != int64(c.OutLen) || len(c.Out) != c.OutLen {
		return sense.Field(off)
	}
	return nil
}

// compareAndWriteRule: the Data-Out is what to compare with, then what to write.
var compareAndWriteRule = core.Rule{Off: 13, Func: func(cdb []byte, blockSize uint32) uint64 {
	return 2 * uint64(cdb[13]) * uint64(blockSize)
}}

// compareAndWrite is COMPARE AND WRITE (SBC-4, 5.4).
func (d *Disk) compareAndWrite(c *core.Command) error {
	lba := lba64(c)
	if err := d.inRange(lba, uint64(c.CDB[13])); err != nil {
		return err
	}
	if err := exactly(c, 13); err != nil || c.OutLen == 0 {
		return err
	}
	want, p := c.Out[:c.OutLen/2], c.Out[c.OutLen/2:]
	off := int64(lba << d.shift)
	h, err := d.lock.lock(c, off, int64(len(p)), true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	if err := d.compare(c, want, off); err != nil {
		return err
	}
	return d.writeAtomically(p, off, d.writeFlags(c, c.CDB[1]))
}

// orWrite is ORWRITE(16) (SBC-4, 5.10).
func (d *Disk) orWrite(c *core.Command) error {
	lba := lba64(c)
	if err := d.inRange(lba, uint64(c.OutLen)>>d.shift); err != nil {
		return err
	}
	p, err := d.arrived(c)
	if err != nil || len(p) == 0 {
		return err
	}
	off := int64(lba << d.shift)
	h, err := d.lock.lock(c, off, int64(len(p)), true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	at := 0
	err = d.scan(c, off, int64(len(p)), func(have []byte) error {
		for i, b := range have {
			p[at+i] |= b
		}
		at += len(have)
		return nil
	})
	if err != nil {
		return err
	}
	return d.writeAtomically(p, off, d.writeFlags(c, c.CDB[1]))
}

// writeAtomic is WRITE ATOMIC(16) (SBC-4, 5.48): no command sees a part of it, and no
// crash leaves one. A store without a volatile cache is taken for one that a crash
// empties, or that needs no journal.
func (d *Disk) writeAtomic(c *core.Command) error {
	lba, blocks := lba64(c), uint64(binary.BigEndian.Uint16(c.CDB[12:]))
	if err := d.inRange(lba, blocks); err != nil {
		return err
	}
	if blocks<<d.shift > uint64(d.maxAtomic()) {
		return sense.Field(12)
	}
	if err := exactly(c, 12); err != nil || blocks == 0 {
		return err
	}
	off := int64(lba << d.shift)
	h, err := d.lock.lock(c, off, int64(c.OutLen), true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	if d.info.Volatile {
		return d.journaled(c, c.Out, off, func() error { return d.writeAtomically(c.Out, off, block.FUA) })
	}
	return d.writeAtomically(c.Out, off, d.writeFlags(c, c.CDB[1]))
}

// maxAtomic is in bytes of user data.
func (d *Disk) maxAtomic() uint32 { return min(maxAtomic, uint32(d.maxBlocks()<<d.shift)) }

// writeAtomically writes p so that no read sees a part of it. The caller has an
// exclusive hold.
func (d *Disk) writeAtomically(p []byte, off int64, f block.Flags) error {
	d.lock.beginAtomic()
	err := d.store.WriteAt(p, off, f)
	d.lock.endAtomic()
	return d.storeError(err, off, true)
}
