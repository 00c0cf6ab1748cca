package alua

import (
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

// Fields of REPORT TARGET PORT GROUPS (SPC-6, 6.36).
const (
	formatShift    = 5 // PARAMETER DATA FORMAT, byte 1 of the CDB
	formatLength   = 0
	formatExtended = 1

	extended = 0x10 // FORMAT TYPE, byte 4 of the extended header

	supported = 0x80 | // T_SUP: transitioning
		0x40 | // O_SUP
		0x08 | // U_SUP
		0x04 | // S_SUP
		0x02 | // AN_SUP
		0x01 // AO_SUP
)

// report is REPORT TARGET PORT GROUPS: the groups by number, those by which the unit is
// reached among them, defined or not.
func (s *service) report(c *core.Command) error {
	var b []byte
	switch c.CDB[1] >> formatShift {
	case formatLength:
		b = make([]byte, 4)
	case formatExtended:
		b = []byte{0, 0, 0, 0, extended, s.cfg.TransitionSeconds, 0, 0}
	default:
		return sense.FieldBit(1, 7)
	}
	for _, g := range s.withPorts() {
		b = append(b, g.flags(), supported)
		b = binary.BigEndian.AppendUint16(b, g.ID)
		b = append(b, 0, byte(g.Changed), 0, byte(len(g.Ports)))
		for _, p := range g.Ports {
			b = binary.BigEndian.AppendUint16(append(b, 0, 0), p)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}

// maxPorts is what TARGET PORT COUNT can say.
const maxPorts = 255

// withPorts are the groups with all their ports, in ascending order.
func (s *service) withPorts() []Group {
	list := s.List()
	for _, p := range s.unit.Ports() {
		i := slices.IndexFunc(list, func(g Group) bool { return g.ID == p.Group })
		if i < 0 {
			i = len(list)
			list = append(list, Group{ID: p.Group})
		}
		list[i].Ports = append(list[i].Ports, p.Relative)
	}
	slices.SortFunc(list, func(a, b Group) int { return int(a.ID) - int(b.ID) })
	for i := range list {
		slices.Sort(list[i].Ports)
		list[i].Ports = slices.Compact(list[i].Ports)
		list[i].Ports = list[i].Ports[:min(len(list[i].Ports), maxPorts)]
	}
	return list
}

// set is SET TARGET PORT GROUPS (SPC-6, 6.45).
func (s *service) set(c *core.Command) error {
	if !s.change.TryLock() {
		return errTransition
	}
	defer s.change.Unlock()
	next, err := s.parseList(c)
	if err != nil {
		return err
	}
	switch err := s.transit(c, next, c); {
	case err == nil:
		return nil
	case c.Err() != nil:
		return sense.TaskAborted
	default:
		return (&sense.Error{Key: sense.HardwareError, Code: sense.SetTargetPortGroupsFailed}).WithCause(err)
	}
}

// parseList reads the parameter list: four reserved bytes, then a state and a group each.
func (s *service) parseList(c *core.Command) (map[uint16]Group, error) {
	if len(c.Out) < c.OutLen {
		return nil, sense.ErrParamLength // the initiator sent less than it announced
	}
	next := map[uint16]Group{}
	if len(c.Out) == 0 { // not an error: nothing changes
		return next, nil
	}
	r := wire.NewReader(c.Out)
	for r.Skip(4); r.Len() > 0; {
		at := r.Off()
		state := State(r.U8() & 0x0f)
		r.Skip(1)
		id := r.U16()
		if !r.OK() {
			return nil, sense.ErrParamLength
		}
		if !state.settable() || state == Offline { // SPC-6: a port, not a group, is taken offline
			return nil, sense.ParamBit(at, 3)
		}
		g := s.find(id)
		if _, twice := next[id]; twice || g == nil {
			return nil, sense.Param(at + 2)
		}
		n := *g
		n.State, n.Changed = state, ByCommand
		next[id] = n
	}
	if !r.OK() {
		return nil, sense.ErrParamLength
	}
	return next, nil
}
