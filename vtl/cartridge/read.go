package cartridge

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/targate/targate/vtl/medium"
)

// spot is a frame in a segment.
type spot struct {
	seg *segment
	place
}

// find looks an object of the log up. Under mu; load is the table to load when it is not in
// memory.
func (m *Cartridge) find(x piece, search func(*table) (place, bool)) (s spot, load bool, ok bool) {
	t, have := m.tables.of(x)
	if !have {
		return spot{}, true, false
	}
	p, ok := search(&t)
	return spot{x.seg, p}, false, ok
}

// seek is the frame that search finds in the piece that pick picks, with the tables that this
// needs. picked is false when pick found nothing.
func (m *Cartridge) seek(pick func() (piece, bool), search func(*table) (place, bool)) (s spot, picked bool, err error) {
	for {
		m.mu.Lock()
		x, picked := pick()
		if !picked {
			m.mu.Unlock()
			return spot{}, false, nil
		}
		s, load, ok := m.find(x, search)
		m.mu.Unlock()
		switch {
		case load:
			if err := m.tables.load(m, x); err != nil {
				return spot{}, true, err
			}
		case !ok:
			return spot{}, true, fmt.Errorf("%w: %s does not have it", medium.ErrCorrupt, segmentName(x.seg.number))
		default:
			return s, true, nil
		}
	}
}

// spotOf is the frame with object n of partition p in the log.
func (m *Cartridge) spotOf(p int, n uint64) (spot, error) {
	s, picked, err := m.seek(func() (piece, bool) { return m.view.object(p, n) }, func(t *table) (place, bool) { return t.object(n) })
	if err == nil && !picked {
		err = fmt.Errorf("%w: object %d is in no segment", medium.ErrCorrupt, n)
	}
	return s, err
}

// waiting is the frame with object n of partition p that is not in the log yet, if there is
// one. Under mu.
func (m *Cartridge) waiting(p int, n uint64) *frame {
	for _, f := range m.pending {
		if f.partition == p && n >= f.first && n-f.first < f.objects {
			return f
		}
	}
	return nil
}

// FilemarksBefore implements medium.Medium.
func (m *Cartridge) FilemarksBefore(p int, object uint64) (uint64, error) {
	m.mu.Lock()
	if err := errors.Join(m.checkPartition(p), m.usable()); err != nil {
		m.mu.Unlock()
		return 0, err
	}
	x := m.state.parts[p]
	f := m.waiting(p, object)
	var marks uint64
	if f != nil {
		_, _, k, _ := f.at(object - f.first)
		marks = f.marks + k
	}
	m.mu.Unlock()
	switch {
	case object > x.objects:
		return 0, fmt.Errorf("object %d is behind the end of data, %d", object, x.objects)
	case object == x.objects:
		return x.filemarks, nil
	case f != nil:
		return marks, nil
	}
	s, err := m.spotOf(p, object)
	if err != nil {
		return 0, err
	}
	switch s.inner {
	case 0:
		return s.marks, nil
	case s.objects:
		return s.marks + object - s.first, nil
	}
	c, err := m.frames.content(m, s)
	if err != nil {
		return 0, err
	}
	_, _, k, _ := c.at(object - s.first)
	return s.marks + k, nil
}

// Filemark implements medium.Medium.
func (m *Cartridge) Filemark(p int, n uint64) (uint64, error) {
	m.mu.Lock()
	if err := errors.Join(m.checkPartition(p), m.usable()); err != nil {
		m.mu.Unlock()
		return 0, err
	}
	x := m.state.parts[p]
	if n >= x.filemarks {
		m.mu.Unlock()
		return 0, fmt.Errorf("filemark %d of %d", n, x.filemarks)
	}
	for _, f := range m.pending {
		if f.partition == p && n >= f.marks && n-f.marks < f.inner {
			defer m.mu.Unlock()
			return f.first + f.mark(n-f.marks), nil
		}
	}
	m.mu.Unlock()
	s, picked, err := m.seek(func() (piece, bool) { return m.view.mark(p, n) }, func(t *table) (place, bool) { return t.mark(n) })
	if err != nil || !picked {
		return 0, errors.Join(err, fmt.Errorf("%w: filemark %d is in no segment", medium.ErrCorrupt, n))
	}
	if s.inner == s.objects {
		return s.first + n - s.marks, nil
	}
	c, err := m.frames.content(m, s)
	if err != nil {
		return 0, err
	}
	return s.first + c.mark(n-s.marks), nil
}

