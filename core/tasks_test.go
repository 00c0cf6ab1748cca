package core_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// gate is a handler whose commands wait until the test lets them go: WRITE(6) until
// release, READ(6) fails, TEST UNIT READY is GOOD at once.
type gate struct {
	control core.Control
	begun   chan *core.Command
	release chan error
}

func (g *gate) Profile() core.Profile {
	row := func(code byte, name string, flags core.Gate) *core.Row {
		return &core.Row{Code: code, Action: core.NoAction, Name: name, Gate: flags,
			Usage: string([]byte{code, 0, 0, 0, 0, 0}), Timeout: 1}
	}
	return core.Profile{Type: scsi.DirectAccess, Control: &g.control, Rows: []*core.Row{
		row(0x00, "TEST UNIT READY", core.Inline),
		row(0x08, "READ(6)", core.Inline|core.ReadsMedium),
		row(0x0a, "WRITE(6)", core.WritesMedium),
	}}
}

func (g *gate) Attach(core.Host) error { return nil }
func (g *gate) Close() error           { return nil }

func (g *gate) Execute(c *core.Command) error {
	switch c.CDB[0] {
	case 0x08:
		return sense.Medium(0, core.ErrQuiet)
	case 0x0a:
		g.begun <- c
		return <-g.release
	}
	return nil
}

// CDBs of gate, with a CONTROL byte.
var (
	ready = []byte{0x00, 0, 0, 0, 0, 0}
	fails = []byte{0x08, 0, 0, 0, 0, 0}
	naca  = []byte{0x08, 0, 0, 0, 0, scsi.NACA}
	waits = []byte{0x0a, 0, 0, 0, 0, 0}
)

// pair is a unit with two nexuses.
func pair(t *testing.T) (g *gate, a, b *core.Path) {
	g = &gate{begun: make(chan *core.Command, 64), release: make(chan error, 64)}
	u := coretest.NewUnit(t, g, nil)
	return g, coretest.NewPath(t, u), coretest.NewPath(t, u)
}

func run(p *core.Path, attr taskset.Attr, cdb []byte) coretest.Result {
	c := coretest.NewCommand(p, cdb, nil, coretest.AnyLength)
	c.Attr = attr
	return c.Run()
}

// held is a command of p that runs until g.release.
func (g *gate) held(p *core.Path) *coretest.Command {
	c := coretest.NewCommand(p, waits, nil, coretest.AnyLength)
	c.Start()
	<-g.begun
	return c
}

// TestACA is one auto contingent allegiance as two initiators see it (SAM-6, 5.9).
func TestACA(t *testing.T) {
	_, a, b := pair(t)
	nacaReady := []byte{0, 0, 0, 0, 0, scsi.NACA}
	if r := run(a, taskset.ACA, ready); !r.Is(sense.IllegalRequest, sense.InvalidMessageError) {
		t.Errorf("an ACA task without ACA: %v", r)
	}
	if r := run(a, taskset.Simple, naca); !r.Is(sense.MediumError, sense.UnrecoveredReadError) {
		t.Fatal(r)
	}
	for _, c := range []struct {
		name string
		p    *core.Path
		attr taskset.Attr
		cdb  []byte
		want scsi.Status
	}{
		{"faulted nexus", a, taskset.Simple, ready, scsi.ACAActive},
		{"faulted nexus, unknown opcode", a, taskset.Simple, []byte{0xff, 0, 0, 0, 0, 0}, scsi.ACAActive},
		{"faulted nexus, ACA task", a, taskset.ACA, ready, scsi.Good},
		{"other nexus", b, taskset.Simple, ready, scsi.Busy},
		{"other nexus with NACA", b, taskset.Simple, nacaReady, scsi.ACAActive},
		{"other nexus, ACA task", b, taskset.ACA, ready, scsi.Busy},
		{"other nexus, unknown opcode", b, taskset.Simple, []byte{0xff, 0, 0, 0, 0, 0}, scsi.Busy},
	} {
		if r := run(c.p, c.attr, c.cdb); r.Status != c.want {
			t.Errorf("%s: %v, want %v", c.name, r, c.want)
		}
	}
	if b.ClearACA(func() { t.Error("another nexus cleared the ACA") }) {
		t.Error("CLEAR ACA of another nexus was not rejected")
	}
	done := false
	if !a.ClearACA(func() { done = true }) || !done {
		t.Error("CLEAR ACA is not done")
	}
	for _, p := range []*core.Path{a, b} {
		if r := run(p, taskset.Simple, ready); !r.Good() {
			t.Errorf("after CLEAR ACA: %v", r)
		}
	}
}

