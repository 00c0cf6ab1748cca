// Package librarytest makes libraries for tests: of cartridges with contents in memory, and drives
// that load at once and know no command but TEST UNIT READY.
package librarytest

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/ssc"
)

// Config is a library of IBM 3573-TL in dir: with ten slots and two mailslots, the cartridges TG0001L8 to
// TG0004L8 and CLN001L8 in slots 1 to 5, and empty LTO-8 drives.
func Config(dir string, drives int) library.Config {
	set := personality.Builtin()
	model, _ := set.Changer("ibm-3573-tl")
	drive, _ := set.Drive("ibm-ult3580-td8")
	return library.Config{
		Name: "lib0", Model: model, Models: set, Pool: NewPool(filepath.Join(dir, "tapes")),
		Drives: slices.Repeat([]library.DriveConfig{{Model: drive}}, drives),
		Slots:  10, Mailslots: 2,
		Cartridges: []library.Cartridges{{Barcodes: "TG0001L8-TG0004L8"}, {Barcodes: "CLN001L8"}},
		Inventory:  filepath.Join(dir, "state", "inventory"),
		NewDrive:   func(s library.DriveSpec) (library.DriveHandler, error) { return &Drive{Spec: s}, nil },
		Log:        slog.New(slog.DiscardHandler),
	}
}

// Drive is a library.DriveHandler.
type Drive struct {
	Spec library.DriveSpec

	mu        sync.Mutex
	cart      ssc.Cartridge
	loaded    bool
	prevented bool
	inserts   int
}

var _ library.DriveHandler = (*Drive)(nil)

// Profile has one command (core.Handler).
func (d *Drive) Profile() core.Profile {
	return core.Profile{Type: scsi.Sequential, Rows: []*core.Row{{Code: 0, Action: core.NoAction,
		Name: "TEST UNIT READY", Usage: "\x00\x00\x00\x00\x00\x00", Timeout: 1}}}
}

// Attach needs nothing (core.Handler).
func (d *Drive) Attach(core.Host) error { return nil }

// Execute is TEST UNIT READY (core.Handler).
func (d *Drive) Execute(*core.Command) error { return nil }

// Close takes the cartridge out (core.Handler).
func (d *Drive) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cart, d.loaded = nil, false
	return nil
}

// Insert loads c at once.
func (d *Drive) Insert(c ssc.Cartridge) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cart != nil {
		return ssc.ErrOccupied
	}
	d.cart, d.loaded = c, true
	d.inserts++
	return nil
}

// Remove takes the cartridge out, unless that is prevented.
func (d *Drive) Remove(context.Context) error {
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

// Eject unloads the cartridge.
func (d *Drive) Eject(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.loaded = false
	return nil
}

// State is how the drive is now.
func (d *Drive) State() ssc.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := ssc.State{Present: d.cart != nil, Loaded: d.loaded, Prevented: d.prevented}
	if d.cart != nil {
		s.Barcode = d.cart.Barcode()
	}
	return s
}

// Prevent says whether an initiator prevents the removal of the cartridge.
func (d *Drive) Prevent(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prevented = on
}

// Inserts is how often a cartridge was put in.
func (d *Drive) Inserts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inserts
}
