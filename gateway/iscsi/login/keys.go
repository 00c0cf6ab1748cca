package login

import "strconv"

// sender says who may send a key.
type sender uint8

const (
	initiator sender = 1 << iota
	target
	both = initiator | target
)

// phase says when a key may be sent.
type phase uint8

const (
	atSecurity    phase = 1 << iota // the security stage
	atOperational                   // the operational stage
	atFullFeature                   // a Text Request

	inLogin = atSecurity | atOperational // LO and IO of RFC 7143; see session
	always  = inLogin | atFullFeature    // ALL
)

// kind is how a key is negotiated or declared (RFC 7143, 6.2).
type kind uint8

const (
	list     kind = iota // the first value of the offer that we accept
	number               // a number; the result function decides
	boolean              // Yes or No, 1 and 0 to the result function
	declared             // a statement that needs no answer
	auth                 // a key of authentication, see security.go
	refused              // a key that is answered with Reject whenever it comes
)

// key is one row of the key table.
type key struct {
	name string
	from sender
	when phase
	kind kind

	// session is set for what is agreed once for all connections of a session (LO).
	session bool

	// first is set for what the rest depends on: who, with whom, for what.
	first bool

	// again lets an initiator repeat a declaration word for word.
	again bool

	// large values may be longer than text.MaxValue.
	large bool

	lo, hi uint64   // bounds of a number
	values []string // of a list: all that the RFC names, by their code in Params

	result func(offer, ours uint64) uint64   // of a number or boolean
	ours   func(l *Limits, p *Params) uint64 // what we offer
	accept func(l *Limits) []string          // of a list: what we accept

	// get and set reach the place of the value in Params. Without set the value is
	// agreed on and has no consequence.
	get func(p *Params) uint64
	set func(p *Params, v uint64)

	// demand makes us offer the key ourselves when the initiator did not and we
	// cannot live with the default.
	demand bool

	// irrelevant says that the key means nothing in this session.
	irrelevant func(r *Result) bool

	// declare takes a declared value. Its error is a *Refusal.
	declare func(r *Result, v string) error
}

func lower(offer, ours uint64) uint64  { return min(offer, ours) } // Minimum, AND
func higher(offer, ours uint64) uint64 { return max(offer, ours) } // Maximum, OR

func inDiscovery(r *Result) bool { return r.SessionType == Discovery }
func onlyRDMA(*Result) bool      { return true }

func constant(v uint64) func(*Limits, *Params) uint64 {
	return func(*Limits, *Params) uint64 { return v }
}

// Bounds of lengths and times (RFC 7143, chapter 13).
const (
	minLength = 512
	maxLength = 1<<24 - 1
	maxTime   = 3600
)

var digests = []string{"None", "CRC32C"}

