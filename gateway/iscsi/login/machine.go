package login

import (
	"crypto/rand"
	"errors"
	"io"
	"strconv"

	"github.com/targate/targate/gateway/iscsi/text"
)

// Stage is a login stage; the values are those of the CSG and NSG fields.
type Stage uint8

// Login stages.
const (
	Security    Stage = 0
	Operational Stage = 1
	FullFeature Stage = 3
)

// Request is a Login Request (RFC 7143, 11.12), digests and padding removed. The
// immediate bit is not in it: an initiator that forgets it (uiscsi does) counts its
// CmdSN as if it were set.
type Request struct {
	Transit, Continue bool
	CSG, NSG          Stage
	VersionMax        uint8
	VersionMin        uint8
	ISID              [6]byte
	TSIH              uint16
	ITT               uint32
	CID               uint16
	CmdSN, ExpStatSN  uint32
	Data              []byte // read during Step only
}

// Response is a Login Response (RFC 7143, 11.13).
type Response struct {
	Transit, Continue         bool
	CSG, NSG                  Stage
	VersionMax, VersionActive uint8
	ISID                      [6]byte

	// TSIH echoes the request. In the response that ends a login (Transit, NSG
	// FullFeature) the caller puts the TSIH of the session that it made.
	TSIH uint16

	ITT                        uint32
	StatSN, ExpCmdSN, MaxCmdSN uint32
	Status                     Status
	Data                       []byte // the machine's, valid until the next Step
}

// Directory is what a login must know of the targets.
type Directory interface {
	// Find gives the target that initiator may log in to by this connection. Both
	// names are normalized. The error is a *Refusal; any other becomes TargetError.
	Find(iqn, initiator string) (*Target, error)

	// DiscoveryAuth is the authentication of discovery sessions, nil for none.
	DiscoveryAuth() *Auth
}

// Target is what a login must know of one target. A login keeps it in its Result
// and never changes it.
type Target struct {
	Name, Alias string
	TPGT        uint16
	Auth        *Auth     // nil: none needed
	Redirect    *Redirect // not nil: this login goes elsewhere
	Keys        *Limits   // nil: those of Config
}

// Redirect sends an initiator to another address: "host[:port][,tpgt]", an IPv6
// host in brackets (RFC 7143, 13.8).
type Redirect struct {
	Address   string
	Permanent bool
}

// Auth is who may log in, and how we prove who we are when asked.
type Auth struct {
	Users  []Credential
	Mutual *Credential // nil: an initiator that wants to authenticate us is refused
}

// Credential is a CHAP name and its secret.
type Credential struct {
	Name   string
	Secret []byte
}

// Config is what a Machine is made from.
type Config struct {
	Directory Directory
	Limits    Limits
	// Session finds the session whose connection a login with a TSIH reinstates, and what it
	// agreed on. The error is a *Refusal. nil: there are no sessions to join.
	Session func(target, initiator string, q *Request) (*Params, error)
	Rand    io.Reader // identifiers and challenges; nil is crypto/rand
	Window  uint32    // commands that MaxCmdSN of our responses leaves room for, at least 1
}

// Limits of one login.
const (
	// MaxData is the longest data segment of a login PDU, both ways: the default of
	// MaxRecvDataSegmentLength, which holds until the login is over (RFC 7143, 13.12).
	MaxData = 8192

	// MaxSteps is how many requests one login may take.
	MaxSteps = 128
)

// Machine is one login, from the first Login Request of a connection to the full
// feature phase or a refusal. Not safe for concurrent use.
type Machine struct {
	cfg    Config
	stage  Stage
	steps  int
	over   bool    // ended, either way
	passed bool    // ended in the full feature phase
	first  Request // what all requests of a login have in common
	statSN uint32

	in, out []byte // text gathered; answer not yet sent

	result     Result
	keys       *negotiation // from the first complete request on
	sec        security
	introduced bool // TargetPortalGroupTag is sent
	declared   bool // our MaxRecvDataSegmentLength is sent
}

// New makes the machine of one connection.
func New(cfg Config) *Machine {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Window = max(cfg.Window, 1)
	m := &Machine{cfg: cfg}
	m.keys = newNegotiation(&m.cfg.Limits, &m.result)
	return m
}

// Result is what the login agreed on, nil until it reached the full feature
// phase. The caller owns it.
func (m *Machine) Result() *Result {
	if !m.passed {
		return nil
	}
	return &m.result
}

// Step answers one Login Request. When the error is not nil it is a *Refusal:
// the caller sends the response, which bears its status, and closes the
// connection. Once Result is not nil the session takes over.
func (m *Machine) Step(q Request) (Response, error) {
	r, err := m.step(&q)
	if err != nil {
		return m.refuse(&q, err)
	}
	return r, nil
}

