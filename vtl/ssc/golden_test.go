package ssc

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/core/coretest"
)

// TestIdentities keeps the standard INQUIRY data and the VPD pages of every model as they are in
// testdata/identities, one file per model; with -rewrite it writes them.
func TestIdentities(t *testing.T) {
	rewrite := flag.Lookup("rewrite").Value.String() == "true"
	for _, m := range models.Drives() {
		t.Run(m.Name, func(t *testing.T) {
			p := coretest.NewPath(t, coretest.NewUnit(t, driveOf(t, m.Name), nil))
			var b strings.Builder
			show := func(name string, cdb ...byte) []byte {
				r := coretest.Do(p, cdb, nil, 4096)
				if !r.Good() {
					t.Fatalf("%s: %v", name, r)
				}
				fmt.Fprintf(&b, "%s\n%s\n", name, hex.Dump(r.Data))
				return r.Data
			}
			show("standard INQUIRY data", 0x12, 0, 0, 0x10, 0, 0)
			for _, code := range show("VPD page 00h", 0x12, 1, 0, 0x10, 0, 0)[5:] {
				if code == 0x87 || code == 0x88 { // what mode pages and ports there are, no identity
					continue
				}
				show(fmt.Sprintf("VPD page %02Xh", code), 0x12, 1, code, 0x10, 0, 0)
			}
			file := filepath.Join("testdata/identities", m.Name)
			if rewrite {
				if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(want) != b.String() {
				t.Errorf("%s differs; go test -run TestIdentities -rewrite writes it anew", file)
			}
		})
	}
}
