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
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/library/librarytest"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/smc"
	"github.com/targate/targate/vtl/ssc"
)

// cover is what covers one command.
type cover struct {
	Tests  []string `yaml:"tests"`
	Suites []string `yaml:"suites"` // of iscsi-test-cu
}

// device is a device type whose commands have a table: NAME-commands.md of NAME-commands.yaml, but for
// the disk's older names.
type device struct {
	name        string // "a disk"
	covers, out string
	rows        func(t *testing.T) []*core.Row
	intro       string
	suites      bool // of iscsi-test-cu, which knows disks only
}

var devices = []device{
	{name: "a disk", covers: "commands.yaml", out: "scsi-commands.md", rows: diskRows, suites: true,
		intro: `What each command does to a CDB (usage data, gates, timeouts) is in [commands.md](../commands.md); this is what tests it.
For every command besides: each reserved bit (core/sbc TestReservedBits), arbitrary CDBs (core/sbc FuzzCommand), what REPORT
SUPPORTED OPERATION CODES says (core TestReportOpcodesAll), and the suite of all handlers over every store (handlers TestDisks).
The suites are those of iscsi-test-cu, which make conformance runs; single tests that are skipped, with the reason, are in
[skips.txt](../../test/conformance/skips.txt).
`},
	{name: "a tape drive", covers: "drive-commands.yaml", out: "drive-commands.md", rows: driveRows,
		intro: `What each command does to a CDB (usage data, gates, timeouts) is in [drive-commands.md](../tape/drive-commands.md); this is
what tests it. For every command besides: each reserved bit (vtl/ssc TestReservedBits), arbitrary CDBs (vtl/ssc FuzzCommand), what
REPORT SUPPORTED OPERATION CODES says (core TestReportOpcodesAll), the suite of all handlers (vtl/ssc TestHandler), and the
cases on the wire of make conformance-tape.
`},
	{name: "a medium changer", covers: "changer-commands.yaml", out: "changer-commands.md", rows: changerRows,
		intro: `What each command does to a CDB (usage data, timeouts) is in [changer.md](../tape/changer.md); this is what tests it.
For every command besides: each reserved bit (vtl/smc TestReservedBits), what REPORT SUPPORTED OPERATION CODES says (core
TestReportOpcodesAll), the suite of all handlers (vtl/smc TestHandler), and the cases on the wire of make conformance-tape.
`},
}

// TestCommands wants an entry of the data file for each command of a device that has all of them, and
// nothing else there.
func TestCommands(t *testing.T) {
	for _, d := range devices {
		t.Run(d.out, func(t *testing.T) { d.check(t) })
	}
}

func (d *device) check(t *testing.T) {
	covers := load[map[string]cover](t, d.covers)
	rows := d.rows(t)
	skipped := skipped(t)
	named := map[string]bool{}
	for _, r := range rows {
		named[r.Name] = true
		c, ok := covers[r.Name]
		if !ok || len(c.Tests) == 0 {
			t.Errorf("%s names no test of %s", d.covers, r.Name)
		}
	}
	for name, c := range covers {
		if !named[name] {
			t.Errorf("%s: %s has no %s", d.covers, d.name, name)
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
	fresh(t, d.out, d.table(rows, covers))
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

// driveRows are all commands of a tape drive that has everything.
func driveRows(t *testing.T) []*core.Row {
	m, ok := personality.Builtin().Drive("ibm-ult3580-td8")
	if !ok {
		t.Fatal("no LTO-8 drive")
	}
	model := *m
	model.AppendOnly, model.Encryption, model.RAO, model.Display = true, true, true, true
	drive, err := ssc.New(ssc.Config{Model: &model, Identity: core.Identity{Vendor: model.Vendor, Product: model.Product,
		Revision: model.Revision, Serial: "1"}})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(coretest.NewUnit(t, drive, &coretest.State{}).Rows())
}

// changerRows are all commands of a medium changer.
func changerRows(t *testing.T) []*core.Row {
	lib, err := library.Open(librarytest.Config(t.TempDir(), 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lib.Close(); err != nil {
			t.Error(err)
		}
	})
	changer, err := smc.New(lib, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sorted(coretest.NewUnit(t, changer, &coretest.State{}).Rows())
}

// sorted are rows in order of opcode.
func sorted(rows []*core.Row) []*core.Row {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *core.Row) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Action, b.Action))
	})
	return rows
}

// diskRows are all commands of a disk that has everything.
func diskRows(t *testing.T) []*core.Row {
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
	return sorted(coretest.NewUnit(t, disk, &coretest.State{}).Rows())
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

func (d *device) table(rows []*core.Row, covers map[string]cover) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# SCSI commands of %s\n\n", d.name)
	fmt.Fprintf(&b, written, fmt.Sprintf("the command rows and [%s](%s)", d.covers, d.covers))
	b.WriteString(d.intro)
	if d.suites {
		b.WriteString("\n| code | action | command | Go tests | iscsi-test-cu |\n|---|---|---|---|---|\n")
	} else {
		b.WriteString("\n| code | action | command | Go tests |\n|---|---|---|---|\n")
	}
	for _, r := range rows {
		action := ""
		if r.Action != core.NoAction {
			action = fmt.Sprintf("%02Xh", r.Action)
		}
		c := covers[r.Name]
		fmt.Fprintf(&b, "| %02Xh | %s | %s | %s |", r.Code, action, r.Name, tests(c.Tests))
		if d.suites {
			fmt.Fprintf(&b, " %s |", strings.Join(c.Suites, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
