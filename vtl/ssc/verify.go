package ssc

import (
	"bytes"
	"context"
	"hash/crc32"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

// Bits of byte 1 of VERIFY.
const (
	bytcmp      = 0x02
	verifyImmed = 0x04
	vbf         = 0x08 // VERIFICATION LENGTH counts filemarks
	vlbpm       = 0x10 // the blocks are to have protection information of the method that is set
	vte         = 0x20 // to the end of data
)

var (
	verify6  = core.Rule{Off: 2, Width: 3, Func: func(cdb []byte, block uint32) uint64 { return compared(cdb, 2, block) }}
	verify16 = core.Rule{Off: 12, Width: 3, Func: func(cdb []byte, block uint32) uint64 { return compared(cdb, 12, block) }}
)

// compared is how much Data-Out a VERIFY has.
func compared(cdb []byte, off int, block uint32) uint64 {
	if cdb[1]&bytcmp == 0 {
		return 0
	}
	return transfer(cdb, off, block)
}

var verifyTable = []row{
	out(0x13, "VERIFY(6)", verify6, "\x13\x3f\xff\xff\xff\x00", medial, whole, onMedium((*Drive).verify6)),
	out(0x8f, "VERIFY(16)", verify16, "\x8f\x3f\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		medial, whole, onMedium((*Drive).verify16)),
}

func (d *Drive) verify6(c *core.Command) error { return d.verify(c, int(wire.U24(c.CDB[2:]))) }

func (d *Drive) verify16(c *core.Command) error {
	if err := d.seek(c); err != nil {
		return err
	}
	return d.verify(c, int(wire.U24(c.CDB[12:])))
}

// verification is what a VERIFY looks at.
type verification struct {
	blocks, filemarks int64
	toEnd             bool
	length            int    // of each block; -1: any
	same              []byte // the blocks are to be
	compare           bool
	bytes             int64 // what INFORMATION counts when it is not blocks or filemarks
	keys              *keySet
	guard             guard // behind each block of same
	method            bool  // VLBPM: the block must fit the CRC32C that was recorded with it
}

// verify is VERIFY (SSC-5, 6.10 and 7.19) of n blocks, bytes or filemarks.
func (d *Drive) verify(c *core.Command, n int) error {
	flags := c.CDB[1]
	k, err := d.keysFor(c)
	if err != nil {
		return err
	}
	v := verification{compare: flags&bytcmp != 0, same: c.Out, length: -1, keys: k}
	if v.compare {
		v.guard = d.writeGuard()
	}
	v.method = flags&vlbpm != 0
	switch {
	case flags&vlbpm != 0 && d.readGuard().method == guardNone:
		return sense.FieldBit(1, 4)
	case flags&vte != 0 && flags&(vbf|bytcmp) != 0, flags&verifyImmed != 0 && v.compare:
		return sense.FieldBit(1, 5)
	case flags&vbf != 0 && flags&(bytcmp|fixed) != 0:
		return sense.FieldBit(1, 3)
	case flags&vte != 0:
		v.toEnd = true
	case flags&vbf != 0:
		v.filemarks = int64(n)
	case flags&fixed != 0:
		if v.length = int(d.blockLen.Load()); v.length == 0 {
			return sense.FieldBit(1, 0)
		}
		v.blocks = int64(n)
	case n > 0:
		v.blocks, v.length, v.bytes = 1, n-v.guard.size(), int64(n)
	}
	if v.compare && len(v.same) != int(v.blocks)*(v.length+v.guard.size()) && v.blocks > 0 {
		return sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	return d.do(c, &operation{key: sense.NoSense, code: verifyInProgress, not: operationInProgress,
		run: func(ctx context.Context, _ func(float64)) error { return d.runVerify(ctx, v) }}, flags&verifyImmed != 0)
}

// runVerify reads what v says.
func (d *Drive) runVerify(ctx context.Context, v verification) error {
	m := d.mount
	for v.toEnd || v.blocks > 0 || v.filemarks > 0 {
		if ctx.Err() != nil {
			return aborted
		}
		rest := v.blocks + v.filemarks
		if v.bytes > 0 {
			rest = v.bytes
		}
		o, err := m.medium.Read(m.partition, m.object, nil, nil)
		if err == nil && o.Kind == medium.Block {
			b := d.room(o.Length)
			o, err = m.readObject(m.object, b, v.keys)
			if err == nil && v.method && crc32.Checksum(b, castagnoli) != o.CRC {
				err = medium.ErrCorrupt
			}
			if err == nil {
				if err := d.compare(&v, b, rest); err != nil {
					return err
				}
				continue
			}
		}
		switch {
		case err != nil:
			return d.unread(err, rest)
		case o.Kind == medium.EndOfData && v.toEnd:
			return nil
		case o.Kind == medium.EndOfData:
			return atEnd(rest)
		}
		d.advance(1)
		switch {
		case v.toEnd:
		case v.filemarks > 0:
			v.filemarks--
		default:
			return atFilemark(rest)
		}
	}
	return nil
}

// compare goes over block b and says what is wrong with it.
func (d *Drive) compare(v *verification, b []byte, rest int64) error {
	d.advance(1)
	d.stats.Verified.Add(1)
	if v.blocks == 0 {
		return nil // only that it can be read counts
	}
	if len(b) != v.length {
		if v.bytes > 0 {
			rest -= int64(len(b))
		}
		return badLength(rest)
	}
	v.blocks--
	if !v.compare {
		return nil
	}
	unit := v.length + v.guard.size()
	want, _, ok := v.guard.check(v.same[:unit])
	v.same = v.same[unit:]
	if !ok {
		return errGuard
	}
	if !bytes.Equal(want, b) {
		return sense.New(sense.Miscompare, sense.MiscompareDuringVerify)
	}
	return nil
}
