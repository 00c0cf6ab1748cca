package pr

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// exempt tells whether RESERVE and RELEASE of n are GOOD and change nothing: its
// persistent reservation covers it already (SPC-6, 5.14.3, CRH).
func (t *Table) exempt(n Nexus) bool {
	return t.holds(n) || t.Type.shared() && t.find(n) >= 0
}

// mapped checks that c's nexus still sees the unit: what is reserved after Lost would
// never be released.
func mapped(c *core.Command) error {
	if c.Path.Nexus().Path(c.Path.LUN) != c.Path {
		return sense.ErrNoUnit
	}
	return nil
}

// reserve is RESERVE(6) and RESERVE(10) (SPC-2, 7.21).
func (s *Service) reserve(c *core.Command) error {
	n, id := nexusOf(c.Path), c.Path.Nexus().ID
	return s.update(c, func(t *Table) (*Change, error) {
		switch {
		case t.exempt(n):
			return nil, nil
		case len(t.Registrants) > 0:
			return nil, sense.ReservationConflict // SPC-2, 5.5.1
		case t.Reserved != nil && t.Reserved.ID != id:
			return nil, sense.ReservationConflict
		case t.Reserved != nil:
			return nil, nil
		}
		if err := mapped(c); err != nil {
			return nil, err
		}
		ch := t.change()
		ch.Table.Reserved = &Exclusive{n, id}
		return ch, nil
	})
}

// release is RELEASE(6) and RELEASE(10) (SPC-2, 7.16): without effect on the reservation
// of another.
func (s *Service) release(c *core.Command) error {
	n, id := nexusOf(c.Path), c.Path.Nexus().ID
	return s.update(c, func(t *Table) (*Change, error) {
		switch {
		case t.exempt(n):
			return nil, nil
		case len(t.Registrants) > 0:
			return nil, sense.ReservationConflict // SPC-2, 5.5.1
		case t.Reserved == nil || t.Reserved.ID != id:
			return nil, nil
		}
		ch := t.change()
		ch.Table.Reserved = nil
		return ch, nil
	})
}
