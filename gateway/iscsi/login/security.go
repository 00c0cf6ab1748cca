package login

import (
	"io"
	"strings"

	"github.com/targate/targate/gateway/iscsi/text"
)

// security is the security stage of a login: the choice of AuthMethod, then CHAP
// (RFC 7143, 12.1).
type security struct {
	auth *Auth // nil: none needed
	rand io.Reader
	chap *chap // not nil once CHAP is chosen
}

// done reports whether the stage may end.
func (s *security) done() bool { return s.auth == nil || s.chap != nil && s.chap.done }

// user is the name that the initiator authenticated as.
func (s *security) user() string {
	if s.chap == nil {
		return ""
	}
	return s.chap.user
}

// step answers the keys of authentication of one request; leave is its Transit
// bit. Who must authenticate and asks to leave without a word about it is refused.
func (s *security) step(in map[string]string, leave bool) ([]text.Pair, error) {
	var out []text.Pair
	if methods, ok := in["AuthMethod"]; ok {
		delete(in, "AuthMethod")
		method, err := s.choose(methods)
		if err != nil {
			return nil, err
		}
		out = append(out, text.Pair{Key: "AuthMethod", Value: method})
	}
	if s.chap == nil {
		if len(in) > 0 {
			return nil, Refuse(InitiatorError, "CHAP keys, and CHAP is not agreed on")
		}
		if leave && !s.done() {
			return nil, Refuse(AuthFailure, "the initiator does not authenticate")
		}
		return out, nil
	}
	proof, err := s.chap.step(in)
	return append(out, proof...), err
}

// choose takes the first method of the list that this target wants: CHAP when it
// has users, None when it has none. None is no answer to who must authenticate,
// and without users nobody can.
func (s *security) choose(methods string) (string, error) {
	want := "None"
	if s.auth != nil {
		want = "CHAP"
	}
	for m := range strings.SplitSeq(methods, ",") {
		if m != want {
			continue
		}
		if s.auth != nil {
			s.chap = &chap{auth: s.auth, rand: s.rand}
		}
		return want, nil
	}
	return "", Refuse(AuthFailure, "AuthMethod=%.80q, this target wants %s", methods, want)
}
