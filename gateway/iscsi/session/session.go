package session

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/taskset"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/text"
)

// Config is what a session is made of.
type Config struct {
	Params login.Params
	Nexus  *core.Nexus // nil in a discovery session
	Pool   *buf.Pool
	Text   *text.Exchange
	// Window is how many commands an initiator may have outstanding.
	Window int
	CID    uint16 // of the connection
	// Budget bounds the bytes of Data-Out that the session's commands hold. Over it
	// the command window closes.
	Budget int64
	CmdSN  pdu.Serial // the first one expected
	Resume *State     // of a session that goes on by another connection: instead of CmdSN
	StatSN pdu.Serial // the first one to send
	// Notify is called from any goroutine when Drain has something to do.
	Notify func()
	// ColdReset ends the other sessions of the target, after TARGET COLD RESET. It may be
	// nil, and does not wait.
	ColdReset func()
}

// ErrClosed ends a session in good order: the peer logged out, or reset the target, and
// the answer is queued. The connection sends what is pending and closes.
var ErrClosed = errors.New("logged out")

// ErrDropped ends a session after Drop.
var ErrDropped = errors.New("dropped")

// ErrProtocol is wrapped by what Accept returns when the peer broke a rule that ends
// the connection at error recovery level 0 (RFC 7143, 7.1.4).
var ErrProtocol = errors.New("protocol error")

// Session is the state of one session with one connection.
type Session struct {
	cfg    Config
	params login.Params
	nexus  *core.Nexus
	pool   *buf.Pool
	out    Out

	expCmdSN, maxCmdSN pdu.Serial
	statSN             pdu.Serial
	nextTTT            uint32

	tasks map[uint32]*task // by ITT: those that outlive their Accept
	held  int64            // bytes of Data-Out buffers of tasks
	free  *task

	placing *task    // the connection receives into its buffer
	orphan  *buf.Buf // such a buffer whose task has ended

	last    pdu.Serial // the CmdSN that was counted last
	counted bool       // by the PDU that is being accepted
	gap     gap

	plugged    map[pdu.Serial]struct{} // numbers in the window taken for received
	lingering  int                     // tasks that linger
	impatience int                     // calls of Tick that saw them
	functions  int                     // task management functions that are not answered

	terminations []scsi.LUN // to be told of by Drain

	received int64              // when what is accepted now was received (latency.Now)
	skip     uint32             // commands until one is measured
	sent     []core.Measurement // of commands whose answers are in out

	pingTTT   uint32 // of the NOP-In that we wait for an answer to, or NoTag
	closing   bool   // a logout waits for the tasks to end
	logoutITT uint32
	loggedOut bool
	ending    bool // after TARGET COLD RESET
	closed    bool
	quiet     chan struct{} // closed when the last task is gone after Close

	ready  atomic.Int32 // number of entries below
	mu     sync.Mutex   // guards done, tmfs, events
	done   []*task
	tmfs   []*tmfResult
	events []event
	spare  []*task // the other half of the double buffer of done
}

// New makes a session that is past its login.
func New(cfg Config) *Session {
	s := &Session{cfg: cfg, params: cfg.Params, nexus: cfg.Nexus, pool: cfg.Pool,
		expCmdSN: cfg.CmdSN, statSN: cfg.StatSN, tasks: map[uint32]*task{},
		pingTTT: pdu.NoTag, quiet: make(chan struct{})}
	s.out = Out{pool: cfg.Pool, headerDigest: cfg.Params.HeaderDigest, dataDigest: cfg.Params.DataDigest}
	s.maxCmdSN = s.expCmdSN + pdu.Serial(cfg.Window) - 1
	if r := cfg.Resume; r != nil {
		s.expCmdSN, s.maxCmdSN, s.plugged = r.expCmdSN, r.maxCmdSN, r.plugged
	}
	return s
}

// State is what outlives the connection of a session (RFC 7143, 6.3.4): its numbering of
// commands. What was on its way is gone.
type State struct {
	expCmdSN, maxCmdSN pdu.Serial
	plugged            map[pdu.Serial]struct{}
}

