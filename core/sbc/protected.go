package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// access is the part of a CDB that READ, WRITE, VERIFY and their like have in common.
type access struct {
	lba, blocks uint64
	flags       byte // RDPROTECT, WRPROTECT and their like, DPO, FUA, BYTCHK
	flagsAt     int  // the byte of the CDB
	lengthAt    int  // where the CDB has the length
	// The expected tags of a 32-byte command.
	long             bool
	ref              uint32
	app, mask        uint16
	additionalLength byte
}

const longCDB = 0x18 // ADDITIONAL CDB LENGTH of the 32-byte commands

// parseAccess reads the CDB of any such command.
func parseAccess(c *core.Command) access {
	a := access{flagsAt: 1}
	switch cdb := c.CDB; len(cdb) {
	case 6:
		a.lba, a.blocks, a.lengthAt = lba6(c), uint64(cdb[4]), 4
		if a.blocks == 0 {
			a.blocks = 256
		}
		return a // no flags
	case 10:
		a.lba, a.blocks, a.lengthAt = lba32(c), blocks10(cdb), 7
	case 12:
		a.lba, a.blocks, a.lengthAt = lba32(c), blocks12(cdb), 6
	case 16: // the usage masks of COMPARE AND WRITE and WRITE ATOMIC leave their field
		a.lba, a.blocks, a.lengthAt = lba64(c), blocks16(cdb), 10
	default:
		a.long, a.flagsAt, a.lengthAt = true, 10, 28
		a.additionalLength = cdb[7]
		a.lba, a.blocks = binary.BigEndian.Uint64(cdb[12:]), uint64(binary.BigEndian.Uint32(cdb[28:]))
		a.ref = binary.BigEndian.Uint32(cdb[20:])
		a.app, a.mask = binary.BigEndian.Uint16(cdb[24:]), binary.BigEndian.Uint16(cdb[26:])
	}
	a.flags = c.CDB[a.flagsAt]
	return a
}

// protect is the RDPROTECT, WRPROTECT, VRPROTECT or ORPROTECT field.
func (a *access) protect() byte { return a.flags >> 5 }

// unit is how many bytes of the data phase belong to one block.
func (a *access) unit(blockSize uint32) int {
	if a.protect() != 0 {
		return int(blockSize) + tupleLen
	}
	return int(blockSize)
}

// admit says what kind of protection the medium has, 0 for none, and refuses commands
// and PROTECT values that do not go with it. With type 2, only the 32-byte commands
// carry protection information, and only then are there such (SBC-4, 4.21.2.4).
func (d *Disk) admit(a *access) (expected, error) {
	x := expected{kind: uint8(d.pi.kind.Load()), ato: d.pi.ato.Load()}
	switch {
	case a.long && x.kind != 2:
		return x, sense.ErrInvalidOpcode
	case a.long && a.additionalLength != longCDB:
		return x, sense.Field(7)
	case a.protect() > maxProtect, a.protect() != 0 && x.kind == 0:
		return x, sense.FieldBit(a.flagsAt, 7)
	case a.protect() != 0 && x.kind == 2 && !a.long:
		return x, sense.ErrInvalidOpcode
	}
	switch {
	case x.kind == 1:
		x.ref, x.hasRef = uint32(a.lba), true
	case a.long:
		x.ref, x.hasRef = a.ref, true
	}
	if a.long && x.ato {
		x.app, x.mask = a.app, a.mask
	}
	return x, nil
}

// onMedium are the checks of what is read from the medium.
func (d *Disk) onMedium(a *access) checks {
	if a.protect() == 0 && d.pi.dpicz.Load() {
		return 0
	}
	return checked[a.protect()]
}

// claim takes a hold on a's range. A FORMAT UNIT that came first may have changed the
// protection type that the command was checked with.
func (d *Disk) claim(c *core.Command, a *access, x *expected, exclusive bool) (*hold, error) {
	h, err := d.lock.lock(c, int64(a.lba<<d.shift), int64(a.blocks<<d.shift), exclusive)
	if err != nil {
		return nil, aborted
	}
	if uint8(d.pi.kind.Load()) != x.kind {
		d.lock.unlock(h)
		return nil, sense.Busy
	}
	return h, nil
}

