package mem

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// chunkSize is the unit of allocation. A chunk is contiguous, so that an aligned
	// 64 KiB read is lent as one slice.
	chunkSize = 64 << 10
	// slabSize is how much address space is asked of the kernel at once. Its pages
	// take memory only when they are touched.
	slabSize = 4 << 20
)

// arena gives out chunks of zeroed memory. The memory is not the Go heap's: a disk
// of many gigabytes must neither count against GOMEMLIMIT nor double the heap's
// size at the next collection.
type arena struct {
	mu     sync.Mutex
	slabs  [][]byte
	free   []*chunk
	used   int // chunks that are given out
	closed bool
}

// chunk is chunkSize bytes with a count of those who need them to stay: the slot
// that it is in, and each loan.
type chunk struct {
	data  *[chunkSize]byte
	refs  atomic.Int32
	arena *arena
}

// get gives out a chunk that reads as zeros, with one reference.
func (a *arena) get() (*chunk, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		slab, err := unix.Mmap(-1, 0, slabSize, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		if err != nil {
			return nil, err
		}
		a.slabs = append(a.slabs, slab)
		for off := slabSize - chunkSize; off >= 0; off -= chunkSize {
			a.free = append(a.free, &chunk{data: (*[chunkSize]byte)(slab[off:]), arena: a})
		}
	}
	c := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	a.used++
	c.refs.Store(1)
	return c, nil
}

// Release drops one reference (block.Releaser). Without any, the memory goes back to
// the kernel.
func (c *chunk) Release() {
	if c.refs.Add(-1) > 0 {
		return
	}
	// The next owner finds zeros, and until then nobody pays for the pages. It
	// cannot fail on a private anonymous mapping of ours.
	if err := unix.Madvise(c.data[:], unix.MADV_DONTNEED); err != nil {
		clear(c.data[:])
	}
	a := c.arena
	a.mu.Lock()
	defer a.mu.Unlock()
	a.free = append(a.free, c)
	a.used--
	a.unmap()
}

// taken is how many bytes are given out.
func (a *arena) taken() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(a.used) * chunkSize
}

// close unmaps all memory as soon as nothing of it is given out.
func (a *arena) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.unmap()
}

// unmap is called with mu held.
func (a *arena) unmap() {
	if !a.closed || a.used > 0 {
		return
	}
	for _, slab := range a.slabs {
		unix.Munmap(slab) // cannot fail: it is a mapping of ours
	}
	a.slabs, a.free = nil, nil
}
