package library

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/personality"
)

// Library is a tape library. Its methods are safe for concurrent use. Those with a context
// wait for the robot, which does one thing at a time; ctx ends the wait, and a motion, but
// nothing that has been decided.
type Library struct {
	cfg   Config
	log   *slog.Logger
	store keeper

	robot chan struct{} // holds the token of whoever may change the inventory

	// Guarded by the robot: what the file may have otherwise than memory, after a failed commit.
	unsure       map[string]struct{} // cartridges, by ID
	unsureDrives map[int]struct{}

	doorOpen  atomic.Bool // of the mailslots
	prevented atomic.Bool
	watch     atomic.Pointer[func(Event)]

	mu  sync.RWMutex // guards inv; who holds the robot may read without
	inv inventory
}

// keeper is where the inventory is kept: a store.
type keeper interface {
	load() (*saved, error)
	commit(batch) error
	close() error
}

// Close ends the use of the inventory. The handlers of the drives are closed by their units.
func (l *Library) Close() error {
	l.robot <- struct{}{} // for good
	return l.store.close()
}

// Name is the name of the library in the configuration.
func (l *Library) Name() string { return l.cfg.Name }

// Model is the model of the changer.
func (l *Library) Model() *personality.Changer { return l.cfg.Model }

// Identity is who the changer is, for life.
func (l *Library) Identity() core.Identity {
	m := l.cfg.Model
	l.mu.RLock()
	defer l.mu.RUnlock()
	id := core.Identity{Vendor: m.Vendor, Product: m.Product, Revision: m.Revision, Serial: l.inv.library.Serial}
	id.NAA, _ = parseNAA(l.inv.library.NAA) // Open has read it
	return id
}

// Event is what initiators are told of what they did not do themselves.
type Event struct {
	Code sense.Code // of the unit attention
}

// Events.
var (
	// Accessed: people reached into a mailslot.
	Accessed = Event{0x2801}
	// Changed: people moved cartridges.
	Changed = Event{sense.MediumMayHaveChanged}
	// Rebuilt: there are other slots, mailslots or drives.
	Rebuilt = Event{sense.ModeParametersChanged}
)

// Watch has f called after each event from now on, with no lock held, from any goroutine.
func (l *Library) Watch(f func(Event)) { l.watch.Store(&f) }

func (l *Library) tell(e Event) {
	if f := l.watch.Load(); f != nil {
		(*f)(e)
	}
}

// Status is the whole library.
func (l *Library) Status() Status {
	m := l.cfg.Model
	l.mu.RLock()
	defer l.mu.RUnlock()
	v := &l.inv
	s := Status{
		Name: l.cfg.Name, Model: m.Name, Vendor: m.Vendor, Product: m.Product, Revision: m.Revision,
		Serial:     v.library.Serial,
		Drives:     Count{0, v.full[Drive]},
		Slots:      Count{len(v.slots), v.full[Slot]},
		Mailslots:  Count{len(v.mailslots), v.full[Mailslot]},
		Cartridges: len(v.byID), InVault: v.inVault, Missing: v.missing,
		Prevented: l.prevented.Load(), MailslotOpen: l.doorOpen.Load(),
		Moves: v.library.Moves, Exchanges: v.library.Exchanges, Scans: v.library.Scans,
		DoorOpens: v.library.DoorOpens, MailslotOpens: v.library.MailslotOpens,
	}
	for _, b := range v.bays {
		if b.drive != nil {
			s.Drives.Total++
		}
	}
	return s
}

// Drives are all drives in order of number, removed ones among them.
func (l *Library) Drives() []DriveStatus {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list := make([]DriveStatus, 0, len(l.inv.bays))
	for i := range l.inv.bays {
		list = append(list, l.driveStatus(i+1))
	}
	return list
}

