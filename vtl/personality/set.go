package personality

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml/ast"
)

//go:embed data
var data embed.FS

// Set is the models that are known. It does not change, and what it gives is shared: not to
// be changed.
type Set struct {
	media     map[string]*Media
	drives    map[string]*Drive
	changers  map[string]*Changer
	densities map[string]*Density
	ordered   []*Media // all, in order of name
}

// Builtin is the models of this program.
var Builtin = sync.OnceValue(func() *Set {
	l, err := builtin()
	if err != nil {
		panic(err)
	}
	s, err := l.set()
	if err != nil {
		panic(err) // a test reads them all
	}
	return s
})

func builtin() (*loader, error) {
	l := newLoader()
	return l, l.files(data, "data", func(name string) string { return name })
}

// Load gives the models of this program and those of the .yaml files in dir. An error that is
// not Faults comes from the file system.
func Load(dir string) (*Set, error) {
	l, err := builtin()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	if err == nil {
		err = l.files(os.DirFS(dir), ".", func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) })
	}
	if err != nil {
		return nil, fmt.Errorf("personalities: %w", err)
	}
	return l.set()
}

// Media is the kind of cartridge of that name.
func (s *Set) Media(name string) (*Media, bool) { m, ok := s.media[name]; return m, ok }

// Drive is the model of drive of that name.
func (s *Set) Drive(name string) (*Drive, bool) { d, ok := s.drives[name]; return d, ok }

// Changer is the model of changer of that name.
func (s *Set) Changer(name string) (*Changer, bool) { c, ok := s.changers[name]; return c, ok }

// AllMedia are all kinds of cartridges, in order of name, numbers by value.
func (s *Set) AllMedia() []*Media { return slices.Clone(s.ordered) }

// Drives are all models of drives, in order of name.
func (s *Set) Drives() []*Drive { return sorted(s.drives) }

// Changers are all models of changers, in order of name.
func (s *Set) Changers() []*Changer { return sorted(s.changers) }

func sorted[T any](m map[string]*T) []*T {
	list := make([]*T, 0, len(m))
	for _, name := range slices.SortedFunc(maps.Keys(m), compareNames) {
		list = append(list, m[name])
	}
	return list
}

// compareNames puts LTO-2 before LTO-10.
func compareNames(a, b string) int {
	cut := func(s string) (string, int) {
		head := strings.TrimRight(s, "0123456789")
		n := 0
		for _, c := range s[len(head):] {
			n = min(n*10+int(c-'0'), 1<<30)
		}
		return head, n
	}
	ha, na := cut(a)
	hb, nb := cut(b)
	return cmp.Or(strings.Compare(ha, hb), na-nb, strings.Compare(a, b))
}

// CleaningPrefix is how the barcode of a cleaning cartridge begins.
const CleaningPrefix = "CLN"

// ByBarcode is the kind of cartridge that a barcode says by its last two characters, and whether
// it is a WORM one.
func (s *Set) ByBarcode(barcode string) (m *Media, worm, ok bool) {
	if len(barcode) < 3 {
		return nil, false, false
	}
	suffix := barcode[len(barcode)-2:]
	cleaning := strings.HasPrefix(barcode, CleaningPrefix)
	for _, m := range s.ordered {
		switch {
		case m.Cleaning != cleaning:
		case m.Suffix == suffix || slices.Contains(m.Suffixes, suffix):
			return m, false, true
		case m.WORMSuffix == suffix:
			return m, true, true
		}
	}
	return nil, false, false
}

// Support says what d can do with cartridges of kind media; nil: it cannot load them.
func (d *Drive) Support(media string) *Support {
	for i := range d.Supports {
		if d.Supports[i].Media == media {
			return &d.Supports[i]
		}
	}
	return nil
}

// loader gathers the models of all files, then makes values of them, since a base may stand
// in another file.
type loader struct {
	r         reader
	media     kind[Media]
	drives    kind[Drive]
	changers  kind[Changer]
	densities kind[Density]
}

// source is where a model is written.
type source struct {
	file string
	node ast.Node
	at   Pos
	base string
}

