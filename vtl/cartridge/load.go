package cartridge

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
)

// contents is what the files of a cartridge say.
type contents struct {
	segs []*segment // in order; the last is not sealed when the log goes on in it
	tail
	last, committed uint64 // records
	void            []uint64
	highest         uint64 // number of any segment
	catalog         map[uint64]*segment
}

// loader reads the files of a cartridge, and changes none.
type loader struct {
	fs    FS
	dir   string
	id    [16]byte
	fault func(file string, off int64, err error)
	// suspicious: a footer that is not known to be durable does not count, even if it is there.
	suspicious bool
}

func (l *loader) path(n uint64) string { return filepath.Join(l.dir, segmentName(n)) }

// candidate is a segment on the way.
type candidate struct {
	*segment
	limit uint64 // its records are below it
	scan  bool
}

// load reads records up to limit-1. Those up to committed are known to be durable; that the
// files tell, too, for those that were durable long enough.
func (l *loader) load(limit, committed uint64) (*contents, error) {
	numbers, err := l.numbers()
	if err != nil {
		return nil, err
	}
	k := &contents{committed: committed}
	if k.catalog, err = readCatalog(l.fs, filepath.Join(l.dir, catalogName)); err != nil {
		return nil, err
	}
	if len(numbers) > 0 {
		k.highest = numbers[len(numbers)-1]
	}
	top := limit
	var found []candidate // newest first
	for _, n := range slices.Backward(numbers) {
		c, err := l.candidate(n, limit, len(found) == 0, k)
		if err != nil {
			return nil, err
		}
		if c.segment == nil {
			continue
		}
		limit = c.first
		found = append(found, c)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w: there is no segment", l.dir, errSegment)
	}
	slices.Reverse(found)
	for i, c := range found {
		if c.scan {
			t, err := l.scan(&c, k.committed)
			switch {
			case errors.Is(err, errSegment) && i > 0 && c.limit == top:
				k.void = append(k.void, c.number) // its beginning was not durable
				continue
			case errors.Is(err, errSegment) && c.limit != top:
				l.fault(segmentName(c.number), 0, err)
				continue
			case err != nil:
				return nil, err
			}
			k.tail = t
		}
		k.segs = append(k.segs, c.segment)
		k.last = c.last
		if c.scan && c.limit != top && c.last+1 < c.limit && c.last >= k.committed {
			for _, x := range found[i+1:] {
				k.void = append(k.void, x.number)
			}
			break
		}
	}
	if len(k.segs) == 0 {
		return nil, fmt.Errorf("%s: %w: no segment can be read", l.dir, errSegment)
	}
	if end := k.segs[len(k.segs)-1]; !slices.ContainsFunc(found, func(c candidate) bool { return c.segment == end && c.scan }) {
		// What follows the last one was void: the tail is in it.
		c := candidate{segment: end, limit: end.last + 1}
		s := *end
		c.segment = &s
		s.stretches, s.starts, s.last, s.end, s.sealed = nil, nil, s.first-1, segmentHeader, false
		if k.tail, err = l.scan(&c, end.last); err != nil {
			return nil, err
		}
		k.last = end.last
	}
	// A void segment may come back when power is lost again: only a new one, that begins at the
	// same record, keeps it void.
	k.clean = k.clean && len(k.void) == 0
	return k, nil
}

func (l *loader) numbers() ([]uint64, error) {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseSegmentName(name); ok {
			numbers = append(numbers, n)
		}
	}
	if len(numbers) > maxSegmentFiles {
		return nil, fmt.Errorf("%s: %d segments; %d is the most", l.dir, len(numbers), maxSegmentFiles)
	}
	slices.Sort(numbers)
	return numbers, nil
}

// candidate looks at segment n; nil when it does not count.
func (l *loader) candidate(n, limit uint64, newest bool, k *contents) (candidate, error) {
	if s := k.catalog[n]; s != nil && !newest && s.last < limit {
		k.committed = max(k.committed, s.last)
		return candidate{segment: s, limit: limit}, nil
	}
	f, err := l.fs.Open(l.path(n), false)
	if err != nil {
		return candidate{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	s, err := readSegmentHeader(f, n, l.id)
	if err != nil && !errors.Is(err, errSegment) {
		return candidate{}, fmt.Errorf("%s: %w", l.path(n), err)
	}
	if s == nil {
		if newest {
			k.void = append(k.void, n) // power was lost when it was made
			return candidate{}, nil
		}
		l.fault(segmentName(n), 0, err)
		return candidate{}, nil
	}
	if s.first >= limit {
		k.void = append(k.void, n)
		return candidate{}, nil
	}
	k.committed = max(k.committed, s.committed)
	if !newest {
		x, ok, err := readFooter(f, s)
		if err != nil {
			return candidate{}, fmt.Errorf("%s: %w", l.path(n), err)
		}
		// The commit of the record behind a segment is one of its footer, too.
		if ok && k.committed >= limit && x.last < limit {
			return candidate{segment: x, limit: limit}, nil
		}
	}
	r, err := newReader(f, s)
	if err != nil {
		return candidate{}, err
	}
	committed, err := r.committedIn()
	if err != nil {
		return candidate{}, fmt.Errorf("%s: %w", l.path(n), err)
	}
	k.committed = max(k.committed, committed)
	return candidate{segment: s, limit: limit, scan: true}, nil
}

// readSegmentHeader reads it. When only one of its copies is intact there is an error beside
// the segment.
func readSegmentHeader(f File, n uint64, id [16]byte) (*segment, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < segmentHeader {
		return nil, fmt.Errorf("%w: %d bytes", errSegment, size)
	}
	b := make([]byte, segmentHeader)
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	s, err := parseSegmentHeader(b, n, id)
	second, err2 := parseSegmentHeader(b[headerCopy:], n, id)
	switch {
	case s != nil && second != nil && !bytes.Equal(b[:headerCopy], b[headerCopy:]):
		return nil, fmt.Errorf("%w: its headers differ", errSegment)
	case s == nil:
		return second, err
	}
	return s, err2
}

func (l *loader) scan(c *candidate, committed uint64) (tail, error) {
	f, err := l.fs.Open(l.path(c.number), false)
	if err != nil {
		return tail{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	r, err := newReader(f, c.segment)
	if err != nil {
		return tail{}, err
	}
	t, err := r.scan(c.limit, committed, func(off int64, err error) { l.fault(segmentName(c.number), off, err) })
	if err != nil {
		return t, fmt.Errorf("%s: %w", l.path(c.number), err)
	}
	c.scanned = true
	if sealed, err := footerFits(f, c.segment); err == nil && sealed && !l.suspicious {
		c.sealed, c.tables = true, nil
		t.torn = false
	}
	return t, nil
}

// footerFits reports whether the file ends with the footer of s, whose log was read.
func footerFits(f File, s *segment) (bool, error) {
	want := s.footer()
	size, err := f.Size()
	if err != nil || size != s.end+int64(len(want)) {
		return false, err
	}
	b := make([]byte, len(want))
	err = readFull(f, b, s.end)
	return bytes.Equal(b, want), err
}

const noLimit = math.MaxUint64
