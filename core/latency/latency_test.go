package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestBuckets: buckets follow each other without a gap, each value lies in its own, and none
// is wider than a quarter of what it holds.
func TestBuckets(t *testing.T) {
	for i := range buckets - 1 {
		lo, hi := bounds(i)
		if next, _ := bounds(i + 1); next != hi {
			t.Fatalf("bucket %d ends at %d, the next begins at %d", i, hi, next)
		}
		if bucketOf(lo) != i || bucketOf(hi-1) != i || bucketOf(hi) != i+1 {
			t.Fatalf("bucket %d is [%d, %d): %d %d %d", i, lo, hi, bucketOf(lo), bucketOf(hi-1), bucketOf(hi))
		}
		if w := hi - lo; w > 64 && w*4 > lo {
			t.Fatalf("bucket %d of [%d, %d) is too wide", i, lo, hi)
		}
	}
	if lo, _ := bounds(buckets - 1); lo < 60e9 || bucketOf(math.MaxInt64) != buckets-1 || bucketOf(-1) != 0 {
		t.Fatalf("the last bucket begins at %d", lo)
	}
}

// TestQuantiles compares with the exact order of a sample over six decades.
func TestQuantiles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var c Counters
	var exact []int64
	for range 10000 {
		ns := int64(math.Exp(rnd.Float64()*14)) * 1000
		exact = append(exact, ns)
		c.Add(Read, &Times{Received: 1, Admitted: 1, Started: 1, Executed: 1 + ns, Weight: 2}, 1+ns)
	}
	slices.Sort(exact)
	var s Snapshot
	c.Load(&s)
	h := &s[Read][Execute]
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := float64(exact[min(int(math.Ceil(q*10000)), 10000)-min(1, int(math.Ceil(q*10000)))])
		if got := float64(h.Quantile(q)); math.Abs(got-want) > want/8+1 {
			t.Errorf("quantile %v is %v, exactly %v", q, got, want)
		}
	}
	if h.Count() != 20000 || h.Max() != exact[9999] {
		t.Errorf("count %d, maximum %d; want 20000 and %d", h.Count(), h.Max(), exact[9999])
	}
	var n uint64
	for _, b := range h.Buckets() {
		n += b.Count
	}
	if n != h.Count() {
		t.Errorf("the buckets hold %d of %d", n, h.Count())
	}
}

// TestStages: a stage counts the commands that went through it, and no others.
func TestStages(t *testing.T) {
	var c Counters
	c.Add(Write, &Times{Received: 100, Admitted: 300, Complete: 700, Started: 1500, Executed: 3100, Weight: 1}, 6300)
	c.Add(Write, &Times{Received: 100, Admitted: 300, Started: 300, Executed: 400, Weight: 1}, 500)
	var s Snapshot
	c.Load(&s)
	for stage, want := range [...]struct {
		n   uint64
		max int64
	}{Parse: {2, 200}, Data: {1, 400}, Wait: {1, 800}, Execute: {2, 1600}, Send: {2, 3200}, Total: {2, 6200}} {
		if h := &s[Write][stage]; h.Count() != want.n || h.Max() != want.max {
			t.Errorf("%v: %d commands, at most %d ns; want %v", Stage(stage), h.Count(), h.Max(), want)
		}
	}
	c.Reset()
	var after Snapshot
	c.Load(&after)
	if after != (Snapshot{}) {
		t.Error("Reset left something")
	}
	after.Add(&s)
	after.Add(&s)
	if h := &after[Write][Total]; h.Count() != 4 || h.Max() != 6200 || h.Mean() != s[Write][Total].Mean() {
		t.Errorf("the sum of two: %d commands, mean %d, at most %d", h.Count(), h.Mean(), h.Max())
	}
}

// TestConcurrent adds from several goroutines: nothing is lost.
func TestConcurrent(t *testing.T) {
	var c Counters
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				c.Add(Other, &Times{Received: 1, Admitted: 1, Started: 1, Executed: 2, Weight: Every}, 3)
			}
		})
	}
	wg.Wait()
	var s Snapshot
	c.Load(&s)
	if n := s[Other][Total].Count(); n != 4000*Every {
		t.Errorf("%d counted, want %d", n, 4000*Every)
	}
}

func TestAllocs(t *testing.T) {
	var c Counters
	one := func() {
		c.Add(Read, &Times{Received: 1, Admitted: 1, Started: 1, Executed: 2, Weight: 1}, 3)
	}
	one()
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var c Counters
	t := Times{Received: 1, Admitted: 100, Started: 100, Executed: 2000, Weight: 1}
	for b.Loop() {
		c.Add(Read, &t, 9000)
	}
}
