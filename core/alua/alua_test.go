package alua_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// TestStates: what each state lets pass (SPC-6, 5.16.2.4 to 5.16.2.8).
func TestStates(t *testing.T) {
	all := map[string][]byte{
		"TEST UNIT READY": ready, "READ(10)": read, "INQUIRY": inquiry,
		"REQUEST SENSE":                     {0x03, 0, 0, 0, 252, 0},
		"REPORT LUNS":                       {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0},
		"REPORT TARGET PORT GROUPS":         rtpg(0, 4096),
		"SET TARGET PORT GROUPS":            stpg(0),
		"MODE SENSE(6)":                     {0x1a, 0, 0x3f, 0, 255, 0},
		"LOG SENSE":                         {0x4d, 0, 0x40, 0, 0, 0, 0, 0, 255, 0},
		"REPORT SUPPORTED OPERATION CODES":  {0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0},
		"MODE SELECT(6), of nothing at all": {0x15, 0x10, 0, 0, 0, 0},
	}
	unavailable := []string{"INQUIRY", "REPORT LUNS", "REPORT TARGET PORT GROUPS", "REQUEST SENSE", "SET TARGET PORT GROUPS"}
	standby := append([]string{"LOG SENSE", "MODE SELECT(6), of nothing at all", "MODE SENSE(6)",
		"REPORT SUPPORTED OPERATION CODES"}, unavailable...)
	var names []string
	for n := range all {
		names = append(names, n)
	}
	for _, c := range []struct {
		state alua.State
		pass  []string
		code  sense.Code
	}{
		{alua.Optimized, names, 0},
		{alua.NonOptimized, names, 0},
		{alua.Standby, standby, sense.PortInStandby},
		{alua.Unavailable, unavailable, sense.PortUnavailable},
		{alua.Offline, unavailable, sense.LogicalUnitOffline},
	} {
		t.Run(c.state.String(), func(t *testing.T) {
			l := newLab(t, alua.Config{Groups: []alua.Group{{ID: 1, State: c.state}, {ID: 2}}})
			for name, cdb := range all {
				r := do(l.one, cdb)
				if pass := slices.Contains(c.pass, name); pass != r.Good() || !pass && !notReady(r, c.code) {
					t.Errorf("%s: %v", name, r)
				}
				if r := do(l.two, cdb); !r.Good() {
					t.Errorf("%s through the other group: %v", name, r)
				}
			}
		})
	}
}

