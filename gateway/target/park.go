package target

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/targate/targate/core"
)

// parking is the part of a Session that says what becomes of it when its connection is lost.
// Target.mu guards it.
type parking struct {
	dropped bool          // by Drop: it is not parked any more
	wanted  int           // Resumes that wait for the connection to end
	parked  bool          // the connection is lost, the nexus is not
	timer   *time.Timer   // the end of Time2Retain
	lost    chan struct{} // closed when it is parked
}

// Park keeps the session for d after its connection was lost: its owner has seen the end of
// every command of it, and gives it up. The nexus stays, with its unit attentions and
// reservations, until Resume takes the session up, or a login with TSIH 0 replaces it, or d is
// over (RFC 7143, 6.3.4 to 6.3.6). It is false when the session is to be closed instead: it was
// dropped, or d is 0 and nobody waits to resume it.
func (s *Session) Park(d time.Duration) bool {
	t := s.Target
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &s.parking
	if p.dropped || t.removed || d <= 0 && p.wanted == 0 {
		return false
	}
	p.parked = true
	p.timer = time.AfterFunc(max(d, time.Second), func() {
		if s.unpark() {
			s.Close()
		}
	})
	close(p.lost)
	return true
}

// Parked reports whether the session has no connection at the moment.
func (s *Session) Parked() bool {
	s.Target.mu.Lock()
	defer s.Target.mu.Unlock()
	return s.parking.parked
}

// unpark is true for the one who is to end what is parked.
func (s *Session) unpark() bool {
	s.Target.mu.Lock()
	defer s.Target.mu.Unlock()
	p := &s.parking
	if !p.parked {
		return false
	}
	p.parked = false
	p.timer.Stop()
	return true
}

// Find is the session of ip by a portal group that has that TSIH, nil when there is none.
func (t *Target) Find(ip core.InitiatorPort, tag, tsih uint16) *Session {
	ip.Name = strings.ToLower(ip.Name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[sessionKey{ip, tag}]; s != nil && s.TSIH == tsih {
		return s
	}
	return nil
}

// Resume takes a session up by another connection. The one that it has, if it has, is cut, and
// Resume waits until no command of it runs. The Session that it returns has the nexus and the
// TSIH of the old one, which ends without loss of the nexus. The error is ErrNoSession when
// there is none, or not any more; ErrBusy when ctx ends before.
func (t *Target) Resume(ctx context.Context, ip core.InitiatorPort, tsih uint16, o OpenOptions) (*Session, error) {
	old := t.Find(ip, o.Portal.GroupTag(), tsih)
	if old == nil {
		return nil, ErrNoSession
	}
	t.mu.Lock()
	old.parking.wanted++
	t.mu.Unlock()
	if old.cut != nil {
		old.cut()
	}
	select {
	case <-old.parking.lost:
	case <-old.closed:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &old.parking
	p.wanted--
	switch {
	case !p.parked && ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	case !p.parked:
		return nil, ErrNoSession
	}
	p.parked = false
	p.timer.Stop()
	s := newSession(t, old.Initiator, o)
	s.TSIH, s.Nexus, s.Since = old.TSIH, old.Nexus, old.Since
	s.group.Store(old.group.Load())
	t.sessions[sessionKey{old.Initiator, o.Portal.GroupTag()}] = s
	t.gateway.replace(s)
	old.closing.Do(func() { close(old.closed) })
	return s, nil
}
