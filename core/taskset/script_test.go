package taskset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// script is a set whose tasks have names, and what its owners were told.
type script struct {
	t      *testing.T
	set    *Set
	shares map[string]*Share
	tasks  map[string]*named
	names  []string // in order of first use
	out    strings.Builder
}

// named is a task with a name, and the owner of itself.
type named struct {
	Task
	name string
	s    *script
}

func (n *named) TaskEnabled(*Task) { fmt.Fprintf(&n.s.out, "  %s is to run\n", n.name) }
func (n *named) TaskAborted(*Task) { fmt.Fprintf(&n.s.out, "  %s ended, aborted\n", n.name) }
func (n *named) TaskCancel(*Task)  { fmt.Fprintf(&n.s.out, "  %s is told to end\n", n.name) }

func newScript(t *testing.T) *script {
	return &script{t: t, set: &Set{}, shares: map[string]*Share{}, tasks: map[string]*named{}}
}

// share is that of nexus n.
func (s *script) share(n string) *Share {
	if s.shares[n] == nil {
		s.shares[n] = &Share{}
	}
	return s.shares[n]
}

// task makes the task of a line "NAME [nexus] [words]": nexus A unless n=.
func (s *script) task(w []string) *named {
	n := &named{name: w[0], s: s}
	n.Owner = n
	nexus := "A"
	for _, f := range w[1:] {
		switch f {
		case "ordered":
			n.Attr = Ordered
		case "hoq":
			n.Attr = HeadOfQueue
		case "aca":
			n.Attr = ACA
		case "writes":
			n.Writes = true
		case "serial":
			n.Serial = true
		case "past":
			n.PastACA = true
		case "run", "naca":
		default:
			nexus = strings.TrimPrefix(f, "n=")
		}
	}
	n.Nexus, n.Share = uint32(nexus[0]), s.share(nexus)
	return n
}

var verdicts = [...]string{"wait", "run", "refused", "TASK SET FULL", "BUSY", "ACA ACTIVE", "ACA of another", "no ACA"}

func (s *script) line(w []string) {
	has := func(f string) bool { return slices.Contains(w, f) }
	var n *named
	if len(w) > 1 {
		n = s.tasks[w[1]]
	}
	done := func(k int) { fmt.Fprintf(&s.out, "  %s: done, %d\n", strings.Join(w, " "), k) }
	switch w[0] {
	case "admit":
		n = s.task(w[1:])
		if s.tasks[n.name] == nil {
			s.names = append(s.names, n.name)
		}
		s.tasks[n.name] = n
		fmt.Fprintf(&s.out, "%s: %s\n", n.name, verdicts[s.set.Admit(&n.Task, has("run"))])
	case "join":
		n = s.task(w[1:])
		s.names = append(s.names, n.name)
		s.tasks[n.name] = n
		fmt.Fprintf(&s.out, "%s: %v\n", n.name, s.set.Join(&n.Task))
	case "check":
		fmt.Fprintf(&s.out, "%s\n", verdicts[s.set.Check(&s.task(w[1:]).Task)])
	case "start":
		fmt.Fprintf(&s.out, "%v\n", s.set.Start(&n.Task))
	case "arm":
		fmt.Fprintf(&s.out, "%v\n", s.set.Arm(&n.Task))
	case "offload":
		fmt.Fprintf(&s.out, "%v\n", s.set.Offload(&n.Task))
	case "end":
		fmt.Fprintf(&s.out, "aborted %v\n", s.set.End(&n.Task))
	case "fault": // CHECK CONDITION, with NACA or without
		if n == nil {
			s.set.Fault(&s.task(w[1:]).Task, has("naca"))
			break
		}
		fmt.Fprintf(&s.out, "aborted %v\n", s.set.EndFaulted(&n.Task, has("naca")))
	case "abort":
		fate := Silent
		if has("told") {
			fate = Told
		}
		s.set.AbortAs(func(t *Task) Fate {
			if has("all") || n != nil && t == &n.Task || has("n="+string(rune(t.Nexus))) {
				return fate
			}
			return Spare
		}, done)
	case "await":
		s.set.Await(func(t *Task) bool { return has("n=" + string(rune(t.Nexus))) }, func() { done(0) })
	case "clear":
		fmt.Fprintf(&s.out, "%v\n", s.set.ClearACA(s.share(strings.TrimPrefix(w[1], "n=")), func() { done(0) }))
	case "drop":
		if w[1] == "all" {
			s.set.DropACA(nil)
		} else {
			s.set.DropACA(s.share(strings.TrimPrefix(w[1], "n=")))
		}
	case "order":
		s.set.SetOrder(has("pernexus"), has("restricted"))
	case "limits":
		var limit, width int
		if _, err := fmt.Sscan(w[1]+" "+w[2], &limit, &width); err != nil {
			s.t.Fatal(err)
		}
		s.set.SetLimits(limit, width)
	case "close":
		s.set.Close()
	default:
		s.t.Fatalf("unknown line %v", w)
	}
}

// states are those of the tasks that have not ended.
func (s *script) states() string {
	var list []string
	for _, name := range s.names {
		t := s.tasks[name]
		if st := t.State(); st != Ended {
			list = append(list, name+" "+st.String())
		} else if t.Told() {
			list = append(list, name+" told")
		}
	}
	return "[" + strings.Join(list, ", ") + "]\n"
}

// TestScripts runs the files under testdata: lines in, what came of each and the tasks
// that are there at the end. "new" begins with an empty set.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newScript(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				s = newScript(t)
			}
			s.t = t
			s.out.Reset()
			for _, l := range strings.Split(strings.TrimSpace(d.Input), "\n") {
				if l != "" {
					s.line(strings.Fields(l))
				}
			}
			return s.out.String() + s.states()
		})
	})
}
