package taskset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ref is a task set written for plainness: it keeps the tasks in order and asks the
// rules of SAM-6, 8 for each pair of them.
type ref struct {
	tasks                []*refTask // oldest first
	perNexus, restricted bool
	limit, width         int
	aca                  map[int]*refTask // by faulted nexus; the value is the ACA task
	queue                []*refTask       // Enabled, for a place
	turn                 []int            // nexuses that have some in queue
	serials              []*refTask       // Enabled Serial ones, for their turn
	events               []string
}

type refTask struct {
	id, nexus                    int
	attr                         Attr
	writes, past, serial         bool
	state                        State
	armed, placed, aborted, told bool
	waits                        []*refWait
}

type refWait struct {
	name    string
	n, left int
}

func (r *ref) say(format string, a ...any) { r.events = append(r.events, fmt.Sprintf(format, a...)) }

// acaFor is the nexus whose ACA holds nexus n, -1 when none does.
func (r *ref) acaFor(n int) int {
	for f := range r.aca {
		if f == n || !r.perNexus {
			return f
		}
	}
	return -1
}

func (r *ref) held(t *refTask) bool {
	return t.attr != ACA && !t.past && r.acaFor(t.nexus) >= 0
}

func (r *ref) may(t *refTask) bool {
	if r.held(t) {
		return false
	}
	if t.past && r.acaFor(t.nexus) >= 0 {
		return true
	}
	for _, o := range r.tasks {
		same := o.nexus == t.nexus
		switch {
		case o == t:
			return true
		case t.attr == Ordered && (same || !r.perNexus):
			return false
		case t.attr == Simple && (same || !r.perNexus) && (o.attr == Ordered || o.attr == HeadOfQueue):
			return false
		case t.attr == Simple && t.serial && o.serial && same:
			return false
		case t.attr == Simple && r.restricted && same && (t.writes || o.writes):
			return false
		}
	}
	panic("not in the set")
}

func (r *ref) count(nexus int) (n int) {
	for _, t := range r.tasks {
		if t.nexus == nexus {
			n++
		}
	}
	return n
}

func (r *ref) places() (n int) {
	for _, t := range r.tasks {
		if t.placed {
			n++
		}
	}
	return n
}

func (r *ref) admit(t *refTask, run bool) Verdict {
	if f := r.acaFor(t.nexus); f >= 0 && !(t.past && t.attr != ACA && f != t.nexus) {
		switch {
		case f != t.nexus:
			return ACAOther
		case t.attr != ACA || r.aca[f] != nil:
			return ACAActive
		}
	} else if t.attr == ACA {
		return NoACA
	}
	if mine, room := r.count(t.nexus), r.limit-len(r.tasks); mine >= room {
		if mine > 0 {
			return Full
		}
		return Busy
	}
	if t.attr == ACA {
		r.aca[t.nexus] = t
	}
	if t.attr == ACA || t.attr == HeadOfQueue {
		r.tasks = slices.Insert(r.tasks, 0, t)
	} else {
		r.tasks = append(r.tasks, t)
	}
	switch {
	case !r.may(t):
		t.state = Dormant
	case run && !(t.serial && r.alone() != nil):
		t.state = Running
		return Run
	default:
		t.state = Enabled
	}
	return Wait
}

// alone is the Serial task that runs.
func (r *ref) alone() *refTask {
	for _, t := range r.tasks {
		if t.serial && t.state == Running {
			return t
		}
	}
	return nil
}

// place is for an Enabled task that is armed.
func (r *ref) place(t *refTask) bool {
	if t.serial {
		if o := r.alone(); o != nil && o != t {
			at := len(r.serials)
			if t.attr == HeadOfQueue || t.attr == ACA {
				at = 0
			}
			r.serials = slices.Insert(r.serials, at, t)
			return false
		}
		t.state = Running
		return true
	}
	if t.attr == Simple && !t.past || t.attr == Ordered && !t.past {
		if len(r.queue) > 0 || r.places() >= r.width {
			t.state = Enabled
			r.queue = append(r.queue, t)
			if !slices.Contains(r.turn, t.nexus) {
				r.turn = append(r.turn, t.nexus)
			}
			return false
		}
	}
	t.placed, t.state = true, Running
	return true
}

// unqueue takes t out of the queue. again: its nexus has had its turn.
func (r *ref) unqueue(t *refTask, again bool) {
	r.serials = slices.DeleteFunc(r.serials, func(o *refTask) bool { return o == t })
	r.queue = slices.DeleteFunc(r.queue, func(o *refTask) bool { return o == t })
	more := slices.ContainsFunc(r.queue, func(o *refTask) bool { return o.nexus == t.nexus })
	if again || !more {
		r.turn = slices.DeleteFunc(r.turn, func(n int) bool { return n == t.nexus })
		if more {
			r.turn = append(r.turn, t.nexus)
		}
	}
}

