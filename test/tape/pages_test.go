//go:build system

package tape

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// logParameters is LOG SENSE of cumulative values: the parameters by code. Lengths must agree.
func logParameters(h *host, page, sub byte) map[uint16][]byte {
	h.t.Helper()
	r := h.good(h.in([]byte{0x4d, 0, 0x40 | page, sub, 0, 0, 0, 0x40, 0, 0}, 0x4000))
	b := r.Data
	if len(b) < 4 || b[0]&0x3f != page || len(b) != 4+int(binary.BigEndian.Uint16(b[2:])) {
		h.t.Fatalf("log page %02x: %d bytes, header %x", page, len(b), b[:min(4, len(b))])
	}
	if page == 0 {
		all := map[uint16][]byte{}
		for _, p := range b[4:] {
			all[uint16(p)] = nil
		}
		return all
	}
	all := map[uint16][]byte{}
	for b = b[4:]; len(b) >= 4; {
		n := int(b[3])
		if len(b) < 4+n {
			h.t.Fatalf("log page %02x: parameter %x is cut", page, b[:4])
		}
		all[binary.BigEndian.Uint16(b)] = b[4 : 4+n]
		b = b[4+n:]
	}
	if len(b) != 0 {
		h.t.Errorf("log page %02x: %d bytes are left over", page, len(b))
	}
	return all
}

func number(b []byte) (n uint64) {
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n
}

func testLogPages(t *testing.T) {
	run(t, "page 00h names each page, and each is there", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		pages := logParameters(h, 0, 0)
		for _, want := range []uint16{0x00, 0x02, 0x03, 0x0c, 0x11, 0x17, 0x1b, 0x2e} {
			if _, ok := pages[want]; !ok {
				t.Errorf("page %02x is not supported", want)
			}
		}
		for page := range pages {
			logParameters(h, byte(page), 0)
		}
	})
	run(t, "a page that is not there", func(t *testing.T) {
		h := login(t)
		h.is(h.in([]byte{0x4d, 0, 0x7f, 0, 0, 0, 0, 4, 0, 0}, 1024), "cdb")
	})
	run(t, "TapeAlert: 64 parameters of one byte (LTFS)", func(t *testing.T) {
		h := login(t)
		flags := logParameters(h, 0x2e, 0)
		for i := uint16(1); i <= 64; i++ {
			if len(flags[i]) != 1 {
				t.Errorf("parameter %d has %d bytes", i, len(flags[i]))
			}
		}
		if len(flags) != 64 {
			t.Errorf("%d parameters", len(flags))
		}
	})
	run(t, "volume statistics: parameter 0000 is not 0 (PBS)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		if p := logParameters(h, 0x17, 0); len(p[0]) == 0 || number(p[0]) == 0 {
			t.Errorf("parameter 0000: %x", p[0])
		}
	})
	run(t, "volume statistics of two partitions: 0203 has 16 bytes (LTFS #183)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		h.partitions(2)
		p := logParameters(h, 0x17, 0)
		for code := uint16(0x202); code <= 0x204; code++ {
			if len(p[code]) != 16 {
				t.Errorf("parameter %04x has %d bytes, want 16", code, len(p[code]))
			}
		}
	})
	run(t, "sequential access device: bytes before and after compression are real counts", func(t *testing.T) {
		h := login(t)
		h.prepare("small")
		before := logParameters(h, 0x0c, 0)
		h.compress(true)
		zeros := make([]byte, 1<<20)
		for range 4 {
			h.good(h.out(cdb6(0x0a, 0, len(zeros)), zeros))
		}
		h.good(h.none(cdb6(0x10, 0, 1)...))
		after := logParameters(h, 0x0c, 0)
		received, written := number(after[0])-number(before[0]), number(after[1])-number(before[1])
		if received != 4<<20 {
			t.Errorf("%d bytes received from application clients, want %d", received, 4<<20)
		}
		if written == 0 || written > received/4 {
			t.Errorf("%d bytes written of %d that compress", written, received)
		}
		h.compress(false)
	})
	run(t, "data compression: ratios", func(t *testing.T) {
		h := login(t)
		h.prepare("small")
		h.compress(true)
		h.good(h.out(cdb6(0x0a, 0, 1<<20), make([]byte, 1<<20)))
		h.good(h.none(cdb6(0x10, 0, 1)...))
		p := logParameters(h, 0x1b, 0)
		if len(p) == 0 || number(p[1]) <= 100 { // write compression ratio x 100
			t.Errorf("write compression ratio: %d", number(p[1]))
		}
		h.compress(false)
	})
	run(t, "allocation length cuts, the page length does not change", func(t *testing.T) {
		h := login(t)
		whole := h.good(h.in([]byte{0x4d, 0, 0x6e, 0, 0, 0, 0, 4, 0, 0}, 1024)).Data
		part := h.good(h.in([]byte{0x4d, 0, 0x6e, 0, 0, 0, 0, 0, 20, 0}, 20)).Data
		if len(part) != 20 || string(part) != string(whole[:20]) {
			t.Errorf("%x of %x", part, whole[:20])
		}
	})
	run(t, "DT device status: the drive is ready and holds a cartridge", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		if p := logParameters(h, 0x11, 0); len(p[0]) < 4 {
			t.Errorf("very high frequency data: %x", p[0])
		}
	})
}

