package ssc

import (
	"context"
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

var motionTable = []row{
	none(0x01, "REWIND", "\x01\x01\x00\x00\x00\x00", medial, 600, onMedium((*Drive).rewind)),
	none(0x2b, "LOCATE(10)", "\x2b\x07\x00\xff\xff\xff\xff\x00\xff\x00", medial, seek, onMedium((*Drive).locate10)),
	in(0x34, "READ POSITION", core.Rule{Off: 7, Func: shortLen}, "\x34\x00\x00\x00\x00\x00\x00\xff\xff\x00",
		medial|core.Inline, quick, onMedium((*Drive).readPosition)).action(0x00),
	in(0x34, "READ POSITION", core.Rule{Off: 7, Func: shortLen}, "\x34\x01\x00\x00\x00\x00\x00\xff\xff\x00",
		medial|core.Inline, quick, onMedium((*Drive).readPosition)).action(0x01),
	in(0x34, "READ POSITION", core.Rule{Off: 7, Func: longLen}, "\x34\x06\x00\x00\x00\x00\x00\xff\xff\x00",
		medial|core.Inline, quick, onMedium((*Drive).readPositionLong)).action(0x06),
	in(0x34, "READ POSITION", core.Bytes(7, 2), "\x34\x08\x00\x00\x00\x00\x00\xff\xff\x00",
		medial|core.Inline, quick, onMedium((*Drive).readPositionExtended)).action(0x08),
	none(0x92, "LOCATE(16)", "\x92\x3b\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", medial, seek, onMedium((*Drive).locate16)),
}

// The short and long forms have one length, whatever the CDB says (SSC-5, 7.7).
func shortLen([]byte, uint32) uint64 { return 20 }
func longLen([]byte, uint32) uint64  { return 32 }

// moveTo sets the position. The caller holds the tape.
func (d *Drive) moveTo(partition int, object uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.mount
	if m.partition != partition || m.object != object {
		m.overwrite = overwriteNone
	}
	m.partition, m.object = partition, object
}

// where is the place of the position, as the beginning of a Move.
func (d *Drive) where() Move {
	m := d.mount
	if m == nil {
		return Move{}
	}
	at := m.place(m.partition, m.object)
	return Move{Partition: m.partition, From: at, FromObject: m.object}
}

// place is how far along partition p object is, from 0 to 1.
func (m *mount) place(p int, object uint64) float64 {
	q := m.medium.Partition(p)
	if q.Objects == 0 || q.Capacity <= 0 {
		return 0
	}
	return min(1, float64(q.Used)/float64(q.Capacity)) * float64(object) / float64(q.Objects)
}

// travel is the motion from the position to object of partition p.
func (d *Drive) travel(ctx context.Context, kind MoveKind, p int, object uint64, progress func(float64)) error {
	v := d.where()
	v.Kind, v.Partition, v.To, v.ToObject = kind, p, d.mount.place(p, object), object
	if err := d.move(ctx, v, progress); err != nil {
		return err
	}
	d.moveTo(p, object)
	return nil
}

// flush makes durable what was recorded, if anything was.
func (d *Drive) flush() error {
	m := d.mount
	if !m.dirty {
		return nil
	}
	d.stats.Flushes.Add(1)
	if err := m.medium.Flush(); err != nil {
		return d.failed(err, true)
	}
	m.dirty = false
	return nil
}

// rewind is REWIND (SSC-5, 7.14).
func (d *Drive) rewind(c *core.Command) error {
	if err := d.flush(); err != nil {
		return err
	}
	return d.do(c, d.rewinding(d.mount.partition), c.CDB[1]&1 != 0)
}

// rewinding goes to the beginning of partition p.
func (d *Drive) rewinding(p int) *operation {
	return &operation{key: sense.NoSense, code: rewindInProgress, not: operationInProgress,
		run: func(ctx context.Context, progress func(float64)) error {
			d.stats.Rewinds.Add(1)
			return d.travel(ctx, MoveRewind, p, 0, progress)
		}}
}

// Bits of READ POSITION data (SSC-5, 7.7).
const (
	bop  = 0x80
	eop  = 0x40
	perr = 0x02 // an object number does not fit
	bpew = 0x01
)

// positionFlags are BOP, EOP and BPEW.
func (d *Drive) positionFlags() byte {
	m := d.mount
	var f byte
	if m.object == 0 {
		f |= bop
	}
	warning, programmable := d.zones(m.partition, m.object)
	if warning {
		f |= eop
	}
	if programmable {
		f |= bpew
	}
	return f
}

// zones says whether object of partition p lies behind early warning, and behind programmable early
// warning. Where objects before the last lie is estimated.
func (d *Drive) zones(p int, object uint64) (warning, programmable bool) {
	q := d.mount.medium.Partition(p)
	used := q.Used
	if object < q.Objects {
		used = int64(float64(used) * float64(object) / float64(q.Objects))
	}
	left := q.Capacity - used
	warning = left <= d.earlyWarning(q.Capacity)
	return warning, d.settings.pews.Load() > 0 && (warning || left <= d.earlyWarning(q.Capacity)+d.settings.pewsBytes())
}

// earlyWarning is how many bytes before the end of a partition it begins.
func (d *Drive) earlyWarning(capacity int64) int64 {
	return min(d.model.EarlyWarning, capacity/10) // of a small partition less, so that it is not all
}

// readPosition is READ POSITION with the short form, whose numbers have 32 bits.
func (d *Drive) readPosition(c *core.Command) error {
	m := d.mount
	b := make([]byte, 20)
	b[0], b[1] = d.positionFlags(), byte(m.partition)
	if m.object > 0xffffffff {
		b[0] |= perr
	} else {
		binary.BigEndian.PutUint32(b[4:], uint32(m.object))
		binary.BigEndian.PutUint32(b[8:], uint32(m.object))
	}
	return c.Reply(b)
}

// readPositionLong is READ POSITION with the long form.
func (d *Drive) readPositionLong(c *core.Command) error {
	m := d.mount
	b := make([]byte, 32)
	b[0] = d.positionFlags()
	binary.BigEndian.PutUint32(b[4:], uint32(m.partition))
	binary.BigEndian.PutUint64(b[8:], m.object)
	files, err := m.medium.FilemarksBefore(m.partition, m.object)
	if err != nil {
		return d.failed(err, false)
	}
	binary.BigEndian.PutUint64(b[16:], files)
	return c.Reply(b)
}

// readPositionExtended is READ POSITION with the extended form.
func (d *Drive) readPositionExtended(c *core.Command) error {
	m := d.mount
	b := make([]byte, 32)
	b[0], b[1] = d.positionFlags(), byte(m.partition)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	binary.BigEndian.PutUint64(b[8:], m.object)
	binary.BigEndian.PutUint64(b[16:], m.object)
	return c.Reply(b)
}

// locate10 is LOCATE(10) (SSC-5, 6.4). BT asks for a vendor specific number: ours is the
// object's.
func (d *Drive) locate10(c *core.Command) error {
	const cp = 0x02
	p, err := d.target(c.CDB[1]&cp != 0, c.CDB, 8)
	if err != nil {
		return err
	}
	return d.locate(c, p, uint64(binary.BigEndian.Uint32(c.CDB[3:])), c.CDB[1]&1 != 0)
}

// Values of DEST_TYPE.
const (
	destObject = 0
	destFile   = 1
	destEOD    = 3
)

// locate16 is LOCATE(16) (SSC-5, 6.5).
func (d *Drive) locate16(c *core.Command) error {
	const cp = 0x02
	p, err := d.target(c.CDB[1]&cp != 0, c.CDB, 3)
	if err != nil {
		return err
	}
	id, immed := binary.BigEndian.Uint64(c.CDB[4:]), c.CDB[1]&1 != 0
	switch c.CDB[1] >> 3 & 7 {
	case destObject:
		return d.locate(c, p, id, immed)
	case destFile:
		object, err := d.mount.file(p, id)
		if err != nil {
			return d.failed(err, false)
		}
		return d.locate(c, p, object, immed)
	case destEOD:
		return d.locate(c, p, d.mount.medium.Partition(p).Objects, immed)
	}
	return sense.FieldBit(1, 5)
}

// file is the first object of logical file n, past the end of data when there is none.
func (m *mount) file(p int, n uint64) (uint64, error) {
	if n == 0 {
		return 0, nil
	}
	q := m.medium.Partition(p)
	if n > q.Filemarks {
		return q.Objects + 1, nil
	}
	mark, err := m.medium.Filemark(p, n-1)
	return mark + 1, err
}

// target is the partition that a CDB names at off when change is set, else the active one.
func (d *Drive) target(change bool, cdb []byte, off int) (int, error) {
	p := int(cdb[off])
	switch {
	case !change:
		return d.mount.partition, nil
	case p >= d.mount.medium.Partitions():
		return 0, sense.FieldBit(off, 7)
	}
	return p, nil
}

// locate goes to object of partition p, or to the end of data when there is no such object.
func (d *Drive) locate(c *core.Command, p int, object uint64, immed bool) error {
	if err := d.flush(); err != nil {
		return err
	}
	return d.do(c, &operation{key: sense.NoSense, code: locateInProgress, not: operationInProgress,
		run: func(ctx context.Context, progress func(float64)) error {
			d.stats.Locates.Add(1)
			end := d.mount.medium.Partition(p).Objects
			if err := d.travel(ctx, MoveLocate, p, min(object, end), progress); err != nil {
				return err
			}
			if object > end {
				return sense.New(sense.BlankCheck, endOfData)
			}
			return nil
		}}, immed)
}
