package text

import (
	"fmt"
	"slices"
	"strconv"
)

// Target is what SendTargets tells of one target in one portal group. A target in
// several groups has several in a row.
type Target struct {
	Name      string
	Addresses []string // "host:port" of each portal, an IPv6 host in brackets
	TPGT      uint16   // the tag of the portal group
}

// AppendTargets adds the answer of SendTargets to dst (RFC 7143, appendix C):
// each name once, then its addresses.
func AppendTargets(dst []byte, targets []Target) []byte {
	for i, t := range targets {
		if i == 0 || t.Name != targets[i-1].Name {
			dst = Append(dst, "TargetName", t.Name)
		}
		tpgt := strconv.Itoa(int(t.TPGT))
		for _, a := range t.Addresses {
			dst = Append(dst, "TargetAddress", a+","+tpgt)
		}
	}
	return dst
}

// Answerer answers the keys of Text Requests in the full feature phase.
type Answerer struct {
	// Target is the name that the session is logged in to, "" in a discovery session.
	Target string

	// Targets are those that this initiator may log in to, with the portals that it
	// can reach. Called anew for each SendTargets; what it gives is the Answerer's.
	Targets func() []Target

	// Normalize gives the normal form of an iSCSI name; an error makes SendTargets
	// of that name a Reject.
	Normalize func(string) (string, error)

	// Negotiate answers any other key; answer is false for a declaration that needs
	// none.
	Negotiate func(Pair) (value string, answer bool)
}

// Answer gives the text that answers a whole request. The error wraps ErrFormat
// when the request is malformed; RFC 7143 wants a Reject PDU then.
func (a *Answerer) Answer(request []byte) ([]byte, error) {
	pairs, err := Parse(request)
	if err != nil {
		return nil, err
	}
	isSend := func(p Pair) bool { return p.Key == "SendTargets" }
	if a.Target == "" && len(pairs) > 0 && !slices.ContainsFunc(pairs, isSend) {
		return nil, fmt.Errorf("%w: a discovery session is for SendTargets", ErrFormat) // 4.3
	}
	var out []byte
	for _, p := range pairs {
		switch p.Value {
		case NotUnderstood, Irrelevant, Reject:
			return nil, fmt.Errorf("%w: %s=%s offered", ErrFormat, p.Key, p.Value)
		}
		if p.Key == "SendTargets" {
			out = a.sendTargets(out, p.Value)
			continue
		}
		if v, ok := a.Negotiate(p); ok {
			out = Append(out, p.Key, v)
		}
	}
	return out, nil
}

// sendTargets answers SendTargets=which. All belongs to discovery sessions; a
// normal session learns of its own target only, by name or by an empty value
// (RFC 7143, appendix C).
func (a *Answerer) sendTargets(out []byte, which string) []byte {
	discovery := a.Target == ""
	switch {
	case which == "All" && discovery:
		return AppendTargets(out, a.Targets())
	case which == "" && !discovery:
		return a.one(out, a.Target)
	case which != "" && which != "All":
		name, err := a.Normalize(which)
		if err == nil && (discovery || name == a.Target) {
			return a.one(out, name)
		}
	}
	return Append(out, "SendTargets", Reject)
}

// one adds the target of that name; of a target that the initiator may not see
// it says nothing, as of one that does not exist.
func (a *Answerer) one(out []byte, name string) []byte {
	others := func(t Target) bool { return t.Name != name }
	return AppendTargets(out, slices.DeleteFunc(a.Targets(), others))
}
