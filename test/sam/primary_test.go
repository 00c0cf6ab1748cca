//go:build system

package sam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// modePages are all current mode pages of a LUN, by page and subpage.
func modePages(h *host, lun uint16, pc byte) map[[2]byte][]byte {
	h.t.Helper()
	all := map[[2]byte][]byte{}
	for b := h.modePage(lun, pc, 0x3f, 0xff); len(b) > 0; {
		n, key := 2+int(b[1]), [2]byte{b[0] & 0x3f, 0}
		if b[0]&0x40 != 0 {
			n, key[1] = 4+int(binary.BigEndian.Uint16(b[2:])), b[1]
		}
		all[key] = b[:n]
		b = b[n:]
	}
	return all
}

func testModePages(t *testing.T) {
	h := login(t)
	current := modePages(h, lunOther, 0)
	for _, want := range [][2]byte{{0x01, 0}, {0x08, 0}, {0x0a, 0}, {0x0a, 1}, {0x1c, 0}} {
		if current[want] == nil {
			t.Errorf("there is no mode page %02xh/%02xh", want[0], want[1])
		}
	}
	for key, page := range current {
		name := fmt.Sprintf("7.5 page %02xh-%02xh", key[0], key[1])
		run(t, name+" alone is as among all", func(t *testing.T) {
			h := login(t)
			for pc := range byte(4) {
				all := modePages(h, lunOther, pc)
				if one := h.modePage(lunOther, pc, key[0], key[1]); !bytes.Equal(one, all[key]) {
					t.Errorf("page control %d: %x alone, %x among all", pc, one, all[key])
				}
			}
		})
		run(t, name+" takes back what it gave", func(t *testing.T) {
			h := login(t)
			h.good(h.setMode(lunOther, page))
			if now := h.modePage(lunOther, 0, key[0], key[1]); !bytes.Equal(now, page) {
				t.Errorf("%x became %x", page, now)
			}
		})
		run(t, name+" changes where it says, and nowhere else", func(t *testing.T) {
			h := login(t)
			mask := h.modePage(lunOther, 1, key[0], key[1])
			head := 2
			if page[0]&0x40 != 0 {
				head = 4
			}
			for i := head; i < len(page); i++ {
				for bit := range 8 {
					if mask[i]>>bit&1 != 0 {
						continue
					}
					p := slices.Clone(page)
					p[i] ^= 1 << bit
					r := h.setMode(lunOther, p)
					h.fails(r, illegal, invalidParam)
					if at, _, ok := listPointer(r.Sense); !ok || at != 8+i {
						t.Errorf("byte %d bit %d: the field pointer says %d", i, bit, at)
					}
				}
			}
			if now := h.modePage(lunOther, 0, key[0], key[1]); !bytes.Equal(now, page) {
				t.Errorf("%x became %x", page, now)
			}
		})
	}
	run(t, "7.5 a page that is not there", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunOther, modeSense10(0, 0x2e, 0, 255), 255), illegal, invalidCDB)
	})
	run(t, "6.14 MODE SENSE(6) and (10) say the same", func(t *testing.T) {
		h := login(t)
		six := h.in(lunOther, []byte{0x1a, 8, 0x0a, 0, 255, 0}, 255)
		h.good(six)
		if ten := h.modePage(lunOther, 0, 0x0a, 0); !bytes.Equal(six.Data[4:], ten) {
			t.Errorf("%x and %x", six.Data[4:], ten)
		}
	})
	run(t, "6.12 a list cut in a page changes nothing", func(t *testing.T) {
		h := login(t)
		data := append(make([]byte, 8), current[[2]byte{0x0a, 0}]...)
		data[8] &^= 0x80
		data[8+5] ^= 0x40
		data = data[:len(data)-2]
		h.fails(h.out(lunOther, []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, byte(len(data)), 0}, data), illegal, paramLength)
		if now := h.modePage(lunOther, 0, 0x0a, 0); !bytes.Equal(now, current[[2]byte{0x0a, 0}]) {
			t.Errorf("page 0Ah is now %x", now)
		}
	})
	run(t, "6.12 a list with one good and one bad page changes nothing", func(t *testing.T) {
		h := login(t)
		ok, bad := slices.Clone(current[[2]byte{0x0a, 0}]), slices.Clone(current[[2]byte{0x08, 0}])
		ok[0] &^= 0x80
		ok[5] ^= 0x40
		bad[0] &^= 0x80
		bad[3] ^= 0x80
		data := slices.Concat(make([]byte, 8), ok, bad)
		h.fails(h.out(lunOther, []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, byte(len(data)), 0}, data), illegal, invalidParam)
		if now := h.modePage(lunOther, 0, 0x0a, 0); !bytes.Equal(now, current[[2]byte{0x0a, 0}]) {
			t.Errorf("page 0Ah is now %x", now)
		}
	})
	run(t, "6.12 an empty list is good and changes nothing", func(t *testing.T) {
		h := login(t)
		h.good(h.none(lunOther, []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0}))
	})
	run(t, "6.12 PF 0 is refused", func(t *testing.T) {
		h := login(t)
		p := slices.Clone(current[[2]byte{0x0a, 0}])
		p[0] &^= 0x80
		data := append(make([]byte, 8), p...)
		r := h.out(lunOther, []byte{0x55, 0, 0, 0, 0, 0, 0, 0, byte(len(data)), 0}, data)
		h.fails(r, illegal, invalidCDB)
	})
	run(t, "7.5.9 SWP keeps every nexus from writing", func(t *testing.T) {
		a, b := login(t), login(t)
		a.write(lunOther, free, 1, 1)
		a.control(lunOther, func(p []byte) { p[4] |= 8 })
		b.settle()
		for _, h := range []*host{a, b} {
			h.fails(h.out(lunOther, write10(free, 1), fill(1, 2)), protect, 0x2702)
			h.holds(lunOther, free, 1, 1)
		}
		r := b.in(lunOther, []byte{0x1a, 8, 0x3f, 0, 255, 0}, 255)
		b.good(r)
		if r.Data[2]&0x80 == 0 {
			t.Error("WP is 0 in the mode parameter header")
		}
	})
	run(t, "7.5.9 a changed page is not the default page", func(t *testing.T) {
		h := login(t)
		before := h.modePage(lunOther, 2, 0x0a, 0)
		h.control(lunOther, func(p []byte) { p[5] ^= 0x40 })
		if after := h.modePage(lunOther, 2, 0x0a, 0); !bytes.Equal(before, after) {
			t.Errorf("the default went from %x to %x", before, after)
		}
		if now := h.modePage(lunOther, 0, 0x0a, 0); bytes.Equal(now, before) {
			t.Error("the current page is still the default")
		}
	})
	run(t, "7.5.9 a reset goes back to the saved page", func(t *testing.T) {
		h := login(t)
		saved := h.modePage(lunOther, 3, 0x0a, 0)
		h.control(lunOther, func(p []byte) { p[5] ^= 0x40 })
		if bytes.Equal(h.modePage(lunOther, 0, 0x0a, 0), saved) {
			t.Error("nothing changed")
		}
		h.tmfOK(lunOther)
		if now := h.modePage(lunOther, 0, 0x0a, 0); !bytes.Equal(now, saved) {
			t.Errorf("after a reset %x, saved %x", now, saved)
		}
	})
	run(t, "7.5.9 SP saves", func(t *testing.T) {
		h := login(t)
		was := h.modePage(lunOther, 3, 0x0a, 0)
		save := func(page []byte) {
			p := slices.Clone(page)
			p[0] &^= 0x80
			data := append(make([]byte, 8), p...)
			h.good(h.out(lunOther, []byte{0x55, 0x11, 0, 0, 0, 0, 0, 0, byte(len(data)), 0}, data))
		}
		p := slices.Clone(was)
		p[5] ^= 0x40
		save(p)
		defer save(was)
		h.tmfOK(lunOther)
		for pc, name := range map[byte]string{0: "current", 3: "saved"} {
			if now := h.modePage(lunOther, pc, 0x0a, 0); !bytes.Equal(now, p) {
				t.Errorf("%s page %x, want %x", name, now, p)
			}
		}
	})
}

