package sbc

import (
	"testing"

	"github.com/targate/targate/core/coretest"
)

// TestResetModePages: LOGICAL UNIT RESET brings the saved values of mode pages back
// (SPC-6, 7.5.1).
func TestResetModePages(t *testing.T) {
	r := newRig(t, nil)
	modeSense := []byte{0x1a, 0x08, 0x08, 0, 255, 0} // DBD; Caching
	wce := func() bool { return r.good(modeSense, nil)[4+2]&0x04 != 0 }
	if !wce() {
		t.Fatal("the store of the rig has no write cache")
	}
	page := r.good(modeSense, nil)
	list := append([]byte{0, 0, 0, 0}, page[4:]...)
	list[4] &^= 0x80   // PS is reserved in MODE SELECT
	list[4+2] &^= 0x04 // WCE
	r.good([]byte{0x15, 0x10, 0, 0, byte(len(list)), 0}, list)
	if wce() {
		t.Fatal("MODE SELECT did not clear WCE")
	}
	done := make(chan struct{})
	r.path.Unit().Reset(func() { close(done) })
	<-done
	coretest.TakeUA(r.path)
	if !wce() {
		t.Error("WCE is still clear after the reset")
	}
}
