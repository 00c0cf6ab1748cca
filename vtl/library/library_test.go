package library_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	. "github.com/targate/targate/vtl/library"
)

var bg = context.Background()

func TestMoves(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to string
		want     error
	}{
		{"slot to drive", "slot:1", "drive:1", nil},
		{"slot to slot", "slot:1", "slot:9", nil},
		{"slot to mailslot", "slot:1", "mailslot:2", nil},
		{"to itself", "slot:1", "slot:1", nil},
		{"empty source", "slot:9", "drive:1", ErrEmpty},
		{"full destination", "slot:1", "slot:2", ErrFull},
		{"empty source, full destination", "slot:9", "slot:2", ErrEmpty},
		{"no source", "slot:11", "slot:9", ErrNoElement},
		{"no destination", "slot:1", "drive:3", ErrNoElement},
		{"vault", "slot:1", "vault", ErrNoElement},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			before, errBefore := r.At(p(c.from))
			err := r.Move(bg, p(c.from), p(c.to))
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			r.check()
			r.reopen()
			if err == nil {
				if after, err := r.At(p(c.to)); err != nil || errBefore != nil || after.ID != before.ID {
					t.Errorf("%v, %v", after, err)
				}
			}
		})
	}
}

func TestDriveKeepsCartridge(t *testing.T) {
	r := newRig(t, nil)
	r.must(r.Load(bg, "TG0002L8", 1))
	if got := r.drive(1).State().Barcode; got != "TG0002L8" {
		t.Fatalf("drive has %q", got)
	}
	r.drive(1).Prevent(true)
	if err := r.Move(bg, p("drive:1"), p("slot:2")); !errors.Is(err, ErrDrivePrevented) {
		t.Errorf("a move from a drive that prevents it: %v", err)
	}
	if _, err := r.Unload(bg, 1, Place{}); !errors.Is(err, ErrDrivePrevented) {
		t.Errorf("an unload of a drive that prevents it: %v", err)
	}
	r.drive(1).Prevent(false)
	r.reopen()
	if d := r.drive(1); d.State().Barcode != "TG0002L8" || d.Inserts() != 1 {
		t.Errorf("after a restart the drive has %q", d.State().Barcode)
	}
	to, err := r.Unload(bg, 1, Place{})
	if err != nil || to != p("slot:2") {
		t.Errorf("unloaded to %v, %v", to, err)
	}
	r.check()
}

func TestUnloadBeforeMove(t *testing.T) {
	r := newRig(t, func(c *Config) {
		m := *c.Model
		m.UnloadBeforeMove = true
		c.Model = &m
	})
	r.must(r.Load(bg, "TG0001L8", 1))
	if err := r.Carry(bg, p("drive:1"), p("slot:1")); !errors.Is(err, ErrNotUnloaded) {
		t.Errorf("moved from a loaded drive: %v", err)
	}
	r.must(r.Eject(bg, 1))
	r.must(r.Carry(bg, p("drive:1"), p("slot:1")))
	r.check()
}

func TestExchange(t *testing.T) {
	for _, c := range []struct {
		source, first, second string
		want                  error
		places                map[string]string
	}{
		{"slot:1", "slot:2", "slot:1", nil, map[string]string{"TG0001L8": "slot:2", "TG0002L8": "slot:1"}},
		{"slot:1", "slot:2", "slot:9", nil, map[string]string{"TG0001L8": "slot:2", "TG0002L8": "slot:9"}},
		{"slot:1", "drive:1", "slot:1", nil, map[string]string{"TG0001L8": "drive:1", "TG0003L8": "slot:1"}},
		{"drive:1", "drive:2", "drive:1", nil, map[string]string{"TG0003L8": "drive:2", "TG0004L8": "drive:1"}},
		{"slot:1", "slot:1", "slot:9", nil, map[string]string{"TG0001L8": "slot:9"}},
		{"slot:8", "slot:2", "slot:8", ErrEmpty, nil},
		{"slot:1", "slot:8", "slot:1", ErrEmpty, nil},
		{"slot:1", "slot:2", "drive:1", ErrFull, nil},
		{"slot:1", "slot:2", "slot:2", ErrFull, nil},
		{"slot:1", "slot:2", "slot:99", ErrNoElement, nil},
	} {
		t.Run(fmt.Sprint(c.source, c.first, c.second), func(t *testing.T) {
			r := newRig(t, nil)
			r.must(r.Load(bg, "TG0003L8", 1))
			r.must(r.Load(bg, "TG0004L8", 2))
			before := r.Cartridges()
			err := r.Exchange(bg, p(c.source), p(c.first), p(c.second))
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err != nil && !reflect.DeepEqual(before, r.Cartridges()) {
				t.Errorf("it failed, and changed %v\nto %v", before, r.Cartridges())
			}
			r.check()
			r.reopen()
			for b, want := range c.places {
				if got := r.place(b); got != p(want) {
					t.Errorf("%s is at %v, want %s", b, got, want)
				}
			}
		})
	}
}

