package login

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest iSCSI name, in bytes of UTF-8 (RFC 7143, 4.2.7.1).
const MaxName = 223

// ErrName is wrapped by every error of NormalizeName.
var ErrName = errors.New("bad iSCSI name")

// The three formats of a name (RFC 7143, 4.2.7.3 to 4.2.7.6).
var (
	iqnName = regexp.MustCompile(`^iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[^:]+(:.*)?$`)
	euiName = regexp.MustCompile(`^eui\.[0-9a-f]{16}$`)
	naaName = regexp.MustCompile(`^naa\.([0-9a-f]{16}|[0-9a-f]{32})$`)
)

// NormalizeName gives the form of an iSCSI name in which names are compared:
// lower case (RFC 7143, 4.2.7.2). It admits more than RFC 3722 does, any
// graphic character that a list of names cannot mistake: hypervisors make
// initiator names from those of virtual machines, underscores and all.
func NormalizeName(s string) (string, error) {
	if len(s) > MaxName {
		return "", fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(s), MaxName)
	}
	name := strings.ToLower(s)
	// Some capitals are shorter than their small letters.
	if len(name) > MaxName || !utf8.ValidString(s) || strings.ContainsFunc(name, unfit) {
		return "", fmt.Errorf("%w: %.80q", ErrName, s)
	}
	switch {
	case iqnName.MatchString(name), euiName.MatchString(name), naaName.MatchString(name):
		return name, nil
	}
	return "", fmt.Errorf("%w: %.80q is none of iqn.YYYY-MM.NAME[:TEXT], eui.HEX, naa.HEX", ErrName, s)
}

func unfit(r rune) bool {
	return !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == ','
}
