// Package simfs is a file system in memory that can lose power: it knows what was synced, and
// gives what is left of the rest by chance. It also fails and fills up on demand. It is for
// tests.
package simfs

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/vtl/cartridge"
)

// sector is what a medium writes whole or not at all.
const sector = 512

// Op is a call that can be made to fail.
type Op struct {
	Name string // "write", "sync", "syncdir", "create", "rename", "remove", "truncate", "read", "open"
	Path string
}

// FS is a file system. The zero value is not ready: see New.
type FS struct {
	mu    sync.Mutex
	dirs  map[string]*dir
	locks map[string]int // users; -1: exclusive
	used  int64

	// Limit, when not 0, is how many bytes files can have in all.
	Limit int64
	// Fault is asked before each call; its error is the result. A sync that fails makes
	// nothing durable, and what it was for is not made durable by a later one either.
	Fault func(Op) error
	// BeforeSync is called before each sync.
	BeforeSync func()
}

var _ cartridge.FS = (*FS)(nil)

// dir has the names that programs see, and those that power cannot take.
type dir struct {
	names, durable map[string]*node
	changes        []nameChange // since the last sync
}

type nameChange struct {
	name string
	node *node // nil: removed
}

// node is a file.
type node struct {
	data, durable []byte
	dirty         []span // of data, since the last sync
}

type span struct{ from, to int }

// New is an empty one with the directory root.
func New(root string) *FS {
	return &FS{dirs: map[string]*dir{root: newDir()}, locks: map[string]int{}}
}

func newDir() *dir { return &dir{names: map[string]*node{}, durable: map[string]*node{}} }

// Loss is what a loss of power takes of what was not synced.
type Loss int

// Losses.
const (
	All    Loss = iota // all of it
	None               // nothing: the process was killed
	Chance             // sectors and names by chance
)

// Crash is the file system as it is after power was lost now.
func (f *FS) Crash(l Loss, r *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &FS{dirs: map[string]*dir{}, locks: map[string]int{}}
	kept := map[*node]*node{}
	for path, d := range f.dirs {
		names := maps.Clone(d.durable)
		n := 0
		switch l {
		case None:
			n = len(d.changes)
		case Chance:
			n = r.IntN(len(d.changes) + 1)
		}
		for _, x := range d.changes[:n] {
			if x.node == nil {
				delete(names, x.name)
			} else {
				names[x.name] = x.node
			}
		}
		e := newDir()
		for _, name := range slices.Sorted(maps.Keys(names)) {
			old := names[name]
			k := kept[old]
			if k == nil {
				k = &node{data: old.after(l, r)}
				k.durable = slices.Clone(k.data)
				kept[old] = k
				c.used += int64(len(k.data))
			}
			e.names[name], e.durable[name] = k, k
		}
		c.dirs[path] = e
	}
	return c
}

// after is what is left of a file.
func (n *node) after(l Loss, r *rand.Rand) []byte {
	switch l {
	case All:
		return slices.Clone(n.durable)
	case None:
		return slices.Clone(n.data)
	}
	b := slices.Clone(n.durable)
	keep := []float64{0.02, 0.5, 0.98}[r.IntN(3)]
	dirty := n.dirty[:r.IntN(len(n.dirty)+1)]
	if r.IntN(2) == 0 {
		dirty = n.dirty
	}
	for _, s := range dirty {
		for at := s.from; at < min(s.to, len(n.data)); {
			next := min((at/sector+1)*sector, s.to, len(n.data))
			if r.Float64() < keep {
				b = put(b, n.data[at:next], at)
			}
			at = next
		}
	}
	return b
}

// put writes p at off, behind zeros when b is shorter.
func put(b, p []byte, off int) []byte {
	if need := off + len(p); need > len(b) {
		b = append(b, make([]byte, need-len(b))...)
	}
	copy(b[off:], p)
	return b
}

func (f *FS) fault(name, path string) error {
	f.mu.Lock()
	ask := f.Fault
	f.mu.Unlock()
	if ask == nil {
		return nil
	}
	return ask(Op{name, path})
}

func (f *FS) at(path string) (*dir, string, error) {
	d := f.dirs[filepath.Dir(path)]
	if d == nil {
		return nil, "", &fs.PathError{Op: "sim", Path: path, Err: fs.ErrNotExist}
	}
	return d, filepath.Base(path), nil
}

// Mkdir implements cartridge.FS. Directories are durable at once: their files are not.
func (f *FS) Mkdir(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirs[path] != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrExist}
	}
	f.dirs[path] = newDir()
	return nil
}

// Create implements cartridge.FS.
func (f *FS) Create(path string) (cartridge.File, error) {
	if err := f.fault("create", path); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.at(path)
	if err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	n := &node{}
	d.change(name, n)
	return &file{fs: f, node: n, path: path, write: true}, nil
}

func (d *dir) change(name string, n *node) {
	if n == nil {
		delete(d.names, name)
	} else {
		d.names[name] = n
	}
	d.changes = append(d.changes, nameChange{name, n})
}

// Open implements cartridge.FS.
func (f *FS) Open(path string, write bool) (cartridge.File, error) {
	if err := f.fault("open", path); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.at(path)
	if err != nil {
		return nil, err
	}
	n := d.names[name]
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &file{fs: f, node: n, path: path, write: write}, nil
}

