package pr

import (
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// register is REGISTER and REGISTER AND IGNORE EXISTING KEY (SPC-6, 5.14.7). The key of
// a registrant other than by stays as it is, and unregisters only with it: through each
// target port, a registration of ALL_TG_PT goes as it would have gone alone there.
func (r *request) register(t *Table) (*Change, error) {
	ignore := r.action == actRegisterIgnore
	at := t.find(r.by)
	var key uint64 // what by is registered with; zero when it is not
	if at >= 0 {
		key = t.Registrants[at].Key
	}
	switch {
	case !ignore && r.key != key:
		return nil, sense.ReservationConflict
	case r.specIPT && (at >= 0 || r.serviceKey == 0):
		return nil, sense.FieldBit(1, 4) // the service action has no such form (SPC-6, table 59)
	case at < 0 && r.serviceKey == 0:
		return nil, nil // nothing to unregister
	}
	c := t.change()
	c.Table.Generation++
	c.Table.Persist = r.aptpl

	// mine are the registrations that by may change: those with its own key, and all of
	// its initiator port when keys are ignored.
	mine := func(n Nexus, k uint64) bool {
		return n == r.by || n.Initiator == r.by.Initiator && slices.Contains(r.ports, n.Port) && (ignore || k == key)
	}
	if r.serviceKey == 0 {
		c.remove(r.by, func(x Registrant) bool { return mine(x.Nexus, x.Key) })
		return c, nil
	}
	initiators, err := r.initiators(t)
	if err != nil {
		return nil, err
	}
	for _, ip := range initiators {
		for _, port := range r.ports {
			n := Nexus{ip, port}
			old := uint64(0)
			if i := t.find(n); i >= 0 {
				old = t.Registrants[i].Key
			}
			switch {
			case old != 0 && !mine(n, old):
				continue
			case old == 0 && at >= 0 && !ignore && n != r.by:
				continue // REGISTER with by's key conflicts where nobody is registered
			}
			if err := c.set(n, r.serviceKey); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// initiators are by's port and those of SPEC_I_PT: for the name of a device all of its
// ports that are logged in or registered (SPC-6, 7.6.4.7). Of a device that nobody
// knows there is nothing to register.
func (r *request) initiators(t *Table) ([]core.InitiatorPort, error) {
	list := []core.InitiatorPort{r.by.Initiator}
	add := func(ip core.InitiatorPort) {
		if !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	for _, id := range r.ids {
		if id.Session != "" {
			add(id.InitiatorPort)
			continue
		}
		found := false
		named := func(ip core.InitiatorPort) {
			if ip.Name == id.Name {
				found = true
				add(ip)
			}
		}
		for _, ip := range r.known {
			named(ip)
		}
		for _, x := range t.Registrants {
			named(x.Initiator)
		}
		if !found {
			return nil, sense.Param(id.off)
		}
	}
	return list, nil
}

// move is REGISTER AND MOVE (SPC-6, 5.14.8).
func (r *request) move(t *Table) (*Change, error) {
	if err := t.registered(r.by, r.key); err != nil {
		return nil, err
	}
	to := Nexus{r.ids[0].InitiatorPort, r.port}
	switch {
	case t.Type == 0:
		return nil, sense.FieldBit(1, 4) // there is nothing to move
	case !t.holds(r.by), t.Type.forAll():
		return nil, sense.ReservationConflict
	case r.serviceKey == 0:
		return nil, sense.Param(offServiceKey)
	case to == r.by:
		return nil, sense.Param(offMoveID)
	}
	c := t.change()
	c.Table.Generation++
	c.Table.Persist = r.aptpl
	if err := c.set(to, r.serviceKey); err != nil {
		return nil, err
	}
	c.Table.Holder = to
	if r.unreg {
		c.remove(r.by, func(x Registrant) bool { return x.Nexus == r.by })
	}
	return c, nil
}
