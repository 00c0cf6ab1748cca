// Package taskset is a SAM task set (SAM-6, 8): which tasks of a logical unit may
// run now, and the safe end of those that task management aborts.
//
//	          Admit               Start, Arm           End
//	(new) ---------> Dormant  --+          +--> Running -----> Ended
//	        |                   v          |       |
//	        +-------------> Enabled -------+       | Abort: told, and waited for
//	                            |                  |
//	                            +--- Abort --------+--> Ended (aborted)
//
// A task is Enabled when its task attribute lets it run (SAM-6, 8.8), Running from
// the moment that a handler may touch the medium until End. Abort of a task that
// does not run ends it at once; Abort of one that runs marks it, tells its owner,
// and the waiter is called when the last of them has ended: never earlier.
//
// Lock order: Set.mu is a leaf. No callback runs under it.
package taskset

import "sync"

// State is where a task is in its life.
type State uint8

// States, in order of life.
const (
	Ended State = iota
	Dormant
	Enabled
	Running
)

func (s State) String() string { return [...]string{"ended", "dormant", "enabled", "running"}[s&3] }

// Attr is what a task attribute means to the set.
type Attr uint8

// Attributes. Untagged tasks are treated as Simple.
const (
	Simple Attr = iota
	Ordered
	HeadOfQueue
)

// Task is the part of a command that a Set works on; it is embedded in one.
type Task struct {
	Attr  Attr
	Nexus uint32 // the I_T nexus that the task came by
	Owner Owner  // told of what happens to the task

	set        *Set
	state      State
	aborted    bool
	armed      bool // to be Running as soon as it is Enabled
	waiters    []*waiter
	prev, next *Task
}

// Owner is told about its task. Calls come from any goroutine, never under a lock
// of the set.
type Owner interface {
	// TaskEnabled says that a task that was Dormant when Arm was called is now
	// Running; the owner carries it out.
	TaskEnabled(*Task)
	// TaskAborted says that the task was aborted before it ran. It has Ended.
	TaskAborted(*Task)
	// TaskCancel asks the owner to end a Running task soon. End must follow.
	TaskCancel(*Task)
}

// Aborted reports whether task management ended the task, or is about to. It is
// exact once the task has Ended.
func (t *Task) Aborted() bool {
	if t.set == nil {
		return t.aborted
	}
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	return t.aborted
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

// waiter is one Abort call: how many of its tasks still run, and whom to tell.
type waiter struct {
	left int
	n    int
	done func(n int)
}

// Verdict is what Admit says.
type Verdict uint8

// Verdicts.
const (
	Wait    Verdict = iota // Start or Arm follows
	Run                    // it is Running: carry it out
	Refused                // the set is closed; the task is not in it
)

// Set is the task set of one logical unit. The zero value is ready.
type Set struct {
	mu         sync.Mutex
	head, tail *Task // in order of entry; HEAD OF QUEUE tasks at the front
	len        int
	barriers   int // tasks that are ORDERED or HEAD OF QUEUE
	dormant    int
	closed     bool
}

// Len is the number of tasks in the set.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.len
}

// Admit enters t and, when run is set and t may run, starts it.
func (s *Set) Admit(t *Task, run bool) Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.set, t.aborted, t.waiters, t.armed = s, false, nil, false
	if s.closed {
		t.state = Ended
		return Refused
	}
	if t.Attr == HeadOfQueue {
		s.pushFront(t)
	} else {
		s.pushBack(t)
	}
	may := t.Attr == Simple && s.barriers == 0 || t.Attr == HeadOfQueue || s.mayRun(t)
	if t.Attr != Simple {
		s.barriers++
	}
	switch {
	case !may:
		t.state = Dormant
		s.dormant++
	case run:
		t.state = Running
		return Run
	default:
		t.state = Enabled
	}
	return Wait
}

// Close refuses new tasks, aborts those that are there, and returns when the last of them
// has ended.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	end := make(chan struct{})
	s.Abort(func(*Task) bool { return true }, func(int) { close(end) })
	<-end
}

// Start makes an Enabled task Running. It is false when the task is Dormant (then Arm
// follows) or was aborted.
func (s *Set) Start(t *Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.state != Enabled {
		return false
	}
	t.state = Running
	return true
}

