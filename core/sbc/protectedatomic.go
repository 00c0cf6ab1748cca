package sbc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// protectedCompareAndWrite is COMPARE AND WRITE. Both halves of the Data-Out carry
// protection information with WRPROTECT; of the medium, the user data is compared.
func (d *Disk) protectedCompareAndWrite(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.compareAndWrite(c)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil {
		return err
	}
	if err := exactly(c, 13); err != nil || c.OutLen == 0 {
		return err
	}
	want, _, err := d.take(c.Out[:c.OutLen/2], &a, &x)
	if err != nil {
		return err
	}
	data, pi, err := d.take(c.Out[c.OutLen/2:], &a, &x)
	if err != nil {
		return err
	}
	h, err := d.claim(c, &a, &x, true)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	bs, unit := int(d.cfg.BlockSize), a.unit(d.cfg.BlockSize)
	err = d.walk(c, a.lba, a.blocks, d.onMedium(&access{}), &x, func(i uint64, have, _ []byte) error {
		if at := firstDifference(have, want[int(i)*bs:][:bs]); at >= 0 {
			return sense.New(sense.Miscompare, sense.MiscompareDuringVerify).WithInfo(uint64(int(i)*unit + at))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.putBoth(c, a.lba, data, pi, d.writeFlags(c, a.flags))
}

// protectedOrWrite is ORWRITE(16): the guard is that of the result, the tags are those of
// the Data-Out, or made.
func (d *Disk) protectedOrWrite(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.orWrite(c)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil {
		return err
	}
	data, pi, err := d.take(c.Out, &a, &x)
	if err != nil || len(data) == 0 {
		return err
	}
	h, err := d.claim(c, &a, &x, true)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	bs := int(d.cfg.BlockSize)
	err = d.walk(c, a.lba, uint64(len(data)/bs), d.onMedium(&a), &x, func(i uint64, have, _ []byte) error {
		block, t := data[int(i)*bs:][:bs], pi[i*tupleLen:]
		for j, b := range have {
			block[j] |= b
		}
		v := getTuple(t)
		v.guard = guard(block)
		v.put(t)
		return nil
	})
	if err != nil {
		return err
	}
	return d.putBoth(c, a.lba, data, pi, d.writeFlags(c, a.flags))
}

// protectedWriteAtomic is WRITE ATOMIC(16). The journal has the user data alone: blocks
// that a crash tears have no protection information after the replay.
func (d *Disk) protectedWriteAtomic(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.writeAtomic(c)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil {
		return err
	}
	if a.blocks<<d.shift > uint64(d.maxAtomic()) {
		return sense.Field(12)
	}
	if err := exactly(c, 12); err != nil || a.blocks == 0 {
		return err
	}
	data, pi, err := d.take(c.Out, &a, &x)
	if err != nil {
		return err
	}
	h, err := d.claim(c, &a, &x, true)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	if d.info.Volatile {
		return d.journaled(c, data, int64(a.lba<<d.shift), func() error {
			return d.putBoth(c, a.lba, data, pi, block.FUA)
		})
	}
	return d.putBoth(c, a.lba, data, pi, d.writeFlags(c, a.flags))
}

// protectedWriteSame is WRITE SAME. What is deallocated, or written without Data-Out
// (NDOB), has no protection information afterwards (SBC-4, 5.51 and 4.7.3.7).
func (d *Disk) protectedWriteSame(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	ndob := len(c.CDB) > 10 && a.flags&wsNDOB != 0
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.writeSame(c, a.lba, a.blocks, a.lengthAt)
	case a.blocks == 0 || a.blocks > maxWriteSame:
		return sense.Field(a.lengthAt)
	case ndob && a.protect() != 0: // there is no protection information to obey it with
		return sense.FieldBit(a.flagsAt, 7)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil {
		return err
	}
	if err := exactly(c, a.lengthAt); err != nil {
		return err
	}
	one, pi, err := d.take(c.Out, &a, &x)
	if err != nil {
		return err
	}
	h, err := d.claim(c, &a, &x, true)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	off, n := int64(a.lba<<d.shift), int64(a.blocks<<d.shift)
	unmap := a.flags&wsUnmap != 0
	switch {
	case unmap && (ndob || allZero(one) && (a.protect() == 0 || getTuple(pi) == noCheck)):
		return d.stretches(c, off, n, nil, d.unmapRange)
	case ndob:
		return d.stretches(c, off, n, nil, d.zeroRange)
	}
	return d.repeatBoth(c, &a, &x, one, pi)
}

// repeatBoth writes one block to all of a's range.
func (d *Disk) repeatBoth(c *core.Command, a *access, x *expected, one, pi []byte) error {
	off, n := int64(a.lba<<d.shift), int64(a.blocks<<d.shift)
	defer d.pi.leave(off, n)
	if err := d.pi.enter(c, off, n); err != nil {
		return d.piError(err, a.lba, true)
	}
	f := d.writeFlags(c, 0)
	if err := d.repeat(c, one, off, n, f, nil); err != nil {
		return err
	}
	buf := d.scratch.get()
	defer d.scratch.put(buf)
	first := getTuple(pi)
	for at := uint64(0); at < a.blocks; {
		k := min(a.blocks-at, scratchLen/tupleLen)
		for i := range k {
			t := first.repeated(x.kind, at+i)
			if a.protect() == 0 {
				t = x.made(first.guard, a.lba+at+i)
			}
			t.put(buf[i*tupleLen:])
		}
		if err := d.pi.write(buf[:k*tupleLen], a.lba+at, f); err != nil {
			return d.piError(err, a.lba+at, true)
		}
		at += k
	}
	return nil
}
