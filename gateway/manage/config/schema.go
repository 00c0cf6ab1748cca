package config

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/targate/targate/core/scsi"
)

// Defaults of keys that are absent.
const (
	DefaultStateDir = "./state"
	DefaultMemory   = 1 << 30
	DefaultSocket   = "targate.sock" // in the state directory
	minMemory       = 16 << 20
)

var rootObject = object[Model]{name: "the configuration", fields: []field[Model]{
	{name: "version", typ: "number", required: true, doc: "The version of this format: 1.",
		read: func(r *reader, m *Model, n ast.Node) {
			if s, ok := r.text(n, "version"); ok && s != "1" {
				r.fault(at(n), "version %q is not one that this program reads; write 1", s)
			}
		}},
	{name: "state_dir", typ: "path", def: "`./state`",
		doc: "Where all that must survive a restart is kept, other than the data of devices.",
		read: func(r *reader, m *Model, n ast.Node) {
			m.StateDirAt = at(n)
			m.StateDir, _ = r.path(n, "state_dir")
		}},
	{name: "memory", typ: "size", def: "`1GiB`", doc: "The budget of data in flight, of all sessions together.",
		read: func(r *reader, m *Model, n ast.Node) {
			m.MemoryAt = at(n)
			v, ok := r.size(n, "memory")
			if ok && v < minMemory {
				r.fault(at(n), "memory %s is too little; %s is the least", FormatSize(v), FormatSize(minMemory))
			}
			m.Memory = v
		}},
	{name: "iscsi", typ: "mapping", required: true, doc: "The iSCSI door: see [iscsi](#iscsi).",
		read: func(r *reader, m *Model, n ast.Node) {
			m.ISCSI.Time2Wait = 2
			iscsiObject.read(r, n, &m.ISCSI)
		}},
	{name: "api", typ: "mapping", doc: "The control API: see [api](#api).",
		read: func(r *reader, m *Model, n ast.Node) {
			m.API.At = at(n)
			apiObject.read(r, n, &m.API)
		}},
	{name: "alua", typ: "mapping", def: "all portals are active", doc: "The states of target port groups: see [alua](#alua).",
		read: func(r *reader, m *Model, n ast.Node) { r.alua(m, n) }},
	{name: "devices", typ: "list", doc: "The logical units: see [devices](#devices).",
		read: func(r *reader, m *Model, n ast.Node) {
			for _, item := range r.items(n, "devices") {
				r.device(m, item)
			}
		}},
	{name: "targets", typ: "list", doc: "What initiators log in to: see [targets](#targets).",
		read: func(r *reader, m *Model, n ast.Node) {
			for _, item := range r.items(n, "targets") {
				t := Target{At: at(item)}
				if targetFields(r.options.Collections).read(r, item, &t) {
					m.Targets = append(m.Targets, t)
				}
			}
		}},
}}

var iscsiObject = object[ISCSI]{name: "iscsi", fields: []field[ISCSI]{
	{name: "portals", typ: "list", required: true,
		doc: "Where to listen: `HOST:PORT`, or a mapping (see [portal](#portal)).",
		read: func(r *reader, i *ISCSI, n ast.Node) {
			items := r.items(n, "portals")
			for _, item := range items {
				i.Portals = append(i.Portals, r.portal(item))
			}
			if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
				r.fault(at(n), "portals is empty; give at least one, as in [\"127.0.0.1:3260\"]")
			}
		}},
	{name: "time2wait", typ: "number", def: "2",
		doc: "DefaultTime2Wait that logins are offered, in seconds: how long an initiator waits before it comes back after its connection was lost. The larger of both sides' counts.",
		read: func(r *reader, i *ISCSI, n ast.Node) {
			v, _ := r.integer(n, "time2wait", 0, 3600)
			i.Time2Wait = uint16(v)
		}},
	{name: "time2retain", typ: "number", def: "0",
		doc: "DefaultTime2Retain that logins are offered, in seconds: how long a session whose connection was lost is kept, with its unit attentions and reservations, for the initiator to go on with it. The smaller of both sides' counts; 0: not at all. The commands that were under way are aborted in any case.",
		read: func(r *reader, i *ISCSI, n ast.Node) {
			v, _ := r.integer(n, "time2retain", 0, 3600)
			i.Time2Retain = uint16(v)
		}},
	{name: "limits", typ: "mapping", doc: "See [limits](#limits).",
		read: func(r *reader, i *ISCSI, n ast.Node) { limitsObject.read(r, n, i) }},
	{name: "discovery_chap", typ: "mapping", def: "discovery is open",
		doc:  "Who may ask which targets there are: see [chap](#chap).",
		read: func(r *reader, i *ISCSI, n ast.Node) { i.Discovery = r.chap(n) }},
}}

