// Package latency counts how long commands take, stage by stage, in histograms.
//
//	received --parse--> admitted --data--> complete --wait--> started --execute--> executed --send--> sent
//
// Reading the clock costs as much as carrying a small READ out, so not every command is
// measured. Whoever receives commands measures one in Every of those that stay on its
// goroutine, at random gaps, and each counts Every times; a command that leaves it, for its
// data, its turn or a worker, pays for more than a clock anyway, and is always measured. So
// the percentiles are those of all commands, and the maximum is that of what was measured.
package latency

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Every is how many commands that stay on their receiver's goroutine one measured stands for.
const Every = 64

// Stage is a part of a command's life.
type Stage uint8

// Stages.
const (
	Parse Stage = iota
	Data
	Wait
	Execute
	Send
	Total
	stages
)

// Stages is the table of stages, in the order in which a command goes through them. One that
// a command does not go through, as READ has no data to wait for, does not count it.
var Stages = [stages]struct{ Name, Doc string }{
	Parse:   {"parse", "received from the network until in the task set: PDUs before it in one batch, too"},
	Data:    {"data", "in the task set until its Data-Out has come, when R2T or unsolicited data bring it"},
	Wait:    {"wait", "complete until started: the order of the task set, an ACA, a place among the workers"},
	Execute: {"execute", "gates and handler: the device"},
	Send:    {"send", "executed until its response, data included, has been given to the network"},
	Total:   {"total", "received until sent"},
}

func (s Stage) String() string { return Stages[s].Name }

// Class is a kind of command.
type Class uint8

// Classes.
const (
	Read  Class = iota // reads the medium, and sends what it read
	Write              // writes it
	Other
	classes
)

// Classes are their names.
var Classes = [classes]string{Read: "read", Write: "write", Other: "other"}

func (c Class) String() string { return Classes[c] }

// Times are the instants in the life of one command, as Now told them. Zero: there was none.
type Times struct {
	Received, Admitted, Complete, Started, Executed int64
	// Weight is how many commands this one stands for. 0: it is not measured.
	Weight uint32
}

var epoch = time.Now().Add(-1) // so that Now is never 0

// Now is the monotonic clock in nanoseconds.
func Now() int64 { return int64(time.Since(epoch)) }

// Buckets are a quarter of a power of two wide: what a histogram says is off by no more than
// an eighth. The first ones are 64 ns wide, the last one takes all from 64 s on.
const (
	unitBits = 6
	subBits  = 2
	subs     = 1 << subBits
	buckets  = (36-unitBits-subBits+1)*subs + 1
)

func bucketOf(ns int64) int {
	v := uint64(max(ns, 0)) >> unitBits
	if v < subs {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return min((shift<<subBits)+int(v>>shift), buckets-1)
}

// bounds are the first nanosecond of bucket i and of the one after.
func bounds(i int) (lo, hi int64) {
	at := func(i int) int64 {
		if i < subs {
			return int64(i) << unitBits
		}
		shift := i>>subBits - 1
		return int64(i-shift<<subBits) << (shift + unitBits)
	}
	return at(i), at(i + 1)
}

// Counters are the histograms of one path. The zero value is ready; it grows when a class of
// command is first measured. All methods may be called concurrently.
type Counters struct {
	class [classes]atomic.Pointer[[stages]histogram]
}

type histogram struct {
	count [buckets]atomic.Uint64
	sum   atomic.Int64
	max   atomic.Int64
}

func (h *histogram) add(ns int64, weight uint32) {
	h.count[bucketOf(ns)].Add(uint64(weight))
	h.sum.Add(ns * int64(weight))
	for {
		m := h.max.Load()
		if ns <= m || h.max.CompareAndSwap(m, ns) {
			return
		}
	}
}

// Add counts a command that was executed, and whose response was sent.
func (c *Counters) Add(class Class, t *Times, sent int64) {
	p := c.class[class].Load()
	for p == nil {
		c.class[class].CompareAndSwap(nil, new([stages]histogram))
		p = c.class[class].Load()
	}
	ready := max(t.Admitted, t.Complete)
	p[Parse].add(t.Admitted-t.Received, t.Weight)
	if t.Complete != 0 {
		p[Data].add(t.Complete-t.Admitted, t.Weight)
	}
	if t.Started > ready {
		p[Wait].add(t.Started-ready, t.Weight)
	}
	p[Execute].add(t.Executed-t.Started, t.Weight)
	p[Send].add(sent-t.Executed, t.Weight)
	p[Total].add(sent-t.Received, t.Weight)
}

// Load adds what was counted to s.
func (c *Counters) Load(s *Snapshot) {
	for class := range c.class {
		p := c.class[class].Load()
		if p == nil {
			continue
		}
		for stage := range p {
			h := &s[class][stage]
			for i := range p[stage].count {
				n := p[stage].count[i].Load()
				h.count[i] += n
				h.n += n
			}
			h.sum += p[stage].sum.Load()
			h.max = max(h.max, p[stage].max.Load())
		}
	}
}

// Empty reports whether nothing was counted yet.
func (c *Counters) Empty() bool {
	for i := range c.class {
		if c.class[i].Load() != nil {
			return false
		}
	}
	return true
}

// Reset forgets what was counted. What is counted at the same moment may be lost.
func (c *Counters) Reset() {
	for i := range c.class {
		c.class[i].Store(nil)
	}
}

// Snapshot is what Counters held at one moment, or the sum of several.
type Snapshot [classes][stages]Histogram

// Add sums two snapshots.
func (s *Snapshot) Add(o *Snapshot) {
	for class := range o {
		for stage := range o[class] {
			h, g := &s[class][stage], &o[class][stage]
			for i, n := range g.count {
				h.count[i] += n
			}
			h.n += g.n
			h.sum += g.sum
			h.max = max(h.max, g.max)
		}
	}
}

// Histogram says how long one stage of one class took.
type Histogram struct {
	count [buckets]uint64
	n     uint64
	sum   int64
	max   int64
}

// Count is how many commands went through the stage.
func (h *Histogram) Count() uint64 { return h.n }

// Mean is the average in nanoseconds.
func (h *Histogram) Mean() int64 {
	if h.n == 0 {
		return 0
	}
	return h.sum / int64(h.n)
}

// Max is the longest in nanoseconds that was measured.
func (h *Histogram) Max() int64 { return h.max }

// Quantile is the time in nanoseconds that the share q of the commands, 0 to 1, did not
// exceed: the middle of its bucket, and never more than Max.
func (h *Histogram) Quantile(q float64) int64 {
	rank := uint64(q * float64(h.n))
	if float64(rank) < q*float64(h.n) || rank == 0 {
		rank++
	}
	var seen uint64
	for i, n := range h.count {
		if seen += n; seen >= rank && n > 0 {
			lo, hi := bounds(i)
			return min((lo+hi)/2, h.max)
		}
	}
	return h.max
}

// Bucket is a part of a histogram: how many commands took less than Below nanoseconds and no
// less than the bucket before says.
type Bucket struct {
	Below int64  `json:"below_ns"`
	Count uint64 `json:"count"`
}

// Buckets are those that are not empty. The last one that there can be has no end: its Below
// is what Max says.
func (h *Histogram) Buckets() []Bucket {
	var list []Bucket
	for i, n := range h.count {
		if n == 0 {
			continue
		}
		_, below := bounds(i)
		if i == buckets-1 {
			below = h.max + 1
		}
		list = append(list, Bucket{below, n})
	}
	return list
}
