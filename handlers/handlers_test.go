package handlers_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/handlers"
)

// TestKinds: the table is what the documentation is made of, so it is complete and
// its defaults are values that its own check accepts.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range handlers.Kinds() {
		if k.Name == "" || k.Doc == "" || seen[k.Name] {
			t.Errorf("kind %+v: no name, no doc, or a second one", k)
		}
		seen[k.Name] = true
		if got, ok := handlers.Find(k.Name); !ok || got.Name != k.Name {
			t.Errorf("Find(%q) = %v, %t", k.Name, got.Name, ok)
		}
		var names []string
		for _, key := range k.Keys {
			if key.Name == "" || key.Doc == "" || slices.Contains(names, key.Name) {
				t.Errorf("%s: key %+v: no name, no doc, or a second one", k.Name, key)
			}
			names = append(names, key.Name)
			if (key.Type == handlers.Enum) != (len(key.Values) > 0) {
				t.Errorf("%s: %s has values %v", k.Name, key.Name, key.Values)
			}
			if key.Required && key.Default != nil {
				t.Errorf("%s: %s is required and has a default", k.Name, key.Name)
			}
			if key.Default != nil {
				err := k.Check(map[string]any{key.Name: key.Default})
				if err != nil && strings.Contains(err.Error(), key.Name+":") {
					t.Errorf("%s: the default of %s: %v", k.Name, key.Name, err)
				}
			}
		}
	}
	if got := handlers.Names(); !slices.Equal(got, []string{"file", "mem", "null"}) {
		t.Errorf("Names() = %v", got)
	}
	if _, ok := handlers.Find("tape"); ok {
		t.Error("found a kind that does not exist")
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		kind   string
		values map[string]any
		want   []string // parts of the error; none: no error
	}{
		{"mem", map[string]any{"size": int64(1 << 20)}, nil},
		{"mem", map[string]any{}, []string{`mem needs the key "size"`}},
		{"mem", map[string]any{"size": int64(0)}, []string{"size: ", "above zero"}},
		{"mem", map[string]any{"size": int64(-1)}, []string{"size: ", "above zero"}},
		{"mem", map[string]any{"size": 1 << 20}, []string{"size: ", "is not a size"}},
		{"mem", map[string]any{"size": "1GiB"}, []string{"size: ", "is not a size"}},
		{"mem", map[string]any{"size": int64(1), "protection": int64(3)}, nil},
		{"mem", map[string]any{"size": int64(1), "protection": int64(4)}, []string{`protection: "4" is not one of 0, 1, 2, 3`}},
		{"null", map[string]any{"size": int64(1), "protection": int64(1)}, []string{`null has no key "protection"`}},
		{"mem", map[string]any{"size": int64(1), "path": "/x"}, []string{`mem has no key "path"; its keys are size`}},
		{"file", map[string]any{"path": "/x", "thin": "yes"}, []string{"thin: yes is not a bool"}},
		{"file", map[string]any{"path": ""}, []string{"path: empty"}},
		{"file", map[string]any{"pth": "/x", "thn": true},
			[]string{`no key "pth"`, `no key "thn"`, `needs the key "path"`, "path, size, thin, direct, read_only"}},
	} {
		k, _ := handlers.Find(c.kind)
		err := k.Check(c.values)
		if (err == nil) != (len(c.want) == 0) {
			t.Errorf("%s %v: %v", c.kind, c.values, err)
			continue
		}
		for _, part := range c.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s %v: %q does not contain %q", c.kind, c.values, err, part)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for kind, v := range map[string]map[string]any{
		"file": {"path": filepath.Join(dir, "disk"), "size": int64(1 << 20)},
		"mem":  {"size": int64(1 << 20)},
		"null": {"size": int64(1 << 40)},
	} {
		k, _ := handlers.Find(kind)
		s, err := k.Open("disk0", v, dir)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if got := s.Info().Size; got != v["size"] {
			t.Errorf("%s: size %d, want %d", kind, got, v["size"])
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if _, err := k.Open("disk0", map[string]any{"nonsense": true}, dir); err == nil || !strings.Contains(err.Error(), "disk0") {
			t.Errorf("%s with an unknown key: %v", kind, err)
		}
	}
}

// TestFileKeys: each key reaches the store.
func TestFileKeys(t *testing.T) {
	k, _ := handlers.Find("file")
	dir := t.TempDir()
	open := func(v map[string]any) error {
		s, err := k.Open("disk0", v, dir)
		if err == nil {
			i := s.Info()
			if i.ReadOnly != (v["read_only"] == true) || (i.Align > 1) != (v["direct"] == true) {
				t.Errorf("%v: %+v", v, i)
			}
			if v["thin"] == false && i.Unmap.String() != "no" {
				t.Errorf("%v: %+v", v, i)
			}
			err = s.Close()
		}
		return err
	}
	path := filepath.Join(dir, "disk")
	for _, v := range []map[string]any{
		{"path": path, "size": int64(1 << 20), "thin": false},
		{"path": path, "direct": true},
		{"path": path, "read_only": true},
	} {
		if err := open(v); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
	if err := open(map[string]any{"path": filepath.Join(dir, "absent")}); err == nil {
		t.Error("opened a file that does not exist")
	}
}
