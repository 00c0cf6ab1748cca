package target

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/core/scsi"
)

// Target is what an initiator logs in to.
type Target struct {
	gateway *Gateway
	name    string
	spec    atomic.Pointer[Spec]

	mu       sync.Mutex // guards the rest, and changes of spec
	sessions map[sessionKey]*Session
	ports    map[uint16]*core.TargetPort // by portal group tag
	removed  bool
}

// sessionKey is an I_T nexus: only one session may be at each (RFC 7143, 4.4.3).
type sessionKey struct {
	initiator core.InitiatorPort
	tag       uint16
}

// Name is the target's name in lower case.
func (t *Target) Name() string { return t.name }

// Spec is what the target is configured to be. It is not to be changed.
func (t *Target) Spec() *Spec { return t.spec.Load() }

// Alias is the TargetAlias, or empty.
func (t *Target) Alias() string { return t.Spec().Alias }

// Auth is what a login must prove, nil for nothing.
func (t *Target) Auth() *Auth { return t.Spec().Auth }

// Admits reports whether initiator may log in.
func (t *Target) Admits(initiator string) bool {
	_, _, ok := t.Spec().LUNsFor(initiator)
	return ok
}

// At reports whether the target is there by the portal that listens at an address.
func (s *Spec) At(listen string) bool {
	return s.Portals == nil || slices.Contains(s.Portals, listen)
}

// LUNsFor is the LUN map of initiator and the name of the group that it comes from,
// empty for the target's own map. ok is false when initiator is not admitted.
func (s *Spec) LUNsFor(initiator string) (m LUNMap, group string, ok bool) {
	for i := range s.Groups {
		if g := &s.Groups[i]; g.Initiators.Match(initiator) {
			return g.LUNs, g.Name, true
		}
	}
	return s.LUNs, "", s.LUNs != nil
}

// Maps reports whether any LUN map of the target leads to the unit of that name.
func (t *Target) Maps(unit string) bool {
	spec := t.Spec()
	maps := []LUNMap{spec.LUNs}
	for _, g := range spec.Groups {
		maps = append(maps, g.LUNs)
	}
	for _, m := range maps {
		for _, w := range m {
			if w.Unit.Name() == unit {
				return true
			}
		}
	}
	return false
}

// Sessions are the target's live sessions, in no order.
func (t *Target) Sessions() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.sessions))
}

// Ports are the target's SCSI target ports in order of portal group tag.
func (t *Target) Ports() []*core.TargetPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*core.TargetPort
	for _, tag := range slices.Sorted(maps.Keys(t.ports)) {
		list = append(list, t.ports[tag])
	}
	return list
}

func (t *Target) relative(tag uint16) uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.ports[tag]; p != nil {
		return p.Relative
	}
	return 0
}

// iSCSIProtocol is the PROTOCOL IDENTIFIER of iSCSI (SPC-6, 7.6.1).
const iSCSIProtocol = 5

// update gives t its configuration and each session what it sees now. It returns the
// sessions that are to be dropped.
func (t *Target) update(s *Spec, relative map[uint16]uint16) (drop []*Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for tag, id := range relative {
		if p := t.ports[tag]; p == nil || p.Relative != id {
			t.ports[tag] = &core.TargetPort{
				Target:   t.name,
				Name:     fmt.Sprintf("%s,t,0x%04x", t.name, tag),
				Relative: id, Group: tag, Protocol: iSCSIProtocol,
			}
		}
	}
	t.spec.Store(s)
	for _, se := range t.sessions {
		if !se.remap(s) {
			drop = append(drop, se)
		}
	}
	return drop
}

// remove takes t out of service. Its sessions see no LUN any more and are returned to be
// dropped.
func (t *Target) remove() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removed = true
	for _, s := range t.sessions {
		s.remap(&Spec{})
	}
	return slices.Collect(maps.Values(t.sessions))
}

// OpenOptions describe a session to be.
type OpenOptions struct {
	Peer   string // the initiator's address, for status
	Portal Portal // that it came by
	// Drop asks the owner to end the session; it returns at once. It may be called
	// more than once, from any goroutine, even before Open has returned.
	Drop func(why string)
	// Cut ends the connection and not the session. It returns at once. nil: the session
	// cannot be resumed while it has a connection.
	Cut func()
	// Logout asks the initiator to log out within so many seconds, and ends the session
	// when it has not. It returns at once. nil: as Drop.
	Logout func(seconds uint16)
}

// Session is an I_T nexus and what is known of it. Its fields do not change.
type Session struct {
	Target    *Target
	Initiator core.InitiatorPort
	TSIH      uint16
	Nexus     *core.Nexus
	Peer      string
	Portal    Portal
	Since     time.Time

	dropper func(why string)
	logout  func(seconds uint16)
	cut     func()
	parking parking
	door    atomic.Value
	group   atomic.Pointer[string]
	closing sync.Once
	closed  chan struct{}
}