// TestACAEnds: what else ends an ACA (SAM-6, 5.9.4).
func TestACAEnds(t *testing.T) {
	for name, end := range map[string]func(a, b *core.Path){
		"logical unit reset":      func(_, b *core.Path) { b.Reset(func() {}) },
		"loss of the nexus":       func(a, _ *core.Path) { a.Nexus().Close() },
		"an ACA task that failed": func(a, _ *core.Path) { run(a, taskset.ACA, fails) },
	} {
		_, a, b := pair(t)
		run(a, taskset.Simple, naca)
		if r := run(b, taskset.Simple, ready); r.Status != scsi.Busy {
			t.Errorf("%s: no ACA before: %v", name, r)
		}
		end(a, b)
		coretest.TakeUA(b)
		if r := run(b, taskset.Simple, ready); !r.Good() {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// TestACAUnparsed: an unknown opcode with NACA begins an ACA as well, and a CDB whose
// CONTROL byte is not known does not.
func TestACAUnparsed(t *testing.T) {
	_, a, b := pair(t)
	run(a, taskset.Simple, []byte{0xc1, 0, 0, 0, 0, 0xff, 0, 0, 0, 0xff, 0, 0xff})
	if r := run(b, taskset.Simple, ready); !r.Good() {
		t.Error(r)
	}
	run(a, taskset.Simple, []byte{0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, scsi.NACA})
	if r := run(b, taskset.Simple, ready); r.Status != scsi.Busy {
		t.Error(r)
	}
}

// ended waits for c and says what its initiator sees of it.
func ended(c *coretest.Command) string {
	r := c.Wait()
	if r.Status == scsi.TaskAborted && !c.TellAborted {
		return "nothing"
	}
	return r.Status.String()
}

// TestAbortedByOthers: who learns what of commands that another nexus aborts, without
// and with TAS (SAM-6, 5.6).
func TestAbortedByOthers(t *testing.T) {
	cleared := sense.CommandsClearedByInitiator
	for _, c := range []struct {
		name     string
		tas, tst bool
		qerr     uint32
		act      func(p *core.Path, done func())
		own, oth string       // what becomes of a held command of each
		ua       []sense.Code // of the other
	}{
		{"ABORT TASK SET", true, false, 0, (*core.Path).AbortTaskSet, "nothing", "GOOD", nil},
		{"CLEAR TASK SET", false, false, 0, (*core.Path).ClearTaskSet, "nothing", "nothing", []sense.Code{cleared}},
		{"CLEAR TASK SET, TAS", true, false, 0, (*core.Path).ClearTaskSet, "nothing", "TASK ABORTED", nil},
		{"CLEAR TASK SET, TST 001b", true, true, 0, (*core.Path).ClearTaskSet, "nothing", "GOOD", nil},
		{"LOGICAL UNIT RESET", false, false, 0, (*core.Path).Reset, "nothing", "nothing", []sense.Code{sense.BusDeviceReset}},
		{"LOGICAL UNIT RESET, TAS", true, false, 0, (*core.Path).Reset, "nothing", "TASK ABORTED", []sense.Code{sense.BusDeviceReset}},
		{"QERR 0", false, false, 0, fail, "GOOD", "GOOD", nil},
		{"QERR 1", false, false, core.QErrAll, fail, "nothing", "nothing", []sense.Code{cleared}},
		{"QERR 1, TAS", true, false, core.QErrAll, fail, "nothing", "TASK ABORTED", nil},
		{"QERR 1, TST 001b", false, true, core.QErrAll, fail, "nothing", "GOOD", nil},
		{"QERR 3", false, false, core.QErrNexus, fail, "nothing", "GOOD", nil},
		{"QERR 1, unparsed", false, false, core.QErrAll, unparsed, "nothing", "nothing", []sense.Code{cleared}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, a, b := pair(t)
			own, oth := g.held(a), g.held(b)
			g.control.TAS.Store(c.tas)
			g.control.QErr.Store(c.qerr)
			g.control.SetOrder(c.tst, false)
			done := make(chan struct{})
			c.act(a, func() { close(done) })
			g.release <- nil
			g.release <- nil
			if got := ended(own); got != c.own {
				t.Errorf("own command: %s, want %s", got, c.own)
			}
			if got := ended(oth); got != c.oth {
				t.Errorf("command of the other: %s, want %s", got, c.oth)
			}
			<-done
			if got := coretest.TakeUA(b); !slices.Equal(got, c.ua) {
				t.Errorf("unit attentions %v, want %v", got, c.ua)
			}
		})
	}
}

func fail(p *core.Path, done func()) {
	run(p, taskset.Simple, fails)
	done()
}

func unparsed(p *core.Path, done func()) {
	run(p, taskset.Simple, []byte{0xff, 0, 0, 0, 0, 0})
	done()
}

// TestAbortedBeforeItRan: a command that waits in the set is never carried out.
func TestAbortedBeforeItRan(t *testing.T) {
	g, a, _ := pair(t)
	first := g.held(a)
	c := coretest.NewCommand(a, waits, nil, coretest.AnyLength)
	c.Attr = taskset.Ordered
	c.Start()
	found := false
	c.AbortTask(func(f bool) { found = f })
	if !found || ended(c) != "nothing" {
		t.Error("the ORDERED command was not there to be aborted")
	}
	g.release <- nil
	first.Wait()
	if len(g.begun) != 0 {
		t.Error("it was carried out")
	}
}

// TestUAPrecedence: of resets and losses the gravest is reported, first; the others in
// order, each once (SAM-6, 5.14).
func TestUAPrecedence(t *testing.T) {
	const (
		power, reset, loss = sense.PowerOnReset, sense.BusDeviceReset, sense.NexusLoss
		mode, capacity     = sense.ModeParametersChanged, sense.CapacityChanged
		released           = sense.ReservationsReleased
	)
	for _, c := range []struct{ raise, want []sense.Code }{
		{[]sense.Code{mode, capacity, mode}, []sense.Code{mode, capacity}},
		{[]sense.Code{mode, reset, capacity}, []sense.Code{reset, mode, capacity}},
		{[]sense.Code{reset, power, reset}, []sense.Code{power}},
		{[]sense.Code{power, loss, reset, power}, []sense.Code{power}},
		{[]sense.Code{loss, reset}, []sense.Code{reset}},
		{[]sense.Code{sense.PowerOnOccurred, power}, []sense.Code{sense.PowerOnOccurred}},
		{[]sense.Code{released, power}, []sense.Code{power, released}}, // a reset does not say that
	} {
		_, a, b := pair(t)
		for _, code := range c.raise {
			a.Raise(sense.New(sense.UnitAttention, code))
		}
		if got := coretest.TakeUA(a); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.raise, got, c.want)
		}
		if got := coretest.TakeUA(b); got != nil {
			t.Errorf("the other nexus: %v", got)
		}
	}
}