// walk reads [lba, lba+blocks) in pieces, checks what and gives each block with its
// protection information to f, until one fails or c is aborted.
func (d *Disk) walk(c *core.Command, lba, blocks uint64, what checks, x *expected, f func(i uint64, block, t []byte) error) error {
	data, pi := d.scratch.get(), d.scratch.get()
	defer d.scratch.put(data)
	defer d.scratch.put(pi)
	bs := uint64(d.cfg.BlockSize)
	for at := uint64(0); at < blocks; {
		if c.Err() != nil {
			return aborted
		}
		n := min(blocks-at, scratchLen/bs)
		off := int64((lba + at) << d.shift)
		if err := d.store.ReadAt(data[:n*bs], off, 0); err != nil {
			return d.storeError(err, off, false)
		}
		if err := d.pi.read(pi[:n*tupleLen], lba+at); err != nil {
			return d.piError(err, lba+at, false)
		}
		for i := range n {
			b, t := data[i*bs:][:bs], pi[i*tupleLen:][:tupleLen]
			if code := x.checkMedium(what, getTuple(t), b, uint32(at+i)); code != 0 {
				return protectionFailed(code, lba+at+i)
			}
			if f != nil {
				if err := f(at+i, b, t); err != nil {
					return err
				}
			}
		}
		at += n
	}
	return nil
}

// protectedRead is READ.
func (d *Disk) protectedRead(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.read(c, a.lba, a.flags)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil || c.InMax == 0 {
		return err
	}
	if a.flags&fua != 0 && d.info.Volatile {
		if err := d.flush(); err != nil {
			return err
		}
	}
	h, err := d.claim(c, &a, &x, false)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	in, err := c.Room()
	if err != nil {
		return err
	}
	unit := a.unit(d.cfg.BlockSize)
	blocks := uint64((c.InMax + unit - 1) / unit)
	at := 0
	return d.walk(c, a.lba, blocks, d.onMedium(&a), &x, func(_ uint64, block, t []byte) error {
		at += copy(in[at:c.InMax], block)
		if a.protect() != 0 {
			at += copy(in[at:c.InMax], t)
		}
		return nil
	})
}

