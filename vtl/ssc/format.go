package ssc

import (
	"context"
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

var formatTable = []row{
	out(0x04, "FORMAT MEDIUM", core.Bytes(3, 2), "\x04\x03\x0f\xff\xff\x00", writes, 3000, onMedium((*Drive).format)),
	none(0x0b, "SET CAPACITY", "\x0b\x01\x00\xff\xff\x00", writes, 780, onMedium((*Drive).setCapacity)),
}

// atStart refuses what is only allowed at the beginning of partition 0, and where the medium
// cannot be made blank.
func (d *Drive) atStart() error {
	m := d.mount
	if err := d.writable(m); err != nil {
		return err
	}
	switch {
	case m.partition != 0 || m.object != 0:
		return sense.New(sense.IllegalRequest, pastBeginning)
	case m.info.WORM && !m.blank():
		return sense.New(sense.DataProtect, wormOverwrite)
	case d.settings.appendOnly.Load() && m.overwrite != overwriteFormat && !m.blank():
		return sense.New(sense.DataProtect, writeAppendPosition)
	}
	return d.changing()
}

// blank says whether nothing is recorded.
func (m *mount) blank() bool {
	for p := range m.medium.Partitions() {
		if m.medium.Partition(p).Objects > 0 {
			return false
		}
	}
	return true
}

// format is FORMAT MEDIUM (SSC-5, 7.3).
func (d *Drive) format(c *core.Command) error {
	const (
		formatDefault   = 0
		formatPartition = 1
		formatBoth      = 2
	)
	if err := d.atStart(); err != nil {
		return err
	}
	if c.OutLen > 0 { // the list is vendor specific, and we have none
		return sense.Field(3)
	}
	sizes := []int64{d.mount.capacity()}
	switch c.CDB[2] & 0x0f {
	case formatDefault:
	case formatPartition, formatBoth:
		var err error
		if sizes, err = d.partitionSizes(); err != nil {
			return err
		}
	default:
		return sense.FieldBit(2, 3)
	}
	return d.renew(c, &operation{exclusive: true, key: sense.NotReady, code: sense.FormatInProgress, not: sense.FormatInProgress},
		func(m medium.Medium) error { return m.Format(sizes) })
}

// setCapacity is SET CAPACITY (SSC-5, 7.15).
func (d *Drive) setCapacity(c *core.Command) error {
	if err := d.atStart(); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(c.CDB[3:])
	return d.renew(c, &operation{exclusive: true, key: sense.NoSense, code: setCapacityInProgress, not: operationInProgress},
		func(m medium.Medium) error { return m.SetCapacity(n) })
}

// renew makes the medium blank by f, as op, with the IMMED bit of c.
func (d *Drive) renew(c *core.Command, op *operation, f func(medium.Medium) error) error {
	by := c.Path
	op.run = func(ctx context.Context, progress func(float64)) error {
		m := d.mount
		if err := d.move(ctx, Move{Kind: MoveFormat, To: 1}, progress); err != nil {
			return err
		}
		recorded := d.recorded(m)
		if err := f(m.medium); err != nil {
			return d.failed(err, true)
		}
		d.stats.Formats.Add(1)
		m.renewed()
		d.moveTo(0, 0)
		d.mu.Lock()
		m.dirty, m.overwrite = false, overwriteNone
		m.usage.carried, m.usage.stored0 = recorded, m.stored()
		m.warned, m.forewarned = [medium.MaxPartitions]bool{}, [medium.MaxPartitions]bool{}
		d.partitioning = m.partitioning()
		d.mu.Unlock()
		d.raise(sense.ModeParametersChanged, by) // the Medium Partition page
		return nil
	}
	return d.do(c, op, c.CDB[1]&1 != 0)
}
