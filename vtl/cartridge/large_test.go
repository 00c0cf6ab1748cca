package cartridge

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// TestMillionFilemarks records a million filemarks one by one between blocks, and finds them
// all: work and bytes grow with their number, not with its square.
func TestMillionFilemarks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tape")
	if _, err := Create(dir, Identity{Capacity: 1 << 30}, Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1_000_000
	var object uint64
	for i := range uint64(n) {
		if i%100 == 0 {
			if err := m.Write(0, object, []byte{byte(i)}, medium.Recording{}); err != nil {
				t.Fatal(err)
			}
			object++
		}
		if err := m.WriteFilemarks(0, object, 1); err != nil {
			t.Fatal(err)
		}
		object++
	}
	at := func(mark uint64) uint64 { return mark + mark/100 + 1 } // its object number
	look := func() {
		t.Helper()
		for i := uint64(0); i < n; i += 997 {
			if o, err := m.Filemark(0, i); err != nil || o != at(i) {
				t.Fatalf("filemark %d is object %d, %v; want %d", i, o, err, at(i))
			}
			if k, err := m.FilemarksBefore(0, at(i)); err != nil || k != i {
				t.Fatalf("%d filemarks before %d, %v; want %d", k, at(i), err, i)
			}
		}
	}
	look()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	look()
	f, err := OS{}.Open(filepath.Join(dir, segmentName(1)), false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if size, err := f.Size(); err != nil || size > 1<<20 {
		t.Errorf("%d bytes for %d filemarks, %v", size, n, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestIndexSize bounds what is stored beside the blocks.
func TestIndexSize(t *testing.T) {
	for _, c := range []struct {
		name    string
		blocks  int
		length  func(i int) int
		flush   bool
		index   float64 // bytes of tables and frames' meta for each block, at most
		percent float64 // of the data, at most
	}{
		{"one length", 50_000, func(int) int { return 512 }, false, 16, 1},
		{"alternating", 50_000, func(i int) int { return 512 + i%2 }, false, 16, 3},
		{"one byte", 50_000, func(int) int { return 1 }, false, 16, 2000},
		{"one byte or two", 50_000, func(i int) int { return 1 + i%2 }, false, 16, 2000},
		{"flushed alone", 2000, func(i int) int { return 100 + i%3 }, true, 16 + headerLen, 2000},
		{"64 KiB", 500, func(int) int { return 64 << 10 }, false, 100, 0.15},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newDiscard()
			dir := filepath.Join("/", "tape")
			if _, err := Create(dir, Identity{Capacity: 1 << 40, SegmentSize: 1 << 20}, Options{FS: f}); err != nil {
				t.Fatal(err)
			}
			m, err := Open(dir, Options{FS: f})
			if err != nil {
				t.Fatal(err)
			}
			data := int64(0)
			b := make([]byte, 1<<17)
			for i := range c.blocks {
				n := c.length(i)
				data += int64(n)
				if err := m.Write(0, uint64(i), b[:n], medium.Recording{}); err != nil {
					t.Fatal(err)
				}
				if c.flush {
					if err := m.Flush(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			index := f.bytes() - data
			if x := float64(index) / float64(c.blocks); x > c.index {
				t.Errorf("%.1f bytes of index for each block", x)
			}
			if x := 100 * float64(index) / float64(data); x > c.percent {
				t.Errorf("the index is %.2f %% of the data", x)
			}
		})
	}
}

// discard is a file system that keeps files in memory, for one user.
type discard struct{ files map[string]*discardFile }

type discardFile struct {
	data []byte
}

func newDiscard() *discard { return &discard{map[string]*discardFile{}} }

func (d *discard) bytes() (n int64) {
	for _, f := range d.files {
		n += int64(len(f.data))
	}
	return n
}

func (d *discard) Mkdir(string) error { return nil }
func (d *discard) Create(path string) (File, error) {
	f := &discardFile{}
	d.files[path] = f
	return f, nil
}
func (d *discard) Open(path string, _ bool) (File, error) {
	if f := d.files[path]; f != nil {
		return f, nil
	}
	return nil, fs.ErrNotExist
}
func (d *discard) Rename(a, b string) error {
	d.files[b] = d.files[a]
	delete(d.files, a)
	return nil
}
func (d *discard) Remove(path string) error {
	if d.files[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, path)
	return nil
}
func (d *discard) List(string) ([]string, error) {
	var names []string
	for path := range d.files {
		names = append(names, filepath.Base(path))
	}
	return names, nil
}
func (d *discard) SyncDir(string) error { return nil }
func (d *discard) Lock(string, bool) (io.Closer, error) {
	return io.NopCloser(nil), nil
}

func (f *discardFile) ReadAt(b []byte, off int64) (int, error) {
	return memFile(f.data).ReadAt(b, off)
}
func (f *discardFile) ReadV(bufs [][]byte, off int64) error { return memFile(f.data).ReadV(bufs, off) }
func (f *discardFile) WriteV(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if need := int(off) + len(b); need > len(f.data) {
			f.data = append(f.data, make([]byte, need-len(f.data))...)
		}
		copy(f.data[off:], b)
		off += int64(len(b))
	}
	return nil
}
func (f *discardFile) Truncate(n int64) error {
	f.data = f.data[:min(int(n), len(f.data))]
	return nil
}
func (f *discardFile) Size() (int64, error) { return int64(len(f.data)), nil }
func (f *discardFile) Sync() error          { return nil }
func (f *discardFile) Close() error         { return nil }

// longTape is a tape of blocks of 256 KiB, of which there is only what positioning needs: the
// footers are made when they are read.
type longTape struct {
	*discard
	dir    string
	id     [16]byte
	blocks uint64
}

// longSegment is how many blocks a segment of longTape has.
const longSegment = 1020

func newLongTape(t testing.TB, blocks uint64) *longTape {
	l := &longTape{discard: newDiscard(), dir: "/tape", blocks: blocks / longSegment * longSegment}
	i, err := Create(l.dir, Identity{Capacity: 1 << 60}, Options{FS: l.discard})
	if err != nil {
		t.Fatal(err)
	}
	if l.id, err = parseUUID(i.ID); err != nil {
		t.Fatal(err)
	}
	l.Remove(filepath.Join(l.dir, segmentName(1))) //nolint:errcheck // it is there
	catalog := catalogHead()
	n := l.segments()
	for k := range n {
		s := l.segment(k)
		s.footer()
		catalog = appendEntry(catalog, s)
	}
	l.files[filepath.Join(l.dir, catalogName)] = &discardFile{catalog}
	// The newest has a checkpoint alone.
	s := l.segment(n - 1)
	s.number, s.first = n+1, s.last+1
	c := checkpoint{purpose: atClose, state: l.state(n)}
	h := header{kind: checkpointRecord, number: s.first, committed: s.first - 1}
	b := h.appendTo(appendSegmentHeader(nil, s, l.id), s.salt, c.appendTo(nil))
	l.files[filepath.Join(l.dir, segmentName(s.number))] = &discardFile{b}
	return l
}

func (l *longTape) segments() uint64 { return l.blocks / longSegment }

// state is how the tape stands before segment k.
func (l *longTape) state(k uint64) state {
	s := state{limit: 1 << 60, n: 1}
	s.parts[0] = partition{capacity: 1 << 60, objects: k * longSegment, filemarks: k, used: int64(k * (longSegment - 1) << 18)}
	return s
}

// segment makes number k, from 0, whose last object is a filemark.
func (l *longTape) segment(k uint64) *segment {
	s := &segment{number: k + 1, salt: k, first: 1 + k*(longSegment+1), begin: l.state(k), end: segmentHeader + 100}
	s.last = s.first
	now := l.state(k).parts[0]
	for i := range longSegment {
		c := &content{first: now.objects + uint64(i), marks: now.filemarks}
		h := header{kind: frameRecord, meta: 12, data: 1 << 18, number: s.last + 1}
		if i == longSegment-1 {
			c.add(0, 1)
			h.data = 0
		} else {
			c.add(1<<18, 1)
		}
		s.add(&h, c, s.end)
		s.last++
		s.end += h.length()
	}
	s.sealed = true
	return s
}

func (l *longTape) List(dir string) ([]string, error) {
	names, err := l.discard.List(dir)
	for k := range l.segments() {
		names = append(names, segmentName(k+1))
	}
	return names, err
}

func (l *longTape) Open(path string, write bool) (File, error) {
	if n, ok := parseSegmentName(filepath.Base(path)); ok && n <= l.segments() {
		s := l.segment(n - 1)
		footer := s.footer()
		return &longFile{off: s.end, footer: footer}, nil
	}
	return l.discard.Open(path, write)
}

// longFile has a footer alone.
type longFile struct {
	discardFile
	off    int64
	footer []byte
}

func (f *longFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.off {
		return 0, errors.New("there is no data in it")
	}
	return memFile(f.footer).ReadAt(b, off-f.off)
}
func (f *longFile) ReadV(bufs [][]byte, off int64) error {
	if off < f.off {
		return errors.New("there is no data in it")
	}
	return memFile(f.footer).ReadV(bufs, off-f.off)
}
func (f *longFile) Size() (int64, error) { return f.off + int64(len(f.footer)), nil }

// TestLongTape positions at random in a tape of 70,000,000 blocks (18 TB) with at most 64 MiB of
// memory.
func TestLongTape(t *testing.T) {
	blocks := uint64(70_000_000)
	if testing.Short() {
		blocks /= 50
	}
	l := newLongTape(t, blocks)
	before := heap()
	m, err := Open(l.dir, Options{FS: l})
	if err != nil {
		t.Fatal(err)
	}
	catalog := uint64(len(l.files[filepath.Join(l.dir, catalogName)].data))
	if n := m.Partition(0).Objects; n != l.blocks {
		t.Fatalf("%d objects", n)
	}
	r := rand.New(rand.NewPCG(1, 6))
	began := time.Now()
	const n = 500
	for range n {
		at := r.Uint64N(l.blocks)
		k, err := m.FilemarksBefore(0, at)
		if err != nil || k != at/longSegment {
			t.Fatalf("%d filemarks before %d, %v", k, at, err)
		}
		mark := r.Uint64N(l.segments())
		if o, err := m.Filemark(0, mark); err != nil || o != (mark+1)*longSegment-1 {
			t.Fatalf("filemark %d is %d, %v", mark, o, err)
		}
	}
	t.Logf("%d blocks: %v for a position, %d MiB, catalog of %d MiB", l.blocks, time.Since(began)/(2*n), (heap()-before)>>20, catalog>>20)
	if used := heap() - before; used > 64<<20 {
		t.Errorf("%d MiB of memory", used>>20)
	}
	runtime.KeepAlive(m)
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
