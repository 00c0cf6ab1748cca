package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/targate/targate/core/alua"
)

// ALUA is asymmetric access: the states in which target port groups are.
type ALUA struct {
	Explicit, Implicit bool // who may change states: initiators, administration
	Groups             []PortGroup
	At                 Pos
}

// PortGroup is a target port group: the portals that have its tag.
type PortGroup struct {
	Tag       uint16
	State     alua.State
	Preferred bool
	At        Pos
}

// maxPortGroups is what one ALUA can have.
const maxPortGroups = 256

var aluaObject = object[ALUA]{name: "alua", fields: []field[ALUA]{
	{name: "explicit", typ: "bool", def: "`false`", doc: "Initiators may change states (SET TARGET PORT GROUPS).",
		read: func(r *reader, a *ALUA, n ast.Node) { a.Explicit, _ = r.bool(n, "explicit") }},
	{name: "implicit", typ: "bool", def: "`false`", doc: "Administration may change states: `targate alua set`, and apply.",
		read: func(r *reader, a *ALUA, n ast.Node) { a.Implicit, _ = r.bool(n, "implicit") }},
	{name: "groups", typ: "list", required: true, doc: "The target port groups: see [target port group](#target-port-group).",
		read: func(r *reader, a *ALUA, n ast.Node) {
			for _, item := range r.items(n, "groups") {
				g := PortGroup{At: at(item)}
				portGroupObject.read(r, item, &g)
				a.Groups = append(a.Groups, g)
			}
		}},
}}

var portGroupObject = object[PortGroup]{name: "a target port group", fields: []field[PortGroup]{
	{name: "tag", typ: "number", required: true, doc: "The tag of the group's portals.",
		read: func(r *reader, g *PortGroup, n ast.Node) {
			g.At = at(n)
			v, _ := r.integer(n, "tag", 1, 65535)
			g.Tag = uint16(v)
		}},
	{name: "state", typ: strings.Join(accessStates, ", "), def: "`active/optimized`",
		doc: "The state at the first start. Later starts go on with the state that was in effect; apply changes it when it changes here.",
		read: func(r *reader, g *PortGroup, n ast.Node) {
			s, ok := r.text(n, "state")
			if ok && g.State.UnmarshalText([]byte(s)) != nil {
				r.fault(at(n), "state %q is none of %s", s, strings.Join(accessStates, ", "))
			}
		}},
	{name: "preferred", typ: "bool", def: "`false`", doc: "Initiators should use this group before others of the same state (PREF).",
		read: func(r *reader, g *PortGroup, n ast.Node) { g.Preferred, _ = r.bool(n, "preferred") }},
}}

// accessStates are the values of state.
var accessStates = []string{alua.Optimized.String(), alua.NonOptimized.String(), alua.Standby.String(),
	alua.Unavailable.String(), alua.Offline.String()}

// alua reads the key of that name.
func (r *reader) alua(m *Model, n ast.Node) {
	m.ALUA = &ALUA{At: at(n)}
	aluaObject.read(r, n, m.ALUA)
}

// checkALUA finds groups that are there twice and portals that are in none.
func (r *reader) checkALUA(m *Model) {
	a := m.ALUA
	if a == nil {
		return
	}
	if !a.Explicit && !a.Implicit {
		r.fault(a.At, "alua: nothing may change a state; say explicit: true, implicit: true, or both")
	}
	if len(a.Groups) > maxPortGroups {
		r.fault(a.At, "alua has %d groups; %d are the most", len(a.Groups), maxPortGroups)
	}
	first := map[uint16]Pos{}
	var tags []string
	for _, g := range a.Groups {
		if g.Tag == 0 {
			continue // a fault already
		}
		if p, dup := first[g.Tag]; dup {
			r.fault(g.At, "target port group %d is there twice, first in line %d", g.Tag, p.Line)
			continue
		}
		first[g.Tag] = g.At
		tags = append(tags, strconv.Itoa(int(g.Tag)))
	}
	for _, p := range m.ISCSI.Portals {
		if !slices.ContainsFunc(a.Groups, func(g PortGroup) bool { return g.Tag == p.Tag }) {
			r.fault(p.At, "portal %s has the tag %d, and alua no such group; groups are %s", p.Listen, p.Tag, orNone(tags))
		}
	}
}
