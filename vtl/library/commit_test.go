package library_test

import (
	"errors"
	"testing"

	"github.com/targate/targate/core/block/blocktest"
	. "github.com/targate/targate/vtl/library"
)

var errDisk = errors.New("the disk failed")

// A commit that fails changes nothing that anybody sees, whether it is done in the file or not: neither then,
// nor after later ones and a restart.
func TestFailedCommits(t *testing.T) {
	rnd := blocktest.Rand(t)
	r := newRig(t, func(c *Config) { c.Mailslots = 3 })
	r.cfg.Cartridges = nil
	m := modelOf(r.Library)
	failed := 0
	for i := range 20 {
		armed, done := false, false
		FailCommits(r.Library, func(d bool) error {
			if armed && d == done {
				armed = false // the next one, which may put things right, succeeds
				return errDisk
			}
			return nil
		})
		for range 30 {
			o := m.choose(rnd)
			if o.What == "create" || o.What == "delete" || o.What == "label" {
				continue // which are two commits, and their own test
			}
			armed, done = rnd.IntN(3) == 0, rnd.IntN(2) == 0
			after := m.clone()
			want := o.want(after)
			err := o.run(r.Library)
			armed = false
			switch {
			case errors.Is(err, errDisk):
				failed++
			case !errors.Is(err, want) || (err == nil) != (want == nil):
				t.Fatalf("%d: %+v: %v, want %v", i, o, err, want)
			case err == nil:
				m = after
			}
			if d := m.differs(r.Library); d != "" {
				t.Fatalf("%d: %+v, %v: %s", i, o, err, d)
			}
			r.check() // what was taken out of a drive is in it again
		}
		r.must(r.Initialize(bg, 1)) // any commit puts the file right
		r.reopen()
		if d := m.differs(r.Library); d != "" {
			t.Fatalf("%d: after a restart: %s", i, d)
		}
	}
	if failed == 0 {
		t.Error("no commit failed")
	}
}

// A drive whose commit failed is not there after a restart, one that was to go is.
func TestFailedGeometry(t *testing.T) {
	r := newRig(t, nil)
	model := r.cfg.Drives[0].Model
	fail := true
	FailCommits(r.Library, func(done bool) error {
		if fail && done {
			return errDisk
		}
		return nil
	})
	if _, err := r.AddDrive(bg, DriveConfig{Model: model}); !errors.Is(err, errDisk) {
		t.Fatalf("%v", err)
	}
	if err := r.RemoveDrive(bg, 1); !errors.Is(err, errDisk) {
		t.Fatalf("%v", err)
	}
	if err := r.SetSlots(bg, 20, 2); !errors.Is(err, errDisk) {
		t.Fatalf("%v", err)
	}
	fail = false
	r.must(r.Move(bg, p("slot:1"), p("slot:9")))
	r.reopen()
	if s := r.Status(); s.Drives.Total != 2 || s.Slots.Total != 10 {
		t.Errorf("%+v", s)
	}
}

// A creation or deletion whose first or second commit fails leaves nothing behind that comes back.
func TestFailedLives(t *testing.T) {
	for _, c := range []struct {
		name string
		nth  int
		done bool
	}{{"first not done", 0, false}, {"first done", 0, true}, {"second not done", 1, false}, {"second done", 1, true}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.cfg.Cartridges = nil
			n := 0
			fail := func(done bool) error {
				if n == c.nth && done == c.done {
					n = -100
					return errDisk
				}
				if done {
					n++
				}
				return nil
			}
			FailCommits(r.Library, fail)
			if _, err := r.Create(bg, "TG0009L8", CreateOptions{To: p("slot:9")}); !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			r.must(r.Move(bg, p("slot:1"), p("slot:9"))) // where it would have been
			r.reopen()
			if got := r.place("TG0001L8"); got != p("slot:9") {
				t.Errorf("at %v", got)
			}
			if _, err := r.Cartridge("TG0009L8"); !errors.Is(err, ErrNoCartridge) {
				t.Errorf("what was not made is there: %v", err)
			}

			n = 0
			FailCommits(r.Library, fail)
			// after the first, nothing can stop it any more
			err := r.Delete(bg, "TG0002L8", true)
			if (err == nil) != (c.nth == 1) || err != nil && !errors.Is(err, errDisk) {
				t.Fatal(err)
			}
			r.must(r.Move(bg, p("slot:3"), p("slot:8")))
			before := r.Cartridges()
			r.reopen()
			stored, _ := r.pool.List()
			if s := r.Status(); len(stored)+1 != s.Cartridges || s.Missing != 0 || len(before) != s.Cartridges {
				t.Errorf("%d cartridges are stored; %d were known, %+v", len(stored), len(before), s)
			}
		})
	}
}
