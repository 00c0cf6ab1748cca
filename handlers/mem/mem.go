// Package mem is a sparse disk in memory. It lends its own memory to readers, so
// that a read is copied once, to the socket.
//
// The disk is a table of leaves, each a table of slots, each of which holds one
// chunk or nothing. A slot's lock is held while its bytes are copied, never longer:
// what is lent is kept unchanged by a reference on its chunk, and a write to such a
// chunk replaces it by a copy.
//
// Lock order: Store.grow, slot.mu, arena.mu.
package mem

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

const (
	leafSlots = 512
	leafSize  = leafSlots * chunkSize // 32 MiB
	// maxSize keeps the table of leaves, 8 bytes each, below 256 MiB.
	maxSize = 1 << 50
	// quickRange is how much Zero and Unmap do in one go when they must not block:
	// to give a chunk back costs a system call.
	quickRange = 1 << 20
)

// Store is a disk in memory. It is safe for concurrent use.
type Store struct {
	size   atomic.Int64
	leaves atomic.Pointer[[]atomic.Pointer[leaf]]
	grow   sync.Mutex // held to add a leaf and to replace the table
	arena  arena
}

type leaf [leafSlots]slot

type slot struct {
	mu sync.RWMutex // guards c and the bytes of c.data
	c  *chunk       // nil: deallocated
}

var (
	_ block.Store      = (*Store)(nil)
	_ block.Lender     = (*Store)(nil)
	_ block.Resizer    = (*Store)(nil)
	_ block.Accountant = (*Store)(nil)
)

// New makes an empty store of size bytes.
func New(size int64) (*Store, error) {
	s := &Store{}
	if err := s.Resize(size); err != nil {
		return nil, err
	}
	return s, nil
}

// Info describes the store (block.Store). There is no cache above a stable medium,
// so it is not volatile in the sense of WCE: Flush would change nothing.
func (s *Store) Info() block.Info {
	return block.Info{
		Size:          s.size.Load(),
		Granularity:   chunkSize,
		PhysicalBlock: 512,
		Unmap:         block.Native,
		Extents:       block.Native,
		NoWait:        block.Native,
		Align:         1,
	}
}

// find returns the slot that holds off, nil when its leaf was never written.
func (s *Store) find(off int64) *slot {
	l := (*s.leaves.Load())[off/leafSize].Load()
	if l == nil {
		return nil
	}
	return &l[off%leafSize/chunkSize]
}

// ensure returns the slot that holds off.
func (s *Store) ensure(off int64) *slot {
	if sl := s.find(off); sl != nil {
		return sl
	}
	s.grow.Lock()
	defer s.grow.Unlock()
	p := &(*s.leaves.Load())[off/leafSize]
	if p.Load() == nil {
		p.Store(new(leaf))
	}
	return &p.Load()[off%leafSize/chunkSize]
}

// ReadAt fills p (block.Store).
func (s *Store) ReadAt(p []byte, off int64, _ block.Flags) error {
	if err := block.CheckRange("read", off, int64(len(p)), s.size.Load()); err != nil {
		return err
	}
	for len(p) > 0 {
		at := off % chunkSize
		n := min(chunkSize-at, int64(len(p)))
		if sl := s.find(off); sl == nil {
			clear(p[:n])
		} else {
			sl.read(p[:n], at)
		}
		p, off = p[n:], off+n
	}
	return nil
}

func (sl *slot) read(p []byte, at int64) {
	sl.mu.RLock()
	if sl.c == nil {
		clear(p)
	} else {
		copy(p, sl.c.data[at:])
	}
	sl.mu.RUnlock()
}

