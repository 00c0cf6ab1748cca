package ssc

import (
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
	// Mount gives its contents, for the drive alone, until Medium.Close.
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

// ErrPrevented is why a drive gives its cartridge to nobody: some initiator prevents removal.
var ErrPrevented = errors.New("an initiator prevents the removal of the cartridge")