// TestInterlock: UA_INTLCK_CTRL (SPC-6, 7.5.9).
func TestInterlock(t *testing.T) {
	for _, ctl := range []uint32{0, core.KeepUA, core.KeepAllUA} {
		t.Run(fmt.Sprint(ctl), func(t *testing.T) {
			g, a, b := pair(t)
			g.control.Interlock.Store(ctl)
			a.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged))
			for range 2 {
				r := run(a, taskset.Simple, ready)
				if kept := r.Is(sense.UnitAttention, sense.CapacityChanged); !kept && (ctl != 0 || !r.Good()) {
					t.Error(r)
				}
			}
			if r := run(a, taskset.Simple, ready); r.Good() != (ctl == 0) {
				t.Errorf("a third time: %v", r)
			}
			coretest.TakeUA(a)

			run(b, taskset.Simple, naca) // from now on a's commands end with BUSY
			for range 2 {
				if r := run(a, taskset.Simple, ready); r.Status != scsi.Busy {
					t.Error(r)
				}
			}
			b.ClearACA(func() {})
			var want []sense.Code
			if ctl == core.KeepAllUA {
				want = []sense.Code{sense.PreviousBusy}
			}
			if got := coretest.TakeUA(a); !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}

// TestReportLUNsClears: REPORT LUNS on one logical unit clears what the nexus would
// learn by it on all (SPC-6, 6.33).
func TestReportLUNsClears(t *testing.T) {
	_, a, b := pair(t)
	u := a.Unit()
	for _, p := range []*core.Path{a, b} {
		p.Nexus().SetLUNs(map[scsi.LUN]core.Mapping{0: {Unit: u}, 1: {Unit: u}, 2: {Unit: u}}, false)
	}
	coretest.Do(a, []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, nil, 64)
	for _, p := range a.Nexus().Paths() {
		if got := coretest.TakeUA(p); got != nil {
			t.Errorf("LUN %v: %v", p.LUN, got)
		}
	}
	if got := coretest.TakeUA(b); !slices.Equal(got, []sense.Code{sense.ReportedLUNsDataHasChanged}) {
		t.Errorf("the other nexus: %v", got)
	}
}

// TestQueries: QUERY TASK, QUERY TASK SET, QUERY ASYNCHRONOUS EVENT (SAM-6, 7.8 to 7.10).
func TestQueries(t *testing.T) {
	g, a, b := pair(t)
	if a.QueryTaskSet() {
		t.Error("an empty task set has a task")
	}
	c := g.held(a)
	if !c.Present() || !a.QueryTaskSet() || b.QueryTaskSet() {
		t.Error(c.Present(), a.QueryTaskSet(), b.QueryTaskSet())
	}
	g.release <- nil
	c.Wait()
	if c.Present() || a.QueryTaskSet() {
		t.Error("an ended task is still there")
	}
	if _, pending := a.QueryAsyncEvent(); pending {
		t.Error("an event that is none")
	}
	a.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged))
	if info, pending := a.QueryAsyncEvent(); !pending || info != [3]byte{0x16, 0x2a, 0x09} {
		t.Errorf("% x %v", info, pending)
	}
	a.Raise(sense.New(sense.UnitAttention, sense.BusDeviceReset))
	if info, _ := a.QueryAsyncEvent(); info != [3]byte{0x26, 0x29, 0x03} {
		t.Errorf("% x", info)
	}
}