// WriteAt stores p (block.Store).
func (s *Store) WriteAt(p []byte, off int64, _ block.Flags) error {
	if err := block.CheckRange("write", off, int64(len(p)), s.size.Load()); err != nil {
		return err
	}
	for len(p) > 0 {
		at := off % chunkSize
		n := min(chunkSize-at, int64(len(p)))
		sl := s.ensure(off)
		sl.mu.Lock()
		err := sl.own(&s.arena)
		if err == nil {
			copy(sl.c.data[at:], p[:n])
		}
		sl.mu.Unlock()
		if err != nil {
			return &block.Error{Op: "write", Off: off, Err: fmt.Errorf("%w: %w", block.ErrNoSpace, err)}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// own makes sl.c a chunk that may be changed: one that exists and is not lent.
//
// Precondition: sl.mu is held for writing, so no new loan begins.
func (sl *slot) own(a *arena) error {
	old := sl.c
	if old != nil && old.refs.Load() == 1 {
		return nil
	}
	c, err := a.get()
	if err != nil {
		return err
	}
	if old != nil {
		*c.data = *old.data
		old.Release()
	}
	sl.c = c
	return nil
}

// Flush has nothing to make durable (block.Store).
func (s *Store) Flush() error { return nil }

// Zero is Unmap: there is no difference to see (block.Store).
func (s *Store) Zero(off, n int64, f block.Flags) error { return s.drop("zero", off, n, f) }

// Unmap frees the chunks that lie wholly in the range and clears what it covers of
// the first and the last (block.Store).
func (s *Store) Unmap(off, n int64, f block.Flags) error { return s.drop("unmap", off, n, f) }

func (s *Store) drop(op string, off, n int64, f block.Flags) error {
	if err := block.CheckRange(op, off, n, s.size.Load()); err != nil {
		return err
	}
	if f&block.NoWait != 0 && n > quickRange {
		return block.ErrWouldBlock
	}
	for n > 0 {
		sl := s.find(off)
		if sl == nil { // nothing in this leaf
			k := min(leafSize-off%leafSize, n)
			off, n = off+k, n-k
			continue
		}
		k := min(chunkSize-off%chunkSize, n)
		if err := sl.drop(off%chunkSize, k, &s.arena); err != nil {
			return &block.Error{Op: op, Off: off, Err: fmt.Errorf("%w: %w", block.ErrNoSpace, err)}
		}
		off, n = off+k, n-k
	}
	return nil
}

func (sl *slot) drop(at, n int64, a *arena) error {
	sl.mu.Lock()
	defer sl.mu.Unlock()
	switch {
	case sl.c == nil:
	case n == chunkSize:
		sl.c.Release()
		sl.c = nil
	default:
		if err := sl.own(a); err != nil {
			return err
		}
		clear(sl.c.data[at : at+n])
	}
	return nil
}

// Extent describes the run of chunks that begins at off (block.Store).
func (s *Store) Extent(off, n int64) (block.Extent, error) {
	if err := block.CheckRange("extent", off, n, s.size.Load()); err != nil {
		return block.Extent{}, err
	}
	e := block.Extent{Off: off, Data: s.allocated(off)}
	for e.Len < n {
		at := off + e.Len
		if s.allocated(at) != e.Data {
			break
		}
		k := chunkSize - at%chunkSize
		if s.find(at) == nil {
			k = leafSize - at%leafSize
		}
		e.Len = min(e.Len+k, n)
	}
	return e, nil
}

func (s *Store) allocated(off int64) bool {
	if off >= s.size.Load() {
		return false
	}
	sl := s.find(off)
	if sl == nil {
		return false
	}
	sl.mu.RLock()
	defer sl.mu.RUnlock()
	return sl.c != nil
}

// Usage counts chunks against the memory that the machine has free (block.Accountant).
func (s *Store) Usage() (block.Usage, error) {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return block.Usage{}, err
	}
	used := s.arena.taken()
	free := int64(si.Freeram+si.Bufferram) * int64(si.Unit)
	return block.Usage{Used: used, Available: min(max(0, s.size.Load()-used), free), Shared: true}, nil
}

// Resize makes the store longer (block.Resizer).
func (s *Store) Resize(size int64) error {
	s.grow.Lock()
	defer s.grow.Unlock()
	switch have := s.size.Load(); {
	case size < have:
		return fmt.Errorf("a mem disk does not shrink (from %d to %d bytes)", have, size)
	case size <= 0 || size > maxSize:
		return fmt.Errorf("a mem disk has 1 to %d bytes, not %d", int64(maxSize), size)
	}
	table := make([]atomic.Pointer[leaf], (size+leafSize-1)/leafSize)
	if old := s.leaves.Load(); old != nil {
		for i := range *old {
			table[i].Store((*old)[i].Load())
		}
	}
	s.leaves.Store(&table) // before the size, which lets callers in
	s.size.Store(size)
	return nil
}

// Close frees the memory, that of chunks on loan when they are released (block.Store).
func (s *Store) Close() error {
	for off, size := int64(0), s.size.Load(); off < size; {
		sl := s.find(off)
		if sl == nil {
			off += leafSize - off%leafSize
			continue
		}
		if err := sl.drop(0, chunkSize, &s.arena); err != nil {
			return err
		}
		off += chunkSize
	}
	s.arena.close()
	return nil
}
