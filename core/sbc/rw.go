package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

const (
	fua = 0x08 // byte 1 of READ and WRITE, 10 bytes and up
	// lendMin is the least that a store lends: below it a copy costs less than
	// keeping track of the loan.
	lendMin = 4096
)

// lba32 and lba64 are the LOGICAL BLOCK ADDRESS fields at byte 2.
func lba32(c *core.Command) uint64 { return uint64(binary.BigEndian.Uint32(c.CDB[2:])) }
func lba64(c *core.Command) uint64 { return binary.BigEndian.Uint64(c.CDB[2:]) }

// lba6 is that of the 6-byte commands: 21 bits at byte 1.
func lba6(c *core.Command) uint64 {
	return uint64(binary.BigEndian.Uint32(c.CDB) & 0x1fffff)
}

func (d *Disk) read6(c *core.Command) error  { return d.read(c, lba6(c), 0) }
func (d *Disk) read10(c *core.Command) error { return d.read(c, lba32(c), c.CDB[1]) }
func (d *Disk) read16(c *core.Command) error { return d.read(c, lba64(c), c.CDB[1]) }

func (d *Disk) write6(c *core.Command) error  { return d.write(c, lba6(c), 0) }
func (d *Disk) write10(c *core.Command) error { return d.write(c, lba32(c), c.CDB[1]) }
func (d *Disk) write16(c *core.Command) error { return d.write(c, lba64(c), c.CDB[1]) }

// inRange checks [lba, lba+blocks) against the capacity. INFORMATION is the first
// LBA that does not exist (SBC-4, 4.5).
func (d *Disk) inRange(lba, blocks uint64) error {
	if size := d.blocks.Load(); blocks > size || lba > size-blocks {
		return sense.ErrLBA.WithInfo(max(lba, size))
	}
	return nil
}

// read is READ (SBC-4, 5.14 and its siblings).
func (d *Disk) read(c *core.Command, lba uint64, flags byte) error {
	if err := d.inRange(lba, uint64(c.InLen)>>d.shift); err != nil {
		return err
	}
	if c.InMax == 0 {
		return nil
	}
	if flags&fua != 0 && d.info.Volatile {
		// what is read must be on the medium, not only in a volatile cache
		if c.NoWait {
			return block.ErrWouldBlock
		}
		if err := d.flushStores(); err != nil {
			return d.storeError(err, int64(lba<<d.shift), true)
		}
	}
	off := int64(lba << d.shift)
	version, ok := d.lock.beginRead()
	if !ok {
		return d.readQueued(c, off)
	}
	if err := d.fill(c, off); err != nil {
		return err
	}
	if !d.lock.endRead(version) {
		if c.Release != nil {
			c.Release.Release()
			c.Lent, c.Release = nil, nil
		}
		return d.readQueued(c, off)
	}
	return nil
}

// readQueued is a read that met an atomic operation and waits its turn.
func (d *Disk) readQueued(c *core.Command, off int64) error {
	if c.NoWait {
		return block.ErrWouldBlock
	}
	h, err := d.lock.lock(c, off, int64(c.InLen), false)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	return d.fill(c, off)
}

// fill makes the Data-In of a read: lent where the store can, else copied.
func (d *Disk) fill(c *core.Command, off int64) error {
	n := c.InMax
	if d.lender != nil && n >= lendMin && n&d.blockMask == 0 {
		lent, release, ok := d.lender.Lend(c.LentRoom(), off, int64(n))
		if ok {
			c.Lent, c.Release = lent, release
			return nil
		}
	}
	in, err := c.Room()
	if err != nil {
		return err
	}
	if n&d.blockMask != 0 {
		return d.fillPart(c, in, off)
	}
	var f block.Flags
	if c.NoWait {
		f = block.NoWait
	}
	if err := d.store.ReadAt(in[:n], off, f); err != nil {
		return d.storeError(err, off, false)
	}
	return nil
}

// fillPart is fill for an initiator that expects less than whole blocks.
func (d *Disk) fillPart(c *core.Command, in []byte, off int64) error {
	if c.NoWait {
		return block.ErrWouldBlock
	}
	whole := c.InMax &^ d.blockMask
	if whole > 0 {
		if err := d.store.ReadAt(in[:whole], off, 0); err != nil {
			return d.storeError(err, off, false)
		}
	}
	last := d.scratch.get()
	defer d.scratch.put(last)
	at := off + int64(whole)
	if err := d.store.ReadAt(last[:d.blockMask+1], at, 0); err != nil {
		return d.storeError(err, at, false)
	}
	copy(in[whole:c.InMax], last[:])
	return nil
}

// arrived gives the Data-Out of a write command. A transport that expects less than
// the CDB asks for delivers less: whole blocks of it are written and the rest is the
// residual, as FCP-4 9.4.2 allows; a torn block is refused.
func (d *Disk) arrived(c *core.Command) ([]byte, error) {
	if len(c.Out)&d.blockMask != 0 {
		return nil, sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	return c.Out, nil
}

// writeFlags are the store's flags for a write whose byte 1 of the CDB is flags.
func (d *Disk) writeFlags(c *core.Command, flags byte) block.Flags {
	var f block.Flags
	if c.NoWait {
		f = block.NoWait
	}
	if flags&fua != 0 || d.writeThrough.Load() {
		f |= block.FUA
	}
	return f
}

// write is WRITE (SBC-4, 5.41 and its siblings).
func (d *Disk) write(c *core.Command, lba uint64, flags byte) error {
	if err := d.inRange(lba, uint64(c.OutLen)>>d.shift); err != nil {
		return err
	}
	p, err := d.arrived(c)
	if err != nil || len(p) == 0 {
		return err
	}
	return d.put(c, p, int64(lba<<d.shift), d.writeFlags(c, flags))
}

// put writes p, apart from exclusive operations on the same blocks.
func (d *Disk) put(c *core.Command, p []byte, off int64, f block.Flags) error {
	if !d.lock.beginWrite() {
		return d.putQueued(c, p, off, f)
	}
	err := d.store.WriteAt(p, off, f)
	d.lock.endWrite()
	if err != nil {
		return d.storeError(err, off, true)
	}
	return nil
}

// putQueued is put while an exclusive operation is about.
func (d *Disk) putQueued(c *core.Command, p []byte, off int64, f block.Flags) error {
	if c.NoWait {
		return block.ErrWouldBlock
	}
	h, err := d.lock.lock(c, off, int64(len(p)), false)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	return d.storeError(d.store.WriteAt(p, off, f), off, true)
}
