package cartridge

import (
	"sort"

	"github.com/targate/targate/vtl/medium"
)

// piece is a stretch as part of a partition: up to where the next piece begins.
type piece struct {
	seg *segment
	i   int
}

func (p *piece) stretch() *stretch { return &p.seg.stretches[p.i] }

// view is what the partitions consist of, in order of objects.
type view [medium.MaxPartitions][]piece

// limit drops what s does not have any more; drop hears of each piece.
func (v *view) limit(s *state, drop func(piece)) {
	for p := range v {
		n := len(v[p])
		for n > 0 && (p >= s.n || v[p][n-1].stretch().first >= s.parts[p].objects) {
			n--
			if drop != nil {
				drop(v[p][n])
			}
		}
		v[p] = v[p][:n]
	}
}

// add appends a stretch.
func (v *view) add(seg *segment, i int, drop func(piece)) {
	x := &seg.stretches[i]
	s := state{n: medium.MaxPartitions}
	for p := range s.parts {
		s.parts[p].objects = 1 << 63
	}
	s.parts[x.partition].objects = x.first
	v.limit(&s, drop)
	v[x.partition] = append(v[x.partition], piece{seg, i})
}

func (v *view) clone() view {
	var c view
	for p := range v {
		c[p] = append([]piece(nil), v[p]...)
	}
	return c
}

// object is the piece that would have object n of partition p.
func (v *view) object(p int, n uint64) (piece, bool) {
	i := sort.Search(len(v[p]), func(i int) bool { return v[p][i].stretch().first > n })
	if i == 0 {
		return piece{}, false
	}
	return v[p][i-1], true
}

// mark is the piece with the filemark of partition p that n others precede.
func (v *view) mark(p int, n uint64) (piece, bool) {
	i := sort.Search(len(v[p]), func(i int) bool { return v[p][i].stretch().marks > n })
	if i == 0 {
		return piece{}, false
	}
	return v[p][i-1], true
}

// replay goes through the log as segs tell it, and is the view at its end, or at the end of
// generation until when that is earlier. drop, if any, hears of each piece that a generation
// no longer has, with the last generation that had it.
func replay(segs []*segment, until uint64, drop func(piece, uint64)) view {
	kept := map[uint64]view{} // at the end of generations that were gone back to
	for _, s := range segs {
		for _, g := range s.starts {
			if g.why == RolledBack {
				kept[g.from] = view{}
			}
		}
	}
	var v view
	var generation uint64
	dropped := func(p piece) {
		if drop != nil {
			drop(p, generation)
		}
	}
	for _, s := range segs {
		if s.begin.generation > until {
			return v
		}
		// Segments between may be gone: they had nothing of this view.
		v.limit(&s.begin, dropped)
		generation = s.begin.generation
		i := 0
		for n := 0; n <= len(s.starts); n++ {
			for i < len(s.stretches) && (n == len(s.starts) || s.stretches[i].record < s.starts[n].record) {
				v.add(s, i, dropped)
				i++
			}
			if n == len(s.starts) {
				break
			}
			g := &s.starts[n]
			if generation == until {
				return v
			}
			if _, ok := kept[generation]; ok {
				kept[generation] = v.clone()
			}
			if g.why == RolledBack {
				for p := range v {
					for _, x := range v[p] {
						dropped(x)
					}
				}
				from := kept[g.from]
				v = from.clone()
			}
			v.limit(&g.after, dropped)
			generation = g.after.generation
		}
	}
	return v
}
