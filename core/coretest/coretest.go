// Package coretest drives handlers in tests: through a real core.Unit, with an
// I_T nexus and a transport that live in memory. A test makes a Path to its unit
// and asks it to Do commands.
package coretest

import (
	"bytes"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// Target is the target port that the paths of this package come by.
var Target = &core.TargetPort{
	Target:   "iqn.2026-11.org.targate:test",
	Name:     "iqn.2026-11.org.targate:test,t,0x0001",
	Relative: 1,
	Group:    1,
	Protocol: 5,
}

// NewUnit puts a core.Unit around h and closes it when the test ends. state may be
// nil: nothing can be saved.
func NewUnit(tb testing.TB, h core.Handler, state core.State) *core.Unit {
	tb.Helper()
	u, err := core.NewUnit("test", h, core.UnitOptions{
		State: state,
		Log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := u.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return u
}

// NewPath is a new I_T nexus through Target that sees u at LUN 0. The unit
// attention of its beginning has been taken.
func NewPath(tb testing.TB, u *core.Unit) *core.Path {
	tb.Helper()
	return NewPathAt(tb, Target, core.Mapping{Unit: u})
}

// NewPathAt is NewPath through a chosen port and with chosen rights.
func NewPathAt(tb testing.TB, tp *core.TargetPort, m core.Mapping) *core.Path {
	tb.Helper()
	n := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.org.targate:initiator", Session: "00023d000001"}, tp)
	n.SetLUNs(map[scsi.LUN]core.Mapping{0: m}, true)
	tb.Cleanup(n.Close)
	p := n.Path(0)
	TakeUA(p)
	return p
}

// TakeUA takes the unit attentions that wait on p, and returns their codes in order.
func TakeUA(p *core.Path) []sense.Code {
	var codes []sense.Code
	for {
		r := Do(p, []byte{0x03, 1, 0, 0, 252, 0}, nil, 252)
		e, err := sense.Parse(r.Data)
		if err != nil || e.Key != sense.UnitAttention {
			return codes
		}
		codes = append(codes, e.Code)
	}
}

// AnyLength as the expected length of Data-In stands for a transport that has no
// such field: the CDB alone counts.
const AnyLength = -1

// Result is how a command ended.
type Result struct {
	Status scsi.Status
	Sense  *sense.Error // nil unless CHECK CONDITION
	Raw    []byte       // the sense data as encoded
	Data   []byte       // the Data-In that was moved; nil unless GOOD or CONDITION MET
	// InLen is how many bytes there were to move, were there room (residuals).
	InLen int
}

// Is reports whether the command ended with CHECK CONDITION, k and c.
func (r Result) Is(k sense.Key, c sense.Code) bool {
	return r.Sense != nil && r.Sense.Key == k && r.Sense.Code == c
}

// Good reports whether the status is GOOD.
func (r Result) Good() bool { return r.Status == scsi.Good }

func (r Result) String() string {
	if r.Sense != nil {
		return r.Status.String() + ", " + r.Sense.Error()
	}
	return r.Status.String()
}

// Command is a core.Command with its transport.
type Command struct {
	*core.Command
	out  []byte
	done chan struct{}
}

// NewCommand makes a command for the unit at p. out is the Data-Out that the
// initiator sends; expectedIn is how much Data-In it makes room for, or AnyLength.
func NewCommand(p *core.Path, cdb, out []byte, expectedIn int) *Command {
	c := &Command{Command: &core.Command{Path: p}, out: slices.Clone(out), done: make(chan struct{})}
	c.Port = (*port)(c)
	c.SetCDB(cdb)
	if expectedIn != AnyLength {
		c.HasExpected = true
		c.ExpectedIn, c.ExpectedOut = uint32(expectedIn), uint32(len(out))
	}
	return c
}

// Do runs a command to its end.
func Do(p *core.Path, cdb, out []byte, expectedIn int) Result {
	return NewCommand(p, cdb, out, expectedIn).Run()
}

// Run carries c out to its end. Sense data that cannot be parsed is a panic.
func (c *Command) Run() Result {
	c.Start()
	return c.Wait()
}

// Start submits c; it may run on.
func (c *Command) Start() {
	if err := c.Parse(); err != nil {
		c.Fail(err)
		close(c.done)
		return
	}
	c.Out = c.out[:min(len(c.out), c.OutLen)]
	if c.EnterAndSubmit() {
		close(c.done)
	}
}

// Ended is closed when c has ended.
func (c *Command) Ended() <-chan struct{} { return c.done }

// Wait waits for the end of c.
func (c *Command) Wait() Result {
	<-c.done
	r := Result{Status: c.Status, InLen: c.InLen, Raw: bytes.Clone(c.Sense())}
	switch c.Status {
	case scsi.CheckCondition:
		e, err := sense.Parse(r.Raw)
		if err != nil {
			panic(err)
		}
		r.Sense = e
	case scsi.Good, scsi.ConditionMet:
		if c.Lent != nil {
			r.Data = slices.Concat(c.Lent...)[:c.Moved()]
		} else if c.Moved() > 0 {
			r.Data = bytes.Clone(c.In[:c.Moved()])
		}
	}
	if c.Release != nil {
		c.Release.Release()
	}
	return r
}

// port is the transport of a Command.
type port Command

// Room gives bytes that are not zero, so that a handler that forgets some shows.
func (p *port) Room(_ *core.Command, n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }

func (p *port) Own(c *core.Command) bool {
	c.In = nil
	return true
}

func (p *port) Done(*core.Command) { close(p.done) }

// State is a core.State in memory. The zero value is ready.
type State struct {
	mu     sync.Mutex
	values map[string][]byte
	fail   error
}

// Load returns a copy of a value.
func (s *State) Load(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(v), nil
}

// Save keeps a copy of value, or fails as FailSave says.
func (s *State) Save(name string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	s.values[name] = bytes.Clone(value)
	return nil
}

// FailSave makes every later Save return err; nil ends that.
func (s *State) FailSave(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}
