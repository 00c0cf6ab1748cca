package pr

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/sense"
)

// Options are the optional parts of a Service.
type Options struct {
	// Store keeps the reservations; nil is NewStore over the unit's State.
	Store Store
	// Ports are all target ports by which the unit can be reached, for ALL_TG_PT and
	// REGISTER AND MOVE. nil: those by which it is reached now.
	Ports func() []*core.TargetPort
}

// Service is the reservations of one logical unit. It is safe for concurrent use.
type Service struct {
	store Store
	ports func() []*core.TargetPort
	unit  unit
	ops   *ops.Set[*Service]

	table atomic.Pointer[Table]
	gate  atomic.Pointer[gate] // nil when everyone passes
}

// unit is what the service needs of a core.Unit beyond core.Host.
type unit interface {
	EachPath(func(*core.Path))
	AbortPreempted(by *core.Command, preempted map[uint32]bool, done func())
}

var (
	_ core.Service = (*Service)(nil)
	_ Gateway      = (*Service)(nil)
)

// New makes the reservations of one unit, for core.UnitOptions.Services.
func New(o Options) *Service {
	return &Service{store: o.Store, ports: o.Ports, ops: ops.Compile(table)}
}

// Attach takes up the reservations that outlived the last power off (core.Service).
// When they cannot be read the unit must not start: it would let everyone write.
func (s *Service) Attach(h core.Host) error {
	u, ok := h.(unit)
	if !ok {
		return errors.New("reservations: the host is no logical unit")
	}
	s.unit = u
	if s.store == nil {
		s.store = NewStore(h.State())
	}
	if s.ports == nil {
		s.ports = h.Ports
	}
	t, err := s.store.Open(s)
	if err != nil {
		return err
	}
	s.publish(t)
	return nil
}

// Rows are the commands (core.Service).
func (s *Service) Rows() []*core.Row { return s.ops.Rows() }

// Execute carries out one of them (core.Service).
func (s *Service) Execute(c *core.Command) error { return s.ops.Execute(s, c) }

// Table is the reservations as they are now. It is not to be changed.
func (s *Service) Table() *Table { return s.table.Load() }

// Lost ends the reservation by RESERVE of an I_T nexus that is gone (core.Service;
// SPC-2, 5.5.1). A persistent one stays.
func (s *Service) Lost(p *core.Path) {
	id := p.Nexus().ID
	remains := false // another LUN of the nexus leads here
	s.unit.EachPath(func(o *core.Path) { remains = remains || o.Nexus() == p.Nexus() })
	if remains {
		return
	}
	s.drop(func(e *Exclusive) bool { return e.ID == id })
}

// Reset ends a reservation by RESERVE (core.Service; SPC-2, 5.5.1). Its holder learns of
// it before anyone else can take the unit.
func (s *Service) Reset() { s.drop(func(*Exclusive) bool { return true }, sense.BusDeviceReset) }

// drop ends the reservation by RESERVE if match holds, and tells its holder codes.
func (s *Service) drop(match func(*Exclusive) bool, codes ...sense.Code) {
	// The error would be of a Store that is shared; then the reservation stays, which
	// refuses too much and nothing too little.
	_ = s.store.Update(context.Background(), func(t *Table) (*Change, error) {
		if t.Reserved == nil || !match(t.Reserved) {
			return nil, nil
		}
		c := t.change()
		for _, code := range codes {
			c.Notices = append(c.Notices, Notice{t.Reserved.Nexus, code})
		}
		c.Table.Reserved = nil
		return c, nil
	})
}

// Apply is the Gateway's.
func (s *Service) Apply(c *Change) {
	if len(c.Notices) > 0 {
		s.unit.EachPath(func(p *core.Path) {
			n := nexusOf(p)
			for _, notice := range c.Notices {
				if notice.Nexus == n {
					p.Raise(sense.New(sense.UnitAttention, notice.Code))
				}
			}
		})
	}
	s.publish(c.Table)
}

// Abort is the Gateway's.
func (s *Service) Abort(c *Change) <-chan struct{} {
	preempted := map[uint32]bool{}
	s.unit.EachPath(func(p *core.Path) {
		n := nexusOf(p)
		for _, a := range c.Abort {
			if a == n {
				preempted[p.Nexus().ID] = true
			}
		}
	})
	ended := make(chan struct{})
	s.unit.AbortPreempted(c.by, preempted, func() { close(ended) })
	return ended
}

func (s *Service) publish(t *Table) {
	s.table.Store(t)
	s.gate.Store(newGate(t))
}

// gate is what commands are held against while there is a reservation.
type gate struct {
	exclusive uint32             // the core.Nexus.ID that has a RESERVE, when pass is nil
	pass      map[Nexus]struct{} // to whom everything is allowed
	mayRead   bool               // to the others, reading
}

// newGate is nil when nothing is reserved: then a command costs one load.
func newGate(t *Table) *gate {
	switch {
	case t.Reserved != nil:
		return &gate{exclusive: t.Reserved.ID}
	case t.Type == 0:
		return nil
	}
	g := &gate{pass: map[Nexus]struct{}{}, mayRead: t.Type.mayRead()}
	for _, r := range t.Registrants {
		if t.Type.shared() || r.Nexus == t.Holder {
			g.pass[r.Nexus] = struct{}{}
		}
	}
	return g
}

// Gate refuses what a reservation of others does not allow (core.Service).
func (s *Service) Gate(c *core.Command) error {
	if g := s.gate.Load(); g != nil {
		return g.check(c)
	}
	return nil
}

// opTestUnitReady has its own place in SPC-2: every persistent reservation lets it past,
// a RESERVE does not (SPC-2, table 10).
const opTestUnitReady = 0x00

// check decides by the row of c (SPC-6, table 72 and those of the device types).
func (g *gate) check(c *core.Command) error {
	row := c.Row
	if g.pass == nil {
		if c.Path.Nexus().ID == g.exclusive || row.Is(core.PastReserve) && row.Code != opTestUnitReady {
			return nil
		}
		return sense.ReservationConflict
	}
	switch {
	case row.Is(core.PastReserve):
		return nil
	case g.mayRead && row.Is(core.ReadsMedium) && !row.Is(core.WritesMedium):
		return nil
	case row.PastReserveIf != nil && row.PastReserveIf(c.CDB):
		return nil
	}
	if _, ok := g.pass[nexusOf(c.Path)]; ok {
		return nil
	}
	return sense.ReservationConflict
}
