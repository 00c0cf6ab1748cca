//go:build system

package sam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/targate/targate/test/initiator"
)

const copyAborted = 0xa

// cscd is an identification descriptor CSCD descriptor of a LUN by its NAA designator
// (SPC-4, 6.4.5.2).
func (h *host) cscd(lun uint16, blockSize uint32) []byte {
	h.t.Helper()
	r := h.in(lun, inquiry(0x83, 1024), 1024)
	h.good(r)
	for b := r.Data[4:]; len(b) >= 4; b = b[4+int(b[3]):] {
		if b[1]&0x3f != 3 {
			continue
		}
		d := make([]byte, 32)
		d[0] = 0xe4
		copy(d[4:], b[:4+int(b[3])])
		d[29], d[30], d[31] = byte(blockSize>>16), byte(blockSize>>8), byte(blockSize)
		return d
	}
	h.t.Fatal("no NAA designator")
	return nil
}

// segment copies n blocks from the first to the second CSCD descriptor.
func segment(src, dst uint16, srcLBA, dstLBA uint64, n uint16) []byte {
	b := make([]byte, 28)
	b[0], b[3] = 2, 24
	binary.BigEndian.PutUint16(b[4:], src)
	binary.BigEndian.PutUint16(b[6:], dst)
	binary.BigEndian.PutUint16(b[10:], n)
	binary.BigEndian.PutUint64(b[12:], srcLBA)
	binary.BigEndian.PutUint64(b[20:], dstLBA)
	return b
}

// join puts descriptors one after another.
func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func lid1(id byte, targets, segments []byte) []byte {
	b := make([]byte, 16)
	b[0] = id
	binary.BigEndian.PutUint16(b[2:], uint16(len(targets)))
	binary.BigEndian.PutUint32(b[8:], uint32(len(segments)))
	return join(b, targets, segments)
}

func lid4(id uint32, targets, segments []byte) []byte {
	b := make([]byte, 48)
	b[0], b[3], b[16] = 1, 32, 0xff
	binary.BigEndian.PutUint32(b[20:], id)
	binary.BigEndian.PutUint16(b[42:], uint16(len(targets)))
	binary.BigEndian.PutUint16(b[44:], uint16(len(segments)))
	return join(b, targets, segments)
}

func (h *host) copy(lun uint16, action byte, list []byte) *initiator.Result {
	h.t.Helper()
	cdb := make([]byte, 16)
	cdb[0], cdb[1] = 0x83, action
	binary.BigEndian.PutUint32(cdb[10:], uint32(len(list)))
	return h.out(lun, cdb, list)
}

// numbered fills n blocks so that each differs.
func (h *host) numbered(lun uint16, lba, n int, salt uint64) []byte {
	h.t.Helper()
	b := make([]byte, 512*n)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], salt<<32|uint64(i))
	}
	h.good(h.out(lun, write10(lba, n), b))
	return b
}

func (h *host) reads(lun uint16, lba int, want []byte) {
	h.t.Helper()
	r := h.in(lun, read10(lba, len(want)/512), len(want))
	h.good(r)
	for i := 0; i < len(want); i += 512 {
		if !bytes.Equal(r.Data[i:i+512], want[i:i+512]) {
			h.t.Fatalf("block %d is another: %x, want %x", lba+i/512, r.Data[i:i+16], want[i:i+16])
		}
	}
}