// GoOn has the session go on with the CmdSN that the login bears (RFC 7143, 11.12.9), when that
// lies in the window: what was numbered before and never came was ended with the connection.
func (s *State) GoOn(cmdSN uint32) {
	sn := pdu.Serial(cmdSN)
	if !s.expCmdSN.Before(sn) || (s.maxCmdSN + 1).Before(sn) {
		return
	}
	s.expCmdSN = sn
	for n := range s.plugged {
		if n.Before(sn) {
			delete(s.plugged, n)
		}
	}
}

// Window are ExpCmdSN and MaxCmdSN.
func (s *State) Window() (expCmdSN, maxCmdSN uint32) { return uint32(s.expCmdSN), uint32(s.maxCmdSN) }

// State is the session's now. It is called once no command of it runs.
func (s *Session) State() *State {
	s.advance()
	return &State{s.expCmdSN, s.maxCmdSN, s.plugged}
}

// Out is what waits to be sent.
func (s *Session) Out() *Out { return &s.out }

// Nexus is the I_T nexus of the session, nil in a discovery session.
func (s *Session) Nexus() *core.Nexus { return s.nexus }

// Outstanding is the number of tasks that wait for data or run elsewhere.
func (s *Session) Outstanding() int { return len(s.tasks) }

// accept is the function of each opcode (RFC 7143, 11.2.1.2).
var accept [64]func(*Session, *pdu.PDU) error

func init() { // here, since what waits behind a gap is accepted by Accept's own means
	accept = [64]func(*Session, *pdu.PDU) error{
		pdu.NopOut:      (*Session).nopOut,
		pdu.SCSICommand: (*Session).scsiCommand,
		pdu.TaskMgmt:    (*Session).taskMgmt,
		pdu.TextRequest: (*Session).textRequest,
		pdu.DataOut:     (*Session).dataOut,
		pdu.Logout:      (*Session).logoutRequest,
		pdu.SNACK:       (*Session).snack,
	}
}

// Accept takes one PDU in. An error ends the connection, after what is pending in
// Out has been sent.
func (s *Session) Accept(p *pdu.PDU) error {
	s.counted = false
	f := accept[p.Opcode()]
	if f == nil {
		s.reject(p, pdu.RejectNotSupported)
		if p.Opcode() == pdu.LoginRequest {
			return fmt.Errorf("%w: Login Request in the full feature phase", ErrProtocol)
		}
		return nil
	}
	if err := f(s, p); err != nil || len(s.gap.waiting) == 0 {
		return err
	}
	return s.resume()
}

// number checks the CmdSN of p and advances the window (RFC 7143, 4.2.2.1). ok false
// means that p is to be ignored, or was kept for later.
func (s *Session) number(p *pdu.PDU) (ok bool, err error) {
	sn := p.CmdSN()
	if p.Immediate() || sn == s.expCmdSN {
		if !p.Immediate() {
			if s.maxCmdSN.Before(sn) {
				return false, nil // the window is closed
			}
			s.expCmdSN++
			s.last, s.counted, s.gap.open = sn, true, false
			if len(s.plugged) != 0 {
				s.skipPlugged()
			}
		}
		return true, nil
	}
	if _, ok := s.plugged[sn]; ok {
		return false, nil // was aborted before it came
	}
	if sn.Before(s.expCmdSN) || s.maxCmdSN.Before(sn) {
		return false, nil // outside the window: silently ignored
	}
	if kept, err := s.behind(p); kept {
		return false, err
	}
	// There is one connection and TCP keeps its order, so a gap will never be filled.
	s.reject(p, pdu.RejectProtocol)
	return false, fmt.Errorf("%w: CmdSN %d, expected %d", ErrProtocol, sn, s.expCmdSN)
}

