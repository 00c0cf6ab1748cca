package smc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
)

// Changer is the medium changer of a library. It is safe for concurrent use.
type Changer struct {
	*spc.Device

	lib   *library.Library
	model *personality.Changer
	ops   *ops.Set[*Changer]
	log   *slog.Logger
	host  core.Host // set by Attach

	mu       sync.Mutex // guards all below
	prevents map[uint32]bool
	searches map[uint32]*search // the last SEND VOLUME TAG of an I_T nexus, by its ID
}

var (
	_ core.Handler   = (*Changer)(nil)
	_ core.Resetter  = (*Changer)(nil)
	_ core.PathLoser = (*Changer)(nil)
)

// New makes the changer of lib, which the caller closes after it. An error says what of the model
// does not fit.
func New(lib *library.Library, log *slog.Logger) (*Changer, error) {
	if log == nil {
		log = slog.Default()
	}
	ch := &Changer{lib: lib, model: lib.Model(), log: log,
		prevents: map[uint32]bool{}, searches: map[uint32]*search{}}
	var err error
	if ch.Device, err = spc.NewDevice(ch.primary()); err != nil {
		return nil, fmt.Errorf("changer %s: %w", ch.model.Name, err)
	}
	ch.ops = ops.Compile(spc.Ops[*Changer](ch.Device), rows)
	return ch, nil
}

// Profile describes the changer to the core (core.Handler).
func (ch *Changer) Profile() core.Profile {
	return core.Profile{Type: scsi.MediumChanger, Rows: ch.ops.Rows(), Control: ch.Device.Control()}
}

// Attach takes the core's side (core.Handler).
func (ch *Changer) Attach(h core.Host) error {
	ch.host = h
	if err := ch.Device.Attach(h); err != nil {
		return err
	}
	ch.lib.Watch(func(e library.Event) { h.Raise(sense.New(sense.UnitAttention, e.Code), nil) })
	return nil
}

// Execute carries out c (core.Handler).
func (ch *Changer) Execute(c *core.Command) error { return ch.ops.Execute(ch, c) }

// Close lets go of the library (core.Handler).
func (ch *Changer) Close() error {
	ch.lib.Watch(func(library.Event) {})
	ch.lib.SetPrevented(false)
	return nil
}

// Reset is what a LOGICAL UNIT RESET resets (core.Resetter): mode pages, who prevents the removal
// of cartridges, and searches.
func (ch *Changer) Reset() {
	ch.Device.Reset()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	clear(ch.prevents)
	clear(ch.searches)
	ch.lib.SetPrevented(false)
}

// Lost forgets what is kept for the nexus of p (core.PathLoser).
func (ch *Changer) Lost(p *core.Path) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.prevents, p.Nexus().ID)
	delete(ch.searches, p.Nexus().ID)
	ch.lib.SetPrevented(len(ch.prevents) > 0)
}

// Additional sense codes of medium changers.
const (
	unloadFailure    sense.Code = 0x5301
	doorOpen         sense.Code = 0x0418
	invalidElement   sense.Code = 0x2101
	destinationFull  sense.Code = 0x3b0d
	sourceEmpty      sense.Code = 0x3b0e
	deviceRemoved    sense.Code = 0x3b1a
	removalPrevented sense.Code = 0x5302
	drivePrevents    sense.Code = 0x5303
)

// reasons are what the library's reasons are as sense data.
var reasons = []struct {
	reason *library.Reason
	key    sense.Key
	code   sense.Code
}{
	{library.ErrNoElement, sense.IllegalRequest, invalidElement},
	{library.ErrEmpty, sense.IllegalRequest, sourceEmpty},
	{library.ErrFull, sense.IllegalRequest, destinationFull},
	{library.ErrPrevented, sense.IllegalRequest, removalPrevented},
	{library.ErrDrivePrevented, sense.IllegalRequest, drivePrevents},
	{library.ErrNotUnloaded, sense.IllegalRequest, drivePrevents},
	{library.ErrDriveRemoved, sense.IllegalRequest, deviceRemoved},
	{library.ErrMailslotOpen, sense.NotReady, doorOpen},
	{library.ErrUnload, sense.HardwareError, unloadFailure},
}

// failed is an error of the library as the outcome of a command.
func failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return sense.TaskAborted
	}
	var own *sense.Error // of the robot
	if errors.As(err, &own) && !errors.Is(err, library.ErrUnload) {
		return own
	}
	for _, r := range reasons {
		if errors.Is(err, r.reason) {
			e := sense.New(r.key, r.code)
			if r.key == sense.HardwareError {
				e.Cause = err
			}
			return e
		}
	}
	return sense.Hardware(err)
}
