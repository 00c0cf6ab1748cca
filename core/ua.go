package core

import (
	"slices"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// precedence orders the unit attentions of resets and losses (SAM-6, 5.14): one of
// them tells all that those below it do. The others have none, and are reported in the
// order in which they were established.
func precedence(c sense.Code) int {
	switch c {
	case sense.PowerOnReset, sense.PowerOnOccurred:
		return 3
	case sense.BusDeviceReset:
		return 2
	case sense.NexusLoss:
		return 1
	}
	return 0
}

// Raise establishes a unit attention on this path (SAM-6, 5.14). One of the same code
// is reported once, of resets and losses only the gravest, before all others. Who watches
// the nexus is told (Nexus.Watch).
func (p *Path) Raise(ua *sense.Error) {
	if !p.establish(ua) {
		return
	}
	if f := p.nexus.watch.Load(); f != nil {
		(*f)(p, ua)
	}
}

func (p *Path) establish(ua *sense.Error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	rank := precedence(ua.Code)
	told := slices.ContainsFunc(p.ua, func(e *sense.Error) bool {
		return e.Code == ua.Code || rank > 0 && precedence(e.Code) >= rank
	})
	switch {
	case told:
		return false
	case rank == 0:
		p.ua = append(p.ua, ua)
	default:
		p.ua = slices.DeleteFunc(p.ua, func(e *sense.Error) bool { return precedence(e.Code) > 0 })
		p.ua = slices.Insert(p.ua, 0, ua)
	}
	p.pending.Store(int32(len(p.ua)))
	return true
}

// takeUA is the unit attention to report, nil when none waits. It is cleared unless
// the interlock keeps it (SPC-6, 7.5.9: UA_INTLCK_CTRL).
func (p *Path) takeUA(clear bool) *sense.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ua) == 0 {
		return nil
	}
	ua := p.ua[0]
	if clear {
		p.ua = slices.Delete(p.ua, 0, 1)
		p.pending.Store(int32(len(p.ua)))
	}
	return ua
}

// Attention takes the unit attention that waits for c's I_T_L nexus: one that has come up since
// c was dispatched. A handler whose command waited for a change that raises one returns it, so
// that c does not act on what its initiator does not know yet. nil: none waits.
func (c *Command) Attention() error {
	if c.Path.pending.Load() == 0 || c.Row.Gate&PastUA != 0 {
		return nil
	}
	if ua := c.Path.takeUA(c.Path.unit.control.Interlock.Load() < KeepUA); ua != nil {
		return ua
	}
	return nil
}

// dropUA removes unit attentions of one code.
func (p *Path) dropUA(c sense.Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ua = slices.DeleteFunc(p.ua, func(e *sense.Error) bool { return e.Code == c })
	p.pending.Store(int32(len(p.ua)))
}

// interlock establishes the unit attention that UA_INTLCK_CTRL 11b asks for when a
// command ends with st.
func (p *Path) interlock(st scsi.Status) {
	if p.unit.control.Interlock.Load() != KeepAllUA {
		return
	}
	switch st {
	case scsi.Busy:
		p.Raise(sense.New(sense.UnitAttention, sense.PreviousBusy))
	case scsi.TaskSetFull:
		p.Raise(sense.New(sense.UnitAttention, sense.PreviousTaskSetFull))
	case scsi.ReservationConflict:
		p.Raise(sense.New(sense.UnitAttention, sense.PreviousReservationConflict))
	}
}
