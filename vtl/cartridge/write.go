package cartridge

import (
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"slices"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// usable is the error of a cartridge that cannot be used any more. Under mu.
func (m *Cartridge) usable() error {
	if m.closed {
		return errClosed
	}
	return nil
}

// begin is the start of each call that records: under wmu, it reports what was lost since the
// last one.
func (m *Cartridge) begin() error {
	m.mu.Lock()
	err := m.usable()
	lost := m.lost != nil
	broken := m.broken
	m.mu.Unlock()
	switch {
	case err != nil:
		return err
	case m.readOnly:
		return medium.ErrReadOnly
	case broken != nil:
		return m.recover()
	case lost:
		return m.settle()
	}
	return nil
}

// place is begin for what is recorded at object at of partition p.
func (m *Cartridge) place(p int, at uint64) error {
	if err := m.begin(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkPartition(p); err != nil {
		return err
	}
	switch n := m.state.parts[p].objects; {
	case at > n:
		return fmt.Errorf("object %d is behind the end of data, %d", at, n)
	case at < n && m.identity.WORM:
		return medium.ErrWORM
	}
	return nil
}

// Write implements medium.Medium.
func (m *Cartridge) Write(p int, at uint64, block []byte, r medium.Recording) error {
	if len(block) == 0 || len(block) > medium.MaxBlock {
		return fmt.Errorf("a block of %d bytes; 1 to %d can be", len(block), medium.MaxBlock)
	}
	if err := checkKey(r.Key); err != nil {
		return err
	}
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if err := m.place(p, at); err != nil {
		return err
	}
	if err := m.room(p, at, int64(len(block))); err != nil {
		return err
	}
	if err := m.overwrite(p, at); err != nil {
		return err
	}
	c := plain
	if r.Compress {
		c = m.opt.Compression.codec()
	}
	if r.Key == nil && len(block) >= directBlock && (c == plain || m.looksIncompressible(block)) {
		return m.writeDirect(p, at, block, r)
	}
	crc := r.CRC
	if !r.HasCRC {
		crc = crc32.Checksum(block, castagnoli)
	}
	return m.enqueue(p, len(block), 1, func(f *frame) bool {
		if f.blocks == 0 {
			f.compress, f.key, f.enc = c, r.Key, nil
			if k := r.Key; k != nil {
				f.enc = &medium.Encryption{UKAD: slices.Clone(k.UKAD), AKAD: slices.Clone(k.AKAD), RawDecryptionDisabled: k.RawDecryptionDisabled}
			}
		}
		if f.compress != c || f.key != r.Key || f.blocks == maxFrameBlocks || len(f.runs) == maxFrameRuns {
			return false
		}
		f.raw = append(f.raw, block...)
		f.crcs = append(f.crcs, crc)
		return true
	})
}

// looksIncompressible reports whether a block is best written as it is. One block alone that
// does not compress is not worth waiting for those before it.
func (m *Cartridge) looksIncompressible(block []byte) bool {
	if compressible(block) {
		m.incompressible = 0
		return false
	}
	m.incompressible++
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.pending) == 0 || m.incompressible > 4
}

// room checks that n bytes more fit into partition p behind object at.
func (m *Cartridge) room(p int, at uint64, n int64) error {
	fits := func() (bool, error) {
		m.mu.Lock()
		x := m.state.parts[p]
		m.mu.Unlock()
		used := x.used
		if at < x.objects {
			var err error
			if used, err = m.usedBefore(p, at); err != nil {
				return false, err
			}
		}
		return n <= x.capacity-used, nil
	}
	if ok, err := fits(); ok || err != nil {
		return err
	}
	// What waits counts uncompressed.
	if err := m.drain(); err != nil {
		return err
	}
	if ok, err := fits(); ok || err != nil {
		return err
	}
	return medium.ErrFull
}

// usedBefore is what the objects below at take of the capacity.
func (m *Cartridge) usedBefore(p int, at uint64) (int64, error) {
	if err := m.drain(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	x := m.state.parts[p]
	m.mu.Unlock()
	if at >= x.objects {
		return x.used, nil
	}
	s, err := m.spotOf(p, at)
	if err != nil {
		return 0, err
	}
	if at == s.first || s.stored == 0 {
		return s.usedBefore, nil
	}
	c, err := m.frames.content(m, s)
	if err != nil {
		return 0, err
	}
	_, _, _, before := c.at(at - s.first)
	return s.usedBefore + part(s.stored, before, c.raw), nil
}

// overwrite begins a generation when there is something at and behind object at.
func (m *Cartridge) overwrite(p int, at uint64) error {
	m.mu.Lock()
	there := at < m.state.parts[p].objects
	m.mu.Unlock()
	if !there {
		return nil
	}
	return m.cut(p, at, Overwritten)
}

// cut begins a generation in which at is the end of data of p.
func (m *Cartridge) cut(p int, at uint64, why Why) error {
	used, err := m.usedBefore(p, at) // drains, too
	if err != nil {
		return err
	}
	marks, err := m.FilemarksBefore(p, at)
	if err != nil {
		return err
	}
	m.mu.Lock()
	g := beginning{why: why, partition: p, when: m.opt.now(), before: m.log, after: m.log}
	m.mu.Unlock()
	x := &g.after.parts[p]
	x.objects, x.filemarks, x.used = at, marks, used
	return m.generation(g)
}

// generation records the beginning of one. The pipeline is empty.
func (m *Cartridge) generation(g beginning) error {
	g.after.generation++
	return m.append(header{kind: generationRecord}, g.appendTo(nil), nil, func(h *header, s *segment, _ int64) {
		s.cut(h.number, g)
		if g.why == RolledBack {
			m.view = replay(m.segs, noLimit, nil)
		}
		m.view.limit(&g.after, nil)
		m.log, m.state = g.after, g.after
		m.attrs = m.attrs.clone()
		m.attrs.begin(&g)
	})
}

// writeDirect writes a block from where it is, as a frame of its own. Its checksum is computed
// while it is being written, since that takes a fifth of the time of a write to the page cache.
func (m *Cartridge) writeDirect(p int, at uint64, block []byte, r medium.Recording) error {
	if err := m.drain(); err != nil {
		return err
	}
	m.mu.Lock()
	c := content{first: at, marks: m.state.parts[p].filemarks}
	m.mu.Unlock()
	c.add(len(block), 1)
	c.crcs = []uint32{r.CRC}
	h := header{kind: frameRecord, partition: p, data: len(block)}
	meta := c.appendTo(nil)
	var late func()
	if !r.HasCRC {
		sum := make(chan uint32, 1)
		go func() { sum <- crc32.Checksum(block, castagnoli) }()
		late = func() {
			c.crcs[0] = <-sum
			le.PutUint32(meta[len(meta)-4:], c.crcs[0])
		}
		// The block is the caller's again when Write returns.
		defer func() {
			if late != nil {
				<-sum
			}
		}()
	}
	finish := func() {
		if late != nil {
			late()
			late = nil
		}
	}
	return m.appendLate(h, meta, [][]byte{block}, finish, func(h *header, s *segment, off int64) {
		m.take(h, &c, s, off)
		m.state = m.log
	})
}

// take adds a frame that was written to what the log has. Under mu.
func (m *Cartridge) take(h *header, c *content, s *segment, off int64) {
	n := len(s.stretches)
	s.add(h, c, off)
	if len(s.stretches) > n {
		m.view.add(s, n, nil)
	}
	m.log.frame(h, c)
}

// enqueue adds count objects of length bytes each to the open frame of partition p; add says
// that it cannot be this frame.
func (m *Cartridge) enqueue(p, length int, count uint64, add func(*frame) bool) error {
	m.mu.Lock()
	foreign := len(m.pending) > 0 && m.pending[0].partition != p
	m.mu.Unlock()
	if foreign {
		if err := m.drain(); err != nil {
			return err
		}
	}
	for {
		m.mu.Lock()
		x := &m.state.parts[p]
		f := m.openFrame()
		if f == nil {
			f = &frame{partition: p, content: content{first: x.objects, marks: x.filemarks}, done: make(chan struct{})}
			if length > 0 {
				f.raw = make([]byte, 0, max(length, min(m.opt.FrameSize+length/2, 4*length)))
			}
			m.pending = append(m.pending, f)
			m.wake()
		}
		if !add(f) {
			m.mu.Unlock()
			m.submit()
			continue
		}
		f.add(length, count)
		x.objects += count
		if length == 0 {
			x.filemarks += count
		} else {
			n := uint64(length)
			x.used += int64(length)
			x.written += n
			x.stored += n
		}
		full := len(f.raw) >= m.opt.FrameSize || f.blocks >= maxFrameBlocks || len(f.runs) >= maxFrameRuns
		m.mu.Unlock()
		if full {
			m.submit()
		}
		return nil
	}
}

// openFrame is the frame that takes objects. Under mu.
func (m *Cartridge) openFrame() *frame {
	if n := len(m.pending); n > 0 && !m.pending[n-1].submitted {
		return m.pending[n-1]
	}
	return nil
}

// maxInFlight is how many frames are being compressed and written at once.
var maxInFlight = min(runtime.GOMAXPROCS(0)+2, 8)

// submit sends the open frame on its way, when there is one, and waits while too many are.
// Under wmu.
func (m *Cartridge) submit() {
	m.mu.Lock()
	f := m.openFrame()
	if f == nil {
		m.mu.Unlock()
		return
	}
	f.submitted = true
	var before, oldest chan struct{}
	if n := len(m.pending); n > 1 {
		before = m.pending[n-2].done
		if n > maxInFlight {
			oldest = m.pending[0].done
		}
	}
	m.mu.Unlock()
	go m.process(f, before)
	if oldest != nil {
		<-oldest
	}
}

// process compresses a frame, and writes it when that before it is written.
func (m *Cartridge) process(f *frame, before chan struct{}) {
	e, err := f.encode(m.id)
	if before != nil {
		<-before
	}
	m.mu.Lock()
	lost := m.lost != nil
	m.mu.Unlock()
	switch {
	case lost:
	case err == nil:
		err = m.append(e.header, e.meta, e.body, func(h *header, s *segment, off int64) {
			m.take(h, &f.content, s, off)
			x := &m.state.parts[f.partition]
			saved := int64(f.content.raw) - h.used(&f.content)
			x.used -= saved
			x.stored -= uint64(saved)
			m.pending = slices.Delete(m.pending, 0, 1)
		})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && m.lost == nil {
		m.lost = &medium.Deferred{Partition: f.partition, First: f.first, Err: err}
	}
	close(f.done)
}

// drain waits until all that was recorded is in the log. Under wmu.
func (m *Cartridge) drain() error {
	m.submit()
	m.mu.Lock()
	var last chan struct{}
	if n := len(m.pending); n > 0 {
		last = m.pending[n-1].done
	}
	m.mu.Unlock()
	if last != nil {
		<-last
	}
	m.mu.Lock()
	lost := m.lost != nil
	m.mu.Unlock()
	if lost {
		return m.settle()
	}
	return nil
}

// settle makes what is left of the tape after a failure what calls see, and returns the
// failure, once. Under wmu.
func (m *Cartridge) settle() error {
	m.submit() // whatever is open follows what failed, and is lost with it
	m.mu.Lock()
	var last chan struct{}
	if n := len(m.pending); n > 0 {
		last = m.pending[n-1].done
	}
	m.mu.Unlock()
	if last != nil {
		<-last
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.lost
	m.lost, m.pending, m.state = nil, nil, m.log
	return err
}

// WriteFilemarks implements medium.Medium.
func (m *Cartridge) WriteFilemarks(p int, at uint64, n uint64) error {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if err := m.place(p, at); err != nil || n == 0 {
		return err
	}
	if n > maxRun {
		return fmt.Errorf("%d filemarks at once; %d is the most", n, uint64(maxRun))
	}
	if err := m.overwrite(p, at); err != nil {
		return err
	}
	return m.enqueue(p, 0, n, func(f *frame) bool {
		return len(f.runs) < maxFrameRuns && f.inner+n <= maxRun
	})
}

// Truncate implements medium.Medium.
func (m *Cartridge) Truncate(p int, at uint64) error {
	m.wmu.Lock()
	err := m.place(p, at)
	if err == nil && at < m.Partition(p).Objects {
		err = m.cut(p, at, Erased)
	}
	m.wmu.Unlock()
	return errors.Join(err, m.flushAfter(err))
}

// flushAfter is Flush, unless there was an error.
func (m *Cartridge) flushAfter(err error) error {
	if err != nil {
		return nil
	}
	return m.Flush()
}

// Format implements medium.Medium.
func (m *Cartridge) Format(sizes []int64) error {
	m.wmu.Lock()
	m.mu.Lock()
	limit := m.state.limit
	m.mu.Unlock()
	err := m.format(sizes, limit, Formatted)
	m.wmu.Unlock()
	return errors.Join(err, m.flushAfter(err))
}

// SetCapacity implements medium.Medium.
func (m *Cartridge) SetCapacity(numerator uint16) error {
	limit := medium.Limit(m.identity.Capacity, numerator)
	m.wmu.Lock()
	err := m.format([]int64{limit}, limit, CapacitySet)
	m.wmu.Unlock()
	return errors.Join(err, m.flushAfter(err))
}

func (m *Cartridge) format(sizes []int64, limit int64, why Why) error {
	if len(sizes) == 0 || len(sizes) > medium.MaxPartitions {
		return fmt.Errorf("%d partitions; 1 to %d can be", len(sizes), medium.MaxPartitions)
	}
	after := state{limit: limit, n: len(sizes)}
	left := limit
	for i, n := range sizes {
		if n < 0 || n > left {
			return fmt.Errorf("partitions of %d bytes on a medium of %d", sizes, limit)
		}
		left -= n
		after.parts[i].capacity = n
	}
	if err := m.begin(); err != nil {
		return err
	}
	if err := m.drain(); err != nil {
		return err
	}
	m.mu.Lock()
	g := beginning{why: why, when: m.opt.now(), before: m.log, after: after}
	m.mu.Unlock()
	g.after.generation, g.after.released = g.before.generation, g.before.released
	for _, p := range g.before.parts[:g.before.n] {
		if m.identity.WORM && p.objects > 0 {
			return medium.ErrWORM
		}
	}
	return m.generation(g)
}

// SetAttributes implements medium.Medium.
func (m *Cartridge) SetAttributes(p int, attrs ...medium.Attribute) error {
	if err := medium.CheckAttributes(attrs); err != nil {
		return err
	}
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	if err := m.drain(); err != nil {
		return err
	}
	m.mu.Lock()
	err := m.checkPartition(p)
	after := m.attrs.clone()
	m.mu.Unlock()
	if err != nil || len(attrs) == 0 {
		return err
	}
	for _, a := range attrs {
		a.Value = slices.Clone(a.Value)
		after.set(p, a)
	}
	if n := len(after.appendTo(nil)); n > maxAttributes {
		return fmt.Errorf("attributes of %d bytes; a cartridge holds %d", n, maxAttributes)
	}
	return m.append(header{kind: attributesRecord}, appendChanges(nil, p, attrs), nil, func(*header, *segment, int64) {
		m.attrs = after
		m.wake()
	})
}

// wake has what was recorded written and made durable in time. Under mu.
func (m *Cartridge) wake() {
	if m.timer == nil {
		m.timer = time.AfterFunc(medium.SyncDelay/2, m.inTime)
	}
}

// inTime is called when something has waited for half of the time that it may.
func (m *Cartridge) inTime() {
	m.mu.Lock()
	m.timer = nil
	closed := m.closed
	m.mu.Unlock()
	if !closed {
		m.flush(true)
	}
}
