package ssc

import (
	"context"
	"errors"
	"fmt"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// loadState is what has become of the cartridge in the drive.
type loadState uint8

const (
	empty      loadState = iota // there is none
	unloaded                    // in the mouth of the drive, for the robot to take
	held                        // taken in, not loaded (LOAD UNLOAD with HOLD)
	loaded                      // mounted
	loadFailed                  // loadErr says why
)

var loadTable = []row{
	none(0x00, "TEST UNIT READY", "\x00\x00\x00\x00\x00\x00", core.Inline|core.PastReserve, quick, (*Drive).testUnitReady),
	none(0x1b, "LOAD UNLOAD", "\x1b\x01\x00\x00\x0f\x00", medial, 960, onTape((*Drive).loadUnload)),
	none(0x1e, "PREVENT ALLOW MEDIUM REMOVAL", "\x1e\x00\x00\x00\x03\x00", core.Inline, quick, (*Drive).preventAllow),
}

// absent says why no medium is loaded. The caller holds d.mu.
func (d *Drive) absent() *sense.Error {
	switch {
	case d.load == held:
		return sense.New(sense.NotReady, sense.InitializingCommandRequired)
	case d.load == loadFailed:
		return d.loadErr
	}
	return sense.New(sense.NotReady, sense.MediumNotPresent)
}

// testUnitReady is TEST UNIT READY.
func (d *Drive) testUnitReady(*core.Command) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.op != nil && d.op.exclusive:
		return d.op.notReady()
	case d.mount != nil:
		return nil
	}
	return d.absent()
}

// loading takes the cartridge in and mounts it. by is who asked, and is told by the status of
// its command; all others by a unit attention.
func (d *Drive) loading(by *core.Path) *operation {
	return &operation{exclusive: true, reported: true, key: sense.NotReady, code: sense.NotReadyBecomingReady, not: sense.NotReadyBecomingReady,
		run: func(ctx context.Context, progress func(float64)) error {
			return d.reportLoad(d.loadIn(ctx, by, progress))
		}}
}

// loadIn loads the cartridge that is in the drive.
func (d *Drive) loadIn(ctx context.Context, by *core.Path, progress func(float64)) error {
	cart := d.cart
	if err := d.move(ctx, Move{Kind: MoveLoad}, progress); err != nil {
		return err
	}
	media := cart.Media()
	support := d.model.Support(media.Name)
	if media.Cleaning && support == nil {
		d.alerts.raise(alertInvalidCleaning.bit())
		return sense.New(sense.NotReady, incompatibleMedium)
	}
	if media.Cleaning {
		contents, err := cart.Mount()
		if err == nil && contents != nil {
			err = contents.Close()
		}
		if err != nil {
			return mountError(err)
		}
		return d.clean(ctx, progress)
	}
	if support == nil || cart.WORM() && !support.WORM {
		return sense.New(sense.NotReady, incompatibleMedium)
	}
	contents, err := cart.Mount()
	if err != nil {
		return mountError(err)
	}
	m := &mount{medium: contents, cart: cart, info: contents.Info(), support: support}
	m.readOnly = m.info.ReadOnly || cart.WriteProtected() || !support.Write
	if err := d.noteLoad(m); err != nil {
		d.alerts.raise(alertMemoryFailure.bit())
		d.log.Warn("the memory of a cartridge cannot be written", "barcode", cart.Barcode(), "err", err)
	}
	d.raise(sense.MediumMayHaveChanged, by) // before anybody can use it
	d.mu.Lock()
	d.mount, d.load, d.loadErr = m, loaded, nil
	d.partitioning = m.partitioning()
	d.mu.Unlock()
	d.stats.Loads.Add(1)
	d.outlive(func(c *lifeCounts) { c.loads++ })
	return nil
}

// mountError is err of Cartridge.Mount: what commands to the medium get until it is unloaded.
func mountError(err error) error {
	var e *sense.Error
	switch {
	case errors.As(err, &e):
		return err
	case errors.Is(err, medium.ErrGone):
		return sense.New(sense.NotReady, sense.LogicalUnitNotReady).WithCause(err)
	}
	return sense.New(sense.MediumError, mediumFormatCorrupt).WithCause(err)
}

// clean is the life of a cleaning cartridge: it cleans, and lies in the mouth again.
func (d *Drive) clean(ctx context.Context, progress func(float64)) error {
	d.alerts.raise(alertCleaningMedia.bit())
	d.mu.Lock()
	if d.op != nil {
		d.op.not, d.op.code = cleaningInstalled, cleaningInstalled
	}
	d.mu.Unlock()
	if err := d.move(ctx, Move{Kind: MoveClean}, progress); err != nil {
		return err
	}
	d.mu.Lock()
	d.load = unloaded
	d.mu.Unlock()
	d.cleaning.Store(false)
	d.alerts.clear(alertCleanNow.bit())
	d.stats.Cleanings.Add(1)
	d.outlive(func(c *lifeCounts) { c.cleanings++ })
	return nil
}

