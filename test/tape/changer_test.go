//go:build system

package tape

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// readElementStatus makes a CDB. flags are those of byte 1: 10h is VOLTAG; options those of byte 6: 1 is
// DVCID, 2 CURDATA.
func readElementStatus(flags, kind byte, start uint16, n int, options byte, length int) []byte {
	return []byte{0xb8, flags | kind, hi(start), lo(start), byte(n >> 8), byte(n), options, byte(length >> 16), byte(length >> 8), byte(length), 0, 0}
}

func testElementStatus(t *testing.T) {
	count := map[byte]int{typePicker: 1, typeSlot: slots, typeMailslot: mailslots, typeDrive: drives}
	first := map[byte]uint16{typePicker: picker, typeSlot: firstSlot, typeMailslot: firstMail, typeDrive: firstDrive}
	ask := func(h *host, cdb []byte, in int) []byte {
		h.t.Helper()
		return h.good(h.do(&initiator.Command{LUN: lunChanger, CDB: cdb, In: in})).Data
	}
	// well checks the header and the pages: what they count must be there.
	well := func(t *testing.T, b []byte, elements int) {
		t.Helper()
		if len(b) < 8 {
			t.Fatalf("%d bytes", len(b))
		}
		if n := int(binary.BigEndian.Uint16(b[2:])); n != elements {
			t.Errorf("NUMBER OF ELEMENTS %d, want %d", n, elements)
		}
		if n := int(b[5])<<16 | int(b[6])<<8 | int(b[7]); n != len(b)-8 {
			t.Errorf("BYTE COUNT OF REPORT %d, %d bytes follow", n, len(b)-8)
		}
		if n := len(parseElements(t, b)); n != elements {
			t.Errorf("%d descriptors, want %d", n, elements)
		}
	}
	for _, flags := range []byte{0, 0x10} {
		for _, options := range []byte{0, 1, 2, 3} {
			for kind := byte(0); kind <= 4; kind++ {
				run(t, fmt.Sprintf("type %d with VOLTAG %d, DVCID and CURDATA %d", kind, flags>>4, options), func(t *testing.T) {
					h := login(t)
					want, begin := count[kind], uint16(0)
					if kind == 0 {
						want = 1 + slots + mailslots + drives
					} else {
						begin = first[kind]
					}
					b := ask(h, readElementStatus(flags, kind, 0, 0xffff, options, 65535), 65535)
					well(t, b, want)
					for address, s := range parseElements(t, b) {
						if kind != 0 && (s.kind != kind || address < begin || int(address) >= int(begin)+want) {
							t.Errorf("element %04x is of type %d", address, s.kind)
						}
					}
				})
			}
		}
	}
	run(t, "a start in the middle, and a count", func(t *testing.T) {
		h := login(t)
		b := ask(h, readElementStatus(0x10, typeSlot, firstSlot+4, 3, 0, 65535), 65535)
		well(t, b, 3)
		for address := range parseElements(t, b) {
			if address < firstSlot+4 || address > firstSlot+6 {
				t.Errorf("element %04x", address)
			}
		}
	})
	run(t, "a count over two types", func(t *testing.T) {
		h := login(t)
		well(t, ask(h, readElementStatus(0, 0, firstMail, mailslots+1, 0, 65535), 65535), mailslots+1)
	})
	run(t, "PBS: 1000 elements of each type, allocation length FFFFh", func(t *testing.T) {
		h := login(t)
		for kind := byte(1); kind <= 4; kind++ {
			b := ask(h, readElementStatus(0x10, kind, 0, 1000, 0, 0xffff), 0xffff)
			well(t, b, count[kind])
			if b[0] != hi(first[kind]) || b[1] != lo(first[kind]) {
				t.Errorf("FIRST ELEMENT ADDRESS REPORTED %x, want %x", b[:2], first[kind])
			}
		}
	})
	for _, length := range []int{0, 7, 8, 15, 16, 17, 60, 200} {
		run(t, fmt.Sprintf("an allocation length of %d cuts and counts the whole", length), func(t *testing.T) {
			h := login(t)
			whole := ask(h, readElementStatus(0x10, typeSlot, 0, 0xffff, 0, 65535), 65535)
			part := ask(h, readElementStatus(0x10, typeSlot, 0, 0xffff, 0, length), max(length, 1))
			if len(part) > length {
				t.Fatalf("%d bytes of %d", len(part), length)
			}
			if length >= 8 && string(part[4:8]) != string(whole[4:8]) {
				t.Errorf("header %x, of the whole %x", part[:8], whole[:8])
			}
		})
	}
	for _, c := range []struct {
		name string
		cdb  []byte
		want string
	}{
		{"a type that is not there", readElementStatus(0, 5, 0, 1, 0, 255), "cdb"},
		{"a start behind the last element is no element", readElementStatus(0, 0, 0xfff0, 1, 0, 8), "good resid=247"},
		{"no mailslot behind the last", readElementStatus(0, typeMailslot, firstMail+mailslots, 1, 0, 8), "good resid=247"},
	} {
		run(t, c.name, func(t *testing.T) {
			h := login(t)
			h.is(h.do(&initiator.Command{LUN: lunChanger, CDB: c.cdb, In: 255}), c.want)
		})
	}
	run(t, "DVCID is the drive's serial number (NetBackup, PBS)", func(t *testing.T) {
		h := login(t)
		for lun := uint16(1); lun <= drives; lun++ {
			r := h.good(h.do(&initiator.Command{LUN: lun, CDB: []byte{0x12, 1, 0x80, 0, 255, 0}, In: 255}))
			serial := strings.TrimSpace(string(r.Data[4:]))
			b := ask(h, readElementStatus(0, typeDrive, driveElement(lun), 1, 1, 255), 255)
			s := parseElements(t, b)[driveElement(lun)]
			// Code set, type, reserved, length, and the identifier (SMC-3, table 43).
			if len(s.rest) < 4 || len(s.rest) < 4+int(s.rest[3]) || s.rest[0]&0x0f != 2 || !strings.Contains(string(s.rest[4:4+int(s.rest[3])]), serial) {
				t.Errorf("DVCID of drive %d: %q, its serial number is %q", lun, s.rest, serial)
			}
		}
	})
	run(t, "flags and the source of a loaded drive (mtx)", func(t *testing.T) {
		h := login(t)
		h.insert(1, "")
		h.insert(1, "TG0002U8")
		all := h.elements()
		d, s := all[firstDrive], all[firstSlot+1]
		if !d.full || d.source != firstSlot+1 || d.barcode != "TG0002U8" {
			t.Errorf("the drive: %+v", d)
		}
		if s.full || s.flags&8 == 0 {
			t.Errorf("the slot that it left: %+v", s)
		}
		for address, e := range all {
			if e.flags&4 != 0 {
				t.Errorf("EXCEPT of element %04x: %+v", address, e)
			}
		}
	})
	run(t, "IMPEXP and the access of a mailslot", func(t *testing.T) {
		h := login(t)
		m := h.elements()[firstMail]
		if m.flags&0x30 != 0x30 || m.flags&8 == 0 {
			t.Errorf("INENAB, EXENAB and ACCESS of a mailslot: %02x", m.flags)
		}
	})
	run(t, "mode page 1Dh: counts and addresses; exactly 24 bytes with DBD (PBS)", func(t *testing.T) {
		h := login(t)
		r := h.good(h.do(&initiator.Command{LUN: lunChanger, CDB: []byte{0x1a, 8, 0x1d, 0, 255, 0}, In: 255}))
		if len(r.Data) != 24 || r.Data[0] != 23 {
			t.Fatalf("%d bytes, mode data length %d", len(r.Data), r.Data[0])
		}
		want := []uint16{picker, 1, firstSlot, slots, firstMail, mailslots, firstDrive, drives}
		for i, w := range want {
			if got := binary.BigEndian.Uint16(r.Data[6+2*i:]); got != w {
				t.Errorf("field %d is %#x, want %#x", i, got, w)
			}
		}
	})
	for _, page := range []byte{0x1e, 0x1f, 0x1c, 0x1a, 0x02, 0x0a, 0x3f} {
		run(t, fmt.Sprintf("mode page %02Xh", page), func(t *testing.T) {
			h := login(t)
			h.lun = lunChanger
			if page == 0x1a || page == 0x02 || page == 0x1c {
				r := h.in([]byte{0x5a, 8, page, 0, 0, 0, 0, 4, 0, 0}, 1024)
				if r.Status != 0 {
					h.is(r, "cdb anybits") // a model need not have it
				}
				return
			}
			if _, data := h.modeSense(0, page, 0); len(data) < 2 || len(data) < 2+int(data[1]) {
				t.Errorf("page %x", data)
			}
		})
	}
	for _, page := range []byte{0x00, 0x0d, 0x2e} {
		run(t, fmt.Sprintf("log page %02Xh", page), func(t *testing.T) {
			h := login(t)
			h.lun = lunChanger
			logParameters(h, page, 0)
		})
	}
	run(t, "SEND and REQUEST VOLUME ELEMENT ADDRESS find a barcode", func(t *testing.T) {
		h := login(t)
		h.insert(1, "")
		template := append([]byte("TG00?2L8"), make([]byte, 32)...)
		h.is(h.do(&initiator.Command{LUN: lunChanger, CDB: []byte{0xb6, 0, 0, 0, 0, 5, 0, 0, 0, 40, 0, 0}, Out: template}), "good")
		r := h.good(h.do(&initiator.Command{LUN: lunChanger, CDB: []byte{0xb5, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0x10, 0, 0, 0}, In: 4096}))
		found := parseElements(t, r.Data)
		if len(found) != 1 || found[firstSlot+11].barcode != "TG0012L8" {
			t.Errorf("found %v", found)
		}
	})
	run(t, "persistent reservations of the changer (type 5, another nexus)", func(t *testing.T) {
		a, b := login(t), login(t)
		a.lun, b.lun = lunChanger, lunChanger
		reserveFor(t, a, b, func(h *host) *initiator.Result { return h.move(firstSlot+11, firstSlot+35) }, func(h *host) *initiator.Result { return h.move(firstSlot+35, firstSlot+11) })
	})
}
