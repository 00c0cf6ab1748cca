package library

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/targate/targate/vtl/personality"
)

// elementRange is the element addresses of one kind of element.
type elementRange struct {
	what         string
	first, count int
	most         int // 0: as many as there are addresses
}

func elementRanges(m *personality.Changer, slots, mailslots, drives int) [4]elementRange {
	return [4]elementRange{
		{"pickers", int(m.Picker), m.Pickers, 0},
		{"slots", int(m.Slot), slots, m.MaxSlots},
		{"mailslots", int(m.Mailslot), mailslots, m.MaxMailslots},
		{"drives", int(m.Drive), drives, m.MaxDrives},
	}
}

// checkGeometry refuses more elements than the model has, or than its addresses leave room
// for.
func checkGeometry(cfg *Config, slots, mailslots, drives int) error {
	ranges := elementRanges(cfg.Model, slots, mailslots, drives)
	for i, r := range ranges {
		switch {
		case r.count < 0:
			return fmt.Errorf("%w: %d %s", ErrGeometry, r.count, r.what)
		case r.most > 0 && r.count > r.most:
			return fmt.Errorf("%w: %s has at most %d %s, not %d", ErrGeometry, cfg.Model.Name, r.most, r.what, r.count)
		case r.first+r.count > 1<<16:
			return fmt.Errorf("%w: %s has element addresses for %d %s, not %d", ErrGeometry, cfg.Model.Name, 1<<16-r.first, r.what, r.count)
		}
		for _, o := range ranges[:i] {
			if r.count > 0 && o.count > 0 && r.first < o.first+o.count && o.first < r.first+r.count {
				if o.first < r.first {
					r, o = o, r
				}
				return fmt.Errorf("%w: %s has element addresses for %d %s, not %d: those of its %s follow",
					ErrGeometry, cfg.Model.Name, o.first-r.first, r.what, r.count, o.what)
			}
		}
	}
	return nil
}

// AddDrive puts a drive into the first empty bay, or into a new one.
func (l *Library) AddDrive(ctx context.Context, d DriveConfig) (s DriveStatus, err error) {
	err = l.asPeople(ctx, func() (Event, error) {
		n := 1 + slices.IndexFunc(l.inv.bays, func(b *bay) bool { return b.drive == nil })
		if n == 0 {
			n = len(l.inv.bays) + 1
		}
		if err := l.setDrive(n, d); err != nil {
			return Event{}, err
		}
		s = l.driveStatus(n)
		return Rebuilt, nil
	})
	return s, err
}