// advance opens the command window as far as outstanding commands and the byte
// budget allow. It never shrinks (RFC 7143, 4.2.2.1).
func (s *Session) advance() {
	room := s.cfg.Window - len(s.tasks)
	if s.held > s.cfg.Budget || room < 0 {
		room = 0
	}
	if m := s.expCmdSN + pdu.Serial(room) - 1; s.maxCmdSN.Before(m) {
		s.maxCmdSN = m
	}
}

// windows writes the two window fields, and StatSN as it stands, into a PDU that is
// about to be sent.
func (s *Session) windows(h *pdu.BHS) {
	s.advance()
	h.SetStatSN(s.statSN)
	h.SetExpCmdSN(s.expCmdSN)
	h.SetMaxCmdSN(s.maxCmdSN)
}

// numbered is windows for a PDU that consumes a StatSN.
func (s *Session) numbered(h *pdu.BHS) {
	s.windows(h)
	s.statSN++
}

// reject answers p with a Reject that carries its header (RFC 7143, 11.17). Its CmdSN, if it
// was counted, has not been received (7.3).
func (s *Session) reject(p *pdu.PDU, reason byte) {
	s.unnumber(p)
	h := s.out.header()
	h.SetOpcode(pdu.Reject)
	h.SetFlags(pdu.Final)
	h.SetResponse(reason)
	h.SetITT(pdu.NoTag)
	s.numbered(h)
	s.out.small(h, p.BHS[:])
	freeData(p)
}

// DigestError rejects p, whose data digest is wrong. At error recovery level 0 the
// connection then ends (RFC 7143, 7.8).
func (s *Session) DigestError(p *pdu.PDU) error {
	s.reject(p, pdu.RejectDataDigest)
	return fmt.Errorf("%w: data digest error in %v", ErrProtocol, p.Opcode())
}

func freeData(p *pdu.PDU) {
	if p.Buf != nil {
		p.Buf.Free()
		p.Buf, p.Data = nil, nil
	}
}

func (s *Session) snack(p *pdu.PDU) error {
	s.reject(p, pdu.RejectSNACK)
	return nil
}

// nopOut answers a ping, or takes the answer to ours (RFC 7143, 11.18).
func (s *Session) nopOut(p *pdu.PDU) error {
	ok, err := s.number(p)
	if !ok {
		freeData(p)
		return err
	}
	if p.TTT() == s.pingTTT {
		s.pingTTT = pdu.NoTag
	}
	if p.ITT() == pdu.NoTag {
		freeData(p)
		return nil
	}
	if s.nexus == nil {
		s.reject(p, pdu.RejectProtocol) // a discovery session is for discovery alone (4.3)
		return nil
	}
	h := s.out.header()
	h.SetOpcode(pdu.NopIn)
	h.SetFlags(pdu.Final)
	copy(h.LUNBytes(), p.LUNBytes())
	h.SetITT(p.ITT())
	h.SetTTT(pdu.NoTag)
	s.numbered(h)
	s.out.small(h, p.Data[:min(len(p.Data), int(s.params.MaxXmitDataSegmentLength))])
	freeData(p)
	return nil
}

// Ping queues a NOP-In that asks for an answer. It is false when the one before was
// not answered yet.
func (s *Session) Ping() bool {
	if s.pingTTT != pdu.NoTag {
		return false
	}
	s.pingTTT = s.newTTT()
	h := s.out.header()
	h.SetOpcode(pdu.NopIn)
	h.SetFlags(pdu.Final)
	h.SetITT(pdu.NoTag)
	h.SetTTT(s.pingTTT)
	s.windows(h)
	s.out.endHeader(h)
	return true
}

func (s *Session) newTTT() uint32 {
	s.nextTTT++
	if s.nextTTT == pdu.NoTag {
		s.nextTTT = 0
	}
	return s.nextTTT
}

