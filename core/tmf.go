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

// ClearACA is CLEAR ACA (SAM-6, 7.4). False, and done is not called: the ACA is that
// of another nexus, and the function is rejected.
func (p *Path) ClearACA(done func()) bool { return p.unit.set.ClearACA(&p.share, done) }

// ClearTaskSet is CLEAR TASK SET: the tasks of every nexus, or when each nexus has a
// task set (TST 001b) those of p's (SAM-6, 7.5).
func (p *Path) ClearTaskSet(done func()) {
	if p.unit.set.PerNexus() {
		p.AbortTaskSet(done)
		return
	}
	p.unit.AbortFor(p, func(*taskset.Task) bool { return true }, done)
}

// Reset is LOGICAL UNIT RESET by the initiator of p (SAM-6, 6.3.3): every task ends,
// every nexus gets a unit attention, then done is called.
func (p *Path) Reset(done func()) { p.unit.reset(p, done) }

// Reset is Path.Reset by nobody's initiator.
func (u *Unit) Reset(done func()) { u.reset(nil, done) }

func (u *Unit) reset(by *Path, done func()) {
	u.abort(by, func(*taskset.Task) bool { return true }, func(map[uint32]bool) {
		u.set.DropACA(nil)
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

// AbortFor aborts the tasks for which match holds, for a command or a task management
// function of by. The other nexuses learn of it: by the status TASK ABORTED with TAS,
// else by a unit attention (SAM-6, 5.6). done is called when none of the tasks can
// touch the medium any more. match runs under a lock and must not block.
func (u *Unit) AbortFor(by *Path, match func(*taskset.Task) bool, done func()) {
	u.abort(by, match, func(cleared map[uint32]bool) {
		u.raiseCleared(cleared)
		done()
	})
}

// abort is AbortFor without the unit attentions, which are due to the nexuses cleared.
func (u *Unit) abort(by *Path, match func(*taskset.Task) bool, done func(cleared map[uint32]bool)) {
	tas := u.control.TAS.Load()
	cleared := map[uint32]bool{}
	u.set.AbortAs(func(t *taskset.Task) taskset.Fate {
		switch {
		case !match(t):
			return taskset.Spare
		case by != nil && t.Nexus == by.nexus.ID:
			return taskset.Silent
		case tas:
			return taskset.Told
		}
		cleared[t.Nexus] = true
		return taskset.Silent
	}, func(int) { done(cleared) })
}

func (u *Unit) raiseCleared(cleared map[uint32]bool) {
	ua := sense.New(sense.UnitAttention, sense.CommandsClearedByInitiator)
	u.eachPath(func(p *Path) {
		if cleared[p.nexus.ID] {
			p.Raise(ua)
		}
	})
}

// queueError is what QERR does about the other tasks when c ends with CHECK CONDITION
// (SPC-6, 7.5.9). c does not wait for their end.
func (u *Unit) queueError(c *Command) {
	q := u.control.QErr.Load()
	if q == 0 || c.Aborted() {
		return
	}
	all := q == QErrAll && !u.set.PerNexus()
	u.AbortFor(c.Path, func(t *taskset.Task) bool {
		return t != &c.Task && (all || t.Nexus == c.Nexus)
	}, func() {})
}

// Present is QUERY TASK: whether the task set has c (SAM-6, 7.8).
func (c *Command) Present() bool { return c.Task.State() != taskset.Ended }

// QueryTaskSet reports whether the task set has any task of p's nexus (SAM-6, 7.9).
func (p *Path) QueryTaskSet() (present bool) {
	p.unit.set.Find(func(t *taskset.Task, _ taskset.State) bool {
		present = t.Nexus == p.nexus.ID
		return !present
	})
	return present
}

// QueryAsyncEvent reports whether a unit attention waits, and the additional response
// information that describes it: UADE DEPTH and SENSE KEY, ASC, ASCQ (SAM-6, 7.10).
func (p *Path) QueryAsyncEvent() (info [3]byte, pending bool) {
	const one, more = 1 << 4, 2 << 4
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ua) == 0 {
		return info, false
	}
	ua := p.ua[0]
	info = [3]byte{one | byte(ua.Key), ua.Code.ASC(), ua.Code.ASCQ()}
	if len(p.ua) > 1 {
		info[0] = more | byte(ua.Key)
	}
	return info, true
}

func (u *Unit) eachPath(f func(*Path)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.paths {
		f(p)
	}
}
