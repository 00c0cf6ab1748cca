package pr

import (
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Type is a persistent reservation TYPE (SPC-6, table 222). Zero is none.
type Type uint8

// Types.
const (
	WriteExclusive             Type = 1
	ExclusiveAccess            Type = 3
	WriteExclusiveRegistrants  Type = 5 // registrants only
	ExclusiveAccessRegistrants Type = 6
	WriteExclusiveAll          Type = 7 // all registrants
	ExclusiveAccessAll         Type = 8
)

// types are the valid ones, and their bits in the PERSISTENT RESERVATION TYPE MASK of
// REPORT CAPABILITIES (SPC-6, table 229).
var types = map[Type]uint16{
	WriteExclusive:             0x0200,
	ExclusiveAccess:            0x0800,
	WriteExclusiveRegistrants:  0x2000,
	ExclusiveAccessRegistrants: 0x4000,
	WriteExclusiveAll:          0x8000,
	ExclusiveAccessAll:         0x0001,
}

func (t Type) valid() bool { return types[t] != 0 }

// forAll: every registrant holds the reservation.
func (t Type) forAll() bool { return t == WriteExclusiveAll || t == ExclusiveAccessAll }

// shared: every registrant has access, whoever holds the reservation.
func (t Type) shared() bool { return t >= WriteExclusiveRegistrants }

// mayRead: the others may read the medium.
func (t Type) mayRead() bool {
	return t == WriteExclusive || t == WriteExclusiveRegistrants || t == WriteExclusiveAll
}

// Nexus is an I_T nexus by the names of its ports, whether it exists now or not.
type Nexus struct {
	Initiator core.InitiatorPort
	Port      uint16 // RELATIVE TARGET PORT IDENTIFIER
}

// nexusOf is the nexus of a path.
func nexusOf(p *core.Path) Nexus {
	n := Nexus{Initiator: p.Nexus().Initiator}
	if port := p.Nexus().Target; port != nil {
		n.Port = port.Relative
	}
	return n
}

// Registrant is a registered I_T nexus and its reservation key, which is not zero.
type Registrant struct {
	Nexus
	Key uint64
}

// Exclusive is a reservation by RESERVE. ID is that of the core.Nexus in its gateway,
// so that what the session before left to do cannot end the reservation of this one.
type Exclusive struct {
	Nexus
	ID uint32
}

// Table is the reservations of one logical unit. A Table that was published does not
// change any more.
type Table struct {
	Generation  uint32       // PRGENERATION; it starts at zero with each power on
	Persist     bool         // the last APTPL: what is below outlives a loss of power
	Registrants []Registrant // in the order of registration
	Type        Type         // of the persistent reservation, 0 when there is none
	Holder      Nexus        // a registrant, unless Type is for all or none

	// Reserved is by RESERVE of SPC-2, nil when not. It goes with its nexus and any
	// reset, and excludes registrants.
	Reserved *Exclusive
}

// Change is a decision: the next Table, and what follows from it. Every gateway of the
// unit carries it out.
type Change struct {
	Table   *Table
	Notices []Notice
	Abort   []Nexus // whose tasks PREEMPT AND ABORT ends

	by *core.Command // which decided; nil when that came to another gateway
}

// Notice is a unit attention that is due to a nexus.
type Notice struct {
	Nexus Nexus
	Code  sense.Code
}

// change begins a Change from t, whose registrants may be altered.
func (t *Table) change() *Change {
	next := *t
	next.Registrants = slices.Clone(t.Registrants)
	return &Change{Table: &next}
}

// find is the index of n among the registrants, -1 when it is none.
func (t *Table) find(n Nexus) int {
	return slices.IndexFunc(t.Registrants, func(r Registrant) bool { return r.Nexus == n })
}

// holds tells whether the registrant n holds the persistent reservation.
func (t *Table) holds(n Nexus) bool {
	return t.Type != 0 && (t.Holder == n || t.Type.forAll()) && t.find(n) >= 0
}

// registered is the check that all service actions but the first registration begin
// with: n is registered, and its key is key.
func (t *Table) registered(n Nexus, key uint64) error {
	if i := t.find(n); i < 0 || t.Registrants[i].Key != key {
		return sense.ReservationConflict
	}
	return nil
}

// set registers n with key, or changes its key. The error is INSUFFICIENT REGISTRATION
// RESOURCES.
func (c *Change) set(n Nexus, key uint64) error {
	t := c.Table
	if i := t.find(n); i >= 0 {
		t.Registrants[i].Key = key
		return nil
	}
	if len(t.Registrants) >= maxRegistrants {
		return errRegistrants
	}
	t.Registrants = append(t.Registrants, Registrant{n, key})
	return nil
}

// maxRegistrants bounds the table of a unit.
const maxRegistrants = 1024

var errRegistrants = sense.New(sense.IllegalRequest, sense.InsufficientRegistrations)

// remove unregisters those for which match holds, and returns them. A reservation goes
// with its holder; then the remaining registrants of a shared one, but by, are told
// (SPC-6, 5.14.11.2.3).
func (c *Change) remove(by Nexus, match func(Registrant) bool) (gone []Registrant) {
	t := c.Table
	t.Registrants = slices.DeleteFunc(t.Registrants, func(r Registrant) bool {
		if match(r) {
			gone = append(gone, r)
			return true
		}
		return false
	})
	switch {
	case t.Type.forAll() && len(t.Registrants) > 0, t.Type == 0:
		return gone
	case !t.Type.forAll() && t.find(t.Holder) >= 0:
		return gone
	}
	if t.Type.shared() {
		c.notify(sense.ReservationsReleased, t.Registrants, by)
	}
	t.Type, t.Holder = 0, Nexus{}
	return gone
}

// notify tells each of rs but by.
func (c *Change) notify(code sense.Code, rs []Registrant, by Nexus) {
	for _, r := range rs {
		if r.Nexus != by {
			c.Notices = append(c.Notices, Notice{r.Nexus, code})
		}
	}
}
