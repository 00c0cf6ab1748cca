package text

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// world is what SendTargets tells in the data files.
var world = []Target{
	{Name: "iqn.2026-11.org.targate:a", Addresses: []string{"192.0.2.1:3260", "[2001:db8::1]:3260"}, TPGT: 1},
	{Name: "iqn.2026-11.org.targate:b", Addresses: []string{"192.0.2.1:3260"}, TPGT: 2},
	{Name: "iqn.2026-11.org.targate:b", Addresses: []string{"198.51.100.1:3260"}, TPGT: 3},
}

func answerer(target string) *Answerer {
	return &Answerer{
		Target:  target,
		Targets: func() []Target { return slices.Clone(world) },
		Normalize: func(s string) (string, error) {
			if !strings.Contains(s, ".") {
				return "", errors.New("bad name")
			}
			return strings.ToLower(s), nil
		},
		Negotiate: func(p Pair) (string, bool) { return NotUnderstood, p.Key != "Declared" },
	}
}

// TestExchange runs the text negotiations of testdata/exchange:
//
//	new [target=NAME] [max=N]         a session with that target, else discovery
//	text [flags=FC] [itt=1] [ttt=N]   TTT defaults to the one of the last response
//	KEY=VALUE
//	----
//	the response, or the Reject
func TestExchange(t *testing.T) {
	datadriven.Walk(t, "testdata/exchange", func(t *testing.T, path string) {
		var x *Exchange
		var last uint32
		limit := 0
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				target := ""
				limit = 8192
				d.MaybeScanArgs(t, "target", &target)
				d.MaybeScanArgs(t, "max", &limit)
				x, last = &Exchange{Answer: answerer(target).Answer}, pdu.NoTag
				return ""
			case "text":
				flags, itt, ttt := "", 1, ""
				d.MaybeScanArgs(t, "flags", &flags)
				d.MaybeScanArgs(t, "itt", &itt)
				q := Request{Final: strings.Contains(flags, "F"), Continue: strings.Contains(flags, "C"),
					ITT: uint32(itt), TTT: last, Data: input(t, d.Input)}
				if d.MaybeScanArgs(t, "ttt", &ttt) {
					n, err := strconv.ParseUint(ttt, 0, 32)
					if err != nil {
						t.Fatal(err)
					}
					q.TTT = uint32(n)
				}
				r, err := x.Step(q, limit)
				var re *RejectError
				if errors.As(err, &re) {
					return re.Error() + "\n"
				} else if err != nil {
					t.Fatalf("%s: %v is no Reject", d.Pos, err)
				}
				last = r.TTT
				return show(r)
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func input(t *testing.T, s string) (b []byte) {
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if raw, ok := strings.CutPrefix(line, "raw "); ok {
			u, err := strconv.Unquote(raw)
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, u...)
			continue
		}
		b = append(append(b, line...), 0)
	}
	return b
}

func show(r Response) string {
	flags := ""
	if r.Final {
		flags += "F"
	}
	if r.Continue {
		flags += "C"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "flags=%s itt=%d ttt=%#x\n", flags, r.ITT, r.TTT)
	if len(r.Data) > 0 {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(strings.TrimSuffix(string(r.Data), "\x00"), "\x00", "\n  "))
	}
	return b.String()
}

// TestExchangeLimit: a text that never ends is not kept for ever.
func TestExchangeLimit(t *testing.T) {
	x := &Exchange{Answer: answerer("").Answer}
	chunk := make([]byte, 8192)
	ttt := uint32(pdu.NoTag)
	for range MaxText / len(chunk) {
		r, err := x.Step(Request{Continue: true, ITT: 1, TTT: ttt, Data: chunk}, 8192)
		if err != nil {
			t.Fatal(err)
		}
		ttt = r.TTT
	}
	_, err := x.Step(Request{Continue: true, ITT: 1, TTT: ttt, Data: chunk}, 8192)
	var re *RejectError
	if !errors.As(err, &re) || re.Reason != pdu.RejectResources {
		t.Errorf("%v; want a Reject for resources", err)
	}
	if x.in != nil {
		t.Error("the text is still held")
	}
}

// TestTagWraps: the reserved tag is never given out.
func TestTagWraps(t *testing.T) {
	x := &Exchange{Answer: answerer("").Answer, lastTTT: pdu.NoTag - 1}
	r, err := x.Step(Request{ITT: 1, TTT: pdu.NoTag}, 8192)
	if err != nil || r.TTT == pdu.NoTag || r.TTT == 0 {
		t.Errorf("%#x, %v", r.TTT, err)
	}
}