// wake lets go on what may: first those that queue for a place, then the others in order.
func (r *ref) wake() {
	r.next()
	for len(r.queue) > 0 && r.places() < r.width {
		i := slices.IndexFunc(r.queue, func(o *refTask) bool { return o.nexus == r.turn[0] })
		t := r.queue[i]
		r.unqueue(t, true)
		t.placed, t.state = true, Running
		r.say("enabled %d", t.id)
	}
	for _, t := range r.tasks {
		if (t.state == Dormant || t.state == Blocked) && r.may(t) {
			t.state = Enabled
			if t.armed && r.place(t) {
				r.say("enabled %d", t.id)
			}
		}
	}
}

// next lets the next Serial task run.
func (r *ref) next() {
	if r.alone() == nil && len(r.serials) > 0 {
		t := r.serials[0]
		r.unqueue(t, false)
		t.state = Running
		r.say("enabled %d", t.id)
	}
}

func (r *ref) remove(t *refTask) {
	r.unqueue(t, false)
	r.tasks = slices.DeleteFunc(r.tasks, func(o *refTask) bool { return o == t })
	for f, a := range r.aca {
		if a == t {
			r.aca[f] = nil
		}
	}
	t.state, t.placed = Ended, false
}

func (r *ref) fault(t *refTask, naca bool) {
	switch f := r.acaFor(t.nexus); {
	case f < 0 && naca:
		r.aca[t.nexus] = nil
		for _, o := range r.tasks {
			if o.state == Enabled && r.held(o) {
				r.unqueue(o, false)
				o.state = Blocked
			}
		}
	case f >= 0 && r.aca[f] == t && !naca:
		delete(r.aca, f)
	}
}

func (r *ref) end(t *refTask, fault, naca bool) {
	if fault && !t.aborted {
		r.fault(t, naca)
	}
	r.remove(t)
	r.wake()
	for _, w := range t.waits {
		if w.left--; w.left == 0 {
			r.say("done %s %d", w.name, w.n)
		}
	}
	t.waits = nil
}

func (r *ref) abort(name string, match func(*refTask) bool, told bool) {
	w := &refWait{name: name}
	var cancel, ended []int
	for _, t := range slices.Clone(r.tasks) {
		if !match(t) {
			continue
		}
		w.n++
		t.told = told && (!t.aborted || t.told)
		t.aborted = true
		if t.state == Running {
			w.left++
			t.waits = append(t.waits, w)
			cancel = append(cancel, t.id)
		} else {
			r.remove(t)
			ended = append(ended, t.id)
		}
	}
	at := len(r.events)
	r.wake()
	woken := slices.Clone(r.events[at:])
	r.events = r.events[:at]
	for _, id := range cancel {
		r.say("cancel %d", id)
	}
	for _, id := range ended {
		r.say("aborted %d", id)
	}
	r.events = append(r.events, woken...)
	if w.left == 0 {
		r.say("done %s %d", name, w.n)
	}
}

// seen is a task of the set under test, whose owner writes down what it is told.
type seen struct {
	Task
	id int
	m  *match
}

func (s *seen) TaskEnabled(*Task) { s.m.say("enabled %d", s.id) }
func (s *seen) TaskAborted(*Task) { s.m.say("aborted %d", s.id) }
func (s *seen) TaskCancel(*Task)  { s.m.say("cancel %d", s.id) }

// match drives both and compares.
type match struct {
	t      *testing.T
	rng    *rand.Rand
	set    Set
	ref    *ref
	shares [4]Share
	pairs  []pair
	next   int
	events []string
	log    []string
}

type pair struct {
	real *seen
	ref  *refTask
}

func (m *match) say(format string, a ...any) { m.events = append(m.events, fmt.Sprintf(format, a...)) }

func (m *match) op(format string, a ...any) { m.log = append(m.log, fmt.Sprintf(format, a...)) }

// pick is a task in one of the states, if there is any.
func (m *match) pick(states ...State) (pair, bool) {
	var fit []pair
	for _, p := range m.pairs {
		if slices.Contains(states, p.ref.state) {
			fit = append(fit, p)
		}
	}
	if len(fit) == 0 {
		return pair{}, false
	}
	return fit[m.rng.IntN(len(fit))], true
}

func (m *match) same(what string, got, want any) {
	if got != want {
		m.t.Fatalf("%s: %v, want %v, after\n%s", what, got, want, strings.Join(m.log, "\n"))
	}
}

