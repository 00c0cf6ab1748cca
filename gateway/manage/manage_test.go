package manage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/taskset"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/manage/statedir"
	"github.com/targate/targate/gateway/target"
)

// fakeDisk is a handler that remembers what was done to it.
type fakeDisk struct {
	world *world
	cfg   DeviceConfig
	size  int64
}

func (d *fakeDisk) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, BlockSize: func() uint32 { return 512 }}
}
func (d *fakeDisk) Attach(core.Host) error      { return nil }
func (d *fakeDisk) Execute(*core.Command) error { return nil }
func (d *fakeDisk) Blocks() uint64              { return uint64(d.size) / 512 }

func (d *fakeDisk) Close() error {
	d.world.note("close " + d.cfg.Name)
	return nil
}

func (d *fakeDisk) Resize(n int64) error {
	if d.world.failResize {
		return errors.New("no room")
	}
	d.world.note(fmt.Sprintf("resize %s %d", d.cfg.Name, n))
	d.size = n
	return nil
}

// world is a gateway, a door and devices that are not real, and a log of what happens to
// them.
type world struct {
	t          *testing.T
	dir        string
	state      *statedir.Dir
	gateway    *target.Gateway
	mg         *Manager
	failOpen   string // device
	failListen string // address
	failResize bool

	mu      sync.Mutex
	log     []string
	open    map[string]bool // portals
	started map[string]int  // portals that let initiators in, with the targets there were
	opened  map[string]DeviceConfig
}

func (w *world) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, s)
}

// took returns the log since the last call.
func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.log
	w.log = nil
	return l
}

func (w *world) Listen(p target.Portal) error {
	if p.Listen == w.failListen {
		return errors.New("address already in use")
	}
	for addr := range w.open {
		if config.Overlap(addr, p.Listen) {
			return errors.New("address already in use")
		}
	}
	w.open[p.Listen] = true
	w.note("listen " + p.Listen)
	return nil
}

// Start notes how many targets a portal has when its first initiator may come.
func (w *world) Start() {
	for addr := range w.open {
		if _, ok := w.started[addr]; !ok {
			w.started[addr] = len(w.gateway.Targets())
		}
	}
}

func (w *world) Close(addr string) error {
	if !w.open[addr] {
		return errors.New("not open")
	}
	delete(w.open, addr)
	w.note("unlisten " + addr)
	return nil
}

