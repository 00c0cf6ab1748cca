package sbc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"sync"

	"github.com/targate/targate/core/block"
)

// The store of protection information begins with two slots for the header, which are
// written in turn, so that a torn one leaves the other (docs/formats/dif.md).
const (
	slotLen = 4096
	dataAt  = 2 * slotLen

	difMagic   = "TGTPINFO"
	difVersion = 1

	// marks is how many parts of the medium the header can mark.
	marks     = 4096
	marksAt   = 512
	minRegion = 24 // log2: 16 MiB
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crc32c(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// markSet is a bit per region modulo marks.
type markSet [marks / 64]uint64

func (m *markSet) has(i int) bool { return m[i/64]>>(i%64)&1 != 0 }
func (m *markSet) set(i int)      { m[i/64] |= 1 << (i % 64) }
func (m *markSet) clear(i int)    { m[i/64] &^= 1 << (i % 64) }

// header is what the store of protection information says of itself.
type header struct {
	kind        uint8 // protection type
	blockShift  uint8 // log2 of the logical block length
	regionShift uint8 // log2 of the bytes of data in a region
	sequence    uint64
	marks       markSet // regions in which a write may be under way
}

// regionShift gives a disk of size bytes as many regions as there are marks, of 16 MiB
// or more. A disk that grows keeps its regions: several share a mark then.
func regionShift(size int64) uint8 {
	return uint8(max(minRegion, bits.Len64(uint64(size-1)/marks)))
}

func (h *header) encode() []byte {
	b := make([]byte, slotLen)
	copy(b, difMagic)
	binary.BigEndian.PutUint16(b[8:], difVersion)
	b[10], b[11], b[12] = h.kind, h.blockShift, h.regionShift
	binary.BigEndian.PutUint64(b[16:], h.sequence)
	for i, w := range h.marks {
		binary.BigEndian.PutUint64(b[marksAt+8*i:], w)
	}
	binary.BigEndian.PutUint32(b[slotLen-4:], crc32c(b[:slotLen-4]))
	return b
}

var errSlot = errors.New("no header")

// parseHeader reads a slot of slotLen bytes. errSlot: it is torn, or was never written.
func parseHeader(b []byte) (h header, err error) {
	if string(b[:8]) != difMagic || crc32c(b[:slotLen-4]) != binary.BigEndian.Uint32(b[slotLen-4:]) {
		return h, errSlot
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != difVersion {
		return h, fmt.Errorf("version %d, known is %d", v, difVersion)
	}
	h.kind, h.blockShift, h.regionShift = b[10], b[11], b[12]
	if h.kind > 3 || h.regionShift < minRegion || h.regionShift > 62 {
		return h, fmt.Errorf("a header with protection type %d and regions of 2^%d bytes", h.kind, h.regionShift)
	}
	h.sequence = binary.BigEndian.Uint64(b[16:])
	for i := range h.marks {
		h.marks[i] = binary.BigEndian.Uint64(b[marksAt+8*i:])
	}
	return h, nil
}

// intents keep the header: before blocks of a region change, its mark is durable.
type intents struct {
	at     block.Store
	shift  uint8         // head.regionShift, which never changes
	logged bool          // a crash leaves the stores: marks are kept
	token  chan struct{} // held to write the header

	mu      sync.Mutex // guards what follows
	head    header     // as it is on the medium, less the marks that are about to go
	epoch   uint64     // flushes that began
	writers [marks]int32
	touched [marks]uint64 // the epoch at the end of the last write
	stale   markSet       // marks that need not stay
}

// load reads the header, or writes fresh to a store that has none.
func (n *intents) load(store block.Store, fresh header, readOnly bool) error {
	n.at, n.token = store, make(chan struct{}, 1)
	var best *header
	empty := 0
	b := make([]byte, slotLen)
	for slot := range int64(2) {
		if err := store.ReadAt(b, slot*slotLen, 0); err != nil {
			return err
		}
		h, err := parseHeader(b)
		switch {
		case err == nil && (best == nil || h.sequence > best.sequence):
			best = &h
		case err != nil && allZero(b):
			empty++
		case err != nil && !errors.Is(err, errSlot):
			return err
		}
	}
	switch {
	case best == nil && empty == 0:
		return errors.New("the header is damaged")
	case best == nil: // new; or the first header was torn, before any block was written
		n.head, n.shift = fresh, fresh.regionShift
		if readOnly {
			return nil
		}
		return n.record(context.Background(), func(*header) {})
	case best.blockShift != fresh.blockShift:
		return fmt.Errorf("it is of blocks of %d bytes, not %d", 1<<best.blockShift, 1<<fresh.blockShift)
	}
	n.head, n.shift = *best, best.regionShift
	return nil
}

// record changes the header, durably. Marks that need not stay go.
func (n *intents) record(ctx context.Context, change func(*header)) error {
	select {
	case n.token <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-n.token }()
	n.mu.Lock()
	for i := range n.stale {
		n.head.marks[i] &^= n.stale[i] // before they go from the medium: see enter
	}
	n.stale = markSet{}
	h := n.head
	n.mu.Unlock()
	h.sequence++
	change(&h)
	if err := n.at.WriteAt(h.encode(), int64(h.sequence%2)*slotLen, block.FUA); err != nil {
		return err
	}
	n.mu.Lock()
	n.head = h
	n.mu.Unlock()
	return nil
}

// regions calls f with the mark of each region of [off, off+size), once each.
func (n *intents) regions(off, size int64, f func(mark int)) {
	first, last := off>>n.shift, (off+size-1)>>n.shift
	last = min(last, first+marks-1)
	for r := first; r <= last; r++ {
		f(int(r % marks))
	}
}

// enter announces a write of the bytes [off, off+size) of the data, size above zero. On
// return its marks are durable. leave ends it, also after an error.
func (n *intents) enter(ctx context.Context, off, size int64) error {
	if !n.logged {
		return nil
	}
	missing := func() (missing bool) {
		n.regions(off, size, func(m int) { missing = missing || !n.head.marks.has(m) })
		return missing
	}
	n.mu.Lock()
	n.regions(off, size, func(m int) {
		n.writers[m]++
		n.stale.clear(m)
	})
	wait := missing()
	n.mu.Unlock()
	if !wait {
		return nil
	}
	return n.record(ctx, func(h *header) {
		n.regions(off, size, h.marks.set)
	})
}

func (n *intents) leave(off, size int64) {
	if !n.logged {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.regions(off, size, func(m int) {
		n.writers[m]--
		n.touched[m] = n.epoch
	})
}

func (n *intents) beginFlush() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.epoch++
	return n.epoch
}

// flushed lets marks go after the flush that beginFlush called epoch: those of regions
// that nobody has written since the flush before it. A region that is written all the
// time keeps its mark, which would cost a write of the header after every flush.
func (n *intents) flushed(epoch uint64) {
	if !n.logged {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for m := range marks {
		if n.head.marks.has(m) && n.writers[m] == 0 && n.touched[m]+1 < epoch {
			n.stale.set(m)
		}
	}
}

// settle clears all marks: everything is durable, and nobody writes.
func (n *intents) settle() error {
	if !n.unclean() {
		return nil
	}
	return n.record(context.Background(), func(h *header) { h.marks = markSet{} })
}

// unclean says whether any region is marked.
func (n *intents) unclean() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.head.marks != markSet{}
}

// suspect says whether a region is marked.
func (n *intents) suspect(region uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.head.marks.has(int(region % marks))
}
