package sbc

import (
	"bytes"
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// Values of BYTCHK (SBC-4, 5.36): what a verification compares with.
const (
	bytchkMedium = 0 // nothing: the blocks must be readable
	bytchkData   = 1 // the Data-Out
	bytchkBlock  = 3 // one block of Data-Out, with every block
)

func bytchk(cdb []byte) byte { return cdb[1] >> 1 & 3 }

// Length fields of the commands whose Data-Out may be shorter than their range.
func blocks10(cdb []byte) uint64 { return uint64(binary.BigEndian.Uint16(cdb[7:])) }
func blocks12(cdb []byte) uint64 { return uint64(binary.BigEndian.Uint32(cdb[6:])) }
func blocks16(cdb []byte) uint64 { return uint64(binary.BigEndian.Uint32(cdb[10:])) }

// verifyRule is the length of VERIFY's Data-Out.
func verifyRule(off uint8, blocks func([]byte) uint64) core.Rule {
	return core.Rule{Off: off, Func: func(cdb []byte, blockSize uint32) uint64 {
		switch bytchk(cdb) {
		case bytchkData:
			return blocks(cdb) * uint64(blockSize)
		case bytchkBlock:
			return min(blocks(cdb), 1) * uint64(blockSize)
		}
		return 0
	}}
}

func (d *Disk) verify10(c *core.Command) error { return d.verify(c, lba32(c), blocks10(c.CDB)) }
func (d *Disk) verify12(c *core.Command) error { return d.verify(c, lba32(c), blocks12(c.CDB)) }
func (d *Disk) verify16(c *core.Command) error { return d.verify(c, lba64(c), blocks16(c.CDB)) }

// verify is VERIFY (SBC-4, 5.36).
func (d *Disk) verify(c *core.Command, lba, blocks uint64) error {
	check := bytchk(c.CDB)
	if check == 2 {
		return sense.FieldBit(1, 2)
	}
	if err := d.inRange(lba, blocks); err != nil || blocks == 0 {
		return err
	}
	if len(c.Out) != c.OutLen {
		return sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	off, n := int64(lba<<d.shift), int64(blocks<<d.shift)
	h, err := d.lock.lock(c, off, n, false)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	switch check {
	case bytchkData:
		return d.compare(c, c.Out, off)
	case bytchkBlock:
		return d.compareEach(c, off, n)
	default:
		return d.readable(c, off, n)
	}
}

// compare finds the first byte of p that the medium at off does not have.
// INFORMATION is its offset in p.
func (d *Disk) compare(c *core.Command, p []byte, off int64) error {
	at := 0
	return d.scan(c, off, int64(len(p)), func(have []byte) error {
		if i := firstDifference(have, p[at:at+len(have)]); i >= 0 {
			return sense.New(sense.Miscompare, sense.MiscompareDuringVerify).WithInfo(uint64(at + i))
		}
		at += len(have)
		return nil
	})
}

// firstDifference is where a and b, of one length, differ first; -1 where they do not.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	i := 0
	for a[i] == b[i] {
		i++
	}
	return i
}

// compareEach compares every block of a range with the one block of Data-Out.
func (d *Disk) compareEach(c *core.Command, off, n int64) error {
	return d.scan(c, off, n, func(have []byte) error {
		for len(have) > 0 {
			if !bytes.Equal(have[:len(c.Out)], c.Out) {
				return sense.New(sense.Miscompare, sense.MiscompareDuringVerify)
			}
			have = have[len(c.Out):]
		}
		return nil
	})
}

// readable reads a range, except for what the store knows to be deallocated: there
// is no medium to verify.
func (d *Disk) readable(c *core.Command, off, n int64) error {
	for n > 0 {
		e := block.Extent{Off: off, Len: n, Data: true}
		if d.hasExtents() {
			var err error
			if e, err = d.store.Extent(off, n); err != nil {
				return d.storeError(err, off, false)
			}
		}
		if e.Data {
			if err := d.scan(c, off, e.Len, func([]byte) error { return nil }); err != nil {
				return err
			}
		}
		if c.Err() != nil {
			return aborted
		}
		off, n = off+e.Len, n-e.Len
	}
	return nil
}

// scan gives a range to f in pieces, until f fails or the command is aborted.
func (d *Disk) scan(c *core.Command, off, n int64, f func([]byte) error) error {
	buf := d.scratch.get()
	defer d.scratch.put(buf)
	for n > 0 {
		p := buf[:min(n, scratchLen)]
		if c.Err() != nil {
			return aborted
		}
		if err := d.store.ReadAt(p, off, 0); err != nil {
			return d.storeError(err, off, false)
		}
		if err := f(p); err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}

func (d *Disk) writeVerify10(c *core.Command) error { return d.writeVerify(c, lba32(c)) }
func (d *Disk) writeVerify16(c *core.Command) error { return d.writeVerify(c, lba64(c)) }

// writeVerify is WRITE AND VERIFY (SBC-4, 5.45). The data goes to stable storage,
// since that is what is to be verified, and nobody writes in between.
func (d *Disk) writeVerify(c *core.Command, lba uint64) error {
	check := bytchk(c.CDB)
	if check > bytchkData {
		return sense.FieldBit(1, 2)
	}
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
	if err := d.store.WriteAt(p, off, block.FUA); err != nil {
		return d.storeError(err, off, true)
	}
	if check == bytchkMedium {
		return d.readable(c, off, int64(len(p)))
	}
	return d.compare(c, p, off)
}
