package personality

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/targate/targate/core/wire"
)

// Bytes are bytes that a data file spells as hexadecimal digits in any groups, text in single
// quotes, and either with a count: "00 24 'LTO' 20*13".
type Bytes []byte

// Template is Bytes some of which are facts of one device: {serial:12} is its serial number in
// 12 characters, cut or filled up with blanks on the right.
type Template []piece

// piece is literal bytes, or the fact named by field.
type piece struct {
	literal []byte
	field   string
	width   int
}

// Facts are what a Template can ask for.
type Facts struct {
	Serial, Vendor, Product, Revision string
	Slot                              string // first storage element address of a changer, in hexadecimal
}

func (f Facts) get(field string) (string, bool) {
	switch field {
	case "serial":
		return f.Serial, true
	case "vendor":
		return f.Vendor, true
	case "product":
		return f.Product, true
	case "revision":
		return f.Revision, true
	case "slot":
		return f.Slot, true
	}
	return "", false
}

// Append adds t, with the facts of one device, to dst.
func (t Template) Append(dst []byte, f Facts) []byte {
	for _, p := range t {
		if p.field == "" {
			dst = append(dst, p.literal...)
			continue
		}
		s, _ := f.get(p.field)
		dst = wire.AppendPadded(dst, s, p.width)
	}
	return dst
}

// Len is how many bytes Append adds.
func (t Template) Len() int {
	n := 0
	for _, p := range t {
		n += len(p.literal) + p.width
	}
	return n
}

// maxBytes bounds what a text of a data file spells: a VPD page.
const maxBytes = 4096

func parseBytes(s string) (Bytes, error) {
	t, err := parseTemplate(s)
	if err != nil {
		return nil, err
	}
	b := Bytes{}
	for _, p := range t {
		if p.field != "" {
			return nil, fmt.Errorf("{%s} cannot stand here", p.field)
		}
		b = append(b, p.literal...)
	}
	return b, nil
}

func parseTemplate(s string) (Template, error) {
	t, size := Template{}, 0
	for s = strings.TrimLeft(s, " \n"); s != ""; s = strings.TrimLeft(s, " \n") {
		p, rest, err := parsePiece(s)
		if err != nil {
			return nil, err
		}
		s = rest
		if size += len(p.literal) + p.width; size > maxBytes {
			return nil, fmt.Errorf("more than %d bytes", maxBytes)
		}
		if p.field == "" && len(t) > 0 && t[len(t)-1].field == "" {
			t[len(t)-1].literal = append(t[len(t)-1].literal, p.literal...)
			continue
		}
		t = append(t, p)
	}
	return t, nil
}

// parsePiece takes one piece off the front of s, which is not empty.
func parsePiece(s string) (p piece, rest string, err error) {
	switch s[0] {
	case '{':
		inside, after, ok := strings.Cut(s[1:], "}")
		if !ok {
			return p, "", fmt.Errorf("%q has no }", s)
		}
		name, width, _ := strings.Cut(inside, ":")
		p.field = name
		p.width, err = strconv.Atoi(width)
		if _, known := (Facts{}).get(name); !known || err != nil || p.width < 1 || p.width > maxBytes {
			return p, "", fmt.Errorf("{%s} is not {serial:N}, {vendor:N}, {product:N}, {revision:N} or {slot:N}", inside)
		}
		return p, after, nil
	case '\'':
		inside, after, ok := strings.Cut(s[1:], "'")
		if !ok {
			return p, "", fmt.Errorf("%s has no second quote", s)
		}
		p.literal, rest = []byte(inside), after
	default:
		end := strings.IndexAny(s, " \n*'{")
		if end < 0 {
			end = len(s)
		}
		if p.literal, err = hex.DecodeString(s[:end]); err != nil || end == 0 {
			return p, "", fmt.Errorf("%q is neither pairs of hexadecimal digits nor text in single quotes", s[:max(end, 1)])
		}
		rest = s[end:]
	}
	if count, ok := strings.CutPrefix(rest, "*"); ok {
		end := strings.IndexFunc(count, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(count)
		}
		n, err := strconv.Atoi(count[:end])
		if err != nil || n < 1 || n > maxBytes || n*len(p.literal) > maxBytes {
			return p, "", fmt.Errorf("*%s is not a count up to %d", count[:end], maxBytes)
		}
		p.literal, rest = slices.Repeat(p.literal, n), count[end:]
	}
	return p, rest, nil
}
