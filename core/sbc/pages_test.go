package sbc

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
)

// TestPages runs the exchanges of testdata/pages on a disk of 2048 blocks: a CDB in
// hexadecimal, Data-Out on further lines, and below ---- the outcome. "disk" makes
// another one: thick, stable, rotating, 4096. Only the first bytes of data are shown. go test -run TestPages -rewrite
// writes the outcomes anew.
func TestPages(t *testing.T) {
	r := newRig(t, nil)
	datadriven.RunTest(t, "testdata/pages", func(t *testing.T, td *datadriven.TestData) string {
		if td.Cmd == "disk" {
			r = newRig(t, func(c *Config, s *testStore) {
				if td.HasArg("thick") {
					s.info.Unmap, s.info.Extents = block.No, block.No
				}
				if td.HasArg("stable") {
					s.info.Volatile = false
				}
				if td.HasArg("4096") {
					c.BlockSize = 4096
				}
				if td.HasArg("rotating") {
					c.RotationRate = 7200
				}
			})
			return ""
		}
		head, rest, _ := strings.Cut(td.Input, "\n")
		res := coretest.Do(r.path, unhex(t, head), unhex(t, rest), 4096)
		return res.String() + "\n" + hex.Dump(res.Data[:min(len(res.Data), 128)])
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
