package spc_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
)

// TestGolden runs the exchanges under testdata: a CDB in hexadecimal, Data-Out on
// further lines, and below ---- the outcome. Each file has one device, which two
// initiators reach. go test -run TestGolden -rewrite writes the outcomes anew.
//
//	do [other] [in=LENGTH]    one command, by default with room for 4096 bytes
//	ua [other]                the unit attentions that wait
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, file string) {
		d := newToy(t, nil)
		u := coretest.NewUnit(t, d, &coretest.State{})
		paths := []*core.Path{coretest.NewPath(t, u), coretest.NewPath(t, u)}
		datadriven.RunTest(t, file, func(t *testing.T, td *datadriven.TestData) string {
			p := paths[0]
			if td.HasArg("other") {
				p = paths[1]
			}
			switch td.Cmd {
			case "do":
				room := 4096
				td.MaybeScanArgs(t, "in", &room)
				head, rest, _ := strings.Cut(td.Input, "\n")
				return show(coretest.Do(p, unhex(t, head), unhex(t, rest), room))
			case "ua":
				var b strings.Builder
				for _, c := range coretest.TakeUA(p) {
					fmt.Fprintf(&b, "%02Xh/%02Xh %s\n", c.ASC(), c.ASCQ(), c.Name())
				}
				return b.String()
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func show(r coretest.Result) string {
	s := r.String() + "\n"
	if len(r.Raw) > 0 && r.Raw[0] >= 0x72 {
		s = "descriptor format: " + s
	}
	if len(r.Data) > 0 {
		s += hex.Dump(r.Data)
	}
	return s
}
