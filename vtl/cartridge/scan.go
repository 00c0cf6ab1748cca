package cartridge

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// reader reads a segment's log front to back, with few system calls.
type reader struct {
	f    File
	s    *segment // its header
	size int64
	buf  []byte // of the file, from at on
	at   int64
	room []byte
	// deep has scan verify the data of all frames, and say what is wrong, as far as it can be
	// said without keys.
	deep bool
	// each, if any, sees every record, and what is in it.
	each func(off int64, h *header, content any)
}

func newReader(f File, s *segment) (*reader, error) {
	size, err := f.Size()
	return &reader{f: f, s: s, size: size}, err
}

const readWindow = 64 << 10

// peek is n bytes at off, good until the next peek; io.EOF when the file ends before.
func (r *reader) peek(off int64, n int) ([]byte, error) {
	if off >= r.at && off+int64(n) <= r.at+int64(len(r.buf)) {
		return r.buf[off-r.at:][:n], nil
	}
	if off+int64(n) > r.size {
		return nil, io.EOF
	}
	k := int(min(max(int64(n), readWindow), r.size-off))
	if cap(r.room) < k {
		r.room = make([]byte, k)
	}
	r.buf, r.at = r.room[:k], off
	if err := readFull(r.f, r.buf, off); err != nil {
		r.buf = nil
		return nil, err
	}
	return r.buf[:n], nil
}

// record is the record at off, whose checksum is good and whose data is in the file. meta is
// good until the next call. Errors are errRecord, io.EOF, and those of the file.
func (r *reader) record(off int64) (h header, meta []byte, err error) {
	b, err := r.peek(off, headerLen)
	if err != nil {
		return h, nil, err
	}
	if h, err = parseHeader(b); err != nil {
		return h, nil, err
	}
	if b, err = r.peek(off, headerLen+h.meta); err != nil {
		return h, nil, err
	}
	if err := h.check(b, r.s.salt); err != nil {
		return h, nil, err
	}
	if off+h.length() > r.size {
		return h, nil, io.EOF
	}
	return h, b[headerLen:], nil
}

// resync is where the next intact record with a number from least on begins, behind off.
func (r *reader) resync(off int64, least uint64) (int64, error) {
	for off++; off+headerLen <= r.size; {
		b, err := r.peek(off, int(min(readWindow, r.size-off)))
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, []byte(recordMagic))
		if i < 0 {
			off += int64(max(1, len(b)-len(recordMagic)+1))
			continue
		}
		off += int64(i)
		h, _, err := r.record(off)
		if err == nil && h.number >= least {
			return off, nil
		}
		if err != nil && !unreadable(err) {
			return 0, err
		}
		off++
	}
	return 0, io.EOF
}

// unreadable reports whether err says that there is no record, not that the file cannot be
// read.
func unreadable(err error) bool {
	return errors.Is(err, errRecord) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// verify reads the data of a frame and checks its checksums.
func (r *reader) verify(off int64, h *header, c *content) error {
	at := off + int64(headerLen+h.meta)
	b := make([]byte, h.data)
	if err := readFull(r.f, b, at); err != nil {
		return err
	}
	if h.codec != plain || h.encrypted {
		if got := crc32.Checksum(b, castagnoli); got != h.dataCRC {
			return fmt.Errorf("%w: CRC32C of the data %08x, it says %08x", errRecord, got, h.dataCRC)
		}
		if h.encrypted || !r.deep {
			return nil
		}
		var err error
		if b, err = decompress(nil, b, h.codec, c.raw); err != nil {
			return err
		}
	}
	_, err := c.checkBlocks(b)
	return err
}

// checkBlocks verifies the checksums of the blocks in raw; n is the first bad one.
func (c *content) checkBlocks(raw []byte) (n int, err error) {
	for _, x := range c.runs {
		for range x.count {
			if x.length == 0 {
				break
			}
			if got := crc32.Checksum(raw[:x.length], castagnoli); got != c.crcs[n] {
				return n, fmt.Errorf("%w: CRC32C of block %d of the frame %08x, it says %08x", errRecord, n, got, c.crcs[n])
			}
			raw = raw[x.length:]
			n++
		}
	}
	return n, nil
}

// tail is what the end of a log says: how the tape stands.
type tail struct {
	state state
	attrs attributes
	// clean: the log ends with a checkpoint that says that all before it is durable, and the
	// file with it.
	clean bool
	// torn: the log ends here although the segment goes on.
	torn bool
}

// committedIn is the highest number that any record in the segment knows to be durable.
func (r *reader) committedIn() (uint64, error) {
	committed, next := r.s.committed, r.s.first
	for off := int64(segmentHeader); off < r.size; {
		h, _, err := r.record(off)
		if err == nil && h.number >= next {
			committed = max(committed, h.committed)
			next = h.number + 1
			off += h.length()
			continue
		}
		if err != nil && !unreadable(err) {
			return 0, err
		}
		if off, err = r.resync(off, next); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, err
		}
	}
	return committed, nil
}