// Reinstatement is the reason that Open gives when it drops an older session.
const Reinstatement = "session reinstatement"

// Open makes the session of ip at t. An older one of the same initiator port is
// dropped first, and Open waits until it is closed: no command of the new session
// runs while one of the old may still touch a medium (RFC 7143, 6.3.5). When ctx ends
// before, the error is ErrBusy.
func (t *Target) Open(ctx context.Context, ip core.InitiatorPort, o OpenOptions) (*Session, error) {
	ip.Name = strings.ToLower(ip.Name)
	key := sessionKey{ip, o.Portal.GroupTag()}
	for {
		s, old, err := t.open(key, o)
		if old == nil {
			return s, err
		}
		old.Drop(Reinstatement)
		select {
		case <-old.closed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		}
	}
}

// open enters a session, unless one is there.
func (t *Target) open(key sessionKey, o OpenOptions) (s, old *Session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.sessions[key]; old != nil {
		return nil, old, nil
	}
	spec := t.Spec()
	luns, group, ok := spec.LUNsFor(key.initiator.Name)
	port := t.ports[key.tag]
	switch {
	case t.removed, port == nil:
		return nil, nil, ErrRemoved
	case !ok, !spec.At(o.Portal.Listen):
		return nil, nil, ErrForbidden
	case spec.MaxSessions > 0 && len(t.sessions) >= spec.MaxSessions:
		return nil, nil, ErrTooMany
	}
	s = newSession(t, key.initiator, o)
	s.group.Store(&group)
	s.Nexus = core.NewNexus(key.initiator, port)
	if err := t.gateway.enter(s); err != nil {
		return nil, nil, err
	}
	s.Nexus.SetLUNs(luns, true)
	t.sessions[key] = s
	return s, nil, nil
}

func newSession(t *Target, ip core.InitiatorPort, o OpenOptions) *Session {
	return &Session{Target: t, Initiator: ip, Peer: o.Peer, Portal: o.Portal, Since: time.Now(),
		dropper: o.Drop, logout: o.Logout, cut: o.Cut, closed: make(chan struct{}),
		parking: parking{lost: make(chan struct{})}}
}

// SetDoor keeps what the owner of the session must know when it is resumed; Door gives it to
// anyone. Its type is always the same.
func (s *Session) SetDoor(v any) { s.door.Store(v) }

// Door is what SetDoor kept, or nil.
func (s *Session) Door() any { return s.door.Load() }

// Group is the name of the group that gives the session its LUNs, empty for the
// target's own map.
func (s *Session) Group() string { return *s.group.Load() }

// Stats are the counters of the logical units that the session sees now.
func (s *Session) Stats() core.Stats {
	var sum core.Stats
	for _, p := range s.Nexus.Paths() {
		sum.Add(p.Stats())
	}
	return sum
}

// Latency is how long the commands to the logical units that the session sees now took.
func (s *Session) Latency() *latency.Snapshot {
	sum := new(latency.Snapshot)
	for _, p := range s.Nexus.Paths() {
		sum.Add(p.Latency())
	}
	return sum
}

// Done is closed when the session is.
func (s *Session) Done() <-chan struct{} { return s.closed }

// Drop asks the session's owner to end it; one that is parked ends here.
func (s *Session) Drop(why string) {
	s.Target.mu.Lock()
	s.parking.dropped = true
	s.Target.mu.Unlock()
	if s.unpark() {
		s.Close()
		return
	}
	if s.dropper != nil {
		s.dropper(why)
	}
}

// Logout asks the initiator to log out within so many seconds.
func (s *Session) Logout(seconds uint16) {
	if s.logout == nil || s.Parked() {
		s.Drop("logout")
		return
	}
	s.logout(seconds)
}

// Close ends the session: its owner has seen the end of every command of it. Its
// nexus is lost, and a login that waits for that goes on.
func (s *Session) Close() {
	s.closing.Do(func() {
		t := s.Target
		t.mu.Lock()
		s.Nexus.Close()
		delete(t.sessions, sessionKey{s.Initiator, s.Portal.GroupTag()})
		t.gateway.leave(s)
		t.mu.Unlock()
		close(s.closed)
	})
}

// remap gives the session the LUNs that spec has for it. false: it is not admitted
// any more; then it sees none.
func (s *Session) remap(spec *Spec) bool {
	luns, group, ok := spec.LUNsFor(s.Initiator.Name)
	s.group.Store(&group)
	if !spec.At(s.Portal.Listen) {
		luns, ok = nil, false
	}
	s.Nexus.SetLUNs(map[scsi.LUN]core.Mapping(luns), false)
	return ok
}
