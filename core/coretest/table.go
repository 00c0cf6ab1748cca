package coretest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/targate/targate/core"
)

var gateNames = []struct {
	gate core.Gate
	name string
}{
	{core.PastUA, "past unit attention"},
	{core.PastReserve, "past reservations"},
	{core.ReadsMedium, "reads medium"},
	{core.WritesMedium, "writes medium"},
	{core.InStandby, "in standby"},
	{core.InUnavail, "in unavailable"},
	{core.Inline, "inline"},
	{core.NoLU, "without a logical unit"},
	{core.WhileBusy, "while busy"},
	{core.PastACA, "past ACA"},
	{core.Serial, "serial"},
}

// CommandTable is rows as a table in Markdown, in order of opcode, for the generated documents. more names
// what a row has besides its gates; it may be nil.
func CommandTable(rows []*core.Row, more func(*core.Row) []string) string {
	var b strings.Builder
	b.WriteString(`| code | action | command | data | timeout | gates | usage |
|---|---|---|---|---|---|---|
`)
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b *core.Row) int {
		return cmp.Or(cmp.Compare(a.Code, b.Code), cmp.Compare(a.Action, b.Action))
	})
	for _, r := range rows {
		var names []string
		for _, g := range gateNames {
			if r.Is(g.gate) {
				names = append(names, g.name)
			}
		}
		if more != nil {
			names = append(names, more(r)...)
		}
		act := ""
		if r.Action != core.NoAction {
			act = fmt.Sprintf("%02Xh", r.Action)
		}
		fmt.Fprintf(&b, "| %02Xh | %s | %s | %s | %d | %s | `% x` |\n", r.Code, act, r.Name, r.Dir, r.Timeout,
			strings.Join(names, ", "), r.Usage)
	}
	return b.String()
}
