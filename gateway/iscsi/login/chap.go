package login

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/targate/targate/gateway/iscsi/text"
)

// algorithm is a hash of CHAP by its number in the IANA registry of PPP
// authentication algorithms.
type algorithm struct {
	number int
	size   int
	hash   func() hash.Hash
}

var algorithms = []algorithm{
	{5, md5.Size, md5.New},
	{6, sha1.Size, sha1.New},
	{7, sha256.Size, sha256.New},
	{8, 32, func() hash.Hash { return sha3.New256() }},
}

// digest is the response to a challenge (RFC 1994, 4.1).
func (a *algorithm) digest(id byte, secret, challenge []byte) []byte {
	h := a.hash()
	h.Write([]byte{id})
	h.Write(secret)
	h.Write(challenge)
	return h.Sum(nil)
}

// minChallenge is the shortest challenge, in bytes: ours is as long as the
// digest, which is never shorter.
const minChallenge = 16

// chap is the target's side of one CHAP exchange (RFC 7143, 12.1.3):
//
//	CHAP_A=<list>             ->
//	                          <- CHAP_A CHAP_I CHAP_C
//	CHAP_N CHAP_R [I C]       ->
//	                          <- [CHAP_N CHAP_R]
type chap struct {
	auth      *Auth
	rand      io.Reader
	alg       *algorithm // nil before CHAP_A
	id        byte
	challenge []byte
	user      string // set when done
	done      bool
}

// step answers the CHAP keys of one request.
func (c *chap) step(in map[string]string) ([]text.Pair, error) {
	switch {
	case len(in) == 0:
		return nil, nil
	case c.done:
		return nil, Refuse(InitiatorError, "CHAP keys after the end of CHAP")
	case c.alg == nil:
		return c.choose(in)
	}
	return c.answer(in)
}

// choose takes the first algorithm of the initiator's list that we know, and
// challenges.
func (c *chap) choose(in map[string]string) ([]text.Pair, error) {
	list, ok := in["CHAP_A"]
	if !ok || len(in) != 1 {
		return nil, Refuse(InitiatorError, "CHAP begins with CHAP_A alone")
	}
	for item := range strings.SplitSeq(list, ",") {
		n, err := text.Number(item, 255)
		if err != nil {
			continue
		}
		for i := range algorithms {
			if algorithms[i].number == int(n) {
				return c.challengeWith(&algorithms[i])
			}
		}
	}
	return nil, Refuse(AuthFailure, "no CHAP algorithm in %.80q", list)
}

func (c *chap) challengeWith(a *algorithm) ([]text.Pair, error) {
	b := make([]byte, 1+max(a.size, minChallenge))
	if _, err := io.ReadFull(c.rand, b); err != nil {
		return nil, Refuse(TargetError, "no random numbers: %v", err)
	}
	c.alg, c.id, c.challenge = a, b[0], b[1:]
	return []text.Pair{
		{Key: "CHAP_A", Value: strconv.Itoa(a.number)},
		{Key: "CHAP_I", Value: strconv.Itoa(int(c.id))},
		{Key: "CHAP_C", Value: text.Hex(c.challenge)},
	}, nil
}

// answer checks the initiator's response and, when it asks for it, proves who
// we are.
func (c *chap) answer(in map[string]string) ([]text.Pair, error) {
	name, hasName := in["CHAP_N"]
	response, hasResponse := in["CHAP_R"]
	if !hasName || !hasResponse {
		return nil, Refuse(MissingParameter, "CHAP_N and CHAP_R are both needed")
	}
	secret, err := c.verify(name, response)
	if err != nil {
		return nil, err
	}
	id, hasID := in["CHAP_I"]
	challenge, hasChallenge := in["CHAP_C"]
	if hasID != hasChallenge {
		return nil, Refuse(MissingParameter, "CHAP_I and CHAP_C are both needed")
	}
	var out []text.Pair
	if hasID {
		if out, err = c.prove(secret, id, challenge); err != nil {
			return nil, err
		}
	}
	c.user, c.done = name, true
	return out, nil
}

// verify gives the secret of the user whose response this is. It takes the same
// time for a user that we do not know as for a wrong response.
func (c *chap) verify(name, response string) ([]byte, error) {
	got, err := text.Binary(response, c.alg.size)
	if err != nil {
		return nil, Refuse(AuthFailure, "CHAP_R: %v", err)
	}
	// A number without its leading zeros is still the number.
	got = append(make([]byte, c.alg.size-len(got)), got...)
	secret := make([]byte, minChallenge)
	known := 0
	for i := range c.auth.Users {
		u := &c.auth.Users[i]
		if subtle.ConstantTimeCompare([]byte(u.Name), []byte(name)) == 1 {
			secret, known = u.Secret, 1
		}
	}
	want := c.alg.digest(c.id, secret, c.challenge)
	if subtle.ConstantTimeCompare(want, got)&known != 1 {
		return nil, Refuse(AuthFailure, "user %.80q: unknown or wrong secret", name)
	}
	return secret, nil
}

// prove answers the initiator's challenge. It refuses what could make us answer
// our own: the same challenge, or one secret for both directions (RFC 7143,
// 9.2.1).
func (c *chap) prove(theirSecret []byte, id, challenge string) ([]text.Pair, error) {
	if c.auth.Mutual == nil {
		return nil, Refuse(AuthFailure, "the initiator wants us to authenticate, and we have no secret for that")
	}
	i, err := identifier(id)
	if err != nil {
		return nil, Refuse(AuthFailure, "CHAP_I: %v", err)
	}
	ch, err := text.Binary(challenge, text.MaxBinary)
	if err != nil {
		return nil, Refuse(AuthFailure, "CHAP_C: %v", err)
	}
	if bytes.Equal(ch, c.challenge) {
		return nil, Refuse(AuthFailure, "our own challenge came back")
	}
	if subtle.ConstantTimeCompare(theirSecret, c.auth.Mutual.Secret) == 1 {
		return nil, Refuse(AuthFailure, "one secret for both directions")
	}
	return []text.Pair{
		{Key: "CHAP_N", Value: c.auth.Mutual.Name},
		{Key: "CHAP_R", Value: text.Hex(c.alg.digest(i, c.auth.Mutual.Secret, ch))},
	}, nil
}

// identifier reads CHAP_I: a number of one byte, or one byte of base64.
func identifier(s string) (byte, error) {
	if n, err := text.Number(s, 255); err == nil {
		return byte(n), nil
	}
	b, err := text.Binary(s, 1)
	if err != nil {
		return 0, fmt.Errorf("%.80q: %w", s, err)
	}
	return b[0], nil
}
