package ssc

import (
	"context"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

var spaceTable = []row{
	none(0x11, "SPACE(6)", "\x11\x0f\xff\xff\xff\x00", medial, seek, onMedium((*Drive).space6)),
	none(0x91, "SPACE(16)", "\x91\x0f\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", medial, seek, onMedium((*Drive).space16)),
}

// Values of CODE.
const (
	spaceBlocks    = 0
	spaceFilemarks = 1
	spaceSequence  = 2
	spaceEOD       = 3
)

func (d *Drive) space6(c *core.Command) error {
	return d.space(c, int64(int32(wire.U24(c.CDB[2:])<<8)>>8))
}

func (d *Drive) space16(c *core.Command) error { return d.space(c, int64(u64(c.CDB[4:]))) }

// space is SPACE (SSC-5, 6.9 and 7.16) over n of what CODE says, back when n is negative.
func (d *Drive) space(c *core.Command, n int64) error {
	m := d.mount
	var find func(*mount, context.Context, uint64, bool) (uint64, error)
	switch c.CDB[1] & 0x0f {
	case spaceBlocks:
		find = (*mount).overBlocks
	case spaceFilemarks:
		find = (*mount).overFilemarks
	case spaceSequence:
		find = (*mount).overSequence
	case spaceEOD:
		find = func(m *mount, _ context.Context, _ uint64, _ bool) (uint64, error) {
			return m.medium.Partition(m.partition).Objects, nil
		}
		n = 1
	default:
		return sense.FieldBit(1, 3)
	}
	if n == 0 {
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	count, back := uint64(n), n < 0
	if back {
		count = -count
	}
	to, met := find(m, c, count, back)
	if met != nil {
		if _, ok := met.(*sense.Error); !ok { //nolint:errorlint // made below
			if met == error(aborted) { //nolint:errorlint // the sentinel itself
				return met
			}
			return d.failed(met, false)
		}
	}
	d.stats.Locates.Add(1)
	if err := d.travel(c, MoveLocate, m.partition, to, func(float64) {}); err != nil {
		return err
	}
	return met
}

// overBlocks finds the place n blocks on, or the filemark or end before it, with what to report.
func (m *mount) overBlocks(_ context.Context, n uint64, back bool) (uint64, error) {
	q := m.medium.Partition(m.partition)
	before, err := m.medium.FilemarksBefore(m.partition, m.object)
	if err != nil {
		return 0, err
	}
	if back {
		first := uint64(0) // the first block that no filemark divides from the position
		if before > 0 {
			mark, err := m.medium.Filemark(m.partition, before-1)
			if err != nil {
				return 0, err
			}
			first = mark + 1
		}
		switch blocks := m.object - first; {
		case n <= blocks:
			return m.object - n, nil
		case before > 0:
			return first - 1, atFilemark(int64(n - blocks))
		default:
			return 0, atBeginning(int64(n - blocks))
		}
	}
	end := q.Objects
	if before < q.Filemarks {
		if end, err = m.medium.Filemark(m.partition, before); err != nil {
			return 0, err
		}
	}
	switch blocks := end - m.object; {
	case n <= blocks:
		return m.object + n, nil
	case before < q.Filemarks:
		return end + 1, atFilemark(int64(n - blocks))
	default:
		return end, atEnd(int64(n - blocks))
	}
}

// overFilemarks finds the place behind the n-th filemark, going back before it.
func (m *mount) overFilemarks(_ context.Context, n uint64, back bool) (uint64, error) {
	q := m.medium.Partition(m.partition)
	before, err := m.medium.FilemarksBefore(m.partition, m.object)
	switch {
	case err != nil:
		return 0, err
	case back && n > before:
		return 0, atBeginning(int64(n - before))
	case back:
		return m.medium.Filemark(m.partition, before-n)
	case n > q.Filemarks-before:
		return q.Objects, atEnd(int64(n - (q.Filemarks - before)))
	}
	mark, err := m.medium.Filemark(m.partition, before+n-1)
	return mark + 1, err
}

// overSequence finds the place behind the first n filemarks in a row, going back before them.
func (m *mount) overSequence(ctx context.Context, n uint64, back bool) (uint64, error) {
	q := m.medium.Partition(m.partition)
	before, err := m.medium.FilemarksBefore(m.partition, m.object)
	if err != nil {
		return 0, err
	}
	// run says whether the filemarks first to first+n-1 are in a row.
	run := func(first uint64) (uint64, bool, error) {
		a, err := m.medium.Filemark(m.partition, first)
		if err != nil {
			return 0, false, err
		}
		b, err := m.medium.Filemark(m.partition, first+n-1)
		return a, err == nil && b-a == n-1, err
	}
	if back {
		for first := before; first >= n; first-- {
			at, ok, err := run(first - n)
			if err != nil || ok {
				return at, err
			}
			if ctx.Err() != nil {
				return 0, aborted
			}
		}
		return 0, atBeginning(int64(n))
	}
	for first := before; n <= q.Filemarks && first <= q.Filemarks-n; first++ {
		at, ok, err := run(first)
		if err != nil || ok {
			return at + n, err
		}
		if ctx.Err() != nil {
			return 0, aborted
		}
	}
	return q.Objects, atEnd(int64(n))
}
