package spc

// ModePage is a mode page as data. Its bytes are numbered as in the standard: byte 0
// holds PAGE CODE (and SPF for a subpage), and the length field is right.
type ModePage struct {
	// Default is the whole page at its default values.
	Default []byte
	// Changeable has a 1 for each bit that MODE SELECT may change, and is as long as
	// Default; its header bytes are ignored. nil: none.
	Changeable []byte
	// Check refuses values that the mask allows: the error is a sense.Param or
	// sense.ParamBit whose byte is counted from the start of the page. It is called
	// before anything changes. nil: all are taken.
	Check func(page []byte) error
	// Apply makes the page's values effective: after a MODE SELECT that changed them,
	// and once when the device is attached. It must not keep page. May be nil.
	Apply func(page []byte)
}

// Mode returns a copy of the current values of a mode page, nil when there is none.
func (d *Device) Mode(code, sub uint8) []byte { return nil }

type modeTable struct{}

func (d *Device) setModes([]ModePage) error { return nil }
func (d *Device) restoreModes() error       { return nil }
