package fault

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// Drive is what an Injector asks of a drive. Its methods are called with no lock held, from
// within the drive's own operations: they do not wait for these.
type Drive interface {
	// RaiseAlert sets TapeAlert flag n, 1 to 64.
	RaiseAlert(n int)
	// RequireCleaning makes the drive ask for a cleaning cartridge.
	RequireCleaning()
}

// Options are what an Injector needs of the program around it.
type Options struct {
	// Drop ends the sessions that see a drive, 0: the changer. It returns at once. nil: there are none.
	Drop func(drive int)
	Log  *slog.Logger // nil: slog.Default
}

// Injector carries out a scenario on the drives of a library. It is safe for concurrent use.
type Injector struct {
	o Options

	mu     sync.Mutex // guards all below
	rules  []*state
	rng    *rand.Rand
	drives map[int]Drive
	moved  map[int]int64 // bytes, by drive
}

// state is a rule and what became of it.
type state struct {
	rule
	begun         map[int]int64 // moved, when the rule was set
	hits, applied uint64
}

// RuleStatus is what became of a rule.
type RuleStatus struct {
	Rule    string `json:"rule"`
	Hits    uint64 `json:"hits"`    // operations for which all its conditions held
	Applied uint64 `json:"applied"` // of these, those that it acted upon
}

// NewInjector makes an Injector without a scenario.
func NewInjector(o Options) *Injector {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Injector{o: o, drives: map[int]Drive{}, moved: map[int]int64{}}
}

// Set begins s in place of what was before; nil ends all faults. Operations that are held go on
// when what holds them ends.
func (in *Injector) Set(s *Scenario) {
	if s == nil {
		s = &Scenario{}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rules = nil
	in.rng = rand.New(rand.NewPCG(s.seed, s.seed))
	for _, r := range s.rules {
		begun := map[int]int64{}
		for d, n := range in.moved {
			begun[d] = n
		}
		in.rules = append(in.rules, &state{rule: r, begun: begun})
	}
}

// Rules tells what became of the rules, in the order of the scenario.
func (in *Injector) Rules() []RuleStatus {
	in.mu.Lock()
	defer in.mu.Unlock()
	list := []RuleStatus{}
	for _, r := range in.rules {
		list = append(list, RuleStatus{r.text, r.hits, r.applied})
	}
	return list
}

// Bind tells the Injector which drive has a number, from 1 on.
func (in *Injector) Bind(drive int, d Drive) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.drives[drive] = d
}

// call is one operation.
type call struct {
	op        Op
	drive     int
	tape      string
	partition int
	object, n uint64 // of the placed operations: the first object, and how many
}

// before is run before c: it waits as long as rules want, and says how c fails. ctx ends the wait.
func (in *Injector) before(ctx context.Context, c call) error {
	in.mu.Lock()
	if len(in.rules) == 0 {
		in.mu.Unlock()
		return nil
	}
	var act []rule
	for _, r := range in.rules {
		if !r.applies(in, c) {
			continue
		}
		act = append(act, r.rule)
		if r.verb.name == "fail" {
			break
		}
	}
	d := in.drives[c.drive]
	in.mu.Unlock()
	for i := range act {
		r := &act[i]
		in.o.Log.Info("a rule applies", "rule", r.text, "op", string(c.op), "drive", c.drive, "cartridge", c.tape,
			"partition", c.partition, "object", c.object)
		if err := in.act(ctx, r, c, d); err != nil {
			return err
		}
	}
	return nil
}

// Robot has rules act on op, OpMove or OpScan, before it is done: of the cartridge of a barcode, from or to a
// drive, 0 for none. The error is how it fails, or that of ctx.
func (in *Injector) Robot(ctx context.Context, op Op, drive int, barcode string) error {
	return in.before(ctx, call{op: op, drive: drive, tape: barcode})
}

