package config

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

var (
	errNotSet        = errors.New("the environment variable is not set")
	errNoCredentials = errors.New("CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=")
)

// maxSocketPath is what fits into a sockaddr_un on Linux, less the suffix of the name
// under which the API makes its socket.
const maxSocketPath = 103

// check fills in defaults and finds what is wrong between the parts of m.
func (r *reader) check(m *Model) {
	if m.StateDir == "" {
		m.StateDir = r.abs(DefaultStateDir)
	}
	if m.Memory == 0 {
		m.Memory = DefaultMemory
	}
	r.checkAPI(m)
	r.checkPortals(m)
	r.checkALUA(m)
	if m.ISCSI.Discovery != nil {
		r.checkCHAP(m.ISCSI.Discovery)
	}
	var names []string
	first := map[string]Pos{}
	for _, d := range m.Devices {
		if d.Name == "" {
			continue
		}
		if p, dup := first[d.Name]; dup {
			r.fault(d.At, "device %s is there twice, first in line %d", d.Name, p.Line)
			continue
		}
		first[d.Name] = d.At
		names = append(names, d.Name)
	}
	names = r.checkEntries(m, first, names)
	r.checkPaths(m)
	targets := map[string]Pos{}
	for i := range m.Targets {
		t := &m.Targets[i]
		if t.IQN != "" {
			if p, dup := targets[t.IQN]; dup {
				r.fault(t.At, "target %s is there twice, first in line %d", t.IQN, p.Line)
			} else {
				targets[t.IQN] = t.At
			}
		}
		r.checkTarget(m, t, first, names)
		r.checkTargetPortals(m, t)
	}
}

func (r *reader) checkAPI(m *Model) {
	if len(m.API.Listen) == 0 {
		m.API.Listen = []Listen{{Network: "unix", Address: filepath.Join(m.StateDir, DefaultSocket), At: m.API.At}}
		if m.API.At == (Pos{}) {
			m.API.Listen[0].At = Pos{1, 1}
		}
	}
	seen := map[string]bool{}
	for _, l := range m.API.Listen {
		if seen[l.String()] {
			r.fault(l.At, "%s is there twice", l)
		}
		seen[l.String()] = true
		if l.Network == "unix" {
			if len(l.Address) > maxSocketPath {
				r.fault(l.At, "the socket path %s has %d bytes; %d is the most", l.Address, len(l.Address), maxSocketPath)
			}
			continue
		}
		host, _, _ := net.SplitHostPort(l.Address)
		ip, err := netip.ParseAddr(host)
		if loopback := host == "localhost" || err == nil && ip.IsLoopback(); !loopback && !m.API.AllowRemote {
			r.fault(l.At, "%s can be reached from elsewhere; use 127.0.0.1 or [::1], or say allow_remote: true", l)
		}
	}
}

func (r *reader) checkPortals(m *Model) {
	for i, p := range m.ISCSI.Portals {
		for _, q := range m.ISCSI.Portals[:i] {
			if p.Listen != "" && Overlap(p.Listen, q.Listen) {
				r.fault(p.At, "portal %s overlaps %s in line %d", p.Listen, q.Listen, q.At.Line)
			}
		}
		for _, l := range m.API.Listen {
			if p.Listen != "" && l.Network == "tcp" && Overlap(p.Listen, l.Address) {
				r.fault(p.At, "portal %s overlaps the API at %s in line %d", p.Listen, l.Address, l.At.Line)
			}
		}
	}
}

// checkPaths finds devices and collections that would write the same file.
func (r *reader) checkPaths(m *Model) {
	type use struct {
		device string
		at     Pos
	}
	paths := map[string]use{}
	note := func(device string, values map[string]any, at Pos) {
		path, ok := values["path"].(string)
		if readOnly, _ := values["read_only"].(bool); !ok || readOnly {
			return
		}
		if u, dup := paths[path]; dup && u.device != device {
			r.fault(at, "%s is the path of %s too, in line %d", path, u.device, u.at.Line)
			return
		}
		paths[path] = use{device, at}
	}
	for _, d := range m.Devices {
		note("device "+d.Name, d.Values, d.ValuesAt["path"])
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		note(e.Collection+" "+e.Name, e.Values, e.Where("path"))
	}
}

func (r *reader) checkTarget(m *Model, t *Target, devices map[string]Pos, names []string) {
	name := strings.TrimSpace("target " + t.IQN)
	t.LUNs, t.HasLUNs = r.expand(m, name, t.show, t.LUNs, t.HasLUNs)
	if !t.HasLUNs && len(t.Groups) == 0 {
		r.fault(t.At, "%s needs the key \"luns\"%s: what initiators see, as in luns: {0: disk0}", name, r.orShow())
	}
	check := func(luns []LUN) {
		for _, l := range luns {
			faulty := func(entry string) bool { return strings.HasPrefix(l.Device, entry) }
			if _, ok := devices[l.Device]; ok || l.Device == "" || slices.ContainsFunc(r.faulty, faulty) {
				continue
			}
			if best := Nearest(l.Device, names); best != "" {
				r.fault(l.At, "there is no device %q; did you mean %q?", l.Device, best)
			} else {
				r.fault(l.At, "there is no device %q; devices are %s", l.Device, orNone(names))
			}
		}
	}
	check(t.LUNs)
	groups := map[string]Pos{}
	for i := range t.Groups {
		g := &t.Groups[i]
		g.LUNs, g.hasLUNs = r.expand(m, strings.TrimSpace("group "+g.Name), g.show, g.LUNs, g.hasLUNs)
		if !g.hasLUNs {
			r.fault(g.At, "a group needs the key \"luns\"%s: What these initiators see", r.orShow())
		}
		if p, dup := groups[g.Name]; dup && g.Name != "" {
			r.fault(g.At, "group %s is there twice, first in line %d", g.Name, p.Line)
		}
		groups[g.Name] = g.At
		check(g.LUNs)
	}
	if t.CHAP != nil {
		r.checkCHAP(t.CHAP)
	}
}

// orShow are the keys that can stand for luns.
func (r *reader) orShow() string {
	s := ""
	for _, c := range r.options.Collections {
		s += fmt.Sprintf(" or %q", c.Noun)
	}
	return s
}

// checkTargetPortals finds portals of a target that nobody listens at.
func (r *reader) checkTargetPortals(m *Model, t *Target) {
	var listens []string
	for _, p := range m.ISCSI.Portals {
		listens = append(listens, p.Listen)
	}
	for i, s := range t.Portals {
		if !slices.Contains(listens, s) {
			r.fault(t.PortalsAt[i], "there is no portal %q; portals are %s", s, orNone(listens))
		}
	}
}

func (r *reader) checkCHAP(c *CHAP) {
	users := map[string]Pos{}
	for _, u := range c.Users {
		if p, dup := users[u.Name]; dup && u.Name != "" {
			r.fault(u.At, "user %s is there twice, first in line %d", u.Name, p.Line)
		}
		users[u.Name] = u.At
		if m := c.Mutual; m != nil && len(m.Secret) > 0 && bytes.Equal(m.Secret, u.Secret) {
			r.fault(m.At, "the mutual secret is the same as that of user %s; they must differ (RFC 7143, 12.1.3)", u.Name)
		}
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