// scan reads the log of the segment up to record limit-1, and makes the index of it. Records
// from committed+1 on must be intact with all their data: the first that is not ends the log.
// Those before were durable; when one is not intact, that is damage, which fault hears of,
// and the log goes on behind it.
func (r *reader) scan(limit, committed uint64, fault func(off int64, err error)) (tail, error) {
	s := r.s
	var t tail
	began := false
	off := int64(segmentHeader)
	for s.last+1 < limit {
		h, meta, err := r.record(off)
		if err == nil && h.number < s.last+1 {
			err = fmt.Errorf("%w: number %d where %d or higher is due", errRecord, h.number, s.last+1)
		}
		if err == nil && h.number > s.last+1 && h.number > committed+1 {
			err = fmt.Errorf("%w: number %d where %d is due", errRecord, h.number, s.last+1)
		}
		if err == nil && h.number >= limit {
			break
		}
		if err == nil {
			err = r.take(&t, &h, meta, off, h.number > committed, &began, fault)
		}
		switch {
		case err == nil:
			s.last = h.number
			off += h.length()
			s.end = off
			t.clean = t.clean && off == r.size
			continue
		case !unreadable(err):
			return t, err
		case s.last >= committed:
			t.torn = off < r.size
			if !began {
				return t, fmt.Errorf("%w: it does not begin with a checkpoint", errSegment)
			}
			return t, nil
		}
		fault(off, err)
		next, err := r.resync(off, s.last+1)
		if errors.Is(err, io.EOF) {
			fault(off, fmt.Errorf("records %d to %d are lost", s.last+1, min(committed, limit-1)))
			return t, nil
		} else if err != nil {
			return t, err
		}
		off, s.end = next, next
		s.open = [len(s.open)]int{}
	}
	if !began {
		return t, fmt.Errorf("%w: it does not begin with a checkpoint", errSegment)
	}
	return t, nil
}

// take carries one record out.
func (r *reader) take(t *tail, h *header, meta []byte, off int64, verify bool, began *bool, fault func(int64, error)) error {
	s := r.s
	c := &cursor{b: meta}
	t.clean = false
	switch h.kind {
	case frameRecord:
		f, err := parseContent(h, meta)
		if err != nil {
			return err
		}
		if verify || r.deep {
			err := r.verify(off, h, f)
			if err != nil && verify {
				return err
			} else if err != nil {
				fault(off, err)
			}
		}
		if !*began {
			return fmt.Errorf("%w: a frame before the first checkpoint", errRecord)
		}
		s.hole(&t.state, h.partition, h.number, f.first, f.marks)
		s.add(h, f, off)
		t.state.frame(h, f)
		r.tell(off, h, f)
	case attributesRecord:
		all := c.changes()
		if !c.end() {
			break
		}
		for _, v := range all {
			t.attrs.set(v.partition, v.Attribute)
		}
		r.tell(off, h, all)
	case generationRecord:
		g := c.beginning()
		if !c.end() {
			break
		}
		r.tell(off, h, &g)
		if !*began {
			s.begin, *began = g.before, true
		}
		s.holes(&t.state, &g.before, h.number)
		s.cut(h.number, g)
		t.state = g.after
		t.attrs.begin(&g)
	case checkpointRecord:
		k := c.checkpoint()
		if !c.end() {
			break
		}
		r.tell(off, h, &k)
		if !*began {
			s.begin, *began = k.state, true
		} else {
			s.holes(&t.state, &k.state, h.number)
		}
		t.state, t.attrs = k.state, k.attrs
		t.clean = k.purpose == atClose
	}
	if h.kind != frameRecord && !c.end() {
		return fmt.Errorf("%w: meta of a record of kind %d", errRecord, h.kind)
	}
	return nil
}

func (r *reader) tell(off int64, h *header, content any) {
	if r.each != nil {
		r.each(off, h, content)
	}
}

// hole takes into the index that the records of some objects of partition p are damaged: those
// from what was known, now, to object first, which marks filemarks precede. A stretch without
// frames stands for them: they must not be taken for what was recorded there before.
func (s *segment) hole(now *state, p int, record, first, marks uint64) {
	x := now.parts[p]
	if first <= x.objects || marks < x.filemarks {
		return
	}
	s.stretches = append(s.stretches, stretch{partition: p, record: record, first: x.objects, objects: first - x.objects,
		marks: x.filemarks, inner: marks - x.filemarks, usedBefore: x.used})
	s.tables = append(s.tables, builder{})
	s.open[p] = 0
}

// holes is hole for all partitions of what is known to be.
func (s *segment) holes(now, known *state, record uint64) {
	if now.generation != known.generation {
		return
	}
	for p := range known.n {
		s.hole(now, p, record, known.parts[p].objects, known.parts[p].filemarks)
	}
}

// frame is what a frame changes.
func (s *state) frame(h *header, c *content) {
	p := &s.parts[h.partition]
	p.objects = c.first + c.objects
	p.filemarks = c.marks + c.inner
	p.used += h.used(c)
	p.written += uint64(c.raw)
	p.stored += uint64(h.used(c))
}

// begin is what a new generation does to attributes.
func (a *attributes) begin(g *beginning) {
	if g.attrs != nil {
		*a = g.attrs.clone()
	}
	for p := g.after.n; p < len(a); p++ {
		a[p] = nil
	}
}
