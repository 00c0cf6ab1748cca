package alua

import (
	"errors"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// service is the access of one logical unit through the groups.
type service struct {
	*Groups
	unit unit
	ops  *ops.Set[*service]
}

// unit is what a service needs of a core.Unit.
type unit interface {
	core.Host
	Tasks() *taskset.Set
}

var _ core.AccessReporter = (*service)(nil)

// table is in order of operation code. The second row is there when Explicit.
var table = []ops.Op[*service]{
	{Row: core.Row{Code: 0xa3, Action: 0x0a, Name: "REPORT TARGET PORT GROUPS",
		Dir: scsi.In, Len: core.Bytes(6, 4), Timeout: 10,
		Gate:  core.PastReserve | core.InStandby | core.InUnavail | core.Inline | core.WhileBusy,
		Usage: "\xa3\xea\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"}, Run: (*service).report},
	{Row: core.Row{Code: 0xa4, Action: 0x0a, Name: "SET TARGET PORT GROUPS",
		Dir: scsi.Out, Len: core.Bytes(6, 4), Timeout: 120,
		Gate:  core.InStandby | core.InUnavail,
		Usage: "\xa4\x0a\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"}, Run: (*service).set},
}

// Service makes one more logical unit accessible through the groups: it is for that
// unit's core.UnitOptions.Services.
func (g *Groups) Service() core.Service {
	list := table
	if !g.cfg.Explicit {
		list = table[:1]
	}
	return &service{Groups: g, ops: ops.Compile(list)}
}

// Attach takes the unit in (core.Service).
func (s *service) Attach(h core.Host) error {
	u, ok := h.(unit)
	if !ok {
		return errors.New("target port groups: the host is no logical unit")
	}
	s.unit = u
	s.mu.Lock()
	s.units[s] = struct{}{}
	s.mu.Unlock()
	return nil
}

// Close lets the unit go.
func (s *service) Close() error {
	s.mu.Lock()
	delete(s.units, s)
	s.mu.Unlock()
	return nil
}

// Rows are the commands (core.Service).
func (s *service) Rows() []*core.Row { return s.ops.Rows() }

// Execute carries out one of them (core.Service).
func (s *service) Execute(c *core.Command) error { return s.ops.Execute(s, c) }

// Lost and Reset have nothing to do: a state outlives nexuses and resets.
func (s *service) Lost(*core.Path) {}

// Reset does nothing (see Lost).
func (s *service) Reset() {}

// Why a command is refused (SPC-6, 5.16.2).
var (
	errTransition  = sense.New(sense.NotReady, sense.AsymmetricTransition)
	errStandby     = sense.New(sense.NotReady, sense.PortInStandby)
	errUnavailable = sense.New(sense.NotReady, sense.PortUnavailable)
	errOffline     = sense.New(sense.NotReady, sense.LogicalUnitOffline)
)

// Gate refuses what the state of the port's group does not allow (core.Service).
func (s *service) Gate(c *core.Command) error {
	closed := s.closed.Load()
	if closed == nil {
		return nil
	}
	state, ok := (*closed)[groupOf(c.Path)]
	switch {
	case !ok:
		return nil
	case state == Standby:
		if !c.Row.Is(core.InStandby) {
			return errStandby
		}
		return nil
	case c.Row.Is(core.InUnavail):
		return nil
	case state == Unavailable:
		return errUnavailable
	case state == Offline:
		return errOffline
	}
	return errTransition
}

// groupOf is the target port group that p comes by, 0 when its port has none.
func groupOf(p *core.Path) uint16 {
	if port := p.Nexus().Target; port != nil {
		return port.Group
	}
	return 0
}
