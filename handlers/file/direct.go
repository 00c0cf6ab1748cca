package file

import (
	"sync"
	"unsafe"

	"github.com/targate/targate/core/block"
)

// bounceSize bounds one detour; it is a multiple of every alignment.
const bounceSize = 1 << 20

// direct is how a file with O_DIRECT is read and written: buffers, offsets and
// lengths that are not aligned go through a bounce buffer.
type direct struct {
	align int64
	// edge is held for writing while blocks at the edges of an unaligned write are
	// read, changed and written, and for reading by every other write and
	// fallocate: none of those may fall between.
	edge sync.RWMutex
}

var bounces = sync.Pool{New: func() any {
	// a power of two of whole pages is aligned to them (package buf)
	b := make([]byte, bounceSize)
	return &b
}}

func newDirect(align int64) *direct { return &direct{align: align} }

func (d *direct) aligned(p []byte, off int64) bool {
	m := uint64(d.align - 1)
	return (uint64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))|uint64(len(p))|uint64(off))&m == 0
}

// read is ReadAt of a range that lies within the store.
func (d *direct) read(s *Store, p []byte, off int64) error {
	if d.aligned(p, off) {
		return s.read(p, off)
	}
	b := bounces.Get().(*[]byte)
	defer bounces.Put(b)
	for len(p) > 0 {
		lead := off & (d.align - 1)
		n := min(int64(len(p)), bounceSize-lead)
		q := (*b)[:(lead+n+d.align-1)&^(d.align-1)]
		if err := s.read(q, off-lead); err != nil {
			return err
		}
		copy(p[:n], q[lead:])
		p, off = p[n:], off+n
	}
	return nil
}

// write is WriteAt of a range that lies within the store.
func (d *direct) write(s *Store, p []byte, off int64, f block.Flags) error {
	put := s.write
	if f&block.FUA != 0 {
		put = s.writeThrough
	}
	if (off|int64(len(p)))&(d.align-1) == 0 {
		d.edge.RLock()
		defer d.edge.RUnlock()
		if d.aligned(p, off) {
			return put(p, off)
		}
	} else {
		d.edge.Lock()
		defer d.edge.Unlock()
	}
	b := bounces.Get().(*[]byte)
	defer bounces.Put(b)
	for len(p) > 0 {
		lead := off & (d.align - 1)
		n := min(int64(len(p)), bounceSize-lead)
		q := (*b)[:(lead+n+d.align-1)&^(d.align-1)]
		if int64(len(q)) != n {
			if err := d.edges(s, q, off-lead, lead, lead+n); err != nil {
				return err
			}
		}
		copy(q[lead:], p[:n])
		if err := put(q, off-lead); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// edges reads the first block of q, which lies at off, if the new data begins behind
// its start, and the last if it ends before its end.
func (d *direct) edges(s *Store, q []byte, off, from, to int64) error {
	last := int64(len(q)) - d.align
	if from > 0 {
		if err := s.read(q[:d.align], off); err != nil {
			return err
		}
	}
	if to < int64(len(q)) && (last > 0 || from == 0) {
		return s.read(q[last:], off+last)
	}
	return nil
}
