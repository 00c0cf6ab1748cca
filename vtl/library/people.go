package library

import (
	"context"
	"fmt"
	"time"
)

// Move carries a cartridge from one place of the library to another. Initiators are told, as of
// all in this file.
func (l *Library) Move(ctx context.Context, from, to Place) error {
	if err := l.Carry(ctx, from, to); err != nil {
		return err
	}
	l.tell(Changed)
	return nil
}

// Load carries a cartridge to drive n, which begins to load it.
func (l *Library) Load(ctx context.Context, barcode string, n int) error {
	return l.asPeople(ctx, func() (Event, error) {
		c, err := l.inv.find(barcode)
		if err != nil {
			return Event{}, err
		}
		if c.rec.Place == InVault {
			return Event{}, fmt.Errorf("%s: %w", barcode, ErrOutside)
		}
		return Changed, l.carryOne(ctx, c.rec.Place, Place{Drive, n})
	})
}

// asPeople runs f with the robot, and tells initiators the event if there is no error.
func (l *Library) asPeople(ctx context.Context, f func() (Event, error)) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	e, err := f()
	l.release()
	if err == nil && e != (Event{}) {
		l.tell(e)
	}
	return err
}

// Unload unloads drive n and carries its cartridge to to; the zero Place is where it came from,
// or else the first free slot. It returns where that is.
func (l *Library) Unload(ctx context.Context, n int, to Place) (Place, error) {
	from := Place{Drive, n}
	err := l.asPeople(ctx, func() (Event, error) {
		if to == (Place{}) {
			c, err := l.inv.occupant(from)
			if err == nil {
				to, err = l.home(c)
			}
			if err != nil {
				return Event{}, err
			}
		}
		if _, err := l.plan(from, to); err != nil { // before the drive unloads it
			return Event{}, err
		}
		if err := l.eject(ctx, n); err != nil {
			return Event{}, err
		}
		return Changed, l.carryOne(ctx, from, to)
	})
	return to, err
}

// home is where c came from when that is free, or else the first free slot.
func (l *Library) home(c *cartridge) (Place, error) {
	if at := l.inv.at(c.rec.Home); at != nil && *at == nil {
		return c.rec.Home, nil
	}
	if p, ok := l.inv.free(Slot); ok {
		return p, nil
	}
	return Place{}, fmt.Errorf("slots: %w", ErrNoRoom)
}

// Eject unloads drive n, as its button does. The cartridge stays in it, for the robot to take.
func (l *Library) Eject(ctx context.Context, n int) error {
	return l.asPeople(ctx, func() (Event, error) {
		if _, err := l.inv.occupant(Place{Drive, n}); err != nil {
			return Event{}, err
		}
		return Event{}, l.eject(ctx, n)
	})
}

// eject unloads drive n, which has a cartridge, unless that is done. The robot is held.
func (l *Library) eject(ctx context.Context, n int) error {
	d := l.inv.bays[n-1].drive
	st := d.State()
	switch {
	case st.Prevented:
		return fmt.Errorf("drive %d: %w", n, ErrDrivePrevented)
	case !st.Loaded && !st.Busy:
		return nil
	}
	if err := d.Eject(ctx); err != nil {
		return fmt.Errorf("drive %d: %w", n, removeReason(err))
	}
	return nil
}

// Import puts a cartridge of the vault into to, a mailslot or slot; the zero Place is the first
// free mailslot, or slot when the library has no mailslots. It returns where that is.
func (l *Library) Import(ctx context.Context, barcode string, to Place) (Place, error) {
	err := l.asPeople(ctx, func() (e Event, err error) {
		c, err := l.inv.find(barcode)
		switch {
		case err != nil:
			return e, err
		case c.rec.Place != InVault:
			return e, fmt.Errorf("%s is at %v: %w", barcode, c.rec.Place, ErrInside)
		case l.inv.byBarcode[c.rec.Barcode][0] != c:
			return e, fmt.Errorf("%s: %w", c.rec.Barcode, ErrExists)
		}
		if to, err = l.handPlace(to); err != nil {
			return e, err
		}
		ch := change{}
		r := ch.edit(c)
		r.Place, r.Home, r.ByHand = to, Place{}, true
		r.Imports++
		r.Moved = time.Now().UTC()
		return handEvent(to), l.commitOpening(ch, to)
	})
	return to, err
}

