package cartridge

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// partition is how a partition stands.
type partition struct {
	capacity           int64
	objects, filemarks uint64
	used               int64
	written, stored    uint64
}

// state is how the tape stands at one point of the log, but for its attributes. It is a value.
type state struct {
	generation uint64
	released   uint64 // generations below it are not kept
	limit      int64  // what SetCapacity left of the native capacity
	n          int    // partitions
	parts      [medium.MaxPartitions]partition
}

func (s *state) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, s.generation)
	b = binary.AppendUvarint(b, s.released)
	b = binary.AppendUvarint(b, uint64(s.limit))
	b = append(b, byte(s.n))
	for _, p := range s.parts[:s.n] {
		b = binary.AppendUvarint(b, uint64(p.capacity))
		b = binary.AppendUvarint(b, p.objects)
		b = binary.AppendUvarint(b, p.filemarks)
		b = binary.AppendUvarint(b, uint64(p.used))
		b = binary.AppendUvarint(b, p.written)
		b = binary.AppendUvarint(b, p.stored)
	}
	return b
}

func (c *cursor) state() state {
	s := state{generation: c.varint(), released: c.varint(), limit: c.number(), n: int(c.u8())}
	if s.n < 1 || s.n > medium.MaxPartitions || s.released > s.generation {
		c.bad = true
		return state{n: 1}
	}
	for i := range s.n {
		p := &s.parts[i]
		*p = partition{c.number(), c.varint(), c.varint(), c.number(), c.varint(), c.varint()}
		if p.filemarks > p.objects {
			c.bad = true
		}
	}
	return s
}

// Why is why a generation began.
type Why uint8

// Reasons.
const (
	Created Why = iota
	Overwritten
	Erased
	Formatted
	CapacitySet
	RolledBack
)

func (w Why) String() string {
	names := [...]string{"created", "overwrite", "erase", "format", "set capacity", "rollback"}
	if int(w) < len(names) {
		return names[w]
	}
	return fmt.Sprintf("reason %d", uint8(w))
}

// beginning is the record of a generation: how the tape stood at the end of the one before,
// and how it stands now.
type beginning struct {
	why           Why
	partition     int    // of an overwrite or erasure
	from          uint64 // generation that a rollback went back to
	when          time.Time
	before, after state
	// attrs are the attributes after a rollback. Others leave them as they are.
	attrs *attributes
}

func (g *beginning) appendTo(b []byte) []byte {
	b = append(b, byte(g.why), byte(g.partition))
	b = binary.AppendUvarint(b, g.from)
	b = le.AppendUint64(b, uint64(g.when.UnixNano()))
	b = g.after.appendTo(g.before.appendTo(b))
	if g.attrs != nil {
		b = g.attrs.appendTo(b)
	}
	return b
}

func (c *cursor) beginning() beginning {
	g := beginning{why: Why(c.u8()), partition: int(c.u8()), from: c.varint()}
	g.when = time.Unix(0, int64(c.u64())).UTC()
	g.before, g.after = c.state(), c.state()
	if g.why == RolledBack {
		g.attrs = c.attributes()
	}
	if g.why < Overwritten || g.why > RolledBack || g.partition >= medium.MaxPartitions || g.after.generation != g.before.generation+1 {
		c.bad = true
	}
	return g
}

// attributes of all partitions. A value that is in there is never changed.
type attributes [medium.MaxPartitions]map[uint16]medium.Attribute

// maxAttributes is how many bytes the attributes of a cartridge may take in the log.
const maxAttributes = 512 << 10

func (a *attributes) clone() attributes {
	var c attributes
	for i := range a {
		c[i] = maps.Clone(a[i])
	}
	return c
}

// set changes one; an empty value removes it.
func (a *attributes) set(p int, v medium.Attribute) {
	if len(v.Value) == 0 {
		delete(a[p], v.ID)
		return
	}
	if a[p] == nil {
		a[p] = map[uint16]medium.Attribute{}
	}
	a[p][v.ID] = v
}

func (a *attributes) sorted(p int) []medium.Attribute {
	return slices.SortedFunc(maps.Values(a[p]), func(x, y medium.Attribute) int { return cmp.Compare(x.ID, y.ID) })
}

func (a *attributes) appendTo(b []byte) []byte {
	n := 0
	for i := range a {
		n += len(a[i])
	}
	b = binary.AppendUvarint(b, uint64(n))
	for i := range a {
		for _, v := range a.sorted(i) {
			b = appendAttribute(b, i, v)
		}
	}
	return b
}

func appendAttribute(b []byte, p int, v medium.Attribute) []byte {
	b = append(b, byte(p))
	b = le.AppendUint16(b, v.ID)
	b = append(b, v.Format)
	return appendBytes(b, v.Value)
}

// change is one change of an attribute.
type change struct {
	partition int
	medium.Attribute
}

func (c *cursor) changes() []change {
	var all []change
	for range c.count(maxAttributes / 5) {
		v := change{partition: int(c.u8())}
		v.ID, v.Format = c.u16(), c.u8()
		v.Value = bytes.Clone(c.bytes(c.count(medium.MaxAttribute)))
		if c.bad || v.partition >= medium.MaxPartitions {
			c.bad = true
			return nil
		}
		all = append(all, v)
	}
	return all
}

func appendChanges(b []byte, p int, attrs []medium.Attribute) []byte {
	b = binary.AppendUvarint(b, uint64(len(attrs)))
	for _, v := range attrs {
		b = appendAttribute(b, p, v)
	}
	return b
}

func (c *cursor) attributes() *attributes {
	a := new(attributes)
	for _, v := range c.changes() {
		if _, twice := a[v.partition][v.ID]; twice || len(v.Value) == 0 {
			c.bad = true
			return a
		}
		a.set(v.partition, v.Attribute)
	}
	return a
}

// checkpoint is a record with all that the log said before it.
type checkpoint struct {
	purpose purpose
	state   state
	attrs   attributes
}

// purpose is why a checkpoint was written.
type purpose uint8

const (
	atStart   purpose = iota // of a segment
	atClose                  // all before it is durable
	atRelease                // generations below state.released are not kept any more
)

func (k *checkpoint) appendTo(b []byte) []byte {
	b = append(b, byte(k.purpose))
	return k.attrs.appendTo(k.state.appendTo(b))
}

func (c *cursor) checkpoint() checkpoint {
	k := checkpoint{purpose: purpose(c.u8()), state: c.state()}
	k.attrs = *c.attributes()
	if k.purpose > atRelease {
		c.bad = true
	}
	return k
}
