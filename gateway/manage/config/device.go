package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// deviceObject has the keys of every device; its kind adds others.
var deviceObject = object[Device]{name: "a device", fields: []field[Device]{
	{name: "name", typ: "name", required: true,
		doc: "The device's name here. Its serial number and other identity belong to the name for life.",
		read: func(r *reader, d *Device, n ast.Node) {
			d.At = at(n)
			d.Name, _ = r.name(n, "device")
		}},
	{name: "handler", typ: "name", required: true, doc: "What kind of device it is",
		read: func(r *reader, d *Device, n ast.Node) { d.Kind, _ = r.text(n, "handler") }},
}}

// laterKinds will come.
var laterKinds = []string{"cdrom"}

// device reads an entry of devices.
func (r *reader) device(m *Model, n ast.Node) {
	pairs, ok := r.pairs(n, "a device")
	if !ok {
		return
	}
	d := Device{At: at(n), Values: map[string]any{}, ValuesAt: map[string]Pos{}}
	var kind *Kind
	common := deviceObject.names()
	present := map[string]bool{}
	for _, p := range pairs {
		key, _ := scalar(p.Key)
		present[key] = true
		if i := slices.Index(common, key); i >= 0 {
			deviceObject.fields[i].read(r, &d, p.Value)
			if key == "handler" && d.Kind != "" {
				kind = r.kind(d.Kind, at(p.Value))
			}
		}
	}
	for _, f := range deviceObject.fields {
		if !present[f.name] {
			r.fault(at(n), "a device needs the key %q: %s", f.name, hint(f.doc))
		}
	}
	// A device with faults stays in the model, so that the LUNs that name it are not
	// faults too.
	defer func() { m.Devices = append(m.Devices, d) }()
	if kind == nil {
		return
	}
	pairs = slices.DeleteFunc(pairs, func(p *ast.MappingValueNode) bool {
		key, _ := scalar(p.Key)
		return slices.Contains(common, key)
	})
	v := r.mapping("a device with handler "+kind.Name, at(n), pairs, kind.Keys, common)
	d.Values, d.ValuesAt = v.Values, v.ValuesAt
}

// kind finds the kind called name, nil after a fault.
func (r *reader) kind(name string, where Pos) *Kind {
	var known []string
	for i := range r.options.Kinds {
		if k := &r.options.Kinds[i]; k.Name == name {
			return k
		}
		known = append(known, r.options.Kinds[i].Name)
	}
	switch best := Nearest(name, known); {
	case slices.Contains(laterKinds, name):
		r.fault(where, "handler %s is not in this version; there are %s", name, strings.Join(known, ", "))
	case best != "":
		r.fault(where, "there is no handler %q; did you mean %q?", name, best)
	default:
		r.fault(where, "there is no handler %q; there are %s", name, strings.Join(known, ", "))
	}
	return nil
}

// value reads the value of k.
func (r *reader) value(k *Key, n ast.Node) (v any, ok bool) {
	if v, ok = r.typed(k, n); ok && k.Check != nil {
		if err := k.Check(v); err != nil {
			r.fault(at(n), "%s: %v", k.Name, err)
			return nil, false
		}
	}
	return v, ok
}

// typed is value without Key.Check.
func (r *reader) typed(k *Key, n ast.Node) (v any, ok bool) {
	switch k.Type {
	case List:
		list := []Item{}
		for _, item := range r.items(n, k.Name) {
			if v, ok := r.value(k.Elem, item); ok {
				list = append(list, Item{at(item), v})
			}
		}
		return list, true
	case Map:
		if s, ok := scalar(n); ok && s != "" && k.Short != "" {
			i := slices.IndexFunc(k.Keys, func(x Key) bool { return x.Name == k.Short })
			v, ok := r.value(&k.Keys[i], n)
			m := r.mapping(article(k.Name), at(n), nil, optional(k.Keys), nil)
			m.Values[k.Short], m.ValuesAt[k.Short] = v, at(n)
			return m, ok
		}
		pairs, ok := r.pairs(n, article(k.Name))
		if !ok {
			return nil, false
		}
		return r.mapping(article(k.Name), at(n), pairs, k.Keys, nil), true
	case Size:
		return okAny(r.size(n, k.Name))
	case Path:
		return okAny(r.path(n, k.Name))
	case Bool:
		return okAny(r.bool(n, k.Name))
	case Int:
		s, ok := r.text(n, k.Name)
		if !ok {
			return nil, false
		}
		i, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			r.fault(at(n), "%s is a whole number, not %q", k.Name, s)
		}
		return i, err == nil
	case Enum:
		s, ok := r.text(n, k.Name)
		if ok && !slices.Contains(k.Values, s) {
			if best := Nearest(s, k.Values); best != "" && len(k.Values) > manyValues {
				r.fault(at(n), "there is no %s %q; did you mean %q?", k.Name, s, best)
			} else {
				r.fault(at(n), "%s is one of %s, not %q", k.Name, strings.Join(k.Values, ", "), s)
			}
			return nil, false
		}
		if ok && k.numeric() {
			i, _ := strconv.ParseInt(s, 10, 64) // all digits
			return i, true
		}
		return s, ok
	default:
		return okAny(r.text(n, k.Name))
	}
}

// manyValues are so many that a message names the nearest rather than all.
const manyValues = 8

// optional is keys with none of them required.
func optional(keys []Key) []Key {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i].Required = false
	}
	return keys
}

// numeric reports whether all values of an Enum are numbers.
func (k *Key) numeric() bool {
	return !slices.ContainsFunc(k.Values, func(s string) bool { return !allDigits(s) })
}

func okAny[T any](v T, ok bool) (any, bool) { return v, ok }