// handPlace is where people put a cartridge: to, if it is free and they can reach it, the zero
// Place as of Import.
func (l *Library) handPlace(to Place) (Place, error) {
	if to == (Place{}) {
		kind := Mailslot
		if len(l.inv.mailslots) == 0 {
			kind = Slot
		}
		var ok bool
		if to, ok = l.inv.free(kind); !ok {
			return to, fmt.Errorf("%vs: %w", kind, ErrNoRoom)
		}
	}
	at := l.inv.at(to)
	switch {
	case at == nil || to.Kind == Drive:
		return to, fmt.Errorf("%v: %w", to, ErrNoElement)
	case *at != nil:
		return to, fmt.Errorf("%v: %w", to, ErrFull)
	case l.prevented.Load():
		return to, ErrPrevented
	}
	return to, nil
}

// handEvent is what initiators learn when people reach into p.
func handEvent(p Place) Event {
	switch p.Kind {
	case Mailslot:
		return Accessed
	case Slot:
		return Changed
	}
	return Event{}
}

// commitOpening is commit of what people did by reaching into p.
func (l *Library) commitOpening(ch change, p Place) error {
	lib := l.inv.library
	if p.Kind == Mailslot {
		lib.MailslotOpens++
	} else {
		lib.DoorOpens++
	}
	return l.commitWith(ch, batch{library: &lib})
}

// Export takes a cartridge out of a mailslot or slot, into the vault.
func (l *Library) Export(ctx context.Context, barcode string) error {
	return l.asPeople(ctx, func() (e Event, err error) {
		c, err := l.inv.find(barcode)
		switch {
		case err != nil:
			return e, err
		case c.rec.Place == InVault:
			return e, fmt.Errorf("%s: %w", barcode, ErrOutside)
		case c.rec.Place.Kind == Drive:
			return e, fmt.Errorf("%s: %w", barcode, ErrInDrive)
		case l.prevented.Load():
			return e, ErrPrevented
		}
		from := c.rec.Place
		ch := change{}
		r := ch.edit(c)
		r.Place, r.Home, r.ByHand = InVault, Place{}, true
		r.Exports++
		r.Moved = time.Now().UTC()
		return handEvent(from), l.commitOpening(ch, from)
	})
}

// Scan has the robot read all barcodes, as INITIALIZE ELEMENT STATUS does, and compares the
// inventory with what is stored: cartridges that were copied there by hand go to the vault.
func (l *Library) Scan(ctx context.Context) error {
	return l.asPeople(ctx, func() (Event, error) {
		if err := l.motion(ctx, Motion{Kind: MotionScan, Time: l.cfg.Model.Timing.Scan}); err != nil {
			return Event{}, err
		}
		return Changed, l.reconcile()
	})
}

// Initialize is INITIALIZE ELEMENT STATUS of n elements (SMC-3, 6.4): the robot looks at them. What it
// would find the inventory knows; only contents that were missing are looked for again.
func (l *Library) Initialize(ctx context.Context, n int) error {
	return l.asPeople(ctx, func() (e Event, err error) {
		elements := len(l.inv.slots) + len(l.inv.mailslots) + len(l.inv.bays)
		whole := float64(l.cfg.Model.Timing.Scan)
		err = l.motion(ctx, Motion{Kind: MotionScan, Time: time.Duration(whole * float64(n) / float64(max(1, elements)))})
		if err == nil && l.inv.missing > 0 {
			err = l.reconcile()
		}
		if err != nil {
			return e, err
		}
		lib := l.inv.library
		lib.Scans++
		return e, l.commitWith(change{}, batch{library: &lib})
	})
}

// SetPrevented is PREVENT ALLOW MEDIUM REMOVAL: whether people can open the library.
func (l *Library) SetPrevented(on bool) { l.prevented.Store(on) }

// OpenMailslots is OPEN/CLOSE IMPORT/EXPORT ELEMENT: while they are open, the robot does
// not reach them.
func (l *Library) OpenMailslots(ctx context.Context, open bool) error {
	return l.asPeople(ctx, func() (e Event, err error) {
		was := l.doorOpen.Load()
		switch {
		case was == open:
			return e, nil
		case !open:
			l.doorOpen.Store(false)
			return Accessed, nil
		case l.prevented.Load():
			return e, ErrPrevented
		}
		if err := l.commitOpening(change{}, Place{Kind: Mailslot}); err != nil {
			return e, err
		}
		l.doorOpen.Store(true)
		return e, nil
	})
}