// TestGreedy: a nexus that fills the places for workers delays another by one of them.
func TestGreedy(t *testing.T) {
	g, a, b := pair(t)
	a.Unit().Tasks().SetLimits(0, 4)
	var greedy []*coretest.Command
	for range 32 {
		c := coretest.NewCommand(a, waits, nil, coretest.AnyLength)
		c.Start()
		greedy = append(greedy, c)
	}
	for range 4 {
		<-g.begun
	}
	one := coretest.NewCommand(b, waits, nil, coretest.AnyLength)
	one.Start()
	for range 2 {
		g.release <- nil
	}
	if x, y := <-g.begun, <-g.begun; x.Path != b && y.Path != b {
		t.Error("the command of the other nexus waits behind two")
	}
	for range 31 {
		g.release <- nil
	}
	for _, c := range append(greedy, one) {
		c.Wait()
	}
}

// BenchmarkCommand is what the core adds to a command that its handler ends at once.
func BenchmarkCommand(b *testing.B) {
	g := &gate{}
	p := coretest.NewPath(b, coretest.NewUnit(b, g, nil))
	c := &core.Command{Path: p}
	b.ReportAllocs()
	for b.Loop() {
		c.Path = p
		c.SetCDB(ready)
		if err := c.Parse(); err != nil || !c.EnterAndSubmit() || c.Status != scsi.Good {
			b.Fatal(err, c.Status)
		}
		c.Reset()
	}
}
