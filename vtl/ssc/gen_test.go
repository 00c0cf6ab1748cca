package ssc

import (
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/vtl/personality"
)

//go:generate go test -run TestCommandTable -rewrite .

const commandTable = "../../docs/tape/drive-commands.md"

// everything makes m a model that has all that a drive can have.
func everything(m *personality.Drive) {
	m.AppendOnly, m.Encryption, m.Compression, m.RAO, m.Display = true, true, true, true, true
	m.Protection = []uint8{1, 2}
	m.Timeouts = nil
}

func rowsOf(t *testing.T, change func(*personality.Drive)) []*core.Row {
	d := newDrive(t, func(c *Config) {
		everything(c.Model)
		if change != nil {
			change(c.Model)
		}
	})
	return coretest.NewUnit(t, d, &coretest.State{}).Rows()
}

// TestCommandTable keeps docs/tape/drive-commands.md as the rows are; with -rewrite it writes it.
func TestCommandTable(t *testing.T) {
	without := []struct {
		name string
		rows []*core.Row
	}{
		{"append-only mode", rowsOf(t, func(m *personality.Drive) { m.AppendOnly = false })},
		{"encryption", rowsOf(t, func(m *personality.Drive) { m.Encryption = false })},
		{"recommended access order", rowsOf(t, func(m *personality.Drive) { m.RAO = false })},
		{"display", rowsOf(t, func(m *personality.Drive) { m.Display = false })},
	}
	want := `# Commands of a tape drive

<!-- Written by go generate ./vtl/ssc from the command rows. -->

Every command that a drive answers, from the rows that dispatch it. REPORT SUPPORTED OPERATION CODES says
the same. A command that is not here ends with INVALID COMMAND OPERATION CODE, a service action that is not
with INVALID FIELD IN CDB. [The commands of a disk](../commands.md) explains the columns and the gates; besides:

- *serial*: carried out one at a time, those of an I_T nexus in the order in which they came. None has
  *reads medium*: they move the tape, so that every reservation of another keeps them off.
- *timeout*: of a model that says nothing of its own; the data files of the models have theirs.
- *append-only mode*, *encryption*, *recommended access order*, *display*: only on models that have it.

` + coretest.CommandTable(rowsOf(t, nil), func(r *core.Row) (names []string) {
		for _, w := range without {
			if !slices.ContainsFunc(w.rows, func(o *core.Row) bool { return o.Code == r.Code && o.Action == r.Action }) {
				names = append(names, w.name)
			}
		}
		return names
	})
	if flag.Lookup("rewrite").Value.String() == "true" {
		if err := os.WriteFile(commandTable, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandTable)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/tape/drive-commands.md is stale: run go generate ./vtl/ssc")
	}
}
