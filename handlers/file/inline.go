package file

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// inline decides how calls with NoWait are made.
type inline struct {
	memory bool // on tmpfs: no call blocks
	// plainRead and plainWrite: the file system does not know RWF_NOWAIT.
	plainRead, plainWrite atomic.Bool
	// slow is a moving average of how long ordinary writes take lately, in
	// nanoseconds per 64 KiB or part of it. See writeTimed.
	slow atomic.Int64
}

const (
	// slowLimit is the average from which on writes go to workers.
	slowLimit = int64(200 * time.Microsecond)
	// slowStall is one write so long that it needs no company: a device or a
	// throttled writer, not the scheduler.
	slowStall = int64(10 * time.Millisecond)
)

func (i *inline) init(memory bool) {
	i.memory = memory
}

// readNow is ReadAt with NoWait of a range that lies within the store.
func (s *Store) readNow(p []byte, off int64) error {
	if s.direct != nil {
		return block.ErrWouldBlock
	}
	var n int
	var e unix.Errno
	switch {
	case s.inline.memory:
		n, e = rawPread(s.fd, p, off)
	case s.inline.plainRead.Load():
		return block.ErrWouldBlock
	default:
		n, e = preadNow(s.fd, p, off)
		if e == unix.EOPNOTSUPP {
			s.inline.plainRead.Store(true)
			return block.ErrWouldBlock
		}
	}
	if e == 0 && n == len(p) {
		return nil
	}
	// part of it, EAGAIN, or an error that the second call tells again
	return block.ErrWouldBlock
}

// writeNow is WriteAt with NoWait of a range that lies within the store.
func (s *Store) writeNow(p []byte, off int64) error {
	var n int
	var e unix.Errno
	switch {
	case s.direct != nil:
		return block.ErrWouldBlock
	case s.inline.memory:
		n, e = rawPwrite(s.fd, p, off)
	case s.inline.plainWrite.Load():
		if s.inline.slow.Load() > slowLimit {
			return block.ErrWouldBlock
		}
		return s.writeTimed(p, off)
	default:
		n, e = pwriteNow(s.fd, p, off)
		if e == unix.EOPNOTSUPP {
			s.inline.plainWrite.Store(true)
			return s.writeNow(p, off)
		}
	}
	if e != 0 {
		return block.ErrWouldBlock // nothing was done, and the second call tells why
	}
	if n < len(p) {
		// Something was done, so all of it must be.
		return s.write(p[n:], off+int64(n))
	}
	return nil
}

// writeTimed is write, and keeps the average of what it costs.
func (s *Store) writeTimed(p []byte, off int64) error {
	start := time.Now()
	err := s.write(p, off)
	s.inline.learn(int64(time.Since(start)), len(p))
	return err
}

// learn takes a write of n bytes that lasted took nanoseconds into the average. It
// rises fast (1/8) and falls slowly (1/256): a writer of dirty pages is stopped for up
// to 200 ms after every few hundred writes, and between two stops all seems well. A
// single write may be slow because the thread lost its processor, so what one adds
// is bounded: it takes a few in a row, or one stall. Updates that race with each
// other cost an observation.
func (i *inline) learn(took int64, n int) {
	per := took / (1 + int64(n)>>16)
	switch {
	case took > slowStall:
		per = 16 * slowLimit
	case per > 4*slowLimit:
		per = 4 * slowLimit
	}
	old := i.slow.Load()
	if per > old {
		i.slow.Store(old + (per-old)/8)
	} else {
		i.slow.Store(old - (old-per)/256)
	}
}