// kind is the models of one kind.
type kind[T any] struct {
	word    string // "drive"
	sources map[string]source
	made    map[string]*T
	where   map[string]places
	broken  map[string]bool // those that have no base to begin with: what they lack says nothing
}

func newKind[T any](word string) kind[T] {
	return kind[T]{word: word, sources: map[string]source{}, made: map[string]*T{}, where: map[string]places{}, broken: map[string]bool{}}
}

func newLoader() *loader {
	return &loader{media: newKind[Media]("media"), drives: newKind[Drive]("drive"),
		changers: newKind[Changer]("changer"), densities: newKind[Density]("density")}
}

// files gathers the .yaml files below root. show says how faults name a file.
func (l *loader) files(from fs.FS, root string, show func(string) string) error {
	return fs.WalkDir(from, root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		l.file(show(name), text)
		return nil
	})
}

// file gathers the models of one file: a mapping of kinds, each one model or a list.
func (l *loader) file(name string, text []byte) {
	r := &l.r
	r.file = name
	root := r.root(text)
	if root == nil {
		return
	}
	pairs, _ := r.pairs(root, "the file")
	for _, p := range pairs {
		nodes := []ast.Node{p.Value}
		if s, ok := p.Value.(*ast.SequenceNode); ok {
			nodes = s.Values
		}
		for _, n := range nodes {
			switch key, _ := scalar(p.Key); key {
			case "media":
				l.media.gather(r, n, "name")
			case "drive":
				l.drives.gather(r, n, "name")
			case "changer":
				l.changers.gather(r, n, "name")
			case "density":
				l.densities.gather(r, n, "id")
			default:
				r.fault(at(p.Key), "the file has no key %q; it has drive, changer, media, density", key)
			}
		}
	}
}

// gather notes the model n, whose name stands at key.
func (k *kind[T]) gather(r *reader, n ast.Node, key string) {
	first := reader{file: r.file} // object tells of duplicate keys, when the model is made
	pairs, ok := first.pairs(n, "a "+k.word)
	if !ok {
		r.faults = append(r.faults, first.faults...)
		return
	}
	s := source{file: r.file, node: n, at: at(n)}
	name := ""
	for _, p := range pairs {
		switch word, _ := scalar(p.Key); word {
		case key:
			name, _ = scalar(p.Value)
			s.at = at(p.Value)
		case "base":
			s.base, _ = scalar(p.Value)
		}
	}
	if name == "" {
		r.fault(s.at, "a %s needs the key %q", k.word, key)
		return
	}
	if first, dup := k.sources[name]; dup {
		r.fault(s.at, "there is a %s %q already, in %s:%d", k.word, name, first.file, first.at.Line)
		return
	}
	k.sources[name] = s
}

// make reads the models, each over its base.
func (k *kind[T]) make(r *reader) {
	for _, name := range slices.Sorted(maps.Keys(k.sources)) {
		k.one(r, name, nil)
	}
}

// one is the model name. chain are the models that it is a base of.
func (k *kind[T]) one(r *reader, name string, chain []string) *T {
	if v, ok := k.made[name]; ok {
		return v
	}
	s := k.sources[name]
	var v T
	where := places{}
	if s.base != "" {
		_, known := k.sources[s.base]
		switch {
		case !known:
			r.faultIn(s.file, s.at, "%s %q: there is no %s %q to begin with", k.word, name, k.word, s.base)
			k.broken[name] = true
		case s.base == name || slices.Contains(chain, s.base):
			r.faultIn(s.file, s.at, "%s %q is its own base", k.word, name)
			k.broken[name] = true
		default:
			v = *k.one(r, s.base, append(chain, name))
			clearOwn(reflect.ValueOf(&v).Elem())
			k.broken[name] = k.broken[s.base]
		}
	}
	r.file = s.file
	maps.Copy(where, r.object(s.node, k.word+" "+name, reflect.ValueOf(&v).Elem()))
	where[""] = s.at
	k.made[name], k.where[name] = &v, where
	return &v
}

// clearOwn clears what a model does not inherit.
func clearOwn(v reflect.Value) {
	for _, name := range []string{"Base", "Abstract", "Description"} {
		if f := v.FieldByName(name); f.IsValid() {
			f.SetZero()
		}
	}
}
