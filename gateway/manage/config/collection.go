package config

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/targate/targate/core/scsi"
)

// Collection describes a top-level list each entry of which brings several devices, and
// the key by which a target, or a group, shows all devices of an entry at once.
type Collection struct {
	Key       string // the list: "libraries"
	Noun      string // one entry, and the key of targets and groups: "library"
	Doc       string // of the list
	TargetDoc string // of the key of targets and groups
	Keys      []Key  // of an entry, beside its name
	// Members names the devices of e, which has no fault so far. LUN i of a target that
	// shows e is the device with index i.
	Members func(e *Entry) []string
	// Check says what is wrong between the values of e; nil: nothing can be.
	Check func(e *Entry, fault func(at Pos, format string, a ...any))
}

// Entry is an entry of a collection.
type Entry struct {
	Collection string // its Noun
	Name       string
	Members    []string // as of Collection.Members
	Mapping
}

// Mapping is a mapping whose keys are given by a list of Key: their values that are present
// or have a default, and where those stand that are present.
type Mapping struct {
	At       Pos
	Values   map[string]any
	ValuesAt map[string]Pos
}

// Where is where key stands, or the mapping if the key is not there.
func (m *Mapping) Where(key string) Pos {
	if at, ok := m.ValuesAt[key]; ok {
		return at
	}
	return m.At
}

// Item is an element of a list.
type Item struct {
	At    Pos
	Value any
}

// Show is a target's, or a group's, wish to show all devices of an entry.
type Show struct {
	Collection, Entry string
	ReadOnly          bool
	At                Pos
}

var entryObject = object[Entry]{name: "an entry", fields: []field[Entry]{
	{name: "name", typ: "name", required: true, doc: "The name here. Serial numbers and other identities belong to it for life.",
		read: func(r *reader, e *Entry, n ast.Node) {
			e.At = at(n)
			e.Name, _ = r.name(n, e.Collection)
		}},
}}

// article gives a noun of a message its article.
func article(noun string) string {
	if noun != "" && strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// entry reads an entry of c.
func (r *reader) entry(m *Model, c *Collection, n ast.Node) {
	name := article(c.Noun)
	pairs, ok := r.pairs(n, name)
	if !ok {
		return
	}
	e := Entry{Collection: c.Noun, Mapping: Mapping{At: at(n)}}
	before := len(r.faults)
	var rest []*ast.MappingValueNode
	named := false
	for _, p := range pairs {
		if key, _ := scalar(p.Key); key == "name" {
			named = true
			entryObject.fields[0].read(r, &e, p.Value)
			continue
		}
		rest = append(rest, p)
	}
	if !named {
		r.fault(at(n), "%s needs the key \"name\": %s", name, hint(entryObject.fields[0].doc))
	}
	where := e.At
	e.Mapping = r.mapping(name, where, rest, c.Keys, entryObject.names())
	if c.Check != nil && len(r.faults) == before {
		c.Check(&e, r.fault)
	}
	if len(r.faults) == before {
		e.Members = c.Members(&e)
	} else if e.Name != "" {
		r.faulty = append(r.faulty, e.Name)
	}
	m.Entries = append(m.Entries, e)
}

// mapping reads the values of keys. common are keys that were read already.
func (r *reader) mapping(name string, where Pos, pairs []*ast.MappingValueNode, keys []Key, common []string) Mapping {
	m := Mapping{At: where, Values: map[string]any{}, ValuesAt: map[string]Pos{}}
	known := slices.Clone(common)
	for _, k := range keys {
		known = append(known, k.Name)
		if k.Default != nil {
			m.Values[k.Name] = k.Default
		}
		present := slices.ContainsFunc(pairs, func(p *ast.MappingValueNode) bool {
			key, _ := scalar(p.Key)
			return key == k.Name
		})
		if k.Required && !present {
			r.fault(where, "%s needs the key %q: %s", name, k.Name, hint(k.Doc))
		}
	}
	for _, p := range pairs {
		key, _ := scalar(p.Key)
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == key })
		if i < 0 {
			r.unknown(at(p.Key), name, key, known)
			continue
		}
		if v, ok := r.value(&keys[i], p.Value); ok {
			m.Values[key] = v
			m.ValuesAt[key] = at(p.Value)
		}
	}
	return m
}

// show reads the key of c in a target or group: a name, or a mapping.
func (r *reader) show(c *Collection, n ast.Node) *Show {
	s := &Show{Collection: c.Noun, At: at(n)}
	if text, ok := scalar(n); ok && text != "" {
		s.Entry = text
		return s
	}
	o := showObject(c)
	o.read(r, n, s)
	return s
}

