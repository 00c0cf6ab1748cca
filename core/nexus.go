package core

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// Nexus is an I_T nexus: an initiator port at a target port, and the logical units
// that it sees.
type Nexus struct {
	ID        uint32
	Initiator InitiatorPort
	Target    *TargetPort

	luns atomic.Pointer[lunMap]
	none *Path // stands in for every LUN that is not mapped

	watch atomic.Pointer[func(*Path, *sense.Error)]

	mu sync.Mutex // serializes SetLUNs and Close
}

// lunMap is immutable once published.
type lunMap struct {
	low    [256]*Path
	high   map[scsi.LUN]*Path
	sorted []*Path
}

// Mapping is what one LUN leads to.
type Mapping struct {
	Unit     *Unit
	ReadOnly bool
}

var lastNexus atomic.Uint32

// NewNexus makes a nexus that sees no logical unit yet.
func NewNexus(ip InitiatorPort, tp *TargetPort) *Nexus {
	n := &Nexus{ID: lastNexus.Add(1), Initiator: ip, Target: tp}
	n.none = &Path{nexus: n, unit: noUnit, LUN: scsi.BadLUN}
	n.luns.Store(&lunMap{})
	return n
}

// Watch has f called for each unit attention that is established on a path of n from now
// on, as when the transport reports events at once. f may be called under locks of the
// unit and from any goroutine: it neither waits nor calls into the core.
func (n *Nexus) Watch(f func(*Path, *sense.Error)) { n.watch.Store(&f) }

// Path leads to the logical unit at l; to one that answers LOGICAL UNIT NOT
// SUPPORTED when nothing is mapped there.
func (n *Nexus) Path(l scsi.LUN) *Path {
	m := n.luns.Load()
	var p *Path
	if l < 256 {
		p = m.low[l]
	} else {
		p = m.high[l]
	}
	if p == nil {
		return n.none
	}
	return p
}

// Paths are the mapped logical units in order of LUN.
func (n *Nexus) Paths() []*Path { return n.luns.Load().sorted }

// SetLUNs replaces the LUN map. Paths whose unit and right to write stay the same are
// kept with all their state; new ones begin with POWER ON OCCURRED when first is
// set (a new nexus), and any other change raises REPORTED LUNS DATA HAS CHANGED on
// every path of the nexus (SPC-6, 6.33).
func (n *Nexus) SetLUNs(want map[scsi.LUN]Mapping, first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.luns.Load()
	m := &lunMap{high: map[scsi.LUN]*Path{}}
	changed := false
	kept := map[*Path]bool{}
	for l, w := range want {
		p := old.low[min(l, 255)]
		if l > 255 {
			p = old.high[l]
		}
		if p != nil && p.LUN == l && p.unit == w.Unit && p.ReadOnly == w.ReadOnly {
			kept[p] = true
		} else {
			p = &Path{nexus: n, unit: w.Unit, LUN: l, ReadOnly: w.ReadOnly}
			w.Unit.attach(p, first)
			changed = true
		}
		if l < 256 {
			m.low[l] = p
		} else {
			m.high[l] = p
		}
		m.sorted = append(m.sorted, p)
	}
	slices.SortFunc(m.sorted, func(a, b *Path) int { return int(a.LUN) - int(b.LUN) })
	n.luns.Store(m)
	for _, p := range old.sorted {
		if !kept[p] {
			p.unit.detach(p)
			changed = true
		}
	}
	if changed && !first {
		for _, p := range m.sorted {
			p.Raise(sense.New(sense.UnitAttention, sense.ReportedLUNsDataHasChanged))
		}
	}
}

// Close detaches every path: the nexus is lost.
func (n *Nexus) Close() { n.SetLUNs(nil, true) }

// Path is an I_T_L nexus: a nexus and one logical unit, with the unit attentions
// that wait there.
type Path struct {
	LUN      scsi.LUN
	ReadOnly bool // this nexus may not write

	nexus *Nexus
	unit  *Unit
	stats counters
	times latency.Counters
	share taskset.Share // of the nexus in the unit's task set

	pending atomic.Int32 // len(ua), for the fast check
	mu      sync.Mutex   // guards ua
	ua      []*sense.Error
}

// Nexus is the I_T nexus of the path.
func (p *Path) Nexus() *Nexus { return p.nexus }

// Unit is the logical unit that the path leads to.
func (p *Path) Unit() *Unit { return p.unit }
