package library

import (
	"context"
	"errors"

	"github.com/targate/targate/core"
)

// Library is a tape library. Its methods are safe for concurrent use. Those with a context
// wait for the robot, which does one thing at a time; ctx ends the wait, not the work.
type Library struct {
	cfg Config
}

var errNotYet = errors.New("not yet")

// Open opens the library of cfg, and makes what is not there yet. What the inventory file
// says of slots and drives stands, but for what has changed in cfg since the last Open or
// Configure. Cartridges that have no place any more are put into the vault.
func Open(cfg Config) (*Library, error) { return nil, errNotYet }

// Close ends the use of the inventory. The handlers of the drives have been closed.
func (l *Library) Close() error { return errNotYet }

// Configure makes the library match cfg: slots, mailslots, drives and cartridges; other
// fields must be the same. It changes nothing when it fails but for drives and cartridges that were
// added already.
func (l *Library) Configure(ctx context.Context, cfg Config) error { return errNotYet }

// Name is the name of the library in the configuration.
func (l *Library) Name() string { return l.cfg.Name }

// Status is the whole library.
func (l *Library) Status() Status { return Status{} }

// Drives are all drives in order of number, removed ones among them.
func (l *Library) Drives() []DriveStatus { return nil }

// Drive is the handler of drive n, nil when there is none.
func (l *Library) Drive(n int) core.Handler { return nil }

// Slots are the places of one kind, Slot or Mailslot, in order of number.
func (l *Library) Slots(k Kind) []SlotStatus { return nil }

// Cartridges are all cartridges, in order of barcode.
func (l *Library) Cartridges() []CartridgeStatus { return nil }

// Cartridge is the cartridge of a barcode.
func (l *Library) Cartridge(barcode string) (CartridgeStatus, error) {
	return CartridgeStatus{}, errNotYet
}

// At is the cartridge at p. An empty place is ErrEmpty.
func (l *Library) At(p Place) (CartridgeStatus, error) { return CartridgeStatus{}, errNotYet }

// Move carries a cartridge from one place of the library to another. Initiators are told, as of
// all that follows.
func (l *Library) Move(ctx context.Context, from, to Place) error { return errNotYet }

// Load carries a cartridge to drive n, which begins to load it.
func (l *Library) Load(ctx context.Context, barcode string, n int) error { return errNotYet }

// Unload unloads drive n and carries its cartridge to to; the zero Place is where it came from,
// or else the first free slot. It returns where that is.
func (l *Library) Unload(ctx context.Context, n int, to Place) (Place, error) {
	return Place{}, errNotYet
}

// Eject unloads drive n, as its button does. The cartridge stays in it, for the robot to take.
func (l *Library) Eject(ctx context.Context, n int) error { return errNotYet }

// Import puts a cartridge of the vault into to, a mailslot or slot; the zero Place is the first
// free mailslot, or slot when the library has no mailslots. It returns where that is.
func (l *Library) Import(ctx context.Context, barcode string, to Place) (Place, error) {
	return Place{}, errNotYet
}

// Export takes a cartridge out of a mailslot or slot, into the vault.
func (l *Library) Export(ctx context.Context, barcode string) error { return errNotYet }

// Scan has the robot read all barcodes, as INITIALIZE ELEMENT STATUS does, and look for
// the contents of cartridges that were missing.
func (l *Library) Scan(ctx context.Context) error { return errNotYet }

// CreateOptions say how Create makes cartridges.
type CreateOptions struct {
	// To is the place of the only cartridge. The zero Place is the first free slots, and
	// the vault for those that find none.
	To             Place
	WriteProtected bool
}

// Create makes blank cartridges: of a barcode, or a range "TG0001L8-TG0010L8". The media
// identifier that ends the barcode says of what kind, and whether WORM. All barcodes must be new.
func (l *Library) Create(ctx context.Context, barcodes string, o CreateOptions) ([]CartridgeStatus, error) {
	return nil, errNotYet
}

// Delete destroys a cartridge, which is not in a drive, with all its generations. One that is not blank
// takes force.
func (l *Library) Delete(ctx context.Context, barcode string, force bool) error { return errNotYet }

// Label sticks another label on a cartridge that is not in a drive. The media identifier
// stays the same.
func (l *Library) Label(ctx context.Context, barcode, label string) error { return errNotYet }

// SetWriteProtected moves the tab of the shell of a cartridge that is not in a drive.
func (l *Library) SetWriteProtected(ctx context.Context, barcode string, on bool) error {
	return errNotYet
}

// SetWORM makes a blank cartridge that is not in a drive one that can be written only once.
// Its label must go with it: label is the barcode that it gets, "" to keep one that says WORM already.
func (l *Library) SetWORM(ctx context.Context, barcode, label string) error { return errNotYet }

// AddDrive puts a drive into the first empty bay, or into a new one.
func (l *Library) AddDrive(ctx context.Context, d DriveConfig) (DriveStatus, error) {
	return DriveStatus{}, errNotYet
}

// RemoveDrive takes the empty drive n out. Its bay stays, unless it is the last. The caller closes
// its handler.
func (l *Library) RemoveDrive(ctx context.Context, n int) error { return errNotYet }

// SetSlots changes how many slots and mailslots there are. What goes must be empty.
func (l *Library) SetSlots(ctx context.Context, slots, mailslots int) error { return errNotYet }

// Inventory is the place of each cartridge by barcode: for tests and exports.
func (l *Library) Inventory() map[string]Place { return nil }