// driveStatus is drive n, which exists. The robot or mu is held.
func (l *Library) driveStatus(n int) DriveStatus {
	b := l.inv.bays[n-1]
	s := DriveStatus{Number: n, Name: b.spec.Name, Address: l.Address(Place{Drive, n}), Model: b.model.Name,
		Vendor: b.model.Vendor, Product: b.model.Product, Serial: b.rec.Serial, Removed: b.drive == nil}
	if c := b.held; c != nil {
		s.Barcode, s.Home = c.rec.Barcode, c.rec.Home
	}
	if b.drive != nil {
		st := b.drive.State()
		s.Loaded, s.Busy, s.Prevented, s.Cleaning = st.Loaded, st.Busy, st.Prevented, st.Cleaning
	}
	return s
}

// Drive is the handler of drive n, nil when there is none.
func (l *Library) Drive(n int) core.Handler {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if n < 1 || n > len(l.inv.bays) || l.inv.bays[n-1].drive == nil {
		return nil
	}
	return l.inv.bays[n-1].drive
}

// Slots are the places of one kind, Slot or Mailslot, in order of number.
func (l *Library) Slots(k Kind) []SlotStatus {
	l.mu.RLock()
	defer l.mu.RUnlock()
	held := l.inv.slots
	if k == Mailslot {
		held = l.inv.mailslots
	}
	list := make([]SlotStatus, len(held))
	for i, c := range held {
		p := Place{k, i + 1}
		list[i] = SlotStatus{Place: p, Address: l.Address(p)}
		if c != nil {
			list[i].Barcode = c.rec.Barcode
		}
	}
	return list
}

// Cartridges are all cartridges, in order of barcode.
func (l *Library) Cartridges() []CartridgeStatus {
	l.mu.RLock()
	defer l.mu.RUnlock()
	list := make([]CartridgeStatus, 0, len(l.inv.byID))
	for c := range maps.Values(l.inv.byID) {
		list = append(list, c.status())
	}
	slices.SortFunc(list, func(a, b CartridgeStatus) int {
		if a.Barcode != b.Barcode {
			return strings.Compare(a.Barcode, b.Barcode)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// status is c as people see it. The robot or mu is held.
func (c *cartridge) status() CartridgeStatus {
	r := &c.rec
	return CartridgeStatus{
		ID: c.id, Barcode: r.Barcode, Media: r.Media, WORM: r.WORM, WriteProtected: r.Protected,
		Cleaning: c.media.Cleaning, UsesLeft: r.UsesLeft, Place: r.Place, Home: r.Home, Missing: c.missing,
		Moves: r.Moves, Loads: r.Loads, Imports: r.Imports, Exports: r.Exports, Created: r.Created, Moved: r.Moved,
	}
}

// Cartridge is the cartridge of a barcode, or of an ID. So are those that the other methods name
// by barcode.
func (l *Library) Cartridge(barcode string) (CartridgeStatus, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c, err := l.inv.find(barcode)
	if err != nil {
		return CartridgeStatus{}, err
	}
	return c.status(), nil
}

// At is the cartridge at p, which is not the vault. An empty place is ErrEmpty.
func (l *Library) At(p Place) (CartridgeStatus, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c, err := l.inv.occupant(p)
	if err != nil {
		return CartridgeStatus{}, err
	}
	return c.status(), nil
}

// closeDrives ends drives that no unit has been made around.
func (l *Library) closeDrives() (err error) {
	for _, b := range l.inv.bays {
		if b.drive != nil {
			err = errors.Join(err, b.drive.Close())
		}
	}
	return err
}

// SelfTest reads the inventory file, and compares it with what is known.
func (l *Library) SelfTest(ctx context.Context) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.release()
	all, err := l.store.load()
	if err != nil {
		return err
	}
	if len(all.damaged) > 0 {
		return fmt.Errorf("inventory: %w: %v", errDamaged, all.damaged)
	}
	for id, c := range l.inv.byID {
		if r, ok := all.cartridges[id]; !ok || r.Place != c.rec.Place {
			return fmt.Errorf("inventory: %s is at %v in the file, and at %v", c.rec.Barcode, r.Place, c.rec.Place)
		}
	}
	return nil
}
