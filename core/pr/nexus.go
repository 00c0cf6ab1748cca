package pr

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// NexusLost ends the reservation by RESERVE of an I_T nexus that was reset
// (core.NexusLoser; SPC-2, 5.5.1). Its holder learns of it first, as in Reset.
func (s *Service) NexusLost(n *core.Nexus) {
	s.drop(func(e *Exclusive) bool { return e.ID == n.ID }, sense.NexusLoss)
}
