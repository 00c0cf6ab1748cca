package manage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage/config"
)

// collections are shelves of so many boxes, each a disk.
var collections = []config.Collection{{Key: "shelves", Noun: "shelf",
	Keys: []config.Key{
		{Name: "boxes", Type: config.Int, Required: true},
		{Name: "colour", Type: config.String, Default: "red"},
	},
	Members: func(e *config.Entry) (names []string) {
		for i := range e.Values["boxes"].(int64) {
			names = append(names, fmt.Sprintf("%s-%d", e.Name, i))
		}
		return names
	}}}

// shelf is a collection that remembers what was done to it.
type shelf struct {
	world *world
	cfg   CollectionConfig
	boxes []Member
}

func (w *world) openShelf(c CollectionConfig) (Collection, error) {
	if c.Entry.Name == w.failOpen {
		return nil, &EntryError{c.Entry.Where("boxes"), errors.New("no room")}
	}
	if _, err := os.Stat(c.Dir); err != nil {
		return nil, err
	}
	w.note("open " + c.Entry.Name)
	s := &shelf{world: w, cfg: c}
	return s, s.fill(c.Entry)
}

func (s *shelf) fill(e *config.Entry) error {
	for _, name := range e.Members[len(s.boxes):] {
		s.boxes = append(s.boxes, Member{name, "box", core.Identity{Serial: "serial of " + name}, &fakeDisk{s.world, DeviceConfig{Name: name}, 1 << 20}})
	}
	return nil
}

func (s *shelf) Members() []Member { return s.boxes }

func (s *shelf) Compare(e *config.Entry, fault func(config.Pos, string, ...any)) (changes []string) {
	if e.Values["colour"] != "red" {
		fault(e.Where("colour"), "the colour stays")
	}
	switch n := len(e.Members); {
	case n < 2:
		fault(e.Where("boxes"), "a box cannot go")
	case n != len(s.boxes):
		changes = append(changes, fmt.Sprintf("%d boxes", n))
	}
	return changes
}

func (s *shelf) Follow(_ context.Context, e *config.Entry) error {
	if e.Name == s.world.failOpen {
		return errors.New("no room")
	}
	s.world.note("follow " + e.Name)
	s.boxes = s.boxes[:min(len(s.boxes), len(e.Members))]
	return s.fill(e)
}

func (s *shelf) Close() error {
	s.world.note("close " + s.cfg.Entry.Name)
	return nil
}

func TestCollection(t *testing.T) {
	w := newWorld(t)
	const targets = `
targets:
  - {iqn: 'iqn.2026-11.x:t', shelf: s}
  - {iqn: 'iqn.2026-11.x:u', groups: [{name: g, initiators: ["*"], shelf: {name: s, read_only: true}}]}
`
	const two = head + "devices: [{name: a, handler: mem, size: 1MiB}]\nshelves: [{name: s, boxes: 2}]" + targets
	w.want("first", w.apply(two), "add device a: mem", "add shelf s: 2 devices", "add portal 127.0.0.1:3260",
		"add target iqn.2026-11.x:t", "add target iqn.2026-11.x:u")
	w.want("done", w.took(), "open a", "open s", "listen 127.0.0.1:3260")
	w.want("again", w.apply(two))
	w.want("done again", w.took())
	s, u := w.session("iqn.2026-11.x:t", "i"), w.session("iqn.2026-11.x:u", "i")
	if p := u.Nexus.Path(1); p == nil || !p.ReadOnly || p.Unit() != s.Nexus.Path(1).Unit() {
		t.Error("two targets do not show the same shelf")
	}
	for _, d := range w.mg.Devices() {
		if d.Name == "s-1" {
			if d.Serial != "serial of s-1" || d.Handler != "box" || len(d.Mapped) != 2 || d.Size != 1<<20 {
				t.Errorf("status %+v", d)
			}
		}
	}
	if len(w.mg.Collections("shelf")) != 1 || w.mg.Collections("shelf")["s"] == nil || len(w.mg.Collections("x")) != 0 {
		t.Error("collections")
	}

	// It grows under a session.
	path := s.Nexus.Path(0)
	three := strings.Replace(two, "boxes: 2", "boxes: 3", 1)
	w.want("grow", w.apply(three), "change shelf s: 3 boxes",
		"change target iqn.2026-11.x:t: luns +2 s-2", "change target iqn.2026-11.x:u: group g luns +2 s-2 read-only")
	w.want("grown", w.took(), "follow s")
	if s.Nexus.Path(0) != path || len(s.Nexus.Paths()) != 3 {
		t.Error("the session does not see the new box")
	}

	// The last box goes, and comes again as itself.
	w.want("shrink", w.apply(two), "change shelf s: 2 boxes",
		"change target iqn.2026-11.x:t: luns -2 s-2", "change target iqn.2026-11.x:u: group g luns -2 s-2 read-only")
	w.want("shrunk", w.took(), "follow s", "close s-2")
	if s.Nexus.Path(0) != path || len(s.Nexus.Paths()) != 2 || len(w.mg.Devices()) != 3 {
		t.Error("the session sees the box that went")
	}
	w.apply(three)
	w.want("grown again", w.took(), "follow s")

	// What cannot be leaves all as it is.
	conflicts := []struct{ text, want string }{
		{strings.Replace(two, "boxes: 2", "boxes: 1", 1), "x.yaml:4:28: shelf s: a box cannot go"},
		{strings.Replace(three, "boxes: 3", "boxes: 3, colour: blue", 1), ": shelf s: the colour stays"},
		{head + "devices: [{name: s-0, handler: mem, size: 1MiB}]\n", "x.yaml:3:18: there is a device s-0 of shelf s"},
	}
	for _, c := range conflicts {
		_, err := w.mg.Apply(t.Context(), w.parse(c.text))
		var conflict *Conflict
		if !errors.As(err, &conflict) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	w.failOpen = "s"
	faults := func(text, want string) {
		t.Helper()
		_, err := w.mg.Apply(t.Context(), w.parse(text))
		var f config.Faults
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	faults(strings.Replace(three, "boxes: 3", "boxes: 4", 1), "shelf s: no room")
	w.failOpen = "v"
	faults(strings.Replace(three, "}]\ntargets", "}, {name: v, boxes: 7}]\ntargets", 1), "x.yaml:4:49: shelf v: no room")
	w.want("nothing", w.took())
	w.failOpen, w.failListen = "", "127.0.0.1:3261"
	faults(strings.Replace(strings.Replace(three, "}]\ntargets", "}, {name: v, boxes: 2}]\ntargets", 1), ":3260'", ":3260', '127.0.0.1:3261'", 1), "address already in use")
	log := w.took()
	if len(log) == 4 {
		slices.Sort(log[1:3]) // members close in any order
	}
	w.want("taken back", log, "open v", "close v-0", "close v-1", "close v")

	w.restart()
	w.apply(three)
	w.took()

	// Members close before their shelf: when it goes, and at the end.
	w.want("remove", w.apply(head), "remove device a", "remove shelf s", "remove target iqn.2026-11.x:t", "remove target iqn.2026-11.x:u")
	closed(t, w.took(), "close s-0", "close s-1", "close s-2")
	w.apply(three)
	w.took()
	if err := w.mg.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed(t, w.took(), "close s-0", "close s-1", "close s-2")
}

// closed wants the members and after them the shelf s in log.
func closed(t *testing.T, log []string, members ...string) {
	t.Helper()
	last := slices.Index(log, "close s")
	for _, m := range members {
		if i := slices.Index(log, m); i < 0 || i > last {
			t.Errorf("%q: %s is not before the shelf", log, m)
		}
	}
}