func TestImportExport(t *testing.T) {
	r := newRig(t, nil)
	r.must(r.Move(bg, p("slot:1"), p("mailslot:1")))
	r.takeEvents()
	r.must(r.Export(bg, "TG0001L8"))
	if got := r.takeEvents(); !slices.Equal(got, []Event{Accessed}) {
		t.Errorf("an export from a mailslot: events %v", got)
	}
	if err := r.Export(bg, "TG0001L8"); !errors.Is(err, ErrOutside) {
		t.Errorf("exported twice: %v", err)
	}
	if err := r.Load(bg, "TG0001L8", 1); !errors.Is(err, ErrOutside) {
		t.Errorf("loaded from the vault: %v", err)
	}
	r.SetPrevented(true)
	if _, err := r.Import(bg, "TG0001L8", Place{}); !errors.Is(err, ErrPrevented) {
		t.Errorf("imported although that is prevented: %v", err)
	}
	r.SetPrevented(false)
	r.reopen()
	to, err := r.Import(bg, "TG0001L8", Place{})
	if err != nil || to != p("mailslot:1") {
		t.Fatalf("imported to %v, %v", to, err)
	}
	if got := r.takeEvents(); !slices.Equal(got, []Event{Accessed}) {
		t.Errorf("an import to a mailslot: events %v", got)
	}
	if _, err := r.Import(bg, "TG0001L8", Place{}); !errors.Is(err, ErrInside) {
		t.Errorf("imported twice: %v", err)
	}
	var byHand bool
	r.View(func(v View) {
		for e := range v.Elements(ImportExport, 0) {
			byHand = byHand || e.ByHand
		}
	})
	if !byHand {
		t.Error("IMPEXP is not set after an import")
	}
	r.must(r.OpenMailslots(bg, true))
	if err := r.Carry(bg, p("mailslot:1"), p("slot:1")); !errors.Is(err, ErrMailslotOpen) {
		t.Errorf("the robot reached into an open mailslot: %v", err)
	}
	r.must(r.OpenMailslots(bg, false))
	r.must(r.Carry(bg, p("mailslot:1"), p("slot:1")))
	c, err := r.Cartridge("TG0001L8")
	if err != nil || c.Imports != 1 || c.Exports != 1 || c.Moves != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	r.check()
}

