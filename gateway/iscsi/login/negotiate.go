package login

import (
	"slices"
	"strings"

	"github.com/targate/targate/gateway/iscsi/text"
)

// negotiation is the state of the keys of one login.
type negotiation struct {
	limits *Limits
	result *Result

	seen    []string // the initiator's value by row, valid when had
	had     []bool
	offered []bool // by us, and not answered yet

	joined bool // the session is there, and its keys are settled

	auth map[string]string // the keys of authentication of this step
}

func newNegotiation(l *Limits, r *Result) *negotiation {
	r.Params = Defaults()
	return &negotiation{limits: l, result: r,
		seen: make([]string, len(keys)), had: make([]bool, len(keys)), offered: make([]bool, len(keys))}
}

// join takes over what a session agreed on; what is agreed for each connection is the default.
func (n *negotiation) join(p *Params) {
	d := Defaults()
	n.joined = true
	n.result.Params = *p
	n.result.HeaderDigest, n.result.DataDigest = d.HeaderDigest, d.DataDigest
	n.result.MaxXmitDataSegmentLength = d.MaxXmitDataSegmentLength
}

// entry is a pair on its way through one step: its row in the key table, and the
// answer, which goes out in the order of the request.
type entry struct {
	text.Pair
	row    int // -1: not understood
	answer string
}

// sorted makes entries of the pairs of one request: as received, and in the
// order of the key table.
func sorted(pairs []text.Pair) (received, byRow []*entry) {
	for _, p := range pairs {
		e := &entry{Pair: p, row: -1}
		if i, ok := rows[p.Key]; ok {
			e.row = i
		}
		received = append(received, e)
	}
	byRow = slices.Clone(received)
	slices.SortStableFunc(byRow, func(a, b *entry) int { return a.row - b.row })
	return received, byRow
}

// take looks at one key of a request that arrived in stage and sets its answer.
// The error is a *Refusal.
func (n *negotiation) take(e *entry, stage Stage) error {
	if e.row < 0 {
		if reserved(e.Value) {
			return Refuse(InitiatorError, "%s=%s offered", e.Key, e.Value) // 6.2
		}
		e.answer = text.NotUnderstood
		return nil
	}
	k := &keys[e.row]
	if n.offered[e.row] {
		return n.answered(e, k)
	}
	switch {
	case reserved(e.Value):
		return Refuse(InitiatorError, "%s=%s offered", e.Key, e.Value) // 6.2
	case len(e.Value) > text.MaxValue && !k.large:
		return Refuse(InitiatorError, "a value of %d bytes for %s", len(e.Value), e.Key) // 6.1
	case n.had[e.row]:
		if k.again && n.seen[e.row] == e.Value {
			return nil
		}
		return Refuse(InitiatorError, "%s a second time", e.Key) // 6.3
	}
	n.had[e.row], n.seen[e.row] = true, e.Value
	switch {
	case k.session && n.joined, k.from&initiator == 0, k.when&phaseOf(stage) == 0, k.kind == refused:
		e.answer = text.Reject
	case k.irrelevant != nil && k.irrelevant(n.result):
		e.answer = text.Irrelevant
	case k.kind == auth:
		n.auth[e.Key] = e.Value
	case k.kind == declared:
		return k.declare(n.result, e.Value)
	case k.kind == list:
		e.answer = n.choose(k, e.Value)
	default:
		e.answer = n.agree(k, e.Value)
	}
	return nil
}

func phaseOf(s Stage) phase {
	if s == Security {
		return atSecurity
	}
	return atOperational
}

func reserved(v string) bool {
	return v == text.NotUnderstood || v == text.Irrelevant || v == text.Reject
}

// choose takes the first value of an offered list that we accept (6.2.1).
func (n *negotiation) choose(k *key, offer string) string {
	accept := k.accept(n.limits)
	for v := range strings.SplitSeq(offer, ",") {
		if slices.Contains(accept, v) {
			k.set(&n.result.Params, uint64(slices.Index(k.values, v)))
			return v
		}
	}
	return text.Reject
}

// agree applies the result function to an offered number or boolean (6.2.2).
func (n *negotiation) agree(k *key, offer string) string {
	v, ok := k.parse(offer)
	if !ok {
		return text.Reject
	}
	v = k.result(v, k.ours(n.limits, &n.result.Params))
	if k.set != nil {
		k.set(&n.result.Params, v)
	}
	return k.show(v)
}

