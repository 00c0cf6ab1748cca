package core

import "github.com/targate/targate/core/taskset"

// EachPath calls f for every I_T_L nexus of the unit, under Unit.mu. A service finds
// this method behind its Host.
func (u *Unit) EachPath(f func(*Path)) { u.eachPath(f) }

// AbortPreempted ends the ACA and aborts the tasks of the I_T nexuses whose Nexus.ID is
// in preempted, as PERSISTENT RESERVE OUT with PREEMPT AND ABORT demands (SPC-6,
// 5.14.11.3), but not by itself, which is nil when the command came to another gateway.
// done is called when none of the tasks can touch the medium any more. A service finds
// this method behind its Host.
func (u *Unit) AbortPreempted(by *Command, preempted map[uint32]bool, done func()) {
	var shares []*taskset.Share
	u.eachPath(func(p *Path) {
		if preempted[p.nexus.ID] {
			shares = append(shares, &p.share)
		}
	})
	for _, sh := range shares {
		u.set.DropACA(sh)
	}
	var from *Path
	var own *taskset.Task
	if by != nil {
		from, own = by.Path, &by.Task
	}
	u.AbortFor(from, func(t *taskset.Task) bool { return preempted[t.Nexus] && t != own }, done)
}
