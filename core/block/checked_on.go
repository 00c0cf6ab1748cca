//go:build invariants

package block

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/targate/targate/core/buf"
)

// Checked is s behind a checker of the seam between a disk, whose logical block has unit
// bytes, and its store. A breach, by either side, is a panic where it was made: ranges and
// alignment, flags and calls that Info does not offer, ErrWouldBlock that nobody asked for, an
// Extent that does not fit its question, a loan that changes or is returned twice, a buffer
// that the store keeps.
func Checked(s Store, unit int64) Store {
	c := &checked{Store: s, unit: unit, info: s.Info()}
	c.size.Store(c.info.Size)
	_, lends := s.(Lender)
	_, counts := s.(Accountant)
	switch {
	case lends && counts:
		return struct {
			*checked
			lender
			Accountant
		}{c, lender{c}, s.(Accountant)}
	case lends:
		return struct {
			*checked
			lender
		}{c, lender{c}}
	case counts:
		return struct {
			*checked
			Accountant
		}{c, s.(Accountant)}
	}
	return c
}

type checked struct {
	Store
	unit int64
	info Info
	size atomic.Int64 // the largest that the store has been
}

func (c *checked) demand(ok bool, format string, args ...any) {
	if !ok {
		panic("block: " + fmt.Sprintf(format, args...))
	}
}

func (c *checked) rangeOf(op string, off, n int64) {
	c.demand(off >= 0 && n >= 0 && n <= c.size.Load()-off, "%s of %d bytes at %d of %d", op, n, off, c.size.Load())
	c.demand(off%c.unit == 0 && n%c.unit == 0, "%s of %d bytes at %d: no whole blocks of %d", op, n, off, c.unit)
}

func (c *checked) flags(op string, f, known Flags) {
	c.demand(f&^known == 0, "%s with the flags %#x", op, f)
	c.demand(f&NoWait == 0 || c.info.NoWait != No, "%s with NoWait, which the store does not offer", op)
	c.demand(f&MayUnmap == 0 || c.info.Unmap != No, "%s with MayUnmap, which the store does not offer", op)
}

func (c *checked) result(op string, f Flags, err error) error {
	c.demand(f&NoWait != 0 || !errors.Is(err, ErrWouldBlock), "%s would block, and was not asked", op)
	return err
}

func (c *checked) ReadAt(p []byte, off int64, f Flags) error {
	c.rangeOf("read", off, int64(len(p)))
	c.flags("read", f, NoWait|FUA)
	return c.result("read", f, c.Store.ReadAt(p, off, f))
}

// WriteAt gives the store a copy, which is mangled when the store has returned.
func (c *checked) WriteAt(p []byte, off int64, f Flags) error {
	c.rangeOf("write", off, int64(len(p)))
	c.flags("write", f, NoWait|FUA)
	c.demand(!c.info.ReadOnly, "write to a store that is read only")
	b := make([]byte, len(p))
	copy(b, p)
	err := c.Store.WriteAt(b, off, f)
	buf.Mangle(b)
	return c.result("write", f, err)
}

func (c *checked) Zero(off, n int64, f Flags) error {
	c.rangeOf("zero", off, n)
	c.flags("zero", f, NoWait|FUA|MayUnmap)
	return c.result("zero", f, c.Store.Zero(off, n, f))
}

func (c *checked) Unmap(off, n int64, f Flags) error {
	c.rangeOf("unmap", off, n)
	c.flags("unmap", f, NoWait|FUA)
	c.demand(c.info.Unmap != No, "unmap, which the store does not offer")
	return c.result("unmap", f, c.Store.Unmap(off, n, f))
}

func (c *checked) Extent(off, n int64) (Extent, error) {
	c.rangeOf("extent", off, n)
	c.demand(c.info.Extents != No, "extent, which the store does not offer")
	e, err := c.Store.Extent(off, n)
	c.demand(err != nil || e.Off == off && e.Len > 0 && e.Len <= n, "extent of %d bytes at %d: %+v", n, off, e)
	return e, err
}

// Resize fails as the store does, and when there is no such thing.
func (c *checked) Resize(size int64) error {
	r, ok := c.Store.(Resizer)
	if !ok {
		return errors.New("the store cannot be resized")
	}
	for { // before it is that large: who hears of the new size may use it at once
		if old := c.size.Load(); size <= old || c.size.CompareAndSwap(old, size) {
			return r.Resize(size)
		}
	}
}

// Probe is the size that is served when the store has none to tell.
func (c *checked) Probe() (int64, error) {
	if p, ok := c.Store.(Prober); ok {
		return p.Probe()
	}
	return c.Store.Info().Size, nil
}

type lender struct{ c *checked }

func (l lender) Lend(dst [][]byte, off, n int64) ([][]byte, Releaser, bool) {
	l.c.rangeOf("lend", off, n)
	slices, r, ok := l.c.Store.(Lender).Lend(dst, off, n)
	if !ok {
		return slices, r, ok
	}
	var sum int64
	for _, b := range slices[len(dst):] {
		sum += int64(len(b))
	}
	l.c.demand(sum == n, "a loan of %d bytes, asked for %d", sum, n)
	k := &loan{c: l.c, r: r, slices: append([][]byte(nil), slices[len(dst):]...)}
	k.crc = k.digest()
	return slices, k, true
}

// loan looks at what was lent when it comes back.
type loan struct {
	c      *checked
	r      Releaser
	slices [][]byte
	crc    uint32
	back   atomic.Bool
}

func (k *loan) digest() (crc uint32) {
	for _, b := range k.slices {
		crc = crc32.Update(crc, crc32.IEEETable, b)
	}
	return crc
}

func (k *loan) Release() {
	k.c.demand(!k.back.Swap(true), "a loan came back twice")
	k.c.demand(k.digest() == k.crc, "what was lent has changed")
	if k.r != nil {
		k.r.Release()
	}
}