// parse reads a number in its bounds, or a boolean.
func (k *key) parse(s string) (uint64, bool) {
	if k.kind == boolean {
		return bit(s == "Yes"), s == "Yes" || s == "No"
	}
	v, err := text.Number(s, k.hi)
	return v, err == nil && v >= k.lo
}

// demands looks at the keys with whose value we cannot live before the login may
// end: it offers those that the initiator left out, and refuses when one was
// offered and came to nothing.
func (n *negotiation) demands() ([]text.Pair, error) {
	var out []text.Pair
	for i := range keys {
		k := &keys[i]
		if !k.demand || k.session && n.joined || k.irrelevant != nil && k.irrelevant(n.result) {
			continue
		}
		offer, ok := n.offer(k)
		switch {
		case ok:
		case n.had[i]:
			return nil, Refuse(InitiatorError, "no agreement on %s: %.80q and %.80q", k.name, n.seen[i], offer)
		default:
			n.had[i], n.offered[i] = true, true
			out = append(out, text.Pair{Key: k.name, Value: offer})
		}
	}
	return out, nil
}

// offer is what we would offer for a key; ok says that its value now will do.
func (n *negotiation) offer(k *key) (offer string, ok bool) {
	now := k.get(&n.result.Params)
	if k.kind == list {
		accept := k.accept(n.limits)
		return strings.Join(accept, ","), slices.Contains(accept, k.values[now])
	}
	ours := k.ours(n.limits, &n.result.Params)
	return k.show(ours), k.result(now, ours) == now
}

// answered takes the initiator's answer to what we offered: a value that the
// result function can give.
func (n *negotiation) answered(e *entry, k *key) error {
	n.offered[e.row] = false
	p := &n.result.Params
	if e.Value == text.Irrelevant && k.irrelevant != nil && k.irrelevant(n.result) {
		return nil // since it took our other offers
	}
	if k.kind == list {
		if slices.Contains(k.accept(n.limits), e.Value) {
			k.set(p, uint64(slices.Index(k.values, e.Value)))
			return nil
		}
	} else if v, ok := k.parse(e.Value); ok && k.result(v, k.ours(n.limits, p)) == v {
		k.set(p, v)
		return nil
	}
	return Refuse(InitiatorError, "we need %s and the initiator answers %.80q", e.Key, e.Value)
}

// unanswered names a key that we offered and the initiator passed over, "" when
// there is none.
func (n *negotiation) unanswered() string {
	if i := slices.Index(n.offered, true); i >= 0 {
		return keys[i].name
	}
	return ""
}

func declareSessionType(r *Result, v string) error {
	switch v {
	case "Normal":
		r.SessionType = Normal
	case "Discovery":
		r.SessionType = Discovery
	default:
		return Refuse(SessionTypeUnsup, "SessionType=%.80q", v)
	}
	return nil
}

func declareInitiatorName(r *Result, v string) (err error) {
	if r.InitiatorName, err = NormalizeName(v); err != nil {
		return Refuse(InitiatorError, "InitiatorName: %v", err)
	}
	return nil
}

// declareTargetName refuses a name that no target of ours can have as what it
// is, a target that does not exist.
func declareTargetName(r *Result, v string) (err error) {
	if r.TargetName, err = NormalizeName(v); err != nil {
		return Refuse(NotFound, "TargetName: %v", err)
	}
	return nil
}

func declareMaxRecv(r *Result, v string) error {
	n, err := text.Number(v, maxLength)
	if err != nil || n < minLength {
		return Refuse(InitiatorError, "MaxRecvDataSegmentLength=%.80q", v)
	}
	r.MaxXmitDataSegmentLength = uint32(n)
	return nil
}

// Renegotiate gives the function that answers a key of a Text Request in the full
// feature phase; SendTargets is package text's. Only a few keys may come then, all
// of them declarations, which are answered only when refused. setMaxXmit takes a
// new MaxRecvDataSegmentLength of the initiator (13.12).
func Renegotiate(setMaxXmit func(uint32)) func(text.Pair) (value string, answer bool) {
	return func(p text.Pair) (string, bool) {
		i, ok := rows[p.Key]
		if !ok {
			return text.NotUnderstood, true
		}
		k := &keys[i]
		var r Result
		if k.from&initiator == 0 || k.when&atFullFeature == 0 || k.kind != declared ||
			len(p.Value) > text.MaxValue || k.declare(&r, p.Value) != nil {
			return text.Reject, true
		}
		if k.name == maxRecv {
			setMaxXmit(r.MaxXmitDataSegmentLength)
		}
		return "", false
	}
}
