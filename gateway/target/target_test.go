package target

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
)

// quiet is a handler without commands of its own.
type quiet struct{}

func (quiet) Profile() core.Profile       { return core.Profile{Type: scsi.DirectAccess} }
func (quiet) Attach(core.Host) error      { return nil }
func (quiet) Execute(*core.Command) error { return nil }
func (quiet) Close() error                { return nil }

func newUnit(t *testing.T, name string) *core.Unit {
	t.Helper()
	u, err := core.NewUnit(name, quiet{}, core.UnitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func apply(t *testing.T, g *Gateway, c Config) []*Session {
	t.Helper()
	dropped, err := g.Apply(c)
	if err != nil {
		t.Fatal(err)
	}
	return dropped
}

func open(t *testing.T, tg *Target, initiator, isid string, o OpenOptions) *Session {
	t.Helper()
	s, err := tg.Open(t.Context(), core.InitiatorPort{Name: initiator, Session: isid}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func luns(s *Session) map[scsi.LUN]string {
	m := map[scsi.LUN]string{}
	for _, p := range s.Nexus.Paths() {
		m[p.LUN] = p.Unit().Name()
	}
	return m
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		p    Patterns
		name string
		want bool
	}{
		{nil, "iqn.a", false},
		{Patterns{"iqn.a"}, "iqn.a", true},
		{Patterns{"iqn.A"}, "IQN.a", true},
		{Patterns{"iqn.a"}, "iqn.ab", false},
		{Patterns{"iqn.*:db*"}, "iqn.2026-11.x:db1", true},
		{Patterns{"iqn.*:db*"}, "iqn.2026-11.x:web", false},
		{Patterns{"iqn.?b"}, "iqn.ab", true},
		{Patterns{"iqn.?b"}, "iqn.b", false},
		{Patterns{"*a*a*b"}, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false},
		{Patterns{"**"}, "", true},
		{Patterns{"!iqn.a"}, "iqn.a", false},
		{Patterns{"!iqn.a"}, "iqn.b", true},
		{Patterns{"iqn.*", "!iqn.a*"}, "iqn.ab", false},
		{Patterns{"!iqn.a*", "iqn.*"}, "iqn.b", true},
		{Patterns{"!iqn.a*", "iqn.*"}, "eui.b", false},
	} {
		if got := c.p.Match(c.name); got != c.want {
			t.Errorf("%q matches %q: %v", c.p, c.name, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	v4 := netip.MustParseAddrPort("192.0.2.7:3260")
	v6 := netip.MustParseAddrPort("[2001:db8::7]:3260")
	link := netip.MustParseAddrPort("[fe80::1%eth0]:3260")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:3260")
	for _, c := range []struct {
		name    string
		portals []Portal
		local   netip.AddrPort
		want    []string
	}{
		{"fixed", []Portal{{Listen: "192.0.2.7:3260"}}, v4, []string{"192.0.2.7:3260"}},
		{"wildcard", []Portal{{Listen: "0.0.0.0:3260"}}, v4, []string{"192.0.2.7:3260"}},
		{"no host", []Portal{{Listen: ":3260"}}, v6, []string{"[2001:db8::7]:3260"}},
		{"zone is ours alone", []Portal{{Listen: "[::]:3260"}}, link, []string{"[fe80::1]:3260"}},
		{"mapped", []Portal{{Listen: "[::]:3260"}}, mapped, []string{"192.0.2.7:3260"}},
		{"other family", []Portal{{Listen: "0.0.0.0:3260"}}, v6, nil},
		{"announced", []Portal{{Listen: ":3260", Announce: "san.example:13260"}}, v4, []string{"san.example:13260"}},
		{"own first", []Portal{{Listen: "192.0.2.9:3260"}, {Listen: "192.0.2.7:3260"}}, v4,
			[]string{"192.0.2.7:3260", "192.0.2.9:3260"}},
		{"once", []Portal{{Listen: ":3260"}, {Listen: "192.0.2.7:3260"}}, v4, []string{"192.0.2.7:3260"}},
		{"any port", []Portal{{Listen: "192.0.2.7:0"}}, v4, []string{"192.0.2.7:3260"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := New()
			apply(t, g, Config{Portals: c.portals})
			var got []string
			for _, a := range g.Addresses(c.local) {
				got = append(got, a.HostPort)
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	g := New()
	a, b := newUnit(t, "a"), newUnit(t, "b")
	apply(t, g, Config{Targets: []Spec{
		{Name: "iqn.2026-11.X:One", LUNs: LUNMap{0: {Unit: a}},
			Groups: []Group{{Name: "db", Initiators: Patterns{"iqn.*:db*"}, LUNs: LUNMap{5: {Unit: b}}}}},
		{Name: "iqn.2026-11.x:two",
			Groups: []Group{{Name: "db", Initiators: Patterns{"iqn.*:db*"}, LUNs: LUNMap{}}}},
	}})
	one := g.Target("IQN.2026-11.x:ONE")
	if one == nil || one.Name() != "iqn.2026-11.x:one" {
		t.Fatal("names are not compared in lower case")
	}
	if n := len(g.Visible("iqn.y:web", Portal{})); n != 1 {
		t.Errorf("web sees %d targets", n)
	}
	if n := len(g.Visible("iqn.y:db1", Portal{})); n != 2 {
		t.Errorf("db1 sees %d targets", n)
	}
	if s := open(t, one, "iqn.y:DB1", "1", OpenOptions{}); luns(s)[5] != "b" || s.Group() != "db" {
		t.Errorf("db1 has %v of group %q", luns(s), s.Group())
	}
	if s := open(t, one, "iqn.y:web", "1", OpenOptions{}); luns(s)[0] != "a" || s.Group() != "" {
		t.Errorf("web has %v of group %q", luns(s), s.Group())
	}
	two := g.Target("iqn.2026-11.x:two")
	if _, err := two.Open(t.Context(), core.InitiatorPort{Name: "iqn.y:web"}, OpenOptions{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("web at two: %v", err)
	}
}

// TestApply changes the map of one group: its session notices, the other does not.
func TestApply(t *testing.T) {
	g := New()
	a, b := newUnit(t, "a"), newUnit(t, "b")
	spec := func(db LUNMap) Config {
		return Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{0: {Unit: a}},
			Groups: []Group{{Name: "db", Initiators: Patterns{"*db"}, LUNs: db}}}}}
	}
	apply(t, g, spec(LUNMap{0: {Unit: a}}))
	tg := g.Target("iqn.x:t")
	db, web := open(t, tg, "iqn.y:db", "1", OpenOptions{}), open(t, tg, "iqn.y:web", "1", OpenOptions{})
	path, same := db.Nexus.Path(0), web.Nexus.Path(0)

	if d := apply(t, g, spec(LUNMap{0: {Unit: a}, 1: {Unit: b}})); len(d) != 0 {
		t.Fatalf("dropped %d", len(d))
	}
	if g.Target("iqn.x:t") != tg {
		t.Error("the target is another one")
	}
	if luns(db)[1] != "b" || db.Nexus.Path(0) != path {
		t.Error("db does not have the new LUN, or lost the old one")
	}
	if web.Nexus.Path(0) != same {
		t.Error("web's path changed")
	}

	// The group goes: db falls back to the target's own LUNs.
	apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{7: {Unit: b}}}}})
	if m := luns(db); len(m) != 1 || m[7] != "b" || db.Group() != "" {
		t.Errorf("db has %v of %q", m, db.Group())
	}
}

func TestApplyDrops(t *testing.T) {
	g := New()
	a := newUnit(t, "a")
	var why []string
	o := OpenOptions{Drop: func(w string) { why = append(why, w) }}
	apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{0: {Unit: a}}}}})
	s := open(t, g.Target("iqn.x:t"), "iqn.y:a", "1", o)
	tg := s.Target

	d := apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t",
		Groups: []Group{{Initiators: Patterns{"other"}, LUNs: LUNMap{0: {Unit: a}}}}}}})
	if len(d) != 1 || d[0] != s || len(why) != 1 || len(luns(s)) != 0 {
		t.Errorf("not admitted any more: %v %q %v", d, why, luns(s))
	}
	d = apply(t, g, Config{})
	if len(d) != 1 || g.Target("iqn.x:t") != nil {
		t.Errorf("removed: %v", d)
	}
	if _, err := tg.Open(t.Context(), core.InitiatorPort{Name: "iqn.y:b"}, OpenOptions{}); !errors.Is(err, ErrRemoved) {
		t.Errorf("login at a removed target: %v", err)
	}
	s.Close()
	s.Close()
	<-s.Done()
	if n := len(g.Sessions()); n != 0 {
		t.Errorf("%d sessions left", n)
	}
}