func (m *match) admit() {
	m.next++
	r := &refTask{id: m.next, nexus: m.rng.IntN(len(m.shares)), writes: m.rng.IntN(2) == 0, past: m.rng.IntN(12) == 0,
		serial: m.rng.IntN(3) > 0}
	r.attr = []Attr{Simple, Simple, Simple, Simple, Ordered, HeadOfQueue, ACA}[m.rng.IntN(7)]
	s := &seen{id: r.id, m: m, Task: Task{Attr: r.attr, Writes: r.writes, PastACA: r.past, Serial: r.serial, Nexus: uint32(r.nexus), Share: &m.shares[r.nexus]}}
	s.Owner = s
	run := m.rng.IntN(2) == 0
	m.op("admit %d nexus %d attr %d writes %v past %v serial %v run %v", r.id, r.nexus, r.attr, r.writes, r.past, r.serial, run)
	v := m.set.Admit(&s.Task, run)
	m.same("verdict", v, m.ref.admit(r, run))
	if v <= Run {
		m.pairs = append(m.pairs, pair{s, r})
	}
}

func (m *match) step() {
	switch k := m.rng.IntN(100); {
	case k < 35:
		m.admit()
	case k < 45:
		if p, ok := m.pick(Enabled, Dormant, Blocked); ok && !p.ref.armed {
			m.op("start %d", p.ref.id)
			want := p.ref.state == Enabled && !(p.ref.serial && m.ref.alone() != nil)
			if want {
				p.ref.state = Running
			}
			m.same("start", m.set.Start(&p.real.Task), want)
		}
	case k < 55:
		if p, ok := m.pick(Enabled, Dormant, Blocked); ok && !p.ref.armed {
			m.op("arm %d", p.ref.id)
			p.ref.armed = true
			m.same("arm", m.set.Arm(&p.real.Task), p.ref.state == Enabled && m.ref.place(p.ref))
		}
	case k < 65:
		if p, ok := m.pick(Running); ok && !p.ref.armed {
			m.op("offload %d", p.ref.id)
			want := true
			if !p.ref.aborted {
				p.ref.armed = true
				if m.ref.held(p.ref) {
					p.ref.state, want = Blocked, false
					m.ref.next()
				} else {
					want = m.ref.place(p.ref)
				}
			}
			m.same("offload", m.set.Offload(&p.real.Task), want)
		}
	case k < 88:
		if p, ok := m.pick(Running, Running, Enabled, Dormant, Blocked); ok {
			fault, naca := m.rng.IntN(5) == 0, m.rng.IntN(2) == 0
			m.op("end %d fault %v naca %v", p.ref.id, fault, naca)
			want := p.ref.aborted
			m.ref.end(p.ref, fault, naca)
			if fault {
				m.same("end", m.set.EndFaulted(&p.real.Task, naca), want)
			} else {
				m.same("end", m.set.End(&p.real.Task), want)
			}
		}
	case k < 93:
		id, nexus, told := m.rng.IntN(m.next+1), m.rng.IntN(len(m.shares)), m.rng.IntN(2) == 0
		one := m.rng.IntN(2) == 0
		name := fmt.Sprintf("abort-%d", len(m.log))
		m.op("%s task %d or nexus %d (%v) told %v", name, id, nexus, !one, told)
		m.ref.abort(name, func(t *refTask) bool { return t.id == id || !one && t.nexus == nexus }, told)
		fate := Silent
		if told {
			fate = Told
		}
		m.set.AbortAs(func(t *Task) Fate {
			if t.Owner.(*seen).id == id || !one && int(t.Nexus) == nexus {
				return fate
			}
			return Spare
		}, func(n int) { m.say("done %s %d", name, n) })
	case k < 96:
		nexus := m.rng.IntN(len(m.shares))
		name := fmt.Sprintf("clear-%d", len(m.log))
		m.op("%s ACA of nexus %d", name, nexus)
		f := m.ref.acaFor(nexus)
		if f < 0 || f == nexus {
			delete(m.ref.aca, nexus)
			m.ref.abort(name, func(t *refTask) bool { return t.attr == ACA && t.nexus == nexus }, false)
		}
		m.same("clear", m.set.ClearACA(&m.shares[nexus], func() { m.say("done %s", name) }), f < 0 || f == nexus)
	default:
		per, restricted := m.rng.IntN(2) == 0, m.rng.IntN(2) == 0
		m.op("order per nexus %v restricted %v", per, restricted)
		if len(m.ref.aca) > 0 {
			m.ref.aca = map[int]*refTask{}
			m.set.DropACA(nil)
			m.ref.wake()
		}
		m.ref.perNexus, m.ref.restricted = per, restricted
		m.ref.wake()
		m.set.SetOrder(per, restricted)
	}
	m.compare()
}

