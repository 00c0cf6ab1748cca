package personality

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBuiltin(t *testing.T) {
	l, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.set(); err != nil {
		t.Fatal(err)
	}
}

func TestNamesInFiles(t *testing.T) {
	for _, d := range Builtin().Drives() {
		if _, err := os.Stat(filepath.Join("data/drives", d.Name+".yaml")); err != nil {
			t.Errorf("drive %s: %v", d.Name, err)
		}
	}
	for _, c := range Builtin().Changers() {
		if _, err := os.Stat(filepath.Join("data/changers", c.Name+".yaml")); err != nil {
			t.Errorf("changer %s: %v", c.Name, err)
		}
	}
}

func TestByBarcode(t *testing.T) {
	for _, c := range []struct {
		barcode, media string
		worm           bool
	}{
		{"TG0001L8", "LTO-8", false},
		{"TG0001LY", "LTO-8", true},
		{"TG0001M8", "LTO-M8", false},
		{"CLN001L1", "LTO-Cleaning", false},
		{"CLN001CU", "LTO-Cleaning", false},
		{"TG0001CU", "", false},
		{"TG0001", "", false},
		{"L8", "", false},
	} {
		m, worm, ok := Builtin().ByBarcode(c.barcode)
		if !ok {
			m = &Media{}
		}
		if m.Name != c.media || worm != c.worm {
			t.Errorf("%s is %q, WORM %v", c.barcode, m.Name, worm)
		}
	}
}