func TestCreateAndDelete(t *testing.T) {
	r := newRig(t, nil)
	made, err := r.Create(bg, "TG0005L8-TG0012LY", CreateOptions{})
	if !errors.Is(err, ErrInvalid) || made != nil {
		t.Errorf("a range over two media identifiers: %v, %v", made, err)
	}
	made, err = r.Create(bg, "TG0005L8-TG0012L8", CreateOptions{})
	if err != nil || len(made) != 8 {
		t.Fatalf("%v, %v", made, err)
	}
	if s := r.Status(); s.Slots.Full != 10 || s.InVault != 3 {
		t.Errorf("%+v", s)
	}
	for _, c := range []struct {
		barcode string
		o       CreateOptions
		want    error
	}{
		{"TG0001L8", CreateOptions{}, ErrExists},
		{"TG0012L8-TG0013L8", CreateOptions{}, ErrExists},
		{"TG0099XX", CreateOptions{}, ErrNoMedia},
		{"tg0099L8", CreateOptions{}, ErrBarcode},
		{"../TG01L8", CreateOptions{}, ErrBarcode},
		{"TG0020M8", CreateOptions{Media: "LTO-M8", WORM: true}, ErrNoWORM},
		{"TG0020L8", CreateOptions{To: p("slot:3")}, ErrFull},
		{"TG0020L8", CreateOptions{To: p("drive:1")}, ErrNoElement},
		{"TG0020L8", CreateOptions{Media: "LTO-99"}, ErrInvalid},
		{"TG0020L8-TG0021L8", CreateOptions{To: p("mailslot:1")}, ErrInvalid},
	} {
		if _, err := r.Create(bg, c.barcode, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s %+v: %v, want %v", c.barcode, c.o, err, c.want)
		}
	}
	w, err := r.Create(bg, "TG0030LY", CreateOptions{To: p("mailslot:1"), WriteProtected: true})
	if err != nil || !w[0].WORM || !w[0].WriteProtected || w[0].Media != "LTO-8" || w[0].Place != p("mailslot:1") {
		t.Errorf("%+v, %v", w, err)
	}

	c, _ := r.Cartridge("TG0001L8")
	r.pool.Written(c.ID)
	if err := r.Delete(bg, "TG0001L8", false); !errors.Is(err, ErrNotBlank) {
		t.Errorf("deleted a cartridge that is not blank: %v", err)
	}
	r.must(r.Delete(bg, "TG0001L8", true))
	r.must(r.Delete(bg, "TG0002L8", false))
	r.must(r.Load(bg, "TG0003L8", 1))
	if err := r.Delete(bg, "TG0003L8", true); !errors.Is(err, ErrInDrive) {
		t.Errorf("deleted a cartridge in a drive: %v", err)
	}
	broken := errors.New("broken")
	r.pool.Fail(broken)
	if err := r.Delete(bg, "TG0004L8", true); !errors.Is(err, broken) {
		t.Errorf("deleted although the store fails: %v", err)
	}
	if made, err := r.Create(bg, "TG0040L8", CreateOptions{}); !errors.Is(err, broken) || len(made) != 0 {
		t.Errorf("created although the store fails: %v, %v", made, err)
	}
	r.pool.Fail(nil)
	r.cfg.Cartridges = nil
	r.reopen()
	if _, err := r.Cartridge("TG0001L8"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted cartridge is back: %v", err)
	}
	if got := r.place("TG0004L8"); got != p("slot:4") {
		t.Errorf("a cartridge that was not deleted is at %v", got)
	}
	if _, err := r.Cartridge("TG0040L8"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a cartridge that was not made is there: %v", err)
	}
}

func TestLabels(t *testing.T) {
	r := newRig(t, nil)
	for _, c := range []struct {
		barcode, label string
		want           error
	}{
		{"TG0001L8", "TG0002L8", ErrExists},
		{"TG0001L8", "AB0001L7", ErrInvalid},
		{"TG0001L8", "AB0001LY", ErrInvalid}, // not WORM
		{"TG0001L8", "a b", ErrBarcode},
		{"TG0009L8", "AB0009L8", ErrNoCartridge},
		{"TG0001L8", "AB0001L8", nil},
		{"TG0002L8", "NOMEDIA", nil},
		{"CLN001L8", "CLN777L8", nil},
	} {
		if err := r.Label(bg, c.barcode, c.label); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.barcode, c.label, err, c.want)
		}
	}
	r.must(r.SetWORM(bg, "TG0003L8", ""))
	if err := r.SetWORM(bg, "CLN777L8", ""); !errors.Is(err, ErrNoWORM) {
		t.Errorf("a WORM cleaning cartridge: %v", err)
	}
	c, _ := r.Cartridge("TG0004L8")
	r.pool.Written(c.ID)
	if err := r.SetWORM(bg, "TG0004L8", ""); !errors.Is(err, ErrNotBlank) {
		t.Errorf("WORM although not blank: %v", err)
	}
	r.must(r.SetWriteProtected(bg, "TG0004L8", true))
	r.cfg.Cartridges = nil
	r.reopen()
	if c, err := r.Cartridge("TG0003LY"); err != nil || !c.WORM || c.Place != p("slot:3") {
		t.Errorf("%+v, %v", c, err)
	}
	if got := r.place("AB0001L8"); got != p("slot:1") {
		t.Errorf("at %v", got)
	}
	if c, err := r.Cartridge("TG0004L8"); err != nil || !c.WriteProtected {
		t.Errorf("%+v, %v", c, err)
	}
}

