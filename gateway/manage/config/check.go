package config

import (
	"bytes"
	"errors"
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
	devices := map[string]bool{}
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
		devices[d.Name] = true
		names = append(names, d.Name)
	}
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
		r.checkTarget(t, devices, names)
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

// checkPaths finds devices that would write the same file.
func (r *reader) checkPaths(m *Model) {
	type use struct {
		device string
		at     Pos
	}
	paths := map[string]use{}
	for _, d := range m.Devices {
		path, ok := d.Values["path"].(string)
		if readOnly, _ := d.Values["read_only"].(bool); !ok || readOnly {
			continue
		}
		if u, dup := paths[path]; dup && u.device != d.Name {
			r.fault(d.ValuesAt["path"], "%s is the path of device %s too, in line %d", path, u.device, u.at.Line)
			continue
		}
		paths[path] = use{d.Name, d.ValuesAt["path"]}
	}
}

func (r *reader) checkTarget(t *Target, devices map[string]bool, names []string) {
	if !t.HasLUNs && len(t.Groups) == 0 && !t.library {
		name := strings.TrimSpace("target " + t.IQN)
		r.fault(t.At, "%s needs the key \"luns\": what initiators see, as in luns: {0: disk0}", name)
	}
	check := func(luns []LUN) {
		for _, l := range luns {
			if l.Device == "" || devices[l.Device] {
				continue
			}
			if best := nearest(l.Device, names); best != "" {
				r.fault(l.At, "there is no device %q; did you mean %q?", l.Device, best)
			} else {
				r.fault(l.At, "there is no device %q; devices are %s", l.Device, orNone(names))
			}
		}
	}
	check(t.LUNs)
	groups := map[string]Pos{}
	for _, g := range t.Groups {
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
