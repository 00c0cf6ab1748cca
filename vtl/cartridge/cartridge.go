package cartridge

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// Options is how a cartridge is used.
type Options struct {
	FS        FS         // nil: OS
	Committer *Committer // of the pool; nil: one for this cartridge alone
	// Compression of what is recorded with Recording.Compress.
	Compression Compression
	// FrameSize is how many bytes of blocks are grouped; 0 is DefaultFrame.
	FrameSize int
	ReadOnly  bool
	Now       func() time.Time // nil: time.Now
}

// DefaultFrame is large enough to compress well, and small enough to read one block of it
// in some milliseconds.
const DefaultFrame = 1 << 20

const (
	lockName    = "lock"    // held by the one who mounts the cartridge
	readersName = "readers" // shared by those who read a generation
	// directBlock is the shortest block that is written from where it is.
	directBlock = 64 << 10
)

func (o *Options) files() FS {
	if o.FS == nil {
		return OS{}
	}
	return o.FS
}

func (o *Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// Cartridge is a mounted one: a medium.Medium.
type Cartridge struct {
	opt      Options
	fs       FS
	dir      string
	identity Identity
	id       [16]byte
	lock     interface{ Close() error }
	readOnly bool
	loader   *loader
	files    *fileCache
	frames   *frameCache
	tables   *tableCache

	// wmu is held by the one who records something. It comes before mu, and is held over
	// I/O: recording is a sequence.
	wmu            sync.Mutex
	w              writer
	incompressible int // blocks in a row, under wmu

	mu sync.Mutex
	// What calls see: with all that waits to be written.
	state state
	attrs attributes
	// What is in the log.
	log  state
	view view
	segs []*segment
	last uint64 // record
	// What is durable.
	durable   state
	committed uint64
	// pending are the frames that are not in the log yet, in order. The last may be open.
	pending []*frame
	// lost is the first failure that nobody has heard of.
	lost   error
	epoch  int // failed commits
	broken error
	closed bool
	timer  *time.Timer
}

var _ medium.Medium = (*Cartridge)(nil)

// Open mounts the cartridge in dir, for this user alone: ErrInUse otherwise. A cartridge that
// was not closed is recovered; nothing is written before the first call that records.
func Open(dir string, o Options) (*Cartridge, error) {
	m, err := newCartridge(dir, o)
	if err != nil {
		return nil, err
	}
	if m.lock, err = m.fs.Lock(filepath.Join(dir, lockName), false); err != nil {
		return nil, err
	}
	k, err := m.loader.load(noLimit, 0)
	if err != nil {
		return nil, errors.Join(err, m.lock.Close())
	}
	if k.clean {
		k.committed = k.last
	}
	if !o.ReadOnly && !k.clean {
		// What a killed process left may be in memory only.
		if err := m.syncFound(k); err != nil {
			return nil, errors.Join(err, m.lock.Close())
		}
	}
	m.install(k)
	m.readOnly = o.ReadOnly
	return m, nil
}

// syncFound makes all that was found durable.
func (m *Cartridge) syncFound(k *contents) error {
	syncs := []syncer{dirSyncer{m.fs, m.dir}}
	for _, s := range k.segs {
		if !s.scanned {
			continue
		}
		f, err := m.fs.Open(m.loader.path(s.number), true)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // nothing was written to it
		syncs = append(syncs, &logFile{File: f})
	}
	k.committed = k.last
	return m.opt.Committer.commit(syncs)
}

func newCartridge(dir string, o Options) (*Cartridge, error) {
	if o.Committer == nil {
		o.Committer = new(Committer)
	}
	if o.FrameSize <= 0 {
		o.FrameSize = DefaultFrame
	}
	o.FrameSize = min(o.FrameSize, maxFrameRaw)
	m := &Cartridge{opt: o, fs: o.files(), dir: dir}
	i, err := readIdentity(m.fs, dir)
	if err != nil {
		return nil, err
	}
	m.identity = *i
	if m.id, err = parseUUID(i.ID); err != nil {
		return nil, err
	}
	m.loader = &loader{fs: m.fs, dir: dir, id: m.id, fault: func(string, int64, error) {}}
	m.files = newFileCache(m.fs, dir)
	m.frames = newFrameCache()
	m.tables = newTableCache()
	return m, nil
}

// install makes k what the cartridge has.
func (m *Cartridge) install(k *contents) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state, m.log, m.durable = k.state, k.state, k.state
	m.attrs, m.segs, m.last, m.committed = k.attrs, k.segs, k.last, k.last
	m.view = replay(k.segs, noLimit, nil)
	m.view.limit(&m.state, nil)
	m.pending, m.lost, m.broken = nil, nil, nil
	m.w.reset(k)
}

// Info implements medium.Medium.
func (m *Cartridge) Info() medium.Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.identity.info()
	i.ReadOnly, i.Generation = m.readOnly, m.state.generation
	return i
}

// Partitions implements medium.Medium.
func (m *Cartridge) Partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.n
}

// Partition implements medium.Medium.
func (m *Cartridge) Partition(p int) medium.Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	x := &m.state.parts[p]
	return medium.Partition{Objects: x.objects, Filemarks: x.filemarks, Capacity: x.capacity, Used: x.used, Written: x.written, Stored: x.stored}
}

// Attribute implements medium.Medium.
func (m *Cartridge) Attribute(p int, id uint16) (medium.Attribute, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.attrs[p][id]
	a.Value = bytes.Clone(a.Value)
	return a, ok
}

// Attributes implements medium.Medium.
func (m *Cartridge) Attributes(p int) []medium.Attribute {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.attrs.sorted(p)
	for i := range all {
		all[i].Value = bytes.Clone(all[i].Value)
	}
	return all
}

var errClosed = errors.New("the cartridge is closed")

func (m *Cartridge) checkPartition(p int) error {
	if p < 0 || p >= m.state.n {
		return fmt.Errorf("partition %d of %d", p, m.state.n)
	}
	return nil
}
