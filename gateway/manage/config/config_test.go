package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/core/scsi"
)

var update = flag.Bool("update", false, "write the golden files anew")

var testKinds = []Kind{
	{Name: "file", Keys: []Key{
		{Name: "path", Type: Path, Required: true, Doc: "The file. It is created."},
		{Name: "size", Type: Size},
		{Name: "block_size", Type: Enum, Values: []string{"512", "4096"}},
		{Name: "thin", Type: Bool, Default: true},
		{Name: "read_only", Type: Bool, Default: false},
	}},
	{Name: "mem", Keys: []Key{{Name: "size", Type: Size, Required: true, Doc: "The size."}, {Name: "level", Type: Int}, {Name: "note", Type: String}}},
	{Name: "null", Keys: []Key{{Name: "size", Type: Size, Required: true, Doc: "The size."}}},
}

// testCollections are shelves, each of some boxes.
var testCollections = []Collection{{Key: "shelves", Noun: "shelf", Doc: "Shelves of boxes.", TargetDoc: "A shelf instead of `luns`.",
	Keys: []Key{
		{Name: "path", Type: Path, Required: true, Doc: "Where it stands."},
		{Name: "colour", Type: Enum, Values: []string{"red", "green"}, Default: "red"},
		{Name: "boxes", Type: List, Required: true, Doc: "The boxes.", Elem: &Key{Name: "box", Type: Map, Short: "model", Keys: []Key{
			{Name: "model", Type: Enum, Required: true, Doc: "The model.", Values: []string{"b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "big-box"}},
			{Name: "count", Type: Int, Default: int64(1)}}}},
		{Name: "labels", Type: List, Elem: &Key{Name: "label", Type: String, Check: func(v any) error {
			if v == "bad" {
				return errors.New("a bad label")
			}
			return nil
		}}},
	},
	Members: func(e *Entry) (names []string) {
		for i := range e.Values["boxes"].([]Item) {
			names = append(names, fmt.Sprintf("%s.%d", e.Name, i))
		}
		return names
	},
	Check: func(e *Entry, fault func(Pos, string, ...any)) {
		if n := len(e.Values["boxes"].([]Item)); n > 3 {
			fault(e.Where("boxes"), "%d boxes; 3 are the most", n)
		}
	},
}}

var secrets = map[string]string{
	"/etc/t/joe.secret":   "a secret of joe\n",
	"/etc/t/same.secret":  "a secret of joe\r\n",
	"/etc/t/short.secret": "short",
	"/run/cred/tg":        "the target's own",
}

var environ = map[string]string{"CREDENTIALS_DIRECTORY": "/run/cred", "JANE": "a secret of jane"}

func options() Options {
	return Options{Kinds: testKinds, Collections: testCollections, Dir: "/etc/t",
		Getenv: func(s string) string { return environ[s] },
		ReadFile: func(path string) ([]byte, error) {
			if s, ok := secrets[path]; ok {
				return []byte(s), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}}
}

// TestFaults reads each testdata/*.yaml and compares all its faults with the golden
// file beside it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := "no faults\n"
			_, err = Parse(name, text, options())
			if f := (Faults)(nil); errors.As(err, &f) {
				got = f.Error() + "\n"
			} else if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(path, ".yaml") + ".faults"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestModel(t *testing.T) {
	text, err := os.ReadFile("testdata/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse("good.yaml", text, options())
	if err != nil {
		t.Fatal(err)
	}
	if m.StateDir != "/etc/t/state" || m.Memory != 1<<30 || m.ISCSI.Sessions != 100 {
		t.Errorf("%+v", m)
	}
	if l := m.API.Listen; len(l) != 2 || l[0].Address != "/etc/t/state/targate.sock" || l[1].Network != "tcp" {
		t.Errorf("api %v", l)
	}
	if p := m.ISCSI.Portals; len(p) != 2 || p[0].Listen != "127.0.0.1:3260" || p[1].Announce != "san.example:13260" || p[1].Tag != 7 {
		t.Errorf("portals %+v", p)
	}
	if a := m.ALUA; a == nil || !a.Implicit || a.Explicit || len(a.Groups) != 2 ||
		a.Groups[0].Tag != 7 || a.Groups[0].State != alua.NonOptimized || !a.Groups[0].Preferred ||
		a.Groups[1].Tag != 1 || a.Groups[1].State != alua.Optimized || a.Groups[1].Preferred {
		t.Errorf("alua %+v", a)
	}
	d := m.Devices[0]
	if d.Kind != "file" || d.Values["path"] != "/etc/t/disk0.img" || d.Values["size"] != int64(1<<30) ||
		d.Values["block_size"] != int64(512) || d.Values["thin"] != true || d.Values["read_only"] != false || d.At != (Pos{8, 12}) {
		t.Errorf("disk0 %+v", d)
	}
	if m.Devices[2].Kind != "null" {
		t.Errorf("null0 %+v", m.Devices[2])
	}
	tg := m.Targets[0]
	if !slices.EqualFunc(tg.LUNs, []LUN{{LUN: 0, Device: "disk0"}, {LUN: 1, Device: "null0"}},
		func(a, b LUN) bool { return a.LUN == b.LUN && a.Device == b.Device && a.ReadOnly == b.ReadOnly }) {
		t.Errorf("luns %+v", tg.LUNs)
	}
	if r := tg.Redirect; len(tg.Portals) != 1 || r == nil || r.Address != "[2001:db8::1]:3260" || !r.Permanent {
		t.Errorf("portals %v, redirect %+v", tg.Portals, r)
	}
	if g := tg.Groups[0]; g.Name != "db" || g.LUNs[0].LUN != scsi.LUN(16383) || !g.LUNs[0].ReadOnly {
		t.Errorf("group %+v", g)
	}
	c := tg.CHAP
	if string(c.Users[0].Secret) != "a secret of joe" || string(c.Users[1].Secret) != "a secret of jane" ||
		string(c.Mutual.Secret) != "the target's own" {
		t.Errorf("chap %+v", c)
	}
}

// TestCollection reads entries of a collection, and targets that show them.
func TestCollection(t *testing.T) {
	m, err := Parse("x.yaml", []byte(`
version: 1
iscsi: {portals: ["127.0.0.1:3260"]}
shelves:
  - {name: s, path: ./s, boxes: [b01, {model: big-box, count: 2}], labels: [x]}
targets:
  - {iqn: "iqn.2026-11.x:a", shelf: s}
  - {iqn: "iqn.2026-11.x:b", groups: [{name: g, initiators: ["*"], shelf: {name: s, read_only: true}}]}
  - {iqn: "iqn.2026-11.x:c", luns: {5: s.1}}
`), options())
	if err != nil {
		t.Fatal(err)
	}
	e := m.Entries[0]
	boxes := e.Values["boxes"].([]Item)
	big := boxes[1].Value.(Mapping)
	if e.Collection != "shelf" || e.Name != "s" || e.Values["path"] != "/etc/t/s" || e.Values["colour"] != "red" || len(boxes) != 2 ||
		boxes[0].Value.(Mapping).Values["model"] != "b01" || boxes[0].Value.(Mapping).Values["count"] != int64(1) ||
		big.Values["count"] != int64(2) || big.Where("count") != (Pos{5, 63}) || boxes[1].At != (Pos{5, 39}) || !slices.Equal(e.Members, []string{"s.0", "s.1"}) {
		t.Errorf("%+v", e)
	}
	for i, want := range [][]LUN{{{0, "s.0", false, Pos{7, 37}}, {1, "s.1", false, Pos{7, 37}}}, nil, {{5, "s.1", false, Pos{9, 40}}}} {
		if !slices.Equal(m.Targets[i].LUNs, want) || m.Targets[i].HasLUNs != (want != nil) {
			t.Errorf("target %d: %+v", i, m.Targets[i])
		}
	}
	if l := m.Targets[1].Groups[0].LUNs; len(l) != 2 || l[1].Device != "s.1" || !l[1].ReadOnly {
		t.Errorf("group: %+v", l)
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "512": 512, "1KiB": 1024, "4 MiB": 4 << 20, "7EiB": 7 << 60, "9223372036854775807": 1<<63 - 1,
	} {
		if n, err := ParseSize(s); n != want || err != nil {
			t.Errorf("%q is %d (%v)", s, n, err)
		}
	}
	for _, s := range []string{"", "-1", "1GB", "1G", "1.5GiB", "8EiB", "9223372036854775808", "GiB", "0x10", "1_000", "1GiBKiB", "１"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
	if _, err := ParseSize("10GB"); !strings.Contains(fmt.Sprint(err), "did you mean 10GiB?") {
		t.Error(err)
	}
	for _, n := range []int64{0, 1, 512, 1024, 1536, 1 << 40, 3 << 60, 1<<63 - 1} {
		if got, err := ParseSize(FormatSize(n)); got != n || err != nil {
			t.Errorf("%d is written %q and read %d (%v)", n, FormatSize(n), got, err)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{":1", "127.0.0.1:1", true},
		{":1", "[::1]:1", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"[::]:1", "127.0.0.1:1", true},
		{"[::]:1", "0.0.0.0:1", true},
		{"[::ffff:127.0.0.1]:1", "127.0.0.1:1", true},
		{"[0:0::1]:1", "[::1]:1", true},
		{"a:1", "b:1", false},
		{"A:1", "a:1", true},
		{":1", "a:1", true},
	} {
		if Overlap(c.a, c.b) != c.want || Overlap(c.b, c.a) != c.want {
			t.Errorf("%s and %s overlap: %v", c.a, c.b, !c.want)
		}
	}
}

// TestReference checks that every link of the reference has a heading.
func TestReference(t *testing.T) {
	s := Reference(testKinds, testCollections)
	for part := range strings.SplitSeq(s, "](#") {
		anchor, _, ok := strings.Cut(part, ")")
		if part == s || !ok || strings.ContainsAny(anchor, " |") {
			continue
		}
		heading := strings.ReplaceAll(anchor, "-", " ")
		if !strings.Contains(strings.ToLower(s), "# "+heading+"\n") {
			t.Errorf("no heading for %q", anchor)
		}
	}
	for _, want := range []string{"| `portals` | list | required |", "### handler: mem", "## shelves", "### box\n\nThe value of `model`, or a mapping:", "| `shelf` | name, or mapping |"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in the reference", want)
		}
	}
}

// FuzzParse wants a model or faults of every text, each fault inside the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("x.yaml", text, options())
		if err == nil {
			if m == nil || len(m.ISCSI.Portals) == 0 || m.StateDir == "" || m.Memory < minMemory {
				t.Fatalf("%+v", m)
			}
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		for _, x := range faults {
			if x.Line < 1 || x.Col < 1 || x.Message == "" || x.File != "x.yaml" {
				t.Fatalf("%+v", x)
			}
		}
	})
}
