package pr

import "github.com/targate/targate/core"

// NexusLost ends the reservation by RESERVE of an I_T nexus that was reset
// (core.NexusLoser; SPC-2, 5.5.1).
func (s *Service) NexusLost(n *core.Nexus) {
	s.drop(func(e *Exclusive) bool { return e.ID == n.ID })
}
