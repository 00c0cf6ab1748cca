// Package taskset is a SAM task set (SAM-6, 8): which tasks of a logical unit may
// run now, and the safe end of those that task management aborts.
//
//	         Admit                     Start, Arm, Admit(run)
//	(Ended) --+--> Dormant --+          +--------> Running --End--> (Ended)
//	          |              v          |           |    |
//	          +-----------> Enabled ----+ <-Offload-+    | Abort: told, and
//	          |              |   ^                       | waited for
//	          |        fault v   | ACA cleared           v
//	          |             Blocked <-------Offload--- (Ended, aborted)
//	          |
//	          +--> refused: TASK SET FULL, BUSY, ACA ACTIVE
//
//	Abort of a task that is not Running ends it at once.
//
// A task is Enabled when its task attribute lets it run (SAM-6, 8.8), Running from
// the moment that a handler may touch the medium until End, Blocked while an auto
// contingent allegiance holds what was Enabled. Abort of one that runs marks it,
// tells its owner, and the waiter is called when the last of them has ended: never
// earlier.
//
// Tasks that run on the goroutine of their transport are as many as there are
// transports. Those that wait for storage on workers are bounded by the width of
// the set: when all its places are taken, the tasks queue for each I_T nexus, and
// the nexuses take turns. So a nexus with a thousand commands delays the one command
// of another by as long as it takes one place to become free. How many tasks a nexus
// may have in the set is bounded by the room that is left (see Share).
//
// Serial tasks are those of a medium that does one thing at a time, such as a tape. At most
// one of a set is Running, whatever goroutine it is on, and those of one I_T nexus run in
// the order in which they entered. What waits for its data keeps only those of its own nexus back.
//
// Lock order: Set.mu is a leaf. No callback but the match functions of Abort and
// Find runs under it.
package taskset

import "sync"

// State is where a task is in its life.
type State uint8

// States.
const (
	Ended   State = iota
	Dormant       // waits for older tasks
	Enabled       // may run: waits for its data, or for a worker
	Blocked       // was Enabled, and waits for the end of an ACA
	Running
	states
)

func (s State) String() string {
	return [...]string{"ended", "dormant", "enabled", "blocked", "running"}[s]
}

// legal are the transitions of the drawing above.
var legal = [states][states]bool{
	Ended:   {Dormant: true, Enabled: true, Running: true},
	Dormant: {Enabled: true, Ended: true},
	Enabled: {Running: true, Blocked: true, Ended: true},
	Blocked: {Enabled: true, Ended: true},
	Running: {Enabled: true, Blocked: true, Ended: true},
}

// Attr is what a task attribute means to the set (SAM-6, 8.6).
type Attr uint8

// Attributes. Untagged tasks are treated as Simple.
const (
	Simple Attr = iota
	Ordered
	HeadOfQueue
	ACA
)

// Task is the part of a command that a Set works on; it is embedded in one.
type Task struct {
	Attr    Attr
	Writes  bool   // changes the medium: restricted reordering keeps its place
	Serial  bool   // runs alone among Serial tasks, those of a nexus in order
	PastACA bool   // runs during an ACA of another nexus (PREEMPT AND ABORT)
	Nexus   uint32 // the I_T nexus that the task came by
	Share   *Share // of that nexus in the set; those of nil have one in common
	Owner   Owner  // told of what happens to the task

	set        *Set
	state      State
	flags      flags
	waiters    []*waiter
	prev, next *Task // in the set
	after      *Task // in the queue for a place
}

// flags are true until the task is admitted again.
type flags uint8

const (
	aborted flags = 1 << iota
	told          // aborted by another nexus, whose act this one learns by a status
	armed         // left its transport: to be Running as soon as it is Enabled
	placed        // Running in one of the places for workers
)

// Owner is told about its task. Calls come from any goroutine, never under a lock
// of the set.
type Owner interface {
	// TaskEnabled says that a task for which Arm or Offload was false is now
	// Running; the owner carries it out.
	TaskEnabled(*Task)
	// TaskAborted says that the task was aborted before it ran. It has Ended.
	TaskAborted(*Task)
	// TaskCancel asks the owner to end a Running task soon. End must follow.
	TaskCancel(*Task)
}

// Aborted reports whether task management ended the task, or is about to. It is
// exact once the task has Ended.
func (t *Task) Aborted() bool { return t.is(aborted) }

// Told reports whether the initiator of an aborted task learns of it by the status
// TASK ABORTED (SAM-6, 5.3.1). It is exact once the task has Ended.
func (t *Task) Told() bool { return t.is(told) }

func (t *Task) is(f flags) bool {
	if t.set == nil {
		return false
	}
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	return t.flags&f != 0
}

