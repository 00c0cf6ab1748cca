package library

import "errors"

// Classes of errors. What is returned wraps one of them, or is a failure of storage.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrInvalid  = errors.New("invalid")
)

// Reason is why the library refuses. Each is of one class: errors.Is(ErrEmpty, ErrConflict).
type Reason struct {
	class error
	text  string
}

func (r *Reason) Error() string { return r.text }

// Is reports whether target is the class of r.
func (r *Reason) Is(target error) bool { return target == r.class }

// Reasons.
var (
	ErrNoElement      = &Reason{ErrNotFound, "there is no such place"}
	ErrNoCartridge    = &Reason{ErrNotFound, "there is no such cartridge"}
	ErrEmpty          = &Reason{ErrConflict, "there is no cartridge"}
	ErrFull           = &Reason{ErrConflict, "there is a cartridge already"}
	ErrNoRoom         = &Reason{ErrConflict, "all are full"}
	ErrPrevented      = &Reason{ErrConflict, "an initiator prevents the removal of cartridges"}
	ErrDrivePrevented = &Reason{ErrConflict, "an initiator prevents the removal of the cartridge from the drive"}
	ErrNotUnloaded    = &Reason{ErrConflict, "the drive has not unloaded its cartridge"}
	ErrUnload         = &Reason{ErrConflict, "the drive does not give its cartridge away"}
	ErrMailslotOpen   = &Reason{ErrConflict, "the mailslots are open"}
	ErrDriveRemoved   = &Reason{ErrConflict, "the drive is removed"}
	ErrInDrive        = &Reason{ErrConflict, "the cartridge is in a drive"}
	ErrInside         = &Reason{ErrConflict, "the cartridge is in the library"}
	ErrOutside        = &Reason{ErrConflict, "the cartridge is outside of the library"}
	ErrMissing        = &Reason{ErrConflict, "the contents of the cartridge are missing"}
	ErrNotBlank       = &Reason{ErrConflict, "the cartridge is not blank"}
	ErrExists         = &Reason{ErrConflict, "there is a cartridge of that barcode"}
	ErrOccupied       = &Reason{ErrConflict, "there are cartridges in what would go"}
	ErrBarcode        = &Reason{ErrInvalid, "not a barcode of this library"}
	ErrNoMedia        = &Reason{ErrInvalid, "no kind of cartridge has that media identifier"}
	ErrNoWORM         = &Reason{ErrInvalid, "there is no WORM version of the cartridge"}
	ErrGeometry       = &Reason{ErrInvalid, "the model has not that many elements"}
)
