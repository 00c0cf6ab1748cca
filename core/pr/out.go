package pr

import (
	"errors"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// update makes decide's change for c. A command that was aborted meanwhile changes
// nothing: its nexus may have been preempted.
func (s *Service) update(c *core.Command, decide func(*Table) (*Change, error)) error {
	err := s.store.Update(c, func(t *Table) (*Change, error) {
		if err := c.Err(); err != nil {
			return nil, err
		}
		ch, err := decide(t)
		if ch != nil {
			ch.by = c
		}
		return ch, err
	})
	if err != nil && errors.Is(err, c.Err()) {
		return sense.TaskAborted
	}
	return err
}

// out is PERSISTENT RESERVE OUT (SPC-6, 6.18).
func (s *Service) out(c *core.Command) error {
	p, err := parseOut(c.CDB, c.Out, c.OutLen)
	if err != nil {
		return err
	}
	r := &request{params: p, by: nexusOf(c.Path)}
	switch p.action {
	case actRegister, actRegisterIgnore, actRegisterMove:
		if err := s.complete(r, c); err != nil {
			return err
		}
	}
	return s.update(c, r.decide)
}

// request is a PERSISTENT RESERVE OUT with all that the decision depends on beside the
// Table.
type request struct {
	*params
	by    Nexus
	ports []uint16             // REGISTER: the target ports to register through
	known []core.InitiatorPort // initiator ports that are logged in
}

// complete looks up what a registration refers to.
func (s *Service) complete(r *request, c *core.Command) error {
	if r.aptpl && !s.store.Durable() {
		if r.action == actRegisterMove {
			return sense.ParamBit(offMoveFlags, bitAPTPL)
		}
		return sense.ParamBit(offFlags, bitAPTPL)
	}
	own := c.Path.Nexus().Target
	r.ports = []uint16{r.by.Port}
	there := r.action != actRegisterMove || r.port == r.by.Port
	for _, port := range s.ports() {
		there = there || port.Relative == r.port
		// ALL_TG_PT is of the SCSI target device that received it (SPC-6, 6.18.3).
		if r.allTGPT && own != nil && port.Target == own.Target && port.Relative != r.by.Port {
			r.ports = append(r.ports, port.Relative)
		}
	}
	if !there {
		return sense.Param(offMovePort)
	}
	if r.specIPT {
		s.unit.EachPath(func(p *core.Path) { r.known = append(r.known, p.Nexus().Initiator) })
	}
	return nil
}

// decide makes the next Table. All that it depends on is in r and t.
func (r *request) decide(t *Table) (*Change, error) {
	if t.Reserved != nil {
		return nil, sense.ReservationConflict // SPC-2, 5.5.1: even for its holder
	}
	switch r.action {
	case actRegister, actRegisterIgnore:
		return r.register(t)
	case actRegisterMove:
		return r.move(t)
	}
	if err := t.registered(r.by, r.key); err != nil {
		return nil, err
	}
	switch r.action {
	case actReserve:
		return r.reserve(t)
	case actRelease:
		return r.release(t)
	case actClear:
		return r.clear(t)
	default:
		return r.preempt(t)
	}
}

// reserve is RESERVE (SPC-6, 5.14.9).
func (r *request) reserve(t *Table) (*Change, error) {
	if err := r.checkType(); err != nil {
		return nil, err
	}
	switch {
	case t.Type == 0:
		c := t.change()
		c.reserve(r.typ, r.by)
		return c, nil
	case !t.holds(r.by) || t.Type != r.typ:
		return nil, sense.ReservationConflict
	}
	return nil, nil // it holds just that
}

// reserve gives the persistent reservation to n.
func (c *Change) reserve(typ Type, n Nexus) {
	c.Table.Type, c.Table.Holder = typ, n
	if typ.forAll() {
		c.Table.Holder = Nexus{}
	}
}

// errRelease: SCOPE or TYPE are not those of the reservation.
var errRelease = sense.New(sense.IllegalRequest, sense.InvalidReleaseOfReservation)

// release is RELEASE (SPC-6, 5.14.11.2.2).
func (r *request) release(t *Table) (*Change, error) {
	if err := r.checkType(); err != nil {
		return nil, err
	}
	switch {
	case !t.holds(r.by):
		return nil, nil // not an error: a release may be repeated
	case r.typ != t.Type:
		return nil, errRelease
	}
	c := t.change()
	c.Table.Type, c.Table.Holder = 0, Nexus{}
	if t.Type.shared() {
		c.notify(sense.ReservationsReleased, t.Registrants, r.by)
	}
	return c, nil
}

// clear is CLEAR (SPC-6, 5.14.11.2.7).
func (r *request) clear(t *Table) (*Change, error) {
	c := t.change()
	c.Table.Generation++
	c.Table.Registrants, c.Table.Type, c.Table.Holder = nil, 0, Nexus{}
	c.notify(sense.ReservationsPreempted, t.Registrants, r.by)
	return c, nil
}

// preempt is PREEMPT and PREEMPT AND ABORT (SPC-6, 5.14.11.2.4 and 5.14.11.2.6).
func (r *request) preempt(t *Table) (*Change, error) {
	var takes bool // the reservation too, not only registrations
	switch {
	case t.Type == 0:
	case t.Type.forAll():
		takes = r.serviceKey == 0
	default:
		takes = t.Registrants[t.find(t.Holder)].Key == r.serviceKey
	}
	var gone []Registrant
	c := t.change()
	c.Table.Generation++
	switch {
	case takes:
		if err := r.checkType(); err != nil {
			return nil, err
		}
		gone = r.takeOver(c, t)
	case r.serviceKey == 0:
		return nil, sense.Param(offServiceKey)
	default:
		gone = c.remove(r.by, func(x Registrant) bool { return x.Key == r.serviceKey })
		if len(gone) == 0 {
			return nil, sense.ReservationConflict // nobody has that key
		}
	}
	c.notify(sense.RegistrationsPreempted, gone, r.by)
	if r.action == actPreemptAbort {
		for _, x := range gone {
			c.Abort = append(c.Abort, x.Nexus)
		}
	}
	return c, nil
}

// takeOver gives the reservation to r.by, who stays registered even if it has the key
// of those whose registrations go. The others are told of a reservation that is not
// what it was (SPC-6, 5.14.11.2.4).
func (r *request) takeOver(c *Change, t *Table) (gone []Registrant) {
	c.Table.Type, c.Table.Holder = 0, Nexus{}
	gone = c.remove(r.by, func(x Registrant) bool {
		return x.Nexus != r.by && (t.Type.forAll() || x.Key == r.serviceKey)
	})
	c.reserve(r.typ, r.by)
	if r.typ != t.Type {
		c.notify(sense.ReservationsReleased, c.Table.Registrants, r.by)
	}
	return gone
}