// tmfOK resets a LUN and clears what that raises.
func (h *host) tmfOK(lun uint16) {
	h.t.Helper()
	h.tmf(5, lun, nil, 0)
	h.settle()
}

// logPage reads a log page as parameter code to value.
func (h *host) logPage(lun uint16, page, sub byte) map[uint16][]byte {
	h.t.Helper()
	r := h.in(lun, []byte{0x4d, 0, 0x40 | page, sub, 0, 0, 0, 0x10, 0, 0}, 4096)
	h.good(r)
	all := map[uint16][]byte{}
	for b := r.Data[4 : 4+int(binary.BigEndian.Uint16(r.Data[2:]))]; len(b) >= 4; {
		n := 4 + int(b[3])
		all[binary.BigEndian.Uint16(b)] = b[4:n]
		b = b[n:]
	}
	return all
}

func number(b []byte) (v uint64) {
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	return v
}

func testLogPages(t *testing.T) {
	h := login(t)
	r := h.in(lunMem, []byte{0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0}, 256)
	h.good(r)
	pages := r.Data[4:]
	for _, page := range pages {
		run(t, fmt.Sprintf("7.3.1 page %02xh is whole", page), func(t *testing.T) {
			h := login(t)
			r := h.in(lunMem, []byte{0x4d, 0, 0x40 | page, 0, 0, 0, 0, 0x10, 0, 0}, 4096)
			h.good(r)
			if r.Data[0]&0x3f != page || len(r.Data) != 4+int(binary.BigEndian.Uint16(r.Data[2:])) {
				t.Errorf("got %x", r.Data)
			}
		})
	}
	for _, want := range []byte{0x00, 0x0c, 0x0d, 0x15, 0x19, 0x2f} {
		if !bytes.Contains(pages, []byte{want}) {
			t.Errorf("there is no log page %02xh", want)
		}
	}
	run(t, "7.3 a page that is not there", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0x4d, 0, 0x40 | 0x3e, 0, 0, 0, 0, 0, 64, 0}, 64), illegal, invalidCDB)
	})
	run(t, "7.3.16 statistics count commands and blocks", func(t *testing.T) {
		h := login(t)
		before := h.logPage(lunNull, 0x19, 0)
		h.good(h.out(lunNull, write10(0, 7), fill(7, 1)))
		for range 3 {
			h.good(h.in(lunNull, read10(0, 5), 5*512))
		}
		after := h.logPage(lunNull, 0x19, 0)
		// Parameter 1 begins with read commands, write commands, blocks received,
		// blocks transmitted, of 8 bytes each.
		for i, want := range []uint64{3, 1, 7, 15} {
			if got := number(after[1][8*i:8*i+8]) - number(before[1][8*i:8*i+8]); got != want {
				t.Errorf("field %d moved by %d, want %d", i, got, want)
			}
		}
	})
}

