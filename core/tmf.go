package core

import (
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// Resetter is an optional interface of a Handler, called after a LOGICAL UNIT RESET
// has ended all tasks: what the device's standard resets (mode pages to their saved
// values, a medium lock).
type Resetter interface{ Reset() }

// AbortTask is ABORT TASK (SAM-6, 7.2). done is called with whether the task was
// there, once it cannot touch the medium any more.
func (c *Command) AbortTask(done func(found bool)) {
	c.Path.unit.set.Abort(func(t *taskset.Task) bool { return t == &c.Task },
		func(n int) { done(n > 0) })
}

// AbortTaskSet is ABORT TASK SET: the tasks of p's nexus (SAM-6, 7.3).
func (p *Path) AbortTaskSet(done func()) {
	id := p.nexus.ID
	p.unit.set.Abort(func(t *taskset.Task) bool { return t.Nexus == id }, func(int) { done() })
}

// ClearTaskSet is CLEAR TASK SET: the tasks of every nexus; the others learn of it by
// a unit attention (SAM-6, 7.5).
func (p *Path) ClearTaskSet(done func()) {
	others := map[uint32]bool{}
	p.unit.set.Abort(func(t *taskset.Task) bool {
		if t.Nexus != p.nexus.ID {
			others[t.Nexus] = true
		}
		return true
	}, func(int) {
		ua := sense.New(sense.UnitAttention, sense.CommandsClearedByInitiator)
		p.unit.eachPath(func(o *Path) {
			if others[o.nexus.ID] {
				o.Raise(ua)
			}
		})
		done()
	})
}

// Reset is LOGICAL UNIT RESET (SAM-6, 6.3.3): every task ends, every nexus gets a unit
// attention, then done is called.
func (u *Unit) Reset(done func()) {
	u.set.Abort(func(*taskset.Task) bool { return true }, func(int) {
		for _, s := range u.services {
			s.Reset()
		}
		if r, ok := As[Resetter](u.h); ok {
			r.Reset()
		}
		u.Raise(sense.New(sense.UnitAttention, sense.BusDeviceReset), nil)
		done()
	})
}

func (u *Unit) eachPath(f func(*Path)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.paths {
		f(p)
	}
}
