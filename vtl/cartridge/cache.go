package cartridge

import (
	"container/list"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/targate/targate/vtl/medium"
)

// lru keeps values until their sizes exceed a limit, and forgets those that were not used for
// longest.
type lru[K comparable, V any] struct {
	limit, size int
	order       *list.List
	items       map[K]*list.Element
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
	size  int
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, order: list.New(), items: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(k K) (v V, ok bool) {
	e := l.items[k]
	if e == nil {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

// put keeps v, and returns what had to go.
func (l *lru[K, V]) put(k K, v V, size int) (gone []V) {
	l.remove(k)
	l.items[k] = l.order.PushFront(&lruItem[K, V]{k, v, size})
	l.size += size
	for l.size > l.limit && l.order.Len() > 1 {
		i := l.order.Back().Value.(*lruItem[K, V])
		gone = append(gone, i.value)
		l.remove(i.key)
	}
	return gone
}

func (l *lru[K, V]) remove(k K) {
	if e := l.items[k]; e != nil {
		l.size -= e.Value.(*lruItem[K, V]).size
		l.order.Remove(e)
		delete(l.items, k)
	}
}

func (l *lru[K, V]) each(do func(V)) {
	for e := l.order.Front(); e != nil; e = e.Next() {
		do(e.Value.(*lruItem[K, V]).value)
	}
}

// maxOpen is how many segments are open for reading at once.
const maxOpen = 16

// fileCache has segments open for reading.
type fileCache struct {
	fs  FS
	dir string

	mu    sync.Mutex
	files *lru[uint64, *openFile]
}

type openFile struct {
	File
	users int // the cache is one
}

func newFileCache(fs FS, dir string) *fileCache {
	return &fileCache{fs: fs, dir: dir, files: newLRU[uint64, *openFile](maxOpen)}
}

// open lends the file of segment n until release.
func (c *fileCache) open(n uint64) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.files.get(n); ok {
		f.users++
		return f, nil
	}
	file, err := c.fs.Open(filepath.Join(c.dir, segmentName(n)), false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", medium.ErrCorrupt, err)
	}
	f := &openFile{file, 2}
	for _, old := range c.files.put(n, f, 1) {
		c.drop(old)
	}
	return f, nil
}

func (c *fileCache) release(f *openFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(f)
}

func (c *fileCache) drop(f *openFile) {
	if f.users--; f.users == 0 {
		_ = f.Close() // it was only read
	}
}

func (c *fileCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files.each(c.drop)
	c.files = newLRU[uint64, *openFile](maxOpen)
}

// maxTableBytes is how much of the tables of sealed segments is kept in memory.
const maxTableBytes = 16 << 20

// tableCache has tables of sealed segments. It is under Cartridge.mu, but for load.
type tableCache struct{ tables *lru[piece, table] }

func newTableCache() *tableCache {
	return &tableCache{newLRU[piece, table](maxTableBytes)}
}

// of is the table of x, if it is in memory.
func (c *tableCache) of(x piece) (table, bool) {
	if x.seg.tables != nil {
		return x.seg.tables[x.i].table, true
	}
	return c.tables.get(x)
}

// load reads it.
func (c *tableCache) load(m *Cartridge, x piece) error {
	m.mu.Lock()
	s := *x.stretch()
	end := x.seg.end
	m.mu.Unlock()
	f, err := m.files.open(x.seg.number)
	if err != nil {
		return err
	}
	defer m.files.release(f)
	b := make([]byte, s.length)
	err = readFull(f, b, end+int64(s.off))
	if err == nil && salted(x.seg.salt, b) != s.crc {
		err = errSegment
	}
	var t table
	if err == nil {
		t, err = parseTable(b)
	}
	if err != nil {
		return fmt.Errorf("%w: %s, its footer: %w", medium.ErrCorrupt, segmentName(x.seg.number), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.tables.put(x, t, len(b))
	return nil
}

const (
	// maxFrameBytes is how much of decoded frames is kept in memory, beside the one in use.
	maxFrameBytes = 8 << 20
	// aheadFrames is how many frames are decoded ahead of one who reads in order.
	aheadFrames = 2
)

// frameCache has decoded frames. Whoever wants one that is being decoded waits for it.
type frameCache struct {
	mu     sync.Mutex
	frames *lru[frameKey, *cachedFrame]
	next   map[int]uint64 // of a partition: the object that would be read in order
}

type frameKey struct {
	seg *segment
	off int64
}

// cachedFrame is a frame; ready is closed when all else is set.
type cachedFrame struct {
	ready chan struct{}
	*content
	raw []byte // of its blocks; nil when only the content was wanted
	key *medium.Key
	err error
}

func newFrameCache() *frameCache {
	return &frameCache{frames: newLRU[frameKey, *cachedFrame](maxFrameBytes), next: map[int]uint64{}}
}

// content is the meta of a frame.
func (c *frameCache) content(m *Cartridge, s spot) (*content, error) {
	c.mu.Lock()
	x, ok := c.frames.get(frameKey{s.seg, s.off})
	c.mu.Unlock()
	if ok {
		<-x.ready
		if x.content != nil {
			return x.content, nil
		}
	}
	x = &cachedFrame{ready: make(chan struct{})}
	f, err := m.files.open(s.seg.number)
	if err != nil {
		return nil, err
	}
	defer m.files.release(f)
	_, x.content, _, err = readContent(f, s)
	if err != nil {
		return nil, err
	}
	close(x.ready)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frames.put(frameKey{s.seg, s.off}, x, 4*x.blocks+16*len(x.runs)+256)
	return x.content, nil
}

// readContent reads header and meta of a frame, and as much of the data as comes with it.
func readContent(f File, s spot) (h header, c *content, meta []byte, err error) {
	b := make([]byte, min(s.length, max(s.length-s.stored, headerLen)))
	if err := readFull(f, b, s.off); err != nil {
		return h, nil, nil, damage(s, err)
	}
	if h, err = parseHeader(b); err != nil || headerLen+h.meta > len(b) || h.length() != s.length {
		return h, nil, nil, damage(s, fmt.Errorf("%w: not as the table says (%w)", errRecord, err))
	}
	if err = h.check(b, s.seg.salt); err != nil {
		return h, nil, nil, damage(s, err)
	}
	meta = b[headerLen : headerLen+h.meta]
	if c, err = parseContent(&h, meta); err != nil || c.first != s.first || c.objects != s.objects {
		return h, nil, nil, damage(s, fmt.Errorf("%w: not as the table says (%w)", errRecord, err))
	}
	return h, c, meta, nil
}

// get is the frame with its data; with an error, only what is known without.
func (c *frameCache) get(m *Cartridge, s spot, key *medium.Key) (*cachedFrame, error) {
	k := frameKey{s.seg, s.off}
	c.mu.Lock()
	x, ok := c.frames.get(k)
	if ok {
		c.mu.Unlock()
		<-x.ready
		switch {
		case x.err != nil || x.raw == nil:
		case x.enc == nil, x.key != nil && key != nil && x.key.AES == key.AES:
			return x, nil
		}
		c.mu.Lock()
	}
	x = c.begin(k, s, key)
	c.mu.Unlock()
	x.decode(m, s)
	if x.err != nil {
		c.forget(k, x)
	}
	return x, x.err
}

// begin makes an entry that is being decoded. Under mu.
func (c *frameCache) begin(k frameKey, s spot, key *medium.Key) *cachedFrame {
	x := &cachedFrame{ready: make(chan struct{}), key: key}
	c.frames.put(k, x, max(int(s.length), 1<<20))
	return x
}

func (c *frameCache) forget(k frameKey, x *cachedFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if y, ok := c.frames.get(k); ok && y == x {
		c.frames.remove(k)
	}
}

// decode reads the frame and gets its blocks back.
func (x *cachedFrame) decode(m *Cartridge, s spot) {
	defer close(x.ready)
	f, err := m.files.open(s.seg.number)
	if err != nil {
		x.err = err
		return
	}
	defer m.files.release(f)
	h, c, meta, err := readContent(f, s)
	if err != nil {
		x.err = err
		return
	}
	x.content = c
	x.raw, x.err = frameData(f, &h, c, meta, s, m.id, x.key)
}

// ahead decodes the frames behind s, in which object n was read, for one who reads in order.
func (c *frameCache) ahead(m *Cartridge, p int, n uint64, s spot, key *medium.Key) {
	c.mu.Lock()
	inOrder := c.next[p] == n
	c.next[p] = n + 1
	c.mu.Unlock()
	if !inOrder || n != s.first {
		return
	}
	at := s.first + s.objects
	for range aheadFrames {
		m.mu.Lock()
		if at >= m.log.parts[p].objects || p >= m.log.n {
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		next, err := m.spotOf(p, at)
		if err != nil {
			return // whoever reads it will hear
		}
		at = next.first + next.objects
		k := frameKey{next.seg, next.off}
		c.mu.Lock()
		if _, ok := c.frames.get(k); ok || next.inner == next.objects {
			c.mu.Unlock()
			continue
		}
		x := c.begin(k, next, key)
		c.mu.Unlock()
		go func() {
			x.decode(m, next)
			if x.err != nil {
				c.forget(k, x)
			}
		}()
	}
}
