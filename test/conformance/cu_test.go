package conformance

import (
	"os"
	"slices"
	"testing"
)

func TestParseCU(t *testing.T) {
	b, err := os.ReadFile("testdata/cu.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]outcome{}
	for _, o := range parseCU(string(b)) {
		got[o.test] = o
	}
	for _, c := range []struct {
		test   string
		passed bool
		skips  int
	}{
		{"CompareAndWrite.Simple", true, 2},
		{"GetLBAStatus.BeyondEol", false, 0},
		{"Inquiry.Standard", true, 0},
		{"Inquiry.BlockLimits", true, 1},
		{"Reserve6.2Initiators", false, 0},
		{"Reserve6.LUNReset", true, 0},
	} {
		o, ok := got[c.test]
		if !ok || o.passed != c.passed || len(o.skips) != c.skips {
			t.Errorf("%s: found %v, passed %v, %d skips; want %v, %d", c.test, ok, o.passed, len(o.skips), c.passed, c.skips)
		}
	}
}

func TestParseCUCrash(t *testing.T) {
	got := parseCU("Suite: S\n  Test: A ...passed\n  Test: B ...    [SKIPPED] x\n")
	if len(got) != 3 || !got[1].passed || got[2].passed {
		t.Errorf("got %+v; a test without a result did not pass", got)
	}
}

func TestParseCUAround(t *testing.T) {
	got := parseCU("    [SKIPPED] x\n\nSuite: S\n  Test: A ...    [SKIPPED] y\npassed    [SKIPPED] z\n")
	if len(got) != 2 || len(got[0].skips) != 2 || len(got[1].skips) != 1 || !got[1].passed {
		t.Errorf("got %+v; x and z belong to no test", got)
	}
}

func TestSkipList(t *testing.T) {
	list, err := parseSkips("# why\nA.x  tape,*-512  no\nB.*  mem-*  next issue\nC.x  tape,cd*  gone\n!D.x  mem-512  unfit\n")
	if err != nil {
		t.Fatal(err)
	}
	if !allow(list, "A.x", "file-512") || !allow(list, "B.y", "mem-512") {
		t.Error("a listed skip is refused")
	}
	if allow(list, "A.x", "file-4096") || allow(list, "B.y", "file-512") {
		t.Error("a skip that is not listed is allowed")
	}
	if allow(list, "D.x", "mem-512") || !unfit(list, "D.x", "mem-512") || unfit(list, "A.x", "mem-512") {
		t.Error("a test that is unfit is one that is not run")
	}
	want := []string{
		"skips.txt:2: A.x is not skipped on mem-512",
		"skips.txt:4: no class matches tape,cd*",
	}
	if got := stale(list, []string{"file-512", "mem-512"}); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := parseSkips("A.x  reason only\n"); err == nil {
		t.Error("an entry without a class is taken")
	}
}
