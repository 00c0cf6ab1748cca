package librarytest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
	"github.com/targate/targate/vtl/personality"
)

// Pool is a library.Pool: what must be known of a cartridge is in a file of its own, which survives the
// process; its contents are in memory, and are blank when it is mounted.
type Pool struct {
	Dir string

	mu      sync.Mutex
	fail    error
	written map[string]bool
}

var _ library.Pool = (*Pool)(nil)

// NewPool makes dir if it is not there. A failure is a panic.
func NewPool(dir string) *Pool {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	return &Pool{Dir: dir, written: map[string]bool{}}
}

// Fail makes all that changes a cartridge fail with err; nil ends that.
func (p *Pool) Fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// Written says that a cartridge is not blank.
func (p *Pool) Written(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written[id] = true
}

// record is a file of the pool.
type record struct {
	library.Stored
	Kind string
}

// Load reads the file of one cartridge.
func (p *Pool) Load(id string) (library.Stored, error) {
	b, err := os.ReadFile(filepath.Join(p.Dir, id))
	if err != nil {
		return library.Stored{}, err
	}
	var r record
	err = json.Unmarshal(b, &r)
	r.Media, _ = personality.Builtin().Media(r.Kind)
	return r.Stored, err
}

// Save writes it, whole or not at all.
func (p *Pool) Save(s library.Stored) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	r := record{Stored: s, Kind: s.Media.Name}
	r.Media = nil
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := filepath.Join(p.Dir, "tmp."+s.ID)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(p.Dir, s.ID))
}

// uuidLen tells the files of cartridges from what a crash left.
const uuidLen = 36

// List is all that there is (library.Pool).
func (p *Pool) List() ([]library.Stored, error) {
	files, err := os.ReadDir(p.Dir)
	if err != nil {
		return nil, err
	}
	var list []library.Stored
	for _, f := range files {
		if len(f.Name()) != uuidLen {
			continue
		}
		s, err := p.Load(f.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Create stores a cartridge (library.Pool).
func (p *Pool) Create(s library.Stored) error { return p.Save(s) }

// Mount gives a blank tape (library.Pool).
func (p *Pool) Mount(id string, readOnly bool) (medium.Medium, error) {
	s, err := p.Load(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, medium.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return memtape.New(medium.Info{ID: id, Barcode: s.Barcode, Type: s.Media.Name, WORM: s.WORM}, 1<<20).Mount(readOnly)
}

// Blank is what Written has not said otherwise (library.Pool).
func (p *Pool) Blank(id string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.written[id], nil
}

// Relabel changes the barcode (library.Pool).
func (p *Pool) Relabel(id, barcode string) error {
	s, err := p.Load(id)
	if err != nil {
		return err
	}
	s.Barcode = barcode
	return p.Save(s)
}

// SetWORM makes it WORM (library.Pool).
func (p *Pool) SetWORM(id string) error {
	s, err := p.Load(id)
	if err != nil {
		return err
	}
	s.WORM = true
	return p.Save(s)
}

// Delete removes it (library.Pool).
func (p *Pool) Delete(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	err := os.Remove(filepath.Join(p.Dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
