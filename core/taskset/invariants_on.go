//go:build invariants

package taskset

import "fmt"

// invariants: a transition that the drawing does not have is a panic, and so are counts that
// do not agree with the tasks.
const invariants = true

// unlock gives up the lock on a set that is sound.
func (s *Set) unlock() {
	what := s.unsound()
	s.mu.Unlock()
	if what != "" {
		panic("taskset: " + what)
	}
}

// maxVerified bounds the work: a larger set is not looked at.
const maxVerified = 256

// unsound says what is wrong with the set, "" for nothing.
func (s *Set) unsound() string {
	if s.len > maxVerified {
		return ""
	}
	var c counts
	var held, places, n int
	shares := map[*Share]*Share{}
	var prev *Task
	for t := s.head; t != nil; t = t.next {
		if n++; n > s.len {
			return fmt.Sprintf("more than %d tasks in a row", s.len)
		}
		if t.prev != prev || t.set != s {
			return "a task out of its row"
		}
		prev = t
		if t.state == Ended {
			return "a task that ended, and is there"
		}
		if t.state == Dormant || t.state == Blocked {
			held++
		}
		if t.flags&placed != 0 {
			places++
			if t.state != Running {
				return fmt.Sprintf("a place for a task that is %v", t.state)
			}
		}
		sum := shares[t.Share]
		if sum == nil {
			sum = new(Share)
			shares[t.Share] = sum
		}
		c.add(t)
		sum.add(t)
		if t.Writes {
			sum.writers++
		}
	}
	if s.tail != prev || s.counts.len != c.len || s.barriers != c.barriers || s.held != held || s.places != places {
		return fmt.Sprintf("counts %+v, %d held, %d places; there are %+v, %d, %d", s.counts, s.held, s.places, c, held, places)
	}
	for sh, sum := range shares {
		if sh.counts.len != sum.counts.len || sh.barriers != sum.barriers || sh.writers != sum.writers {
			return fmt.Sprintf("a share of %+v, %d writers; there are %+v, %d", sh.counts, sh.writers, sum.counts, sum.writers)
		}
	}
	for _, sh := range s.turns {
		for t := sh.first; t != nil; t = t.after {
			if t.state != Enabled || t.flags&armed == 0 {
				return fmt.Sprintf("a task that is %v queues for a place", t.state)
			}
		}
		if sh.first == nil {
			return "a nexus has a turn and no task"
		}
	}
	return ""
}

func (c *counts) add(t *Task) {
	c.len++
	if t.Attr == Ordered || t.Attr == HeadOfQueue {
		c.barriers++
	}
}
