package smc_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/library"
)

// FuzzReadElementStatus: whatever is asked for, what comes is the beginning of what would come with more
// room, its lengths and counts are right, and it is as many of the lowest addresses as were asked for.
func FuzzReadElementStatus(f *testing.F) {
	r := newRig(f, func(cfg *library.Config) { cfg.Slots = 30 })
	for _, p := range r.paths {
		coretest.TakeUA(p)
	}
	f.Add(byte(0x10), uint16(0), uint16(0xffff), byte(1), uint32(0xffff), uint16(0xffff))
	f.Add(byte(0x02), uint16(0x1005), uint16(3), byte(0), uint32(8), uint16(8))
	f.Add(byte(0x14), uint16(0x101), uint16(1), byte(3), uint32(100), uint16(40))
	f.Add(byte(0x03), uint16(0x11), uint16(0), byte(2), uint32(0), uint16(0))
	f.Fuzz(func(t *testing.T, b1 byte, first, most uint16, b6 byte, alloc uint32, expected uint16) {
		b1, b6, alloc = b1&0x1f, b6&3, alloc&0xffffff
		cdb := []byte{0xb8, b1, 0, 0, 0, 0, b6, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(cdb[2:], first)
		binary.BigEndian.PutUint16(cdb[4:], most)
		wire.PutU24(cdb[7:], 0xffffff)
		whole := coretest.Do(r.paths[0], cdb, nil, coretest.AnyLength)
		if b1&0x0f > 4 {
			if whole.Good() {
				t.Fatalf("element type %d", b1&0x0f)
			}
			return
		}
		if !whole.Good() {
			t.Fatal(whole)
		}
		checkReport(t, whole.Data, library.ElementType(b1&0x0f), int(first), int(most))
		wire.PutU24(cdb[7:], alloc)
		got := coretest.Do(r.paths[0], cdb, nil, int(expected))
		if !got.Good() || len(got.Data) > int(alloc) || len(got.Data) > int(expected) || !bytes.HasPrefix(whole.Data, got.Data) {
			t.Fatalf("allocation length %d, %d expected: %v, % x", alloc, expected, got, got.Data)
		}
	})
}

// checkReport reads element status data as a client does.
func checkReport(t *testing.T, b []byte, want library.ElementType, first, most int) {
	t.Helper()
	total := int(binary.BigEndian.Uint16(b[2:]))
	if n := int(wire.U24(b[5:])); n != len(b)-8 || total > most {
		t.Fatalf("%d bytes in the header, %d follow; %d elements of %d", n, len(b)-8, total, most)
	}
	last, count := first-1, 0
	for b = b[8:]; len(b) > 0; {
		length, n := int(binary.BigEndian.Uint16(b[2:])), int(wire.U24(b[5:]))
		if want != library.AnyElement && library.ElementType(b[0]) != want || length < 16 || n == 0 || n%length != 0 {
			t.Fatalf("page % x", b[:8])
		}
		for b = b[8:]; n > 0; n, b = n-length, b[length:] {
			if a := int(binary.BigEndian.Uint16(b)); a <= last {
				t.Fatalf("element %#x behind %#x", a, last)
			} else {
				last = a
			}
			count++
		}
	}
	if count != total {
		t.Fatalf("%d elements, the header says %d", count, total)
	}
}
