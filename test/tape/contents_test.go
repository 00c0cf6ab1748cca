//go:build system

package tape

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// readAttribute gives the attributes of a partition from id on.
func readAttribute(h *host, action byte, partition byte, id uint16) (*initiator.Result, map[uint16][]byte) {
	h.t.Helper()
	r := h.in([]byte{0x8c, action, 0, 0, 0, 0, 0, partition, hi(id), lo(id), 0, 0, 0x10, 0, 0, 0}, 4096)
	all := map[uint16][]byte{}
	if r.Status == 0 && len(r.Data) >= 4 {
		if n := int(binary.BigEndian.Uint32(r.Data)); n != len(r.Data)-4 {
			h.t.Errorf("AVAILABLE DATA %d, %d bytes given", n, len(r.Data)-4)
		}
		if action == 0 {
			for b := r.Data[4:]; len(b) >= 5; {
				n := int(binary.BigEndian.Uint16(b[3:]))
				if len(b) < 5+n {
					h.t.Fatalf("attribute %x is cut", b[:5])
				}
				all[binary.BigEndian.Uint16(b)] = b[5 : 5+n]
				b = b[5+n:]
			}
		}
	}
	return r, all
}

func writeAttribute(h *host, partition byte, id uint16, format byte, value []byte) *initiator.Result {
	h.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(5+len(value)))
	b = append(b, hi(id), lo(id), format)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(value))), value...)
	return h.out([]byte{0x8d, 1, 0, 0, 0, 0, 0, partition, 0, 0, 0, 0, 0, byte(len(b)), 0, 0}, b)
}