var limitsObject = object[ISCSI]{name: "limits", fields: []field[ISCSI]{
	{name: "sessions", typ: "number", def: "65535", doc: "The most sessions at once, of all targets together.",
		read: func(r *reader, i *ISCSI, n ast.Node) {
			v, _ := r.integer(n, "sessions", 1, 65535)
			i.Sessions = int(v)
		}},
}}

var portalObject = object[Portal]{name: "a portal", fields: []field[Portal]{
	{name: "listen", typ: "HOST:PORT", required: true,
		doc: "The address to listen at. Without a host, as in `:3260`: all addresses of this machine. IPv6 addresses stand in brackets.",
		read: func(r *reader, p *Portal, n ast.Node) {
			p.At = at(n)
			p.Listen, _ = r.hostPort(n, "listen", true)
		}},
	{name: "announce", typ: "HOST:PORT", def: "the address that the initiator reached",
		doc: "What discovery tells initiators instead, where addresses are translated on the way.",
		read: func(r *reader, p *Portal, n ast.Node) {
			p.Announce, _ = r.hostPort(n, "announce", false)
		}},
	{name: "tag", typ: "number", def: "1",
		doc: "The target portal group tag. Portals of one tag are one SCSI target port of each target.",
		read: func(r *reader, p *Portal, n ast.Node) {
			v, _ := r.integer(n, "tag", 1, 65535)
			p.Tag = uint16(v)
		}},
	{name: "redirect", typ: "mapping", doc: "Where those who log in by this portal are sent instead, as before it is taken out of service: see [redirect](#redirect). A target's own redirect comes first.",
		read: func(r *reader, p *Portal, n ast.Node) {
			p.Redirect = &Redirect{At: at(n)}
			redirectObject.read(r, n, p.Redirect)
		}},
}}

// portal reads an entry of portals.
func (r *reader) portal(n ast.Node) Portal {
	p := Portal{At: at(n), Tag: 1}
	if _, ok := scalar(n); ok {
		p.Listen, _ = r.hostPort(n, "portal", true)
	} else {
		portalObject.read(r, n, &p)
	}
	return p
}

var apiObject = object[API]{name: "api", fields: []field[API]{
	{name: "listen", typ: "list", def: "`[\"unix:STATE_DIR/targate.sock\"]`",
		doc: "Where the API listens: `unix:PATH`, a socket that only this user and root may use; or `HOST:PORT`, where it answers questions but takes no changes.",
		read: func(r *reader, a *API, n ast.Node) {
			for _, item := range r.items(n, "listen") {
				if l, ok := r.listen(item); ok {
					a.Listen = append(a.Listen, l)
				}
			}
		}},
	{name: "allow_remote", typ: "bool", def: "`false`",
		doc:  "Let `HOST:PORT` be another than a loopback address. Who can reach it can read the configuration.",
		read: func(r *reader, a *API, n ast.Node) { a.AllowRemote, _ = r.bool(n, "allow_remote") }},
}}

func (r *reader) listen(n ast.Node) (l Listen, ok bool) {
	s, ok := r.text(n, "listen")
	if !ok {
		return l, false
	}
	l.At = at(n)
	path, unix := strings.CutPrefix(s, "unix:")
	if !unix {
		l.Network = "tcp"
		l.Address, ok = r.hostPort(n, "listen", true)
		return l, ok
	}
	if path == "" {
		r.fault(l.At, "%q has no path; write unix:./state/targate.sock", s)
		return l, false
	}
	l.Network, l.Address = "unix", r.abs(path)
	return l, true
}

