package filter

import (
	"errors"
	"fmt"

	"github.com/targate/targate/core/block"
)

// Store is a store behind rules. It is safe for concurrent use.
type Store struct {
	next      block.Store
	blockSize int64
	rules     []Rule
	acts      []action // of rules
	ends      []func() error
}

// counted is a Store over one that counts its space.
type counted struct {
	*Store
	block.Accountant
}

var (
	_ block.Store      = (*Store)(nil)
	_ block.Resizer    = (*Store)(nil)
	_ block.Prober     = (*Store)(nil)
	_ block.Accountant = counted{}
)

// Wrap puts rules around next, whose logical blocks have blockSize bytes. Closing the
// result closes next. After an error next is the caller's still.
func Wrap(next block.Store, blockSize int64, rules []Rule) (block.Store, error) {
	s := &Store{next: next, blockSize: blockSize, rules: rules}
	for i := range rules {
		act, end, err := rules[i].make()
		if err != nil {
			return nil, errors.Join(err, s.end())
		}
		s.acts = append(s.acts, act)
		if end != nil {
			s.ends = append(s.ends, end)
		}
	}
	if a, ok := next.(block.Accountant); ok {
		return counted{s, a}, nil
	}
	return s, nil
}

func (s *Store) end() error {
	var errs []error
	for _, end := range s.ends {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// do carries out a call inside the rules that apply to it.
func (s *Store) do(o op, off, n int64, f block.Flags, last func() error) error {
	if err := block.CheckRange(string(o), off, n, s.next.Info().Size); err != nil {
		return err
	}
	if f&block.NoWait != 0 {
		return block.ErrWouldBlock
	}
	c := call{o, off / s.blockSize, (n + s.blockSize - 1) / s.blockSize}
	err := s.step(0, c, last)
	var at *fault
	if errors.As(err, &at) {
		return &block.Error{Op: string(at.op), Off: at.lba * s.blockSize, Err: at}
	}
	return err
}

func (s *Store) step(i int, c call, last func() error) error {
	for ; i < len(s.rules); i++ {
		if s.rules[i].applies(c) {
			return s.acts[i](c, func() error { return s.step(i+1, c, last) })
		}
	}
	return last()
}

// Info is that of the store below, but every call may block (block.Store).
func (s *Store) Info() block.Info {
	info := s.next.Info()
	info.NoWait = block.No
	return info
}

// ReadAt fills p from off (block.Store).
func (s *Store) ReadAt(p []byte, off int64, f block.Flags) error {
	return s.do(read, off, int64(len(p)), f, func() error { return s.next.ReadAt(p, off, f) })
}

// WriteAt stores p at off (block.Store).
func (s *Store) WriteAt(p []byte, off int64, f block.Flags) error {
	return s.do(write, off, int64(len(p)), f, func() error { return s.next.WriteAt(p, off, f) })
}

// Flush makes all that was done before it durable (block.Store).
func (s *Store) Flush() error { return s.do(flush, 0, 0, 0, s.next.Flush) }

// Zero makes a range read as zeros (block.Store).
func (s *Store) Zero(off, n int64, f block.Flags) error {
	return s.do(zero, off, n, f, func() error { return s.next.Zero(off, n, f) })
}

// Unmap deallocates a range (block.Store).
func (s *Store) Unmap(off, n int64, f block.Flags) error {
	return s.do(unmap, off, n, f, func() error { return s.next.Unmap(off, n, f) })
}

// Extent describes the run that begins at off (block.Store).
func (s *Store) Extent(off, n int64) (e block.Extent, err error) {
	err = s.do(extent, off, n, 0, func() (err error) {
		e, err = s.next.Extent(off, n)
		return err
	})
	return e, err
}

// Resize makes the store size bytes long (block.Resizer).
func (s *Store) Resize(size int64) error {
	r, ok := s.next.(block.Resizer)
	if !ok {
		return fmt.Errorf("%T has a fixed size", s.next)
	}
	return r.Resize(size)
}

// Probe is the size that the backing has now (block.Prober).
func (s *Store) Probe() (int64, error) {
	if p, ok := s.next.(block.Prober); ok {
		return p.Probe()
	}
	return s.next.Info().Size, nil
}

// Close closes the store below (block.Store).
func (s *Store) Close() error { return errors.Join(s.next.Close(), s.end()) }