func testAttributes(t *testing.T) {
	run(t, "the list and the values agree", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		_, values := readAttribute(h, 0, 0, 0)
		r, _ := readAttribute(h, 1, 0, 0)
		h.good(r)
		listed := map[uint16]bool{}
		for b := r.Data[4:]; len(b) >= 2; b = b[2:] {
			listed[binary.BigEndian.Uint16(b)] = true
		}
		for id := range values {
			if !listed[id] {
				t.Errorf("attribute %04x is not in the list", id)
			}
		}
		for _, id := range []uint16{0x0000, 0x0001, 0x0003, 0x0004, 0x0006, 0x0009, 0x0400, 0x0401, 0x0402, 0x0406, 0x0408} {
			if _, ok := values[id]; !ok {
				t.Errorf("no attribute %04x", id)
			}
		}
	})
	for _, c := range []struct {
		id     uint16
		length int
	}{{0x0000, 8}, {0x0001, 8}, {0x0002, 8}, {0x0003, 8}, {0x0004, 8}, {0x0005, 8}, {0x0006, 1}, {0x0007, 2}, {0x0009, 4}, {0x020a, 40}, {0x0220, 8}, {0x0221, 8},
		{0x0400, 8}, {0x0401, 32}, {0x0402, 4}, {0x0403, 4}, {0x0404, 8}, {0x0405, 1}, {0x0406, 8}, {0x0407, 8}, {0x0408, 1}, {0x0409, 2}} {
		run(t, fmt.Sprintf("attribute %04Xh has %d bytes", c.id, c.length), func(t *testing.T) {
			h := login(t)
			h.prepare("tiny")
			r, values := readAttribute(h, 0, 0, c.id)
			h.good(r)
			if v, ok := values[c.id]; !ok || len(v) != c.length {
				t.Errorf("%d bytes (%v), want %d", len(v), ok, c.length)
			}
		})
	}
	for _, c := range []struct {
		id     uint16
		format byte
		value  string
	}{{0x0800, 1, "TARGATE "}, {0x0801, 1, "application name                "}, {0x0802, 1, "1.0     "}, {0x0803, 2, "text label" + string(make([]byte, 150))},
		{0x0806, 1, "TG0001U8                        "}, {0x0808, 2, "media pool" + string(make([]byte, 150))}, {0x080b, 1, "2.4.0           "}, {0x0820, 0, "0123456789abcdef0123456789abcdef0123"}} {
		run(t, fmt.Sprintf("attribute %04Xh of the host is written, read, and kept over a load", c.id), func(t *testing.T) {
			h := login(t)
			h.prepare("tiny")
			h.is(writeAttribute(h, 0, c.id, c.format, []byte(c.value)), "good")
			h.good(h.none(0x1b, 0, 0, 0, 0, 0))
			h.good(h.none(0x1b, 0, 0, 0, 1, 0))
			_, values := readAttribute(h, 0, 0, c.id)
			if string(values[c.id]) != c.value {
				t.Errorf("%q, want %q", values[c.id], c.value)
			}
			h.is(writeAttribute(h, 0, c.id, c.format, nil), "good") // a length of 0 removes it
		})
	}
	run(t, "an attribute that is absent: INVALID FIELD IN CDB (LTFS)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		r, _ := readAttribute(h, 0, 0, 0x1623)
		h.is(r, "cdb anybits")
	})
	run(t, "an attribute of the device cannot be written", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		h.is(writeAttribute(h, 0, 0x0000, 0, make([]byte, 8)), "parm anybits")
	})
	run(t, "an attribute of a wrong length", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		h.is(writeAttribute(h, 0, 0x0800, 1, []byte("ABC")), "parm anybits")
	})
	run(t, "volume change reference changes when data is written, and is never the same again (LTFS)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		seen := map[uint64]bool{}
		for range 4 {
			_, values := readAttribute(h, 0, 0, 9)
			v := number(values[9])
			if seen[v] {
				t.Errorf("%d again", v)
			}
			seen[v] = true
			h.good(h.out(cdb6(0x0a, 0, 10), pattern(10, 1)))
			h.good(h.none(cdb6(0x10, 0, 1)...))
			h.good(h.none(0x1b, 0, 0, 0, 0, 0))
			h.good(h.none(0x1b, 0, 0, 0, 1, 0))
		}
	})
	run(t, "volume coherency information of each partition (LTFS)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		h.partitions(2)
		for p := byte(0); p < 2; p++ {
			h.is(writeAttribute(h, p, 0x080c, 0, pattern(70, uint64(p)+1)), "good")
		}
		for p := byte(0); p < 2; p++ {
			if _, values := readAttribute(h, 0, p, 0x080c); !bytes.Equal(values[0x080c], pattern(70, uint64(p)+1)) {
				t.Errorf("partition %d: %x", p, values[0x080c])
			}
		}
	})
	run(t, "a partition that is not there", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		r, _ := readAttribute(h, 0, 3, 0)
		h.is(r, "cdb anybits")
	})
	run(t, "without a cartridge", func(t *testing.T) {
		h := login(t)
		h.prepare("none")
		r, _ := readAttribute(h, 0, 0, 0)
		h.is(r, "nomedium anybits")
	})
	run(t, "remaining capacity goes down", func(t *testing.T) {
		h := login(t)
		h.prepare("small")
		_, before := readAttribute(h, 0, 0, 0)
		for range 8 {
			h.good(h.out(cdb6(0x0a, 0, 1<<20), pattern(1<<20, 3)))
		}
		h.good(h.none(cdb6(0x10, 0, 1)...))
		_, after := readAttribute(h, 0, 0, 0)
		if a, b := number(after[0]), number(before[0]); a >= b || b-a > 16 {
			t.Errorf("%d MiB, %d before", a, b)
		}
	})
}

