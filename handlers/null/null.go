// Package null is a store that keeps nothing: writes are accepted and forgotten,
// reads give zeros. It shows what everything above a store costs.
package null

import (
	"sync/atomic"

	"github.com/targate/targate/core/block"
)

// lendUnit is the length of the one run of zeros that all loans show. Longer reads
// are lent as several slices of it.
const lendUnit = 64 << 10

var zeros [lendUnit]byte

// Store is a disk without content. It is safe for concurrent use.
type Store struct{ size atomic.Int64 }

var (
	_ block.Store      = (*Store)(nil)
	_ block.Lender     = (*Store)(nil)
	_ block.Resizer    = (*Store)(nil)
	_ block.Accountant = (*Store)(nil)
)

// New makes a store of size bytes.
func New(size int64) *Store {
	s := &Store{}
	s.size.Store(size)
	return s
}

// Info describes the store (block.Store).
func (s *Store) Info() block.Info {
	return block.Info{
		Size:          s.size.Load(),
		Granularity:   4096,
		PhysicalBlock: 512,
		Unmap:         block.Native,
		Extents:       block.Native,
		NoWait:        block.Native,
		Align:         1,
	}
}

// ReadAt clears p (block.Store).
func (s *Store) ReadAt(p []byte, off int64, _ block.Flags) error {
	if err := block.CheckRange("read", off, int64(len(p)), s.size.Load()); err != nil {
		return err
	}
	clear(p)
	return nil
}

// WriteAt forgets p (block.Store).
func (s *Store) WriteAt(p []byte, off int64, _ block.Flags) error {
	return block.CheckRange("write", off, int64(len(p)), s.size.Load())
}

// Flush has nothing to make durable (block.Store).
func (s *Store) Flush() error { return nil }

// Zero changes nothing: the range reads as zeros already (block.Store).
func (s *Store) Zero(off, n int64, _ block.Flags) error {
	return block.CheckRange("zero", off, n, s.size.Load())
}

// Unmap changes nothing: nothing is allocated (block.Store).
func (s *Store) Unmap(off, n int64, _ block.Flags) error {
	return block.CheckRange("unmap", off, n, s.size.Load())
}

// Extent says that nothing is stored (block.Store).
func (s *Store) Extent(off, n int64) (block.Extent, error) {
	if err := block.CheckRange("extent", off, n, s.size.Load()); err != nil {
		return block.Extent{}, err
	}
	return block.Extent{Off: off, Len: n}, nil
}

// Lend shows zeros (block.Lender).
func (s *Store) Lend(dst [][]byte, off, n int64) ([][]byte, block.Releaser, bool) {
	if block.CheckRange("read", off, n, s.size.Load()) != nil {
		return dst, nil, false
	}
	for n > 0 {
		k := min(n, lendUnit)
		dst = append(dst, zeros[:k:k])
		n -= k
	}
	return dst, forever{}, true
}

// Resize makes the store size bytes long (block.Resizer).
func (s *Store) Resize(size int64) error {
	s.size.Store(size)
	return nil
}

// Usage is nothing at all (block.Accountant).
func (s *Store) Usage() (block.Usage, error) {
	return block.Usage{Available: s.size.Load()}, nil
}

// Close does nothing (block.Store).
func (s *Store) Close() error { return nil }

// forever is the loan of memory that never changes.
type forever struct{}

func (forever) Release() {}
