//go:build system

package sam

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// command is a row of REPORT SUPPORTED OPERATION CODES with its CDB usage data.
type command struct {
	code   byte
	action int // -1: the opcode has none
	usage  []byte
}

func (c command) String() string {
	if c.action < 0 {
		return fmt.Sprintf("%02xh", c.code)
	}
	return fmt.Sprintf("%02xh-%02xh", c.code, c.action)
}

// cdb is the command with all other fields zero.
func (c command) cdb() []byte {
	b := make([]byte, len(c.usage))
	b[0] = c.code
	switch {
	case c.action < 0:
	case c.code == 0x7f:
		b[7] = byte(len(b) - 8)
		binary.BigEndian.PutUint16(b[8:], uint16(c.action))
	default:
		b[1] = byte(c.action)
	}
	return b
}

// supported asks the logical unit for its commands (SPC-6, 6.31).
func supported(h *host, lun uint16) []command {
	h.t.Helper()
	r := h.in(lun, []byte{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0}, 0x4000)
	h.good(r)
	var all []command
	for b := range slices.Chunk(r.Data[4:], 8) {
		c := command{code: b[0], action: -1}
		opt, action := byte(1), uint16(0)
		if b[5]&1 != 0 {
			opt, action = 2, binary.BigEndian.Uint16(b[2:])
			c.action = int(action)
		}
		one := h.in(lun, []byte{0xa3, 0x0c, opt, c.code, byte(action >> 8), byte(action), 0, 0, 1, 0, 0, 0}, 256)
		h.good(one)
		n := int(binary.BigEndian.Uint16(one.Data[2:]))
		if one.Data[1]&7 != 3 || n != int(binary.BigEndian.Uint16(b[6:])) || len(one.Data) != 4+n {
			h.t.Fatalf("%v: one_command says %x, all_commands %x", c, one.Data, b)
		}
		c.usage = one.Data[4:]
		all = append(all, c)
	}
	return all
}

// testRows has a case for each command and each thing that the core does for all.
func testRows(t *testing.T) {
	list := supported(login(t), lunMem)
	if len(list) < 50 {
		t.Fatalf("only %d commands", len(list))
	}
	for _, c := range list {
		run(t, "4.2.3 reserved bits of "+c.String(), func(t *testing.T) {
			h := login(t)
			tried := 0
			for i := 1; i < len(c.usage); i++ {
				for bit := range 8 {
					cdb := c.cdb()
					if c.usage[i]>>bit&1 != 0 || c.isAction(i, bit) {
						continue
					}
					cdb[i] |= 1 << bit
					tried++
					r := h.do(&initiator.Command{LUN: lunMem, CDB: cdb})
					if r.Status != checkCond || r.Key() != illegal || r.Code() != invalidCDB {
						t.Errorf("byte %d bit %d: %v", i, bit, r.Err())
						continue
					}
					if at, atBit, ok := fieldPointer(r.Sense); !ok || at != i || atBit >= 0 && atBit < bit {
						t.Errorf("byte %d bit %d: the field pointer says byte %d bit %d (%v)", i, bit, at, atBit, ok)
					}
				}
			}
			if tried == 0 {
				t.Log("every bit of this command is used")
			}
		})
	}
	for _, c := range list {
		switch c.code {
		case 0x04, 0x1b, 0x48: // FORMAT UNIT, START STOP UNIT, SANITIZE do something with all fields zero
			continue
		}
		run(t, "4.4 announced the wrong way "+c.String(), func(t *testing.T) { announcesWrong(t, c) })
	}
	for _, code := range []byte{0x19, 0x2d, 0x5b, 0x60, 0xb8, 0xc0, 0xf7, 0xff} {
		run(t, fmt.Sprintf("5.3 no command %02xh", code), func(t *testing.T) {
			h := login(t)
			cdb := make([]byte, 16)
			cdb[0] = code
			h.fails(h.none(lunMem, cdb), illegal, invalidOpcode)
		})
	}
	seen := map[byte]bool{}
	for _, c := range list {
		if c.action < 0 || seen[c.code] {
			continue
		}
		seen[c.code] = true
		run(t, fmt.Sprintf("5.3 no service action 1dh of %02xh", c.code), func(t *testing.T) {
			h := login(t)
			d := c
			d.action = 0x1d
			r := h.none(lunMem, d.cdb())
			h.fails(r, illegal, invalidCDB)
			want := 1
			if c.code == 0x7f {
				want = 8
			}
			if at, _, ok := fieldPointer(r.Sense); !ok || at != want {
				t.Errorf("the field pointer says byte %d, want %d", at, want)
			}
		})
	}
	run(t, "6.31 one command with timeouts", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, []byte{0xa3, 0x0c, 0x81, 0x28, 0, 0, 0, 0, 1, 0, 0, 0}, 256)
		h.good(r)
		if len(r.Data) != 4+10+12 || r.Data[1]&0x80 == 0 || binary.BigEndian.Uint16(r.Data[14:]) != 0x0a {
			t.Errorf("got %x", r.Data)
		}
	})
	run(t, "6.31 one command that is not supported", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, []byte{0xa3, 0x0c, 1, 0xc0, 0, 0, 0, 0, 1, 0, 0, 0}, 256)
		h.good(r)
		if len(r.Data) < 2 || r.Data[1]&7 != 1 {
			t.Errorf("got %x, want SUPPORT 001b", r.Data)
		}
	})
	run(t, "6.31 opcode with service actions asked without", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0xa3, 0x0c, 1, 0x9e, 0, 0, 0, 0, 1, 0, 0, 0}, 256), illegal, invalidCDB)
	})
	run(t, "6.31 opcode without service actions asked with", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0xa3, 0x0c, 2, 0x28, 0, 0, 0, 0, 1, 0, 0, 0}, 256), illegal, invalidCDB)
	})
	run(t, "6.32 task management functions", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, []byte{0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0}, 16)
		h.good(r)
		if len(r.Data) != 4 || r.Data[0]&0xf8 != 0xf8 {
			t.Errorf("got %x", r.Data)
		}
	})
	run(t, "4.2 linked commands are refused", func(t *testing.T) {
		h := login(t)
		h.fails(h.none(lunMem, []byte{0, 0, 0, 0, 0, 1}), illegal, invalidCDB)
	})
}