func testVPD(t *testing.T) {
	h := login(t)
	page := func(h *host, lun uint16, code int) []byte {
		h.t.Helper()
		r := h.in(lun, inquiry(code, 4096), 4096)
		h.good(r)
		return r.Data
	}
	list := page(h, lunMem, 0)[4:]
	if !slices.IsSorted(list) {
		t.Errorf("pages %x are not in order", list)
	}
	for _, code := range list {
		run(t, fmt.Sprintf("7.7 page %02xh is whole", code), func(t *testing.T) {
			h := login(t)
			p := page(h, lunMem, int(code))
			if p[1] != code || len(p) != 4+int(binary.BigEndian.Uint16(p[2:])) {
				t.Errorf("got %x", p)
			}
		})
		if code == 0x83 || code == 0x88 {
			continue // names the port
		}
		run(t, fmt.Sprintf("7.7 page %02xh is one by all paths", code), func(t *testing.T) {
			first := page(login(t), lunMem, int(code))
			for name, h := range map[string]*host{"another portal": login(t, at(lab.second)), "another target": login(t, to(iqnAgain))} {
				if p := page(h, lunMem, int(code)); !bytes.Equal(p, first) {
					t.Errorf("by %s %x, else %x", name, p, first)
				}
			}
		})
	}
	run(t, "6.7 a page that is not there", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, inquiry(0xee, 255), 255), illegal, invalidCDB)
	})
	run(t, "6.7 a page code without EVPD", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0x12, 0, 0x80, 0, 255, 0}, 255), illegal, invalidCDB)
	})
	// designators of page 83h: association and type to designator.
	designators := func(h *host, lun uint16) map[[2]byte][]byte {
		h.t.Helper()
		all := map[[2]byte][]byte{}
		for b := page(h, lun, 0x83)[4:]; len(b) >= 4; {
			n := 4 + int(b[3])
			all[[2]byte{b[1] >> 4 & 3, b[1] & 15}] = b[4:n]
			b = b[n:]
		}
		return all
	}
	run(t, "7.7.6 the logical unit has one name by all paths", func(t *testing.T) {
		a, b := designators(login(t), lunMem), designators(login(t, at(lab.second), to(iqnAgain)), lunMem)
		for key, d := range a {
			if key[0] == 0 && key[1] < 4 && !bytes.Equal(d, b[key]) {
				t.Errorf("type %d: %x and %x", key[1], d, b[key])
			}
		}
		if a[[2]byte{0, 3}] == nil || a[[2]byte{0, 3}][0]>>4 == 0 {
			t.Errorf("there is no NAA designator: %x", a)
		}
	})
	run(t, "7.7.6 two logical units have two names", func(t *testing.T) {
		h := login(t)
		if a, b := designators(h, lunMem), designators(h, lunOther); bytes.Equal(a[[2]byte{0, 3}], b[[2]byte{0, 3}]) {
			t.Errorf("both are %x", a[[2]byte{0, 3}])
		}
		if a, b := page(h, lunMem, 0x80), page(h, lunOther, 0x80); bytes.Equal(a, b) {
			t.Errorf("both have the serial number %x", a)
		}
	})
	run(t, "7.7.6 one device at two LUNs has one name", func(t *testing.T) {
		h := login(t)
		if a, b := designators(h, lunMem), designators(h, lunRO); !bytes.Equal(a[[2]byte{0, 3}], b[[2]byte{0, 3}]) {
			t.Errorf("%x and %x", a[[2]byte{0, 3}], b[[2]byte{0, 3}])
		}
	})
	run(t, "7.7.6 each target port has its relative identifier", func(t *testing.T) {
		seen := map[uint64]string{}
		for name, h := range map[string]*host{"first": login(t), "second portal group": login(t, at(lab.second)), "second target": login(t, to(iqnAgain))} {
			id := number(designators(h, lunMem)[[2]byte{1, 4}])
			if other, twice := seen[id]; twice || id == 0 {
				t.Errorf("%s has identifier %d, as has %s", name, id, other)
			}
			seen[id] = name
		}
	})
	run(t, "7.7.6 the target port name has the portal group tag", func(t *testing.T) {
		for portal, want := range map[string]string{lab.Portal: iqn + ",t,0x0001", lab.second: iqn + ",t,0x0002"} {
			found := false
			for key, d := range designators(login(t, at(portal)), lunMem) {
				found = found || key[0] == 1 && key[1] == 8 && strings.TrimRight(string(d), "\x00") == want
			}
			if !found {
				t.Errorf("no SCSI name string %s", want)
			}
		}
	})
	run(t, "6.7.2 version descriptors and response format", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, inquiry(-1, 255), 255)
		h.good(r)
		if len(r.Data) < 74 || r.Data[3]&0x0f != 2 || r.Data[2] < 6 || int(r.Data[4])+5 != len(r.Data) {
			t.Errorf("got %x", r.Data)
		}
		if binary.BigEndian.Uint16(r.Data[58:]) == 0 {
			t.Error("no version descriptor")
		}
	})
}
