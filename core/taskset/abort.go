package taskset

// waiter is one call of Abort or Await: how many of its tasks still run, and whom to tell.
type waiter struct {
	left int
	n    int
	done func(n int)
}

// Fate is what an abort does to a task.
type Fate uint8

// Fates.
const (
	Spare  Fate = iota
	Silent      // aborted; its initiator knows
	Told        // aborted; its initiator learns of it by the status TASK ABORTED (TAS)
)

// Abort aborts every task for which match holds. done is called exactly once with
// their number, when none of them can touch the medium any more: from this call,
// or from the End of the last one. match runs under the set's lock.
func (s *Set) Abort(match func(*Task) bool, done func(n int)) {
	s.AbortAs(func(t *Task) Fate {
		if match(t) {
			return Silent
		}
		return Spare
	}, done)
}

// AbortAs is Abort with a fate for each task. Once silent, an aborted task stays so.
func (s *Set) AbortAs(judge func(*Task) Fate, done func(n int)) {
	w := &waiter{done: done}
	var ended, cancel []*Task
	s.mu.Lock()
	for t := s.head; t != nil; {
		next := t.next
		if fate := judge(t); fate != Spare {
			w.n++
			switch {
			case fate == Silent:
				t.flags &^= told
			case t.flags&aborted == 0:
				t.flags |= told
			}
			t.flags |= aborted
			if t.state == Running {
				t.waiters = append(t.waiters, w)
				w.left++
				cancel = append(cancel, t)
			} else {
				s.unlink(t)
				ended = append(ended, t)
			}
		}
		t = next
	}
	run := s.wake()
	w.left++ // ourselves, so that done cannot fire before the owners were told
	s.unlock()

	for _, t := range cancel {
		t.Owner.TaskCancel(t)
	}
	for _, t := range ended {
		t.Owner.TaskAborted(t)
	}
	s.mu.Lock()
	w.left--
	fire := w.left == 0
	s.unlock()
	tell(run, nil)
	if fire {
		w.done(w.n)
	}
}

// Await calls done when every task that is Running now and for which match holds has
// ended: from this call, or from the End of the last one. It aborts nothing. match runs
// under the set's lock.
func (s *Set) Await(match func(*Task) bool, done func()) {
	w := &waiter{done: func(int) { done() }}
	s.mu.Lock()
	for t := s.head; t != nil; t = t.next {
		if t.state == Running && match(t) {
			t.waiters = append(t.waiters, w)
			w.left++
		}
	}
	none := w.left == 0
	s.unlock()
	if none {
		done()
	}
}

// Close refuses new tasks, aborts those that are there, and returns when the last of them
// has ended.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.refuss()
	s.unlock()
	end := make(chan struct{})
	s.Abort(func(*Task) bool { return true }, func(int) { close(end) })
	<-end
}

func (t *Task) finishWaiters() (done []*waiter) {
	for _, w := range t.waiters {
		if w.left--; w.left == 0 {
			done = append(done, w)
		}
	}
	t.waiters = nil
	return done
}
