package file

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// inline decides how calls with NoWait are made.
type inline struct {
	// memory: on tmpfs, with no swap to which its pages could have gone. No call
	// blocks.
	memory bool
	// window is the mapping of a file in memory. Those that it replaced stay mapped
	// for the calls that use them.
	window  atomic.Pointer[mapping]
	windows []*mapping
	// plainWrite: the file system does not know RWF_NOWAIT for buffered writes.
	plainWrite atomic.Bool
	// slow is a moving average of how long ordinary writes take lately, in
	// nanoseconds per 64 KiB or part of it. See learn.
	slow atomic.Int64
}

const (
	// slowLimit is the average from which on writes go to workers.
	slowLimit = int64(200 * time.Microsecond)
	// slowStall is one write so long that it needs no company: a device or a
	// throttled writer, not the scheduler.
	slowStall = int64(10 * time.Millisecond)
)

// probe finds out what can be done inline: block.No when every call may block.
func (i *inline) probe(fd int, tmpfs bool) block.Support {
	var si unix.Sysinfo_t
	i.memory = tmpfs && unix.Sysinfo(&si) == nil && si.Totalswap == 0
	if i.memory {
		return block.Native
	}
	if _, e := preadNow(fd, make([]byte, 1), 0); e != 0 && e != unix.EAGAIN {
		return block.No // FUSE, tmpfs with swap, an old kernel
	}
	return block.Native
}

// show maps a file in memory whose size is now size. The caller holds Store.resize or
// has the store to itself.
func (i *inline) show(fd int, size int64) {
	m := newMapping(fd, size, i.window.Load())
	if m == nil {
		return
	}
	i.window.Store(m)
	i.windows = append(i.windows, m)
}

func (i *inline) close() {
	for _, m := range i.windows {
		m.close()
	}
}

// readNow is ReadAt with NoWait of a range that lies within the store.
func (s *Store) readNow(p []byte, off int64) error {
	if s.info.NoWait == block.No {
		return block.ErrWouldBlock
	}
	var n int
	var e unix.Errno
	switch {
	case !s.inline.memory:
		n, e = preadNow(s.fd, p, off)
	case len(p) > rawLimit:
		return s.read(p, off)
	default:
		n, e = rawPread(s.fd, p, off)
	}
	if e == 0 && n == len(p) {
		return nil
	}
	// part of it, EAGAIN, or an error that the second call tells again
	return block.ErrWouldBlock
}

// writeNow is WriteAt with NoWait of a range that lies within the store.
func (s *Store) writeNow(p []byte, off int64) error {
	if s.info.NoWait == block.No {
		return block.ErrWouldBlock
	}
	var n int
	var e unix.Errno
	switch {
	case s.inline.memory:
		if len(p) > rawLimit {
			return s.write(p, off)
		}
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
	s.wrote(off, int64(n))
	if n < len(p) {
		// Something was done, so all of it must be.
		return s.write(p[n:], off+int64(n))
	}
	return nil
}

// wrote notes which blocks exist now, for the window.
func (s *Store) wrote(off, n int64) {
	if m := s.inline.window.Load(); m != nil {
		m.mark(off, n)
	}
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
