package ssc

import (
	"encoding/binary"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/medium"
)

// partitioning is the Medium Partition mode page: the partitions that there are, until a MODE
// SELECT says which FORMAT MEDIUM shall make.
type partitioning struct {
	additional int
	how        byte // FDP, SDP or IDP
	units      byte // sizes are in 10^units bytes
	sizes      [medium.MaxPartitions]uint16
}

// Bits and values of the Medium Partition mode page (SSC-5, 8.3.4).
const (
	fdp      = 0x80 // byte 4: the drive's own partitions
	sdp      = 0x40 // equal ones
	idp      = 0x20 // those of the page
	psumUnit = 0x18 // sizes are in units of the PARTITION UNITS field
	pofm     = 0x04 // made by FORMAT MEDIUM
	restSize = 0xffff
	// recognition: what MEDIUM FORMAT RECOGNITION says, format and partitions of a medium.
	recognition = 0x03
	gigabytes   = 9
)

// maxPartitions is how many partitions a medium of this drive can have.
func (d *Drive) maxPartitions() int { return min(max(1, d.model.Partitions), medium.MaxPartitions) }

// mediumPartitions is maxPartitions of the loaded medium.
func (d *Drive) mediumPartitions(m *mount) int {
	if m.info.WORM {
		return 1
	}
	return min(d.maxPartitions(), max(1, m.cart.Media().Partitions))
}

// partitioning is what the Medium Partition page says of m.
func (m *mount) partitioning() partitioning {
	p := partitioning{additional: m.medium.Partitions() - 1, how: idp, units: gigabytes}
	unit := int64(1e9)
	for i := range m.medium.Partitions() { // smaller units when a partition would have none of them
		for c := m.medium.Partition(i).Capacity; c < unit && p.units > 0; unit /= 10 {
			p.units--
		}
	}
	for i := range m.medium.Partitions() {
		p.sizes[i] = uint16(min(m.medium.Partition(i).Capacity/unit, restSize-1))
	}
	return p
}

// partitionPage is the Medium Partition mode page (SSC-5, 8.3.4). PSUM and POFM are as they are,
// whatever is sent: LTFS sends zeros.
func (d *Drive) partitionPage() spc.ModePage {
	n := 8 + 2*d.maxPartitions()
	page := make([]byte, n)
	page[0], page[1], page[5] = 0x11, byte(n-2), recognition
	changeable := make([]byte, n)
	changeable[3], changeable[4], changeable[6] = 0xff, fdp|sdp|idp|psumUnit|pofm, 0x0f
	for i := 8; i < n; i++ {
		changeable[i] = 0xff
	}
	return spc.ModePage{Default: page, Changeable: changeable, Least: 8,
		Check: func(b []byte) error {
			most := d.maxPartitions()
			d.look(func(m *mount) {
				if m != nil {
					most = d.mediumPartitions(m)
				}
			})
			if int(b[3]) >= most {
				return sense.Param(3)
			}
			switch b[4] & (fdp | sdp | idp) {
			case fdp, sdp, idp:
			case 0: // as it is
			default:
				return sense.ParamBit(4, 7)
			}
			return nil
		},
		Apply: func(b []byte) {
			p := partitioning{additional: int(b[3]), how: b[4] & (fdp | sdp | idp), units: b[6] & 0x0f}
			for i := range p.additional + 1 {
				p.sizes[i] = binary.BigEndian.Uint16(b[8+2*i:])
			}
			if p.how == 0 {
				p.how = idp
			}
			d.mu.Lock()
			d.partitioning = p
			d.mu.Unlock()
		},
		Live: func(b []byte) {
			d.mu.Lock()
			defer d.mu.Unlock()
			p := &d.partitioning
			most := d.maxPartitions()
			if d.mount != nil {
				most = d.mediumPartitions(d.mount)
			}
			b[2], b[3], b[4], b[6] = byte(most-1), byte(p.additional), p.how|psumUnit|pofm, p.units
			for i := range d.maxPartitions() {
				binary.BigEndian.PutUint16(b[8+2*i:], p.sizes[i])
			}
		}}
}

// partitionSizes are the partitions in bytes that FORMAT MEDIUM is to make.
func (d *Drive) partitionSizes() ([]int64, error) {
	m := d.mount
	d.mu.Lock()
	p := d.partitioning
	d.mu.Unlock()
	total, n := m.capacity(), p.additional+1
	if n > d.mediumPartitions(m) {
		return nil, sense.New(sense.IllegalRequest, sense.InvalidFieldInParameterList)
	}
	sizes := make([]int64, n)
	wrap := total / int64(max(1, m.cart.Media().Wraps)) // partitions are made of whole wraps
	switch {
	case n == 1:
		return []int64{total}, nil
	case p.how == fdp: // as LTFS wants it: a small one at the end
		for i := 1; i < n; i++ {
			sizes[i] = 2 * wrap
			total -= sizes[i]
		}
		sizes[0] = total
		return sizes, nil
	case p.how == sdp:
		for i := range sizes {
			sizes[i] = total / int64(n)
		}
		return sizes, nil
	}
	unit := int64(1)
	for range min(p.units, 15) {
		unit *= 10
	}
	left, rest := total, 0
	for i := range sizes {
		if p.sizes[i] == restSize {
			rest++
			continue
		}
		size := int64(p.sizes[i])
		if size == 0 || size > total/unit {
			return nil, sense.New(sense.IllegalRequest, sense.InvalidFieldInParameterList)
		}
		size = size * unit
		if wrap > 0 {
			size = (size + wrap - 1) / wrap * wrap
		}
		sizes[i] = size
		left -= size
	}
	if left < int64(rest) {
		return nil, sense.New(sense.IllegalRequest, sense.InvalidFieldInParameterList)
	}
	for i := range sizes {
		if p.sizes[i] == restSize {
			sizes[i] = left / int64(rest)
		}
	}
	return sizes, nil
}
