package cartridge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/targate/targate/vtl/medium"
)

// Flush implements medium.Medium.
func (m *Cartridge) Flush() error { return m.flush(false) }

// flush makes durable what was recorded before. When background is true a failure waits for
// the next call.
func (m *Cartridge) flush(background bool) error {
	m.wmu.Lock()
	if m.readOnly {
		m.wmu.Unlock()
		return nil
	}
	if background {
		m.submit()
		m.await()
		m.mu.Lock()
		skip := m.lost != nil || m.broken != nil || m.closed
		m.mu.Unlock()
		if skip {
			m.wmu.Unlock()
			return nil
		}
	} else if err := m.begin(); err != nil {
		m.wmu.Unlock()
		return err
	} else if err := m.drain(); err != nil {
		m.wmu.Unlock()
		return err
	}
	c := m.capture()
	m.wmu.Unlock()
	return m.commit(c, background)
}

// await waits for the frames that are on their way. Under wmu.
func (m *Cartridge) await() {
	m.mu.Lock()
	var last chan struct{}
	if n := len(m.pending); n > 0 {
		last = m.pending[n-1].done
	}
	m.mu.Unlock()
	if last != nil {
		<-last
	}
}

// commitPoint is how the log stood, and what has to be synced for it.
type commitPoint struct {
	last   uint64
	state  state
	epoch  int
	sealed []*logFile // with their footers
	syncs  []syncer
	active *logFile
}

func (m *Cartridge) capture() *commitPoint {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &commitPoint{last: m.last, state: m.log, epoch: m.epoch, active: m.w.file}
	if m.last == m.committed {
		return c
	}
	m.w.commits++
	for _, f := range m.w.dirty {
		c.syncs = append(c.syncs, f)
		if f.pending {
			c.sealed = append(c.sealed, f)
		}
	}
	if m.w.names {
		c.syncs = append(c.syncs, dirSyncer{m.fs, m.dir})
	}
	return c
}

// commit makes it durable.
func (m *Cartridge) commit(c *commitPoint, background bool) error {
	if len(c.syncs) == 0 {
		return nil
	}
	err := m.opt.Committer.commit(c.syncs)
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.w.closeDone()
	if err == nil && m.epoch != c.epoch {
		// A sync failed meanwhile. That this one succeeded says nothing about what that was for.
		err = errors.New("an earlier sync failed")
		if m.committed >= c.last {
			err = nil
		}
	}
	if err != nil {
		return m.fail(err, background)
	}
	if c.last <= m.committed {
		return nil // a later commit was faster
	}
	m.committed, m.durable = c.last, c.state
	m.w.names = m.w.names && m.w.file != c.active
	m.w.dirty = slices.DeleteFunc(m.w.dirty, func(f *logFile) bool {
		if slices.Contains(c.sealed, f) {
			m.w.catalog.add(f.seg)
			m.w.closing = append(m.w.closing, f) // its data is durable
			return true
		}
		return f == m.w.file && f.seg.last <= c.last
	})
	return nil
}

// fail takes note that a sync failed. Under mu.
func (m *Cartridge) fail(err error, background bool) error {
	m.epoch++
	err = classify(err)
	if m.broken == nil {
		var all []error
		for p := range m.durable.parts {
			if d := m.durable.parts[p]; d.objects != m.state.parts[p].objects || d.written != m.state.parts[p].written {
				all = append(all, &medium.Deferred{Partition: p, First: min(d.objects, m.state.parts[p].objects), Err: err})
			}
		}
		if len(all) == 0 {
			all = append(all, err)
		}
		m.broken = errors.Join(all...)
		if background {
			return nil // recover tells
		}
		err = m.broken
		m.broken = errTold
	}
	return err
}

// errTold stands for a failed sync that was reported.
var errTold = errors.New("a sync failed")

// recover goes back to what is durable after a failed sync: what the file system still shows
// of the rest may not be on the medium. It returns the failure, if nobody has heard of it.
// Under wmu.
func (m *Cartridge) recover() error {
	m.await()
	m.mu.Lock()
	told, limit := m.broken, m.committed+1
	m.mu.Unlock()
	m.loader.suspicious = true
	k, err := m.loader.load(limit, limit-1)
	m.loader.suspicious = false
	if err == nil && k.last+1 != limit {
		err = fmt.Errorf("only %d of %d durable records are there", k.last, limit-1)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", medium.ErrGone, err)
	}
	// What follows the durable part is in the files still. A new segment makes it void.
	k.clean = false
	m.files.close()
	m.install(k)
	if errors.Is(told, errTold) {
		return nil
	}
	return told
}

// Close implements medium.Medium.
func (m *Cartridge) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.mu.Unlock()
	err := m.Flush()
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if err == nil && m.w.file != nil {
		m.closeLog()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.timer != nil {
		m.timer.Stop()
	}
	m.w.end()
	m.files.close()
	if m.lock != nil {
		err = errors.Join(err, m.lock.Close())
	}
	return err
}

// closeLog ends the log with a checkpoint, from which the next user knows that all before is
// durable. Without it, he finds out.
func (m *Cartridge) closeLog() {
	if m.w.catalog.file != nil && m.w.catalog.file.Sync() != nil {
		return
	}
	m.w.catalog.close() // behind a checkpoint of this purpose nothing of it is torn
	m.mu.Lock()
	k := checkpoint{purpose: atClose, state: m.log, attrs: m.attrs}
	m.mu.Unlock()
	if m.append(header{kind: checkpointRecord}, k.appendTo(nil), nil, func(*header, *segment, int64) {}) == nil {
		_ = m.commit(m.capture(), false)
	}
}