// take separates the Data-Out p into user data, which it moves to the front of p, and
// protection information, which it checks. Without any in p it makes some.
func (d *Disk) take(p []byte, a *access, x *expected) (data, pi []byte, err error) {
	bs, unit := int(d.cfg.BlockSize), a.unit(d.cfg.BlockSize)
	if len(p)%unit != 0 {
		return nil, nil, sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	n := len(p) / unit
	data, pi = p[:n*bs], make([]byte, n*tupleLen)
	for i := range n {
		block, t := data[i*bs:][:bs], pi[i*tupleLen:][:tupleLen]
		if a.protect() == 0 {
			x.made(guard(block), a.lba+uint64(i)).put(t)
			continue
		}
		copy(t, p[i*unit+bs:])
		copy(block, p[i*unit:])
		if code := x.check(checked[a.protect()], getTuple(t), block, uint32(i)); code != 0 {
			return nil, nil, protectionFailed(code, a.lba+uint64(i))
		}
	}
	return data, pi, nil
}

// putBoth writes blocks and their protection information. The caller has an exclusive
// hold, which readers of protected blocks wait for.
func (d *Disk) putBoth(c *core.Command, lba uint64, data, pi []byte, f block.Flags) error {
	off := int64(lba << d.shift)
	defer d.pi.leave(off, int64(len(data)))
	if err := d.pi.enter(c, off, int64(len(data))); err != nil {
		if c.Err() != nil {
			return aborted
		}
		return d.piError(err, lba, true)
	}
	if err := d.store.WriteAt(data, off, f); err != nil {
		return d.storeError(err, off, true)
	}
	return d.piError(d.pi.write(pi, lba, f), lba, true)
}

// protectedWrite is WRITE.
func (d *Disk) protectedWrite(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.write(c, a.lba, a.flags)
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
	return d.putBoth(c, a.lba, data, pi, d.writeFlags(c, a.flags))
}

// protectedWriteVerify is WRITE AND VERIFY.
func (d *Disk) protectedWriteVerify(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.writeVerify(c, a.lba)
	case a.flags>>1&3 > bytchkData:
		return sense.FieldBit(a.flagsAt, 2)
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
	if err := d.putBoth(c, a.lba, data, pi, block.FUA); err != nil {
		return err
	}
	if a.flags>>1&3 == bytchkMedium {
		return d.walk(c, a.lba, uint64(len(data))>>d.shift, d.onMedium(&a), &x, nil)
	}
	return d.compareBoth(c, &a, &x, data, pi, false)
}

// compareBoth compares the medium with blocks and their protection information, of the
// Data-Out, as VERIFY does; each of the medium with the first of them if repeat.
// INFORMATION is the offset in the Data-Out.
func (d *Disk) compareBoth(c *core.Command, a *access, x *expected, data, pi []byte, repeat bool) error {
	bs, unit := int(d.cfg.BlockSize), a.unit(d.cfg.BlockSize)
	blocks, what := uint64(len(data)/bs), checks(0)
	if repeat {
		blocks = a.blocks
	}
	if a.protect() == 0 {
		what = d.onMedium(a)
	}
	return d.walk(c, a.lba, blocks, what, x, func(n uint64, have, t []byte) error {
		i := int(n)
		if repeat {
			i = 0
		}
		miss := func(code sense.Code, at int) error {
			e := sense.New(sense.Miscompare, code)
			if repeat {
				return e
			}
			return e.WithInfo(uint64(i*unit + at))
		}
		want := data[i*bs:][:bs]
		if at := firstDifference(have, want); at >= 0 {
			return miss(sense.MiscompareDuringVerify, at)
		}
		wantPI := getTuple(pi[i*tupleLen:])
		if repeat {
			wantPI = wantPI.repeated(x.kind, n)
		}
		if code, at := x.compare(compared[a.protect()], getTuple(t), wantPI); code != 0 {
			return miss(code, bs+at)
		}
		return nil
	})
}

// repeated is the protection information of block number i of those that t, of one block
// of Data-Out, stands for (SBC-4, 5.51): reference tags of type 1 and 2 count up.
func (t tuple) repeated(kind uint8, i uint64) tuple {
	if kind != 3 && t != noCheck {
		t.ref += uint32(i)
	}
	return t
}

// protectedVerify is VERIFY.
func (d *Disk) protectedVerify(c *core.Command) error {
	a := parseAccess(c)
	x, err := d.admit(&a)
	check := a.flags >> 1 & 3
	switch {
	case err != nil:
		return err
	case x.kind == 0:
		return d.verify(c, a.lba, a.blocks)
	case check == 2:
		return sense.FieldBit(a.flagsAt, 2)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil || a.blocks == 0 {
		return err
	}
	if len(c.Out) != c.OutLen {
		return sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	data, pi, err := d.take(c.Out, &a, &x)
	if err != nil {
		return err
	}
	h, err := d.claim(c, &a, &x, false)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	if check != bytchkMedium {
		return d.compareBoth(c, &a, &x, data, pi, check == bytchkBlock)
	}
	return d.verifyMedium(c, &a, &x)
}

// verifyMedium reads a's range and checks its protection information. Where there is
// none, the user data of deallocated blocks need not be read either.
func (d *Disk) verifyMedium(c *core.Command, a *access, x *expected) error {
	for at := uint64(0); at < a.blocks; {
		lba := a.lba + at
		none, n, err := d.pi.none(lba, a.blocks-at)
		switch {
		case err != nil:
			return d.piError(err, lba, false)
		case none:
			err = d.readable(c, int64(lba<<d.shift), int64(n<<d.shift))
		default:
			rest := *x
			rest.ref += uint32(at)
			err = d.walk(c, lba, n, d.onMedium(a), &rest, nil)
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}
