package ssc

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/personality"
)

// Recommended access order (SSC-5, 4.2.27): an initiator gives a list of user data segments (UDS) that it wants
// to read, and gets it back in the order in which the tape moves least.

var raoTable = []row{
	in(0xa3, "RECEIVE RECOMMENDED ACCESS ORDER", core.Bytes(6, 4), "\xa3\x9d\xff\xff\xff\xff\xff\xff\xff\xff\x07\x00",
		core.Serial, quick, onMedium((*Drive).receiveOrder)).action(0x1d).only((*Drive).orders),
	out(0xa4, "GENERATE RECOMMENDED ACCESS ORDER", core.Bytes(6, 4), "\xa4\x1d\x07\x07\x00\x00\xff\xff\xff\xff\x00\x00",
		medial, seek, onMedium((*Drive).generateOrder)).action(0x1d).only((*Drive).orders),
}

func (d *Drive) orders() bool { return d.model.RAO }

const (
	maxSegments = 2730 // as many as IBM's drives take
	segmentLen  = 32
	orderHeader = 8

	orderAsGiven  = 1 // PROCESS: times alone
	orderReorder  = 2
	orderComplete = 1 // STATUS: the list is that of the last GENERATE
)

// segment is a user data segment: objects begin to end of a partition.
type segment struct {
	name       [10]byte
	partition  int
	begin, end uint64
	locate     time.Duration // from the end of the segment before, estimated
}

// single says whether s is one object: at the ends of a list those are binding points (IBM LTO SCSI
// Reference, 4.6.3.4).
func (s segment) single() bool { return s.begin == s.end }

// unloaded says whether s stands for the unloaded position.
func (s segment) unloaded() bool { return s.partition == 0 && s.begin == 0 && s.end == 0 }

// order is the list of the last GENERATE RECOMMENDED ACCESS ORDER.
type order struct {
	process  uint8
	segments []segment
}

// parseSegments reads the parameter list of GENERATE RECOMMENDED ACCESS ORDER.
func parseSegments(b []byte) ([]segment, error) {
	if len(b) < orderHeader {
		return nil, sense.ErrParamLength
	}
	n := uint64(binary.BigEndian.Uint32(b[4:]))
	if n > uint64(len(b)-orderHeader) {
		return nil, sense.ErrParamLength
	}
	if n%segmentLen != 0 || n/segmentLen > maxSegments {
		return nil, sense.ParamBit(4, 7)
	}
	list := make([]segment, 0, n/segmentLen)
	for r := wire.NewReader(b[orderHeader : orderHeader+n]); r.Len() > 0; {
		at := orderHeader + r.Off()
		var s segment
		size := r.U16()
		r.Skip(3)
		copy(s.name[:], r.Bytes(len(s.name)))
		s.partition, s.begin, s.end = int(r.U8()), r.U64(), r.U64()
		switch {
		case size != segmentLen-2:
			return nil, sense.ParamBit(at, 7)
		case s.end < s.begin:
			return nil, sense.ParamBit(at+24, 7)
		}
		list = append(list, s)
	}
	return list, nil
}

// append adds s as parameter data. Times are in ms.
func (s segment) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, segmentLen-2)
	b = wire.AppendU24(b, uint32(min(s.locate.Milliseconds(), 1<<24-1)))
	b = append(b, s.name[:]...)
	b = append(b, byte(s.partition))
	b = binary.BigEndian.AppendUint64(b, s.begin)
	return binary.BigEndian.AppendUint64(b, s.end)
}

// generateOrder is GENERATE RECOMMENDED ACCESS ORDER.
func (d *Drive) generateOrder(c *core.Command) error {
	m := d.mount
	process := c.CDB[2] & 7
	switch {
	case process != orderAsGiven && process != orderReorder:
		return sense.FieldBit(2, 2)
	case c.CDB[3]&7 != 0: // without geometry
		return sense.FieldBit(3, 2)
	case c.OutLen == 0:
		return nil
	}
	list, err := parseSegments(c.Out)
	if err != nil {
		return err
	}
	for i, s := range list {
		if s.partition >= m.medium.Partitions() {
			return sense.ParamBit(orderHeader+i*segmentLen+15, 7)
		}
		if s.begin > m.medium.Partition(s.partition).Objects {
			return sense.ParamBit(orderHeader+i*segmentLen+16, 7)
		}
	}
	t := tour{media: m.cart.Media(), timing: d.model.Timing, place: m.placeOf}
	if process == orderReorder {
		list = t.reorder(m.partition, m.object, list)
	}
	t.times(m.partition, m.object, list)
	m.order = &order{process: process, segments: list}
	return nil
}

