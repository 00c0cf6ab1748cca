package sbc

import (
	"context"
	"sync"
	"sync/atomic"
)

// rangeLock keeps exclusive operations apart from overlapping writes and from each
// other. The zero value is ready.
//
// Plain writes count themselves in writers and, when nothing exclusive is held or
// wanted, go ahead. An exclusive operation announces itself in excl first and then
// waits until writers is zero once: what was under way has ended, and what comes
// later sees excl and queues by range.
//
// Reads never wait for plain writes. They notice by a version number that an atomic
// operation took place meanwhile, and are then done again in the queue.
type rangeLock struct {
	writers atomic.Int64 // plain writes under way
	excl    atomic.Int32 // exclusive holds, granted or waiting
	// torn counts atomic operations: those that have begun in the upper half, those
	// under way in the lower.
	torn atomic.Uint64

	mu    sync.Mutex
	holds []*hold       // in order of arrival, granted or waiting
	idle  chan struct{} // closed when writers reaches zero; nil when nobody waits
}

const tornBegin = 1<<32 + 1

// hold is a claim on the bytes [off, end).
type hold struct {
	off, end  int64
	exclusive bool
	granted   chan struct{} // closed once no earlier claim is in the way
	isGranted bool
}

// beginWrite enters a plain write. False: an exclusive operation is about, so the
// write must take a shared hold instead.
func (l *rangeLock) beginWrite() bool {
	l.writers.Add(1)
	if l.excl.Load() == 0 {
		return true
	}
	l.endWrite()
	return false
}

// endWrite ends what beginWrite allowed.
func (l *rangeLock) endWrite() {
	if l.writers.Add(-1) == 0 && l.excl.Load() != 0 {
		l.drained()
	}
}

func (l *rangeLock) drained() {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A write that saw zero may come here late: after all exclusive holds have gone,
	// another write has begun, and another hold waits for that one. It will come too.
	if l.idle != nil && l.writers.Load() == 0 {
		close(l.idle)
		l.idle = nil
	}
}

// beginRead gives the version for endRead. False: an atomic operation is under way,
// so the read must take a shared hold instead.
func (l *rangeLock) beginRead() (version uint64, ok bool) {
	version = l.torn.Load()
	return version, uint32(version) == 0
}

// endRead reports whether no atomic operation began since beginRead.
func (l *rangeLock) endRead(version uint64) bool { return l.torn.Load() == version }

// lock waits for [off, off+n): a shared hold keeps exclusive ones out, an exclusive
// hold everything but reads. The error is ctx's.
func (l *rangeLock) lock(ctx context.Context, off, n int64, exclusive bool) (*hold, error) {
	h := &hold{off: off, end: off + n, exclusive: exclusive, granted: make(chan struct{})}
	l.mu.Lock()
	if exclusive {
		l.excl.Add(1)
	}
	l.holds = append(l.holds, h)
	l.grant()
	l.mu.Unlock()

	select {
	case <-h.granted:
	default:
		select {
		case <-h.granted:
		case <-ctx.Done():
			l.unlock(h)
			return nil, ctx.Err()
		}
	}
	if exclusive {
		if err := l.drain(ctx); err != nil {
			l.unlock(h)
			return nil, err
		}
	}
	return h, nil
}

// drain waits until the plain writes that began before excl was raised have ended.
func (l *rangeLock) drain(ctx context.Context) error {
	l.mu.Lock()
	if l.writers.Load() == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unlock ends a hold, or a claim that was given up.
func (l *rangeLock) unlock(h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range l.holds {
		if o == h {
			l.holds = append(l.holds[:i], l.holds[i+1:]...)
			break
		}
	}
	if h.exclusive {
		l.excl.Add(-1)
	}
	l.grant()
}

// grant lets every claim pass that no earlier one is in the way of. mu is held.
func (l *rangeLock) grant() {
	for i, h := range l.holds {
		if !h.isGranted && !blocked(h, l.holds[:i]) {
			h.isGranted = true
			close(h.granted)
		}
	}
}

func blocked(h *hold, earlier []*hold) bool {
	for _, o := range earlier {
		if (h.exclusive || o.exclusive) && h.off < o.end && o.off < h.end {
			return true
		}
	}
	return false
}

// beginAtomic hides what follows, until endAtomic, from reads: they wait, or are
// done again. The caller has an exclusive hold.
func (l *rangeLock) beginAtomic() { l.torn.Add(tornBegin) }

// endAtomic ends beginAtomic.
func (l *rangeLock) endAtomic() { l.torn.Add(^uint64(0)) }
