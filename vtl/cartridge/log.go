package cartridge

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/vtl/medium"
)

// badSuffix is what a segment gets that was the newest and whose header is not intact.
const badSuffix = ".bad"

// writer is the end of the log. It is used by one at a time: the frames that are on their way
// take turns, and who appends something else holds wmu and waits for them first.
type writer struct {
	ready   bool // the first append of this mount has made it ready
	found   *contents
	highest uint64
	file    *logFile // of the active segment
	active  *segment
	catalog catalogWriter

	// Under Cartridge.mu: what the next commit has to sync.
	dirty []*logFile
	names bool // of the directory
	// Files that are not needed any more are closed when no commit is under way that may sync them.
	commits int
	closing []*logFile
}

// logFile is a segment that is being written, or that is not durable yet.
type logFile struct {
	File
	seg     *segment
	pending bool // its entry is not in the catalog yet
}

func (w *writer) reset(k *contents) {
	w.end()
	*w = writer{found: k, highest: k.highest, commits: w.commits, closing: w.closing}
}

// end closes all files, now or after the last commit. Under Cartridge.mu.
func (w *writer) end() {
	w.catalog.close()
	w.closing = append(w.closing, w.dirty...)
	if w.file != nil && !slices.Contains(w.dirty, w.file) {
		w.closing = append(w.closing, w.file)
	}
	w.file, w.dirty = nil, nil
	w.commits++
	w.closeDone()
}

// closeDone is the end of a commit. Under Cartridge.mu.
func (w *writer) closeDone() {
	if w.commits--; w.commits > 0 {
		return
	}
	for _, f := range w.closing {
		_ = f.Close() // all that was to be made durable is, or the failure was told
	}
	w.closing = nil
}

// classify makes an error of the file system one of the medium.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, medium.ErrNoSpace):
		return fmt.Errorf("%w: %w", medium.ErrNoSpace, err)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: %w", medium.ErrReadOnly, err)
	}
	return fmt.Errorf("%w: %w", medium.ErrGone, err)
}

// append writes a record, and has apply take it into what is known, under mu. When it fails
// the log is as it was.
func (m *Cartridge) append(h header, meta []byte, body [][]byte, apply func(h *header, seg *segment, off int64)) error {
	return m.appendLate(h, meta, body, nil, apply)
}

// appendLate is append for a meta that finish completes, without changing its length, when the
// body is written.
func (m *Cartridge) appendLate(h header, meta []byte, body [][]byte, finish func(), apply func(h *header, seg *segment, off int64)) error {
	w := &m.w
	if err := m.prepare(); err != nil {
		return classify(err)
	}
	length := int64(headerLen+len(meta)) + int64(h.data)
	if s := w.active; s == nil || (s.last > s.first && s.end+length > m.identity.SegmentSize) || s.frames >= maxFrames ||
		len(s.stretches)+len(s.starts) >= maxFrames/groupSize {
		if err := m.roll(); err != nil {
			return classify(err)
		}
	}
	s := w.active
	m.mu.Lock()
	h.number, h.committed = m.last+1, m.committed
	m.mu.Unlock()
	var err error
	if finish != nil {
		err = w.file.WriteV(body, s.end+int64(headerLen+len(meta)))
		finish()
		body = nil
	}
	if err == nil {
		err = w.file.WriteV(append([][]byte{h.appendTo(nil, s.salt, meta)}, body...), s.end)
	}
	if err != nil {
		_ = w.file.Truncate(s.end) // what is behind the end does not count
		return classify(err)
	}
	h.meta = len(meta)
	m.mu.Lock()
	defer m.mu.Unlock()
	off := s.end
	s.end += length
	s.last, m.last = h.number, h.number
	if !slices.Contains(w.dirty, w.file) {
		w.dirty = append(w.dirty, w.file)
	}
	apply(&h, s, off)
	return nil
}

