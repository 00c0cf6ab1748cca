package sbc

import (
	"cmp"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/cockroachdb/datadriven" // for its -rewrite

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
)

//go:generate go test -run TestCommandTable -rewrite .

const commandTable = "../../docs/commands.md"

// TestCommandTable keeps docs/commands.md as the rows are; with -rewrite it writes it.
func TestCommandTable(t *testing.T) {
	want := commandsDoc(t)
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
		t.Error("docs/commands.md is stale: run go generate ./core/sbc")
	}
}

func commandsDoc(t *testing.T) string {
	full := newRig(t, nil).unit.Rows()
	n := len(full)
	for _, r := range newProtectedRig(t, 2, nil).unit.Rows() { // whose other rows are in full with their PROTECT field
		if !hasRow(full[:n], r) {
			full = append(full, r)
		}
	}
	thick := newRig(t, func(_ *Config, s *testStore) { s.info.Unmap, s.info.Extents = block.No, block.No }).unit.Rows()

	var b strings.Builder
	b.WriteString(`# Commands of a disk

<!-- Written by go generate ./core/sbc from the command rows. -->

Every command that a disk answers, from the rows that dispatch it. REPORT SUPPORTED
OPERATION CODES says the same. A command that is not here ends with INVALID COMMAND
OPERATION CODE, a service action that is not with INVALID FIELD IN CDB.

- *usage*: the CDB usage data; a bit that is 0 there must be 0 in the CDB.
- *timeout*: the recommended command timeout in seconds.
- *past unit attention*, *past reservations*: carried out although one waits, or is held
  by another initiator. *reads medium*, *writes medium*: what a reservation, a write
  protection or a stopped disk refuses.
- *in standby*, *in unavailable*: the asymmetric access states that allow it, besides the
  active ones.
- *inline*: carried out on the connection's goroutine when the store need not be waited for.
- *without a logical unit*: answered at a LUN where nothing is mapped.
- *while busy*: carried out during FORMAT UNIT and SANITIZE.
- *past ACA*: carried out during an auto contingent allegiance of another initiator.
- *protection*: only on a disk with protection information; all of them but XDWRITEREAD(32)
  are carried out when it is of type 2. On such a disk READ, WRITE, VERIFY and their like
  have a PROTECT field in the upper three bits of byte 1 too, and FORMAT UNIT has FMTPINFO.
- *thin*: only with a store that can deallocate, or that knows what is deallocated.

`)
	b.WriteString(coretest.CommandTable(full, func(r *core.Row) []string {
		switch {
		case !hasRow(full[:n], r):
			return []string{"protection"}
		case !hasRow(thick, r):
			return []string{"thin"}
		}
		return nil
	}))
	return b.String()
}

func hasRow(rows []*core.Row, r *core.Row) bool {
	return slices.ContainsFunc(rows, func(o *core.Row) bool { return o.Code == r.Code && o.Action == r.Action })
}

// The rows of this package are in order of opcode.
func TestTableOrder(t *testing.T) {
	if !slices.IsSortedFunc(table, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Action, b.Action))
	}) {
		t.Error("table is not in order of opcode")
	}
}