// setDrive puts a new drive into bay n, which has none or is the next. The robot is held.
func (l *Library) setDrive(n int, d DriveConfig) error {
	if err := checkGeometry(&l.cfg, len(l.inv.slots), len(l.inv.mailslots), max(n, len(l.inv.bays))); err != nil {
		return err
	}
	b, err := l.newBay(n, driveRecord{Model: d.Model.Name, Serial: d.Serial}, d.Model)
	if err != nil {
		return err
	}
	if err := l.commitWith(change{}, batch{drives: map[int]*driveRecord{n: &b.rec}}); err != nil {
		return errors.Join(err, b.drive.Close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > len(l.inv.bays) {
		l.inv.bays = append(l.inv.bays, b)
	} else {
		l.inv.bays[n-1] = b
	}
	return nil
}

// RemoveDrive takes the empty drive n out. Its bay stays, unless it is the last. The caller closes
// its handler.
func (l *Library) RemoveDrive(ctx context.Context, n int) error {
	return l.asPeople(ctx, func() (Event, error) { return Rebuilt, l.removeDrive(n) })
}

// removeDrive takes drive n out. The robot is held.
func (l *Library) removeDrive(n int) error {
	if l.inv.at(Place{Drive, n}) == nil {
		return fmt.Errorf("drive %d: %w", n, ErrNoElement)
	}
	b := l.inv.bays[n-1]
	switch {
	case b.drive == nil:
		return fmt.Errorf("drive %d: %w", n, ErrDriveRemoved)
	case b.held != nil:
		return fmt.Errorf("drive %d: %w", n, ErrOccupied)
	}
	gone := &bay{rec: b.rec, model: b.model}
	gone.rec.Removed = true
	ch := batch{drives: map[int]*driveRecord{n: &gone.rec}}
	left := len(l.inv.bays)
	for left > 0 && (left == n || l.inv.bays[left-1].drive == nil) {
		ch.drives[left] = nil
		left--
	}
	if err := l.commitWith(change{}, ch); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inv.bays[n-1] = gone
	l.inv.bays = l.inv.bays[:left]
	return nil
}

// SetSlots changes how many slots and mailslots there are. What goes must be empty.
func (l *Library) SetSlots(ctx context.Context, slots, mailslots int) error {
	return l.asPeople(ctx, func() (Event, error) {
		lib := l.inv.library
		lib.Slots, lib.Mailslots = slots, mailslots
		return Rebuilt, l.setSlots(lib)
	})
}

// setSlots makes lib the record of the library, and as many slots. The robot is held.
func (l *Library) setSlots(lib libraryRecord) error {
	if err := checkGeometry(&l.cfg, lib.Slots, lib.Mailslots, len(l.inv.bays)); err != nil {
		return err
	}
	full := func(c *cartridge) bool { return c != nil }
	if slices.ContainsFunc(l.inv.slots[min(lib.Slots, len(l.inv.slots)):], full) ||
		slices.ContainsFunc(l.inv.mailslots[min(lib.Mailslots, len(l.inv.mailslots)):], full) {
		return ErrOccupied
	}
	if err := l.commitWith(change{}, batch{library: &lib}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inv.slots = resized(l.inv.slots, lib.Slots)
	l.inv.mailslots = resized(l.inv.mailslots, lib.Mailslots)
	return nil
}

func resized(list []*cartridge, n int) []*cartridge {
	return append(make([]*cartridge, 0, n), append(slices.Clone(list[:min(n, len(list))]), make([]*cartridge, max(0, n-len(list)))...)...)
}

// Configure makes the library match cfg: slots, mailslots, drives and cartridges; other fields
// must be the same. A drive whose model or serial number changed is another drive: the caller closes
// handlers that are not of the library any more. What goes must be empty. On an error, what was done
// before it stays.
func (l *Library) Configure(ctx context.Context, cfg Config) error {
	return l.asPeople(ctx, func() (Event, error) {
		want := configured(&cfg)
		if l.inv.library.Config.equal(want) {
			return Event{}, l.createAbsent(cfg.Cartridges)
		}
		if err := checkGeometry(&l.cfg, cfg.Slots, cfg.Mailslots, len(cfg.Drives)); err != nil {
			return Event{}, err
		}
		if err := l.configureDrives(cfg.Drives); err != nil {
			return Event{}, err
		}
		lib := l.inv.library
		lib.Slots, lib.Mailslots, lib.Config = cfg.Slots, cfg.Mailslots, want
		if err := l.setSlots(lib); err != nil {
			return Event{}, err
		}
		return Rebuilt, l.createAbsent(cfg.Cartridges)
	})
}

// configureDrives makes the drives match a configuration.
func (l *Library) configureDrives(want []DriveConfig) error {
	same := func(i int) bool {
		b := l.inv.bays[i]
		return b.drive != nil && b.rec.Model == want[i].Model.Name && (want[i].Serial == "" || want[i].Serial == b.rec.Serial)
	}
	for i, b := range l.inv.bays { // nothing goes when something cannot
		if b.held != nil && (i >= len(want) || !same(i)) {
			return fmt.Errorf("drive %d: %w", i+1, ErrOccupied)
		}
	}
	for n := len(l.inv.bays); n > 0; n-- {
		if n > len(l.inv.bays) || l.inv.bays[n-1].drive == nil || n <= len(want) && same(n-1) {
			continue
		}
		if err := l.removeDrive(n); err != nil {
			return err
		}
	}
	for i, d := range want {
		if i < len(l.inv.bays) && same(i) {
			continue
		}
		if err := l.setDrive(i+1, d); err != nil {
			return err
		}
	}
	return nil
}