// announcesWrong sends a command that moves nothing, as a read and as a write of a block,
// with each way that an initiator may send data: the command ends, what was announced is
// the residual, and the session goes on.
func announcesWrong(t *testing.T, c command) {
	for _, kv := range [][]string{{}, {"ImmediateData", "No"}, {"InitialR2T", "Yes", "ImmediateData", "No"}} {
		h := login(t, keys(kv...))
		for _, cmd := range []initiator.Command{{In: 512}, {Out: fill(1, 0)}} {
			cmd.LUN, cmd.CDB = lunNull, c.cdb()
			r := h.do(&cmd)
			if r.Status == good && int64(len(r.Data))+max(r.Residual, 0) != 512 && cmd.In > 0 {
				t.Errorf("%d bytes and a residual of %d of 512 announced", len(r.Data), r.Residual)
			}
		}
		h.sense(lunNull)
	}
}

// isAction says whether a bit of the CDB belongs to its service action or its length.
func (c command) isAction(i, bit int) bool {
	if c.code == 0x7f {
		return i >= 7 && i <= 9
	}
	return c.action >= 0 && i == 1 && bit < 5
}

// fieldPointer reads the SENSE KEY SPECIFIC bytes of fixed format sense data (SPC-6,
// 4.4.2.4.2) of a field in the CDB; bit is -1 when it is not given.
func fieldPointer(sense []byte) (at, bit int, ok bool) {
	return pointer(sense, 0xc0)
}

// listPointer is fieldPointer for a field of a parameter list.
func listPointer(sense []byte) (at, bit int, ok bool) {
	return pointer(sense, 0x80)
}

func pointer(sense []byte, kind byte) (at, bit int, ok bool) {
	if len(sense) < 18 || sense[15]&0xc0 != kind {
		return 0, 0, false
	}
	bit = -1
	if sense[15]&8 != 0 {
		bit = int(sense[15] & 7)
	}
	return int(binary.BigEndian.Uint16(sense[16:])), bit, true
}

// testAllocationLength cuts the answers of commands with an ALLOCATION LENGTH at 0, 1,
// one less than there is, all of it, and one more.
func testAllocationLength(t *testing.T) {
	for _, c := range []struct {
		name       string
		cdb        []byte
		off, width int
	}{
		{"INQUIRY", inquiry(-1, 0), 3, 2},
		{"INQUIRY page 00h", inquiry(0, 0), 3, 2},
		{"INQUIRY page 80h", inquiry(0x80, 0), 3, 2},
		{"INQUIRY page 83h", inquiry(0x83, 0), 3, 2},
		{"INQUIRY page B0h", inquiry(0xb0, 0), 3, 2},
		{"MODE SENSE(6)", []byte{0x1a, 0, 0x3f, 0, 0, 0}, 4, 1},
		{"MODE SENSE(10)", []byte{0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0, 0, 0}, 7, 2},
		{"LOG SENSE", []byte{0x4d, 0, 0x40, 0, 0, 0, 0, 0, 0, 0}, 7, 2},
		{"REQUEST SENSE", []byte{0x03, 0, 0, 0, 0, 0}, 4, 1},
		{"READ CAPACITY(16)", []byte{0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, 4},
		{"REPORT SUPPORTED OPERATION CODES", []byte{0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
		{"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", []byte{0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
		{"READ DEFECT DATA(12)", []byte{0xb7, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, 4},
	} {
		run(t, c.name, func(t *testing.T) {
			h := login(t)
			ask := func(n int) *initiator.Result {
				cdb := slices.Clone(c.cdb)
				var b [8]byte
				binary.BigEndian.PutUint64(b[:], uint64(n))
				copy(cdb[c.off:c.off+c.width], b[8-c.width:])
				return h.in(lunMem, cdb, 4096)
			}
			most := min(4096, 1<<(8*c.width)-1)
			whole := ask(most)
			h.good(whole)
			n := len(whole.Data)
			if n == 0 || n == most {
				t.Fatalf("%d bytes of %d", n, most)
			}
			for _, length := range []int{0, 1, n - 1, n, n + 1} {
				r := ask(length)
				h.good(r)
				if want := min(length, n); len(r.Data) != want || length > 0 && r.Data[0] != whole.Data[0] {
					t.Errorf("allocation length %d: %d bytes, want %d", length, len(r.Data), want)
				}
				h.residual(r, int64(4096-min(length, n)))
			}
		})
	}
	run(t, "GET LBA STATUS", func(t *testing.T) { // may return fewer descriptors than would fit
		h := login(t)
		for _, n := range []int{0, 1, 8, 23, 24} {
			r := h.in(lunMem, []byte{0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(n), 0, 0}, 256)
			h.good(r)
			if len(r.Data) != n {
				t.Errorf("allocation length %d: %d bytes", n, len(r.Data))
			}
		}
	})
	run(t, "REPORT LUNS below 16", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0}, 64), illegal, invalidCDB)
	})
	run(t, "REPORT LUNS cut in an entry", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0}, 64)
		h.good(r)
		if len(r.Data) != 19 || binary.BigEndian.Uint32(r.Data) < 8*8 {
			t.Errorf("got %x", r.Data)
		}
	})
}