// showObject is what the key of c can be besides a name.
func showObject(c *Collection) *object[Show] {
	return &object[Show]{name: c.Noun, fields: []field[Show]{
		{name: "name", typ: "name", required: true, doc: "The " + c.Noun + ".",
			read: func(r *reader, s *Show, n ast.Node) {
				s.At = at(n)
				s.Entry, _ = r.text(n, "name")
			}},
		{name: "read_only", typ: "bool", def: "`false`", doc: "Refuse writes to all its devices by this way.",
			read: func(r *reader, s *Show, n ast.Node) { s.ReadOnly, _ = r.bool(n, "read_only") }},
	}}
}

// rootFields is rootObject with the collections before the targets.
func rootFields(cs []Collection) *object[Model] {
	o := rootObject
	o.fields = slices.Clone(o.fields)
	i := slices.IndexFunc(o.fields, func(f field[Model]) bool { return f.name == "targets" })
	for j := range cs {
		c := &cs[j]
		o.fields = slices.Insert(o.fields, i+j, field[Model]{name: c.Key, typ: "list", doc: strings.TrimSuffix(c.Doc, ".") + ": see [" + c.Key + "](#" + c.Key + ").",
			read: func(r *reader, m *Model, n ast.Node) {
				for _, item := range r.items(n, c.Key) {
					r.entry(m, c, item)
				}
			}})
	}
	return &o
}

// targetFields is targetObject with a key for each collection.
func targetFields(cs []Collection) *object[Target] {
	o := targetObject
	o.fields = slices.Clone(o.fields)
	for i := range cs {
		c := &cs[i]
		o.fields = append(o.fields, field[Target]{name: c.Noun, typ: "name, or mapping", doc: c.TargetDoc,
			read: func(r *reader, t *Target, n ast.Node) { t.show = append(t.show, r.show(c, n)) }})
	}
	return &o
}

// groupFields is groupObject with a key for each collection.
func groupFields(cs []Collection) *object[Group] {
	o := groupObject
	o.fields = slices.Clone(o.fields)
	for i := range cs {
		c := &cs[i]
		o.fields = append(o.fields, field[Group]{name: c.Noun, typ: "name, or mapping", doc: c.TargetDoc,
			read: func(r *reader, g *Group, n ast.Node) { g.show = append(g.show, r.show(c, n)) }})
	}
	return &o
}

// checkEntries finds names that are there twice, among entries and between their devices
// and others, and adds those devices to devices.
func (r *reader) checkEntries(m *Model, devices map[string]Pos, names []string) []string {
	first := map[[2]string]Pos{}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Name == "" {
			continue
		}
		key := [2]string{e.Collection, e.Name}
		if p, dup := first[key]; dup {
			r.fault(e.At, "%s %s is there twice, first in line %d", e.Collection, e.Name, p.Line)
			continue
		}
		first[key] = e.At
		for _, name := range e.Members {
			if p, dup := devices[name]; dup {
				r.fault(e.At, "%s %s brings a device %s, and there is one of that name in line %d", e.Collection, e.Name, name, p.Line)
				continue
			}
			devices[name] = e.At
			names = append(names, name)
		}
	}
	return names
}

// expand makes a LUN map of what shows ask for: where says whose it is.
func (r *reader) expand(m *Model, where string, shows []*Show, luns []LUN, hasLUNs bool) (list []LUN, has bool) {
	if len(shows) == 0 {
		return luns, hasLUNs
	}
	if s := shows[len(shows)-1]; hasLUNs || len(shows) > 1 {
		r.fault(s.At, "%s has one of luns and %s; in luns, name the devices of a %s one by one", where, s.Collection, s.Collection)
		return luns, true
	}
	s := shows[0]
	if s.Entry == "" {
		return luns, true // a fault already
	}
	var names []string
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Collection != s.Collection || e.Name == "" {
			continue
		}
		names = append(names, e.Name)
		if e.Name != s.Entry {
			continue
		}
		for j, name := range e.Members {
			list = append(list, LUN{LUN: scsi.LUN(j), Device: name, ReadOnly: s.ReadOnly, At: s.At})
		}
		return list, true
	}
	if best := Nearest(s.Entry, names); best != "" {
		r.fault(s.At, "there is no %s %q; did you mean %q?", s.Collection, s.Entry, best)
	} else {
		r.fault(s.At, "there is no %s %q; there are %s", s.Collection, s.Entry, orNone(names))
	}
	return nil, true
}
