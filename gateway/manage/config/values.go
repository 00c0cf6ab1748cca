package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/targate/targate/gateway/iscsi/login"
)

var units = []struct {
	name  string
	shift uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"PiB", 50}, {"EiB", 60}}

// ParseSize reads a size: a number of bytes, or of KiB, MiB, GiB, TiB, PiB or EiB.
func ParseSize(s string) (int64, error) {
	digits, shift := s, uint(0)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, shift = strings.TrimSuffix(rest, " "), u.shift
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err == nil && n <= math.MaxInt64>>shift {
		return int64(n << shift), nil
	}
	if err == nil || allDigits(digits) {
		return 0, fmt.Errorf("%q is more than 8 EiB", s)
	}
	hint := "a size is bytes or has a unit: 512, 64KiB, 1GiB"
	number := strings.TrimRight(s, "BbIiKkMmGgTtPpEe ")
	unit := strings.ToUpper(strings.TrimSpace(s[len(number):]))
	for _, u := range units {
		if allDigits(number) && unit != "" && unit[0] == u.name[0] {
			hint += fmt.Sprintf("; did you mean %s%s?", number, u.name)
		}
	}
	return 0, fmt.Errorf("%q is not a size; %s", s, hint)
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// FormatSize writes n as ParseSize reads it.
func FormatSize(n int64) string {
	for _, u := range slices.Backward(units) {
		if n != 0 && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d%s", n>>u.shift, u.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

func (r *reader) size(n ast.Node, name string) (int64, bool) {
	s, ok := r.text(n, name)
	if !ok {
		return 0, false
	}
	v, err := ParseSize(s)
	if err == nil && v == 0 {
		err = fmt.Errorf("%s is above zero", name)
	}
	if err != nil {
		r.fault(at(n), "%v", err)
		return 0, false
	}
	return v, true
}

// integer reads a decimal number from lo to hi.
func (r *reader) integer(n ast.Node, name string, lo, hi int64) (int64, bool) {
	s, ok := r.text(n, name)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < lo || v > hi {
		r.fault(at(n), "%s is a number from %d to %d, not %q", name, lo, hi, s)
		return 0, false
	}
	return v, true
}

func (r *reader) bool(n ast.Node, name string) (v, ok bool) {
	s, ok := r.text(n, name)
	if !ok {
		return false, false
	}
	if s != "true" && s != "false" {
		r.fault(at(n), "%s is true or false, not %q", name, s)
		return false, false
	}
	return s == "true", true
}

// path reads a path and makes it absolute.
func (r *reader) path(n ast.Node, name string) (string, bool) {
	s, ok := r.text(n, name)
	if !ok {
		return "", false
	}
	return r.abs(s), true
}

func (r *reader) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.options.Dir, path)
}

var nameSyntax = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$`)

// name reads the name of a device or group.
func (r *reader) name(n ast.Node, what string) (string, bool) {
	s, ok := r.text(n, what)
	if ok && (!nameSyntax.MatchString(s) || strings.HasSuffix(s, ".new")) {
		r.fault(at(n), "%s %q: a name is 1 to 64 letters, digits, \".\", \"_\" and \"-\", and does not begin with \".\" or \"-\" or end in \".new\"", what, s)
		return "", false
	}
	return s, ok
}

// iscsiName reads the name of a target in lower case (RFC 7143, 4.2.7).
func (r *reader) iscsiName(n ast.Node) (string, bool) {
	s, ok := r.text(n, "iqn")
	if !ok {
		return "", false
	}
	name, err := login.NormalizeName(s)
	if err == nil {
		return name, true
	}
	switch lower := strings.ToLower(s); {
	case len(s) > login.MaxName:
		r.fault(at(n), "the name has %d bytes; %d is the most", len(s), login.MaxName)
	case strings.HasPrefix(lower, "eui."):
		r.fault(at(n), "%q is not an iSCSI name: eui. and 16 hexadecimal digits", s)
	case strings.HasPrefix(lower, "naa."):
		r.fault(at(n), "%q is not an iSCSI name: naa. and 16 or 32 hexadecimal digits", s)
	default:
		r.fault(at(n), "%q is not an iSCSI name: iqn.YYYY-MM.DOMAIN-REVERSED:WHAT, as in iqn.2026-11.org.targate:disk0", s)
	}
	return "", false
}

// hostPort reads an address as host:port. listen: it may be a wildcard and the port 0.
func (r *reader) hostPort(n ast.Node, name string, listen bool) (string, bool) {
	s, ok := r.text(n, name)
	if !ok {
		return "", false
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		hint := net.JoinHostPort(strings.Trim(s, "[]"), "3260")
		if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err != nil && strings.Contains(s, ":") {
			hint = "192.0.2.1:3260 or [2001:db8::1]:3260"
		}
		r.fault(at(n), "%s %q is not HOST:PORT; write %s", name, s, hint)
		return "", false
	}
	if v, err := strconv.ParseUint(port, 10, 16); err != nil || v == 0 && !listen {
		r.fault(at(n), "%s %q: the port is a number from 1 to 65535", name, s)
		return "", false
	}
	if host == "" && !listen {
		r.fault(at(n), "%s %q has no host", name, s)
		return "", false
	}
	if strings.Contains(host, ":") {
		if _, err := netip.ParseAddr(host); err != nil {
			r.fault(at(n), "%s %q: %q is not an IPv6 address", name, s, host)
			return "", false
		}
	}
	return s, true
}

// Overlap reports whether a and b, both host:port, cannot be listened at together.
func Overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	if strings.EqualFold(hostA, hostB) {
		return true
	}
	ipA, wildA := wildcard(hostA)
	ipB, wildB := wildcard(hostB)
	switch {
	case wildA && wildB:
		return true
	case wildA:
		return covers(ipA, ipB)
	case wildB:
		return covers(ipB, ipA)
	}
	return ipA.IsValid() && ipA == ipB
}

// wildcard is the address that host is, and whether it is one of all.
func wildcard(host string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(host)
	return ip.Unmap(), host == "" || err == nil && ip.IsUnspecified()
}

// covers reports whether a listener at the wildcard w takes ip too: that of IPv4 takes
// IPv4 alone, the others take both. A host name may be anything.
func covers(w, ip netip.Addr) bool { return !w.Is4() || !ip.IsValid() || ip.Is4() }

// secret gives c its secret. One source is allowed.
func (r *reader) secret(c *Credential, where Pos, from string, get func() ([]byte, error)) {
	if c.sources++; c.sources > 1 {
		r.fault(where, "a secret has one source; %s is the second", from)
		return
	}
	b, err := get()
	if err != nil {
		r.fault(where, "%s: %v", from, err)
		return
	}
	b = []byte(strings.TrimRight(string(b), "\r\n"))
	if len(b) < minSecret || len(b) > maxSecret {
		r.fault(where, "%s: the secret has %d bytes; a CHAP secret has %d to %d (RFC 7143, 9.2.1)", from, len(b), minSecret, maxSecret)
		return
	}
	c.Secret = b
}

// CHAP secrets below 96 bits must not be used without IPsec (RFC 7143, 9.2.1).
const (
	minSecret = 12
	maxSecret = 255
)
