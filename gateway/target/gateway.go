package target

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
)

// Why a login is refused. The door turns them into status classes and details.
var (
	ErrForbidden = errors.New("initiator is not in any group of the target")    // 02/02
	ErrTooMany   = errors.New("the session limit is reached")                   // 03/02
	ErrRemoved   = errors.New("the target was removed")                         // 02/04
	ErrNoSession = errors.New("there is no such session")                       // 02/0a
	ErrBusy      = errors.New("the old session of this initiator does not end") // 03/01
)

// LUNMap is what an initiator sees. It is not changed after it was given away.
type LUNMap map[scsi.LUN]core.Mapping

// Credential is a CHAP name and its secret.
type Credential struct {
	Name   string
	Secret []byte
}

// Auth is CHAP authentication. An initiator must prove to be one of Users; Mutual,
// when set, is what the target proves in turn.
type Auth struct {
	Users  []Credential
	Mutual *Credential
}

// Group gives the initiators that its patterns name a LUN map of their own.
type Group struct {
	Name       string
	Initiators Patterns
	LUNs       LUNMap
}

// Spec is what a target is configured to be.
type Spec struct {
	Name  string // IQN, EUI or NAA name; compared in lower case
	Alias string
	Auth  *Auth // nil: none is asked for
	// Groups are tried in order; the first that names the initiator counts.
	Groups []Group
	// LUNs are for every initiator that no group names. nil: those are refused.
	LUNs LUNMap
	// MaxSessions bounds the target's sessions; 0: only the gateway's bound.
	MaxSessions int
	// Portals are the addresses (Portal.Listen) by which the target is there: by others
	// it is neither discovered nor logged in to. nil: by all.
	Portals []string
	// Redirect, when set, sends those who log in elsewhere. Sessions that are there stay.
	Redirect *Redirect
	// Relative gives the RELATIVE TARGET PORT IDENTIFIER of the target's port at
	// each portal group tag: unique in the gateway, and the same after a restart.
	// For a tag that is absent the gateway picks a free one.
	Relative map[uint16]uint16
}

// Redirect is where a target is now (RFC 7143, 11.13.5).
type Redirect struct {
	Address   string // "host[:port][,tag]", an IPv6 host in brackets
	Permanent bool
}

// Config is all that a gateway is configured to be.
type Config struct {
	Portals []Portal
	Targets []Spec
	// MaxSessions bounds the sessions of all targets together; 0: 65535, as many
	// as there are TSIHs.
	MaxSessions int
	// Time2Wait and Time2Retain, in seconds, are what logins are offered (RFC 7143, 13.15 and
	// 13.16): how long a session is kept whose connection was lost.
	Time2Wait, Time2Retain uint16
	// Discovery authenticates discovery sessions; nil: open.
	Discovery *Auth
}

// Gateway is a set of targets. It is safe for concurrent use.
type Gateway struct {
	view atomic.Pointer[view]

	mu sync.Mutex // serializes Apply

	sessionMu sync.Mutex // guards the rest
	tsihs     map[uint16]*Session
	tsih      uint16 // the last one given
}

// view is immutable once published.
type view struct {
	portals     []Portal
	targets     map[string]*Target
	sorted      []*Target
	discovery   *Auth
	maxSessions int

	wait, retain uint16
}

// MaxTSIH is how many sessions a gateway can tell apart (TSIH 0 is reserved).
const MaxTSIH = 65535

// New makes a gateway without targets.
func New() *Gateway {
	g := &Gateway{tsihs: map[uint16]*Session{}}
	g.view.Store(&view{targets: map[string]*Target{}, maxSessions: MaxTSIH})
	return g
}

// Target finds a target by name, nil when there is none.
func (g *Gateway) Target(name string) *Target {
	return g.view.Load().targets[strings.ToLower(name)]
}

// Targets are all targets in order of name.
func (g *Gateway) Targets() []*Target { return g.view.Load().sorted }

// Portals are the portals as configured.
func (g *Gateway) Portals() []Portal { return g.view.Load().portals }

// Discovery is the authentication of discovery sessions, nil for none.
func (g *Gateway) Discovery() *Auth { return g.view.Load().discovery }

// Times are Time2Wait and Time2Retain, in seconds, that logins are offered now.
func (g *Gateway) Times() (wait, retain uint16) {
	v := g.view.Load()
	return v.wait, v.retain
}

// Visible are the targets that initiator may log in to by a portal, in order of name.
func (g *Gateway) Visible(initiator string, by Portal) []*Target {
	var list []*Target
	for _, t := range g.Targets() {
		if t.Spec().At(by.Listen) && t.Admits(initiator) {
			list = append(list, t)
		}
	}
	return list
}

// Sessions are the live sessions of all targets, oldest first.
func (g *Gateway) Sessions() []*Session {
	g.sessionMu.Lock()
	defer g.sessionMu.Unlock()
	list := make([]*Session, 0, len(g.tsihs))
	for _, s := range g.tsihs {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *Session) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return int(a.TSIH) - int(b.TSIH)
	})
	return list
}

