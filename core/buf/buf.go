// Package buf gives out payload buffers: power-of-two classes, aligned to 4 KiB,
// within a byte budget that no initiator can exceed (docs/design.md, "Memory").
package buf

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minShift = 12 // 4 KiB, the alignment that O_DIRECT wants
	maxShift = 26 // 64 MiB
	// MaxLen is the largest buffer that Get gives.
	MaxLen = 1 << maxShift
)

// Buf is a buffer on loan. Its owner calls Free exactly once.
type Buf struct {
	B     []byte // the length that was asked for; the capacity is the class
	pool  *Pool
	class uint8
}

// Pool is a set of free lists under one budget. It is safe for concurrent use.
type Pool struct {
	limit int64
	used  atomic.Int64
	peak  atomic.Int64
	free  [maxShift + 1]sync.Pool
}

// NewPool makes a pool that lends at most limit bytes at a time.
func NewPool(limit int64) *Pool { return &Pool{limit: limit} }

// Used is how many bytes are on loan; Limit is the budget.
func (p *Pool) Used() int64 { return p.used.Load() }

// Peak is the most bytes that were ever on loan at once.
func (p *Pool) Peak() int64 { return p.peak.Load() }

// Limit is the budget in bytes.
func (p *Pool) Limit() int64 { return p.limit }

func classOf(n int) uint8 {
	if n <= 1<<minShift {
		return minShift
	}
	return uint8(bits.Len(uint(n - 1)))
}

// Get lends n bytes with undefined contents, or nil when n is above MaxLen or
// the budget does not allow it. The caller answers TASK SET FULL or waits.
func (p *Pool) Get(n int) *Buf {
	if n < 0 || n > MaxLen {
		return nil
	}
	c := classOf(n)
	size := int64(1) << c
	if used := p.used.Add(size); used > p.limit {
		p.used.Add(-size)
		return nil
	} else if used > p.peak.Load() {
		p.peak.Store(used) // a lost race costs a statistic only
	}
	return p.take(c, n)
}

// Must is Get outside the budget's refusal, for the few buffers without which a
// connection cannot speak at all. Their number is bounded by the connection limit.
func (p *Pool) Must(n int) *Buf {
	c := classOf(n)
	p.used.Add(1 << c)
	return p.take(c, n)
}

func (p *Pool) take(c uint8, n int) *Buf {
	if v := p.free[c].Get(); v != nil {
		b := v.(*Buf)
		if poison {
			b.check()
		}
		b.B = b.B[:n]
		return b
	}
	// A noscan allocation of a power of two from 4 KiB up is aligned to 4 KiB in
	// the Go runtime (size classes of whole pages); TestAligned keeps watch.
	return &Buf{B: make([]byte, 1<<c)[:n], pool: p, class: c}
}

// Free gives b back. The bytes must not be used afterwards.
func (b *Buf) Free() {
	p := b.pool
	b.B = b.B[:cap(b.B)]
	if poison {
		b.mangle()
	}
	if p.used.Add(-(1 << b.class)) < 0 {
		panic(fmt.Sprintf("buf: freed twice (class %d)", b.class))
	}
	p.free[b.class].Put(b)
}
