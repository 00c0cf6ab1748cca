package taskset

import "slices"

// aca is an auto contingent allegiance (SAM-6, 5.9): until it is cleared, its task
// set runs only what the faulted I_T nexus sends as an ACA task.
type aca struct {
	faulted *Share
	task    *Task // the ACA task in the set, of which there is at most one
}

// acaOf finds the ACA that holds the tasks of sh: its own when each nexus has a task
// set, else that of any.
func (s *Set) acaOf(sh *Share) *aca {
	for i := range s.acas {
		if a := &s.acas[i]; !s.perNexus || a.faulted == sh {
			return a
		}
	}
	return nil
}

// blocks says whether an ACA keeps t from running.
func (s *Set) blocks(t *Task) bool {
	return t.Attr != ACA && !t.PastACA && s.acaOf(t.Share) != nil
}

// refuseACA says what a new task meets during an ACA (SAM-6, 5.9.3).
func (s *Set) refuseACA(t *Task) Verdict {
	a := s.acaOf(t.Share)
	switch {
	case a == nil && t.Attr == ACA:
		return NoACA
	case a == nil, t.PastACA && t.Attr != ACA && a.faulted != t.Share:
		return Wait
	case a.faulted != t.Share:
		return ACAOther
	case t.Attr != ACA || a.task != nil:
		return ACAActive
	}
	return Wait
}

// Check says what Admit would, of tasks that end before they enter the set.
func (s *Set) Check(t *Task) Verdict {
	if t.Share == nil {
		t.Share = &s.common
	}
	s.mu.Lock()
	defer s.unlock()
	return s.refuseACA(t)
}

// EndFaulted is End of a task whose status is CHECK CONDITION. With naca, the NACA
// bit of its CDB, an ACA begins; an ACA task without ends the one that it belongs to
// (SAM-6, 5.9.4).
func (s *Set) EndFaulted(t *Task, naca bool) (wasAborted bool) {
	s.mu.Lock()
	wasAborted = t.flags&aborted != 0
	if t.state == Ended {
		s.unlock()
		return wasAborted
	}
	if !wasAborted {
		s.fault(t, naca)
	}
	s.unlink(t)
	s.unlockAfter(t)
	return wasAborted
}

// Fault is EndFaulted of a task that never entered the set.
func (s *Set) Fault(t *Task, naca bool) {
	if t.Share == nil {
		t.Share = &s.common
	}
	s.mu.Lock()
	defer s.unlock()
	s.fault(t, naca)
}

func (s *Set) fault(t *Task, naca bool) {
	a := s.acaOf(t.Share)
	switch {
	case a == nil && naca:
		s.acas = append(s.acas, aca{faulted: t.Share})
		s.refuss()
		s.block()
	case a != nil && a.task == t && !naca:
		s.drop(t.Share)
	}
}

// block holds what is Enabled and belongs to an ACA.
func (s *Set) block() {
	for t := s.head; t != nil; t = t.next {
		if t.state == Enabled && s.blocks(t) {
			if t.flags&armed != 0 {
				s.unqueue(t)
			}
			s.move(t, Blocked)
		}
	}
}

// drop forgets the ACA of sh, all of them when sh is nil. The caller wakes what they
// held.
func (s *Set) drop(sh *Share) {
	s.acas = slices.DeleteFunc(s.acas, func(a aca) bool { return sh == nil || a.faulted == sh })
	s.refuss()
}

// ClearACA ends the ACA of sh and aborts its ACA task; done is called when that has
// ended (SAM-6, 7.4). It is false, and done is not called, when the ACA is another's.
// Without an ACA there is nothing to do, and it is done.
func (s *Set) ClearACA(sh *Share, done func()) bool {
	s.mu.Lock()
	a := s.acaOf(sh)
	if a != nil && a.faulted != sh {
		s.unlock()
		return false
	}
	s.drop(sh)
	s.unlock()
	s.Abort(func(t *Task) bool { return t.Attr == ACA && t.Share == sh }, func(int) { done() })
	return true
}

// DropACA ends the ACAs whose nexus is gone (sh), or all (nil), as a reset does.
func (s *Set) DropACA(sh *Share) {
	s.mu.Lock()
	s.drop(sh)
	run := s.wake()
	s.unlock()
	tell(run, nil)
}
