package sbc

import (
	"crypto/subtle"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// xdWriteRead is XDWRITEREAD (SBC-3, 5.58 and 5.59): the Data-In is the Data-Out XOR what
// the blocks held, and then, but for DISABLE WRITE, the Data-Out is written. Nobody
// writes in between. Neither direction carries protection information.
func (d *Disk) xdWriteRead(c *core.Command) error {
	const disableWrite = 0x04
	a := parseAccess(c)
	if a.long && a.additionalLength != longCDB {
		return sense.Field(7)
	}
	if err := d.inRange(a.lba, a.blocks); err != nil {
		return err
	}
	if err := exactly(c, a.lengthAt); err != nil || c.OutLen == 0 {
		return err
	}
	off := int64(a.lba << d.shift)
	h, err := d.lock.lock(c, off, int64(c.OutLen), true)
	if err != nil {
		return aborted
	}
	defer d.lock.unlock(h)
	in, err := c.Room()
	if err != nil {
		return err
	}
	if err := d.xorInto(c, in[:c.InMax], &a); err != nil {
		return err
	}
	if a.flags&disableWrite != 0 {
		return nil
	}
	if x := d.plain(); x.kind != 0 {
		data, pi, err := d.take(c.Out, &access{lba: a.lba}, &x)
		if err != nil {
			return err
		}
		return d.putBoth(c, a.lba, data, pi, d.writeFlags(c, a.flags))
	}
	return d.writeAtomically(c.Out, off, d.writeFlags(c, a.flags))
}

// xorInto fills in with the medium XOR the Data-Out, as far as in goes.
func (d *Disk) xorInto(c *core.Command, in []byte, a *access) error {
	at := 0
	if x := d.plain(); x.kind != 0 {
		x.ref, x.hasRef = uint32(a.lba), x.kind == 1
		return d.walk(c, a.lba, a.blocks, d.onMedium(&access{}), &x, func(_ uint64, have, _ []byte) error {
			at += xor(in[min(at, len(in)):], have, c.Out[at:])
			return nil
		})
	}
	return d.scan(c, int64(a.lba<<d.shift), int64(c.OutLen), func(have []byte) error {
		at += xor(in[min(at, len(in)):], have, c.Out[at:])
		return nil
	})
}

// xor is subtle.XORBytes into as much of dst as there is. It returns the length of a.
func xor(dst, a, b []byte) int {
	subtle.XORBytes(dst, a[:min(len(dst), len(a))], b)
	return len(a)
}

// plain is what is known of a range that a command without a PROTECT field reaches: the
// kind is 0 where there is no protection information.
func (d *Disk) plain() expected {
	if d.pi == nil {
		return expected{}
	}
	return expected{kind: uint8(d.pi.kind.Load()), ato: d.pi.ato.Load()}
}
