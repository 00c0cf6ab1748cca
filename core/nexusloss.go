package core

import (
	"sync/atomic"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// NexusLoser is an optional interface of a Service that keeps something for an I_T nexus,
// by however many LUNs: told when the nexus is lost and its paths stay, as after I_T NEXUS
// RESET.
type NexusLoser interface{ NexusLost(*Nexus) }

// Reset is I_T NEXUS RESET (SAM-6, 7.7): for every logical unit that n sees, its tasks
// end, and what is kept for the nexus goes, as when the nexus is lost. n gets the unit
// attention I_T NEXUS LOSS OCCURRED on each path, then done is called.
func (n *Nexus) Reset(done func()) {
	paths := n.Paths()
	var left atomic.Int32
	left.Store(int32(len(paths)) + 1)
	one := func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
	for _, p := range paths {
		p.unit.set.Abort(func(t *taskset.Task) bool { return t.Nexus == n.ID }, func(int) {
			p.lose()
			one()
		})
	}
	one()
}

// lost tells the handler of u that the I_T nexus of p is lost.
func (u *Unit) lost(p *Path) {
	if l, ok := As[PathLoser](u.h); ok {
		l.Lost(p)
	}
}

// lose is an I_T nexus loss on a path that stays (SAM-6, 6.3.4).
func (p *Path) lose() {
	p.unit.set.DropACA(&p.share)
	for _, s := range p.unit.services {
		if l, ok := s.(NexusLoser); ok {
			l.NexusLost(p.nexus)
		}
		s.Lost(p)
	}
	p.unit.lost(p)
	p.Raise(sense.New(sense.UnitAttention, sense.NexusLoss))
}
