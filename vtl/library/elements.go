package library

import (
	"iter"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/personality"
)

// ElementType is an ELEMENT TYPE CODE (SMC-3, table 22).
type ElementType uint8

// Element types. AnyElement is none, but stands for all in requests.
const (
	AnyElement ElementType = iota
	MediumTransport
	Storage
	ImportExport
	DataTransfer
)

// Range is the elements of one type: their addresses are consecutive.
type Range struct {
	Type  ElementType
	First uint16
	Count int
}

// View is the elements of a library, which stay as they are while one has it.
type View struct{ l *Library }

// View calls f with the elements as they are now. f must not call the library, nor wait.
func (l *Library) View(f func(View)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f(View{l})
}

// Ranges are the elements in order of element type. Types of which there are none are there,
// too.
func (v View) Ranges() [4]Range {
	m, inv := v.l.cfg.Model, &v.l.inv
	return [4]Range{
		{MediumTransport, m.Picker, m.Pickers},
		{Storage, m.Slot, len(inv.slots)},
		{ImportExport, m.Mailslot, len(inv.mailslots)},
		{DataTransfer, m.Drive, len(inv.bays)},
	}
}

// Ranges are those of the View now.
func (l *Library) Ranges() (r [4]Range) {
	l.View(func(v View) { r = v.Ranges() })
	return r
}

var typeKinds = [...]Kind{MediumTransport: NoPlace, Storage: Slot, ImportExport: Mailslot, DataTransfer: Drive}

// Address is the element address of p, 0 for a place that has none.
func (l *Library) Address(p Place) uint16 {
	switch p.Kind {
	case Slot:
		return l.cfg.Model.Slot + uint16(p.N-1)
	case Mailslot:
		return l.cfg.Model.Mailslot + uint16(p.N-1)
	case Drive:
		return l.cfg.Model.Drive + uint16(p.N-1)
	}
	return 0
}

// Find is the element at an address: its type is AnyElement when there is none. A picker
// is no Place.
func (l *Library) Find(address uint16) (ElementType, Place) {
	for _, r := range l.Ranges() {
		if i := int(address) - int(r.First); i >= 0 && i < r.Count {
			if r.Type == MediumTransport {
				return r.Type, Place{}
			}
			return r.Type, Place{typeKinds[r.Type], i + 1}
		}
	}
	return AnyElement, Place{}
}

// Element is the status of an element (SMC-3, 6.15).
type Element struct {
	Type    ElementType
	Address uint16
	Full    bool
	ByHand  bool       // IMPEXP: people put it there
	Access  bool       // the robot can reach it, and take what is there
	Except  sense.Code // why the element is in an abnormal state; 0: it is not
	// SourceValid: Source is the storage element that the cartridge was taken from last.
	SourceValid bool
	Source      uint16
	Barcode     string
	Media       *personality.Media // of the cartridge
	WORM        bool
	// Drive is that of a data transfer element, nil when there is none: what is in DVCID.
	Drive   *DriveSpec
	Handler core.Handler
}

// Codes of exceptions.
const (
	driveRemoved       sense.Code = 0x3b1a // DATA TRANSFER DEVICE REMOVED
	manualIntervention sense.Code = 0x0403 // the contents are missing
)

// Elements are those of type t from address first on, in ascending order. Each is good until the
// next one.
func (v View) Elements(t ElementType, first uint16) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		r := v.Ranges()[t-1]
		var e Element
		for i := max(0, int(first)-int(r.First)); i < r.Count; i++ {
			v.l.element(&e, r, i)
			if !yield(&e) {
				return
			}
		}
	}
}

// element is the i-th element of r.
func (l *Library) element(e *Element, r Range, i int) {
	*e = Element{Type: r.Type, Address: r.First + uint16(i), Access: true}
	var c *cartridge
	switch r.Type {
	case Storage:
		c = l.inv.slots[i]
	case ImportExport:
		c = l.inv.mailslots[i]
		e.Access = !l.doorOpen.Load()
	case DataTransfer:
		b := l.inv.bays[i]
		c = b.held
		l.driveElement(e, b)
	}
	if c == nil {
		return
	}
	e.Full, e.ByHand = true, c.rec.ByHand
	e.Barcode, e.Media, e.WORM = c.rec.Barcode, c.media, c.rec.WORM
	if n := l.cfg.Model.BarcodeLength; n > 0 && len(e.Barcode) > n {
		e.Barcode = e.Barcode[:n]
	}
	if home := c.rec.Home; l.inv.at(home) != nil {
		e.SourceValid, e.Source = true, l.Address(home)
	}
	if c.missing {
		e.Except = manualIntervention
	}
}

// driveElement is what of e is the drive's.
func (l *Library) driveElement(e *Element, b *bay) {
	if b.drive == nil {
		e.Access, e.Except = false, driveRemoved
		return
	}
	e.Drive, e.Handler = &b.spec, b.drive
	st := b.drive.State()
	e.Access = !st.Prevented && !(st.Loaded && l.cfg.Model.UnloadBeforeMove)
}
