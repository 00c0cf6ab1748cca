package mem

import (
	"sync"

	"github.com/targate/targate/core/block"
)

// zeros is what holes are lent as.
var zeros [chunkSize]byte

// Lend shows the chunks of the range (block.Lender).
func (s *Store) Lend(dst [][]byte, off, n int64) ([][]byte, block.Releaser, bool) {
	if block.CheckRange("read", off, n, s.size.Load()) != nil {
		return dst, nil, false
	}
	if at := off % chunkSize; at+n <= chunkSize { // the usual case, without a loan object
		c := s.lend(off)
		if c == nil {
			return append(dst, zeros[:n:n]), hole{}, true
		}
		return append(dst, c.data[at:at+n:at+n]), c, true
	}
	l := loans.Get().(*loan)
	for n > 0 {
		at := off % chunkSize
		k := min(chunkSize-at, n)
		if c := s.lend(off); c == nil {
			dst = append(dst, zeros[:k:k])
		} else {
			dst = append(dst, c.data[at:at+k:at+k])
			l.chunks = append(l.chunks, c)
		}
		off, n = off+k, n-k
	}
	return dst, l, true
}

// lend takes a reference on the chunk at off, nil for a hole.
func (s *Store) lend(off int64) *chunk {
	sl := s.find(off)
	if sl == nil {
		return nil
	}
	sl.mu.RLock()
	defer sl.mu.RUnlock()
	if sl.c != nil {
		sl.c.refs.Add(1)
	}
	return sl.c
}

// loan is a loan of several chunks.
type loan struct{ chunks []*chunk }

var loans = sync.Pool{New: func() any { return new(loan) }}

// Release gives the chunks back (block.Releaser).
func (l *loan) Release() {
	for i, c := range l.chunks {
		c.Release()
		l.chunks[i] = nil
	}
	l.chunks = l.chunks[:0]
	loans.Put(l)
}

// hole is a loan of zeros only.
type hole struct{}

func (hole) Release() {}