// Apply makes the gateway what c says. Targets that stay keep their sessions: each is
// given the LUN map that its initiator has now, and only those whose map differs
// notice. Sessions of removed targets, and of initiators that are not admitted any
// more, are dropped; they are returned, and end in their own time (Session.Done). An
// error means that nothing was changed.
func (g *Gateway) Apply(c Config) (dropped []*Session, err error) {
	dropped, err = g.apply(c)
	for _, s := range dropped {
		s.Drop("the configuration does not admit it any more")
	}
	return dropped, err
}

func (g *Gateway) apply(c Config) (dropped []*Session, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := g.view.Load()
	v := &view{portals: slices.Clone(c.Portals), targets: map[string]*Target{},
		discovery: c.Discovery, maxSessions: c.MaxSessions, wait: c.Time2Wait, retain: c.Time2Retain}
	if v.maxSessions <= 0 || v.maxSessions > MaxTSIH {
		v.maxSessions = MaxTSIH
	}
	ids, err := relativeIDs(old, c)
	if err != nil {
		return nil, err
	}
	for _, s := range c.Targets {
		name := strings.ToLower(s.Name)
		if v.targets[name] != nil {
			return nil, fmt.Errorf("target %s is given twice", name)
		}
		t := old.targets[name]
		if t == nil {
			t = &Target{gateway: g, name: name, sessions: map[sessionKey]*Session{},
				ports: map[uint16]*core.TargetPort{}}
		}
		v.targets[name] = t
		v.sorted = append(v.sorted, t)
	}
	slices.SortFunc(v.sorted, func(a, b *Target) int { return strings.Compare(a.name, b.name) })

	for i := range c.Targets {
		s := c.Targets[i]
		s.Name = strings.ToLower(s.Name)
		dropped = append(dropped, v.targets[s.Name].update(&s, ids[s.Name])...)
	}
	g.view.Store(v)
	for name, t := range old.targets {
		if v.targets[name] == nil {
			dropped = append(dropped, t.remove()...)
		}
	}
	return dropped, nil
}

// relativeIDs settles the relative target port identifier of every target at every
// tag in c: as configured, as it was, or a free one.
func relativeIDs(old *view, c Config) (map[string]map[uint16]uint16, error) {
	ids := map[string]map[uint16]uint16{}
	taken := map[uint16]string{}
	give := func(name string, tag, id uint16) error {
		if who := taken[id]; who != "" {
			return fmt.Errorf("relative target port identifier %d of %s is also of %s", id, name, who)
		}
		taken[id] = name
		ids[name][tag] = id
		return nil
	}
	tags := map[uint16]bool{DefaultTag: true}
	for _, p := range c.Portals {
		tags[p.GroupTag()] = true
	}
	for _, s := range c.Targets {
		name := strings.ToLower(s.Name)
		ids[name] = map[uint16]uint16{}
		for tag, id := range s.Relative {
			if id == 0 {
				return nil, fmt.Errorf("relative target port identifier 0 of %s is reserved", name)
			}
			if err := give(name, tag, id); err != nil {
				return nil, err
			}
		}
	}
	var missing []func(uint16) // takes a free identifier
	for _, s := range c.Targets {
		name := strings.ToLower(s.Name)
		for _, tag := range slices.Sorted(maps.Keys(tags)) {
			if ids[name][tag] != 0 {
				continue
			}
			if t := old.targets[name]; t != nil {
				if id := t.relative(tag); id != 0 && give(name, tag, id) == nil {
					continue
				}
			}
			missing = append(missing, func(id uint16) { _ = give(name, tag, id) })
		}
	}
	if len(taken)+len(missing) > 65535 {
		return nil, errors.New("more target ports than relative target port identifiers")
	}
	id := uint16(1)
	for _, take := range missing {
		for taken[id] != "" {
			id++
		}
		take(id)
	}
	return ids, nil
}

// enter gives s a TSIH, or refuses.
func (g *Gateway) enter(s *Session) error {
	g.sessionMu.Lock()
	defer g.sessionMu.Unlock()
	if len(g.tsihs) >= g.view.Load().maxSessions {
		return ErrTooMany
	}
	g.tsih++
	for g.tsih == 0 || g.tsihs[g.tsih] != nil { // ends: fewer than MaxTSIH are taken
		g.tsih++
	}
	s.TSIH = g.tsih
	g.tsihs[s.TSIH] = s
	return nil
}

// replace enters s in the place of the one of its TSIH.
func (g *Gateway) replace(s *Session) {
	g.sessionMu.Lock()
	defer g.sessionMu.Unlock()
	g.tsihs[s.TSIH] = s
}

func (g *Gateway) leave(s *Session) {
	g.sessionMu.Lock()
	defer g.sessionMu.Unlock()
	delete(g.tsihs, s.TSIH)
}