// TestReport: both formats, what a short allocation length cuts, ports in use and
// others, and a group that is in use but not defined (SPC-6, 6.36).
func TestReport(t *testing.T) {
	l := newLab(t, alua.Config{Explicit: true, Implicit: true, TransitionSeconds: 7, Groups: []alua.Group{
		{ID: 2, State: alua.Standby, Ports: []uint16{21, 20}}, {ID: 1, Preferred: true}}})
	coretest.NewPathAt(t, port(5), core.Mapping{Unit: l.one.Unit()})
	groups := "80cf0001 00000001 0000000a" +
		"02cf0002 00000002 00000014 00000015" +
		"00cf0005 00000001 00000032"
	for format, want := range []string{"00000028" + groups, "0000002c 10070000" + groups} {
		b, err := hex.DecodeString(strings.ReplaceAll(want, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		r := do(l.one, rtpg(byte(format), 4096))
		if !bytes.Equal(r.Data, b) {
			t.Errorf("format %d: %v\n%x, want\n%x", format, r, r.Data, b)
		}
		for n := range len(b) {
			if r := do(l.two, rtpg(byte(format), uint32(n))); !r.Good() || !bytes.Equal(r.Data, b[:n]) {
				t.Errorf("format %d, %d bytes: %v, %x", format, n, r, r.Data)
			}
		}
	}
	for format := byte(2); format < 8; format++ {
		r := do(l.one, rtpg(format, 4096))
		if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || r.Sense.Field != 1 || r.Sense.Bit != 7 {
			t.Errorf("format %d: %v", format, r)
		}
	}
}

// TestInquiry: TPGS and the group of VPD page 83h say the same as the report.
func TestInquiry(t *testing.T) {
	for _, c := range []struct {
		explicit, implicit bool
		tpgs               byte
	}{{false, true, 1}, {true, false, 2}, {true, true, 3}} {
		l := newLab(t, alua.Config{Explicit: c.explicit, Implicit: c.implicit})
		if r := do(l.two, inquiry); !r.Good() || r.Data[5]>>4&3 != c.tpgs {
			t.Errorf("TPGS: %v, % x, want %d", r, r.Data, c.tpgs)
		}
		r := do(l.two, []byte{0x12, 1, 0x83, 1, 0, 0})
		if want := []byte{0x51, 0x95, 0, 4, 0, 0, 0, 2}; !bytes.Contains(r.Data, want) {
			t.Errorf("VPD 83h without % x: % x", want, r.Data)
		}
		if r := set(l.one, item{alua.Standby, 2}); r.Good() != c.explicit {
			t.Errorf("SET TARGET PORT GROUPS, TPGS %d: %v", c.tpgs, r)
		} else if !c.explicit && !r.Is(sense.IllegalRequest, sense.InvalidOpcode) {
			t.Error(r)
		}
		if err := l.groups.Set(t.Context(), 2, alua.Unavailable); (err == nil) != c.implicit {
			t.Errorf("Set, TPGS %d: %v", c.tpgs, err)
		} else if err != nil && !errors.Is(err, alua.ErrImplicit) {
			t.Error(err)
		}
	}
}

// TestSet is explicit access: who is told, what is reported (SPC-6, 6.45 and 5.16.2.9).
func TestSet(t *testing.T) {
	l := newLab(t, alua.Config{})
	if r := set(l.one, item{alua.Standby, 1}, item{alua.NonOptimized, 2}); !r.Good() {
		t.Fatal(r)
	}
	if one, two := l.states(); one != alua.Standby || two != alua.NonOptimized {
		t.Error(one, two)
	}
	changed := []sense.Code{sense.AsymmetricStateChanged}
	for name, c := range map[string]struct {
		p    *core.Path
		want []sense.Code
	}{"itself": {l.one, nil}, "the other nexus": {l.two, changed}, "the other unit": {l.other, changed}} {
		if got := coretest.TakeUA(c.p); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if r := do(l.one, rtpg(0, 4096)); r.Data[9] != byte(alua.ByCommand) {
		t.Errorf("STATUS CODE: % x", r.Data)
	}
	if r := do(l.other, ready); !notReady(r, sense.PortInStandby) {
		t.Errorf("the other unit: %v", r)
	}

	// The same once more changes nothing, and tells nobody.
	if r := set(l.two, item{alua.Standby, 1}); !r.Good() || coretest.TakeUA(l.one) != nil {
		t.Errorf("once more: %v", r)
	}
	// From a port in standby one can set, too.
	if r := set(l.one, item{alua.Optimized, 1}); !r.Good() {
		t.Error(r)
	}
	if r := do(l.one, ready); !r.Good() {
		t.Error(r)
	}
}

// TestSetRefuses: lists that change nothing (SPC-6, 6.45).
func TestSetRefuses(t *testing.T) {
	good := item{alua.Standby, 2}
	for _, c := range []struct {
		name  string
		list  []byte
		cut   int // bytes that the initiator does not send
		code  sense.Code
		field int // -1: none
	}{
		{"reserved state", list(good, item{5, 1}), 0, sense.InvalidFieldInParameterList, 8},
		{"LBA dependent", list(item{4, 1}), 0, sense.InvalidFieldInParameterList, 4},
		{"transitioning", list(item{alua.Transitioning, 1}), 0, sense.InvalidFieldInParameterList, 4},
		{"offline", list(item{alua.Offline, 1}), 0, sense.InvalidFieldInParameterList, 4},
		{"no such group", list(good, item{alua.Standby, 9}), 0, sense.InvalidFieldInParameterList, 10},
		{"a group twice", list(good, good), 0, sense.InvalidFieldInParameterList, 10},
		{"header cut", []byte{0, 0, 0}, 0, sense.ParameterListLengthError, -1},
		{"descriptor cut", list(good, good)[:10], 0, sense.ParameterListLengthError, -1},
		{"less sent than announced", list(good), 4, sense.ParameterListLengthError, -1},
	} {
		l := newLab(t, alua.Config{})
		r := coretest.Do(l.one, stpg(len(c.list)), c.list[:len(c.list)-c.cut], 0)
		if !r.Is(sense.IllegalRequest, c.code) || c.field >= 0 && int(r.Sense.Field) != c.field {
			t.Errorf("%s: %v", c.name, r)
		}
		if one, two := l.states(); one != alua.Optimized || two != alua.Optimized {
			t.Errorf("%s: %v, %v", c.name, one, two)
		}
		if got := coretest.TakeUA(l.two); got != nil {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	l := newLab(t, alua.Config{})
	for _, empty := range [][]byte{nil, make([]byte, 4)} {
		if r := coretest.Do(l.one, stpg(len(empty)), empty, 0); !r.Good() {
			t.Errorf("%d bytes without a descriptor: %v", len(empty), r)
		}
	}
}

// TestTransition: while a group changes its new commands are refused, those that run end
// first, and those through another group go on (SPC-6, 5.16.2.8).
func TestTransition(t *testing.T) {
	for _, explicit := range []bool{true, false} {
		l := newLab(t, alua.Config{})
		held := l.hold(l.one)
		unharmed := l.hold(l.two)
		done := make(chan error, 1)
		if explicit {
			b := list(item{alua.Standby, 1})
			c := coretest.NewCommand(l.one, stpg(len(b)), b, 0)
			c.Start()
			go func() {
				if r := c.Wait(); !r.Good() {
					done <- errors.New(r.String())
				}
				close(done)
			}()
		} else {
			go func() { done <- l.groups.Set(t.Context(), 1, alua.Standby) }()
		}
		for l.groups.List()[0].State != alua.Transitioning {
			select {
			case err := <-done:
				t.Fatalf("done before the command that runs: %v", err)
			default:
				runtime.Gosched()
			}
		}
		if r := do(l.one, write); !notReady(r, sense.AsymmetricTransition) {
			t.Errorf("WRITE during the transition: %v", r)
		}
		if r := do(l.other, ready); !notReady(r, sense.AsymmetricTransition) {
			t.Errorf("TEST UNIT READY of the other unit: %v", r)
		}
		if r := do(l.one, rtpg(0, 4096)); !r.Good() || r.Data[4]&0xf != byte(alua.Transitioning) {
			t.Errorf("REPORT TARGET PORT GROUPS: %v, % x", r, r.Data)
		}
		if r := set(l.two, item{alua.Standby, 2}); !notReady(r, sense.AsymmetricTransition) {
			t.Errorf("SET TARGET PORT GROUPS during another: %v", r)
		}
		if r := do(l.two, read); !r.Good() {
			t.Errorf("READ through the other group: %v", r)
		}
		l.release <- struct{}{}
		l.release <- struct{}{} // one is that of group 2
		if r := held.Wait(); !r.Good() {
			t.Errorf("the command that ran: %v", r)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		unharmed.Wait()
		coretest.TakeUA(l.one)
		if r := do(l.one, write); !notReady(r, sense.PortInStandby) {
			t.Errorf("WRITE after the transition: %v", r)
		}
	}
}

// TestTransitionFails: a transition that is cut short or cannot be saved leaves the old
// state, and says so.
func TestTransitionFails(t *testing.T) {
	broken := errors.New("disk full")
	t.Run("save of SET TARGET PORT GROUPS", func(t *testing.T) {
		saved := &coretest.State{}
		l := newLab(t, alua.Config{Saved: saved})
		saved.FailSave(broken)
		if r := set(l.one, item{alua.Standby, 1}); !r.Is(sense.HardwareError, sense.SetTargetPortGroupsFailed) {
			t.Error(r)
		}
		l.old(t, nil)
	})
	t.Run("save of Set", func(t *testing.T) {
		saved := &coretest.State{}
		l := newLab(t, alua.Config{Saved: saved})
		saved.FailSave(broken)
		if err := l.groups.Set(t.Context(), 1, alua.Standby); !errors.Is(err, broken) {
			t.Error(err)
		}
		l.old(t, []sense.Code{sense.ImplicitTransitionFailed})
	})
	t.Run("cancelled", func(t *testing.T) {
		l := newLab(t, alua.Config{})
		held := l.hold(l.one)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.groups.Set(ctx, 1, alua.Standby); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.old(t, []sense.Code{sense.ImplicitTransitionFailed})
		l.release <- struct{}{}
		held.Wait()
	})
	t.Run("aborted", func(t *testing.T) {
		l := newLab(t, alua.Config{})
		held := l.hold(l.one)
		b := list(item{alua.Standby, 1})
		c := coretest.NewCommand(l.one, stpg(len(b)), b, 0)
		c.Start()
		for l.groups.List()[0].State != alua.Transitioning {
			runtime.Gosched()
		}
		done := make(chan struct{})
		c.AbortTask(func(bool) { close(done) })
		<-done
		c.Wait()
		l.old(t, nil)
		l.release <- struct{}{}
		held.Wait()
	})
	t.Run("a command that does not end", func(t *testing.T) {
		l := newLab(t, alua.Config{Timeout: time.Nanosecond})
		held := l.hold(l.one)
		if r := set(l.two, item{alua.Standby, 1}); !r.Is(sense.HardwareError, sense.SetTargetPortGroupsFailed) {
			t.Error(r)
		}
		l.old(t, nil)
		l.release <- struct{}{}
		held.Wait()
	})
}

// old checks that group 1 is as before, and what its nexus is told.
func (l *lab) old(t *testing.T, ua []sense.Code) {
	t.Helper()
	if one, _ := l.states(); one != alua.Optimized {
		t.Errorf("state %v", one)
	}
	if got := coretest.TakeUA(l.one); !slices.Equal(got, ua) {
		t.Errorf("unit attentions %v, want %v", got, ua)
	}
	if r := do(l.one, ready); !r.Good() {
		t.Error(r)
	}
}

// TestAdministration: Set and SetPreferred, and what they refuse.
func TestAdministration(t *testing.T) {
	l := newLab(t, alua.Config{})
	ctx := t.Context()
	if err := l.groups.Set(ctx, 7, alua.Standby); !errors.Is(err, alua.ErrNoGroup) {
		t.Error(err)
	}
	for _, s := range []alua.State{4, alua.Transitioning} {
		if err := l.groups.Set(ctx, 1, s); !errors.Is(err, alua.ErrState) {
			t.Errorf("%v: %v", s, err)
		}
	}
	if got := coretest.TakeUA(l.one); got != nil {
		t.Error(got)
	}
	if err := l.groups.SetPreferred(ctx, 2, true); err != nil {
		t.Error(err)
	}
	for _, p := range []*core.Path{l.one, l.two, l.other} {
		if got := coretest.TakeUA(p); !slices.Equal(got, []sense.Code{sense.AsymmetricStateChanged}) {
			t.Error(got)
		}
	}
	if err := l.groups.Set(ctx, 2, alua.Offline); err != nil {
		t.Error(err)
	}
	g := l.groups.List()[1]
	if g.State != alua.Offline || !g.Preferred || g.Changed != alua.Implicitly {
		t.Errorf("%+v", g)
	}
}

// TestSaved: states outlive a restart; what is not defined any more is passed over, and
// what cannot be read stops the start.
func TestSaved(t *testing.T) {
	saved := &coretest.State{}
	l := newLab(t, alua.Config{Saved: saved})
	if r := set(l.one, item{alua.Standby, 2}); !r.Good() {
		t.Fatal(r)
	}
	if err := l.groups.SetPreferred(t.Context(), 1, false); err != nil {
		t.Fatal(err)
	}
	again, err := alua.New(alua.Config{Explicit: true, Saved: saved,
		Groups: []alua.Group{{ID: 1, Preferred: true}, {ID: 3, State: alua.Unavailable}, {ID: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	g := again.List()
	if g[0].Preferred || g[0].State != alua.Optimized || g[1].State != alua.Standby || g[2].State != alua.Unavailable || g[1].Changed != 0 {
		t.Errorf("%+v", g)
	}
	good, err := saved.Load("target-port-groups")
	if want := []byte{0, 1, 0, 2, 0, 1, 0x00, 0, 0, 2, 0x02, 0}; err != nil || !bytes.Equal(good, want) {
		t.Fatalf("% x %v, want % x", good, err, want)
	}
	if _, err := alua.New(alua.Config{Explicit: true, Saved: saved, Groups: []alua.Group{{ID: 9}}}); err != nil {
		t.Errorf("other groups: %v", err)
	}
	version := binary.BigEndian.AppendUint16(nil, 2)
	for _, bad := range [][]byte{nil, version, good[:3], good[:11], append(bytes.Clone(good), 0), {0, 1, 0, 1, 0, 1, 0x0f, 0}} {
		if err := saved.Save("target-port-groups", bad); err != nil {
			t.Fatal(err)
		}
		if _, err := alua.New(alua.Config{Explicit: true, Saved: saved, Groups: []alua.Group{{ID: 1}}}); err == nil {
			t.Errorf("% x was taken", bad)
		}
	}
}

// TestConfig: what New refuses.
func TestConfig(t *testing.T) {
	for name, cfg := range map[string]alua.Config{
		"a group twice":   {Explicit: true, Groups: []alua.Group{{ID: 1}, {ID: 1}}},
		"a first state":   {Explicit: true, Groups: []alua.Group{{ID: 1, State: alua.Transitioning}}},
		"neither":         {Groups: []alua.Group{{ID: 1}}},
		"too many groups": {Explicit: true, Groups: make([]alua.Group, 257)},
	} {
		if _, err := alua.New(cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	var s alua.State
	for _, name := range []string{"active/optimized", "active/non-optimized", "standby", "unavailable", "offline"} {
		if err := s.UnmarshalText([]byte(name)); err != nil || s.String() != name {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
	if err := s.UnmarshalText([]byte("transitioning")); err == nil {
		t.Error("transitioning was taken")
	}
}

// TestUnitsGo: a unit that is closed is no more told, nor waited for.
func TestUnitsGo(t *testing.T) {
	l := newLab(t, alua.Config{})
	gone := l.other
	if err := gone.Unit().Close(); err != nil {
		t.Fatal(err)
	}
	if r := set(l.one, item{alua.Standby, 1}); !r.Good() {
		t.Error(r)
	}
	if _, pending := gone.QueryAsyncEvent(); pending {
		t.Error("the closed unit has a unit attention")
	}
}

// TestReservedBits sets each bit that no row evaluates.
func TestReservedBits(t *testing.T) {
	coretest.CheckReservedBits(t, newLab(t, alua.Config{}).one)
}

// TestUnderLoad changes states again and again while commands come by both groups: what
// is refused is told the right reason, and no command runs by a port that is not active.
func TestUnderLoad(t *testing.T) {
	l := newLab(t, alua.Config{})
	l.running = func(c *core.Command) {
		if s := l.groups.List()[c.Path.Nexus().Target.Group-1].State; s == alua.Standby {
			t.Error("a WRITE runs through a port in standby")
		}
	}
	stop := make(chan struct{})
	var clients, medium sync.WaitGroup
	for _, p := range []*core.Path{l.one, l.two, l.one, l.two} {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r := do(p, write)
				if !r.Good() && !notReady(r, sense.AsymmetricTransition) && !notReady(r, sense.PortInStandby) &&
					!r.Is(sense.UnitAttention, sense.AsymmetricStateChanged) {
					t.Error(r)
				}
			}
		})
	}
	medium.Go(func() {
		for range l.begun {
			l.release <- struct{}{}
		}
	})
	for i := range 200 {
		id, s := uint16(1+i%2), alua.Standby
		if i%4 > 1 {
			s = alua.Optimized
		}
		if err := l.groups.Set(t.Context(), id, s); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	clients.Wait()
	close(l.begun)
	medium.Wait()
}

// FuzzSet: whatever the list, SET TARGET PORT GROUPS ends with GOOD or ILLEGAL REQUEST,
// and the groups stay in states that there are.
func FuzzSet(f *testing.F) {
	l := newLab(f, alua.Config{})
	f.Add(list())
	f.Add(list(item{alua.Standby, 1}, item{alua.Optimized, 2}))
	f.Add(list(item{alua.Offline, 1}))
	f.Add([]byte{1, 2, 3, 4, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := coretest.Do(l.one, stpg(len(b)), b, 0)
		if !r.Good() && (r.Sense == nil || r.Sense.Key != sense.IllegalRequest) {
			t.Fatal(r)
		}
		for _, g := range l.groups.List() {
			if g.State > alua.Unavailable {
				t.Fatalf("%+v", g)
			}
		}
	})
}

// BenchmarkGate is what a unit's commands pay for its groups.
func BenchmarkGate(b *testing.B) {
	l := newLab(b, alua.Config{})
	s := l.groups.Service()
	c := coretest.NewCommand(l.one, read, nil, coretest.AnyLength)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Gate(c.Command); err != nil {
			b.Fatal(err)
		}
	}
}
