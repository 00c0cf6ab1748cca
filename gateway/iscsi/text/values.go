package text

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// MaxBinary is the longest binary value, in bytes (RFC 7143, 6.1).
const MaxBinary = 1024

// ErrValue is wrapped by every error about a single value.
var ErrValue = errors.New("bad value")

// Number reads a numerical value, decimal or hexadecimal (0x), of at most bound.
func Number(s string, bound uint64) (uint64, error) {
	digits, base := s, 10
	if prefixed(s, 'x') {
		digits, base = s[2:], 16
	}
	// ParseUint takes a sign and underscores for none of our bases; an empty string
	// and anything else but digits are its errors.
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.80q is not a number", ErrValue, s)
	}
	if n > bound {
		return 0, fmt.Errorf("%w: %d is above %d", ErrValue, n, bound)
	}
	return n, nil
}

// Binary reads a binary value of at most limit bytes: hexadecimal (0x), base64
// (0b), or decimal, which gives the bytes of the number, big-endian, without
// leading zeros. An odd number of hexadecimal digits has a leading zero digit.
// limit is at most MaxBinary.
func Binary(s string, limit int) ([]byte, error) {
	var b []byte
	var err error
	switch {
	case len(s) > MaxLargeValue:
		return nil, fmt.Errorf("%w: binary of %d characters", ErrValue, len(s))
	case prefixed(s, 'x'):
		digits := s[2:]
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		b, err = hex.DecodeString(digits)
	case prefixed(s, 'b'):
		// The decoder skips line breaks; the RFC knows none.
		if strings.ContainsAny(s, "\r\n") {
			return nil, fmt.Errorf("%w: line break in base64", ErrValue)
		}
		b, err = base64.StdEncoding.Strict().DecodeString(s[2:])
	default:
		b, err = decimal(s)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %v", ErrValue, err)
	case len(b) == 0:
		return nil, fmt.Errorf("%w: empty binary", ErrValue)
	case len(b) > limit:
		return nil, fmt.Errorf("%w: binary of %d bytes, at most %d", ErrValue, len(b), limit)
	}
	return b, nil
}

func decimal(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("no digits")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return nil, fmt.Errorf("%.80q has no encoding that we know", s)
		}
	}
	n, _ := new(big.Int).SetString(s, 10)
	if n.Sign() == 0 {
		return []byte{0}, nil
	}
	return n.Bytes(), nil
}

// Hex writes b as a hexadecimal constant, the encoding that every initiator reads.
func Hex(b []byte) string { return "0x" + hex.EncodeToString(b) }

// prefixed reports whether s begins with 0 and letter, of either case.
func prefixed(s string, letter byte) bool {
	return len(s) >= 2 && s[0] == '0' && s[1]|0x20 == letter
}
