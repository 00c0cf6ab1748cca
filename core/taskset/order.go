package taskset

import "slices"

// SetOrder sets which tasks keep their order. perNexus: each I_T nexus has a task
// set of its own (TST 001b of the Control mode page, SPC-6, 7.5.9). restricted: SIMPLE
// tasks that change the medium keep their place among those of their nexus (QUEUE
// ALGORITHM MODIFIER 0h). It may be called at any time.
func (s *Set) SetOrder(perNexus, restricted bool) {
	s.mu.Lock()
	s.perNexus, s.restricted = perNexus, restricted
	s.refuss()
	run := s.wake()
	s.unlock()
	tell(run, nil)
}

// PerNexus reports whether each I_T nexus has a task set of its own.
func (s *Set) PerNexus() bool {
	s.mu.Lock()
	defer s.unlock()
	return s.perNexus
}

func (s *Set) refuss() { s.fussy = s.closed || s.restricted || len(s.acas) > 0 }

// mayEnter says whether t, the youngest task, may be Enabled (SAM-6, 8.6): SIMPLE
// waits for every older ORDERED and HEAD OF QUEUE task, ORDERED for every older task,
// HEAD OF QUEUE and ACA for none.
func (s *Set) mayEnter(t *Task) bool {
	n := &s.counts
	if s.perNexus {
		n = &t.Share.counts
	}
	switch {
	case t.PastACA && s.acaOf(t.Share) != nil:
		return true
	case t.Attr == Ordered:
		return n.len == 1
	case t.Attr != Simple:
		return true
	case t.Serial && t.Share.serials > 1:
		return false
	case !s.restricted:
		return n.barriers == 0
	case t.Writes:
		return n.barriers == 0 && t.Share.len == 1
	default:
		return n.barriers == 0 && t.Share.writers == 0
	}
}

// older sums up the tasks that a scan has passed.
type older struct {
	scan                          uint64 // to which the rest belongs
	some, barrier, writes, serial bool
}

func (o *older) at(scan uint64) *older {
	if o.scan != scan {
		*o = older{scan: scan}
	}
	return o
}

func (o *older) add(t *Task) {
	o.some = true
	o.barrier = o.barrier || t.Attr == Ordered || t.Attr == HeadOfQueue
	o.writes = o.writes || t.Writes
	o.serial = o.serial || t.Serial
}

// mayGo is mayEnter for a task of any age: all are those that are older in its task
// set, own those of its nexus.
func (s *Set) mayGo(t *Task, all, own *older) bool {
	switch {
	case s.blocks(t):
		return false
	case t.PastACA && s.acaOf(t.Share) != nil:
		return true
	case t.Attr == Ordered:
		return !all.some
	case t.Attr != Simple:
		return true
	case t.Serial && own.serial:
		return false
	case !s.restricted:
		return !all.barrier
	case t.Writes:
		return !all.barrier && !own.some
	default:
		return !all.barrier && !own.writes
	}
}

// wake enables each task that may run now, and returns those that have become Running
// and whose owners are to be told.
func (s *Set) wake() (run []*Task) {
	run = s.fill(run)
	if s.held == 0 {
		return run
	}
	s.scan++
	for t := s.head; t != nil && s.held > 0; t = t.next {
		own := t.Share.older.at(s.scan)
		all := own
		if !s.perNexus {
			all = s.older.at(s.scan)
		}
		if (t.state == Dormant || t.state == Blocked) && s.mayGo(t, all, own) {
			s.move(t, Enabled)
			if t.flags&armed != 0 && s.place(t) {
				run = append(run, t)
			}
		}
		own.add(t)
		if all != own {
			all.add(t)
		}
	}
	return run
}

// hasPlace says whether t may run on a worker now. HEAD OF QUEUE and ACA tasks do not
// wait for a place. The one Serial task needs none.
func (s *Set) hasPlace(t *Task) bool {
	if t.Serial {
		return s.serial == nil || s.serial == t
	}
	return t.Attr == HeadOfQueue || t.Attr == ACA || t.PastACA ||
		s.places < orDefault(s.width, DefaultWidth) && len(s.turns) == 0
}

func (s *Set) take(t *Task) {
	if t.Serial {
		s.serial = t
		return
	}
	t.flags |= placed
	s.places++
}

// place makes an Enabled and armed task Running, or lets it queue for a place.
func (s *Set) place(t *Task) bool {
	if !s.hasPlace(t) {
		s.queue(t)
		return false
	}
	s.take(t)
	s.move(t, Running)
	return true
}

func (s *Set) queue(t *Task) {
	if t.Serial {
		at := len(s.serials)
		if t.Attr == HeadOfQueue || t.Attr == ACA {
			at = 0
		}
		s.serials = slices.Insert(s.serials, at, t)
		return
	}
	sh := t.Share
	t.after = nil
	if sh.first == nil {
		sh.first = t
		s.turns = append(s.turns, sh)
	} else {
		sh.last.after = t
	}
	sh.last = t
}

// unqueue takes t out of the queue for a place.
func (s *Set) unqueue(t *Task) {
	if t.Serial {
		s.serials = slices.DeleteFunc(s.serials, func(o *Task) bool { return o == t })
		return
	}
	sh := t.Share
	var before *Task
	for o := sh.first; o != t; o = o.after {
		before = o
	}
	if before == nil {
		sh.first = t.after
	} else {
		before.after = t.after
	}
	if sh.last == t {
		sh.last = before
	}
	t.after = nil
	if sh.first == nil {
		s.turns = slices.DeleteFunc(s.turns, func(o *Share) bool { return o == sh })
	}
}

// fill gives the free places to the tasks that queue for one; the nexuses take turns. The next
// Serial task runs when none does.
func (s *Set) fill(run []*Task) []*Task {
	if s.serial == nil && len(s.serials) > 0 {
		t := s.serials[0]
		s.unqueue(t)
		s.take(t)
		s.move(t, Running)
		run = append(run, t)
	}
	for len(s.turns) > 0 && s.places < orDefault(s.width, DefaultWidth) {
		sh := s.turns[0]
		t := sh.first
		s.unqueue(t)
		if sh.first != nil {
			s.turns = append(slices.Delete(s.turns, 0, 1), sh)
		}
		s.take(t)
		s.move(t, Running)
		run = append(run, t)
	}
	return run
}
