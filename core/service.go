package core

// VPDPage is a page of vital product data (SPC-6, 7.7).
type VPDPage struct {
	Code uint8
	// Append adds what follows the four bytes of the page header to dst.
	Append func(dst []byte, c *Command) []byte
}

// Describer is an optional interface of a Service: VPD pages that it adds to those of
// its unit's handler. It is asked once, before the first command.
type Describer interface{ VPDPages() []VPDPage }

// VPDPages are the pages that the unit's services add. A handler that answers INQUIRY
// finds this method behind its Host.
func (u *Unit) VPDPages() []VPDPage {
	var pages []VPDPage
	for _, s := range u.services {
		if d, ok := s.(Describer); ok {
			pages = append(pages, d.VPDPages()...)
		}
	}
	return pages
}

// AccessReporter is an optional interface of a Service: how the unit's asymmetric
// access is managed, the TPGS field of the standard INQUIRY data (SPC-6, 6.7.2).
type AccessReporter interface{ TPGS() uint8 }

// TPGS is what the unit's services say of its asymmetric access, 0 without any. A
// handler that answers INQUIRY finds this method behind its Host.
func (u *Unit) TPGS() uint8 {
	for _, s := range u.services {
		if a, ok := s.(AccessReporter); ok {
			return a.TPGS()
		}
	}
	return 0
}
