package smc_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
)

// TestIdentities keeps the standard INQUIRY data and the VPD pages 00h, 80h and 83h of every model as they are
// in identities.golden, where # stands for the serial number and EEh for the NAA designator, which are made up
// for each library. With -rewrite it writes them.
func TestIdentities(t *testing.T) {
	var b strings.Builder
	for _, model := range personality.Builtin().Changers() {
		r := newRig(t, func(cfg *library.Config) {
			cfg.Model, cfg.Slots, cfg.Mailslots, cfg.Drives = model, 4, min(1, model.MaxMailslots), cfg.Drives[:1]
		})
		id := r.lib.Identity()
		for _, page := range []struct {
			name string
			cdb  []byte
		}{
			{"standard INQUIRY data", []byte{0x12, 0, 0, 0x10, 0, 0}},
			{"VPD page 00h", []byte{0x12, 1, 0x00, 0x10, 0, 0}},
			{"VPD page 80h", []byte{0x12, 1, 0x80, 0x10, 0, 0}},
			{"VPD page 83h", []byte{0x12, 1, 0x83, 0x10, 0, 0}},
		} {
			fmt.Fprintf(&b, "%s: %s\n", model.Name, page.name)
			res := r.do(page.cdb, nil)
			if !res.Good() {
				fmt.Fprintf(&b, "%v\n\n", res)
				continue
			}
			data := bytes.ReplaceAll(res.Data, []byte(id.Serial), []byte(strings.Repeat("#", len(id.Serial))))
			data = bytes.ReplaceAll(data, id.NAA[:], bytes.Repeat([]byte{0xee}, len(id.NAA)))
			fmt.Fprintf(&b, "%s\n", hex.Dump(data))
		}
	}
	const file = "identities.golden"
	if flag.Lookup("rewrite").Value.String() == "true" {
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
}
