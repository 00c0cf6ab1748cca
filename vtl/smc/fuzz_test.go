package smc_test

import (
	"path"
	"strings"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

// Any parameter list of SEND VOLUME TAG is taken or refused, and what is found then is what a template
// means, as a file name pattern of the same characters does.
func FuzzSendVolumeTag(f *testing.F) {
	r := newRig(f, nil)
	list := func(template string) []byte {
		b := make([]byte, 40)
		copy(b, template+strings.Repeat(" ", max(0, 32-len(template))))
		return b
	}
	for _, t := range []string{"TG*", "*", "?G0001L8", "*1*8", "**", "TG0001L8?", "", "*0*0*0*L8", "CLN001L8"} {
		f.Add(byte(5), list(t))
	}
	f.Add(byte(0), append(list("*")[:36], 0, 0, 0, 1))
	f.Add(byte(2), []byte{1})
	barcodes := []string{"TG0001L8", "TG0002L8", "TG0003L8", "TG0004L8", "CLN001L8"}
	f.Fuzz(func(t *testing.T, action byte, param []byte) {
		if len(param) > 64 {
			return
		}
		sent := coretest.Do(r.paths[0], []byte{0xb6, 0, 0, 0, 0, action & 0x1f, 0, 0, 0, byte(len(param)), 0, 0}, param, 0)
		if sent.Status != scsi.Good && sent.Status != scsi.CheckCondition {
			t.Fatal(sent)
		}
		got := coretest.Do(r.paths[0], []byte{0xb5, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0}, nil, 0xffff)
		if !sent.Good() || action&0x1f != 5 {
			return
		}
		template := strings.TrimRight(string(param[:32]), " \x00")
		if strings.ContainsAny(template, `[]\/`) {
			return // means something else to path.Match
		}
		want := 0
		for _, b := range barcodes {
			if ok, err := path.Match(template, b); err != nil {
				t.Fatal(err)
			} else if ok {
				want++
			}
		}
		if n := int(got.Data[2])<<8 + int(got.Data[3]); n != want {
			t.Errorf("%q finds %d, want %d", template, n, want)
		}
	})
}
