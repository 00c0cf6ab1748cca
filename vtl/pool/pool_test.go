package pool

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

const one, two = "11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"

func open(t *testing.T, dir string) *Pool {
	t.Helper()
	p, err := Open(Config{Dir: dir, Models: personality.Builtin(), Log: slog.New(slog.DiscardHandler),
		Retention: cartridge.Retention{Age: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func stored(t *testing.T, id, barcode string) library.Stored {
	t.Helper()
	m, worm, ok := personality.Builtin().ByBarcode(barcode)
	if !ok {
		t.Fatal(barcode)
	}
	return library.Stored{ID: id, Barcode: barcode, Media: m, WORM: worm, Created: time.Unix(1, 0).UTC()}
}

func list(t *testing.T, p *Pool) (all []string) {
	t.Helper()
	l, err := p.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l {
		all = append(all, s.Barcode+" "+s.Media.Name+" "+filepath.Base(p.Path(s.ID)))
	}
	slices.Sort(all)
	return all
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "tapes")
	p := open(t, dir)
	want(t, list(t, p))
	small := stored(t, one, "TG0001L8")
	small.Capacity = 1 << 30
	for _, s := range []library.Stored{small, stored(t, two, "TG0002L8")} {
		if err := p.Create(s); err != nil {
			t.Fatal(err)
		}
	}
	both := []string{"TG0001L8 LTO-8 TG0001L8", "TG0002L8 LTO-8 TG0002L8"}
	want(t, list(t, p), both...)
	p = open(t, dir)
	want(t, list(t, p), both...)

	// A cartridge in use is nobody else's.
	m, err := p.Mount(one, false)
	if err != nil {
		t.Fatal(err)
	}
	if c := m.Partition(0).Capacity; c != 1<<30 {
		t.Errorf("capacity %d", c)
	}
	if err := m.Write(0, 0, make([]byte, 100), medium.Recording{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mount(one, true); !errors.Is(err, cartridge.ErrInUse) {
		t.Errorf("mounted twice: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{one: false, two: true} {
		if blank, err := p.Blank(id); err != nil || blank != want {
			t.Errorf("%s is blank: %v, %v", id, blank, err)
		}
	}

	// A label, and one whose name is taken.
	if err := os.Mkdir(filepath.Join(dir, "TG0004L8"), 0o755); err != nil {
		t.Fatal(err)
	}
	for id, barcode := range map[string]string{one: "TG0003L8", two: "TG0004L8"} {
		if err := p.Relabel(id, barcode); err != nil {
			t.Fatal(err)
		}
	}
	both = []string{"TG0003L8 LTO-8 TG0003L8", "TG0004L8 LTO-8 TG0004L8.22222222"}
	want(t, list(t, p), both...)
	want(t, list(t, open(t, dir)), both...)

	if err := p.SetWORM(two); err != nil {
		t.Fatal(err)
	}
	if i, err := cartridge.Read(p.Path(two), cartridge.Options{}); err != nil || !i.WORM {
		t.Errorf("%+v %v", i, err)
	}

	// Gone at once, and what a crash left goes at the next start.
	if err := errors.Join(p.Delete(one), p.Delete(one)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.Path(two), filepath.Join(dir, doomed+two)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Mount(two, false); !errors.Is(err, medium.ErrGone) {
		t.Errorf("mounted what is gone: %v", err)
	}
	p = open(t, dir)
	want(t, list(t, p))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

// TestDamaged lists what can be read.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	for id, barcode := range map[string]string{one: "TG0001L8", two: "TG0002L8"} {
		if err := p.Create(stored(t, id, barcode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(p.Path(one), "cartridge"), []byte("TGTCARTR, or not"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(p.Path(two))); err != nil {
		t.Fatal(err)
	}
	want(t, list(t, p), "TG0002L8 LTO-8 TG0002L8")

	// What a crash left of a Create is made again.
	if err := os.Remove(filepath.Join(p.Path(two), "cartridge")); err != nil {
		t.Fatal(err)
	}
	if err := p.Create(stored(t, "33333333-2222-4333-8444-555555555555", "TG0002L8")); err != nil {
		t.Fatal(err)
	}
	want(t, list(t, p), "TG0002L8 LTO-8 TG0002L8", "TG0002L8 LTO-8 copy")
}

// TestRetention overwrites a cartridge again and again.
func TestRetention(t *testing.T) {
	p := open(t, t.TempDir())
	if err := p.Create(stored(t, one, "TG0001L8")); err != nil {
		t.Fatal(err)
	}
	overwrite := func() {
		t.Helper()
		m, err := p.Mount(one, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Write(0, 0, make([]byte, 100), medium.Recording{}), m.WriteFilemarks(0, 1, 1), m.Close()); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(want int) {
		t.Helper()
		all, err := cartridge.Generations(p.Path(one), cartridge.Options{})
		if err != nil || len(all) != want {
			t.Errorf("%d generations, want %d: %+v %v", len(all), want, all, err)
		}
	}
	for range 4 {
		overwrite()
	}
	kept(4)
	p.Sweep(t.Context())
	kept(4) // none is an hour old

	p.SetRetention(cartridge.Retention{Count: 2})
	m, err := p.Mount(one, false)
	if err != nil {
		t.Fatal(err)
	}
	p.Sweep(t.Context()) // one in use is left alone
	kept(4)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	kept(3) // and pruned at the end
	overwrite()
	kept(3)
	p.SetRetention(cartridge.Retention{})
	reader, err := cartridge.OpenGeneration(p.Path(one), 3, cartridge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.Sweep(t.Context()) // one of whose generations is read, too
	kept(3)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	p.Sweep(t.Context())
	kept(1)
}
