package sbc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// startStop is START STOP UNIT (SBC-4, 5.31). IMMED is as for SYNCHRONIZE CACHE.
func (d *Disk) startStop(c *core.Command) error {
	const (
		start   = 0x01
		loej    = 0x02
		noFlush = 0x04
	)
	flags := c.CDB[4]
	switch {
	case c.CDB[3] != 0:
		return sense.FieldBit(3, 3) // POWER CONDITION MODIFIER: of conditions that we lack
	case flags>>4 > 1:
		return sense.FieldBit(4, 7) // no idle and no standby
	case flags>>4 == 1: // ACTIVE; START and LOEJ are ignored
		d.setState(0, stateStopped)
		return nil
	case flags&loej != 0:
		return sense.FieldBit(4, 1) // not removable
	case flags&start != 0:
		d.setState(0, stateStopped)
		return nil
	}
	if flags&noFlush == 0 {
		if err := d.flush(); err != nil {
			return err
		}
	}
	d.setState(stateStopped, 0)
	return nil
}

// starts tells a START STOP UNIT that no reservation refuses: START, and no power
// condition (SBC-4, table 13).
func starts(cdb []byte) bool { return cdb[4]&0xf1 == 0x01 }

// setState sets and clears what is in the way of commands.
func (d *Disk) setState(set, reset uint32) {
	d.state.Or(set)
	d.state.And(^reset)
}

// readDefects10 is READ DEFECT DATA(10) (SBC-4, 5.20): lists that are empty, since
// whatever maps defects away is below the store and hides them.
func (d *Disk) readDefects10(c *core.Command) error {
	if c.CDB[2]&7 > 5 {
		return sense.FieldBit(2, 2)
	}
	return c.Reply([]byte{0, c.CDB[2] & 0x1f, 0, 0})
}

// readDefects12 is READ DEFECT DATA(12) (SBC-4, 5.21).
func (d *Disk) readDefects12(c *core.Command) error {
	if c.CDB[1]&7 > 5 {
		return sense.FieldBit(1, 2)
	}
	return c.Reply([]byte{0, c.CDB[1] & 0x1f, 0, 0, 0, 0, 0, 0})
}