// Rename implements cartridge.FS.
func (f *FS) Rename(from, to string) error {
	if err := f.fault("rename", from); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, a, err := f.at(from)
	if err != nil {
		return err
	}
	n := d.names[a]
	if n == nil || filepath.Dir(from) != filepath.Dir(to) {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	// One change, as in a journal: both names, or none.
	b := filepath.Base(to)
	d.change(b, n)
	d.change(a, nil)
	return nil
}

// Remove implements cartridge.FS.
func (f *FS) Remove(path string) error {
	if err := f.fault("remove", path); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.at(path)
	if err != nil {
		return err
	}
	n := d.names[name]
	if n == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	f.used -= int64(len(n.data))
	d.change(name, nil)
	return nil
}

// List implements cartridge.FS.
func (f *FS) List(path string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.dirs[path]
	if d == nil {
		return nil, &fs.PathError{Op: "list", Path: path, Err: fs.ErrNotExist}
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

// SyncDir implements cartridge.FS.
func (f *FS) SyncDir(path string) error {
	f.beforeSync()
	if err := f.fault("syncdir", path); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := f.dirs[path]; d != nil {
		d.durable, d.changes = maps.Clone(d.names), nil
	}
	return nil
}

func (f *FS) beforeSync() {
	f.mu.Lock()
	do := f.BeforeSync
	f.mu.Unlock()
	if do != nil {
		do()
	}
}

// Lock implements cartridge.FS.
func (f *FS) Lock(path string, shared bool) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.locks[path]
	if n < 0 || (n > 0 && !shared) {
		return nil, fmt.Errorf("%s: %w", path, cartridge.ErrInUse)
	}
	if shared {
		f.locks[path]++
	} else {
		f.locks[path] = -1
	}
	return &lock{fs: f, path: path}, nil
}

type lock struct {
	fs   *FS
	path string
	once sync.Once
}

func (l *lock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		if l.fs.locks[l.path] < 0 {
			l.fs.locks[l.path] = 0
		} else {
			l.fs.locks[l.path]--
		}
	})
	return nil
}

type file struct {
	fs    *FS
	node  *node
	path  string
	write bool
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if err := f.fs.fault("read", f.path); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// ReadV implements cartridge.File.
func (f *file) ReadV(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if n, err := f.ReadAt(b, off); n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// WriteV implements cartridge.File.
func (f *file) WriteV(bufs [][]byte, off int64) error {
	if err := f.fs.fault("write", f.path); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if !f.write {
		return &fs.PathError{Op: "write", Path: f.path, Err: unix.EBADF}
	}
	n := f.node
	for _, b := range bufs {
		if more := off + int64(len(b)) - int64(len(n.data)); more > 0 && f.fs.Limit > 0 && f.fs.used+more > f.fs.Limit {
			// As much as there is room for, as a disk does.
			b = b[:max(0, int64(len(b))-(f.fs.used+more-f.fs.Limit))]
			f.put(b, off)
			return &fs.PathError{Op: "write", Path: f.path, Err: unix.ENOSPC}
		}
		f.put(b, off)
		off += int64(len(b))
	}
	return nil
}

func (f *file) put(b []byte, off int64) {
	n := f.node
	before := len(n.data)
	n.data = put(n.data, b, int(off))
	f.fs.used += int64(len(n.data) - before)
	n.dirty = append(n.dirty, span{min(int(off), before), int(off) + len(b)})
}

// Truncate implements cartridge.File. It is durable with the next Sync.
func (f *file) Truncate(size int64) error {
	if err := f.fs.fault("truncate", f.path); err != nil {
		return err
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := f.node
	if size < int64(len(n.data)) {
		f.fs.used -= int64(len(n.data)) - size
		n.data = n.data[:size:size]
		for i := range n.dirty {
			n.dirty[i].from, n.dirty[i].to = min(n.dirty[i].from, int(size)), min(n.dirty[i].to, int(size))
		}
		n.dirty = append(n.dirty, span{int(size), int(size)})
	}
	return nil
}

// Size implements cartridge.File.
func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

// Sync implements cartridge.File.
func (f *file) Sync() error {
	f.fs.beforeSync()
	err := f.fs.fault("sync", f.path)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := f.node
	if err == nil {
		for _, s := range n.dirty {
			if to := min(s.to, len(n.data)); s.from < to {
				n.durable = put(n.durable, n.data[s.from:to], s.from)
			}
		}
		if len(n.durable) > len(n.data) {
			n.durable = n.durable[:len(n.data):len(n.data)]
		}
	}
	n.dirty = nil
	return err
}

// Close implements cartridge.File.
func (f *file) Close() error { return nil }

// Flip inverts a bit of a file, durably.
func (f *FS) Flip(path string, off int64, bit uint) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.at(path)
	if err != nil {
		panic(err)
	}
	n := d.names[name]
	n.data[off] ^= 1 << (bit % 8)
	n.durable = slices.Clone(n.data)
	n.dirty = nil
}

// Size is how long a file is.
func (f *FS) Size(path string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, name, err := f.at(path)
	if err != nil || d.names[name] == nil {
		return -1
	}
	return int64(len(d.names[name].data))
}

// Used is how many bytes files have in all.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used
}

// SetFault sets Fault while the file system is in use.
func (f *FS) SetFault(ask func(Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Fault = ask
}

// SetLimit sets Limit while the file system is in use.
func (f *FS) SetLimit(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Limit = n
}
