package cartridge

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/targate/targate/vtl/medium"
)

// Fault is something wrong with the files of a cartridge.
type Fault struct {
	File   string // in the directory
	Offset int64  // in the file
	Err    error
}

func (f Fault) String() string { return fmt.Sprintf("%s: %d: %v", f.File, f.Offset, f.Err) }

// maxFaults bounds what Check lists of each file.
const maxFaults = 1000

// Check reads all of the cartridge in dir, which must not be in use, and changes nothing. It
// finds what does not match its checksum, contradicts something else, or is missing. What a
// crash left at the end of the log, for the next mount to tidy up, is no fault. The error is
// one for which nothing could be checked.
func Check(dir string, o Options) ([]Fault, error) {
	m, err := newCartridge(dir, o)
	if err != nil {
		return nil, err
	}
	lock, err := m.fs.Lock(filepath.Join(dir, lockName), false)
	if err != nil {
		return nil, err
	}
	defer lock.Close() //nolint:errcheck // nothing was written to it
	c := &checker{l: m.loader, seen: map[string]int{}, at: map[Fault]bool{}}
	m.loader.fault = c.fault
	k, err := m.loader.load(noLimit, 0)
	if err != nil {
		return c.faults, err
	}
	c.names()
	for i, s := range k.segs {
		if err := c.segment(s, k.segs[i+1:], k); err != nil {
			return c.faults, err
		}
	}
	c.catalog(k)
	c.views(k, m.identity)
	return c.faults, nil
}

type checker struct {
	l      *loader
	faults []Fault
	seen   map[string]int // of each file
	at     map[Fault]bool // without what is wrong: what is read twice tells once
}

func (c *checker) fault(file string, off int64, err error) {
	place := Fault{File: file, Offset: off}
	if c.at[place] {
		return
	}
	if c.seen[file]++; c.seen[file] <= maxFaults {
		c.at[place] = true
		c.faults = append(c.faults, Fault{file, off, err})
	}
}

// names looks for files that are nothing of a cartridge.
func (c *checker) names() {
	names, err := c.l.fs.List(c.l.dir)
	if err != nil {
		c.fault(".", 0, err)
	}
	for _, name := range names {
		_, segment := parseSegmentName(name)
		switch {
		case segment, name == identityName, name == lockName, name == readersName, name == catalogName, strings.HasSuffix(name, newSuffix), strings.HasSuffix(name, badSuffix):
		default:
			c.fault(name, 0, errors.New("no file of a cartridge"))
		}
	}
}

// segment reads s as load did, with all data, and compares its footer.
func (c *checker) segment(s *segment, after []*segment, k *contents) error {
	f, err := c.l.fs.Open(c.l.path(s.number), false)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	name := segmentName(s.number)
	head, err := readSegmentHeader(f, s.number, c.l.id)
	if err != nil {
		c.fault(name, 0, err)
	}
	if head == nil {
		return nil
	}
	r, err := newReader(f, head)
	if err != nil {
		return err
	}
	r.deep = true
	if _, err = r.scan(s.last+1, s.last, func(off int64, err error) { c.fault(name, off, err) }); errors.Is(err, errSegment) {
		c.fault(name, segmentHeader, err)
		return nil
	} else if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	switch fits, err := footerFits(f, head); {
	case err != nil:
		return err
	case c.seen[name] > 0: // the footer cannot be compared
	case s.sealed && !fits:
		c.fault(name, head.end, errors.New("the footer is not that of the log before it"))
	case !s.sealed && len(after) > 0 && k.committed >= after[0].first:
		c.fault(name, s.end, errors.New("no intact footer, and the log goes on in the next segment"))
	case len(after) == 0 && k.clean && size != head.end:
		c.fault(name, head.end, errors.New("bytes behind the end of a log that was closed"))
	}
	return nil
}

// catalog compares it with the segments.
func (c *checker) catalog(k *contents) {
	f, err := c.l.fs.Open(filepath.Join(c.l.dir, catalogName), false)
	if err != nil {
		return // there need not be one
	}
	defer f.Close() //nolint:errcheck // only read
	size, err := f.Size()
	if err != nil {
		c.fault(catalogName, 0, err)
		return
	}
	segs := map[uint64]*segment{}
	for _, s := range k.segs {
		segs[s.number] = s
	}
	err = eachEntry(&reader{f: f, size: size}, func(off int64, s *segment) {
		if have := segs[s.number]; have == nil || !have.sealed {
			return // reclaimed, or the newest
		}
		f, err := c.l.fs.Open(c.l.path(s.number), false)
		if err != nil {
			return
		}
		defer f.Close() //nolint:errcheck // only read
		head, err := readSegmentHeader(f, s.number, c.l.id)
		if err != nil {
			return // told already
		}
		if x, ok, _ := readFooter(f, head); !ok || !bytes.Equal(x.summary(nil), s.summary(nil)) {
			c.fault(catalogName, off, fmt.Errorf("the entry of %s is not what its footer says", segmentName(s.number)))
		}
	})
	if err != nil && k.clean { // otherwise a loss of power has torn it
		c.fault(catalogName, 0, err)
	}
}

// maxViews is how many generations are followed object by object.
const maxViews = 1000

// views looks for objects that are in no segment.
func (c *checker) views(k *contents, i Identity) {
	all := generations(k.segs, i.Created, k.state)
	if n := len(all) - maxViews; n > 0 {
		all = all[n:]
	}
	for _, g := range all {
		v := replay(k.segs, g.Number, nil)
		for p, x := range g.Partitions {
			c.view(v[p], g.Number, p, x)
		}
	}
}

func (c *checker) view(pieces []piece, generation uint64, p int, x medium.Partition) {
	at, marks := uint64(0), uint64(0)
	for n, q := range pieces {
		s := q.stretch()
		end := uint64(math.MaxUint64)
		if n+1 < len(pieces) {
			end = pieces[n+1].stretch().first
		}
		if s.first >= x.Objects {
			break
		}
		name := segmentName(q.seg.number)
		if s.first != at {
			c.fault(name, 0, fmt.Errorf("generation %d, partition %d: objects %d to %d are in no segment", generation, p, at, s.first-1))
		}
		if s.marks < marks {
			c.fault(name, 0, fmt.Errorf("generation %d, partition %d: %d filemarks before object %d, and %d before an earlier one", generation, p, s.marks, s.first, marks))
		}
		at, marks = min(s.first+s.objects, end), s.marks
	}
	if at < x.Objects {
		c.fault(".", 0, fmt.Errorf("generation %d, partition %d: objects %d to %d are in no segment", generation, p, at, x.Objects-1))
	}
}