// A crash between the label of a cartridge and the inventory, and what people do to the
// directory by hand.
func TestReconcile(t *testing.T) {
	r := newRig(t, nil)
	c1, _ := r.Cartridge("TG0001L8")
	c2, _ := r.Cartridge("TG0002L8")
	r.must(r.pool.Relabel(c1.ID, "AB0001L8"))
	b, err := os.ReadFile(filepath.Join(r.pool.Dir, c2.ID))
	r.must(err)
	r.must(os.Remove(filepath.Join(r.pool.Dir, c2.ID)))
	s, _ := r.pool.Load(c1.ID)
	s.ID, s.Barcode = "11111111-1111-4111-8111-111111111111", "TG0003L8"
	r.must(r.pool.Save(s))
	r.cfg.Cartridges = nil
	r.reopen()
	if got := r.place("AB0001L8"); got != p("slot:1") {
		t.Errorf("the relabelled cartridge is at %v", got)
	}
	if c, err := r.Cartridge("TG0002L8"); err != nil || !c.Missing || c.Place != p("slot:2") {
		t.Errorf("the missing cartridge: %+v, %v", c, err)
	}
	var except uint16
	r.View(func(v View) {
		for e := range v.Elements(Storage, 0) {
			if e.Address == r.Address(p("slot:2")) {
				except = uint16(e.Except)
			}
		}
	})
	if except == 0 {
		t.Error("the missing cartridge is no exception")
	}
	if err := r.Delete(bg, "TG0002L8", false); !errors.Is(err, ErrMissing) {
		t.Errorf("deleted a missing cartridge: %v", err)
	}
	if got := r.place("TG0003L8"); got != p("slot:3") {
		t.Errorf("the cartridge that had its barcode before is at %v", got)
	}
	if got := r.place(s.ID); got != InVault {
		t.Errorf("the copy is at %v", got)
	}
	if _, err := r.Import(bg, s.ID, Place{}); !errors.Is(err, ErrExists) {
		t.Errorf("imported a barcode that is in the library: %v", err)
	}
	r.must(r.Label(bg, s.ID, "TG0333L8"))
	if _, err := r.Import(bg, "TG0333L8", Place{}); err != nil {
		t.Error(err)
	}
	r.must(os.WriteFile(filepath.Join(r.pool.Dir, c2.ID), b, 0o600))
	r.must(r.Scan(bg))
	if c, err := r.Cartridge("TG0002L8"); err != nil || c.Missing || r.Status().Missing != 0 {
		t.Errorf("the cartridge that is there again: %+v, %v", c, err)
	}
	r.check()
}

