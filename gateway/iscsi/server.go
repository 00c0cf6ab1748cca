// Package iscsi is the iSCSI door: it listens, logs initiators in, and runs a connection
// for each (RFC 7143). What is served comes from gateway/target.
package iscsi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/session"
	"github.com/targate/targate/gateway/target"
)

// Options are the limits of a Server. Zero values take the defaults.
type Options struct {
	Log    *slog.Logger
	Pool   *buf.Pool
	Limits login.Limits // DefaultLimits

	Window         int           // commands outstanding per session: 128
	SessionBudget  int64         // bytes of Data-Out that one session's commands hold: 64 MiB
	MaxConnections int           // 8192; above it the oldest that has not logged in goes
	LoginTimeout   time.Duration // 15 s
	NopInterval    time.Duration // 30 s of silence until we ask whether the peer lives
	NopTimeout     time.Duration // 30 s to answer
	SendTimeout    time.Duration // 60 s for a peer that does not read
	Grace          time.Duration // 1 s for what is outstanding at a shutdown
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Pool == nil {
		o.Pool = buf.NewPool(1 << 30)
	}
	if o.Limits.MaxRecvDataSegmentLength == 0 {
		o.Limits = login.DefaultLimits()
	}
	if o.Window == 0 {
		o.Window = 128
	}
	if o.SessionBudget == 0 {
		o.SessionBudget = 64 << 20
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 8192
	}
	set(&o.LoginTimeout, 15*time.Second)
	set(&o.NopInterval, 30*time.Second)
	set(&o.NopTimeout, 30*time.Second)
	set(&o.SendTimeout, 60*time.Second)
	set(&o.Grace, time.Second)
}

// Server is the door. It is safe for concurrent use.
type Server struct {
	o   Options
	gw  *target.Gateway
	now atomic.Int64 // a coarse clock, advanced by housekeep

	mu        sync.Mutex // guards what follows
	listeners map[string]*listener
	peers     map[*peer]struct{}
	waiting   []*peer // in login, oldest first
	penalties map[string]*penalty
	closed    bool

	done chan struct{}
	wg   sync.WaitGroup
}

type listener struct {
	net.Listener
	portal  target.Portal
	started bool
}

// New makes a door that serves gw and does not listen yet.
func New(gw *target.Gateway, o Options) *Server {
	o.defaults()
	s := &Server{o: o, gw: gw, listeners: map[string]*listener{}, peers: map[*peer]struct{}{},
		penalties: map[string]*penalty{}, done: make(chan struct{})}
	s.now.Store(time.Now().UnixNano())
	s.wg.Add(1)
	go s.housekeep()
	return s
}

// Listen opens a portal. Connections wait for Start: an initiator that comes back after a
// restart must not be told that its target is not there.
func (s *Server) Listen(p target.Portal) error {
	l, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listeners[p.Listen] != nil {
		l.Close()
		return fmt.Errorf("portal %s: already open, or the door is closed", p.Listen)
	}
	s.listeners[p.Listen] = &listener{Listener: l, portal: p}
	return nil
}

// Start lets connections in by every open portal.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if !l.started {
			l.started = true
			s.wg.Add(1)
			go s.serve(l)
		}
	}
}

// Addr is the address that a portal is bound to, as when its port was 0.
func (s *Server) Addr(listen string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[listen]; l != nil {
		return l.Addr()
	}
	return nil
}

// Close closes a portal. Connections that came by it stay.
func (s *Server) Close(listen string) error {
	s.mu.Lock()
	l := s.listeners[listen]
	delete(s.listeners, listen)
	s.mu.Unlock()
	if l == nil {
		return fmt.Errorf("portal %s is not open", listen)
	}
	return l.Close()
}

