package iscsi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi/conn"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/session"
	"github.com/targate/targate/gateway/iscsi/text"
	"github.com/targate/targate/gateway/target"
)

// sendBuffer is SO_SNDBUF. Left to itself the kernel lets it grow out of the cache: with
// this, 256 KiB reads at queue depth 4 took half the time (docs/performance.md).
const sendBuffer = 256 << 10

// maxLoginData bounds the data segment of a Login Request. Until it is negotiated it is
// 8192 (RFC 7143, 13.12); some initiators send more.
const maxLoginData = 64 << 10

// peer is one accepted connection through its login and its session.
type peer struct {
	s      *Server
	nc     *net.TCPConn
	portal target.Portal
	clean  bool                      // the session ended in good order, or was dropped
	conn   atomic.Pointer[conn.Conn] // set with the full feature phase
	why    atomic.Pointer[string]    // of close
	// logoutBy is when the initiator shall have logged out, by the housekeeper's clock.
	// 0: it was not asked to.
	logoutBy atomic.Int64
}

// drop is close after a word to the initiator.
func (p *peer) drop(why string) {
	c := p.conn.Load()
	if c == nil { // in login
		p.close(why)
		return
	}
	p.why.CompareAndSwap(nil, &why)
	c.Session().Drop()
}

// logout asks the initiator to log out, and ends the connection when it has not.
func (p *peer) logout(seconds uint16) {
	c := p.conn.Load()
	if c == nil { // in login
		p.close("logout")
		return
	}
	p.logoutBy.Store(time.Now().UnixNano() + int64(seconds)*int64(time.Second))
	c.Session().RequestLogout(seconds)
}

// close ends the connection from any goroutine. The first reason counts.
func (p *peer) close(why string) {
	p.why.CompareAndSwap(nil, &why)
	p.nc.Close()
}

func (p *peer) run() {
	defer p.s.leave(p)
	defer p.nc.Close()
	log := p.s.o.Log.With("peer", p.nc.RemoteAddr().String())
	p.nc.SetNoDelay(true)
	p.nc.SetWriteBuffer(sendBuffer)
	r, ts, err := p.login(log)
	if err != nil {
		p.logEnd(log, "login ended", err)
		return
	}
	p.s.loggedIn(p)
	log = log.With("initiator", r.InitiatorName)
	if ts != nil {
		log = log.With("target", ts.Target.Name(), "tsih", ts.TSIH)
	}
	log.Info("logged in", "session", r.SessionType.String())
	begin := time.Now()
	err = p.serve(r, ts)
	// Who is dropped by us did not die; who logs in again over his own session did.
	why := p.why.Load()
	p.s.ended(p.key(r), time.Since(begin), err == nil || why != nil && *why != target.Reinstatement)
	p.logEnd(log, "session ended", err)
}

// logEnd says why a connection ended: quietly when the peer just went away.
func (p *peer) logEnd(log *slog.Logger, what string, err error) {
	if why := p.why.Load(); why != nil {
		log.Info(what, "reason", *why)
		return
	}
	switch {
	case err == nil:
		log.Info(what, "reason", "logout")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		log.Info(what, "reason", "connection closed by the peer")
	default:
		log.Warn(what, "error", err)
	}
}

// key names a peer for its penalties.
func (p *peer) key(r *login.Result) string {
	host, _, _ := net.SplitHostPort(p.nc.RemoteAddr().String())
	return host + " " + r.InitiatorName
}

// serve runs the full feature phase, then waits until no command of the session runs.
func (p *peer) serve(r *login.Result, ts *target.Session) error {
	var state *session.State
	if ts != nil {
		state = stateOf(ts)
		ts.SetDoor(&tie{params: r.Params, cid: r.CID})
		defer func() {
			if !p.lost() || !ts.Park(retain(r)) {
				ts.Close()
			}
		}()
	}
	var c *conn.Conn
	cfg := session.Config{
		Params: r.Params, Pool: p.s.o.Pool,
		CID: r.CID, Window: p.s.o.Window, Budget: p.s.o.SessionBudget,
		Resume: state, CmdSN: pdu.Serial(r.ExpCmdSN), StatSN: pdu.Serial(r.StatSN),
		Notify: func() { c.Notify() },
	}
	if ts != nil {
		cfg.Nexus = ts.Nexus
		cfg.ColdReset = func() { dropOthers(ts) }
	}
	var s *session.Session
	cfg.Text = &text.Exchange{Answer: p.answerer(r, func(n uint32) { s.SetMaxXmit(n) }).Answer}
	s = session.New(cfg)
	c, err := conn.New(p.nc, s, nil, conn.Options{
		Pool: p.s.o.Pool, HeaderDigest: r.HeaderDigest, DataDigest: r.DataDigest,
		MaxData: int(r.MaxRecvDataSegmentLength), Now: &p.s.now,
	})
	if err != nil {
		return err
	}
	p.conn.Store(c)
	if ts != nil {
		ts.Nexus.Watch(s.Attention)
	}
	err = c.Run()
	p.nc.Close()
	<-c.Shut()
	if ts != nil {
		ts.Nexus.Watch(func(*core.Path, *sense.Error) {}) // told by the next command
		c.Do(func(s *session.Session) {
			ts.SetDoor(&tie{params: r.Params, cid: r.CID, state: s.State()})
		})
	}
	p.clean = err == nil || errors.Is(err, session.ErrDropped)
	return err
}