func testModePages(t *testing.T) {
	for _, p := range []struct {
		page, sub byte
		length    int // of the page with its header; 0: any
	}{
		{0x01, 0, 12}, {0x02, 0, 16}, {0x0a, 0, 12}, {0x0a, 1, 32}, {0x0a, 0xf0, 0}, {0x0f, 0, 16}, {0x10, 0, 16}, {0x10, 1, 32}, {0x11, 0, 0}, {0x1c, 0, 12}, {0x1d, 0, 32},
	} {
		run(t, fmt.Sprintf("mode page %02X/%02Xh: length, and the masks of changeable values", p.page, p.sub), func(t *testing.T) {
			h := login(t)
			h.prepare("tiny")
			for pc := byte(0); pc <= 2; pc++ {
				_, data := h.modeSense(pc, p.page, p.sub)
				n := 0
				if len(data) >= 4 {
					if n = 2 + int(data[1]); data[0]&0x40 != 0 {
						n = 4 + int(binary.BigEndian.Uint16(data[2:]))
					}
				}
				if n != len(data) || n == 0 || data[0]&0x3f != p.page || p.length != 0 && n != p.length {
					t.Errorf("page control %d: %d bytes %x, want a page of %d", pc, len(data), data, p.length)
				}
			}
		})
	}
	run(t, "all pages, by MODE SENSE(6) and (10)", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		ten := h.good(h.in([]byte{0x5a, 0, 0x3f, 0xff, 0, 0, 0, 4, 0, 0}, 1024)).Data
		six := h.good(h.in([]byte{0x1a, 0, 0x3f, 0, 255, 0}, 255)).Data
		if int(binary.BigEndian.Uint16(ten))+2 != len(ten) || int(six[0])+1 < len(six) {
			t.Errorf("lengths %x of %d, %x of %d", ten[:2], len(ten), six[:1], len(six))
		}
	})
	run(t, "st: MODE SENSE(6) of page 0 gives header and block descriptor", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		h.good(h.setBlock(1024))
		b := h.good(h.in([]byte{0x1a, 0, 0, 0, 12, 0}, 12)).Data
		if len(b) != 12 || b[3] != 8 || b[4] != 0x5e || number(b[9:12]) != 1024 || b[2]&0x80 != 0 {
			t.Errorf("%x", b)
		}
		h.good(h.setBlock(0))
	})
	run(t, "LTFS: MODE SENSE(10) of 10/01 with 48 bytes is exactly 48", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		r := h.good(h.in([]byte{0x5a, 0, 0x10, 1, 0, 0, 0, 0, 48, 0}, 48))
		if len(r.Data) != 48 || r.Residual != 0 {
			t.Errorf("%d bytes, residual %d", len(r.Data), r.Residual)
		}
	})
	run(t, "PBS: page 0F, and what it sends back", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		header, data := h.modeSense(0, 0x0f, 0)
		if len(header) != 16 || len(data) != 16 || data[1] != 0x0e {
			t.Fatalf("header of %d bytes, page %x", len(header), data)
		}
		header[0], header[1], header[2], header[3] = 0, 0, 0, 0x10 // buffered
		data[0] = 0x0f
		data[2] |= 0x80
		h.is(h.modeSelect(append(header, data...)), "good")
	})
	run(t, "WORM shows in medium type and page 1Dh (NetWorker, HP's LTFS)", func(t *testing.T) {
		h := login(t)
		h.prepare("worm")
		header, data := h.modeSense(0, 0x1d, 0)
		if header[2] != 0x8c || data[1] != 0x1e || data[2]&1 != 1 {
			t.Errorf("medium type %02x, page %x", header[2], data)
		}
		h.prepare("tiny")
		header, data = h.modeSense(0, 0x1d, 0)
		if header[2] != 0x88 || data[2]&1 != 0 {
			t.Errorf("of a cartridge that is none: medium type %02x, page %x", header[2], data)
		}
	})
	for _, c := range []struct {
		name string
		send func(h *host) *initiator.Result
		want string
	}{
		{"a page that is not there", func(h *host) *initiator.Result { return h.in([]byte{0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0, 0}, 256) }, "cdb"},
		{"MODE SELECT of nothing", func(h *host) *initiator.Result { return h.none(0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0) }, "good"},
		{"MODE SELECT of half a header", func(h *host) *initiator.Result { return h.modeSelect(make([]byte, 5)) }, "length"},
		{"MODE SELECT of a page that is cut", func(h *host) *initiator.Result {
			return h.modeSelect(append(make([]byte, 8), 0x0f, 0x0e, 0x80))
		}, "length"},
		{"MODE SELECT of a density that the drive has not", func(h *host) *initiator.Result {
			b := make([]byte, 16)
			b[7], b[8] = 8, 0x13
			return h.modeSelect(b)
		}, "parm"},
		{"MODE SELECT of a bit that cannot be changed", func(h *host) *initiator.Result {
			return h.changeMode(0x1d, 0, func(b []byte) { b[2] ^= 1 })
		}, "parm"},
	} {
		run(t, c.name, func(t *testing.T) {
			h := login(t)
			h.prepare("tiny")
			h.is(c.send(h), c.want+" anybits")
		})
	}
}

