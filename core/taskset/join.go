package taskset

// Join enters t as Running, whatever else is there: work on behalf of a task of another
// set. It waits for no task here, so that two sets cannot come to wait for each other;
// what keeps its order behind it waits for its End, as Abort and Close do. False: the set
// is closed.
func (s *Set) Join(t *Task) bool {
	if t.Share == nil {
		t.Share = &s.common
	}
	s.mu.Lock()
	defer s.unlock()
	t.Attr = Simple
	t.set, t.flags = s, 0
	if s.closed {
		return false
	}
	s.link(t)
	s.move(t, Running)
	return true
}
