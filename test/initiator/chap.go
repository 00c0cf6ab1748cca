package initiator

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// CHAP is how an initiator authenticates itself and, when TargetSecret is set, the
// target (RFC 7143, 12.1.3).
type CHAP struct {
	Name, Secret             string
	TargetName, TargetSecret string
	// Algorithms is the CHAP_A list, default "5" (MD5). 6 is SHA1, 7 SHA-256,
	// 8 SHA3-256.
	Algorithms string
}

// ErrTargetAuth is a target that did not prove that it knows its secret.
var ErrTargetAuth = errors.New("initiator: the target failed CHAP")

// chapHash computes hash(identifier, secret, challenge) (RFC 1994, 4.1).
func chapHash(algorithm string, id byte, secret string, challenge []byte) ([]byte, error) {
	b := append(append([]byte{id}, secret...), challenge...)
	switch algorithm {
	case "5":
		h := md5.Sum(b)
		return h[:], nil
	case "6":
		h := sha1.Sum(b)
		return h[:], nil
	case "7":
		h := sha256.Sum256(b)
		return h[:], nil
	case "8":
		h := sha3.Sum256(b)
		return h[:], nil
	}
	return nil, fmt.Errorf("initiator: the target chose CHAP_A=%s", algorithm)
}

// chap runs the security stage and gives the stage that follows.
func (l *login) chap(first []Key) (int, error) {
	a := l.o.CHAP
	if _, err := l.exchange(SecurityStage, OperationalStage, false, first); err != nil {
		return 0, err
	}
	algorithms := a.Algorithms
	if algorithms == "" {
		algorithms = "5"
	}
	if _, err := l.exchange(SecurityStage, OperationalStage, false, []Key{{"CHAP_A", algorithms}}); err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(l.p.Answers["CHAP_I"], 0, 8)
	if err != nil {
		return 0, fmt.Errorf("initiator: CHAP_I: %w", err)
	}
	challenge, err := decodeBinary(l.p.Answers["CHAP_C"])
	if err != nil {
		return 0, fmt.Errorf("initiator: CHAP_C: %w", err)
	}
	algorithm := l.p.Answers["CHAP_A"]
	proof, err := chapHash(algorithm, byte(id), a.Secret, challenge)
	if err != nil {
		return 0, err
	}
	keys := []Key{{"CHAP_N", a.Name}, {"CHAP_R", "0x" + hex.EncodeToString(proof)}}
	var want []byte
	if a.TargetSecret != "" {
		mine := make([]byte, 16)
		rand.Read(mine) // never fails (crypto/rand)
		keys = append(keys, Key{"CHAP_I", "77"}, Key{"CHAP_C", "0x" + hex.EncodeToString(mine)})
		if want, err = chapHash(algorithm, 77, a.TargetSecret, mine); err != nil {
			return 0, err
		}
	}
	delete(l.p.Answers, "CHAP_N")
	next, err := l.exchange(SecurityStage, OperationalStage, true, keys)
	if err != nil || want == nil {
		return next, err
	}
	got, err := decodeBinary(l.p.Answers["CHAP_R"])
	if err != nil || !bytes.Equal(got, want) || a.TargetName != "" && l.p.Answers["CHAP_N"] != a.TargetName {
		return 0, ErrTargetAuth
	}
	return next, nil
}

// decodeBinary reads a binary value in hex or base64 (RFC 7143, 6.1).
func decodeBinary(s string) ([]byte, error) {
	if len(s) < 2 {
		return nil, fmt.Errorf("%q is no binary value", s)
	}
	switch prefix, rest := strings.ToLower(s[:2]), s[2:]; prefix {
	case "0x":
		return hex.DecodeString(rest)
	case "0b":
		return base64.StdEncoding.DecodeString(rest)
	}
	return nil, fmt.Errorf("%q is no binary value", s)
}
