// Package pool stores the cartridges of a library in one directory, each in a directory of its
// own that is called by its barcode: a library.Pool over package cartridge. What a cartridge is
// called is for people; its identity is in it.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

// Config is a pool.
type Config struct {
	Dir    string // made if absent
	Models *personality.Set
	// Options of all cartridges; their Committer is one, and given by the pool.
	Options cartridge.Options
	// Retention is how long older generations of cartridges are kept.
	Retention cartridge.Retention
	// SegmentSize of new cartridges in bytes; 0: cartridge.DefaultSegment.
	SegmentSize int64
	Log         *slog.Logger // nil: slog.Default
}

// Pool is a directory of cartridges. It is safe for concurrent use.
type Pool struct {
	cfg Config

	end   context.CancelFunc // of the sweep
	swept chan struct{}      // closed when it has ended

	mount sync.Mutex // held while a cartridge is mounted, and while one is swept; comes before mu

	mu        sync.Mutex        // guards the rest
	dirs      map[string]string // by ID: the path of a cartridge
	retention cartridge.Retention
}

// doomed begins the names of directories that are being removed.
const doomed = ".deleted-"

// Open opens the pool at cfg.Dir, making it if need be.
func Open(cfg Config) (*Pool, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Options.Committer = new(cartridge.Committer)
	if err := makeDir(cfg.Dir); err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, dirs: map[string]string{}, retention: cfg.Retention, swept: make(chan struct{})}
	if err := p.tidy(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	go p.sweep(ctx)
	return p, nil
}

// Close ends the work of the pool in the background. Cartridges that are mounted stay so.
func (p *Pool) Close() error {
	p.end()
	<-p.swept
	return nil
}

// makeDir makes path and what is missing above it, durably.
func makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return cartridge.OS{}.SyncDir(filepath.Dir(path))
}

// tidy finishes what Delete had begun.
func (p *Pool) tidy() error {
	entries, err := os.ReadDir(p.cfg.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), doomed) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(p.cfg.Dir, e.Name())))
		}
	}
	return err
}

// Found is a cartridge of a directory.
type Found struct {
	Path string
	cartridge.Identity
}

// Find gives all cartridges in dir, in order of the names of their directories. bad is told of
// those whose identity cannot be read.
func Find(dir string, o cartridge.Options, bad func(path string, err error)) ([]Found, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []Found
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		i, err := cartridge.Read(path, o)
		switch {
		case err == nil:
			list = append(list, Found{path, i})
		case !errors.Is(err, fs.ErrNotExist): // else a directory of something else, or a Create that was cut off
			bad(path, err)
		}
	}
	return list, nil
}

// List implements library.Pool.
func (p *Pool) List() ([]library.Stored, error) {
	all, err := Find(p.cfg.Dir, p.cfg.Options, func(path string, err error) {
		p.cfg.Log.Error("a cartridge cannot be read", "path", path, "error", err)
	})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.dirs)
	var list []library.Stored
	for _, f := range all {
		if other := p.dirs[f.ID]; other != "" {
			p.cfg.Log.Error("a copy of a cartridge is not used", "path", f.Path, "of", other, "id", f.ID)
			continue
		}
		p.dirs[f.ID] = f.Path
		m, ok := p.cfg.Models.Media(f.Type)
		if !ok {
			m = &personality.Media{Name: f.Type} // of a data file that is gone: no drive can load it
		}
		list = append(list, library.Stored{ID: f.ID, Barcode: f.Barcode, Media: m, WORM: f.WORM, Created: f.Created})
	}
	return list, nil
}

// Path is the directory of a cartridge, empty when there is none.
func (p *Pool) Path(id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dirs[id]
}

func (p *Pool) find(id string) (string, error) {
	if path := p.Path(id); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("cartridge %s: %w", id, medium.ErrGone)
}

// free is a path for a cartridge of that barcode at which nothing is, or a cartridge that a
// crash kept from being created.
func (p *Pool) free(barcode, id string) string {
	path := filepath.Join(p.cfg.Dir, barcode)
	_, there := os.Lstat(path)
	_, begun := os.Lstat(filepath.Join(path, "lock"))
	_, made := cartridge.Read(path, p.cfg.Options)
	if there == nil && (begun != nil || !errors.Is(made, fs.ErrNotExist)) {
		return path + "." + id[:8]
	}
	return path
}

// Create implements library.Pool.
func (p *Pool) Create(s library.Stored) error {
	capacity := s.Capacity
	if capacity == 0 {
		capacity = s.Media.Capacity
	}
	path := p.free(s.Barcode, s.ID)
	_, err := cartridge.Create(path, cartridge.Identity{ID: s.ID, Barcode: s.Barcode, Type: s.Media.Name, Serial: serial(s.ID),
		WORM: s.WORM, Capacity: capacity, SegmentSize: p.cfg.SegmentSize, Created: s.Created}, p.cfg.Options)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirs[s.ID] = path
	return nil
}

// serial is a medium serial number: ten characters, as LTO cartridges have.
func serial(id string) string {
	return strings.ToUpper(strings.ReplaceAll(id, "-", ""))[:10]
}

// Mount implements library.Pool.
func (p *Pool) Mount(id string, readOnly bool) (medium.Medium, error) {
	m, err := p.open(id, readOnly)
	if err != nil {
		return nil, err
	}
	return &mounted{m, p, readOnly}, nil
}

// open mounts a cartridge.
func (p *Pool) open(id string, readOnly bool) (*cartridge.Cartridge, error) {
	path, err := p.find(id)
	if err != nil {
		return nil, err
	}
	o := p.cfg.Options
	o.ReadOnly = readOnly
	p.mount.Lock()
	defer p.mount.Unlock()
	m, err := cartridge.Open(path, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", medium.ErrGone, err)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Blank implements library.Pool.
func (p *Pool) Blank(id string) (blank bool, err error) {
	m, err := p.open(id, true)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	for i := range m.Partitions() {
		if m.Partition(i).Objects > 0 {
			return false, nil
		}
	}
	return true, nil
}

// Relabel implements library.Pool. The directory takes the new name, too, unless something is in
// the way.
func (p *Pool) Relabel(id, barcode string) error {
	path, err := p.find(id)
	if err != nil {
		return err
	}
	p.mount.Lock()
	defer p.mount.Unlock()
	if err := cartridge.Relabel(path, barcode, p.cfg.Options); err != nil {
		return err
	}
	to := p.free(barcode, id)
	if err := os.Rename(path, to); err != nil {
		p.cfg.Log.Warn("the directory of a cartridge keeps its name", "path", path, "barcode", barcode, "error", err)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirs[id] = to
	return cartridge.OS{}.SyncDir(p.cfg.Dir)
}

// SetWORM implements library.Pool.
func (p *Pool) SetWORM(id string) error {
	path, err := p.find(id)
	if err != nil {
		return err
	}
	p.mount.Lock()
	defer p.mount.Unlock()
	return cartridge.SetWORM(path, p.cfg.Options)
}

// Delete implements library.Pool. The cartridge is gone at once; its files go one by one.
func (p *Pool) Delete(id string) error {
	path := p.Path(id)
	if path == "" {
		return nil
	}
	p.mount.Lock()
	defer p.mount.Unlock()
	to := filepath.Join(p.cfg.Dir, doomed+id)
	if err := os.Rename(path, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := (cartridge.OS{}).SyncDir(p.cfg.Dir); err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.dirs, id)
	p.mu.Unlock()
	if err := os.RemoveAll(to); err != nil {
		p.cfg.Log.Warn("files of a deleted cartridge stay until the next start", "path", to, "error", err)
	}
	return nil
}