// keys is every key that we understand, in the order in which the keys of one
// request are looked at: a later row may depend on what an earlier one came to.
// Clauses are of RFC 7143 unless named.
var keys = []key{
	// 13.21, 13.5, 13.4: first of all.
	{name: "SessionType", from: initiator, when: inLogin, kind: declared, first: true, again: true,
		declare: declareSessionType},
	{name: "InitiatorName", from: initiator, when: inLogin, kind: declared, first: true, again: true,
		declare: declareInitiatorName},
	{name: "TargetName", from: both, when: inLogin, kind: declared, first: true, again: true,
		declare: declareTargetName},

	// 12.1: authentication.
	{name: "AuthMethod", from: both, when: atSecurity, kind: auth},
	{name: "CHAP_A", from: both, when: atSecurity, kind: auth},
	{name: "CHAP_N", from: both, when: atSecurity, kind: auth},
	{name: "CHAP_R", from: both, when: atSecurity, kind: auth, large: true},
	{name: "CHAP_I", from: both, when: atSecurity, kind: auth},
	{name: "CHAP_C", from: both, when: atSecurity, kind: auth, large: true},

	// 13.6 to 13.9 and 13.3: names and addresses.
	{name: "InitiatorAlias", from: initiator, when: always, kind: declared, again: true,
		declare: func(r *Result, v string) error { r.InitiatorAlias = v; return nil }},
	{name: "TargetAlias", from: target, when: always, kind: declared},
	{name: "TargetAddress", from: target, when: always, kind: declared},
	{name: "TargetPortalGroupTag", from: target, when: inLogin, kind: declared},
	{name: "SendTargets", from: initiator, when: atFullFeature, kind: refused}, // answered by package text
	{name: "X#NodeArchitecture", from: both, when: inLogin, kind: declared, // 13.26
		declare: func(r *Result, v string) error { r.NodeArchitecture = v; return nil }},

	// 13.1: each connection.
	{name: "HeaderDigest", from: both, when: inLogin, kind: list, values: digests, demand: true,
		accept: func(l *Limits) []string { return l.HeaderDigest },
		get:    func(p *Params) uint64 { return bit(p.HeaderDigest) },
		set:    func(p *Params, v uint64) { p.HeaderDigest = v == 1 }},
	{name: "DataDigest", from: both, when: inLogin, kind: list, values: digests, demand: true,
		accept: func(l *Limits) []string { return l.DataDigest },
		get:    func(p *Params) uint64 { return bit(p.DataDigest) },
		set:    func(p *Params, v uint64) { p.DataDigest = v == 1 }},
	// 13.12: declared by each side for itself.
	{name: maxRecv, from: both, when: always, kind: declared, declare: declareMaxRecv},

	// 13.2, 13.10 to 13.20, 13.23, 13.24: the session.
	{name: "MaxConnections", from: both, when: inLogin, session: true, kind: number, lo: 1, hi: 65535, result: lower,
		irrelevant: inDiscovery,
		ours:       func(l *Limits, _ *Params) uint64 { return uint64(l.MaxConnections) },
		get:        func(p *Params) uint64 { return uint64(p.MaxConnections) },
		set:        func(p *Params, v uint64) { p.MaxConnections = uint16(v) }},
	{name: "InitialR2T", from: both, when: inLogin, session: true, kind: boolean, result: higher, irrelevant: inDiscovery,
		ours: func(l *Limits, _ *Params) uint64 { return bit(l.InitialR2T) },
		get:  func(p *Params) uint64 { return bit(p.InitialR2T) },
		set:  func(p *Params, v uint64) { p.InitialR2T = v == 1 }},
	{name: "ImmediateData", from: both, when: inLogin, session: true, kind: boolean, result: lower, irrelevant: inDiscovery, demand: true,
		ours: func(l *Limits, _ *Params) uint64 { return bit(l.ImmediateData) },
		get:  func(p *Params) uint64 { return bit(p.ImmediateData) },
		set:  func(p *Params, v uint64) { p.ImmediateData = v == 1 }},
	{name: "MaxBurstLength", from: both, when: inLogin, session: true, kind: number, lo: minLength, hi: maxLength, result: lower,
		irrelevant: inDiscovery, demand: true,
		ours: func(l *Limits, _ *Params) uint64 { return uint64(l.MaxBurstLength) },
		get:  func(p *Params) uint64 { return uint64(p.MaxBurstLength) },
		set:  setMaxBurst},
	{name: "FirstBurstLength", from: both, when: inLogin, session: true, kind: number, lo: minLength, hi: maxLength, result: lower,
		irrelevant: func(r *Result) bool { return inDiscovery(r) || r.InitialR2T && !r.ImmediateData }, demand: true,
		ours: func(l *Limits, p *Params) uint64 { return uint64(min(l.FirstBurstLength, p.MaxBurstLength)) },
		get:  func(p *Params) uint64 { return uint64(p.FirstBurstLength) },
		set:  func(p *Params, v uint64) { p.FirstBurstLength = uint32(v) }},
	{name: "DefaultTime2Wait", from: both, when: inLogin, session: true, kind: number, lo: 0, hi: maxTime, result: higher,
		ours: func(l *Limits, _ *Params) uint64 { return uint64(l.DefaultTime2Wait) },
		get:  func(p *Params) uint64 { return uint64(p.Time2Wait) },
		set:  func(p *Params, v uint64) { p.Time2Wait = uint16(v) }},
	{name: "DefaultTime2Retain", from: both, when: inLogin, session: true, kind: number, lo: 0, hi: maxTime, result: lower,
		ours: func(l *Limits, _ *Params) uint64 { return uint64(l.DefaultTime2Retain) },
		get:  func(p *Params) uint64 { return uint64(p.Time2Retain) },
		set:  func(p *Params, v uint64) { p.Time2Retain = uint16(v) }},
	{name: "MaxOutstandingR2T", from: both, when: inLogin, session: true, kind: number, lo: 1, hi: 65535, result: lower,
		irrelevant: inDiscovery,
		ours:       func(l *Limits, _ *Params) uint64 { return uint64(l.MaxOutstandingR2T) },
		get:        func(p *Params) uint64 { return uint64(p.MaxOutstandingR2T) },
		set:        func(p *Params, v uint64) { p.MaxOutstandingR2T = uint16(v) }},
	// We keep both orders, which is the default.
	{name: "DataPDUInOrder", from: both, when: inLogin, session: true, kind: boolean, result: higher, irrelevant: inDiscovery,
		ours: constant(1)},
	{name: "DataSequenceInOrder", from: both, when: inLogin, session: true, kind: boolean, result: higher, irrelevant: inDiscovery,
		ours: constant(1)},
	{name: "ErrorRecoveryLevel", from: both, when: inLogin, session: true, kind: number, lo: 0, hi: 2, result: lower,
		ours: func(l *Limits, _ *Params) uint64 { return uint64(l.ErrorRecoveryLevel) },
		get:  func(p *Params) uint64 { return uint64(p.ErrorRecoveryLevel) },
		set:  func(p *Params, v uint64) { p.ErrorRecoveryLevel = uint8(v) }},
	{name: "TaskReporting", from: both, when: inLogin, session: true, kind: list, values: taskReportings, irrelevant: inDiscovery,
		accept: func(l *Limits) []string { return l.TaskReporting },
		get:    func(p *Params) uint64 { return uint64(p.TaskReporting) },
		set:    func(p *Params, v uint64) { p.TaskReporting = TaskReporting(v) }},
	{name: "iSCSIProtocolLevel", from: both, when: inLogin, session: true, kind: number, lo: 0, hi: 31, result: lower,
		irrelevant: inDiscovery,
		ours:       func(l *Limits, _ *Params) uint64 { return uint64(l.ProtocolLevel) },
		get:        func(p *Params) uint64 { return uint64(p.ProtocolLevel) },
		set:        func(p *Params, v uint64) { p.ProtocolLevel = uint8(v) }},

	// 13.25: obsolete, and still sent by every initiator of the days of RFC 3720.
	{name: "IFMarker", from: both, when: inLogin, kind: boolean, result: lower, ours: constant(0)},
	{name: "OFMarker", from: both, when: inLogin, kind: boolean, result: lower, ours: constant(0)},
	{name: "IFMarkInt", from: both, when: inLogin, kind: refused},
	{name: "OFMarkInt", from: both, when: inLogin, kind: refused},

	// RFC 7145, chapter 6: iSER. This is a TCP connection, so the rest has no meaning.
	{name: "RDMAExtensions", from: both, when: inLogin, kind: boolean, result: lower, ours: constant(0)},
	{name: "InitiatorRecvDataSegmentLength", from: initiator, when: inLogin, kind: number, irrelevant: onlyRDMA},
	{name: "TargetRecvDataSegmentLength", from: both, when: inLogin, kind: number, irrelevant: onlyRDMA},
	{name: "MaxOutstandingUnexpectedPDUs", from: both, when: inLogin, kind: number, irrelevant: onlyRDMA},
	{name: "MaxAHSLength", from: both, when: inLogin, kind: number, irrelevant: onlyRDMA},
	{name: "TaggedBufferForSolicitedDataOnly", from: both, when: inLogin, kind: boolean, irrelevant: onlyRDMA},
	{name: "iSERHelloRequired", from: both, when: inLogin, kind: boolean, irrelevant: onlyRDMA},
}

// rows finds a key by name.
var rows = func() map[string]int {
	m := make(map[string]int, len(keys))
	for i := range keys {
		m[keys[i].name] = i
	}
	return m
}()

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// setMaxBurst keeps FirstBurstLength, offered or default, within MaxBurstLength
// (13.14).
func setMaxBurst(p *Params, v uint64) {
	p.MaxBurstLength = uint32(v)
	p.FirstBurstLength = min(p.FirstBurstLength, p.MaxBurstLength)
}

// show writes a number or boolean as it goes over the wire.
func (k *key) show(v uint64) string {
	switch {
	case k.kind == number:
		return strconv.FormatUint(v, 10)
	case v == 1:
		return "Yes"
	}
	return "No"
}
