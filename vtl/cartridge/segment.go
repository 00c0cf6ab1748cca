package cartridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/targate/targate/vtl/medium"
)

const (
	version         = 1
	segmentMagic    = "TGTSEGMT"
	headerCopy      = 72 // bytes of one of the two copies of a segment's header
	segmentHeader   = 2 * headerCopy
	footerMagic     = "TGTFOOTR"
	trailerLen      = 48
	segmentSuffix   = ".seg"
	maxSegmentFiles = 1 << 22
	// maxFrames is how many frames a segment has at most, so that its tables stay small.
	maxFrames = 1 << 17
	// maxSummary and maxTables bound what a footer can have.
	maxSummary = 64 << 20
	maxTables  = maxFrames*entryMax + (maxFrames/groupSize+1)*groupLen
)

func segmentName(n uint64) string { return fmt.Sprintf("%016x%s", n, segmentSuffix) }

// parseSegmentName is the number in a name that segmentName made.
func parseSegmentName(name string) (n uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%016x", &n); err != nil || segmentName(n) != name {
		return 0, false
	}
	return n, true
}

// stretch is a sequence of frames of one partition, in one segment, whose objects follow each
// other.
type stretch struct {
	partition        int
	record           uint64 // number of its first one
	first, objects   uint64
	marks, inner     uint64 // filemarks before it, and in it
	usedBefore, used int64
	off, length      uint32 // of its table, from the footer on
	crc              uint32 // of its table
}

// start is a generation's record in a segment.
type start struct {
	record uint64
	beginning
}

// segment is what is known of one without its tables.
type segment struct {
	number, salt uint64
	first        uint64 // record
	last         uint64 // record; first-1 when there is none
	committed    uint64 // of its header
	end          int64  // of the log in it: where the footer begins
	sealed       bool
	scanned      bool  // by this user: it may not be durable
	begin        state // at its start
	stretches    []stretch
	starts       []start

	// Of one that is not sealed: a table for each stretch, and the stretch of each partition
	// that goes on, from 1.
	tables []builder
	open   [medium.MaxPartitions]int
	frames int
}

// add takes a frame into the index.
func (s *segment) add(h *header, c *content, off int64) {
	i := s.open[h.partition] - 1
	if i < 0 || s.stretches[i].first+s.stretches[i].objects != c.first {
		i = len(s.stretches)
		x := stretch{partition: h.partition, record: h.number, first: c.first, marks: c.marks}
		x.usedBefore = s.usedBefore(h.partition)
		s.stretches = append(s.stretches, x)
		s.tables = append(s.tables, builder{})
		s.open[h.partition] = i + 1
	}
	x := &s.stretches[i]
	p := place{off: off, length: h.length(), stored: h.used(c), first: c.first, objects: c.objects,
		marks: c.marks, inner: c.inner, usedBefore: x.usedBefore + x.used}
	s.tables[i].add(p)
	x.objects += p.objects
	x.inner += p.inner
	x.used += p.stored
	s.frames++
}

// usedBefore is what partition p has in use where a new stretch of it begins: as the last
// stretch, generation or the start of the segment says.
func (s *segment) usedBefore(p int) int64 {
	used, record := s.begin.parts[p].used, uint64(0)
	if n := len(s.starts); n > 0 {
		used, record = s.starts[n-1].after.parts[p].used, s.starts[n-1].record
	}
	for i := len(s.stretches) - 1; i >= 0; i-- {
		if x := &s.stretches[i]; x.partition == p && x.record > record {
			return x.usedBefore + x.used
		}
	}
	return used
}

// cut takes the beginning of a generation into the index.
func (s *segment) cut(record uint64, g beginning) {
	s.starts = append(s.starts, start{record, g})
	s.open = [medium.MaxPartitions]int{}
}

func appendSegmentHeader(b []byte, s *segment, id [16]byte) []byte {
	at := len(b)
	b = append(b, segmentMagic...)
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, headerCopy)
	b = append(b, id[:]...)
	b = le.AppendUint64(b, s.number)
	b = le.AppendUint64(b, s.first)
	b = le.AppendUint64(b, s.salt)
	b = le.AppendUint64(b, s.committed)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
	return append(b, b[at:]...)
}

var errSegment = errors.New("not an intact segment")

// parseSegmentHeader reads one copy.
func parseSegmentHeader(b []byte, number uint64, id [16]byte) (*segment, error) {
	if len(b) < headerCopy || string(b[:8]) != segmentMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", errSegment, segmentMagic)
	}
	if got, want := crc32.Checksum(b[:68], castagnoli), le.Uint32(b[68:]); got != want {
		return nil, fmt.Errorf("%w: CRC32C of the header %08x, it says %08x", errSegment, got, want)
	}
	if v := le.Uint16(b[8:]); v != version {
		return nil, fmt.Errorf("segment of version %d; this program knows %d", v, version)
	}
	s := &segment{number: le.Uint64(b[32:]), first: le.Uint64(b[40:]), salt: le.Uint64(b[48:]), committed: le.Uint64(b[56:]), end: segmentHeader}
	if [16]byte(b[16:32]) != id {
		return nil, fmt.Errorf("%w: it is of another cartridge", errSegment)
	}
	if s.number != number || s.first == 0 || s.committed >= s.first || le.Uint32(b[12:]) != headerCopy {
		return nil, fmt.Errorf("%w: it says that it is number %d", errSegment, s.number)
	}
	s.last = s.first - 1
	return s, nil
}