// logoutRequest closes the session: with one connection, reasons 0 and 1 mean the
// same (RFC 7143, 11.14). Commands that were received before are finished first.
func (s *Session) logoutRequest(p *pdu.PDU) error {
	ok, err := s.number(p)
	freeData(p)
	if !ok {
		return err
	}
	switch reason := p.Function(); {
	case s.nexus == nil && reason != 0: // a discovery session is closed as a whole (4.3)
		s.reject(p, pdu.RejectProtocol)
		return nil
	case reason == 1 && p.CID() != s.cfg.CID:
		s.answerLogout(p.ITT(), 1)
		return nil
	case reason <= 1:
		s.closing, s.logoutITT = true, p.ITT()
		s.giveIncomplete()
		return s.maybeLogout()
	case reason == 2: // remove for recovery: not at error recovery level 0
		s.answerLogout(p.ITT(), 2)
		return nil
	default:
		s.reject(p, pdu.RejectInvalidField)
		return nil
	}
}

// giveIncomplete takes back the tasks that wait for Data-Out: it will not come.
func (s *Session) giveIncomplete() {
	for _, t := range s.tasks {
		if t.want > t.got || t.failed || t.unsol {
			s.give(t)
		}
	}
}

// maybeLogout answers a logout once nothing is outstanding.
func (s *Session) maybeLogout() error {
	if !s.closing || len(s.tasks) > 0 || s.closed {
		return nil
	}
	if !s.loggedOut {
		s.loggedOut = true
		s.answerLogout(s.logoutITT, 0)
	}
	return ErrClosed
}

func (s *Session) answerLogout(itt uint32, response byte) {
	h := s.out.header()
	h.SetOpcode(pdu.LogoutResponse)
	h.SetFlags(pdu.Final)
	h.SetResponse(response)
	h.SetITT(itt)
	s.numbered(h)
	h.SetTimes(s.params.Time2Wait, 0) // nothing is kept (11.15.4)
	s.out.endHeader(h)
}

// Drain answers the tasks and task management functions that ended elsewhere since
// the last call. Its error is like that of Accept.
func (s *Session) Drain() error {
	if err := s.resume(); err != nil {
		return err
	}
	if s.ready.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	done, tmfs, events := s.done, s.tmfs, s.events
	s.done, s.tmfs, s.events = s.spare[:0], nil, nil
	s.ready.Store(0)
	s.mu.Unlock()
	for i, t := range done {
		done[i] = nil
		s.finish(t)
	}
	s.spare = done[:0]
	s.sendTerminations()
	for _, r := range tmfs {
		s.answerTMF(r)
	}
	for _, e := range events {
		if err := s.sendEvent(e); err != nil && !s.closed {
			return err
		}
	}
	if s.closed && len(s.tasks) == 0 {
		s.markQuiet()
	}
	if s.ending && !s.closed {
		return ErrClosed
	}
	return s.maybeLogout()
}

// HasDone reports, from any goroutine, whether Drain has something to do.
func (s *Session) HasDone() bool { return s.ready.Load() != 0 }

// Close aborts what is outstanding: the connection is gone. The channel is closed
// when no command of the session runs any more; Drain must still be called when
// Notify asks for it.
func (s *Session) Close() <-chan struct{} {
	if s.closed {
		return s.quiet
	}
	s.closed = true
	s.placed()
	s.dropGap()
	s.giveIncomplete()
	if s.nexus != nil {
		id := s.nexus.ID
		for _, p := range s.nexus.Paths() {
			p.Unit().Tasks().Abort(func(t *taskset.Task) bool { return t.Nexus == id }, func(int) {})
		}
	}
	s.out.discard()
	s.sent = nil
	if len(s.tasks) == 0 {
		s.markQuiet()
	}
	return s.quiet
}

func (s *Session) markQuiet() {
	select {
	case <-s.quiet:
	default:
		close(s.quiet)
	}
}

// attr maps the iSCSI ATTR field to the task set's attributes.
func attr(a scsi.TaskAttr) (taskset.Attr, bool) {
	switch a {
	case scsi.Untagged, scsi.Simple:
		return taskset.Simple, true
	case scsi.Ordered:
		return taskset.Ordered, true
	case scsi.HeadOfQueue:
		return taskset.HeadOfQueue, true
	case scsi.ACA:
		return taskset.ACA, true
	}
	return taskset.Simple, false
}
