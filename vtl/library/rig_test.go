package library

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/ssc"
)

// dirPool keeps what a Pool must know of each cartridge in a file of its own, and their
// contents in memory.
type dirPool struct {
	dir string

	mu      sync.Mutex
	fail    error // of what changes a cartridge
	written map[string]bool
}

func newDirPool(dir string) *dirPool {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	return &dirPool{dir: dir, written: map[string]bool{}}
}

// poolFile is a Stored with the name of its media only.
type poolFile struct {
	Stored
	Kind string
}

func (p *dirPool) load(id string) (s poolFile, err error) {
	b, err := os.ReadFile(filepath.Join(p.dir, id))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	s.Media, _ = personality.Builtin().Media(s.Kind)
	return s, err
}

func (p *dirPool) save(s Stored) error {
	if p.fail != nil {
		return p.fail
	}
	f := poolFile{Stored: s, Kind: s.Media.Name}
	f.Media = nil
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	tmp := filepath.Join(p.dir, "tmp."+s.ID)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(p.dir, s.ID))
}

func (p *dirPool) List() ([]Stored, error) {
	files, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var list []Stored
	for _, f := range files {
		if len(f.Name()) != 36 {
			continue
		}
		s, err := p.load(f.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, s.Stored)
	}
	return list, nil
}

func (p *dirPool) Create(s Stored) error { return p.save(s) }

func (p *dirPool) Mount(id string, readOnly bool) (medium.Medium, error) {
	s, err := p.load(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, medium.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return memtape.New(medium.Info{ID: id, Barcode: s.Barcode, Type: s.Media.Name, WORM: s.WORM}, 1<<20).Mount(readOnly)
}

func (p *dirPool) Blank(id string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.written[id], nil
}

func (p *dirPool) Relabel(id, barcode string) error {
	s, err := p.load(id)
	if err != nil {
		return err
	}
	s.Barcode = barcode
	return p.save(s.Stored)
}

func (p *dirPool) SetWORM(id string) error {
	s, err := p.load(id)
	if err != nil {
		return err
	}
	s.WORM = true
	return p.save(s.Stored)
}

func (p *dirPool) Delete(id string) error {
	if p.fail != nil {
		return p.fail
	}
	err := os.Remove(filepath.Join(p.dir, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// testDrive is a drive that loads at once, and knows no command.
type testDrive struct {
	spec DriveSpec

	mu        sync.Mutex
	cart      ssc.Cartridge
	loaded    bool
	prevented bool
	inserts   int
}

func (d *testDrive) Profile() core.Profile       { return core.Profile{} }
func (d *testDrive) Attach(core.Host) error      { return nil }
func (d *testDrive) Execute(*core.Command) error { return errors.New("no command") }
func (d *testDrive) Close() error                { return nil }

func (d *testDrive) Insert(c ssc.Cartridge) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cart != nil {
		return fmt.Errorf("%s is there", d.cart.Barcode())
	}
	d.cart, d.loaded = c, true
	d.inserts++
	return nil
}

func (d *testDrive) Remove(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.prevented:
		return ssc.ErrPrevented
	case d.cart == nil:
		return errors.New("there is no cartridge")
	}
	d.cart, d.loaded = nil, false
	return nil
}

func (d *testDrive) Eject(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = false
	return nil
}

func (d *testDrive) State() ssc.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := ssc.State{Present: d.cart != nil, Loaded: d.loaded, Prevented: d.prevented}
	if d.cart != nil {
		s.Barcode = d.cart.Barcode()
	}
	return s
}

// rig is a library over a directory.
type rig struct {
	*Library
	t      testing.TB
	dir    string
	pool   *dirPool
	cfg    Config
	events []Event
}

func testConfig(dir string, pool Pool, drives int) Config {
	set := personality.Builtin()
	model, _ := set.Changer("ibm-3573-tl")
	drive, _ := set.Drive("ibm-ult3580-td8")
	return Config{
		Name: "lib0", Model: model, Models: set, Pool: pool,
		Drives: slices.Repeat([]DriveConfig{{Model: drive}}, drives),
		Slots:  10, Mailslots: 2,
		Cartridges: []Cartridges{{Barcodes: "TG0001L8-TG0004L8"}, {Barcodes: "CLN001L8"}},
		Inventory:  filepath.Join(dir, "state", "inventory"),
		NewDrive:   func(s DriveSpec) (DriveHandler, error) { return &testDrive{spec: s}, nil },
		Log:        slog.New(slog.DiscardHandler),
	}
}

// newRig makes a library of two drives, ten slots and two mailslots, with the cartridges TG0001L8 to
// TG0004L8 and CLN001L8 in slots 1 to 5.
func newRig(t testing.TB, edit func(*Config)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, dir: dir, pool: newDirPool(filepath.Join(dir, "tapes"))}
	r.cfg = testConfig(dir, r.pool, 2)
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

func (r *rig) drive(n int) *testDrive { return r.Drive(n).(*testDrive) }

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
