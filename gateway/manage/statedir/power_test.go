package statedir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// op is one step that a recorder saw.
type op struct {
	kind     string // mkdir, write, sync, rename, and said for the return of a Save
	path, to string // below the root
	data     []byte
}

// recorder carries the steps out and keeps them.
type recorder struct {
	osSystem
	root string
	ops  []op
}

func (r *recorder) note(kind, path, to string, b []byte) {
	rel := func(p string) string {
		if p == "" {
			return ""
		}
		s, err := filepath.Rel(r.root, p)
		if err != nil {
			panic(err)
		}
		return s
	}
	r.ops = append(r.ops, op{kind, rel(path), rel(to), bytes.Clone(b)})
}

func (r *recorder) mkdir(path string) error {
	r.note("mkdir", path, "", nil)
	return r.osSystem.mkdir(path)
}

func (r *recorder) write(path string, b []byte) error {
	r.note("write", path, "", b)
	return r.osSystem.write(path, b)
}

func (r *recorder) sync(path string) error {
	r.note("sync", path, "", nil)
	return r.osSystem.sync(path)
}

func (r *recorder) rename(from, to string) error {
	r.note("rename", from, to, nil)
	return r.osSystem.rename(from, to)
}

// node is a directory or file of a simulated disk: what programs see, and what a loss of
// power leaves for sure.
type node struct {
	dir           bool
	data, durable []byte
	names, kept   map[string]*node // of a directory
}

func newDir() *node { return &node{dir: true, names: map[string]*node{}, kept: map[string]*node{}} }

func (n *node) at(path string) *node {
	if path == "." {
		return n
	}
	if parent := n.at(filepath.Dir(path)); parent != nil {
		return parent.names[filepath.Base(path)]
	}
	return nil
}

func (n *node) do(o op) {
	parent, base := n.at(filepath.Dir(o.path)), filepath.Base(o.path)
	switch o.kind {
	case "mkdir":
		parent.names[base] = newDir()
	case "write":
		f := parent.names[base]
		if f == nil {
			f = &node{}
			parent.names[base] = f
		}
		f.data = o.data
	case "rename":
		n.at(filepath.Dir(o.to)).names[filepath.Base(o.to)] = parent.names[base]
		delete(parent.names, base)
	case "sync":
		f := n.at(o.path)
		f.durable, f.kept = f.data, maps.Clone(f.names)
	}
}

// loss says what a loss of power takes of what was not synced.
type loss struct{ names, data, half bool }

// put writes below path what is left of n.
func (n *node) put(t *testing.T, path string, l loss) {
	t.Helper()
	if !n.dir {
		b := n.data
		if l.data {
			b = n.durable
		}
		if l.half && !bytes.Equal(n.data, n.durable) {
			b = n.data[:len(n.data)/2]
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	names := n.names
	if l.names {
		names = n.kept
	}
	for name, child := range names {
		child.put(t, filepath.Join(path, name), l)
	}
}

// TestPowerLoss cuts the power after each step of a few Saves, with everything lost that
// was not synced, or only names, or only data, or half of a file's data. The next run finds
// what the last Save said, or what the next would say; never an error or a mixture.
func TestPowerLoss(t *testing.T) {
	root := t.TempDir()
	rec := &recorder{root: root}
	d, err := open(filepath.Join(root, "state"), rec)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck
	const a, b = "devices/a/saved/x", "devices/b/saved/x"
	for i, name := range []string{a, a, b, a, b} {
		if err := d.Save(Saved, name, fmt.Appendf(nil, "value %d", i)); err != nil {
			t.Fatal(err)
		}
		rec.ops = append(rec.ops, op{kind: "said", path: name, data: fmt.Appendf(nil, "value %d", i)})
	}

	losses := []loss{{}, {names: true}, {data: true}, {names: true, data: true}, {half: true}, {names: true, half: true}}
	for n := range len(rec.ops) + 1 {
		disk := newDir()
		said := map[string][]byte{}
		for _, o := range rec.ops[:n] {
			if o.kind == "said" {
				said[o.path] = o.data
			} else {
				disk.do(o)
			}
		}
		next := op{} // the Save that the loss interrupts
		for _, o := range rec.ops[n:] {
			if o.kind == "said" {
				next = o
				break
			}
		}
		for _, l := range losses {
			path := t.TempDir()
			disk.put(t, path, l)
			d, err := Open(filepath.Join(path, "state"))
			if err != nil {
				t.Fatalf("step %d, %+v: %v", n, l, err)
			}
			for _, name := range []string{a, b} {
				got, err := d.Load(Saved, name)
				old, was := said[name]
				switch {
				case err == nil && was && bytes.Equal(got, old):
				case err == nil && next.path == name && bytes.Equal(got, next.data):
				case errors.Is(err, fs.ErrNotExist) && !was:
				default:
					t.Errorf("step %d, %+v: %s is %q, %v; said was %q, next %q", n, l, name, got, err, old, next.data)
				}
			}
			if err := d.Save(Saved, a, []byte("after")); err != nil {
				t.Errorf("step %d, %+v: %v", n, l, err)
			}
			_ = d.Close()
		}
	}
}