func testCopy(t *testing.T) {
	pairs := []struct {
		name     string
		src, dst uint16
	}{
		{"mem to other", lunMem, lunOther}, {"mem to file", lunMem, lunFile}, {"file to mem", lunFile, lunMem},
		{"filtered to file", lunHeld, lunFile}, {"within mem", lunMem, lunMem}, {"within file", lunFile, lunFile},
	}
	for i, p := range pairs {
		for _, form := range []struct {
			action byte
			list   func(targets, segments []byte) []byte
		}{
			{0, func(a, b []byte) []byte { return lid1(byte(i+1), a, b) }},
			{1, func(a, b []byte) []byte { return lid4(uint32(i+1), a, b) }},
		} {
			run(t, fmt.Sprintf("6.4 EXTENDED COPY(LID%d) %s", 1+3*form.action, p.name), func(t *testing.T) {
				h := login(t)
				want := h.numbered(p.src, 2000, 100, uint64(i+1))
				h.write(p.dst, 4999, 102, 0x55)
				targets := join(h.cscd(p.src, 512), h.cscd(p.dst, 512))
				h.good(h.copy(p.dst, form.action, form.list(targets, join(segment(0, 1, 2000, 5000, 60), segment(0, 1, 2060, 5060, 40)))))
				h.reads(p.dst, 5000, want)
				h.holds(p.dst, 4999, 1, 0x55)
				h.holds(p.dst, 5100, 1, 0x55)
				h.reads(p.src, 2000, want)
			})
		}
		run(t, "SBC-4-5.22 ODX "+p.name, func(t *testing.T) {
			h := login(t)
			want := h.numbered(p.src, 2000, 100, uint64(i+50))
			h.write(p.dst, 4999, 102, 0x55)
			token := h.token(p.src, 7, 2000, 100)
			h.good(h.useToken(p.dst, 8, token, 0, 5000, 30, 5030, 70))
			h.reads(p.dst, 5000, want)
			h.holds(p.dst, 4999, 1, 0x55)
			h.holds(p.dst, 5100, 1, 0x55)
			h.good(h.useToken(p.dst, 9, token, 25, 6000, 10)) // with an offset into the ROD
			h.reads(p.dst, 6000, want[25*512:35*512])
		})
	}
	run(t, "6.4 a copy to another block length", func(t *testing.T) {
		h := login(t)
		want := h.numbered(lunMem, 2000, 64, 90)
		seg := segment(0, 1, 2000, 500, 64)
		h.good(h.copy(lun4K, 0, lid1(90, join(h.cscd(lunMem, 512), h.cscd(lun4K, 4096)), seg)))
		r := h.in(lun4K, read10(500, 8), 8*4096)
		h.good(r)
		if !bytes.Equal(r.Data, want) {
			t.Error("the copy differs")
		}
	})
	run(t, "6.4 an empty list copies nothing", func(t *testing.T) {
		h := login(t)
		h.good(h.copy(lunMem, 0, nil))
	})
	run(t, "6.4 a designator of nobody", func(t *testing.T) {
		h := login(t)
		bad := h.cscd(lunOther, 512)
		bad[12] ^= 0xff
		r := h.copy(lunMem, 0, lid1(91, join(h.cscd(lunMem, 512), bad), segment(0, 1, 0, 0, 1)))
		h.is(r, checkCond)
		if r.Key() != copyAborted {
			t.Errorf("sense %x/%04x, want COPY ABORTED", r.Key(), r.Code())
		}
	})
	run(t, "6.4 a logical unit that the nexus does not see", func(t *testing.T) {
		all, few := login(t), login(t, to(iqnGroups)) // sees only the disk that grows
		hidden := all.cscd(lunFile, 512)
		few.write(0, 0, 1, 1)
		all.write(lunFile, 7000, 1, 0x31)
		r := few.copy(0, 0, lid1(92, join(few.cscd(0, 512), hidden), segment(0, 1, 0, 7000, 1)))
		few.is(r, checkCond)
		all.holds(lunFile, 7000, 1, 0x31)
	})
	run(t, "6.4 a read-only LUN is not copied to", func(t *testing.T) {
		few := login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-b2"))
		h := login(t)
		h.write(lunOther, 7000, 1, 0x31)
		d := few.cscd(1, 512)
		r := few.copy(1, 0, lid1(93, d, segment(0, 0, 0, 7000, 1)))
		few.is(r, checkCond)
		h.holds(lunOther, 7000, 1, 0x31)
	})
	run(t, "6.4 a segment beyond the end copies nothing beyond", func(t *testing.T) {
		h := login(t)
		d := join(h.cscd(lunMem, 512), h.cscd(lunOther, 512))
		h.is(h.copy(lunMem, 0, lid1(94, d, segment(0, 1, 16380, 0, 8))), checkCond)
	})
	run(t, "6.4 a segment type that we do not have", func(t *testing.T) {
		h := login(t)
		seg := segment(0, 1, 0, 0, 1)
		seg[0] = 0x3f
		h.fails(h.copy(lunMem, 0, lid1(95, join(h.cscd(lunMem, 512), h.cscd(lunOther, 512)), seg)), illegal, 0x2609)
	})
	run(t, "6.4 a CSCD descriptor that is not there", func(t *testing.T) {
		h := login(t)
		h.is(h.copy(lunMem, 0, lid1(96, h.cscd(lunMem, 512), segment(0, 5, 0, 0, 1))), checkCond)
	})
	run(t, "6.4 a list cut short", func(t *testing.T) {
		h := login(t)
		list := lid1(97, join(h.cscd(lunMem, 512), h.cscd(lunOther, 512)), segment(0, 1, 0, 0, 1))
		h.fails(h.copy(lunMem, 0, list[:len(list)-8]), illegal, paramLength)
	})
	run(t, "6.4 a bad block says COPY ABORTED", func(t *testing.T) {
		h := login(t)
		h.write(lunBroken, brokenRead, 1, 1)
		h.write(lunOther, 7000, 1, 0x31)
		r := h.copy(lunOther, 0, lid1(98, join(h.cscd(lunBroken, 512), h.cscd(lunOther, 512)), segment(0, 1, brokenRead, 7000, 1)))
		h.is(r, checkCond)
		if r.Key() != copyAborted {
			t.Errorf("sense %x/%04x, want COPY ABORTED", r.Key(), r.Code())
		}
		h.holds(lunOther, 7000, 1, 0x31)
	})
	run(t, "6.4 reservations keep a copy away", func(t *testing.T) {
		holder, h := registrant(t, 0xa1), login(t)
		h.write(lunOther, 7000, 1, 0x31)
		holder.good(holder.prOut(prReserve, writeExclusive, 0xa1, 0, 0))
		r := h.copy(lunMem, 0, lid1(99, join(h.cscd(lunMem, 512), h.cscd(lunOther, 512)), segment(0, 1, 0, 7000, 1)))
		if r.Status == good {
			t.Error("the copy was carried out")
		}
		h.holds(lunOther, 7000, 1, 0x31)
	})
	run(t, "6.4 an aborted copy writes nothing later", func(t *testing.T) {
		h := login(t)
		h.write(lunHeld, kept, 8, 0x11)
		tr, release := held(t, lunHeld)
		list := lid1(100, join(h.cscd(lunMem, 512), h.cscd(lunHeld, 512)), join(segment(0, 1, 0, kept, 8), segment(0, 1, 0, 5000, 8)))
		cdb := make([]byte, 16)
		cdb[0], cdb[13] = 0x83, byte(len(list))
		h.write(lunMem, 0, 8, 0xcc)
		task := h.start(&initiator.Command{LUN: lunHeld, CDB: cdb, Out: list})
		tr.wait(t, begins("write", kept, 8))
		f, err := h.StartTMF(initiator.AbortTask, lunHeld, task.ITT, task.CmdSN())
		if err != nil {
			t.Fatal(err)
		}
		h.isOpen(f, "ABORT TASK")
		release()
		if got := h.final(f).BHS[2]; got != initiator.FunctionComplete {
			t.Errorf("response %d", got)
		}
		h.Forget(task)
		if tr.index(begins("write", 5000, 8)) >= 0 {
			t.Error("the second segment was copied")
		}
	})
	run(t, "6.17 RECEIVE COPY OPERATING PARAMETERS", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, []byte{0x84, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}, 1024)
		h.good(r)
		if len(r.Data) < 44 || int(binary.BigEndian.Uint32(r.Data))+4 != len(r.Data) {
			t.Fatalf("got %x", r.Data)
		}
		if codes := r.Data[44:]; !bytes.Contains(codes, []byte{0x02}) || !bytes.Contains(codes, []byte{0xe4}) {
			t.Errorf("implemented descriptors %x", codes)
		}
	})
	run(t, "6.18 RECEIVE COPY STATUS(LID1)", func(t *testing.T) {
		h := login(t)
		h.good(h.copy(lunMem, 0, lid1(101, join(h.cscd(lunMem, 512), h.cscd(lunOther, 512)), segment(0, 1, 0, 7000, 8))))
		r := h.in(lunMem, []byte{0x84, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0}, 64)
		h.good(r)
		if len(r.Data) < 12 || r.Data[4]&0x7f != 1 || binary.BigEndian.Uint16(r.Data[5:]) != 1 {
			t.Errorf("got %x", r.Data)
		}
	})
	run(t, "SBC-4-5.22 the zero token", func(t *testing.T) {
		h := login(t)
		h.write(lunFile, 5000, 100, 0x55)
		zero := make([]byte, 512)
		copy(zero, []byte{0xff, 0xff, 0, 1, 0, 0, 1, 0xf8})
		h.good(h.useToken(lunFile, 20, zero, 0, 5010, 50))
		h.holds(lunFile, 5000, 10, 0x55)
		h.holds(lunFile, 5010, 50, 0)
		h.holds(lunFile, 5060, 40, 0x55)
	})
	run(t, "SBC-4-5.22 a token that nobody made", func(t *testing.T) {
		h := login(t)
		token := h.token(lunMem, 21, 0, 8)
		token[500] ^= 1
		h.write(lunOther, 7000, 8, 0x31)
		r := h.useToken(lunOther, 22, token, 0, 7000, 8)
		h.is(r, checkCond)
		if r.Key() != illegal || r.Code()>>8 != 0x23 {
			t.Errorf("sense %x/%04x, want INVALID TOKEN OPERATION", r.Key(), r.Code())
		}
		h.holds(lunOther, 7000, 8, 0x31)
	})
	run(t, "SBC-4-5.22 more blocks than the token has", func(t *testing.T) {
		h := login(t)
		h.is(h.useToken(lunOther, 24, h.token(lunMem, 23, 0, 8), 0, 7000, 9), checkCond)
	})
	run(t, "SBC-4-5.22 a token is one state of its blocks or the present one", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, 3000, 8, 1)
		token := h.token(lunMem, 25, 3000, 8)
		h.write(lunMem, 3000, 8, 2)
		if r := h.useToken(lunOther, 26, token, 0, 7000, 8); r.Status == good {
			got := h.in(lunOther, read10(7000, 8), 4096)
			if b := got.Data; !bytes.Equal(b, fill(8, 1)) && !bytes.Equal(b, fill(8, 2)) {
				t.Error("a mixture was copied")
			}
		}
	})
	run(t, "SBC-4-5.22 overlapping ranges are refused", func(t *testing.T) {
		h := login(t)
		token := h.token(lunMem, 27, 0, 16)
		h.is(h.useToken(lunOther, 28, token, 0, 7000, 8, 7004, 8), checkCond)
	})
}