func (m *match) compare() {
	got, want := normal(m.events), normal(m.ref.events)
	m.same("events", fmt.Sprint(got), fmt.Sprint(want))
	m.events, m.ref.events = nil, nil
	m.same("tasks", m.set.Len(), len(m.ref.tasks))
	live := m.pairs[:0]
	for _, p := range m.pairs {
		m.same(fmt.Sprintf("state of %d", p.ref.id), p.real.State(), p.ref.state)
		if p.ref.state != Ended {
			live = append(live, p)
		} else {
			m.same(fmt.Sprintf("task %d aborted, told", p.ref.id),
				fmt.Sprint(p.real.Aborted(), p.real.Told()), fmt.Sprint(p.ref.aborted, p.ref.told))
		}
	}
	m.pairs = live
}

// normal cuts the number that ClearACA does not give.
func normal(events []string) []string {
	var list []string
	for _, e := range events {
		if strings.HasPrefix(e, "done clear-") {
			e = strings.Join(strings.Fields(e)[:2], " ")
		}
		list = append(list, e)
	}
	return list
}

// TestModel compares the set with the reference through random lives.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for run := range uint64(200) {
		m := &match{t: t, rng: rand.New(rand.NewPCG(seed, run)),
			ref: &ref{limit: 14, width: 2, aca: map[int]*refTask{}}}
		m.set.SetLimits(14, 2)
		for range 300 {
			m.step()
		}
		for len(m.pairs) > 0 { // all come to an end
			p := m.pairs[m.rng.IntN(len(m.pairs))]
			m.op("end %d", p.ref.id)
			m.ref.end(p.ref, false, false)
			m.set.End(&p.real.Task)
			m.compare()
		}
	}
}

// worker is a task of TestConcurrent that runs on its own goroutine when it is enabled.
type worker struct {
	Task
	mu   *sync.Mutex
	log  *[]*worker // that run now
	bad  *atomic.Int32
	done chan struct{}
}

func (w *worker) TaskEnabled(*Task) { go w.run() }
func (w *worker) TaskAborted(*Task) { close(w.done) }
func (w *worker) TaskCancel(*Task)  {}

// run holds what an ORDERED task promises: nobody else runs, but HEAD OF QUEUE.
func (w *worker) run() {
	w.mu.Lock()
	for _, o := range *w.log {
		if o.Attr == Ordered && w.Attr == Simple || o.Attr == Simple && w.Attr == Ordered || o.Attr == Ordered && w.Attr == Ordered {
			w.bad.Add(1)
		}
	}
	*w.log = append(*w.log, w)
	w.mu.Unlock()

	w.mu.Lock()
	*w.log = slices.DeleteFunc(*w.log, func(o *worker) bool { return o == w })
	w.mu.Unlock()
	w.set.End(&w.Task)
	close(w.done)
}

// TestConcurrent: many transports, aborts and resets at once; every task ends exactly
// once, and ORDERED tasks run alone.
func TestConcurrent(t *testing.T) {
	var (
		set  Set
		mu   sync.Mutex
		log  []*worker
		bad  atomic.Int32
		wg   sync.WaitGroup
		dead = make(chan struct{})
	)
	set.SetLimits(256, 3)
	for n := range 4 {
		share := &Share{}
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(n)))
			var waiting []*worker
			for range 2000 {
				w := &worker{mu: &mu, log: &log, bad: &bad, done: make(chan struct{})}
				w.Nexus, w.Share, w.Owner = uint32(n), share, w
				w.Attr = []Attr{Simple, Simple, Simple, Ordered, HeadOfQueue}[rng.IntN(5)]
				switch set.Admit(&w.Task, rng.IntN(2) == 0) {
				case Run:
					if set.Offload(&w.Task) {
						go w.run()
					}
				case Wait:
					if set.Arm(&w.Task) {
						go w.run()
					}
				default:
					for _, o := range waiting {
						<-o.done
					}
					waiting = waiting[:0]
					continue
				}
				waiting = append(waiting, w)
			}
			for _, o := range waiting {
				<-o.done
			}
		})
	}
	go func() {
		defer close(dead)
		for i := range 500 {
			end := make(chan struct{})
			set.Abort(func(t *Task) bool { return i%10 == 0 || int(t.Nexus) == i%4 }, func(int) { close(end) })
			<-end
		}
	}()
	wg.Wait()
	<-dead
	if n := set.Len(); n != 0 || bad.Load() != 0 || set.places != 0 || set.held != 0 {
		t.Errorf("%d tasks left, %d ran beside an ORDERED task, %d places, %d held", n, bad.Load(), set.places, set.held)
	}
}
