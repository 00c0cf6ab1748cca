package library_test

import (
	"testing"

	. "github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/library/librarytest"
)

// rig is a library over a directory.
type rig struct {
	*Library
	t      testing.TB
	pool   *librarytest.Pool
	cfg    Config
	events []Event
}

// newRig makes the library of librarytest with two drives.
func newRig(t testing.TB, edit func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, cfg: librarytest.Config(t.TempDir(), 2)}
	r.pool = r.cfg.Pool.(*librarytest.Pool)
	if edit != nil {
		edit(&r.cfg)
	}
	r.open()
	t.Cleanup(func() { r.Library.Close() })
	return r
}

func (r *rig) open() {
	r.t.Helper()
	l, err := Open(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Library = l
	l.Watch(func(e Event) { r.events = append(r.events, e) })
	r.check()
}

// reopen is a restart of the program.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.Library.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

func (r *rig) drive(n int) *librarytest.Drive { return r.Drive(n).(*librarytest.Drive) }

// check compares all that the library says of where cartridges are with itself, and with the
// drives.
func (r *rig) check() {
	r.t.Helper()
	s := r.Status()
	seen := map[Place]string{}
	vault := 0
	for _, c := range r.Cartridges() {
		if c.Place == InVault {
			vault++
			continue
		}
		if other := seen[c.Place]; other != "" {
			r.t.Errorf("%s and %s are both at %v", c.Barcode, other, c.Place)
		}
		seen[c.Place] = c.Barcode
		if at, err := r.At(c.Place); err != nil || at.ID != c.ID {
			r.t.Errorf("at %v: %v, %v; want %s", c.Place, at.Barcode, err, c.Barcode)
		}
	}
	for _, d := range r.Drives() {
		if d.Barcode != seen[Place{Drive, d.Number}] {
			r.t.Errorf("drive %d has %q, want %q", d.Number, d.Barcode, seen[Place{Drive, d.Number}])
		}
		if !d.Removed {
			if b := r.drive(d.Number).State().Barcode; b != d.Barcode {
				r.t.Errorf("drive %d holds %q, want %q", d.Number, b, d.Barcode)
			}
		}
		delete(seen, Place{Drive, d.Number})
	}
	for _, k := range []Kind{Slot, Mailslot} {
		for _, s := range r.Slots(k) {
			if s.Barcode != seen[s.Place] {
				r.t.Errorf("%v has %q, want %q", s.Place, s.Barcode, seen[s.Place])
			}
			delete(seen, s.Place)
		}
	}
	if len(seen) != 0 {
		r.t.Errorf("no place has %v", seen)
	}
	if vault != s.InVault {
		r.t.Errorf("%d cartridges in the vault, status says %d", vault, s.InVault)
	}
	if n := s.InVault + s.Drives.Full + s.Slots.Full + s.Mailslots.Full; n != s.Cartridges {
		r.t.Errorf("%d cartridges have places, there are %d", n, s.Cartridges)
	}
}

func (r *rig) place(barcode string) Place {
	r.t.Helper()
	c, err := r.Cartridge(barcode)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Place
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// takeEvents are the events since the last call.
func (r *rig) takeEvents() []Event {
	e := r.events
	r.events = nil
	return e
}

func p(s string) Place {
	place, err := ParsePlace(s)
	if err != nil {
		panic(err)
	}
	return place
}