var targetObject = object[Target]{name: "a target", fields: []field[Target]{
	{name: "iqn", typ: "iSCSI name", required: true,
		doc: "The target's name: `iqn.YYYY-MM.DOMAIN-REVERSED:WHAT`, `eui.` or `naa.`. Upper case letters become lower case.",
		read: func(r *reader, t *Target, n ast.Node) {
			t.At = at(n)
			t.IQN, _ = r.iscsiName(n)
		}},
	{name: "alias", typ: "string", doc: "A name for people, told at login.",
		read: func(r *reader, t *Target, n ast.Node) {
			if t.Alias, _ = r.text(n, "alias"); len(t.Alias) > 255 {
				r.fault(at(n), "the alias has %d bytes; 255 is the most", len(t.Alias))
			}
		}},
	{name: "luns", typ: "LUN map", doc: "What every initiator sees that no group names: see [LUN map](#lun-map). Without it only those of `groups` may log in.",
		read: func(r *reader, t *Target, n ast.Node) {
			t.HasLUNs = true
			t.LUNs = r.luns(n)
		}},
	{name: "groups", typ: "list", doc: "LUN maps for some initiators: see [groups](#groups). The first that names an initiator counts.",
		read: func(r *reader, t *Target, n ast.Node) {
			for _, item := range r.items(n, "groups") {
				g := Group{At: at(item)}
				groupFields(r.options.Collections).read(r, item, &g)
				t.Groups = append(t.Groups, g)
			}
		}},
	{name: "chap", typ: "mapping", def: "anyone may log in", doc: "Who may log in: see [chap](#chap).",
		read: func(r *reader, t *Target, n ast.Node) { t.CHAP = r.chap(n) }},
	{name: "max_sessions", typ: "number", def: "no limit of its own", doc: "The most sessions at once.",
		read: func(r *reader, t *Target, n ast.Node) {
			v, _ := r.integer(n, "max_sessions", 1, 65535)
			t.MaxSessions = int(v)
		}},
	{name: "portals", typ: "list", def: "all",
		doc: "The portals, each as its `listen` says, by which the target is there. By others it neither is discovered nor takes a login.",
		read: func(r *reader, t *Target, n ast.Node) {
			for _, item := range r.items(n, "portals") {
				if s, ok := r.text(item, "a portal"); ok {
					t.Portals, t.PortalsAt = append(t.Portals, s), append(t.PortalsAt, at(item))
				}
			}
			if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
				r.fault(at(n), "portals is empty: nobody could reach the target; leave it out for all portals")
			}
		}},
	{name: "redirect", typ: "mapping", doc: "Where those who log in are sent instead: see [redirect](#redirect). Sessions that are there stay; `targate session logout` moves them.",
		read: func(r *reader, t *Target, n ast.Node) {
			t.Redirect = &Redirect{At: at(n)}
			redirectObject.read(r, n, t.Redirect)
		}},
}}

var redirectObject = object[Redirect]{name: "a redirect", fields: []field[Redirect]{
	{name: "address", typ: "HOST:PORT", required: true, doc: "The portal to go to.",
		read: func(r *reader, x *Redirect, n ast.Node) { x.Address, _ = r.hostPort(n, "address", false) }},
	{name: "permanent", typ: "bool", def: "`false`", doc: "The target has moved for good: initiators may remember the new address.",
		read: func(r *reader, x *Redirect, n ast.Node) { x.Permanent, _ = r.bool(n, "permanent") }},
}}

var groupObject = object[Group]{name: "a group", fields: []field[Group]{
	{name: "name", typ: "name", required: true, doc: "The group's name.",
		read: func(r *reader, g *Group, n ast.Node) {
			g.At = at(n)
			g.Name, _ = r.name(n, "group")
		}},
	{name: "initiators", typ: "list", required: true,
		doc: "Patterns of initiator names: `*` is any run of characters, `?` is one, upper and lower case are the same; a pattern with `!` before it excludes, and a list of these alone means all others.",
		read: func(r *reader, g *Group, n ast.Node) {
			for _, item := range r.items(n, "initiators") {
				if s, ok := r.text(item, "an initiator pattern"); ok {
					if s == "!" || strings.ContainsAny(s, " \t\n") {
						r.fault(at(item), "%q is not a pattern of initiator names", s)
						continue
					}
					g.Initiators = append(g.Initiators, s)
				}
			}
			if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
				r.fault(at(n), "initiators is empty; \"*\" names everyone")
			}
		}},
	{name: "luns", typ: "LUN map", doc: "What these initiators see: see [LUN map](#lun-map).",
		read: func(r *reader, g *Group, n ast.Node) {
			g.hasLUNs = true
			g.LUNs = r.luns(n)
		}},
}}

var lunObject = object[LUN]{name: "a LUN", fields: []field[LUN]{
	{name: "device", typ: "name", required: true, doc: "The device.",
		read: func(r *reader, l *LUN, n ast.Node) {
			l.At = at(n)
			l.Device, _ = r.text(n, "device")
		}},
	{name: "read_only", typ: "bool", def: "`false`", doc: "Refuse writes by this way.",
		read: func(r *reader, l *LUN, n ast.Node) { l.ReadOnly, _ = r.bool(n, "read_only") }},
}}