// Refuse is the response to q that ends the login, for a reason that the machine
// cannot know too, such as a full session registry: call it in place of sending
// what Step returned. An error that is no *Refusal becomes TargetError.
func (m *Machine) Refuse(q Request, err error) (Response, error) {
	m.statSN-- // of the response that is not sent
	return m.refuse(&q, err)
}

// Abort is the response that ends the login when something else came after q, the last
// request.
func (m *Machine) Abort(q Request, err error) (Response, error) {
	m.steps++ // one more PDU, with a StatSN of its own
	return m.refuse(&q, err)
}

func (m *Machine) refuse(q *Request, err error) (Response, error) {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		refusal = &Refusal{Status: TargetError, Reason: err.Error()}
	}
	if m.steps == 0 {
		m.steps, m.first = 1, *q
	}
	m.over, m.passed = true, false
	r := m.header(q)
	r.Status = refusal.Status
	if refusal.Address != "" {
		r.Data = text.Append(nil, "TargetAddress", refusal.Address)
	}
	return r, refusal
}

// header starts a response and takes a StatSN.
func (m *Machine) header(q *Request) Response {
	if m.steps <= 1 {
		m.statSN = q.ExpStatSN
	}
	r := Response{CSG: q.CSG, ISID: q.ISID, TSIH: q.TSIH, ITT: q.ITT, StatSN: m.statSN,
		ExpCmdSN: m.first.CmdSN, MaxCmdSN: m.first.CmdSN + m.cfg.Window - 1}
	m.statSN++
	return r
}

func (m *Machine) step(q *Request) (Response, error) {
	m.steps++
	if m.steps == 1 {
		m.first, m.stage = *q, q.CSG
		m.first.Data = nil
	}
	if err := m.check(q); err != nil {
		return Response{}, err
	}
	if len(m.out) > 0 { // the initiator asks for the rest of our answer (6.2)
		if len(q.Data) > 0 || q.Continue {
			return Response{}, Refuse(InitiatorError, "text while our answer is not complete")
		}
		return m.respond(q, false), nil
	}
	if len(m.in)+len(q.Data) > text.MaxText {
		return Response{}, Refuse(InitiatorError, "text longer than %d bytes", text.MaxText)
	}
	if q.Continue {
		m.in = append(m.in, q.Data...)
		return m.respond(q, false), nil
	}
	pairs, err := text.Parse(append(m.in, q.Data...))
	m.in = nil
	if err != nil {
		return Response{}, Refuse(InitiatorError, "%v", err)
	}
	transit, err := m.answer(q, pairs)
	if err != nil {
		return Response{}, err
	}
	return m.respond(q, transit), nil
}

// check holds the header against the rules of RFC 7143, 6.3 and 11.12.
func (m *Machine) check(q *Request) error {
	f := &m.first
	switch {
	case m.over:
		return Refuse(InvalidDuringLogin, "the login is over")
	case m.steps > MaxSteps:
		return Refuse(InitiatorError, "no end after %d requests", MaxSteps)
	case q.VersionMin > 0:
		return Refuse(UnsupportedVersion, "version %d to %d, ours is 0", q.VersionMin, q.VersionMax)
	case q.TSIH != 0 && m.cfg.Session == nil:
		return Refuse(NoSession, "TSIH is %d", q.TSIH)
	case q.ISID != f.ISID || q.CID != f.CID || q.TSIH != f.TSIH:
		return Refuse(InitiatorError, "ISID, TSIH or CID changed")
	case q.CSG != Security && q.CSG != Operational:
		return Refuse(InvalidDuringLogin, "CSG is %d, no login stage", q.CSG)
	case q.CSG != m.stage:
		return Refuse(InvalidDuringLogin, "CSG is %d, this login is in %d", q.CSG, m.stage)
	case q.Transit && !next[q.CSG][q.NSG&3]:
		return Refuse(InitiatorError, "no transition from %d to %d", q.CSG, q.NSG)
	case q.Transit && q.Continue:
		return Refuse(InitiatorError, "T and C in one request")
	case len(q.Data) > MaxData:
		return Refuse(InitiatorError, "a data segment of %d bytes", len(q.Data))
	}
	return nil
}

// next says which stage a Transit bit may lead to (RFC 7143, 6.3).
var next = [4][4]bool{
	Security:    {Operational: true, FullFeature: true},
	Operational: {FullFeature: true},
}

