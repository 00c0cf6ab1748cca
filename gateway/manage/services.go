package manage

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/pr"
	"github.com/targate/targate/core/scsi"
)

// services are the mechanisms of SPC that every unit has, and those of disks.
func (mg *Manager) services(name string, h core.Handler) []core.Service {
	s := []core.Service{pr.New(pr.Options{
		Ports: func() []*core.TargetPort { return mg.portsOf(name) },
	})}
	if mg.alua != nil {
		s = append(s, mg.alua.Service())
	}
	if h.Profile().Type == scsi.DirectAccess {
		s = append(s, mg.copies.NewService())
	}
	return s
}

// portsOf are the target ports by which a device can be reached: those of every target
// that maps it for somebody.
func (mg *Manager) portsOf(name string) []*core.TargetPort {
	var ports []*core.TargetPort
	for _, t := range mg.o.Gateway.Targets() {
		if t.Maps(name) {
			ports = append(ports, t.Ports()...)
		}
	}
	return ports
}