func testIdentity(t *testing.T) {
	for _, lun := range []uint16{lunChanger, lunDrive} {
		run(t, fmt.Sprintf("every VPD page that page 00h names, LUN %d", lun), func(t *testing.T) {
			h := login(t)
			h.lun = lun
			list := h.good(h.in([]byte{0x12, 1, 0, 0, 255, 0}, 255)).Data
			for _, page := range list[4:] {
				b := h.good(h.in([]byte{0x12, 1, page, 4, 0, 0}, 1024)).Data
				if len(b) < 4 || b[1] != page || len(b) != 4+int(binary.BigEndian.Uint16(b[2:])) {
					t.Errorf("page %02x: %x", page, b)
				}
			}
			h.is(h.in([]byte{0x12, 1, 0x77, 0, 255, 0}, 255), "cdb anybits")
		})
	}
	run(t, "sequential access pages B0h to B5h", func(t *testing.T) {
		h := login(t)
		list := h.good(h.in([]byte{0x12, 1, 0, 0, 255, 0}, 255)).Data[4:]
		for _, page := range []byte{0x80, 0x83, 0xb0, 0xb1} {
			if !strings.Contains(string(list), string([]byte{page})) {
				t.Errorf("page %02x is not supported", page)
			}
		}
	})
	run(t, "an identity that LTFS takes", func(t *testing.T) {
		h := login(t)
		b := h.good(h.in([]byte{0x12, 0, 0, 0, 96, 0}, 96)).Data
		if string(b[8:16]) != "IBM     " || !strings.HasPrefix(string(b[16:32]), "ULT3580-TD8") || b[0] != 1 || b[1]&0x80 == 0 {
			t.Errorf("%q", b)
		}
	})
	run(t, "READ BLOCK LIMITS", func(t *testing.T) {
		h := login(t)
		b := h.good(h.in([]byte{5, 0, 0, 0, 0, 0}, 6)).Data
		if len(b) != 6 || number(b[1:4]) != 1<<24-1 || number(b[4:6]) != 1 {
			t.Errorf("%x", b)
		}
	})
	for _, media := range []byte{0, 1} {
		for _, types := range []byte{0, 2} {
			run(t, fmt.Sprintf("REPORT DENSITY SUPPORT, MEDIA %d, MEDIUM TYPE %d", media, types>>1), func(t *testing.T) {
				h := login(t)
				h.prepare("tiny")
				b := h.good(h.in([]byte{0x44, media | types, 0, 0, 0, 0, 0, 4, 0, 0}, 1024)).Data
				if len(b) < 4 || len(b) != 2+int(binary.BigEndian.Uint16(b)) {
					t.Fatalf("%d bytes, available length %x", len(b), b[:2])
				}
				size := 52
				if types != 0 {
					size = 56
				}
				if (len(b)-4)%size != 0 || len(b) == 4 {
					t.Errorf("%d bytes of descriptors of %d", len(b)-4, size)
				}
				if types == 0 && media == 1 && b[4] != 0x5e {
					t.Errorf("density of the medium: %02x", b[4])
				}
			})
		}
	}
	run(t, "REPORT SUPPORTED OPERATION CODES with timeouts, as LTFS reads them", func(t *testing.T) {
		h := login(t)
		b := h.good(h.in([]byte{0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x10, 0, 0, 0}, 4096)).Data
		n := int(binary.BigEndian.Uint32(b))
		if n%20 != 0 || n != len(b)-4 || n >= 4096 {
			t.Fatalf("%d bytes of descriptors, %d given", n, len(b)-4)
		}
		seen := map[byte]uint32{}
		for d := b[4:]; len(d) >= 20; d = d[20:] {
			if _, ok := seen[d[0]]; !ok {
				seen[d[0]] = binary.BigEndian.Uint32(d[16:])
			}
		}
		for _, op := range []byte{0x00, 0x01, 0x04, 0x08, 0x0a, 0x10, 0x11, 0x19, 0x1b, 0x2b, 0x34, 0x44, 0x4d, 0x5a, 0x82, 0x8c, 0x8d, 0x91, 0x92, 0xa2, 0xb5} {
			if limit := seen[op]; limit == 0 || limit == 1<<32-1 {
				t.Errorf("opcode %02x: recommended timeout %d", op, limit)
			}
		}
	})
	run(t, "an operation code that is not there", func(t *testing.T) {
		h := login(t)
		h.is(h.none(0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), "opcode anybits")
	})
	run(t, "RECEIVE and SEND DIAGNOSTIC, READ BUFFER", func(t *testing.T) {
		h := login(t)
		h.is(h.none(0x1d, 4, 0, 0, 0, 0), "good")
		h.good(h.in([]byte{0x1c, 1, 0, 0, 255, 0}, 255))
		h.good(h.in([]byte{0x3c, 3, 0, 0, 0, 0, 0, 0, 4, 0}, 4))
	})
	run(t, "timestamp is set and counts on (IBM's driver for Windows)", func(t *testing.T) {
		h := login(t)
		h.is(h.out([]byte{0xa4, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0}, []byte{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0}), "good")
		b := h.good(h.in([]byte{0xa3, 0x0f, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0}, 12)).Data
		if len(b) != 12 || number(b[4:10]) < 0x010203040506 || number(b[4:10]) > 0x010203040506+60000 {
			t.Errorf("%x", b)
		}
	})
}