// answer takes the keys of a whole request, leaves the text of the answer in
// m.out, and says whether the stage may end now.
func (m *Machine) answer(q *Request, pairs []text.Pair) (transit bool, err error) {
	received, byRow := sorted(pairs)
	m.keys.auth = map[string]string{}
	if err := m.takeAll(byRow, true); err != nil {
		return false, err
	}
	if !m.introduced {
		if err := m.identify(); err != nil {
			return false, err
		}
	}
	if err := m.takeAll(byRow, false); err != nil {
		return false, err
	}
	out := m.introduce()
	for _, e := range received {
		if e.Key == maxRecv {
			e.answer = m.maxRecv()
		}
		if e.answer != "" {
			out = append(out, text.Pair{Key: e.Key, Value: e.answer})
		}
	}
	if m.stage == Security {
		proof, err := m.sec.step(m.keys.auth, q.Transit)
		if err != nil {
			return false, err
		}
		out = append(out, proof...)
	}
	transit = q.Transit && (m.stage == Operational || m.sec.done())
	if transit && q.NSG == FullFeature {
		if k := m.keys.unanswered(); k != "" {
			return false, Refuse(MissingParameter, "no answer to %s", k)
		}
		demands, err := m.keys.demands()
		if err != nil {
			return false, err
		}
		out = append(out, demands...)
		transit = len(demands) == 0
	}
	if m.stage == Operational || transit && q.NSG == FullFeature {
		if v := m.maxRecv(); v != "" {
			out = append(out, text.Pair{Key: maxRecv, Value: v})
		}
	}
	for _, p := range out {
		m.out = text.Append(m.out, p.Key, p.Value)
	}
	return transit, nil
}

// takeAll takes those keys of a request that come first, or the others.
func (m *Machine) takeAll(entries []*entry, first bool) error {
	for _, e := range entries {
		if (e.row >= 0 && keys[e.row].first) != first {
			continue
		}
		if err := m.keys.take(e, m.stage); err != nil {
			return err
		}
	}
	return nil
}

// identify finds out with whom the initiator wants to talk, from its first
// complete request (RFC 7143, 6.3 and 13.4 to 13.6).
func (m *Machine) identify() error {
	r := &m.result
	if r.InitiatorName == "" {
		return Refuse(MissingParameter, "no InitiatorName")
	}
	limits := &m.cfg.Limits
	need := m.cfg.Directory.DiscoveryAuth
	if r.SessionType == Normal {
		if r.TargetName == "" {
			return Refuse(MissingParameter, "no TargetName")
		}
		t, err := m.cfg.Directory.Find(r.TargetName, r.InitiatorName)
		if err != nil {
			return err
		}
		if t.Redirect != nil {
			status := MovedTemporarily
			if t.Redirect.Permanent {
				status = MovedPermanently
			}
			return &Refusal{Status: status, Address: t.Redirect.Address}
		}
		r.Target = t
		if t.Keys != nil {
			limits = t.Keys
		}
		need = func() *Auth { return t.Auth }
	}
	if err := m.join(); err != nil {
		return err
	}
	m.keys.limits = limits
	r.MaxRecvDataSegmentLength = limits.MaxRecvDataSegmentLength
	m.sec = security{auth: need(), rand: m.cfg.Rand}
	if m.stage == Operational && !m.sec.done() {
		return Refuse(AuthFailure, "the login skips the security stage") // 6.3.2
	}
	return nil
}

// join has a login with a TSIH begin with what its session agreed on (RFC 7143, 6.3.4).
func (m *Machine) join() error {
	if m.first.TSIH == 0 {
		return nil
	}
	r := &m.result
	if r.SessionType != Normal {
		return Refuse(NoSession, "a discovery session with TSIH %d", m.first.TSIH)
	}
	p, err := m.cfg.Session(r.TargetName, r.InitiatorName, &m.first)
	if err != nil {
		return err
	}
	m.keys.join(p)
	return nil
}

// introduce says, once, what a normal session must know of its target (13.9).
func (m *Machine) introduce() []text.Pair {
	if m.introduced {
		return nil
	}
	m.introduced = true
	t := m.result.Target
	if t == nil {
		return nil
	}
	out := []text.Pair{{Key: "TargetPortalGroupTag", Value: strconv.Itoa(int(t.TPGT))}}
	if t.Alias != "" {
		out = append(out, text.Pair{Key: "TargetAlias", Value: t.Alias})
	}
	return out
}

const maxRecv = "MaxRecvDataSegmentLength"

// maxRecv is our declaration of that key, "" after the first time.
func (m *Machine) maxRecv() string {
	if m.declared {
		return ""
	}
	m.declared = true
	return strconv.FormatUint(uint64(m.keys.limits.MaxRecvDataSegmentLength), 10)
}

// respond makes the response with as much of the answer as a PDU holds. The stage
// ends only with a complete answer; when there is more, the initiator comes back
// for it and then asks again for the transition.
func (m *Machine) respond(q *Request, transit bool) Response {
	r := m.header(q)
	n := min(len(m.out), MaxData)
	r.Data, m.out = m.out[:n], m.out[n:]
	if len(m.out) > 0 {
		r.Continue = true
		return r
	}
	m.out = nil
	if !transit {
		return r
	}
	r.Transit, r.NSG = true, q.NSG
	m.stage = q.NSG
	if m.stage == FullFeature {
		m.over, m.passed = true, true
		f := &m.result
		f.ISID, f.TSIH, f.CID = q.ISID, q.TSIH, q.CID
		f.ExpCmdSN, f.StatSN, f.User = r.ExpCmdSN, m.statSN, m.sec.user()
	}
	return r
}
