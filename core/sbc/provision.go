package sbc

import (
	"context"
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

const (
	// stretch is how much Zero or Unmap does in one call of the store: between two
	// calls an abort is noticed.
	stretch = 1 << 30
	// maxUnmapDescriptors is the MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT: as many as the
	// parameter list length can say.
	maxUnmapDescriptors = (0xffff - 8) / 16
	// maxWriteSame is the MAXIMUM WRITE SAME LENGTH in blocks: how long one command
	// keeps others off its range. No initiator asks for more unless told that it may.
	maxWriteSame = 0xffff
	// maxStatus is how many LBA status descriptors one GET LBA STATUS returns.
	maxStatus = 256
)

// writeSameRule: one block, or none with NDOB.
func writeSameRule(off uint8, ndob byte) core.Rule {
	return core.Rule{Off: off, Func: func(cdb []byte, blockSize uint32) uint64 {
		if cdb[1]&ndob != 0 {
			return 0
		}
		return uint64(blockSize)
	}}
}

const (
	wsUnmap = 0x08
	wsNDOB  = 0x01 // WRITE SAME(16) only
)

func (d *Disk) writeSame10(c *core.Command) error {
	return d.writeSame(c, lba32(c), blocks10(c.CDB), 7)
}
func (d *Disk) writeSame16(c *core.Command) error {
	return d.writeSame(c, lba64(c), blocks16(c.CDB), 10)
}

// writeSame is WRITE SAME (SBC-4, 5.51). at is where the CDB has the length, which is
// not zero since we set WSNZ.
func (d *Disk) writeSame(c *core.Command, lba, blocks uint64, at int) error {
	if blocks == 0 || blocks > maxWriteSame {
		return sense.Field(at)
	}
	if err := d.inRange(lba, blocks); err != nil {
		return err
	}
	if err := exactly(c, at); err != nil {
		return err
	}
	off, n := int64(lba<<d.shift), int64(blocks<<d.shift)
	h, err := d.lock.lock(c, off, n, true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	switch {
	case !allZero(c.Out):
		// UNMAP too: what would read as zeros is not what was asked for (SBC-4, 4.7.3.7)
		return d.repeat(c, c.Out, off, n, d.writeFlags(c, 0), nil)
	case c.CDB[1]&wsUnmap != 0:
		return d.stretches(c, off, n, nil, d.unmapRange)
	default:
		return d.stretches(c, off, n, nil, d.zeroRange)
	}
}

func allZero(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p) != 0 {
			return false
		}
	}
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// zeroRange and unmapRange are one stretch of the store's work. What the blocks have of
// protection information goes.
func (d *Disk) zeroRange(off, n int64) error {
	var f block.Flags
	if d.writeThrough.Load() {
		f = block.FUA
	}
	return d.without(off, n, f, d.store.Zero)
}

func (d *Disk) unmapRange(off, n int64) error {
	var f block.Flags
	if d.writeThrough.Load() {
		f = block.FUA
	}
	return d.without(off, n, f, d.store.Unmap)
}

// stretches calls f for a range in pieces until ctx ends. done, when not nil, is told
// after each how long it was.
func (d *Disk) stretches(ctx context.Context, off, n int64, done func(int64), f func(off, n int64) error) error {
	for n > 0 {
		if ctx.Err() != nil {
			return aborted
		}
		k := min(n, stretch)
		if err := f(off, k); err != nil {
			return d.storeError(err, off, true)
		}
		if done != nil {
			done(k)
		}
		off, n = off+k, n-k
	}
	return nil
}

// repeat writes pattern over and over into a range of whole patterns until ctx ends.
func (d *Disk) repeat(ctx context.Context, pattern []byte, off, n int64, f block.Flags, done func(int64)) error {
	buf := d.scratch.get()
	defer d.scratch.put(buf)
	whole := scratchLen / len(pattern) * len(pattern)
	for at := 0; at < whole && int64(at) < n; at += len(pattern) {
		copy(buf[at:], pattern)
	}
	for n > 0 {
		if ctx.Err() != nil {
			return aborted
		}
		k := min(n, int64(whole))
		if err := d.store.WriteAt(buf[:k], off, f); err != nil {
			return d.storeError(err, off, true)
		}
		if done != nil {
			done(k)
		}
		off, n = off+k, n-k
	}
	return nil
}

// extent is one UNMAP block descriptor.
type extent struct{ lba, blocks uint64 }

// parseUnmap takes the parameter list of UNMAP apart (SBC-4, 5.35).
func parseUnmap(p []byte) ([]extent, error) {
	if len(p) == 0 {
		return nil, nil
	}
	if len(p) < 8 {
		return nil, sense.ErrParamLength
	}
	n := int(binary.BigEndian.Uint16(p[2:])) / 16
	if n > (len(p)-8)/16 {
		return nil, sense.ErrParamLength
	}
	list := make([]extent, n)
	for i := range list {
		b := p[8+16*i:]
		list[i] = extent{binary.BigEndian.Uint64(b), uint64(binary.BigEndian.Uint32(b[8:]))}
	}
	return list, nil
}

// unmap is UNMAP. Nothing is deallocated unless all descriptors are right.
func (d *Disk) unmap(c *core.Command) error {
	if len(c.Out) != c.OutLen {
		return sense.ErrParamLength
	}
	list, err := parseUnmap(c.Out)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := d.inRange(e.lba, e.blocks); err != nil {
			return err
		}
	}
	for _, e := range list {
		if err := d.unmapOne(c, int64(e.lba<<d.shift), int64(e.blocks<<d.shift)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) unmapOne(c *core.Command, off, n int64) error {
	if n == 0 {
		return nil
	}
	h, err := d.lock.lock(c, off, n, true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	return d.stretches(c, off, n, nil, d.unmapRange)
}

// getLBAStatus is GET LBA STATUS (SBC-4, 5.6).
func (d *Disk) getLBAStatus(c *core.Command) error {
	lba := lba64(c)
	if err := d.inRange(lba, 1); err != nil {
		return err
	}
	room := max(1, min(maxStatus, (c.InLen-8)/16))
	b := make([]byte, 8, 8+16*room)
	for end := d.blocks.Load(); room > 0 && lba < end; room-- {
		if c.Err() != nil {
			return aborted
		}
		blocks, data, err := d.extentAt(lba, min(end-lba, 0xffffffff))
		if err != nil {
			return err
		}
		status := byte(1) // deallocated
		if data {
			status = 0 // mapped
		}
		b = binary.BigEndian.AppendUint64(b, lba)
		b = binary.BigEndian.AppendUint32(b, uint32(blocks))
		b = append(b, status, 0, 0, 0)
		lba += blocks
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}

// extentAt is the run of blocks in one state at lba, at most limit long. A block that
// the store holds only a part of is mapped.
func (d *Disk) extentAt(lba, limit uint64) (blocks uint64, data bool, err error) {
	for blocks < limit {
		off := int64((lba + blocks) << d.shift)
		e, err := d.store.Extent(off, int64((limit-blocks)<<d.shift))
		if err != nil {
			return 0, false, d.storeError(err, off, false)
		}
		run, mapped := uint64(e.Len)>>d.shift, e.Data
		switch {
		case mapped && int(e.Len)&d.blockMask != 0, !mapped && run == 0:
			run, mapped = uint64(e.Len+int64(d.blockMask))>>d.shift, true
		}
		if blocks > 0 && mapped != data {
			break
		}
		blocks, data = blocks+max(run, 1), mapped
	}
	return min(blocks, limit), data, nil
}
