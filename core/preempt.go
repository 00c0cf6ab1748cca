package core

import (
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// EachPath calls f for every I_T_L nexus of the unit, under Unit.mu. A service finds
// this method behind its Host.
func (u *Unit) EachPath(f func(*Path)) { u.eachPath(f) }

// AbortPreempted aborts the tasks of the I_T nexuses whose Nexus.ID is in preempted, as
// PERSISTENT RESERVE OUT with PREEMPT AND ABORT demands (SPC-6, 5.14.11.3), but not by
// itself, which may be nil. done is called when none of them can touch the medium any
// more. Initiators learn what became of their commands by the status TASK ABORTED or,
// when TAS is zero, by a unit attention (SAM-6, 5.6). A service finds this method behind
// its Host.
func (u *Unit) AbortPreempted(by *Command, preempted map[uint32]bool, done func()) {
	tas := u.control.TAS.Load()
	untold := map[uint32]bool{}
	judge := func(t *taskset.Task) taskset.Fate {
		switch {
		case !preempted[t.Nexus] || by != nil && t == &by.Task:
			return taskset.Spare
		case by != nil && t.Nexus == by.Nexus:
			return taskset.Silent
		case tas:
			return taskset.Told
		}
		untold[t.Nexus] = true
		return taskset.Silent
	}
	u.set.AbortAs(judge, func(int) {
		ua := sense.New(sense.UnitAttention, sense.CommandsClearedByInitiator)
		u.eachPath(func(p *Path) {
			if untold[p.nexus.ID] {
				p.Raise(ua)
			}
		})
		done()
	})
}