func TestApplyRefuses(t *testing.T) {
	g := New()
	apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:a", LUNs: LUNMap{}}}})
	for name, c := range map[string]Config{
		"twice":            {Targets: []Spec{{Name: "iqn.x:b"}, {Name: "iqn.X:B"}}},
		"same relative id": {Targets: []Spec{{Name: "iqn.x:b", Relative: map[uint16]uint16{1: 9}}, {Name: "iqn.x:c", Relative: map[uint16]uint16{1: 9}}}},
		"zero":             {Targets: []Spec{{Name: "iqn.x:b", Relative: map[uint16]uint16{1: 0}}}},
	} {
		if _, err := g.Apply(c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if g.Target("iqn.x:a") == nil {
			t.Errorf("%s: what ran before is gone", name)
		}
	}
}

func TestReinstatement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{0: {Unit: newUnit(t, "a")}}, MaxSessions: 1}}})
		tg := g.Target("iqn.x:t")
		dropped := make(chan string, 1)
		old := open(t, tg, "iqn.y:a", "1", OpenOptions{Drop: func(w string) { dropped <- w }})
		got := make(chan *Session)
		go func() {
			s, err := tg.Open(context.Background(), core.InitiatorPort{Name: "IQN.y:a", Session: "1"}, OpenOptions{})
			if err != nil {
				t.Error(err)
			}
			got <- s
		}()
		<-dropped
		synctest.Wait() // the new login waits durably
		select {
		case <-got:
			t.Fatal("the new nexus exists before the old is closed")
		default:
		}
		if len(luns(old)) != 1 {
			t.Error("the old nexus was torn down under its owner")
		}
		old.Close()
		if s := <-got; s.TSIH == old.TSIH || s.Nexus == old.Nexus {
			t.Error("the new session is the old one")
		}
	})
}

func TestReinstatementBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{}}}})
		tg := g.Target("iqn.x:t")
		old := open(t, tg, "iqn.y:a", "1", OpenOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := tg.Open(ctx, old.Initiator, OpenOptions{}); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

// TestReinstatementRace logs in as one initiator port from many goroutines: at any
// time one session is there, and in the end all were closed but the last.
func TestReinstatementRace(t *testing.T) {
	g := New()
	apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{0: {Unit: newUnit(t, "a")}}}}})
	tg := g.Target("iqn.x:t")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			drop := make(chan string, 100)
			s, err := tg.Open(context.Background(), core.InitiatorPort{Name: "iqn.y:a"},
				OpenOptions{Drop: func(w string) { drop <- w }})
			if err != nil {
				t.Error(err)
				return
			}
			if n := len(tg.Sessions()); n != 1 {
				t.Errorf("%d sessions", n)
			}
			go func() {
				<-drop
				s.Close()
			}()
		})
	}
	wg.Wait()
	list := g.Sessions()
	if len(list) != 1 {
		t.Fatalf("%d sessions at the end", len(list))
	}
	list[0].Drop("end of test")
	<-list[0].Done()
}

func TestLimits(t *testing.T) {
	g := New()
	apply(t, g, Config{MaxSessions: 3, Targets: []Spec{
		{Name: "iqn.x:a", LUNs: LUNMap{}, MaxSessions: 1}, {Name: "iqn.x:b", LUNs: LUNMap{}}}})
	a, b := g.Target("iqn.x:a"), g.Target("iqn.x:b")
	s := open(t, a, "i", "1", OpenOptions{})
	if _, err := a.Open(t.Context(), core.InitiatorPort{Name: "i", Session: "2"}, OpenOptions{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("above the target's limit: %v", err)
	}
	open(t, b, "i", "1", OpenOptions{})
	open(t, b, "i", "2", OpenOptions{})
	if _, err := b.Open(t.Context(), core.InitiatorPort{Name: "i", Session: "3"}, OpenOptions{}); !errors.Is(err, ErrTooMany) {
		t.Errorf("above the gateway's limit: %v", err)
	}
	s.Close()
	open(t, a, "i", "2", OpenOptions{})
	seen := map[uint16]bool{}
	for _, s := range g.Sessions() {
		if s.TSIH == 0 || seen[s.TSIH] {
			t.Errorf("TSIH %d", s.TSIH)
		}
		seen[s.TSIH] = true
	}
}

// TestPorts checks that a relative target port identifier stays, and is unique.
func TestPorts(t *testing.T) {
	g := New()
	two := []Portal{{Listen: ":3260"}, {Listen: ":3261", Tag: 2}}
	apply(t, g, Config{Portals: two, Targets: []Spec{{Name: "iqn.x:b", LUNs: LUNMap{}, Relative: map[uint16]uint16{1: 2}}}})
	b1, b2 := g.Target("iqn.x:b").Ports()[0], g.Target("iqn.x:b").Ports()[1]
	if b1.Relative != 2 || b2.Relative != 1 || b2.Name != "iqn.x:b,t,0x0002" || b2.Group != 2 {
		t.Fatalf("%+v %+v", b1, b2)
	}
	apply(t, g, Config{Portals: two, Targets: []Spec{{Name: "iqn.x:a", LUNs: LUNMap{}}, {Name: "iqn.x:b", LUNs: LUNMap{}}}})
	if p := g.Target("iqn.x:b").Ports(); p[0] != b1 || p[1] != b2 {
		t.Error("ports of b changed")
	}
	if p := g.Target("iqn.x:a").Ports(); p[0].Relative != 3 || p[1].Relative != 4 {
		t.Errorf("ports of a: %+v %+v", p[0], p[1])
	}
	s := open(t, g.Target("iqn.x:b"), "i", "1", OpenOptions{Portal: two[1]})
	if s.Nexus.Target != b2 {
		t.Error("the session is at the wrong target port")
	}
}