// State is the task's state at this moment.
func (t *Task) State() State {
	if t.set == nil {
		return Ended
	}
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	return t.state
}

// Share is what one I_T nexus has in a Set. The zero value is ready.
type Share struct {
	counts
	writers     int // tasks with Writes
	serials     int // tasks with Serial
	older       older
	first, last *Task // that wait for a place
}

// counts are of the tasks of a set or of a share.
type counts struct {
	len      int
	barriers int // ORDERED or HEAD OF QUEUE
}

// count adds d tasks like t to the set and to its share.
func (s *Set) count(t *Task, d int) {
	sh := t.Share
	s.len += d
	sh.len += d
	if t.Writes {
		sh.writers += d
	}
	if t.Serial {
		sh.serials += d
	}
	if t.Attr == Ordered || t.Attr == HeadOfQueue {
		s.barriers += d
		sh.barriers += d
	}
}

// Verdict is what Admit says.
type Verdict uint8

// Verdicts. After all but the first two the task is not in the set.
const (
	Wait      Verdict = iota // Start or Arm follows
	Run                      // it is Running: carry it out
	Refused                  // the set is closed
	Full                     // TASK SET FULL
	Busy                     // as Full, for a nexus that has no task in the set: BUSY
	ACAActive                // the nexus has an ACA: ACA ACTIVE
	ACAOther                 // another has: BUSY, or ACA ACTIVE when NACA is set
	NoACA                    // an ACA task without an ACA: INVALID MESSAGE ERROR
)

// Defaults of SetLimits.
const (
	DefaultLimit = 4096
	DefaultWidth = 128
)

// Set is the task set of one logical unit, or all of its task sets when each I_T
// nexus has its own (SetOrder). The zero value is ready.
type Set struct {
	mu         sync.Mutex
	head, tail *Task // in order of entry; HEAD OF QUEUE and ACA tasks at the front
	counts
	held   int   // Dormant or Blocked
	common Share // of tasks without one

	fussy      bool // closed, restricted or an ACA: not the common case
	closed     bool
	perNexus   bool // TST 001b
	restricted bool // QUEUE ALGORITHM MODIFIER 0h
	acas       []aca
	scan       uint64 // of the present wake
	older      older

	limit, width int      // 0: the defaults
	places       int      // taken by Running tasks
	turns        []*Share // whose tasks wait for a place, the next one first

	serial  *Task   // the Running Serial task
	serials []*Task // Enabled and armed Serial tasks, the next one first; none when serial is nil
}

// Len is the number of tasks in the set.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.unlock()
	return s.len
}

