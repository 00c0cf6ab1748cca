package cartridge

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
)

// A table lists the frames of a stretch in order. Every groupSize frames begin a group, whose
// absolute numbers are in dir; entries have one frame behind the other, in varints: objects,
// filemarks, bytes between the end of the frame before and the record, bytes of the record
// that are not stored data, stored data. What was appended is never changed, so that a copy of
// the two slices stays good while the table grows.
type table struct{ dir, entries []byte }

const (
	groupSize = 64
	groupLen  = 32 // first object, filemarks before, used before: 8 each; offset of record, of entry: 4 each
	entryMax  = 5 * binary.MaxVarintLen64
)

// place is a frame in a segment.
type place struct {
	off            int64 // of its record
	length         int64 // of its record
	stored         int64 // what of it counts as used
	first, objects uint64
	marks, inner   uint64 // filemarks before it, and in it
	usedBefore     int64
}

func (t *table) groups() int { return len(t.dir) / groupLen }

func (t *table) group(i int) (p place, at int) {
	g := t.dir[i*groupLen:]
	p.first, p.marks, p.usedBefore = le.Uint64(g), le.Uint64(g[8:]), int64(le.Uint64(g[16:]))
	p.off = int64(le.Uint32(g[24:]))
	return p, int(le.Uint32(g[28:]))
}

// entry takes the frame behind prev, whose length and counts are 0 when it begins a group.
func (c *cursor) entry(prev place) place {
	p := place{first: prev.first + prev.objects, marks: prev.marks + prev.inner, usedBefore: prev.usedBefore + prev.stored}
	p.objects, p.inner = c.varint(), c.varint()
	p.off = prev.off + prev.length + int64(c.count(math.MaxUint32))
	over := int64(c.count(maxMeta + maxData))
	p.stored = int64(c.count(maxData))
	p.length = over + p.stored
	if p.inner > p.objects || p.objects > 1<<62 {
		c.bad = true
	}
	return p
}

// search scans the group before group i for the frame that accept accepts.
func (t *table) search(i int, accept func(*place) bool) (place, bool) {
	if i == 0 {
		return place{}, false
	}
	p, at := t.group(i - 1)
	end := len(t.entries)
	if i < t.groups() {
		_, end = t.group(i)
	}
	if at > end || end > len(t.entries) {
		return place{}, false
	}
	c := cursor{b: t.entries[at:end]}
	for first := true; len(c.b) > 0 && !c.bad; first = false {
		gap := p.off
		p = c.entry(p)
		if first {
			p.off = gap // that of the group is absolute
		}
		if !c.bad && accept(&p) {
			return p, true
		}
	}
	return place{}, false
}

// object finds the frame that object n is in.
func (t *table) object(n uint64) (place, bool) {
	i := sort.Search(t.groups(), func(i int) bool { return le.Uint64(t.dir[i*groupLen:]) > n })
	return t.search(i, func(p *place) bool { return n >= p.first && n-p.first < p.objects })
}

// mark finds the frame with the filemark that n others in the partition precede.
func (t *table) mark(n uint64) (place, bool) {
	i := sort.Search(t.groups(), func(i int) bool { return le.Uint64(t.dir[i*groupLen+8:]) > n })
	return t.search(i, func(p *place) bool { return n >= p.marks && n-p.marks < p.inner })
}

// builder makes a table.
type builder struct {
	table
	frames int
	end    int64 // of the last record
}

func (b *builder) add(p place) {
	gap := p.off - b.end
	if b.frames%groupSize == 0 {
		b.dir = le.AppendUint64(b.dir, p.first)
		b.dir = le.AppendUint64(b.dir, p.marks)
		b.dir = le.AppendUint64(b.dir, uint64(p.usedBefore))
		b.dir = le.AppendUint32(b.dir, uint32(p.off))
		b.dir = le.AppendUint32(b.dir, uint32(len(b.entries)))
		gap = 0
	}
	b.entries = binary.AppendUvarint(b.entries, p.objects)
	b.entries = binary.AppendUvarint(b.entries, p.inner)
	b.entries = binary.AppendUvarint(b.entries, uint64(gap))
	b.entries = binary.AppendUvarint(b.entries, uint64(p.length-p.stored))
	b.entries = binary.AppendUvarint(b.entries, uint64(p.stored))
	b.frames++
	b.end = p.off + p.length
}

// appendTo appends the table as a footer has it.
func (t *table) appendTo(b []byte) []byte {
	b = le.AppendUint32(b, uint32(t.groups()))
	b = append(b, t.dir...)
	return append(b, t.entries...)
}

// parseTable reads it; b is kept.
func parseTable(b []byte) (table, error) {
	c := cursor{b: b}
	n := c.u32()
	if c.bad || n > uint32(len(b)/groupLen) {
		return table{}, fmt.Errorf("a table of %d bytes has no %d groups", len(b), n)
	}
	t := table{dir: c.bytes(int(n) * groupLen)}
	t.entries = c.b
	if c.bad || (n == 0) != (len(t.entries) == 0) {
		return table{}, fmt.Errorf("a table of %d bytes, with %d groups", len(b), n)
	}
	return t, nil
}
