package sbc

import "sync"

// scratchLen is the size of the buffers in which commands that compare, repeat or
// move the medium's data work, however long their range is.
const scratchLen = 256 << 10

// scratchPool is the buffers of one disk. The zero value is ready. At most one is in
// use per command that runs, and commands that use one never run on the reader.
type scratchPool struct{ p sync.Pool }

func (s *scratchPool) get() *[scratchLen]byte {
	if b, ok := s.p.Get().(*[scratchLen]byte); ok {
		return b
	}
	return new([scratchLen]byte)
}

func (s *scratchPool) put(b *[scratchLen]byte) { s.p.Put(b) }
