package ssc

import (
	"context"
	"errors"

	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

// Cartridge is what a robot, or a hand, puts into a drive.
type Cartridge interface {
	Barcode() string
	Media() *personality.Media
	WORM() bool
	WriteProtected() bool // the tab of its shell
	// Mount gives its contents, for the drive alone, until Medium.Close. A cleaning cartridge has
	// none: the error says that it cleans no more. A *sense.Error is reported as it is.
	Mount() (medium.Medium, error)
}

// State is how a drive looks from outside, for the robot and for people.
type State struct {
	Present   bool // a cartridge is in the drive
	Loaded    bool // and it is mounted: commands reach the medium
	Busy      bool // loading, unloading, or in motion
	Prevented bool // some initiator prevents removal
	Barcode   string
	Cleaning  bool // the drive asks for a cleaning cartridge
}

// Reasons why a drive refuses what the robot asks for.
var (
	ErrOccupied  = errors.New("there is a cartridge in the drive")
	ErrEmpty     = errors.New("there is no cartridge in the drive")
	ErrPrevented = errors.New("an initiator prevents the removal of the cartridge")
)

// State is the drive as it is now.
func (d *Drive) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := State{Present: d.cart != nil, Loaded: d.mount != nil, Busy: d.op != nil || len(d.tape) > 0,
		Prevented: len(d.prevent) > 0, Cleaning: d.cleaning.Load()}
	if d.cart != nil {
		s.Barcode = d.cart.Barcode()
	}
	return s
}

// Insert puts c into the empty drive, which begins to load it: initiators see that by NOT READY,
// and then by a unit attention. What is wrong with the cartridge is reported to them. The error is
// ErrOccupied.
func (d *Drive) Insert(c Cartridge) error {
	d.tape <- struct{}{}
	d.mu.Lock()
	if d.cart != nil {
		d.mu.Unlock()
		d.release()
		return ErrOccupied
	}
	d.cart, d.load = c, unloaded
	d.mu.Unlock()
	if isStill(d.cfg.Motion) { // who asked need not come again to see it ready
		_ = d.carryOut(d.ctx, d.loading(nil)) // loadErr says it
		d.release()
		return nil
	}
	d.after = d.loading(nil)
	d.leave()
	return nil
}

// Eject unloads the medium, as the button of the drive does. The cartridge stays in the drive.
// ctx ends the wait for what the drive is doing. Without a loaded cartridge there is nothing to do.
// The error is ErrEmpty, ErrPrevented, that of ctx, or why it could not be unloaded.
func (d *Drive) Eject(ctx context.Context) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	defer d.release()
	return d.eject(ctx)
}

// eject is Eject for who holds the tape.
func (d *Drive) eject(ctx context.Context) error {
	d.mu.Lock()
	cart, prevented := d.cart, len(d.prevent) > 0
	d.mu.Unlock()
	switch {
	case cart == nil:
		return ErrEmpty
	case prevented:
		return ErrPrevented
	}
	return d.carryOut(ctx, d.unloading(false))
}

// Remove takes the cartridge out, unloaded before if need be, with all that was recorded on it
// made durable. ctx ends the wait for what the drive is doing. The errors are those of Eject; a
// cartridge that cannot be unloaded stays.
func (d *Drive) Remove(ctx context.Context) error {
	if err := d.wait(ctx); err != nil {
		return err
	}
	defer d.release()
	if err := d.eject(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cart, d.load, d.loadErr = nil, empty, nil
	return nil
}

// wait takes the token of the tape.
func (d *Drive) wait(ctx context.Context) error {
	select {
	case d.tape <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