// dropOthers ends every session of a target but one, whose TARGET COLD RESET it was.
func dropOthers(ts *target.Session) {
	for _, o := range ts.Target.Sessions() {
		if o != ts {
			o.Drop("target cold reset by " + ts.Initiator.Name)
		}
	}
}

// answerer answers the text requests of a session.
func (p *peer) answerer(r *login.Result, setMaxXmit func(uint32)) *text.Answerer {
	a := &text.Answerer{
		Normalize: login.NormalizeName,
		Targets:   func() []text.Target { return p.targets(r.InitiatorName) },
		Negotiate: login.Renegotiate(setMaxXmit),
	}
	if r.Target != nil {
		a.Target = r.Target.Name
	}
	return a
}

// targets are those that initiator may log in to by this portal, each with every portal
// that it has.
func (p *peer) targets(initiator string) []text.Target {
	addresses := p.s.gw.Addresses(p.local())
	var list []text.Target
	for _, t := range p.s.gw.Visible(initiator, p.portal) {
		byTag := map[uint16][]string{}
		var tags []uint16
		for _, a := range addresses {
			if !t.Spec().At(a.Listen) {
				continue
			}
			if byTag[a.Tag] == nil {
				tags = append(tags, a.Tag)
			}
			byTag[a.Tag] = append(byTag[a.Tag], a.HostPort)
		}
		for _, tag := range tags {
			list = append(list, text.Target{Name: t.Name(), Addresses: byTag[tag], TPGT: tag})
		}
	}
	return list
}

func (p *peer) local() netip.AddrPort {
	a, _ := netip.ParseAddrPort(p.nc.LocalAddr().String())
	return a
}

// login runs the login phase: blocking reads and writes, under a deadline.
func (p *peer) login(log *slog.Logger) (*login.Result, *target.Session, error) {
	p.nc.SetDeadline(time.Now().Add(p.s.o.LoginTimeout))
	dir := &directory{p: p}
	limits := p.s.o.Limits
	limits.DefaultTime2Wait, limits.DefaultTime2Retain = p.s.gw.Times()
	m := login.New(login.Config{Directory: dir, Limits: limits, Session: p.session, Window: uint32(p.s.o.Window)})
	rd := loginReader{r: p.nc}
	var last *login.Request
	for {
		q, err := rd.next()
		if errors.Is(err, errData) && last != nil { // RFC 7143, 4.2.4
			resp, err := m.Abort(*last, login.Refuse(login.InvalidDuringLogin, "%v", err))
			p.send(resp)
			return nil, nil, err
		} else if err != nil {
			return nil, nil, err
		}
		last = &q
		resp, err := m.Step(q)
		if err != nil {
			p.send(resp)
			return nil, nil, err
		}
		r := m.Result()
		if r == nil {
			if err := p.send(resp); err != nil {
				return nil, nil, err
			}
			continue
		}
		var ts *target.Session
		if d := p.s.wait(p.key(r)); d > 0 {
			log.Warn("initiator logs in and dies in a loop: slowed down", "initiator", r.InitiatorName, "wait", d)
			select {
			case <-time.After(d):
			case <-p.s.done:
				return nil, nil, net.ErrClosed
			}
		}
		if r.Target != nil {
			ts, err = p.open(r)
			// The wait for an old session may have used up the time for the login.
			p.nc.SetDeadline(time.Now().Add(p.s.o.LoginTimeout))
			if err != nil {
				resp, err = m.Refuse(q, refusal(err))
				p.send(resp)
				return nil, nil, err
			}
			resp.TSIH = ts.TSIH
			if st := stateOf(ts); st != nil {
				st.GoOn(r.ExpCmdSN)
				resp.ExpCmdSN, resp.MaxCmdSN = st.Window()
			}
		} else {
			resp.TSIH = 1 // a discovery session; nobody joins it
		}
		if err := p.send(resp); err != nil {
			if ts != nil && (stateOf(ts) == nil || !ts.Park(retain(r))) {
				ts.Close()
			}
			return nil, nil, err
		}
		p.nc.SetDeadline(time.Time{})
		return r, ts, nil
	}
}

