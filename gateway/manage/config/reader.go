package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Options are what a file does not say itself.
type Options struct {
	Kinds       []Kind
	Collections []Collection
	// Dir is what relative paths are relative to; empty: the directory of the file.
	Dir string
	// Getenv and ReadFile give secrets; nil: those of package os.
	Getenv   func(string) string
	ReadFile func(string) ([]byte, error)
}

// MaxLen bounds a configuration file.
const MaxLen = 4 << 20

// Load reads the file at path. The error is Faults unless the file cannot be read.
func Load(path string, o Options) (*Model, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, o)
}

// Parse reads text. file is its name in faults. The error is Faults, and has all of
// them.
func Parse(file string, text []byte, o Options) (*Model, error) {
	if o.Dir == "" {
		o.Dir = filepath.Dir(file)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	o.Dir = dir
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	r := &reader{file: file, options: o}
	m := &Model{File: file, Text: text}
	if root := r.root(text); root != nil {
		rootFields(o.Collections).read(r, root, m)
		r.check(m)
	}
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Col - b.Col
		})
		return nil, Faults(slices.Compact(r.faults))
	}
	return m, nil
}

// reader collects faults while it walks the file.
type reader struct {
	file    string
	options Options
	faults  []Fault
	faulty  []string // entries with faults: what devices they bring is not known
}

func (r *reader) fault(at Pos, format string, a ...any) {
	r.faults = append(r.faults, Fault{File: r.file, Pos: at, Message: fmt.Sprintf(format, a...)})
}

// root is the mapping that the file consists of, nil after a fault.
func (r *reader) root(text []byte) (root ast.Node) {
	top := Pos{1, 1}
	if len(text) > MaxLen {
		r.fault(top, "the file has %d bytes; %d is the most", len(text), MaxLen)
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
			r.fault(at(d.Body), "a second document; the file is one")
			return nil
		default:
			root = d.Body
		}
	}
	if root == nil {
		r.fault(top, "the file is empty; it begins with \"version: 1\"")
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

// what names the type of n for messages.
func what(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return "an anchor, alias or tag, which this file cannot have"
	}
	if s, ok := scalar(n); ok {
		return fmt.Sprintf("%q", s)
	}
	return "nothing"
}

// scalar is the text of a plain value; "null" counts as such when it is written out.
func scalar(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.NullNode:
		t := v.GetToken()
		return t.Value, t.Type == token.NullType && t.Value == "null"
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
		r.fault(at(n), "%s is a mapping, not %s", name, what(n))
		return nil, false
	}
	seen := map[string]Pos{}
	var once []*ast.MappingValueNode
	for _, p := range list {
		key, ok := scalar(p.Key)
		if !ok {
			r.fault(at(p.Key), "a key of %s is a word, not %s", name, what(p.Key))
			continue
		}
		if first, dup := seen[key]; dup {
			r.fault(at(p.Key), "%s has %q twice, first in line %d", name, key, first.Line)
			continue
		}
		seen[key] = at(p.Key)
		once = append(once, p)
	}
	return once, true
}

// items are the entries of the list n.
func (r *reader) items(n ast.Node, name string) []ast.Node {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		r.fault(at(n), "%s is a list, not %s", name, what(n))
		return nil
	}
	return s.Values
}

// text reads a non-empty plain value.
func (r *reader) text(n ast.Node, name string) (string, bool) {
	s, ok := scalar(n)
	switch {
	case !ok:
		r.fault(at(n), "%s is a word, not %s", name, what(n))
	case s == "":
		r.fault(at(n), "%s is empty", name)
		ok = false
	}
	return s, ok
}

// field is one key of a mapping that is read into a T.
type field[T any] struct {
	name     string
	typ      string // for the reference
	def      string // default in words, for the reference
	required bool
	doc      string
	read     func(r *reader, into *T, n ast.Node)
}

// object is a mapping of the file.
type object[T any] struct {
	name   string // for messages
	fields []field[T]
}

func (o *object[T]) names() []string {
	var names []string
	for _, f := range o.fields {
		names = append(names, f.name)
	}
	return names
}

// read reads the mapping n. It is false when n is none.
func (o *object[T]) read(r *reader, n ast.Node, into *T) bool {
	pairs, ok := r.pairs(n, o.name)
	if !ok {
		return false
	}
	present := map[string]bool{}
	for _, p := range pairs {
		key, _ := scalar(p.Key)
		present[key] = true
		i := slices.IndexFunc(o.fields, func(f field[T]) bool { return f.name == key })
		if i < 0 {
			r.unknown(at(p.Key), o.name, key, o.names())
			continue
		}
		o.fields[i].read(r, into, p.Value)
	}
	for _, f := range o.fields {
		if f.required && !present[f.name] {
			r.fault(at(n), "%s needs the key %q: %s", o.name, f.name, hint(f.doc))
		}
	}
	return true
}

// hint is the beginning of doc as plain text.
func hint(doc string) string {
	for _, end := range []string{". ", ": see ", " (see "} {
		doc, _, _ = strings.Cut(doc, end)
	}
	return strings.ReplaceAll(strings.TrimSuffix(doc, "."), "`", "")
}

// unknown reports a key that does not exist, and which ones do.
func (r *reader) unknown(at Pos, name, key string, known []string) {
	if best := Nearest(key, known); best != "" {
		r.fault(at, "%s has no key %q; did you mean %q?", name, key, best)
		return
	}
	r.fault(at, "%s has no key %q; it has %s", name, key, strings.Join(known, ", "))
}

// Nearest is the known word that s was probably meant to be, or "".
func Nearest(s string, known []string) string {
	best, dist := "", 1+len(s)/3
	for _, k := range known {
		if d := distance(strings.ToLower(s), k); d <= dist && (best == "" || d < dist) {
			best, dist = k, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace to make b of a.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