// reportLoad keeps why a load failed, for what asks whether the drive is ready.
func (d *Drive) reportLoad(err error) error {
	if err == nil || errors.Is(err, aborted) {
		return err
	}
	e := sense.Of(err)
	d.stats.FailedLoads.Add(1)
	d.noteOutcome(e)
	d.log.Warn("a cartridge cannot be loaded", "barcode", d.cart.Barcode(), "err", err)
	d.mu.Lock()
	d.load, d.loadErr = loadFailed, e
	d.mu.Unlock()
	return e
}

// unloading takes the medium off, durable, and moves the cartridge to the mouth unless hold.
func (d *Drive) unloading(hold bool) *operation {
	return &operation{exclusive: true, key: sense.NotReady, code: sense.NotReadyBecomingReady, not: sense.MediumNotPresent,
		run: func(ctx context.Context, progress func(float64)) error {
			at := d.where()
			if err := d.unmount(); err != nil {
				return err
			}
			if hold || d.load == unloaded {
				return nil
			}
			at.Kind = MoveUnload
			if err := d.move(ctx, at, progress); err != nil {
				return err
			}
			d.mu.Lock()
			d.load, d.loadErr = unloaded, nil
			d.mu.Unlock()
			d.stats.Unloads.Add(1)
			return nil
		}}
}

// unmount ends the use of the loaded medium, whatever comes of its last data. The caller holds the tape.
func (d *Drive) unmount() error {
	d.alerts.clear(perCartridge)
	m := d.mount
	if m == nil {
		return nil
	}
	d.mu.Lock()
	d.mount, d.load = nil, held
	d.mu.Unlock()
	d.scratch = nil
	d.settings.unloaded()
	d.keys.demounted()
	if err := errors.Join(d.noteUnload(m), m.medium.Close()); err != nil {
		return mediumError(fmt.Errorf("unload: %w", err), true)
	}
	return nil
}

// raise establishes a unit attention for all but one.
func (d *Drive) raise(code sense.Code, except *core.Path) {
	if d.host != nil {
		d.host.Raise(sense.New(sense.UnitAttention, code), except)
	}
}

// loadUnload is LOAD UNLOAD (SSC-5, 7.4).
func (d *Drive) loadUnload(c *core.Command) error {
	const (
		load  = 0x01
		reten = 0x02
		eot   = 0x04
		hold  = 0x08
	)
	immed, flags := c.CDB[1]&1 != 0, c.CDB[4]
	if flags&load != 0 && flags&eot != 0 {
		return sense.FieldBit(4, 2)
	}
	d.mu.Lock()
	present, prevented := d.cart != nil, len(d.prevent) > 0
	d.mu.Unlock()
	switch {
	case !present:
		return sense.New(sense.NotReady, sense.MediumNotPresent)
	case flags&load == 0 && flags&hold == 0 && prevented:
		return sense.New(sense.IllegalRequest, removalPrevented)
	case flags&load == 0:
		return d.do(c, d.unloading(flags&hold != 0), immed)
	case flags&hold != 0:
		return d.takeIn(c)
	case d.mount != nil: // it is loaded: rewind (SSC-5, 7.4)
		if err := d.flush(); err != nil {
			return err
		}
		return d.do(c, d.rewinding(0), immed)
	case immed:
		return d.do(c, d.loading(nil), true)
	}
	return d.do(c, d.loading(c.Path), false)
}

// takeIn is LOAD with HOLD: the cartridge is taken in and not loaded. One that is loaded stays so.
func (d *Drive) takeIn(c *core.Command) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mount == nil {
		d.load, d.loadErr = held, nil
	}
	return nil
}

// preventAllow is PREVENT ALLOW MEDIUM REMOVAL (SSC-5, 7.5), for each I_T nexus.
func (d *Drive) preventAllow(c *core.Command) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch id := c.Path.Nexus().ID; c.CDB[4] & 3 {
	case 0:
		delete(d.prevent, id)
	case 1:
		d.prevent[id] = true
	default:
		return sense.FieldBit(4, 1)
	}
	return nil
}

// Lost lets the medium be removed for all that the nexus of p says (core.PathLoser).
func (d *Drive) Lost(p *core.Path) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.prevent, p.Nexus().ID)
	d.alerts.forget(p.Nexus().ID)
	d.keys.lost(p.Nexus().ID)
}