// receiveOrder is RECEIVE RECOMMENDED ACCESS ORDER: the list, from RAO LIST OFFSET on, or the limits of one.
func (d *Drive) receiveOrder(c *core.Command) error {
	const limits = 0x80
	if c.CDB[10]&7 != 0 {
		return sense.FieldBit(10, 2)
	}
	if c.CDB[1]&limits != 0 {
		return c.Reply([]byte{0, 0, 0, 0, maxSegments >> 8, maxSegments & 0xff, 0, segmentLen})
	}
	o := d.mount.order
	if o == nil {
		return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
	}
	var list []byte
	for _, s := range o.segments {
		list = s.append(list)
	}
	off := binary.BigEndian.Uint32(c.CDB[2:])
	if uint64(off) > uint64(len(list)) {
		return sense.FieldBit(2, 7)
	}
	b := binary.BigEndian.AppendUint32([]byte{o.process, orderComplete, 0, 0}, uint32(len(list)))
	return c.Reply(append(b, list[off:]...))
}

// placeOf is how far along the whole tape object of partition p is: partitions lie one behind the other.
func (m *mount) placeOf(p int, object uint64) float64 {
	var before, all int64
	for i := range m.medium.Partitions() {
		size := m.medium.Partition(i).Capacity
		if i < p {
			before += size
		}
		all += size
	}
	if all <= 0 {
		return 0
	}
	return (float64(before) + m.place(p, object)*float64(m.medium.Partition(p).Capacity)) / float64(all)
}

// tour finds an order of segments.
type tour struct {
	media  *personality.Media
	timing personality.Timing
	place  func(p int, object uint64) float64
}

// times gives each segment its time from the end of the one before.
func (t tour) times(p int, object uint64, list []segment) (sum time.Duration) {
	at := t.place(p, object)
	for i := range list {
		s := &list[i]
		s.locate = t.media.TravelTime(t.timing, at, t.place(s.partition, s.begin))
		if i == len(list)-1 && s.unloaded() {
			s.locate += t.timing.Unload
		}
		sum += s.locate
		at = t.place(s.partition, s.end+1)
	}
	return sum
}

// reorder sorts list, whose binding points stay: always to the nearest next, then better by turning parts
// of the tour round, and never worse than in order of objects.
func (t tour) reorder(p int, object uint64, list []segment) []segment {
	list = slices.Clone(list)
	first, last := 0, len(list)
	if first < last && list[first].single() {
		first++
	}
	if first < last && list[last-1].single() {
		last--
	}
	if first > 0 {
		p, object = list[0].partition, list[0].end+1
	}
	middle := list[first:last]
	sorted := slices.Clone(middle)
	slices.SortStableFunc(sorted, func(a, b segment) int {
		if a.partition != b.partition {
			return a.partition - b.partition
		}
		switch {
		case a.begin < b.begin:
			return -1
		case a.begin > b.begin:
			return 1
		}
		return 0
	})
	near := t.nearest(p, object, middle)
	t.improve(p, object, near)
	if t.times(p, object, slices.Clone(sorted)) < t.times(p, object, slices.Clone(near)) {
		near = sorted
	}
	copy(middle, near)
	return list
}

// nearest goes from each segment to the one that is nearest. O(n²), of at most maxSegments.
func (t tour) nearest(p int, object uint64, list []segment) []segment {
	left, near := slices.Clone(list), make([]segment, 0, len(list))
	begins := make([]float64, len(left))
	for i, s := range left {
		begins[i] = t.place(s.partition, s.begin)
	}
	at := t.place(p, object)
	for len(left) > 0 {
		best, least := 0, time.Duration(-1)
		for i := range left {
			if d := t.media.TravelTime(t.timing, at, begins[i]); least < 0 || d < least {
				best, least = i, d
			}
		}
		s := left[best]
		near = append(near, s)
		at = t.place(s.partition, s.end+1)
		left, begins = slices.Delete(left, best, best+1), slices.Delete(begins, best, best+1)
	}
	return near
}

// improve moves single segments to a better place near theirs as long as that helps, a bounded number of times.
func (t tour) improve(p int, object uint64, list []segment) {
	const window, passes = 8, 4
	cost := func(at float64, s segment) (time.Duration, float64) {
		return t.media.TravelTime(t.timing, at, t.place(s.partition, s.begin)), t.place(s.partition, s.end+1)
	}
	span := func(from, to int) (sum time.Duration) { // of list[from:to], and to what follows
		at := t.place(p, object)
		if from > 0 {
			at = t.place(list[from-1].partition, list[from-1].end+1)
		}
		for _, s := range list[from:min(to+1, len(list))] {
			var d time.Duration
			d, at = cost(at, s)
			sum += d
		}
		return sum
	}
	for range passes {
		better := false
		for i := range list {
			for j := i + 1; j < min(len(list), i+window); j++ {
				before := span(i, j+1)
				list[i], list[j] = list[j], list[i]
				if span(i, j+1) < before {
					better = true
					continue
				}
				list[i], list[j] = list[j], list[i]
			}
		}
		if !better {
			return
		}
	}
}