// Read implements medium.Medium.
func (m *Cartridge) Read(p int, object uint64, dst []byte, key *medium.Key) (medium.Object, error) {
	m.mu.Lock()
	if err := errors.Join(m.checkPartition(p), m.usable()); err != nil {
		m.mu.Unlock()
		return medium.Object{}, err
	}
	if object >= m.state.parts[p].objects {
		m.mu.Unlock()
		return medium.Object{}, nil
	}
	if f := m.waiting(p, object); f != nil {
		defer m.mu.Unlock()
		return f.read(object, dst, key)
	}
	m.mu.Unlock()
	s, err := m.spotOf(p, object)
	if err != nil {
		return medium.Object{}, err
	}
	if s.inner == s.objects {
		return medium.Object{Kind: medium.Filemark}, nil
	}
	if s.objects == 1 && s.stored <= int64(len(dst)) {
		if o, done, err := m.readDirect(s, dst); done {
			return o, err
		}
	}
	if len(dst) == 0 {
		c, err := m.frames.content(m, s)
		if err != nil {
			return medium.Object{}, err
		}
		return c.describe(object - s.first), nil
	}
	x, err := m.frames.get(m, s, key)
	if err != nil {
		var o medium.Object
		if x != nil && x.content != nil {
			o = x.describe(object - s.first)
		}
		return o, err
	}
	m.frames.ahead(m, p, object, s, key)
	return x.read(object-s.first, dst)
}

// describe is what is known of object n of a frame without its data.
func (c *content) describe(n uint64) medium.Object {
	length, blocks, _, _ := c.at(n)
	if length == 0 {
		return medium.Object{Kind: medium.Filemark}
	}
	o := medium.Object{Kind: medium.Block, Length: length, Encryption: c.enc}
	if c.crcs != nil {
		o.CRC = c.crcs[blocks]
	}
	return o
}

// readDirect reads a frame of one block right into dst, in one call. done is false when the
// frame is compressed or encrypted, and nothing is known of it yet.
func (m *Cartridge) readDirect(s spot, dst []byte) (o medium.Object, done bool, err error) {
	f, err := m.files.open(s.seg.number)
	if err != nil {
		return o, true, err
	}
	defer m.files.release(f)
	var room [128]byte
	over := int(s.length - s.stored)
	if over > len(room) || over < headerLen {
		return o, false, nil
	}
	if err := f.ReadV([][]byte{room[:over], dst[:s.stored]}, s.off); err != nil {
		return o, true, damage(s, err)
	}
	h, err := parseHeader(room[:over])
	if err == nil && (h.codec != plain || h.encrypted) {
		return o, false, nil
	}
	if err == nil && headerLen+h.meta != over {
		err = fmt.Errorf("%w: not as the table says", errRecord)
	}
	if err == nil {
		err = h.check(room[:over], s.seg.salt)
	}
	if err != nil {
		return o, true, damage(s, err)
	}
	c, err := parseContent(&h, room[headerLen:over])
	if err != nil || c.first != s.first || c.objects != 1 || c.blocks != 1 {
		return o, true, damage(s, errors.Join(err, errRecord))
	}
	o = c.describe(0)
	// Computing it on another goroutine while the block is being read costs more than it saves: 100 us
	// for 256 KiB where this takes 90 and a plain pread 65.
	if sum := crc32.Checksum(dst[:s.stored], castagnoli); sum != o.CRC {
		return o, true, damage(s, fmt.Errorf("CRC32C %08x, it says %08x", sum, o.CRC))
	}
	return o, true, nil
}

// damage is ErrCorrupt with the place.
func damage(s spot, err error) error {
	return fmt.Errorf("%w: %s at %d: %w", medium.ErrCorrupt, segmentName(s.seg.number), s.off, err)
}