// Shutdown closes every portal, tells every initiator that its connection ends, and gives
// what is outstanding a short time. Then it closes every connection and waits until no
// command runs any more, at most until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for name, l := range s.listeners {
		l.Close()
		delete(s.listeners, name)
	}
	peers := slices.Collect(maps.Keys(s.peers))
	s.mu.Unlock()
	for _, p := range peers {
		if c := p.conn.Load(); c != nil {
			c.Session().Dropping()
		}
	}
	s.settle(ctx, slices.Clone(peers))
	for _, p := range peers {
		p.close("shutdown")
	}
	end := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(end)
	}()
	select {
	case <-end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits until none of the peers has a command outstanding, at most for Grace.
func (s *Server) settle(ctx context.Context, peers []*peer) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Grace)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		peers = slices.DeleteFunc(peers, func(p *peer) bool {
			c := p.conn.Load()
			idle := c == nil
			if c != nil {
				c.TryDo(func(s *session.Session) { idle = s.Outstanding() == 0 })
			}
			return idle
		})
		if len(peers) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) serve(l *listener) {
	defer s.wg.Done()
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil { // no file descriptors, or a connection that was gone already
			s.o.Log.Warn("accept failed", "portal", l.portal.Listen, "error", err)
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-s.done:
				return
			}
		}
		p := &peer{s: s, nc: nc.(*net.TCPConn), portal: l.portal}
		if !s.admit(p) {
			nc.Close()
			continue
		}
		go p.run()
	}
}

// admit enters p. When there are too many connections the oldest that has not logged in
// makes room: who only connects cannot keep others out.
func (s *Server) admit(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.peers) >= s.o.MaxConnections {
		if len(s.waiting) == 0 {
			s.o.Log.Warn("too many connections", "limit", s.o.MaxConnections, "peer", p.nc.RemoteAddr().String())
			return false
		}
		old := s.waiting[0]
		s.forgetWaiting(old)
		old.close("made room for a newer connection")
	}
	s.peers[p] = struct{}{}
	s.waiting = append(s.waiting, p)
	s.wg.Add(1)
	return true
}

func (s *Server) forgetWaiting(p *peer) {
	for i, w := range s.waiting {
		if w == p {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
}

func (s *Server) loggedIn(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetWaiting(p)
}

func (s *Server) leave(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetWaiting(p)
	delete(s.peers, p)
	s.wg.Done()
}

// housekeep is the only clock of all connections: it pings the silent and ends the dead.
func (s *Server) housekeep() {
	defer s.wg.Done()
	tick := time.NewTicker(min(time.Second, s.o.NopInterval/4))
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case t := <-tick.C:
			now := t.UnixNano()
			s.now.Store(now)
			s.mu.Lock()
			conns := make([]*peer, 0, len(s.peers))
			for p := range s.peers {
				conns = append(conns, p)
			}
			s.expirePenalties(t)
			s.mu.Unlock()
			for _, p := range conns {
				p.tick(now)
			}
		}
	}
}

func (p *peer) tick(now int64) {
	c := p.conn.Load()
	if c == nil {
		return // in login, which has a deadline of its own
	}
	o := &p.s.o
	recv, send := c.Idle(now)
	logout := p.logoutBy.Load()
	c.TryDo((*session.Session).Tick)
	switch {
	case logout != 0 && now > logout:
		p.drop("no logout in time")
	case send > o.SendTimeout:
		p.close(doesNotRead)
	case recv > o.NopInterval+o.NopTimeout:
		p.close(noAnswer)
	case recv > o.NopInterval:
		c.TryDo(func(s *session.Session) { s.Ping() })
	}
}

// penalty slows down an initiator that logs in and dies in a loop.
type penalty struct {
	deaths int
	last   time.Time
}

const (
	earlyDeath  = 2 * time.Second // a session that ends sooner, without logout, counts
	freeDeaths  = 8               // in a row, until the next login has to wait
	maxPenalty  = 5 * time.Second
	penaltyLife = time.Minute
)

// wait is how long the next login of key is held back.
func (s *Server) wait(key string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.penalties[key]
	if p == nil || p.deaths <= freeDeaths {
		return 0
	}
	return min(50*time.Millisecond<<min(p.deaths-freeDeaths, 8), maxPenalty)
}

// ended notes how a session of key ended.
func (s *Server) ended(key string, life time.Duration, clean bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if clean || life > earlyDeath {
		delete(s.penalties, key)
		return
	}
	p := s.penalties[key]
	if p == nil {
		p = &penalty{}
		s.penalties[key] = p
	}
	p.deaths++
	p.last = time.Now()
}

func (s *Server) expirePenalties(now time.Time) {
	for k, p := range s.penalties {
		if now.Sub(p.last) > penaltyLife {
			delete(s.penalties, k)
		}
	}
}
