package smc_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core"
)

//go:generate go test -run TestCommandTable -rewrite .

const (
	commandTable = "../../docs/tape/changer.md"
	tableBegins  = "<!-- Written by go generate ./vtl/smc from the command rows. -->\n"
	tableEnds    = "<!-- End of what is written. -->\n"
)

// TestCommandTable keeps the table of docs/tape/changer.md as the rows are; with -rewrite it writes it.
func TestCommandTable(t *testing.T) {
	b, err := os.ReadFile(commandTable)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), tableBegins)
	_, tail, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", commandTable)
	}
	want := head + tableBegins + commandsDoc(t) + tableEnds + tail
	if flag.Lookup("rewrite").Value.String() == "true" {
		if err := os.WriteFile(commandTable, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Errorf("%s is stale: run go generate ./vtl/smc", commandTable)
	}
}

func commandsDoc(t *testing.T) string {
	rows := slices.Clone(newRig(t, nil).unit.Rows())
	slices.SortStableFunc(rows, func(a, b *core.Row) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Action, b.Action))
	})
	var b strings.Builder
	b.WriteString("\n| code | action | command | data | timeout (s) | usage |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		act := ""
		if r.Action != core.NoAction {
			act = fmt.Sprintf("%02Xh", r.Action)
		}
		fmt.Fprintf(&b, "| %02Xh | %s | %s | %s | %d | `% x` |\n", r.Code, act, r.Name, r.Dir, r.Timeout, r.Usage)
	}
	b.WriteString("\n")
	return b.String()
}
