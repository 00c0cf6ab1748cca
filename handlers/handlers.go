// Package handlers lists the kinds of disk store that a configuration can name, and
// the keys of each. The list is data: the configuration is checked against it and
// docs/configuration.md is written from it.
package handlers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/targate/targate/core/block"
)

// Type is the type of a key's value.
type Type string

// Types, with the Go type of a value that has been read.
const (
	Size   Type = "size"   // int64, bytes; written as 512, 4KiB, 1GiB
	Path   Type = "path"   // string, absolute; relative ones are relative to the file
	Bool   Type = "bool"   // bool
	Int    Type = "int"    // int64
	String Type = "string" // string
	Enum   Type = "enum"   // string, one of Key.Values; int64 when all of them are numbers
)

// Key is one key of a device in the configuration.
type Key struct {
	Name     string
	Type     Type
	Values   []string // of an Enum
	Required bool
	Default  any // in the type's Go type; nil: the key is absent
	Doc      string
}

// Kind is one kind of store.
type Kind struct {
	Name string // the value of the key "handler"
	Doc  string // one paragraph
	Keys []Key

	open func(v values) (block.Store, error)
	// protection opens the store of protection information beside what open opened; nil:
	// the kind has none. Such a kind has the key "protection".
	protection func(v values, size int64) (block.Store, error)
}

// Find looks a kind up by name.
func Find(name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Names are the names of all kinds, in the order of Kinds.
func Names() []string {
	var n []string
	for _, k := range kinds {
		n = append(n, k.Name)
	}
	return n
}

// Kinds are all kinds.
func Kinds() []Kind { return slices.Clone(kinds) }

// Key looks a key of k up by name.
func (k Kind) Key(name string) (Key, bool) {
	for _, key := range k.Keys {
		if key.Name == name {
			return key, true
		}
	}
	return Key{}, false
}

// Check names every fault of v: unknown keys, missing keys, values of another type
// than the key's.
func (k Kind) Check(v map[string]any) error {
	var errs []error
	for _, name := range sortedKeys(v) {
		key, ok := k.Key(name)
		if !ok {
			errs = append(errs, fmt.Errorf("%s has no key %q; its keys are %s", k.Name, name, strings.Join(k.keyNames(), ", ")))
			continue
		}
		if err := key.check(v[name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	for _, key := range k.Keys {
		if _, ok := v[key.Name]; !ok && key.Required {
			errs = append(errs, fmt.Errorf("%s needs the key %q", k.Name, key.Name))
		}
	}
	return errors.Join(errs...)
}

// Open opens the store that v describes. name is the device's, for messages. The last
// argument is the device's own directory, for a kind that must remember what v gives no
// path for; none of the list does.
func (k Kind) Open(name string, v map[string]any, _ string) (block.Store, error) {
	all, err := k.complete(v)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	s, err := k.open(all)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	return s, nil
}

// OpenProtection opens the store of protection information, of at least size bytes, that
// v describes beside the one that Open opens, and says what type of protection a new one
// is to have. The store is nil when v asks for none.
func (k Kind) OpenProtection(name string, v map[string]any, size int64) (s block.Store, protectionType uint8, err error) {
	all, err := k.complete(v)
	if err == nil && all.int64(protectionKey.Name) != 0 {
		s, err = k.protection(all, size)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("device %s: %w", name, err)
	}
	return s, uint8(all.int64(protectionKey.Name)), nil
}

// complete is v with defaults filled in, once it is checked.
func (k Kind) complete(v map[string]any) (values, error) {
	if err := k.Check(v); err != nil {
		return nil, err
	}
	all := values{}
	for _, key := range k.Keys {
		if x, ok := v[key.Name]; ok {
			all[key.Name] = x
		} else if key.Default != nil {
			all[key.Name] = key.Default
		}
	}
	return all, nil
}

func (k Kind) keyNames() []string {
	var n []string
	for _, key := range k.Keys {
		n = append(n, key.Name)
	}
	return n
}

func sortedKeys(v map[string]any) []string {
	var n []string
	for name := range v {
		n = append(n, name)
	}
	slices.Sort(n)
	return n
}

// check says what is wrong with x as a value of k.
func (k Key) check(x any) error {
	ok := false
	switch k.Type {
	case Size:
		var n int64
		if n, ok = x.(int64); ok && n <= 0 {
			return fmt.Errorf("a size is above zero, not %d", n)
		}
	case Int:
		_, ok = x.(int64)
	case Bool:
		_, ok = x.(bool)
	case Path, String:
		var s string
		if s, ok = x.(string); ok && s == "" {
			return errors.New("empty")
		}
	case Enum:
		var s string
		if n, number := x.(int64); number {
			x = strconv.FormatInt(n, 10)
		}
		if s, ok = x.(string); ok && !slices.Contains(k.Values, s) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(k.Values, ", "))
		}
	}
	if !ok {
		return fmt.Errorf("%v is not a %s", x, k.Type)
	}
	return nil
}

// values are the checked keys of one device, defaults filled in.
type values map[string]any

// Absent keys without a default give the zero value.
func (v values) int64(name string) int64   { n, _ := v[name].(int64); return n }
func (v values) string(name string) string { s, _ := v[name].(string); return s }
func (v values) bool(name string) bool     { b, _ := v[name].(bool); return b }
