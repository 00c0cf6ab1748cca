package library

import (
	"context"
	"log/slog"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/ssc"
)

// Config is a library as it is configured.
type Config struct {
	Name   string
	Model  *personality.Changer
	Serial string // of the changer; "": one is made up, and kept
	// Drives are numbered from 1 in this order.
	Drives           []DriveConfig
	Slots, Mailslots int
	// Cartridges are created if absent.
	Cartridges []Cartridges

	Inventory string // path of the inventory file, made with its directory if absent
	Pool      Pool   // of the contents; the library does not close it
	Models    *personality.Set
	// NewDrive makes a drive.
	NewDrive func(DriveSpec) (DriveHandler, error)

	// Motion, when set, is called for each motion of the robot before it counts: it takes the time
	// of a real one, or fails, and returns early with the error of ctx. A *sense.Error is what the initiator
	// gets.
	Motion func(ctx context.Context, m Motion) error
	Log    *slog.Logger // nil: slog.Default
}

// Motion is something that the robot does.
type Motion struct {
	Kind     MotionKind
	From, To Place         // of a MotionMove; To of a MotionPosition
	Barcode  string        // of what is moved
	Time     time.Duration // that a real robot of the model takes
}

// MotionKind is a kind of motion.
type MotionKind uint8

// Kinds of motion.
const (
	MotionMove     MotionKind = iota // a cartridge from one place to another
	MotionPosition                   // the picker, to a place
	MotionScan                       // a look at barcodes
)

// DriveConfig is a drive as it is configured.
type DriveConfig struct {
	Model  *personality.Drive
	Serial string // "": one is made up, and kept
}

// Cartridges are of one barcode, or a range "TG0001L8-TG0010L8".
type Cartridges struct {
	Barcodes string
	Capacity int64 // in bytes; 0: that of their kind
}

// DriveSpec is what a drive is made of.
type DriveSpec struct {
	Number   int
	Name     string // of the device: "lib0-drive1"
	Model    *personality.Drive
	Identity core.Identity
	Log      *slog.Logger
}

// DriveHandler is a drive, as the robot handles it. ssc.Drive is one.
type DriveHandler interface {
	core.Handler
	// Insert puts a cartridge into the empty drive, which begins to load it; at the start of the
	// library it is called before Attach. The error is that there is one already: what is wrong
	// with the cartridge is for the drive to report.
	Insert(c ssc.Cartridge) error
	// Remove takes the cartridge out, after it has been unloaded, all that was recorded on it
	// made durable. ctx ends the wait for what the drive is doing.
	Remove(ctx context.Context) error
	// Eject unloads the medium, as the button of the drive does. The cartridge stays in the drive.
	Eject(ctx context.Context) error
	State() ssc.State
}

// Pool is where the contents of cartridges are stored. Its methods are safe for concurrent
// use; those that change a cartridge are called when it is not mounted, and are durable when
// they return.
type Pool interface {
	// List is all that is stored. It is called once, at the start.
	List() ([]Stored, error)
	// Create stores a blank cartridge. s.ID is new.
	Create(s Stored) error
	// Mount gives the contents, for one user at a time. The error is an ErrGone of medium
	// when they are not there.
	Mount(id string, readOnly bool) (medium.Medium, error)
	// Blank says whether nothing is recorded.
	Blank(id string) (bool, error)
	// Relabel gives the cartridge another barcode.
	Relabel(id, barcode string) error
	// SetWORM makes a blank cartridge one that can be written only once.
	SetWORM(id string) error
	// Delete removes the cartridge with all its generations. An absent one is no error.
	Delete(id string) error
}

// Stored is what the store knows of a cartridge.
type Stored struct {
	ID      string // a UUID, for life
	Barcode string
	Media   *personality.Media
	WORM    bool
	// Capacity in bytes; 0: that of Media. List need not tell it.
	Capacity int64
	Created  time.Time
}
