package manage

import (
	"slices"
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/target"
)

// SessionChoice names sessions: one by its TSIH, or those of a target, or those that see a
// device.
type SessionChoice struct {
	TSIH   uint16 `json:"tsih,omitempty"`
	Target string `json:"target,omitempty"`
	Device string `json:"device,omitempty"`
}

func (c SessionChoice) match(s *target.Session) bool {
	switch {
	case c.TSIH != 0:
		return s.TSIH == c.TSIH
	case c.Device != "":
		return slices.ContainsFunc(s.Nexus.Paths(), func(p *core.Path) bool { return p.Unit().Name() == c.Device })
	}
	return s.Target.Name() == strings.ToLower(c.Target)
}

// LogoutSessions asks the initiators of the chosen sessions to log out within so many
// seconds, and ends those that have not by then. It returns at once how many they are.
func (mg *Manager) LogoutSessions(c SessionChoice, seconds uint16) int {
	return mg.eachSession(c, func(s *target.Session) { s.Logout(seconds) })
}

// DropSessions ends the chosen sessions, of which there are as many as it returns. They
// end in their own time: commands that run come to their end.
func (mg *Manager) DropSessions(c SessionChoice) int {
	return mg.eachSession(c, func(s *target.Session) { s.Drop("dropped by the administrator") })
}

func (mg *Manager) eachSession(c SessionChoice, f func(*target.Session)) (n int) {
	for _, s := range mg.o.Gateway.Sessions() {
		if c.match(s) {
			mg.log.Info("session to end", "tsih", s.TSIH, "initiator", s.Initiator.Name, "target", s.Target.Name())
			f(s)
			n++
		}
	}
	return n
}