// SetLimits bounds the tasks in the set, and those that run on workers at a time.
// 0 is the default. The caller does it before the first task.
func (s *Set) SetLimits(limit, width int) {
	s.mu.Lock()
	defer s.unlock()
	s.limit, s.width = limit, width
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// move is the only function that changes the state of a task.
func (s *Set) move(t *Task, to State) {
	if invariants && !legal[t.state][to] {
		panic("taskset: " + t.state.String() + " to " + to.String())
	}
	if t.state == Dormant || t.state == Blocked {
		s.held--
	}
	if to == Dormant || to == Blocked {
		s.held++
	}
	t.state = to
}

// Admit enters t and, when run is set and t may run, starts it.
func (s *Set) Admit(t *Task, run bool) Verdict {
	if t.Share == nil {
		t.Share = &s.common
	}
	s.mu.Lock()
	t.set, t.flags = s, 0
	if s.fussy || t.Attr == ACA || t.Share.len >= orDefault(s.limit, DefaultLimit)-s.len {
		if v := s.refuse(t); v != Wait {
			s.unlock()
			return v
		}
	}
	s.link(t)
	v := Wait
	switch {
	case (t.Attr != Simple || s.barriers > 0 || s.fussy || t.Serial) && !s.mayEnter(t):
		s.move(t, Dormant)
	case run && s.alone(t):
		s.move(t, Running)
		v = Run
	default:
		s.move(t, Enabled)
	}
	s.unlock()
	return v
}

// refuse says why t may not enter, Wait when it may. A nexus may have as many tasks
// as there is room for more: alone it fills half of the set, and however many nexuses
// try to fill it, some room is always left for one that has few tasks.
func (s *Set) refuse(t *Task) Verdict {
	if s.closed {
		return Refused
	}
	if v := s.refuseACA(t); v != Wait {
		return v
	}
	switch room := orDefault(s.limit, DefaultLimit) - s.len; {
	case t.Share.len < room:
		return Wait
	case t.Share.len > 0:
		return Full
	default:
		return Busy
	}
}

// Start makes an Enabled task Running, on the goroutine of its transport. It is false
// when the task must wait (then Arm follows) or was aborted.
func (s *Set) Start(t *Task) bool {
	s.mu.Lock()
	defer s.unlock()
	if t.state != Enabled || !s.alone(t) {
		return false
	}
	s.move(t, Running)
	return true
}

// alone says whether t, about to run, may do so beside the Serial task that runs; a Serial one then
// is that.
func (s *Set) alone(t *Task) bool {
	if !t.Serial {
		return true
	}
	if s.serial != nil {
		return false
	}
	s.serial = t
	return true
}

// Arm gives a task that is not Running to the set: its data is complete, and it has
// left the goroutine of its transport. True: it is Running now, and the caller has a
// worker carry it out. False: Owner.TaskEnabled or Owner.TaskAborted is called,
// perhaps already now.
func (s *Set) Arm(t *Task) bool {
	s.mu.Lock()
	defer s.unlock()
	if t.state == Ended {
		return false
	}
	t.flags |= armed
	return t.state == Enabled && s.place(t)
}

// Offload is for a Running task that is about to leave the goroutine of its transport
// for a worker, and has done nothing yet. True: it goes on to run there. False: it is
// Running no more, and what Arm says holds.
func (s *Set) Offload(t *Task) bool {
	s.mu.Lock()
	if t.flags&aborted != 0 {
		s.unlock()
		return true // whoever aborted it waits for its End
	}
	t.flags |= armed
	var run []*Task
	goesOn := false
	switch {
	case s.blocks(t):
		s.move(t, Blocked)
		if s.serial == t {
			s.serial = nil
			run = s.fill(nil)
		}
	case s.hasPlace(t):
		s.take(t)
		goesOn = true
	default:
		s.move(t, Enabled)
		s.queue(t)
	}
	s.unlock()
	tell(run, nil)
	return goesOn
}

// End takes t out of the set when the handler is done with it, or when the
// transport gives up on a task that never ran. It is true when the task was
// aborted: then it has no status to deliver, or TASK ABORTED (see Told).
func (s *Set) End(t *Task) (wasAborted bool) {
	s.mu.Lock()
	wasAborted = t.flags&aborted != 0
	if t.state == Ended {
		s.unlock()
		return wasAborted
	}
	s.unlink(t)
	if s.held == 0 && len(s.turns) == 0 && len(s.serials) == 0 && t.waiters == nil {
		s.unlock()
		return wasAborted
	}
	s.unlockAfter(t)
	return wasAborted
}

// unlockAfter gives up the lock and tells who was waiting for the end of t.
func (s *Set) unlockAfter(t *Task) {
	run := s.wake()
	done := t.finishWaiters()
	s.unlock()
	tell(run, done)
}

func tell(run []*Task, done []*waiter) {
	for _, t := range run {
		t.Owner.TaskEnabled(t)
	}
	for _, w := range done {
		w.done(w.n)
	}
}

// Find calls f for each task until it returns false (QUERY TASK SET). f runs under
// the set's lock.
func (s *Set) Find(f func(*Task, State) bool) {
	s.mu.Lock()
	defer s.unlock()
	for t := s.head; t != nil; t = t.next {
		if !f(t, t.state) {
			return
		}
	}
}

// link enters t: at the front when nothing may hold it.
func (s *Set) link(t *Task) {
	if t.Attr == HeadOfQueue || t.Attr == ACA {
		t.prev, t.next = nil, s.head
		if s.head == nil {
			s.tail = t
		} else {
			s.head.prev = t
		}
		s.head = t
	} else {
		t.prev, t.next = s.tail, nil
		if s.tail == nil {
			s.head = t
		} else {
			s.tail.next = t
		}
		s.tail = t
	}
	s.count(t, 1)
	if t.Attr == ACA {
		s.acaOf(t.Share).task = t
	}
}

// unlink ends t.
func (s *Set) unlink(t *Task) {
	if t.prev == nil {
		s.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		s.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	s.count(t, -1)
	if t.flags != 0 || t.Attr == ACA || t.Serial {
		s.leave(t)
	}
	s.move(t, Ended)
}

// leave gives back what t had besides its place in the order.
func (s *Set) leave(t *Task) {
	if t.flags&placed != 0 {
		s.places--
	}
	if t.flags&armed != 0 && t.state == Enabled {
		s.unqueue(t)
	}
	if s.serial == t {
		s.serial = nil
	}
	if t.Attr == ACA {
		for i := range s.acas {
			if s.acas[i].task == t {
				s.acas[i].task = nil
			}
		}
	}
}
