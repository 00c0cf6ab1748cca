package statedir

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRecordBytes(t *testing.T) {
	// The layout of docs/formats/state.md, with the CRC computed apart from this code.
	want := "5447545354415445" + "0001" + "0003" + "00000002" + "5a2371a4" + "6869"
	b, err := encode(Saved, []byte("hi"))
	if err != nil || hex.EncodeToString(b) != want {
		t.Fatalf("%x %v, want %s", b, err, want)
	}
}

func TestSaveLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(Saved, "devices/a/saved/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, v := range []string{"one", "", "three"} {
		if err := d.Save(Saved, "devices/a/saved/x", []byte(v)); err != nil {
			t.Fatal(err)
		}
		if b, err := d.Load(Saved, "devices/a/saved/x"); err != nil || string(b) != v {
			t.Fatalf("%q %v", b, err)
		}
	}
	if _, err := d.Load(Ports, "devices/a/saved/x"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another kind: %v", err)
	}
	if err := d.Save(Saved, "big", make([]byte, MaxPayload+1)); err == nil {
		t.Error("a record above the bound was saved")
	}
	if _, err := Open(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck
	if b, err := d.Load(Saved, "devices/a/saved/x"); err != nil || string(b) != "three" {
		t.Errorf("after reopening: %q %v", b, err)
	}
}

func TestNames(t *testing.T) {
	for _, s := range []string{"", ".", "..", ".a", "a/../b", "a//b", "/a", "a.new", "ä", "a b", strings.Repeat("a", 65)} {
		if _, err := (&Dir{path: "/x"}).file(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// TestDamage flips every bit and cuts at every length: never another value.
func TestDamage(t *testing.T) {
	good, _ := encode(Identity, []byte(`{"serial":"x"}`))
	for i := range good {
		if _, err := decode(Identity, good[:i]); err == nil {
			t.Errorf("cut to %d bytes and taken", i)
		}
		for bit := range 8 {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			if _, err := decode(Identity, b); err == nil {
				t.Errorf("bit %d of byte %d flipped and taken", bit, i)
			}
		}
	}
}

// cutSystem stops at step n, before or halfway through it, as a crash would.
type cutSystem struct {
	osSystem
	n    int
	half bool
	log  []string
}

var errCut = errors.New("cut")

func (c *cutSystem) step(what string) bool {
	c.log = append(c.log, what)
	c.n--
	return c.n < 0
}

func (c *cutSystem) write(path string, b []byte) error {
	if c.step("write") {
		if c.half {
			_ = os.WriteFile(path, b[:len(b)/2], 0o600)
		}
		return errCut
	}
	return c.osSystem.write(path, b)
}

func (c *cutSystem) rename(from, to string) error {
	if c.step("rename") {
		if c.half {
			_ = os.Rename(from, to)
		}
		return errCut
	}
	return c.osSystem.rename(from, to)
}

func (c *cutSystem) sync(path string) error {
	if c.step("sync " + filepath.Base(path)) {
		return errCut
	}
	return c.osSystem.sync(path)
}

// TestCut interrupts a Save at each step: the next run finds the old value or the new
// one, and once Save has said nil, the new one.
func TestCut(t *testing.T) {
	for _, half := range []bool{false, true} {
		for n := 0; ; n++ {
			dir := filepath.Join(t.TempDir(), "state")
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Save(Saved, "a/v", []byte("old")); err != nil {
				t.Fatal(err)
			}
			cut := &cutSystem{n: n, half: half}
			d.sys = cut
			saveErr := d.Save(Saved, "a/v", []byte("the new value"))
			_ = d.Close()

			if d, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			b, err := d.Load(Saved, "a/v")
			if err != nil || !bytes.Equal(b, []byte("old")) && !bytes.Equal(b, []byte("the new value")) {
				t.Fatalf("cut at step %d (%v): %q %v", n, cut.log, b, err)
			}
			if saveErr == nil && string(b) == "old" {
				t.Fatalf("saved, and yet %q", b)
			}
			if err := d.Save(Saved, "a/v", []byte("next")); err != nil {
				t.Fatalf("after a cut at step %d: %v", n, err)
			}
			_ = d.Close()
			if saveErr == nil {
				// The order that durability rests on.
				if want := []string{"write", "sync v.new", "rename", "sync a"}; !slices.Equal(cut.log, want) {
					t.Errorf("steps %v, want %v", cut.log, want)
				}
				break
			}
		}
	}
}

func TestNewDirectoriesAreDurable(t *testing.T) {
	cut := &cutSystem{n: 1000}
	d, err := open(filepath.Join(t.TempDir(), "state"), cut)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck
	cut.log = nil
	if err := d.Save(Saved, "devices/a/v", nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"sync state", "sync devices", "write", "sync v.new", "rename", "sync a"}; !slices.Equal(cut.log, want) {
		t.Errorf("steps %v, want %v", cut.log, want)
	}
}

func FuzzDecode(f *testing.F) {
	good, _ := encode(Saved, []byte("value"))
	f.Add(good)
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(Saved, b)
		if err != nil {
			return
		}
		again, err := encode(Saved, p)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes to %x, which encodes to %x (%v)", b, p, again, err)
		}
	})
}
