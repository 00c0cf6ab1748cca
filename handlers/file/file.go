// Package file is a disk in a regular file or on a block device.
//
// Calls that may not block go by way of system calls that cannot (raw.go, inline.go);
// all others are ordinary positioned reads and writes. With O_DIRECT, buffers and
// offsets that are not aligned take a detour (direct.go).
package file

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// Store is an open file or block device. It is safe for concurrent use.
//
// The number of an open file is used in system calls without any lock that would
// keep it open: Close must come after the last other call has returned, which the
// core guarantees (core.Handler).
//
// Only who obeys the lock of Open is kept out. A file that something else cuts short
// fails to read behind its end; a write there makes it longer again.
type Store struct {
	path string
	fd   int
	info block.Info // Size is in size
	size atomic.Int64
	thin bool
	dev  bool  // a block device
	unit int64 // of fallocate: 1, or the device's logical block size

	inline inline
	direct *direct // nil without O_DIRECT

	// flushErr is the first failure to reach stable storage. The kernel reports a
	// failed write-back once and then forgets the pages: a later fdatasync succeeds
	// although data is lost. So after one failure every Flush and FUA write
	// fails until the store is opened again.
	flushErr atomic.Pointer[error]

	resize sync.Mutex // held by Resize
}

var (
	_ block.Store      = (*Store)(nil)
	_ block.Resizer    = (*Store)(nil)
	_ block.Prober     = (*Store)(nil)
	_ block.Accountant = (*Store)(nil)
)

// Info describes the store (block.Store).
func (s *Store) Info() block.Info {
	i := s.info
	i.Size = s.size.Load()
	return i
}

// ReadAt fills p (block.Store). A file that was cut short below us is
// block.ErrCorrupt, not zeros.
func (s *Store) ReadAt(p []byte, off int64, f block.Flags) error {
	if err := block.CheckRange("read", off, int64(len(p)), s.size.Load()); err != nil {
		return err
	}
	if m := s.inline.window.Load(); m != nil && m.read(p, off) {
		return nil
	}
	if f&block.NoWait != 0 {
		return s.readNow(p, off)
	}
	if s.direct != nil {
		return s.direct.read(s, p, off)
	}
	return s.read(p, off)
}

// read is ReadAt of a range that lies within the store, by a call that may block.
func (s *Store) read(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pread(s.fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fail("read", off, err)
		case n == 0:
			return &block.Error{Op: "read", Off: off, Err: errShort}
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// WriteAt stores p (block.Store).
func (s *Store) WriteAt(p []byte, off int64, f block.Flags) error {
	if err := block.CheckRange("write", off, int64(len(p)), s.size.Load()); err != nil {
		return err
	}
	if s.info.ReadOnly {
		return &block.Error{Op: "write", Off: off, Err: block.ErrReadOnly}
	}
	// no FUA to obey: where there is a window, nothing is more stable than memory
	if m := s.inline.window.Load(); m != nil && m.write(p, off) {
		return nil
	}
	if f&block.NoWait != 0 {
		if f&block.FUA != 0 {
			return block.ErrWouldBlock
		}
		return s.writeNow(p, off)
	}
	if s.direct != nil {
		return s.direct.write(s, p, off, f)
	}
	if f&block.FUA != 0 {
		return s.writeThrough(p, off)
	}
	return s.writeTimed(p, off)
}

// write is WriteAt of a range that lies within the store, by a call that may block.
func (s *Store) write(p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(s.fd, p, off)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return fail("write", off, err)
		case n == 0:
			return fail("write", off, unix.EIO)
		}
		s.wrote(off, int64(n))
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// writeThrough is write to stable storage.
func (s *Store) writeThrough(p []byte, off int64) error {
	if err := s.lost(); err != nil {
		return &block.Error{Op: "write", Off: off, Err: err}
	}
	for len(p) > 0 {
		n, e := pwriteSync(s.fd, p, off)
		switch e {
		case 0:
		case unix.EINTR:
			continue
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
			if err := s.write(p, off); err != nil {
				return err
			}
			return s.Flush()
		case unix.EIO: // it may be of an earlier write, and is told once
			s.lose(e)
			return fail("write", off, e)
		default:
			return fail("write", off, e)
		}
		if n == 0 {
			return fail("write", off, unix.EIO)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// Flush is fdatasync (block.Store). Once it failed, it fails until the store is
// opened again: see flushErr.
func (s *Store) Flush() error {
	if s.info.ReadOnly {
		return nil
	}
	if err := s.lost(); err != nil {
		return &block.Error{Op: "flush", Err: err}
	}
	for {
		err := unix.Fdatasync(s.fd)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			s.lose(err)
			return fail("flush", 0, err)
		}
		// another call may have been told of a failure that covers our data too
		if err := s.lost(); err != nil {
			return &block.Error{Op: "flush", Err: err}
		}
		return nil
	}
}

// lose remembers that data did not reach stable storage.
func (s *Store) lose(err error) {
	p := new(error) // here, so that who calls does not allocate
	*p = err
	s.flushErr.CompareAndSwap(nil, p)
}

func (s *Store) lost() error {
	if p := s.flushErr.Load(); p != nil {
		return fmt.Errorf("an earlier flush failed and may have lost data: %w", *p)
	}
	return nil
}

// Close flushes and closes (block.Store).
func (s *Store) Close() error {
	err := s.Flush()
	s.inline.close()
	if e := unix.Close(s.fd); err == nil && e != nil {
		err = fail("flush", 0, e)
	}
	s.fd = -1
	return err
}
