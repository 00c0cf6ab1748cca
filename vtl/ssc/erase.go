package ssc

import (
	"context"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

var eraseTable = []row{
	none(0x19, "ERASE(6)", "\x19\x03\x00\x00\x00\x00", writes, whole, onMedium((*Drive).erase6)),
	none(0x93, "ERASE(16)", "\x93\x0f\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", writes, whole, onMedium((*Drive).erase16)),
}

func (d *Drive) erase6(c *core.Command) error { return d.erase(c) }

func (d *Drive) erase16(c *core.Command) error {
	if err := d.seek(c); err != nil {
		return err
	}
	return d.erase(c)
}

// erase is ERASE (SSC-5, 6.3 and 7.3): the position becomes the end of data. With LONG the tape runs to
// the end of the partition besides; nothing more is lost by that.
func (d *Drive) erase(c *core.Command) error {
	const (
		long  = 0x01
		immed = 0x02
	)
	if err := d.recordable(); err != nil {
		return err
	}
	all := c.CDB[1]&long != 0 // c is gone when an immediate one runs
	return d.do(c, &operation{exclusive: true, key: sense.NoSense, code: eraseInProgress, not: operationInProgress,
		run: func(ctx context.Context, progress func(float64)) error {
			m := d.mount
			d.stats.Erases.Add(1)
			if err := m.cut(m.partition, m.object); err != nil {
				return d.failed(err, true)
			}
			if err := m.medium.Truncate(m.partition, m.object); err != nil {
				return d.failed(err, true)
			}
			m.dirty = false // it is all durable
			d.rezone(m.partition)
			if !all {
				return nil
			}
			at := d.where()
			at.Kind, at.To, at.ToObject = MoveErase, 1, m.object
			return d.move(ctx, at, progress)
		}}, c.CDB[1]&immed != 0)
}

// rezone looks anew at where the end of data of partition p lies.
func (d *Drive) rezone(p int) {
	m := d.mount
	m.warned[p], m.forewarned[p] = d.zones(p, m.medium.Partition(p).Objects)
}