// setKey is the Set Data Encryption page of SECURITY PROTOCOL OUT (SSC-5, 8.5.3.2).
func setKey(h *host, encrypt, decrypt byte, key []byte, kad string) *initiator.Result {
	h.t.Helper()
	b := []byte{0, 0x10, 0, 0, 0x40, 0, encrypt, decrypt, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(key))}
	b = append(b, key...)
	if kad != "" {
		b = append(b, 0, 0, 0, byte(len(kad))) // unauthenticated
		b = append(b, kad...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return h.out([]byte{0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, byte(len(b)), 0, 0}, b)
}

func securityIn(h *host, page uint16) *initiator.Result {
	h.t.Helper()
	return h.in([]byte{0xa2, 0x20, hi(page), lo(page), 0, 0, 0, 0, 0x10, 0, 0, 0}, 4096)
}

func testEncryption(t *testing.T) {
	right, wrong := pattern(32, 100), pattern(32, 200)
	start := func(t *testing.T) *host {
		h := login(t)
		h.prepare("tiny")
		h.t.Cleanup(func() { setKey(h, 0, 0, nil, "") })
		return h
	}
	for _, page := range []uint16{0x0000, 0x0001, 0x0010, 0x0011, 0x0012, 0x0020, 0x0021} {
		run(t, fmt.Sprintf("SECURITY PROTOCOL IN page %04Xh: length", page), func(t *testing.T) {
			h := start(t)
			r := h.good(securityIn(h, page))
			if len(r.Data) < 4 || len(r.Data) != 4+int(binary.BigEndian.Uint16(r.Data[2:])) || binary.BigEndian.Uint16(r.Data) != page {
				t.Errorf("%d bytes, %x", len(r.Data), r.Data[:min(len(r.Data), 8)])
			}
		})
	}
	run(t, "protocol 00h names tape encryption", func(t *testing.T) {
		h := start(t)
		r := h.good(h.in([]byte{0xa2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256))
		if !bytes.Contains(r.Data[8:], []byte{0x20}) {
			t.Errorf("%x", r.Data)
		}
	})
	run(t, "PBS: AES-GCM with 256 bits in page 0010h", func(t *testing.T) {
		h := start(t)
		b := h.good(securityIn(h, 0x0010)).Data
		found := false
		for d := b[20:]; len(d) >= 24; d = d[4+int(binary.BigEndian.Uint16(d[2:])):] {
			if binary.BigEndian.Uint16(d[2:]) == 0x14 && binary.BigEndian.Uint32(d[20:]) == 0x00010014 && binary.BigEndian.Uint16(d[10:]) == 32 {
				found = true
			}
		}
		if !found {
			t.Errorf("%x", b)
		}
	})
	run(t, "PBS: a key, and status (2, 3)", func(t *testing.T) {
		h := start(t)
		h.is(setKey(h, 2, 3, right, ""), "good")
		if b := h.good(securityIn(h, 0x0020)).Data; b[5] != 2 || b[6] != 3 {
			t.Errorf("encryption and decryption mode %d, %d", b[5], b[6])
		}
		h.is(setKey(h, 0, 0, nil, ""), "good")
		if b := h.good(securityIn(h, 0x0020)).Data; b[5] != 0 || b[6] != 0 {
			t.Errorf("without a key: %d, %d", b[5], b[6])
		}
	})
	run(t, "what is encrypted is read with the key and not without, nor with another", func(t *testing.T) {
		h := start(t)
		data := pattern(1000, 1)
		h.is(setKey(h, 2, 2, right, "the name of the key"), "good")
		h.good(h.out(cdb6(0x0a, 0, 1000), data))
		h.good(h.none(1, 0, 0, 0, 0, 0))
		if r := h.good(h.in(cdb6(0x08, 0, 1000), 1000)); !bytes.Equal(r.Data, data) {
			t.Error("it does not come back")
		}
		for _, c := range []struct {
			key  []byte
			want string
		}{{nil, "7/7401"}, {wrong, "7/7402 anybits"}} {
			if c.key == nil {
				h.is(setKey(h, 0, 0, nil, ""), "good")
			} else {
				h.is(setKey(h, 2, 2, c.key, ""), "good")
			}
			h.good(h.none(1, 0, 0, 0, 0, 0))
			r := h.in(cdb6(0x08, 0, 1000), 1000)
			if r.Status == 0 || r.Key() != 7 && r.Key() != 3 || r.Code()>>8 != 0x74 {
				t.Errorf("with the key %x: %s", c.key, outcome(r))
			}
			if len(r.Data) != 0 {
				t.Errorf("%d bytes of it came", len(r.Data))
			}
			h.at(0)
			h.good(h.none(cdb6(0x11, 0, 1)...)) // spacing needs no key
			h.at(1)
		}
	})
	run(t, "MIXED decryption reads both kinds", func(t *testing.T) {
		h := start(t)
		h.good(h.out(cdb6(0x0a, 0, 100), pattern(100, 1)))
		h.is(setKey(h, 2, 3, right, ""), "good")
		h.good(h.out(cdb6(0x0a, 0, 100), pattern(100, 2)))
		h.good(h.none(1, 0, 0, 0, 0, 0))
		for i := range uint64(2) {
			if r := h.good(h.in(cdb6(0x08, 0, 100), 100)); !bytes.Equal(r.Data, pattern(100, i+1)) {
				t.Errorf("block %d is another", i)
			}
		}
	})
	run(t, "DECRYPT refuses what is not encrypted", func(t *testing.T) {
		h := start(t)
		h.good(h.out(cdb6(0x0a, 0, 100), pattern(100, 1)))
		h.is(setKey(h, 2, 2, right, ""), "good")
		h.good(h.none(1, 0, 0, 0, 0, 0))
		if r := h.in(cdb6(0x08, 0, 100), 100); r.Status == 0 || r.Code()>>8 != 0x74 {
			t.Errorf("%s", outcome(r))
		}
	})
	run(t, "the key is kept over a load of the same cartridge, not over the end of power; page 0021h shows KAD (stenc)", func(t *testing.T) {
		h := start(t)
		h.is(setKey(h, 2, 3, right, "stenc key"), "good")
		h.good(h.out(cdb6(0x0a, 0, 100), pattern(100, 1)))
		h.good(h.none(cdb6(0x10, 0, 1)...))
		h.good(h.none(1, 0, 0, 0, 0, 0))
		if b := h.good(securityIn(h, 0x0021)).Data; !bytes.Contains(b, []byte("stenc key")) || b[12]&0x0f < 3 {
			t.Errorf("next block: %x", b)
		}
		h.good(h.none(cdb6(0x11, 0, 1)...))
		h.good(securityIn(h, 0x0021)) // at a filemark (stenc #27)
	})
	for _, c := range []struct {
		name string
		send func(h *host) *initiator.Result
		want string
	}{
		{"a key of 16 bytes", func(h *host) *initiator.Result { return setKey(h, 2, 2, right[:16], "") }, "parm"},
		{"an algorithm that is not there", func(h *host) *initiator.Result {
			b := append([]byte{0, 0x10, 0, 48, 0x40, 0, 2, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, right...)
			return h.out([]byte{0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, byte(len(b)), 0, 0}, b)
		}, "parm"},
		{"encryption without a key", func(h *host) *initiator.Result { return setKey(h, 2, 2, nil, "") }, "parm"},
		{"a page that is not there", func(h *host) *initiator.Result { return securityIn(h, 0x0099) }, "cdb"},
		{"a protocol that is not there", func(h *host) *initiator.Result { return h.in([]byte{0xa2, 0x77, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 256) }, "cdb"},
	} {
		run(t, c.name, func(t *testing.T) {
			h := start(t)
			h.is(c.send(h), c.want+" anybits")
		})
	}
	run(t, "a key of one nexus with local scope is not another's", func(t *testing.T) {
		h := start(t)
		o := login(t)
		b := append([]byte{0, 0x10, 0, 48, 0x20, 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}, right...)
		h.is(h.out([]byte{0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, byte(len(b)), 0, 0}, b), "good")
		if b := o.good(securityIn(o, 0x0020)).Data; b[5] != 0 {
			t.Errorf("another nexus encrypts in mode %d", b[5])
		}
	})
}

// protect switches logical block protection on both ways; LTFS does so by page 0A/F0.
func protect(h *host, method byte) *initiator.Result {
	h.t.Helper()
	return h.changeMode(0x0a, 0xf0, func(b []byte) {
		b[4], b[5], b[6] = method, b[5]&^0x3f|4, b[6]&^0xc0|0xc0
		if method == 0 {
			b[5], b[6] = 0, 0
		}
	})
}

func testProtection(t *testing.T) {
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	guarded := func(data []byte) []byte {
		return binary.LittleEndian.AppendUint32(bytes.Clone(data), crc32.Checksum(data, castagnoli))
	}
	start := func(t *testing.T) *host {
		h := login(t)
		h.prepare("tiny")
		h.is(protect(h, 2), "good")
		t.Cleanup(func() { protect(h, 0) })
		return h
	}
	for _, n := range []int{1, 512, 65536, 262144} {
		run(t, fmt.Sprintf("a good CRC32C, little endian, of a block of %d bytes, there and back", n), func(t *testing.T) {
			h := start(t)
			b := guarded(pattern(n, 9))
			h.is(h.out(cdb6(0x0a, 0, len(b)), b), "good")
			h.good(h.none(1, 0, 0, 0, 0, 0))
			if r := h.good(h.in(cdb6(0x08, 0, len(b)), len(b))); !bytes.Equal(r.Data, b) {
				t.Error("another block, or another guard")
			}
			h.is(protect(h, 0), "good")
			h.good(h.none(1, 0, 0, 0, 0, 0))
			if r := h.good(h.in(cdb6(0x08, 0, n), n)); !bytes.Equal(r.Data, b[:n]) {
				t.Error("without protection the block is another")
			}
		})
	}
	run(t, "a bad CRC32C: 04/10/01, and the block is not written", func(t *testing.T) {
		h := start(t)
		good := guarded(pattern(1000, 1))
		h.is(h.out(cdb6(0x0a, 0, len(good)), good), "good")
		bad := guarded(pattern(1000, 2))
		bad[17] ^= 1
		r := h.out(cdb6(0x0a, 0, len(bad)), bad)
		if r.Status != 2 || r.Code() != 0x1001 {
			t.Errorf("%s, want 4/1001", outcome(r))
		}
		h.at(1)
		h.good(h.none(1, 0, 0, 0, 0, 0))
		h.good(h.in(cdb6(0x08, 0, len(good)), len(good)))
		h.is(h.in(cdb6(0x08, 0, len(good)), len(good)), "eod anybits")
	})
	run(t, "a block without room for its guard", func(t *testing.T) {
		h := start(t)
		if r := h.out(cdb6(0x0a, 0, 3), []byte{1, 2, 3}); r.Status == 0 {
			t.Error("it was written")
		}
		h.at(0)
	})
	run(t, "fixed blocks, each with its guard", func(t *testing.T) {
		h := start(t)
		h.good(h.setBlock(512))
		defer h.setBlock(0)
		var b []byte
		for i := range uint64(3) {
			b = append(b, guarded(pattern(508, i))...)
		}
		r := h.out(cdb6(0x0a, 1, 3), b)
		if r.Status != 0 { // the length of the mode parameters may be without the guard
			b = nil
			for i := range uint64(3) {
				b = append(b, guarded(pattern(512, i))...)
			}
			r = h.out(cdb6(0x0a, 1, 3), b)
		}
		h.is(r, "good")
		h.at(3)
	})
	run(t, "short and long blocks, with the guard in the count", func(t *testing.T) {
		h := start(t)
		b := guarded(pattern(1000, 1))
		h.is(h.out(cdb6(0x0a, 0, len(b)), b), "good")
		h.good(h.none(1, 0, 0, 0, 0, 0))
		h.is(h.in(cdb6(0x08, 0, 2000), 2000), "ili info=996")
		h.at(1)
	})
	run(t, "Reed-Solomon: what does not fit is refused", func(t *testing.T) {
		h := start(t)
		h.is(protect(h, 1), "good")
		if r := h.out(cdb6(0x0a, 0, 104), append(pattern(100, 1), 1, 2, 3, 4)); r.Code() != 0x1001 {
			t.Errorf("%s, want 4/1001", outcome(r))
		}
	})
	run(t, "a method that is not there", func(t *testing.T) {
		h := start(t)
		h.is(protect(h, 9), "parm anybits")
	})
	run(t, "a filemark and the end of data are what they were", func(t *testing.T) {
		h := start(t)
		h.good(h.none(cdb6(0x10, 0, 1)...))
		h.good(h.none(1, 0, 0, 0, 0, 0))
		h.is(h.in(cdb6(0x08, 0, 1004), 1004), "fm info=1004 resid=1004")
		h.is(h.in(cdb6(0x08, 0, 1004), 1004), "eod info=1004 resid=1004")
	})
}