// Arm is Start for a task that may be Dormant and that has left the goroutine of its
// transport: when it is false, Owner.TaskEnabled or Owner.TaskAborted is called, perhaps
// already now.
func (s *Set) Arm(t *Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t.state {
	case Enabled:
		t.state = Running
		return true
	case Dormant:
		t.armed = true
	}
	return false
}

// End takes t out of the set when the handler is done with it, or when the
// transport gives up on a task that never ran. It is true when the task was
// aborted: then it has no status to deliver (unless TAS says so).
func (s *Set) End(t *Task) (aborted bool) {
	s.mu.Lock()
	if t.state == Ended {
		aborted = t.aborted
		s.mu.Unlock()
		return aborted
	}
	aborted = t.aborted
	s.remove(t)
	if s.dormant == 0 && t.waiters == nil {
		s.mu.Unlock()
		return aborted
	}
	var run []*Task
	if s.dormant > 0 {
		run = s.wake()
	}
	done := t.finishWaiters(nil)
	s.mu.Unlock()
	tell(run, done)
	return aborted
}

// Abort aborts every task for which match holds. done is called exactly once with
// their number, when none of them can touch the medium any more: from this call,
// or from the End of the last one. match runs under the set's lock.
func (s *Set) Abort(match func(*Task) bool, done func(n int)) {
	w := &waiter{done: done}
	var ended, cancel []*Task
	s.mu.Lock()
	for t := s.head; t != nil; {
		next := t.next
		if match(t) {
			w.n++
			t.aborted = true
			if t.state == Running {
				t.waiters = append(t.waiters, w)
				w.left++
				cancel = append(cancel, t)
			} else {
				s.remove(t)
				ended = append(ended, t)
			}
		}
		t = next
	}
	run := s.wake()
	w.left++ // ourselves, so that done cannot fire before the owners were told
	s.mu.Unlock()

	for _, t := range cancel {
		t.Owner.TaskCancel(t)
	}
	for _, t := range ended {
		t.Owner.TaskAborted(t)
	}
	s.mu.Lock()
	w.left--
	fire := w.left == 0
	s.mu.Unlock()
	tell(run, nil)
	if fire {
		w.done(w.n)
	}
}

// Find calls f for each task until it returns false (QUERY TASK SET). f runs under
// the set's lock.
func (s *Set) Find(f func(*Task, State) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := s.head; t != nil; t = t.next {
		if !f(t, t.state) {
			return
		}
	}
}

func (t *Task) finishWaiters(done []*waiter) []*waiter {
	for _, w := range t.waiters {
		if w.left--; w.left == 0 {
			done = append(done, w)
		}
	}
	t.waiters = nil
	return done
}

func tell(run []*Task, done []*waiter) {
	for _, t := range run {
		t.Owner.TaskEnabled(t)
	}
	for _, w := range done {
		w.done(w.n)
	}
}

// mayRun says whether t, already linked, may be Enabled (SAM-6, 8.6): SIMPLE waits
// for every older ORDERED and HEAD OF QUEUE task, ORDERED for every older task,
// HEAD OF QUEUE for none.
func (s *Set) mayRun(t *Task) bool {
	for o := s.head; o != nil && o != t; o = o.next {
		if t.Attr == Ordered || o.Attr != Simple {
			return false
		}
	}
	return true
}

// wake enables each Dormant task that may run now and returns those to start.
func (s *Set) wake() (run []*Task) {
	if s.dormant == 0 {
		return nil
	}
	older, barrier := false, false
	for t := s.head; t != nil; t = t.next {
		if t.state == Dormant && !barrier && (t.Attr != Ordered || !older) {
			s.dormant--
			t.state = Enabled
			if t.armed {
				t.state = Running
				run = append(run, t)
			}
		}
		older = true
		barrier = barrier || t.Attr != Simple
	}
	return run
}

func (s *Set) pushBack(t *Task) {
	t.prev, t.next = s.tail, nil
	if s.tail == nil {
		s.head = t
	} else {
		s.tail.next = t
	}
	s.tail = t
	s.len++
}

func (s *Set) pushFront(t *Task) {
	t.prev, t.next = nil, s.head
	if s.head == nil {
		s.tail = t
	} else {
		s.head.prev = t
	}
	s.head = t
	s.len++
}

func (s *Set) remove(t *Task) {
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
	if t.state == Dormant {
		s.dormant--
	}
	if t.Attr != Simple {
		s.barriers--
	}
	t.state = Ended
	s.len--
}
