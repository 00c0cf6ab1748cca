package cartridge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// Dump writes all that the files of the cartridge in dir say, in words, and no data. It may
// be in use.
func Dump(dir string, w io.Writer, o Options) error {
	m, err := newCartridge(dir, o)
	if err != nil {
		return err
	}
	readers, err := m.fs.Lock(filepath.Join(dir, readersName), true)
	if err != nil {
		return err
	}
	defer readers.Close() //nolint:errcheck // nothing was written to it
	out := bufio.NewWriter(w)
	i := &m.identity
	fmt.Fprintf(out, "cartridge %s: barcode %q, type %q, serial %q, WORM %v, capacity %d, segments of %d, made %s\n",
		i.ID, i.Barcode, i.Type, i.Serial, i.WORM, i.Capacity, i.SegmentSize, i.Created.Format(time.RFC3339))
	k, err := m.loader.load(noLimit, 0)
	if err != nil {
		return errors.Join(err, out.Flush())
	}
	for _, s := range k.segs {
		if err := m.loader.dump(out, s); err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	for _, n := range k.void {
		fmt.Fprintf(out, "segment %s: void, since the log ends before it\n", segmentName(n))
	}
	end := "the log was not closed"
	if k.clean {
		end = "the log was closed"
	}
	fmt.Fprintf(out, "end: record %d, durable to %d; %s; %s\n", k.last, k.committed, end, describeState(&k.state))
	return out.Flush()
}

func (l *loader) dump(out io.Writer, s *segment) error {
	f, err := l.fs.Open(l.path(s.number), false)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	name := segmentName(s.number)
	head, err := readSegmentHeader(f, s.number, l.id)
	if err != nil {
		fmt.Fprintf(out, "segment %s: %v\n", name, err)
	}
	if head == nil {
		return nil
	}
	fmt.Fprintf(out, "segment %s: records %d to %d, log of %d bytes, sealed %v\n", name, s.first, s.last, s.end, s.sealed)
	r, err := newReader(f, head)
	if err != nil {
		return err
	}
	r.each = func(off int64, h *header, content any) {
		fmt.Fprintf(out, "%10d  record %d (%d+%d, durable to %d): %s\n", off, h.number, headerLen+h.meta, h.data, h.committed, describe(h, content))
	}
	_, err = r.scan(s.last+1, s.last, func(off int64, err error) { fmt.Fprintf(out, "%10d  %v\n", off, err) })
	if err != nil {
		fmt.Fprintf(out, "%v\n", err)
	}
	for i := range s.stretches {
		x := &s.stretches[i]
		fmt.Fprintf(out, "            stretch from record %d: partition %d, objects %d+%d, filemarks %d+%d, used %d+%d\n",
			x.record, x.partition, x.first, x.objects, x.marks, x.inner, x.usedBefore, x.used)
	}
	return nil
}

// describe is a record in words.
func describe(h *header, v any) string {
	var b strings.Builder
	switch c := v.(type) {
	case *content:
		fmt.Fprintf(&b, "frame of partition %d, objects %d+%d, filemarks %d+%d, %s", h.partition, c.first, c.objects, c.marks, c.inner,
			[...]string{"plain", "zstd", "LZ4"}[h.codec])
		if e := c.enc; e != nil {
			fmt.Fprintf(&b, ", encrypted (UKAD %x, AKAD %x)", e.UKAD, e.AKAD)
		}
		for i, r := range c.runs {
			if i == 8 {
				fmt.Fprintf(&b, " ... (%d runs)", len(c.runs))
				break
			}
			if r.length == 0 {
				fmt.Fprintf(&b, ", %d filemarks", r.count)
			} else {
				fmt.Fprintf(&b, ", %d blocks of %d", r.count, r.length)
			}
		}
	case []change:
		b.WriteString("attributes")
		for _, a := range c {
			fmt.Fprintf(&b, ", partition %d: %04Xh of %d bytes", a.partition, a.ID, len(a.Value))
		}
	case *beginning:
		fmt.Fprintf(&b, "generation %d at %s: %s", c.after.generation, c.when.Format(time.RFC3339Nano), c.why)
		switch c.why {
		case Overwritten, Erased:
			fmt.Fprintf(&b, " of partition %d at object %d", c.partition, c.after.parts[c.partition].objects)
		case RolledBack:
			fmt.Fprintf(&b, " to generation %d", c.from)
		}
		fmt.Fprintf(&b, "; it had %s", describeState(&c.before))
	case *checkpoint:
		fmt.Fprintf(&b, "checkpoint at the %s: %s", [...]string{"start of the segment", "end of use", "release of generations"}[c.purpose], describeState(&c.state))
		for p := range c.attrs {
			if n := len(c.attrs[p]); n > 0 {
				fmt.Fprintf(&b, ", %d attributes of partition %d", n, p)
			}
		}
	}
	return b.String()
}

func describeState(s *state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "generation %d, kept from %d, limit %d", s.generation, s.released, s.limit)
	for i, p := range s.parts[:s.n] {
		fmt.Fprintf(&b, ", partition %d: %d objects, %d filemarks, %d of %d bytes", i, p.objects, p.filemarks, p.used, p.capacity)
	}
	return b.String()
}