// applies says whether r acts on c. The Injector is locked.
func (r *state) applies(in *Injector, c call) bool {
	if !slices.Contains(r.ops, c.op) || r.drive != 0 && r.drive != c.drive {
		return false
	}
	if ok, err := path.Match(r.tape, c.tape); r.tape != "" && (!ok || err != nil) {
		return false
	}
	if r.partition >= 0 || r.ranged {
		if !slices.Contains(placed, c.op) || r.partition >= 0 && r.partition != c.partition ||
			c.object > r.last || c.object+max(c.n, 1)-1 < r.first {
			return false
		}
	}
	if r.after > 0 && in.moved[c.drive]-r.begun[c.drive] < r.after {
		return false
	}
	// A hold looks itself: it waits for as long as its file exists.
	if r.while != "" && r.verb.name != "hold" && !exists(r.while) {
		return false
	}
	r.hits++
	if r.times > 0 && r.applied >= r.times || !r.counted() || r.rate > 0 && in.rng.Float64() >= r.rate {
		return false
	}
	r.applied++
	return true
}

// counted says whether nth and every choose the operation that was counted last.
func (r *state) counted() bool {
	first := r.nth
	if first == 0 {
		first = r.every
	}
	switch {
	case first == 0:
		return true
	case r.every == 0:
		return r.hits == first
	}
	return r.hits >= first && (r.hits-first)%r.every == 0
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// poll is how often a hold looks for its file.
const poll = 10 * time.Millisecond

// act is what r does to c.
func (in *Injector) act(ctx context.Context, r *rule, c call, d Drive) error {
	switch r.verb.name {
	case "delay":
		return sleep(ctx, r.time)
	case "hold":
		for exists(r.while) {
			if err := sleep(ctx, poll); err != nil {
				return err
			}
		}
	case "alert":
		if d != nil {
			d.RaiseAlert(r.flag)
		}
	case "clean":
		if d != nil {
			d.RequireCleaning()
		}
	case "drop":
		if in.o.Drop != nil {
			in.o.Drop(c.drive)
		}
	case "fail":
		return classes[r.class](c)
	}
	return nil
}

// sleep waits for t, or until ctx ends.
func sleep(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Additional sense codes of failures.
const (
	loadOrEjectFailed sense.Code = 0x5300 // MEDIA LOAD OR EJECT FAILED
	positioningError  sense.Code = 0x1502 // POSITIONING ERROR DETECTED BY READ OF MEDIUM
	mechanicalError   sense.Code = 0x1501 // MECHANICAL POSITIONING ERROR
	changerError      sense.Code = 0x3b16 // MECHANICAL POSITIONING OR CHANGER ERROR
	memoryReadError   sense.Code = 0x1112 // AUXILIARY MEMORY READ ERROR
	memoryWriteError  sense.Code = 0x0c0b // AUXILIARY MEMORY WRITE ERROR
)

// errInjected is the cause of every failure, for the log.
var errInjected = errors.New("as the fault scenario says")

// classNames are the classes in the order of the documents.
var classNames = []string{"medium", "hardware", "stuck", "position", "memory", "no-space", "gone"}

// classes make the error of a failure.
var classes = map[string]func(call) error{
	"medium": func(c call) error {
		code := sense.WriteError
		if c.op == OpRead || c.op == OpLocate || c.op == OpLoad {
			code = sense.UnrecoveredReadError
		}
		return injected(sense.MediumError, code)
	},
	"hardware": func(call) error { return injected(sense.HardwareError, sense.InternalTargetFailure) },
	"stuck": func(c call) error {
		if slices.Contains(robotOps, c.op) {
			return injected(sense.HardwareError, mechanicalError)
		}
		return injected(sense.MediumError, loadOrEjectFailed)
	},
	"position": func(c call) error {
		if slices.Contains(robotOps, c.op) {
			return injected(sense.HardwareError, changerError)
		}
		return injected(sense.MediumError, positioningError)
	},
	"memory": func(c call) error {
		code := memoryReadError
		if c.op == OpAttribute {
			code = memoryWriteError
		}
		return injected(sense.MediumError, code)
	},
	"no-space": func(call) error { return errors.Join(medium.ErrNoSpace, errInjected) },
	"gone":     func(call) error { return errors.Join(medium.ErrGone, errInjected) },
}

func injected(k sense.Key, c sense.Code) error { return sense.New(k, c).WithCause(errInjected) }

// count adds to the data that a drive has moved.
func (in *Injector) count(drive, n int) {
	in.mu.Lock()
	in.moved[drive] += int64(n)
	in.mu.Unlock()
}