// ranges are block device range descriptors of pairs of first block and number.
func ranges(pairs ...uint64) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = binary.BigEndian.AppendUint64(b, pairs[i])
		b = binary.BigEndian.AppendUint32(b, uint32(pairs[i+1]))
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

// tokenCDB is a command of opcode 83h or 84h with a list identifier of four bytes.
func tokenCDB(op, action byte, idAt int, id uint32, n int) []byte {
	b := make([]byte, 16)
	b[0], b[1] = op, action
	binary.BigEndian.PutUint32(b[idAt:], id)
	binary.BigEndian.PutUint32(b[10:], uint32(n))
	return b
}

// token makes a ROD token of ranges by POPULATE TOKEN and fetches it.
func (h *host) token(lun uint16, id uint32, pairs ...uint64) []byte {
	h.t.Helper()
	r := ranges(pairs...)
	list := make([]byte, 16)
	binary.BigEndian.PutUint16(list, uint16(14+len(r)))
	binary.BigEndian.PutUint16(list[14:], uint16(len(r)))
	list = append(list, r...)
	h.good(h.out(lun, tokenCDB(0x83, 0x10, 6, id, len(list)), list))
	res := h.in(lun, tokenCDB(0x84, 0x07, 2, id, 1024), 1024)
	h.good(res)
	b := res.Data
	if len(b) < 36 {
		h.t.Fatalf("RECEIVE ROD TOKEN INFORMATION gave %x", b)
	}
	at := 32 + int(b[14]) // behind the sense data
	if n := int(binary.BigEndian.Uint32(b[at:])); n != 514 || len(b) < at+4+n {
		h.t.Fatalf("ROD TOKEN DESCRIPTORS LENGTH %d: %x", n, b[:at+4])
	}
	return b[at+6 : at+6+512]
}

// useToken is WRITE USING TOKEN from an offset into the ROD to ranges.
func (h *host) useToken(lun uint16, id uint32, token []byte, offset uint64, pairs ...uint64) *initiator.Result {
	h.t.Helper()
	r := ranges(pairs...)
	list := make([]byte, 536)
	binary.BigEndian.PutUint16(list, uint16(534+len(r)))
	binary.BigEndian.PutUint64(list[8:], offset)
	copy(list[16:], token)
	binary.BigEndian.PutUint16(list[534:], uint16(len(r)))
	list = append(list, r...)
	return h.out(lun, tokenCDB(0x83, 0x11, 6, id, len(list)), list)
}
