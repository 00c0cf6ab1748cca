package fault

import (
	"context"
	"sync"
	"time"

	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/ssc"
)

// Motion has rules act on the mechanics of a drive, before next moves them.
func (in *Injector) Motion(drive int, next ssc.Motion) ssc.Motion { return &motion{in, drive, next} }

type motion struct {
	in    *Injector
	drive int
	next  ssc.Motion
}

// moves are the operations that motions are.
var moves = map[ssc.MoveKind]Op{ssc.MoveLoad: OpLoad, ssc.MoveUnload: OpUnload, ssc.MoveLocate: OpLocate,
	ssc.MoveRewind: OpRewind, ssc.MoveErase: OpErase, ssc.MoveFormat: OpFormat, ssc.MoveClean: OpClean}

func (m *motion) Move(ctx context.Context, v ssc.Move, progress func(float64)) error {
	c := call{op: moves[v.Kind], drive: m.drive, tape: v.Barcode, partition: v.Partition, object: v.ToObject}
	// A long erase and a format are asked about once, when they change the medium.
	if v.Kind != ssc.MoveErase && v.Kind != ssc.MoveFormat {
		if err := m.in.before(ctx, c); err != nil {
			return err
		}
	}
	return m.next.Move(ctx, v, progress)
}

// Still is true while nothing makes motion take time or fail (ssc.Stiller).
func (m *motion) Still() bool {
	m.in.mu.Lock()
	rules := len(m.in.rules)
	m.in.mu.Unlock()
	s, ok := m.next.(ssc.Stiller)
	return rules == 0 && ok && s.Still()
}

// Times are the mechanics of a real drive: how long its motion takes, and how fast data passes
// its heads.
type Times struct {
	timing personality.Timing
	scale  float64
}

// NewTimes makes mechanics as timing says; scale 1 is real time, 0.1 ten times as fast.
func NewTimes(timing personality.Timing, scale float64) *Times { return &Times{timing, scale} }

// start is the least share of its longest time that a motion takes, however short it is.
const start = 0.01

// Move waits (ssc.Motion). Motion along the tape takes time in proportion to the distance, as if it
// had one track.
func (t *Times) Move(ctx context.Context, m ssc.Move, progress func(float64)) error {
	distance := m.To - m.From
	if distance < 0 {
		distance = -distance
	}
	if m.From == m.To && m.FromObject == m.ToObject && (m.Kind == ssc.MoveLocate || m.Kind == ssc.MoveRewind) {
		return nil // already there
	}
	share := start + (1-start)*min(distance, 1)
	var d time.Duration
	switch m.Kind {
	case ssc.MoveLoad:
		d = t.timing.Load + t.timing.Thread
	case ssc.MoveUnload:
		d = t.timing.Unload
	case ssc.MoveLocate:
		d = time.Duration(float64(t.timing.Locate) * share)
	case ssc.MoveRewind:
		d = time.Duration(float64(t.timing.Rewind) * share)
	case ssc.MoveErase, ssc.MoveFormat:
		d = time.Duration(float64(t.timing.Locate) * share) // one pass, at the least
	case ssc.MoveClean:
		d = t.timing.Load + t.timing.Unload
	}
	return t.wait(ctx, time.Duration(float64(d)*t.scale), progress)
}

// wait waits for d and reports a hundred times.
func (t *Times) wait(ctx context.Context, d time.Duration, progress func(float64)) error {
	const steps = 100
	for i := range steps {
		if err := sleep(ctx, d/steps); err != nil {
			return err
		}
		progress(float64(i+1) / steps)
	}
	return nil
}

// Medium makes data pass the heads at the drive's native rate: what a block takes of the
// capacity after compression, not its length, counts. A drive's buffer evens bursts out.
func (t *Times) Medium(m medium.Medium, buffer int64) medium.Medium {
	if t.timing.Rate == 0 || t.scale == 0 {
		return m
	}
	return &paced{Medium: m, rate: float64(t.timing.Rate) / t.scale, buffer: buffer}
}

// paced is a medium as fast as its drive.
type paced struct {
	medium.Medium
	rate   float64 // bytes per second
	buffer int64   // bytes

	mu   sync.Mutex // guards all below
	free time.Time  // when the heads have done all that was given to them
	used int64      // Partition.Used at the last look
	part int
}

// pass waits until at most the buffer is ahead of the heads, with n bytes more.
func (p *paced) pass(n int64) {
	if n <= 0 {
		return
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	ahead := p.free.Sub(now) - time.Duration(float64(p.buffer)/p.rate*float64(time.Second))
	p.mu.Unlock()
	if ahead > 0 {
		time.Sleep(ahead)
	}
}

func (p *paced) Write(part int, at uint64, block []byte, r medium.Recording) error {
	if err := p.Medium.Write(part, at, block, r); err != nil {
		return err
	}
	used := p.Medium.Partition(part).Used
	p.mu.Lock()
	n := used - p.used
	if p.part != part || n < 0 {
		n = int64(len(block))
	}
	p.used, p.part = used, part
	p.mu.Unlock()
	p.pass(n)
	return nil
}

func (p *paced) Read(part int, object uint64, dst []byte, key *medium.Key) (medium.Object, error) {
	o, err := p.Medium.Read(part, object, dst, key)
	if s := p.Medium.Partition(part); err == nil && len(dst) > 0 && s.Written > 0 {
		p.pass(int64(float64(o.Length) * min(1, float64(s.Stored)/float64(s.Written))))
	}
	return o, err
}

// Flush waits until the heads have done all.
func (p *paced) Flush() error {
	err := p.Medium.Flush()
	p.mu.Lock()
	left := time.Until(p.free)
	p.mu.Unlock()
	if left > 0 {
		time.Sleep(left)
	}
	return err
}
