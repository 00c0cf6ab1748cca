package alua

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core"
)

// State is an ASYMMETRIC ACCESS STATE (SPC-6, table 300).
type State uint8

// States. A group is Transitioning only while its state changes.
const (
	Optimized     State = 0x0
	NonOptimized  State = 0x1
	Standby       State = 0x2
	Unavailable   State = 0x3
	Offline       State = 0xe
	Transitioning State = 0xf
)

var stateNames = map[State]string{
	Optimized: "active/optimized", NonOptimized: "active/non-optimized", Standby: "standby",
	Unavailable: "unavailable", Offline: "offline", Transitioning: "transitioning",
}

func (s State) String() string {
	if n, ok := stateNames[s]; ok {
		return n
	}
	return fmt.Sprintf("state %Xh", uint8(s))
}

// MarshalText gives the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a name of a state that a group can be set to.
func (s *State) UnmarshalText(b []byte) error {
	for state, name := range stateNames {
		if name == string(b) && state.settable() {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("%q is no access state", b)
}

func (s State) active() bool { return s == Optimized || s == NonOptimized }

// settable says whether a group can be put into s.
func (s State) settable() bool {
	return s.active() || s == Standby || s == Unavailable || s == Offline
}

// Group is a target port group as it is defined, and as Groups reports it.
type Group struct {
	ID        uint16 // TARGET PORT GROUP
	State     State
	Preferred bool
	// Ports are the relative target port identifiers of ports of the group that may
	// not be in use, as those of another gateway. Ports by which a unit is reached are
	// reported in any case.
	Ports []uint16
	// Changed says by what State has come about, since the start.
	Changed Change
}

// Change is the STATUS CODE of a target port group (SPC-6, table 303).
type Change uint8

// Changes.
const (
	Unchanged  Change = 0
	ByCommand  Change = 1 // SET TARGET PORT GROUPS
	Implicitly Change = 2
)

// Config is what Groups are made of.
type Config struct {
	// Groups in their first states. A state that was saved later counts more.
	Groups []Group
	// Explicit: initiators may set states. Implicit: administration may.
	Explicit, Implicit bool
	// TransitionSeconds is how long initiators should wait for an implicit transition
	// (IMPLICIT TRANSITION TIME); 0 says nothing.
	TransitionSeconds uint8
	// Timeout is how long a transition waits for the commands that run; 0 is
	// DefaultTimeout. Then it fails.
	Timeout time.Duration
	// Saved is where states survive a restart; nil: nowhere.
	Saved core.State
}

// DefaultTimeout is below the 60 seconds after which Linux gives up on a transition.
const DefaultTimeout = 30 * time.Second

// maxGroups bounds the groups, and with them the answer of REPORT TARGET PORT GROUPS.
const maxGroups = 256

// Errors of Groups.
var (
	ErrNoGroup  = errors.New("no such target port group")
	ErrState    = errors.New("not a state that a target port group can be put into")
	ErrImplicit = errors.New("the states of these target port groups are changed by initiators only")
)

// Groups are target port groups and the logical units that are accessed through them.
// All methods are safe for concurrent use.
type Groups struct {
	cfg    Config
	change sync.Mutex // one transition at a time

	mu     sync.Mutex // guards what follows; groups change only while both are held
	groups []*Group   // by ID; State is never Transitioning here
	moving map[uint16]bool
	units  map[*service]struct{}

	// closed is what Gate refuses, by group; nil when all are active.
	closed atomic.Pointer[map[uint16]State]
}

// New makes Groups and takes up their saved states. An error is a mistake in cfg, or
// saved states that cannot be read.
func New(cfg Config) (*Groups, error) {
	g := &Groups{cfg: cfg, moving: map[uint16]bool{}, units: map[*service]struct{}{}}
	if len(cfg.Groups) > maxGroups {
		return nil, fmt.Errorf("%d target port groups, at most %d are possible", len(cfg.Groups), maxGroups)
	}
	if !cfg.Explicit && !cfg.Implicit {
		return nil, errors.New("target port groups that nothing may change")
	}
	if cfg.Timeout == 0 {
		g.cfg.Timeout = DefaultTimeout
	}
	for _, c := range cfg.Groups {
		if !c.State.settable() {
			return nil, fmt.Errorf("target port group %d: %w: %v", c.ID, ErrState, c.State)
		}
		if g.find(c.ID) != nil {
			return nil, fmt.Errorf("target port group %d is defined twice", c.ID)
		}
		c.Ports, c.Changed = slices.Clone(c.Ports), Unchanged
		g.groups = append(g.groups, &c)
	}
	slices.SortFunc(g.groups, func(a, b *Group) int { return int(a.ID) - int(b.ID) })
	if err := g.restore(); err != nil {
		return nil, err
	}
	g.publish()
	return g, nil
}

// Add defines one more group. An error is a mistake in c.
func (g *Groups) Add(c Group) error {
	g.change.Lock()
	defer g.change.Unlock()
	switch {
	case !c.State.settable():
		return fmt.Errorf("target port group %d: %w: %v", c.ID, ErrState, c.State)
	case g.find(c.ID) != nil:
		return fmt.Errorf("target port group %d is defined twice", c.ID)
	case len(g.groups) == maxGroups:
		return fmt.Errorf("more than %d target port groups", maxGroups)
	}
	c.Ports, c.Changed = slices.Clone(c.Ports), Unchanged
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups = append(g.groups, &c)
	slices.SortFunc(g.groups, func(a, b *Group) int { return int(a.ID) - int(b.ID) })
	g.publish()
	return nil
}

// find is the group id, nil when it is not defined. The caller holds change or mu.
func (g *Groups) find(id uint16) *Group {
	i := slices.IndexFunc(g.groups, func(c *Group) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return g.groups[i]
}

// List is the groups by ID, as they are now.
func (g *Groups) List() []Group {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := make([]Group, len(g.groups))
	for i, c := range g.groups {
		list[i] = *c
		list[i].Ports = slices.Clone(c.Ports)
		if g.moving[c.ID] {
			list[i].State = Transitioning
		}
	}
	return list
}

// TPGS is the field of the standard INQUIRY data (SPC-6, table 151).
func (g *Groups) TPGS() (bits uint8) {
	if g.cfg.Implicit {
		bits |= 1
	}
	if g.cfg.Explicit {
		bits |= 2
	}
	return bits
}

// publish tells Gate what to refuse. The caller holds mu, or nobody else knows g.
func (g *Groups) publish() {
	closed := map[uint16]State{}
	for _, c := range g.groups {
		switch {
		case g.moving[c.ID]:
			closed[c.ID] = Transitioning
		case !c.State.active():
			closed[c.ID] = c.State
		}
	}
	if len(closed) == 0 {
		g.closed.Store(nil)
	} else {
		g.closed.Store(&closed)
	}
}

// attached are the units now.
func (g *Groups) attached() []*service {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.units))
}