// prepare tidies up what an earlier user left, before the first append.
func (m *Cartridge) prepare() error {
	w := &m.w
	if w.ready {
		return nil
	}
	k := w.found
	for _, n := range k.void {
		path := m.loader.path(n)
		f, err := m.fs.Open(path, false)
		if err != nil {
			continue // it went at the last attempt
		}
		s, _ := readSegmentHeader(f, n, m.id)
		_ = f.Close()
		if s == nil {
			err = m.fs.Rename(path, path+badSuffix)
		} else {
			err = m.fs.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	last := k.segs[len(k.segs)-1]
	for _, s := range k.segs[:len(k.segs)-1] {
		if s.sealed {
			continue
		}
		// Power was lost before its footer was durable.
		f, err := m.fs.Open(m.loader.path(s.number), true)
		if err != nil {
			return err
		}
		file := &logFile{File: f, seg: s}
		if err := errors.Join(f.Truncate(s.end), m.seal(file)); err != nil {
			return errors.Join(err, f.Close())
		}
		m.mu.Lock()
		w.sealed(file)
		m.mu.Unlock()
	}
	// It is not in the catalog yet, even when it is sealed: it may go on in the next mount.
	if !last.sealed {
		f, err := m.fs.Open(m.loader.path(last.number), true)
		if err != nil {
			return err
		}
		w.file, w.active = &logFile{File: f, seg: last}, last
		if !k.clean {
			if err := w.file.Truncate(last.end); err != nil {
				return err
			}
			if err := m.roll(); err != nil {
				w.file, w.active = nil, nil
				return errors.Join(err, f.Close())
			}
		}
	}
	// What this mount seals is in it when it is durable.
	m.mu.Lock()
	before := slices.DeleteFunc(slices.Clone(m.segs), func(s *segment) bool { return s.number >= last.number })
	m.mu.Unlock()
	w.catalog.begin(m.fs, m.dir, before)
	w.ready = true
	return nil
}

// roll seals the active segment and begins the next. When it fails nothing has changed.
func (m *Cartridge) roll() error {
	w := &m.w
	old := w.active
	if old != nil {
		if err := m.seal(w.file); err != nil {
			return err
		}
	}
	file, s, err := m.newSegment()
	if err != nil {
		if old != nil {
			err = errors.Join(err, w.file.Truncate(old.end))
		}
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old != nil {
		w.sealed(w.file)
	}
	w.file, w.active = file, s
	w.highest = s.number
	w.dirty = append(w.dirty, file)
	w.names = true
	m.segs = append(m.segs, s)
	m.last = s.last
	return nil
}

// seal writes the footer of a segment, or nothing.
func (m *Cartridge) seal(f *logFile) error {
	m.mu.Lock()
	footer := f.seg.footer()
	m.mu.Unlock()
	err := f.WriteV([][]byte{footer}, f.seg.end)
	if err != nil {
		_ = f.Truncate(f.seg.end)
	}
	return err
}

// sealed takes note of it. Under Cartridge.mu.
func (w *writer) sealed(f *logFile) {
	f.seg.sealed, f.seg.tables = true, nil
	f.pending = true
	if !slices.Contains(w.dirty, f) {
		w.dirty = append(w.dirty, f)
	}
}

// newSegment makes one that begins with how the log stands.
func (m *Cartridge) newSegment() (*logFile, *segment, error) {
	m.mu.Lock()
	k := checkpoint{purpose: atStart, state: m.log, attrs: m.attrs}
	s := &segment{number: m.w.highest + 1, first: m.last + 1, salt: randomSalt(), committed: m.committed, begin: m.log}
	h := header{kind: checkpointRecord, number: s.first, committed: m.committed}
	b := h.appendTo(appendSegmentHeader(nil, s, m.id), s.salt, k.appendTo(nil))
	m.mu.Unlock()
	s.last, s.end = s.first, int64(len(b))
	path := filepath.Join(m.dir, segmentName(s.number))
	f, err := m.fs.Create(path)
	if err != nil {
		return nil, nil, err
	}
	if err := f.WriteV([][]byte{b}, 0); err != nil {
		return nil, nil, errors.Join(err, f.Close(), m.fs.Remove(path))
	}
	return &logFile{File: f, seg: s}, s, nil
}

// catalogWriter appends to the catalog. What goes wrong with it is not an error: it only
// makes the next mount slower.
type catalogWriter struct {
	file File
	end  int64
}

// begin makes the catalog anew when it does not have all sealed segments.
func (c *catalogWriter) begin(fs FS, dir string, segs []*segment) {
	path := filepath.Join(dir, catalogName)
	have, err := readCatalog(fs, path)
	complete := err == nil && have != nil
	for _, s := range segs {
		if s.sealed && (have[s.number] == nil || have[s.number].salt != s.salt) {
			complete = false
		}
		delete(have, s.number)
	}
	if !complete || len(have) > 0 {
		b := catalogHead()
		for _, s := range segs {
			if s.sealed {
				b = appendEntry(b, s)
			}
		}
		if replaceFile(fs, dir, catalogName, b) != nil {
			return
		}
	}
	if c.file, err = fs.Open(path, true); err != nil {
		c.file = nil
		return
	}
	if c.end, err = c.file.Size(); err != nil {
		c.close()
	}
}

func (c *catalogWriter) add(s *segment) {
	if c.file == nil {
		return
	}
	b := appendEntry(nil, s)
	if err := c.file.WriteV([][]byte{b}, c.end); err != nil {
		_ = c.file.Truncate(c.end)
		c.close()
		return
	}
	c.end += int64(len(b))
}

func (c *catalogWriter) close() {
	if c.file != nil {
		_ = c.file.Close()
		c.file = nil
	}
}