// open enters the session into the registry, after an older one of the same initiator
// port has ended.
func (p *peer) open(r *login.Result) (*target.Session, error) {
	t := p.s.gw.Target(r.Target.Name)
	if t == nil {
		return nil, target.ErrRemoved
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.s.o.LoginTimeout)
	defer cancel()
	ip := initiatorPort(r.InitiatorName, r.ISID)
	o := target.OpenOptions{Peer: p.nc.RemoteAddr().String(), Portal: p.portal,
		Drop: p.drop, Logout: p.logout, Cut: func() { p.close(reconnected) }}
	if r.TSIH == 0 {
		return t.Open(ctx, ip, o)
	}
	old := t.Find(ip, p.portal.GroupTag(), r.TSIH)
	if old == nil {
		return nil, target.ErrNoSession
	}
	ts, err := t.Resume(ctx, ip, r.TSIH, o)
	if err == nil {
		ts.SetDoor(old.Door())
	}
	return ts, err
}

// refusal says a registry's error in the words of a login.
func refusal(err error) error {
	for _, r := range []struct {
		err    error
		status login.Status
	}{
		{target.ErrForbidden, login.AuthorizationFailure},
		{target.ErrTooMany, login.OutOfResources},
		{target.ErrRemoved, login.TargetRemoved},
		{target.ErrNoSession, login.NoSession},
		{target.ErrBusy, login.ServiceUnavailable},
	} {
		if errors.Is(err, r.err) {
			return login.Refuse(r.status, "%v", err)
		}
	}
	return login.Refuse(login.TargetError, "%v", err)
}

// directory shows gateway/target to the login machine.
type directory struct{ p *peer }

func (d *directory) Find(iqn, initiator string) (*login.Target, error) {
	t := d.p.s.gw.Target(iqn)
	if t == nil || !t.Spec().At(d.p.portal.Listen) {
		return nil, login.Refuse(login.NotFound, "no target %s", iqn)
	}
	if !t.Admits(initiator) {
		return nil, login.Refuse(login.AuthorizationFailure, "%s is in no group of %s", initiator, iqn)
	}
	l := &login.Target{Name: t.Name(), Alias: t.Alias(), TPGT: d.p.portal.GroupTag(),
		Auth: loginAuth(t.Auth())}
	r := t.Spec().Redirect
	if r == nil {
		r = d.p.s.gw.RedirectAt(d.p.portal.Listen)
	}
	if r != nil {
		l.Redirect = &login.Redirect{Address: r.Address, Permanent: r.Permanent}
	}
	return l, nil
}

func (d *directory) DiscoveryAuth() *login.Auth { return loginAuth(d.p.s.gw.Discovery()) }

func loginAuth(a *target.Auth) *login.Auth {
	if a == nil {
		return nil
	}
	l := &login.Auth{}
	for _, u := range a.Users {
		l.Users = append(l.Users, login.Credential(u))
	}
	if a.Mutual != nil {
		c := login.Credential(*a.Mutual)
		l.Mutual = &c
	}
	return l
}

// errData is a login PDU that is out of bounds.
var errData = errors.New("not a Login Request, or one beyond " + strconv.Itoa(maxLoginData) + " bytes")

// loginReader frames Login Requests, which have neither digests nor company.
type loginReader struct {
	r    io.Reader
	head [pdu.HeaderLen]byte
	data []byte
}

func (l *loginReader) next() (login.Request, error) {
	if _, err := io.ReadFull(l.r, l.head[:]); err != nil {
		return login.Request{}, err
	}
	h := pdu.View(l.head[:])
	n := h.DataLen()
	if h.Opcode() != pdu.LoginRequest || h.AHSLen() != 0 || n > maxLoginData {
		return login.Request{}, errData
	}
	l.data = append(l.data[:0], make([]byte, n+pdu.Pad(n))...)
	if _, err := io.ReadFull(l.r, l.data); err != nil {
		return login.Request{}, err
	}
	return login.ParseRequest(h, l.data[:n]), nil
}

func (p *peer) send(r login.Response) error {
	b := r.Append(nil)
	_, err := p.nc.Write(b)
	return err
}
