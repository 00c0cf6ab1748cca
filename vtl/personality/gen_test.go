package personality

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -count=1 -run ^TestModelTable$ -update .

const modelTable = "../../docs/models.md"

// TestModelTable keeps docs/models.md as the data files are; with -update it writes it.
func TestModelTable(t *testing.T) {
	want := modelsDoc(Builtin())
	if *update {
		if err := os.WriteFile(modelTable, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(modelTable)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/models.md is stale: run go generate ./vtl/personality")
	}
}

func modelsDoc(s *Set) string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	p(`# Models

What a tape library can be made of: the names that ` + "`model`" + ` takes in the configuration. Written by ` + "`go generate ./vtl/personality`" + ` from
the data files in vtl/personality/data; your own go into a directory of .yaml files and may begin with any of these (` + "`base`" + `).

## Drives

| model | INQUIRY | writes | reads only | partitions | features |
|---|---|---|---|---|---|
`)
	for _, d := range s.Drives() {
		var write, read, features []string
		for _, u := range d.Supports {
			m, _ := s.Media(u.Media)
			switch {
			case m.Cleaning:
			case u.Write:
				write = append(write, u.Media)
			default:
				read = append(read, u.Media)
			}
		}
		for _, f := range []struct {
			name string
			has  bool
		}{
			{"encryption", d.Encryption}, {"compression", d.Compression},
			{"protection by Reed-Solomon", slices.Contains(d.Protection, 1)}, {"by CRC32C", slices.Contains(d.Protection, 2)},
			{"append only", d.AppendOnly}, {"RAO", d.RAO}, {"display", d.Display},
		} {
			if f.has {
				features = append(features, f.name)
			}
		}
		p("| %s | %s `%s` %s | %s | %s | %d | %s |\n", d.Name, d.Vendor, d.Product, d.Revision, strings.Join(write, ", "), strings.Join(read, ", "),
			d.Partitions, strings.Join(features, ", "))
	}
	p(`
## Changers

Element addresses are those of the first element of each type.

| model | machine | INQUIRY | picker | slots | mailslots | drives |
|---|---|---|---|---|---|---|
`)
	for _, c := range s.Changers() {
		p("| %s | %s | %s `%s` %s | %d | %d from %d | %d from %d | %d from %d |\n", c.Name, c.Description, c.Vendor, c.Product, c.Revision,
			c.Picker, c.MaxSlots, c.Slot, c.MaxMailslots, c.Mailslot, c.MaxDrives, c.Drive)
	}
	p(`
## Cartridges

The last two characters of a barcode say which it is. Barcodes of cleaning cartridges begin with %s.

| media | barcode | WORM | capacity | density | medium type | partitions | length | wraps |
|---|---|---|---|---|---|---|---|---|
`, CleaningPrefix)
	media := s.AllMedia()
	slices.SortStableFunc(media, func(a, b *Media) int {
		clean := func(m *Media) int {
			if m.Cleaning {
				return 1
			}
			return 0
		}
		return cmp.Compare(clean(a), clean(b))
	})
	for _, m := range media {
		if m.Cleaning {
			p("| %s | %s | | | | | | | |\n", m.Name, strings.Join(append([]string{m.Suffix}, m.Suffixes...), ", "))
			continue
		}
		p("| %s | %s | %s | %s | %02Xh | %02Xh | %d | %d m | %d |\n", m.Name, m.Suffix, m.WORMSuffix, capacity(m.Capacity), m.Density, m.Type,
			m.Partitions, m.Length, m.Wraps)
	}
	b.WriteString(ownModels)
	for _, o := range []struct{ kind, typ string }{{"drive", "Drive"}, {"changer", "Changer"}, {"media", "Media"}, {"density", "Density"},
		{"supports", "Support"}, {"timing of a drive", "Timing"}, {"timing of a changer", "MoveTiming"}} {
		p("\n### %s\n\n| key | value | |\n|---|---|---|\n", o.kind)
		for _, k := range keysOf(o.typ) {
			p("| `%s` | %s | %s |\n", k.name, k.typ, k.doc)
		}
	}
	return b.String()
}

// ownModels is what stands before the keys; TestOwnModels loads its example.
const ownModels = `
## Models of your own

A directory of .yaml files, ` + "`personalities`" + ` in the configuration of a library, adds models to these. A file has ` + "`drive`" + `,
` + "`changer`, `media` and `density`" + `, each one mapping or a list; what a model does not say it has from its ` + "`base`" + `. Mistakes are
reported with file, line and column.

` + "```yml" + `
drive:
  name: acme-lto8
  base: ibm-ult3580-td8
  description: An LTO-8 drive under a name of ours
  vendor: ACME
  product: SUPERTAPE-8
  revision: "0100"
  vpd: {C1: "{serial:12} 00*12"}     # hexadecimal digits, 'text', a count, and facts of the drive
  timing: {load: 5s, rate: 300MB}
changer: {name: acme-library, base: stk-l700, vendor: ACME, product: LIBRARY}
` + "```" + `

Capacities are bytes or have a unit: kB, MB, GB and TB are powers of 1000, KiB to TiB of 1024.
`

// key is a key of a data file.
type key struct{ name, typ, doc string }

// keysOf are the keys of a type of model.go, with their comments.
func keysOf(typ string) (list []key) {
	f, err := parser.ParseFile(token.NewFileSet(), "model.go", nil, parser.ParseComments)
	if err != nil {
		panic(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != typ {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			if field.Tag == nil {
				continue
			}
			name := reflect.StructTag(strings.Trim(field.Tag.Value, "`")).Get("yaml")
			if name == "-" {
				continue
			}
			doc := strings.Join(strings.Fields(field.Doc.Text()+" "+field.Comment.Text()), " ")
			if first, rest, ok := strings.Cut(doc, ": "); ok && first == field.Names[0].Name {
				doc = rest
			}
			list = append(list, key{name, keyTypes[types.ExprString(field.Type)], strings.ReplaceAll(doc, "|", "or")})
		}
		return false
	})
	return list
}

var keyTypes = map[string]string{"string": "text", "bool": "true or false", "int": "number", "uint8": "number", "uint16": "number",
	"uint32": "number", "int64": "bytes", "time.Duration": "time", "Template": "bytes with facts", "Timing": "mapping", "MoveTiming": "mapping",
	"map[uint8]Template": "mapping of page codes", "map[string]Bytes": "mapping of page codes", "map[string]uint32": "mapping of seconds",
	"[]string": "list", "[]uint8": "list", "[]Support": "list"}

func TestOwnModels(t *testing.T) {
	_, rest, _ := strings.Cut(ownModels, "```yml\n")
	example, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("there is no example")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "acme.yaml"), []byte(example), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err != nil {
		t.Error(err)
	}
	for _, typ := range []string{"Drive", "Changer", "Media", "Density", "Support", "Timing", "MoveTiming"} {
		for _, k := range keysOf(typ) {
			if k.typ == "" {
				t.Errorf("%s has the key %s, of a type that docs/models.md has no word for", typ, k.name)
			}
		}
	}
}

func capacity(n int64) string {
	if n%1e12 == 0 {
		return fmt.Sprintf("%d TB", n/1e12)
	}
	return fmt.Sprintf("%d GB", n/1e9)
}