// summary appends what is known of a sealed segment.
func (s *segment) summary(b []byte) []byte {
	b = binary.AppendUvarint(b, s.number)
	b = le.AppendUint64(b, s.salt)
	b = binary.AppendUvarint(b, s.first)
	b = binary.AppendUvarint(b, s.last-s.first+1)
	b = binary.AppendUvarint(b, s.committed)
	b = binary.AppendUvarint(b, uint64(s.end))
	b = s.begin.appendTo(b)
	b = binary.AppendUvarint(b, uint64(len(s.stretches)))
	for i := range s.stretches {
		x := &s.stretches[i]
		b = append(b, byte(x.partition))
		b = binary.AppendUvarint(b, x.record)
		b = binary.AppendUvarint(b, x.first)
		b = binary.AppendUvarint(b, x.objects)
		b = binary.AppendUvarint(b, x.marks)
		b = binary.AppendUvarint(b, x.inner)
		b = binary.AppendUvarint(b, uint64(x.usedBefore))
		b = binary.AppendUvarint(b, uint64(x.used))
		b = binary.AppendUvarint(b, uint64(x.off))
		b = binary.AppendUvarint(b, uint64(x.length))
		b = le.AppendUint32(b, x.crc)
	}
	b = binary.AppendUvarint(b, uint64(len(s.starts)))
	for i := range s.starts {
		b = binary.AppendUvarint(b, s.starts[i].record)
		b = appendBytes(b, s.starts[i].appendTo(nil))
	}
	return b
}

// parseSummary reads it, all of b.
func parseSummary(b []byte) (*segment, error) {
	c := &cursor{b: b}
	s := &segment{sealed: true, number: c.varint(), salt: c.u64(), first: c.varint()}
	records := c.varint()
	s.last = s.first + records - 1
	s.committed, s.end, s.begin = c.varint(), c.number(), c.state()
	n := c.count(len(b) / 13)
	if !c.bad {
		s.stretches = make([]stretch, 0, n)
	}
	within := func(record uint64) bool { return record >= s.first && record <= s.last }
	for range n {
		x := stretch{partition: int(c.u8()), record: c.varint(), first: c.varint(), objects: c.varint(), marks: c.varint(), inner: c.varint(),
			usedBefore: c.number(), used: c.number(), off: uint32(c.count(maxTables)), length: uint32(c.count(maxTables)), crc: c.u32()}
		if c.bad || x.partition >= medium.MaxPartitions || !within(x.record) || x.objects == 0 || x.first > 1<<62 || x.objects > 1<<62 || x.inner > x.objects {
			return nil, fmt.Errorf("%w: summary", errSegment)
		}
		s.stretches = append(s.stretches, x)
	}
	for range c.count(len(b) / 10) {
		g := start{record: c.varint()}
		in := &cursor{b: c.bytes(c.count(maxMeta))}
		g.beginning = in.beginning()
		if c.bad || !in.end() || !within(g.record) {
			return nil, fmt.Errorf("%w: summary", errSegment)
		}
		s.starts = append(s.starts, g)
	}
	if !c.end() || records > math.MaxInt64 || s.first == 0 || s.first > math.MaxInt64 || s.end < segmentHeader || s.end > math.MaxUint32 {
		return nil, fmt.Errorf("%w: summary", errSegment)
	}
	return s, nil
}

// footer is what follows the log in a sealed segment. It sets where the tables are.
func (s *segment) footer() []byte {
	var b []byte
	for i := range s.stretches {
		x := &s.stretches[i]
		x.off = uint32(len(b))
		b = s.tables[i].appendTo(b)
		x.length = uint32(len(b)) - x.off
		x.crc = salted(s.salt, b[x.off:])
	}
	tables := len(b)
	b = s.summary(b)
	n := len(b) - tables
	t := len(b)
	b = append(b, footerMagic...)
	b = le.AppendUint64(b, s.number)
	b = le.AppendUint64(b, uint64(s.end))
	b = le.AppendUint32(b, uint32(tables))
	b = le.AppendUint32(b, uint32(n))
	b = le.AppendUint32(b, salted(s.salt, b[tables:tables+n]))
	b = append(b, make([]byte, 8)...)
	return le.AppendUint32(b, salted(s.salt, b[t:]))
}

// readFooter reads what the file of a segment says of it, if it is sealed; s is from its
// header. ok is false when there is no footer.
func readFooter(f File, s *segment) (sealed *segment, ok bool, err error) {
	size, err := f.Size()
	if err != nil || size < s.end+trailerLen {
		return nil, false, err
	}
	t := make([]byte, trailerLen)
	if err := readFull(f, t, size-trailerLen); err != nil {
		return nil, false, err
	}
	if string(t[:8]) != footerMagic || salted(s.salt, t[:44]) != le.Uint32(t[44:]) {
		return nil, false, nil
	}
	tables, n := int64(le.Uint32(t[24:])), int64(le.Uint32(t[28:]))
	end := le.Uint64(t[16:])
	if n > maxSummary || end > math.MaxUint32 || int64(end)+tables+n+trailerLen != size || le.Uint64(t[8:]) != s.number {
		return nil, false, nil
	}
	b := make([]byte, n)
	if err := readFull(f, b, int64(end)+tables); err != nil {
		return nil, false, err
	}
	if salted(s.salt, b) != le.Uint32(t[32:]) {
		return nil, false, nil
	}
	x, err := parseSummary(b)
	if err != nil || x.number != s.number || x.salt != s.salt || x.first != s.first || x.end != int64(end) {
		return nil, false, nil
	}
	return x, true, nil
}

// readFull reads all of b from off on.
func readFull(f File, b []byte, off int64) error {
	return f.ReadV([][]byte{b}, off)
}
