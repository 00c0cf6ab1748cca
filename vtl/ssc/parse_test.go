package ssc

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// FuzzAttributes: what is read of a WRITE ATTRIBUTE parameter list can be written again, keeps to the
// lengths of the table, and has no attribute twice.
func FuzzAttributes(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d\x08\x00\x01\x00\x08TARGATE "))
	f.Add([]byte("\x00\x00\x00\x11\x08\x00\x01\x00\x08TARGATE "))
	f.Add([]byte("\x00\x00\x00\x05\x16\x23\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x08\x15\x00\x00\x00\x03abc"))
	f.Add([]byte("\xff\xff\xff\xff\x08\x0c\x00\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseAttributes(b)
		if err != nil {
			if _, ok := err.(*sense.Error); !ok {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, 4)
		for i, a := range list {
			host, ok := findHostAttribute(a.ID)
			if !ok || len(a.Value) > host.max {
				t.Fatalf("attribute %04Xh of %d bytes", a.ID, len(a.Value))
			}
			if slices.ContainsFunc(list[:i], func(b medium.Attribute) bool { return a.ID == b.ID }) {
				t.Fatalf("attribute %04Xh twice", a.ID)
			}
			again = attribute{a, false}.append(again)
		}
		binary.BigEndian.PutUint32(again, uint32(len(again)-4))
		second, err := parseAttributes(again)
		if err != nil || len(second) != len(list) {
			t.Fatalf("%x: %v", again, err)
		}
	})
}

// FuzzSetEncryption: a page that is taken has a key exactly when a mode needs one, and key-associated data
// that its status can report.
func FuzzSetEncryption(f *testing.F) {
	page := append([]byte{0, 0x10, 0, 0x30, 0x40, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, make([]byte, 32)...)
	f.Add(page)
	withKAD := append(bytes.Clone(page), 0, 0, 0, 1, 'x', 1, 0, 0, 1, 'y')
	withKAD[3] += 10
	f.Add(withKAD)
	f.Add([]byte{0, 0x10, 0, 0x10, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0x10, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseSetEncryption(b)
		if err != nil {
			if _, ok := err.(*sense.Error); !ok {
				t.Fatal(err)
			}
			return
		}
		k := p.keys
		if needs := k.forWriteMode() || k.forReadMode(); needs != (k.key != nil) && p.scope != scopePublic {
			t.Fatalf("modes %d and %d, key %v", k.encrypt, k.decrypt, k.key != nil)
		}
		if k.key != nil && (len(k.key.UKAD) > ukadMax || len(k.key.AKAD) > akadMax) {
			t.Fatal("key-associated data is too long")
		}
	})
}

func (k *keySet) forWriteMode() bool { return k.encrypt == encryptEncrypt }
func (k *keySet) forReadMode() bool  { return k.decrypt == decryptDecrypt || k.decrypt == decryptMixed }

// A flag is told to each nexus once, and again when its condition comes back.
func TestAlerts(t *testing.T) {
	var a alerts
	a.raise(alertBits(alertMedia, alertWriteProtect))
	want := alertBits(alertMedia, alertWriteProtect)
	if got := a.take(1); got != want {
		t.Errorf("first %016x", got)
	}
	if got := a.take(1); got != 0 {
		t.Errorf("second %016x", got)
	}
	if got := a.take(2); got != want {
		t.Errorf("another nexus %016x", got)
	}
	if a.flags() != want {
		t.Error("a flag that was read is not active any more")
	}
	a.clear(perCartridge)
	if got := a.take(3); got != 0 {
		t.Errorf("after the cartridge %016x", got)
	}
	a.raise(alertMedia.bit())
	if got := a.take(1); got != alertMedia.bit() {
		t.Errorf("again %016x", got)
	}
	if alertMedia.bit() != 1<<60 || alert(64).bit() != 1 {
		t.Error("flag 01h is not the most significant bit")
	}
}
