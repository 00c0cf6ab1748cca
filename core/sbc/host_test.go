package sbc

import "github.com/targate/targate/core"

// stateHost is a core.Host of which only the state is asked for.
type stateHost struct {
	core.Host
	state core.State
}

func (h stateHost) State() core.State { return h.state }