func TestGeometry(t *testing.T) {
	r := newRig(t, nil)
	model := r.cfg.Drives[0].Model
	serials := func() (s []string) {
		for _, d := range r.Drives() {
			s = append(s, d.Serial)
		}
		return s
	}
	first := serials()
	d, err := r.AddDrive(bg, DriveConfig{Model: model, Serial: "ABC"})
	if err != nil || d.Number != 3 || d.Serial != "ABC" || d.Address != r.Model().Drive+2 {
		t.Fatalf("%+v, %v", d, err)
	}
	r.must(r.SetSlots(bg, 20, 3))
	r.must(r.Load(bg, "TG0001L8", 3))
	if err := r.RemoveDrive(bg, 3); !errors.Is(err, ErrOccupied) {
		t.Errorf("removed a drive with a cartridge: %v", err)
	}
	r.must(r.RemoveDrive(bg, 2))
	if err := r.Load(bg, "TG0002L8", 2); !errors.Is(err, ErrDriveRemoved) {
		t.Errorf("loaded a removed drive: %v", err)
	}
	if got := r.takeEvents(); !slices.Contains(got, Rebuilt) {
		t.Errorf("events %v", got)
	}
	r.reopen() // what was changed while it ran stands
	if got, want := serials(), []string{first[0], first[1], "ABC"}; !slices.Equal(got, want) {
		t.Errorf("serial numbers %v, want %v", got, want)
	}
	if s := r.Status(); s.Drives.Total != 2 || s.Slots.Total != 20 || s.Mailslots.Total != 3 {
		t.Errorf("%+v", s)
	}
	if err := r.SetSlots(bg, 4, 3); !errors.Is(err, ErrOccupied) {
		t.Errorf("took slots with cartridges away: %v", err)
	}
	r.must(r.SetSlots(bg, 6, 0))
	if err := r.SetSlots(bg, 60001, 0); !errors.Is(err, ErrGeometry) {
		t.Errorf("more slots than the model has: %v", err)
	}
	if _, err := r.Unload(bg, 3, Place{}); err != nil {
		t.Fatal(err)
	}
	r.must(r.RemoveDrive(bg, 3))
	if got := serials(); !slices.Equal(got, first[:1]) { // the empty bay before it went, too
		t.Errorf("drives %v", got)
	}
	cfg := r.cfg
	cfg.Slots = 12 // a new configuration wins
	r.must(r.Configure(bg, cfg))
	if s := r.Status(); s.Drives.Total != 2 || s.Slots.Total != 12 || s.Mailslots.Total != 2 {
		t.Errorf("%+v", s)
	}
	r.cfg.Slots = 3 // smaller than what is in it
	r.reopen()
	if s := r.Status(); s.Slots.Total != 3 || s.InVault != 2 {
		t.Errorf("%+v", s)
	}
}

func TestIdentityForLife(t *testing.T) {
	r := newRig(t, nil)
	id := r.Identity()
	if len(id.Serial) != r.Model().SerialLength || id.NAA[0]>>4 != 3 {
		t.Errorf("%+v", id)
	}
	drive := r.drive(1).Spec.Identity
	r.reopen()
	if r.Identity() != id || r.drive(1).Spec.Identity != drive {
		t.Errorf("%+v is %+v now, %+v is %+v", id, r.Identity(), drive, r.drive(1).Spec.Identity)
	}
	if r.drive(2).Spec.Identity.Serial == drive.Serial {
		t.Error("two drives have one serial number")
	}
}

func TestSecondProgram(t *testing.T) {
	r := newRig(t, nil)
	if l, err := Open(r.cfg); err == nil {
		l.Close()
		t.Error("two programs have one inventory")
	}
}

// TestHomeStaysFree: a slot that a cartridge in a drive came from is not given to another that is
// made, imported or unloaded, as mtx unload names the slot that it goes back to.
func TestHomeStaysFree(t *testing.T) {
	r := newRig(t, nil)
	r.must(r.Load(bg, "TG0001L8", 1))
	made, err := r.Create(bg, "AA0001L8-AA0030L8", CreateOptions{})
	r.must(err)
	r.check()
	for _, c := range made {
		if c.Place == p("slot:1") {
			t.Fatalf("%s is at the home of another", c.Barcode)
		}
	}
	s := r.Status()
	if s.Slots.Full != s.Slots.Total-1 {
		t.Errorf("%d of %d slots are full; all but one can be", s.Slots.Full, s.Slots.Total)
	}
	if at := made[len(made)-1].Place; at != InVault {
		t.Errorf("the last one is at %v", at)
	}
	if to, err := r.Unload(bg, 1, Place{}); err != nil || to != p("slot:1") {
		t.Errorf("unloaded to %v, %v", to, err)
	}

	r.must(r.Move(bg, p("slot:1"), p("mailslot:1")))
	r.must(r.Load(bg, "TG0001L8", 1))
	if to, err := r.Import(bg, "AA0030L8", Place{}); err != nil || to != p("mailslot:2") {
		t.Errorf("imported to %v, %v", to, err)
	}
	if to, err := r.Import(bg, "AA0029L8", p("mailslot:1")); err != nil {
		t.Errorf("a place that is named is free: %v, %v", to, err)
	}
	if to, err := r.Unload(bg, 1, Place{}); err != nil || to != p("slot:1") {
		t.Errorf("unloaded to %v, %v", to, err)
	}
	r.check()
}
