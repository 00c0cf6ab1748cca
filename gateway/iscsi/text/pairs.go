package text

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of what we read.
const (
	// MaxKey is the longest key name (RFC 7143, 6.1).
	MaxKey = 63

	// MaxValue is the longest value that is not a large binary (RFC 7143, 6.1).
	MaxValue = 255

	// MaxLargeValue is the longest value of all: a large binary of MaxBinary bytes
	// in its longest encoding, decimal.
	MaxLargeValue = 2467

	// MaxPairs is how many pairs one request may hold, continuations included.
	MaxPairs = 256

	// MaxText is how long the text of one request may be, continuations included.
	MaxText = 64 << 10
)

// Reserved values of an answer (RFC 7143, 6.2). No request may use them.
const (
	NotUnderstood = "NotUnderstood"
	Irrelevant    = "Irrelevant"
	Reject        = "Reject"
)

// ErrFormat is wrapped by every error about the form of a text.
var ErrFormat = errors.New("malformed text")

// Pair is one key=value pair. The value may be empty.
type Pair struct{ Key, Value string }

// Parse splits the text of a whole request into its pairs, in their order. It
// keeps nothing of data. A text that breaks a limit, holds a key twice, or has
// bytes that are no key=value pair is an error that wraps ErrFormat. An empty
// text is no pairs. We forgive a missing last delimiter and delimiters in a row:
// initiators exist that count the padding as text.
func Parse(data []byte) ([]Pair, error) {
	if len(data) > MaxText {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrFormat, MaxText)
	}
	var pairs []Pair
	seen := map[string]bool{}
	for len(data) > 0 {
		var item []byte
		item, data, _ = bytes.Cut(data, []byte{0})
		if len(item) == 0 {
			continue
		}
		p, err := parsePair(item)
		if err != nil {
			return nil, err
		}
		if seen[p.Key] {
			return nil, fmt.Errorf("%w: key %s twice", ErrFormat, p.Key)
		}
		if len(pairs) == MaxPairs {
			return nil, fmt.Errorf("%w: more than %d keys", ErrFormat, MaxPairs)
		}
		seen[p.Key] = true
		pairs = append(pairs, p)
	}
	return pairs, nil
}

func parsePair(item []byte) (Pair, error) {
	key, value, found := bytes.Cut(item, []byte{'='})
	switch {
	case !found:
		return Pair{}, fmt.Errorf("%w: no '=' in %.80q", ErrFormat, item)
	case len(key) == 0 || len(key) > MaxKey:
		return Pair{}, fmt.Errorf("%w: a key of %d bytes", ErrFormat, len(key))
	case len(value) > MaxLargeValue:
		return Pair{}, fmt.Errorf("%w: a value of %d bytes for %s", ErrFormat, len(value), key)
	}
	for _, c := range key {
		if !keyByte(c) {
			return Pair{}, fmt.Errorf("%w: key %q", ErrFormat, key)
		}
	}
	if !utf8.Valid(value) {
		return Pair{}, fmt.Errorf("%w: the value of %s is not UTF-8", ErrFormat, key)
	}
	return Pair{Key: string(key), Value: string(value)}, nil
}

// keyByte reports whether c may stand in a key name: the characters of a
// standard-label and '#', which extension keys have (RFC 7143, 6.1 and 13.22).
func keyByte(c byte) bool {
	switch {
	case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return true
	}
	return bytes.IndexByte([]byte(".-+@_#"), c) >= 0
}

// Append adds one pair with its delimiter to dst.
func Append(dst []byte, key, value string) []byte {
	dst = append(dst, key...)
	dst = append(dst, '=')
	dst = append(dst, value...)
	return append(dst, 0)
}
