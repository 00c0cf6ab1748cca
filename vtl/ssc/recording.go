package ssc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/vtl/medium"
)

// recording is how the blocks of c are to be recorded. The error ends c.
func (d *Drive) recording(c *core.Command) (medium.Recording, error) {
	k, err := d.keysFor(c)
	if err != nil {
		return medium.Recording{}, err
	}
	return medium.Recording{Compress: d.settings.compress.Load(), Key: k.forWrite()}, nil
}

// readObject reads object of the active partition into dst with the keys k, which may refuse it.
func (m *mount) readObject(object uint64, dst []byte, k *keySet) (medium.Object, error) {
	o, err := m.medium.Read(m.partition, object, dst, k.forRead())
	if err != nil {
		return o, k.refused(err)
	}
	return o, k.check(o)
}

// noneRecorded stands in the attributes 0224h and 0225h for no such block (SSC-5, 4.2.22).
const noneRecorded uint64 = 1<<64 - 1

// marks are the first encrypted block of a partition, and the first behind it that is not.
type marks struct{ encrypted, plain uint64 }

// marksOf are the marks of partition p, as the medium keeps them.
func (m *mount) marksOf(p int) *marks {
	w := &m.usage.marks[p]
	if *w == (marks{}) { // not asked for yet: both cannot be 0
		w.encrypted, w.plain = noneRecorded, noneRecorded
		if v, ok := m.kept(p, attrEncrypted); ok {
			w.encrypted = v
		}
		if v, ok := m.kept(p, attrPlain); ok {
			w.plain = v
		}
	}
	return w
}

// cut is told before the objects from at on of partition p go.
func (m *mount) cut(p int, at uint64) error {
	w := m.marksOf(p)
	old := *w
	if w.encrypted >= at {
		w.encrypted = noneRecorded
	}
	if w.plain >= at {
		w.plain = noneRecorded
	}
	return m.keep(p, old)
}

// mark is told before a block is recorded as object at of partition p.
func (m *mount) mark(p int, at uint64, encrypted bool) error {
	w := m.marksOf(p)
	old := *w
	if w.encrypted >= at {
		w.encrypted, w.plain = noneRecorded, noneRecorded
	}
	if w.plain >= at {
		w.plain = noneRecorded
	}
	switch {
	case encrypted && w.encrypted == noneRecorded:
		w.encrypted = at
	case !encrypted && w.encrypted != noneRecorded && w.plain == noneRecorded:
		w.plain = at
	}
	return m.keep(p, old)
}

// keep gives the marks of partition p to the medium when they are not old any more.
func (m *mount) keep(p int, old marks) error {
	w := m.marksOf(p)
	if *w == old {
		return nil
	}
	attribute := func(id uint16, v uint64) medium.Attribute {
		a := medium.Attribute{ID: id, Format: formatBinary}
		if v != noneRecorded {
			a.Value = binary.BigEndian.AppendUint64(nil, v)
		}
		return a
	}
	return m.medium.SetAttributes(p, attribute(attrEncrypted, w.encrypted), attribute(attrPlain, w.plain))
}

// renewed is told that the medium was made blank.
func (m *mount) renewed() { m.usage.marks = [medium.MaxPartitions]marks{} }