// luns reads a LUN map.
func (r *reader) luns(n ast.Node) []LUN {
	pairs, _ := r.pairs(n, "luns")
	var list []LUN
	seen := map[scsi.LUN]bool{}
	for _, p := range pairs {
		v, ok := r.integer(p.Key, "a LUN", 0, int64(scsi.MaxLUN))
		if !ok {
			continue
		}
		l := LUN{LUN: scsi.LUN(v), At: at(p.Value)}
		if seen[l.LUN] {
			r.fault(at(p.Key), "LUN %d is there twice", v)
			continue
		}
		seen[l.LUN] = true
		if s, ok := scalar(p.Value); ok && s != "" {
			l.Device = s
		} else if what(p.Value) == "nothing" {
			r.fault(at(p.Key), "LUN %d has no device", v)
		} else if _, list := p.Value.(*ast.SequenceNode); list {
			r.fault(l.At, "LUN %d is the name of one device, or a mapping, not a list", v)
		} else {
			lunObject.read(r, p.Value, &l)
		}
		list = append(list, l)
	}
	return list
}

var chapObject = object[CHAP]{name: "chap", fields: []field[CHAP]{
	{name: "users", typ: "list", required: true, doc: "Who may log in: see [credential](#credential).",
		read: func(r *reader, c *CHAP, n ast.Node) {
			for _, item := range r.items(n, "users") {
				c.Users = append(c.Users, r.credential(item))
			}
			if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
				r.fault(at(n), "users is empty: nobody could log in")
			}
		}},
	{name: "mutual", typ: "mapping", doc: "What the target proves in turn, if an initiator asks: see [credential](#credential). Its secret differs from those of all users.",
		read: func(r *reader, c *CHAP, n ast.Node) {
			m := r.credential(n)
			c.Mutual = &m
		}},
}}

var credentialObject = object[Credential]{name: "a credential", fields: []field[Credential]{
	{name: "name", typ: "string", required: true, doc: "The CHAP name.",
		read: func(r *reader, c *Credential, n ast.Node) {
			c.At = at(n)
			if c.Name, _ = r.text(n, "name"); len(c.Name) > 255 {
				r.fault(at(n), "the name has %d bytes; 255 is the most", len(c.Name))
			}
		}},
	{name: "secret_file", typ: "path", doc: "The file that holds the secret: 12 to 255 bytes. Line ends at its end do not count.",
		read: func(r *reader, c *Credential, n ast.Node) {
			if path, ok := r.path(n, "secret_file"); ok {
				r.secret(c, at(n), "secret_file", func() ([]byte, error) { return r.options.ReadFile(path) })
			} else {
				c.sources++
			}
		}},
	{name: "secret_env", typ: "string", doc: "The environment variable of the server that holds it.",
		read: func(r *reader, c *Credential, n ast.Node) {
			name, _ := r.text(n, "secret_env")
			r.secret(c, at(n), "secret_env "+name, func() ([]byte, error) {
				if s := r.options.Getenv(name); s != "" {
					return []byte(s), nil
				}
				return nil, errNotSet
			})
		}},
	{name: "secret_credential", typ: "string", doc: "The systemd credential that holds it (`LoadCredential=`).",
		read: func(r *reader, c *Credential, n ast.Node) {
			name, _ := r.text(n, "secret_credential")
			r.secret(c, at(n), "secret_credential "+name, func() ([]byte, error) {
				dir := r.options.Getenv("CREDENTIALS_DIRECTORY")
				if dir == "" {
					return nil, errNoCredentials
				}
				if name == "" || name != filepath.Base(name) || name == ".." {
					return nil, os.ErrInvalid
				}
				return r.options.ReadFile(filepath.Join(dir, name))
			})
		}},
}}

// chap reads who may log in.
func (r *reader) chap(n ast.Node) *CHAP {
	c := &CHAP{At: at(n)}
	chapObject.read(r, n, c)
	return c
}

func (r *reader) credential(n ast.Node) Credential {
	c := Credential{At: at(n)}
	if pairs, ok := n.(*ast.MappingNode); ok {
		for _, p := range pairs.Values {
			if s, _ := scalar(p.Key); s == "secret" {
				r.fault(at(p.Key), "a secret is not written here; put it in a file and name that with secret_file, or use secret_env or secret_credential")
				return c
			}
		}
	}
	before := len(r.faults)
	credentialObject.read(r, n, &c)
	if c.sources == 0 && len(r.faults) == before {
		r.fault(at(n), "a credential needs one of secret_file, secret_env, secret_credential")
	}
	return c
}
