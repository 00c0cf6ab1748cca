package personality

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxFile bounds a data file, in bytes.
const MaxFile = 1 << 20

// reader reads files into values of the types of model.go and collects faults.
type reader struct {
	file   string // that is read now
	faults []Fault
}

func (r *reader) fault(at Pos, format string, a ...any) {
	r.faultIn(r.file, at, format, a...)
}

func (r *reader) faultIn(file string, at Pos, format string, a ...any) {
	r.faults = append(r.faults, Fault{File: file, Pos: at, Message: fmt.Sprintf(format, a...)})
}

// err is all faults, or nil.
func (r *reader) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Fault) int {
		switch {
		case a.File != b.File:
			return strings.Compare(a.File, b.File)
		case a.Line != b.Line:
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return Faults(slices.Compact(r.faults))
}

// root is what the file consists of, nil after a fault.
func (r *reader) root(text []byte) (root ast.Node) {
	top := Pos{1, 1}
	if len(text) > MaxFile {
		r.fault(top, "the file has %d bytes; %d is the most", len(text), MaxFile)
		return nil
	}
	// The YAML library has been seen to panic on odd input; what it cannot read is
	// a fault of the file.
	defer func() {
		if p := recover(); p != nil {
			r.fault(top, "not YAML: %v", p)
			root = nil
		}
	}()
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			r.fault(posOf(syntax.Token), "not YAML: %s", syntax.Message)
		} else {
			r.fault(top, "not YAML: %v", err)
		}
		return nil
	}
	for _, d := range f.Docs {
		switch {
		case d.Body == nil:
		case d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType:
		case root != nil:
			r.fault(at(d.Body), "a second document; a file is one")
			return nil
		default:
			root = d.Body
		}
	}
	if root == nil {
		r.fault(top, "the file is empty")
	}
	return root
}

func posOf(t *token.Token) Pos {
	if t == nil || t.Position == nil {
		return Pos{1, 1}
	}
	return Pos{max(t.Position.Line, 1), max(t.Position.Column, 1)}
}

// at is where n begins.
func at(n ast.Node) Pos {
	switch v := n.(type) {
	case *ast.MappingNode:
		// The token of a block mapping is its first colon.
		if !v.IsFlowStyle && len(v.Values) > 0 {
			return at(v.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return at(v.Key)
	}
	return posOf(n.GetToken())
}

// scalar is the text of a plain value.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.LiteralNode:
		return v.Value.Value, true
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// pairs are the entries of the mapping n, each key once. ok is false after a fault.
func (r *reader) pairs(n ast.Node, name string) (list []*ast.MappingValueNode, ok bool) {
	switch v := n.(type) {
	case *ast.MappingNode:
		list = v.Values
	case *ast.MappingValueNode:
		list = []*ast.MappingValueNode{v}
	default:
		r.fault(at(n), "%s is a mapping", name)
		return nil, false
	}
	seen := map[string]bool{}
	var once []*ast.MappingValueNode
	for _, p := range list {
		key, ok := scalar(p.Key)
		switch {
		case !ok:
			r.fault(at(p.Key), "a key of %s is a word", name)
		case seen[key]:
			r.fault(at(p.Key), "%s has %q twice", name, key)
		default:
			seen[key] = true
			once = append(once, p)
		}
	}
	return once, true
}

// fields maps the keys of a mapping that is read into the struct type t to its fields.
func fields(t reflect.Type) (byKey map[string]int, keys []string) {
	byKey = map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "-" {
			byKey[key] = i
			keys = append(keys, key)
		}
	}
	return byKey, keys
}

// places are where the values of a model stand, by key.
type places map[string]Pos

// object reads the mapping n over the struct v: what n does not name stays as it is.
func (r *reader) object(n ast.Node, name string, v reflect.Value) places {
	where := places{"": at(n)}
	pairs, ok := r.pairs(n, name)
	if !ok {
		return where
	}
	byKey, keys := fields(v.Type())
	for _, p := range pairs {
		key, _ := scalar(p.Key)
		i, ok := byKey[key]
		if !ok {
			r.fault(at(p.Key), "%s has no key %q; it has %s", name, key, strings.Join(keys, ", "))
			continue
		}
		where[key] = at(p.Value)
		r.value(p.Value, key, v.Field(i))
	}
	return where
}
