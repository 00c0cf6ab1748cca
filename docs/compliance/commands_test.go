package compliance

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sbc"
	"github.com/targate/targate/handlers/mem"
)

// cover is what covers one command.
type cover struct {
	Tests  []string `yaml:"tests"`
	Suites []string `yaml:"suites"` // of iscsi-test-cu
}

// TestCommands wants an entry of commands.yaml for each command of a disk that has all
// of them, and nothing else there.
func TestCommands(t *testing.T) {
	covers := load[map[string]cover](t, "commands.yaml")
	rows := rows(t)
	skipped := skipped(t)
	named := map[string]bool{}
	for _, r := range rows {
		named[r.Name] = true
		c, ok := covers[r.Name]
		if !ok || len(c.Tests) == 0 {
			t.Errorf("commands.yaml names no test of %s", r.Name)
		}
	}
	for name, c := range covers {
		if !named[name] {
			t.Errorf("commands.yaml: a disk has no %s", name)
		}
		for _, test := range c.Tests {
			if err := tested(test); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, s := range c.Suites {
			if skipped[s] {
				t.Errorf("%s: suite %s is on the list of skips", name, s)
			}
		}
	}
	fresh(t, "scsi-commands.md", commands(rows, covers))
}

// TestSuitesExist asks the installed iscsi-test-cu whether it has the suites.
func TestSuitesExist(t *testing.T) {
	tool, err := exec.LookPath("iscsi-test-cu")
	if err != nil {
		t.Skip("iscsi-test-cu is not installed; make test installs it and runs this")
	}
	out, err := exec.Command(tool, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range load[map[string]cover](t, "commands.yaml") {
		for _, s := range c.Suites {
			if !strings.Contains(string(out), "\nALL."+s+"\n") {
				t.Errorf("%s: iscsi-test-cu has no suite %s", name, s)
			}
		}
	}
}

// rows are all commands of a disk that has everything.
func rows(t *testing.T) []*core.Row {
	store, err := mem.New(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	dif, err := mem.New(sbc.ProtectionSize(1<<20, 512))
	if err != nil {
		t.Fatal(err)
	}
	disk, err := sbc.New(store, sbc.Config{Identity: core.Identity{Vendor: "TARGATE", Product: "DISK", Revision: "1", Serial: "1"},
		Protection: &sbc.Protection{Store: dif, Type: 2}})
	if err != nil {
		t.Fatal(err)
	}
	rows := slices.Clone(coretest.NewUnit(t, disk, &coretest.State{}).Rows())
	slices.SortStableFunc(rows, func(a, b *core.Row) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Action, b.Action))
	})
	return rows
}

// skipped are the suites that are skipped as a whole, on every class of device.
func skipped(t *testing.T) map[string]bool {
	f, err := os.Open(filepath.Join(root, "test/conformance/skips.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	suites := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 1 && w[1] == "*" {
			if suite, ok := strings.CutSuffix(w[0], ".*"); ok {
				suites[suite] = true
			}
		}
	}
	return suites
}

func commands(rows []*core.Row, covers map[string]cover) string {
	var b strings.Builder
	b.WriteString("# SCSI commands of a disk\n\n")
	fmt.Fprintf(&b, written, "the command rows and [commands.yaml](commands.yaml)")
	b.WriteString(`What each command does to a CDB (usage data, gates, timeouts) is in [commands.md](../commands.md); this is what tests it.
For every command besides: each reserved bit (core/sbc TestReservedBits), arbitrary CDBs (core/sbc FuzzCommand), what REPORT
SUPPORTED OPERATION CODES says (core TestReportOpcodesAll), and the suite of all handlers over every store (handlers TestDisks).
The suites are those of iscsi-test-cu, which make conformance runs; single tests that are skipped, with the reason, are in
[skips.txt](../../test/conformance/skips.txt).

| code | action | command | Go tests | iscsi-test-cu |
|---|---|---|---|---|
`)
	for _, r := range rows {
		action := ""
		if r.Action != core.NoAction {
			action = fmt.Sprintf("%02Xh", r.Action)
		}
		c := covers[r.Name]
		fmt.Fprintf(&b, "| %02Xh | %s | %s | %s | %s |\n", r.Code, action, r.Name, tests(c.Tests), strings.Join(c.Suites, ", "))
	}
	return b.String()
}