func (w *world) Shutdown(context.Context) error {
	w.note("shutdown")
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), open: map[string]bool{}, started: map[string]int{}}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.state, err = statedir.Open(filepath.Join(w.dir, "state")); err != nil {
		w.t.Fatal(err)
	}
	w.gateway = target.New()
	w.opened = map[string]DeviceConfig{}
	w.mg, err = New(Options{Gateway: w.gateway, Door: w, State: w.state,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Quiet: time.Second,
		OpenCollection: w.openShelf,
		OpenDevice: func(c DeviceConfig) (core.Handler, error) {
			if c.Name == w.failOpen {
				return nil, errors.New("no such file")
			}
			w.note("open " + c.Name)
			w.opened[c.Name] = c
			size, _ := c.Values["size"].(int64)
			return &fakeDisk{w, c, size}, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// restart is a stop and a start with the same state.
func (w *world) restart() {
	w.t.Helper()
	if err := w.mg.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.state.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open = map[string]bool{}
	w.took()
	w.start()
}

var kinds = []config.Kind{{Name: "mem", Keys: []config.Key{
	{Name: "size", Type: config.Size}, {Name: "thin", Type: config.Bool, Default: true}}}}

func (w *world) parse(text string) *config.Model {
	w.t.Helper()
	m, err := config.Parse("x.yaml", []byte(text), config.Options{Kinds: kinds, Collections: collections, Dir: w.dir})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// apply applies the configuration and returns the changes.
func (w *world) apply(text string) []string {
	w.t.Helper()
	d, err := w.mg.Apply(w.t.Context(), w.parse(text))
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, c := range d.Changes {
		list = append(list, c.String())
	}
	return list
}

func (w *world) want(what string, got []string, want ...string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.t.Errorf("%s:\n got  %q\n want %q", what, got, want)
	}
}

func (w *world) session(iqn, initiator string) *target.Session {
	w.t.Helper()
	s, err := w.gateway.Target(iqn).Open(w.t.Context(), core.InitiatorPort{Name: initiator}, target.OpenOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

const head = "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\n"

const base = head + `
devices:
  - {name: a, handler: mem, size: 1MiB}
  - {name: b, handler: mem, size: 1MiB}
targets:
  - {iqn: 'iqn.2026-11.x:t', luns: {0: a}}
  - {iqn: 'iqn.2026-11.x:u', luns: {0: b}}
`

func TestApply(t *testing.T) {
	w := newWorld(t)
	w.want("first", w.apply(base), "add device a: mem", "add device b: mem", "add portal 127.0.0.1:3260",
		"add target iqn.2026-11.x:t", "add target iqn.2026-11.x:u")
	w.want("done", w.took(), "open a", "open b", "listen 127.0.0.1:3260")
	if n := w.started["127.0.0.1:3260"]; n != 2 {
		t.Errorf("the portal let initiators in when there were %d targets", n)
	}
	w.want("again", w.apply(base))
	w.want("done again", w.took())

	s, u := w.session("iqn.2026-11.x:t", "i"), w.session("iqn.2026-11.x:u", "i")
	path, other := s.Nexus.Path(0), u.Nexus.Path(0)
	w.want("remap, add and grow", w.apply(head+`
devices:
  - {name: a, handler: mem, size: 2MiB, thin: true}
  - {name: b, handler: mem, size: 1MiB}
  - {name: c, handler: mem, size: 1MiB}
targets:
  - iqn: iqn.2026-11.x:t
    luns: {0: a, 1: {device: c, read_only: true}}
    groups: [{name: g, initiators: ["j*"], luns: {0: b}}]
  - {iqn: 'iqn.2026-11.x:u', luns: {0: b}}
`), "change device a: size 2MiB", "add device c: mem",
		"change target iqn.2026-11.x:t: luns +1 c read-only; group g added")
	w.want("done", w.took(), "open c", "resize a 2097152")
	if s.Nexus.Path(0) != path || s.Nexus.Path(1).Unit().Name() != "c" || !s.Nexus.Path(1).ReadOnly {
		t.Error("the session does not see what it should")
	}
	if u.Nexus.Path(0) != other {
		t.Error("a session whose LUNs did not change felt it")
	}

	w.want("remove", w.apply(head+`
devices:
  - {name: a, handler: mem, size: 2MiB}
targets:
  - {iqn: 'iqn.2026-11.x:t', luns: {0: a}, alias: x, max_sessions: 3}
`), "remove device b", "remove device c", "remove target iqn.2026-11.x:u",
		"change target iqn.2026-11.x:t: alias; max_sessions; luns -1 c read-only; group g removed")
	closed := w.took() // each when it is quiet, so in any order
	slices.Sort(closed)
	w.want("done", closed, "close b", "close c")
	if s.Nexus.Path(0) != path || len(u.Nexus.Paths()) != 0 {
		t.Error("the wrong session lost its LUN")
	}
	if err := w.mg.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("end", w.took(), "shutdown", "close a")
	if _, err := w.mg.Apply(t.Context(), w.parse(base)); err == nil {
		t.Error("applied after the end")
	}
}

// TestApplyFails wants what ran before to go on, whatever fails.
func TestApplyFails(t *testing.T) {
	const more = `version: 1
iscsi: {portals: ['127.0.0.1:3260', '127.0.0.1:3261', '127.0.0.1:3262']}
devices:
  - {name: a, handler: mem, size: 2MiB}
  - {name: c, handler: mem, size: 1MiB}
  - {name: d, handler: mem, size: 1MiB}
targets:
  - {iqn: 'iqn.2026-11.x:t', luns: {0: c}}
`
	for _, c := range []struct {
		name  string
		set   func(*world)
		fault string
		done  []string
	}{
		{"open", func(w *world) { w.failOpen = "d" },
			"x.yaml:6:12: device d: no such file", []string{"open c", "close c"}},
		{"listen", func(w *world) { w.failListen = "127.0.0.1:3262" },
			"x.yaml:2:55: portal 127.0.0.1:3262: address already in use",
			[]string{"open c", "open d", "listen 127.0.0.1:3261", "close c", "close d", "unlisten 127.0.0.1:3261"}},
		{"grow", func(w *world) { w.failResize = true },
			"x.yaml:4:35: device a: growing to 2MiB: no room",
			[]string{"open c", "open d", "listen 127.0.0.1:3261", "listen 127.0.0.1:3262",
				"close c", "close d", "unlisten 127.0.0.1:3261", "unlisten 127.0.0.1:3262"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.apply(base)
			w.took()
			s := w.session("iqn.2026-11.x:t", "i")
			path := s.Nexus.Path(0)
			c.set(w)
			_, err := w.mg.Apply(t.Context(), w.parse(more))
			if err == nil || err.Error() != c.fault {
				t.Fatalf("%v, want %s", err, c.fault)
			}
			got := w.took()
			// What is taken back is taken back in any order.
			n := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "close") })
			slices.Sort(got[n:])
			slices.Sort(c.done[n:])
			w.want("done", got, c.done...)
			if s.Nexus.Path(0) != path || w.gateway.Target("iqn.2026-11.x:u") == nil || len(w.gateway.Portals()) != 1 {
				t.Error("what ran before does not go on")
			}
			w.failOpen, w.failListen, w.failResize = "", "", false
			w.apply(more)
		})
	}
}

// TestConflicts asks for what only a restart, or another name, can give.
func TestConflicts(t *testing.T) {
	w := newWorld(t)
	w.apply(base)
	w.took()
	for name, c := range map[string]struct{ text, want string }{
		"shrink":    {strings.Replace(base, "a, handler: mem, size: 1MiB", "a, handler: mem, size: 512KiB", 1), "cannot shrink from 1MiB to 512KiB"},
		"key":       {strings.Replace(base, "a, handler: mem,", "a, handler: mem, thin: false,", 1), "cannot change thin while it exists"},
		"state_dir": {base + "state_dir: ./other\n", "state_dir cannot change"},
		"memory":    {base + "memory: 2GiB\n", "memory cannot change from 1GiB"},
		"api":       {base + "api: {listen: ['127.0.0.1:8480']}\n", "api.listen cannot change"},
	} {
		_, err := w.mg.Apply(t.Context(), w.parse(c.text))
		var conflict *Conflict
		if !errors.As(err, &conflict) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.want("done", w.took())
}

func TestPortals(t *testing.T) {
	w := newWorld(t)
	conf := func(portals string) string {
		return "version: 1\niscsi: {portals: [" + portals + "]}\ntargets: [{iqn: 'iqn.2026-11.x:t', luns: {}}]\n"
	}
	w.apply(conf("'127.0.0.1:1', '127.0.0.1:2'"))
	w.took()
	w.want("another", w.apply(conf("'127.0.0.1:2', '127.0.0.1:3'")), "remove portal 127.0.0.1:1", "add portal 127.0.0.1:3")
	w.want("done", w.took(), "listen 127.0.0.1:3", "unlisten 127.0.0.1:1")
	w.want("wildcard", w.apply(conf("':3'")), "remove portal 127.0.0.1:2", "remove portal 127.0.0.1:3", "add portal :3")
	w.want("in the way first", w.took(), "unlisten 127.0.0.1:3", "listen :3", "unlisten 127.0.0.1:2")
	w.want("announce", w.apply(conf("{listen: ':3', announce: 'a:1'}")), "change portal :3: announce a:1")
	w.want("same listener", w.took())
	w.want("tag", w.apply(conf("{listen: ':3', announce: 'a:1', tag: 2}")), "remove portal :3", "add portal :3")
	w.want("another listener", w.took(), "unlisten :3", "listen :3")

	w.failListen = "127.0.0.1:3"
	if _, err := w.mg.Apply(t.Context(), w.parse(conf("'127.0.0.1:3'"))); err == nil {
		t.Fatal("no error")
	}
	w.want("opened again", w.took(), "unlisten :3", "listen :3")
}

// TestIdentity restarts, and takes a device out and in: it is the same device.
func TestIdentity(t *testing.T) {
	w := newWorld(t)
	w.apply(base)
	a, b := w.opened["a"], w.opened["b"]
	if a.Identity.Serial == b.Identity.Serial || len(a.Identity.Serial) != 16 || a.Identity.NAA[0]>>4 != 3 {
		t.Errorf("%+v %+v", a.Identity, b.Identity)
	}
	if st, err := os.Stat(a.Dir); err != nil || !st.IsDir() {
		t.Error(err)
	}
	relative := func() map[string]uint16 {
		m := map[string]uint16{}
		for _, tg := range w.gateway.Targets() {
			m[tg.Name()] = tg.Ports()[0].Relative
		}
		return m
	}
	ports := relative()
	w.apply(head)
	w.restart()
	w.apply(strings.Replace(base, "targets:", "targets:\n  - {iqn: 'iqn.2026-11.x:0', luns: {}}", 1))
	if w.opened["a"].Identity != a.Identity || w.opened["b"].Identity != b.Identity {
		t.Error("another identity")
	}
	for iqn, id := range relative() {
		if ports[iqn] != id && (ports[iqn] != 0 || id != 3) {
			t.Errorf("%s has relative target port identifier %d, had %d", iqn, id, ports[iqn])
		}
	}
}

func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	w.apply(base)
	w.restart()
	path := filepath.Join(w.dir, "state", "devices", "a", "identity")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = w.mg.Apply(t.Context(), w.parse(base))
	if err == nil || !strings.Contains(err.Error(), "CRC32C") || !strings.HasPrefix(err.Error(), "x.yaml:") {
		t.Errorf("a damaged identity: %v", err)
	}
}

func TestSavedValues(t *testing.T) {
	w := newWorld(t)
	w.apply(base)
	st := w.mg.devices["a"].unit.State()
	if err := st.Save("mode", []byte{1, 2}); err != nil {
		t.Fatal(err)
	}
	if err := st.Save("../../escape", nil); err == nil {
		t.Error("a name that leaves the directory")
	}
	w.restart()
	w.apply(base)
	if b, err := w.mg.devices["a"].unit.State().Load("mode"); err != nil || !slices.Equal(b, []byte{1, 2}) {
		t.Errorf("%v %v", b, err)
	}
	if _, err := w.mg.devices["b"].unit.State().Load("mode"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of another device: %v", err)
	}
}

// task is a command that stays in a task set until it is ended.
type task struct{ taskset.Task }

func (t *task) TaskEnabled(*taskset.Task) {}
func (t *task) TaskAborted(*taskset.Task) {}
func (t *task) TaskCancel(*taskset.Task)  {}

// TestRemoveInUse removes a device that has a command: it is unmapped at once and closed
// when the command has ended.
func TestRemoveInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.apply(base)
		w.took()
		s := w.session("iqn.2026-11.x:t", "i")
		set := s.Nexus.Path(0).Unit().Tasks()
		c := &task{}
		c.Owner = c
		set.Admit(&c.Task, true)

		without := strings.Replace(strings.Replace(base, "  - {name: a, handler: mem, size: 1MiB}\n", "", 1), "{0: a}", "{}", 1)
		w.apply(without)
		if len(s.Nexus.Paths()) != 0 {
			t.Error("still mapped")
		}
		w.want("done", w.took())
		if st := w.mg.Status(); !slices.Equal(st.Closing, []string{"a"}) {
			t.Errorf("closing %v", st.Closing)
		}
		_, err := w.mg.Apply(t.Context(), w.parse(base))
		var conflict *Conflict
		if !errors.As(err, &conflict) {
			t.Errorf("added again while it closes: %v", err)
		}
		time.Sleep(2 * patience) // of the test's own clock
		synctest.Wait()
		w.want("the command did not end", w.took())
		if !c.Aborted() {
			t.Error("the command was not aborted")
		}
		set.End(&c.Task)
		synctest.Wait()
		w.want("closed", w.took(), "close a")
		w.apply(base)
		w.want("again", w.took(), "open a")
		if err := w.mg.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	if file, text := w.mg.Config(); file != "" || text != nil {
		t.Error("a configuration before the first")
	}
	w.apply(base)
	w.session("iqn.2026-11.x:t", "iqn.y:i")
	s := w.mg.Status()
	if s.Targets != 2 || s.Sessions != 1 || s.Devices != 2 || s.Config != "x.yaml" || len(s.Portals) != 1 {
		t.Errorf("%+v", s)
	}
	d := w.mg.Devices()
	if len(d) != 2 || d[0].Name != "a" || d[0].Size != 1<<20 || d[0].BlockSize != 512 ||
		!slices.Equal(d[0].Mapped, []string{"iqn.2026-11.x:t 0"}) || d[0].NAA != d[0].Serial {
		t.Errorf("%+v", d)
	}
	if tg := w.mg.Targets(); len(tg) != 2 || tg[0].Sessions != 1 || tg[0].LUNs[0] != (LUNStatus{0, "a", false}) {
		t.Errorf("%+v", tg)
	}
	if se := w.mg.Sessions(); len(se) != 1 || se[0].Initiator != "iqn.y:i" || len(se[0].LUNs) != 1 {
		t.Errorf("%+v", se)
	}
	if file, text := w.mg.Config(); file != "x.yaml" || string(text) != base {
		t.Errorf("%s %q", file, text)
	}
}
