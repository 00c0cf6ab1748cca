package sbc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// TestMediumChecks: each RDPROTECT and VRPROTECT (BYTCHK 00b) value, each type, each
// field that can be wrong on the medium (SBC-4, the tables of 5.13 and 5.36).
func TestMediumChecks(t *testing.T) {
	// what SBC-4 has checked, written down once more
	want := [6]string{"gar", "gar", "ar", "", "g", "gar"}
	letters := map[checks]string{checkGuard: "g", checkApp: "a", checkRef: "r"}
	for kind := uint8(1); kind <= 3; kind++ {
		for _, f := range append(slices.Clone(readForms), verifyForms...) {
			for protect := range byte(6) {
				if f.long && kind != 2 || protect != 0 && !f.carries(kind) {
					continue
				}
				t.Run(fmt.Sprintf("type_%d/%s/PROTECT_%d", kind, f.name, protect), func(t *testing.T) {
					r := newProtectedRig(t, kind, nil)
					r.set(true, false)
					data := fill(7, 3)
					r.good(cdb10(0x2a, 0, 100, 3), data)
					for _, fault := range faults {
						for i := range 3 {
							r.setTuple(100+i, right(data[i*512:][:512], uint64(100+i)))
						}
						cdb := f.cdb(protect<<5, 100, 3)
						r.good(cdb, nil)
						v := right(data[:512], 101)
						fault.spoil(&v)
						r.setTuple(101, v)
						if strings.Contains(want[protect], letters[fault.field]) && known(fault.field, kind, f, true) {
							e := r.bad(cdb, nil, sense.AbortedCommand, fault.code)
							if !e.HasInfo || e.Info != 101 {
								t.Errorf("%v: information %d, want 101", fault.code, e.Info)
							}
						} else {
							r.good(cdb, nil)
						}
						// the escape of the type: nothing is checked
						v.app = 0xffff
						if kind == 3 {
							v.ref = 0xffffffff
						}
						r.setTuple(101, v)
						r.good(cdb, nil)
					}
				})
			}
		}
	}
}

// TestDPICZ: with DPICZ 1, nothing is checked where the PROTECT field is zero
// (SPC-6, 7.5.9).
func TestDPICZ(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	r.good(cdb10(0x2a, 0, 0, 1), fill(1, 1))
	r.setTuple(0, tuple{})
	cdb := cdb10(0x28, 0, 0, 1)
	r.bad(cdb, nil, sense.AbortedCommand, sense.GuardCheckFailed)
	r.set(false, true)
	r.good(cdb, nil)
	r.good(cdb10(0x2f, 0, 0, 1), nil)
	r.bad(cdb10(0x28, 1<<5, 0, 1), nil, sense.AbortedCommand, sense.GuardCheckFailed)
}

// TestTransferChecks: each WRPROTECT and ORPROTECT value, and VRPROTECT with BYTCHK 01b:
// what is checked in the Data-Out (SBC-4, the tables of 5.40 and 5.36).
func TestTransferChecks(t *testing.T) {
	want := [6][]sense.Code{
		1: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
		2: {appTagCheckFailed, refTagCheckFailed},
		3: {}, 4: {sense.GuardCheckFailed},
		5: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
	}
	for kind := uint8(1); kind <= 3; kind++ {
		for _, f := range slices.Concat(writeForms, writeVerifyForms, verifyForms, otherForms, sameForms) {
			for protect := byte(1); protect < 6 && f.carries(kind); protect++ {
				t.Run(fmt.Sprintf("type_%d/%s/PROTECT_%d", kind, f.name, protect), func(t *testing.T) {
					for _, fault := range faults {
						bad := slices.Contains(want[protect], fault.code) && known(fault.field, kind, f, true)
						sendFault(t, kind, f, protect, fault.spoil, fault.code, bad)
					}
					// the escape holds for the medium only
					bad := slices.Contains(want[protect], appTagCheckFailed) && known(checkApp, kind, f, true)
					sendFault(t, kind, f, protect, func(v *tuple) { v.app = 0xffff }, appTagCheckFailed, bad)
				})
			}
		}
	}
}

// sendFault sends f with protection information of which the last block's is spoilt. It
// expects code if bad, else that what was sent is on the medium.
func sendFault(t *testing.T, kind uint8, f form, protect byte, spoil func(*tuple), code sense.Code, bad bool) {
	t.Helper()
	const lba = 100
	r := newProtectedRig(t, kind, nil)
	r.set(true, false)
	data, v := fill(7, 2), []tuple{right(fill(7, 1), lba), right(fill(7, 1), lba+1)}
	if strings.HasPrefix(f.name, "WRITE SAME") {
		data, v = data[:512], v[:1]
	}
	last := len(v) - 1
	spoil(&v[last])
	out, flags := with(data, v...), protect<<5
	switch {
	case strings.HasPrefix(f.name, "VERIFY"):
		flags |= bytchkData << 1
		r.good(cdb10(0x2a, 0, lba, 2), data)
		for i := range v { // so that the comparison finds no fault
			r.setTuple(lba+i, v[i])
		}
	case f.name == "COMPARE AND WRITE":
		zeros := make([]byte, 512)
		out = append(with(fill(0, 2), right(zeros, lba), right(zeros, lba+1)), out...)
	}
	before := r.tuples(lba, 2)
	cdb := f.cdb(flags, lba, uint32(len(v)))
	if bad {
		if e := r.bad(cdb, out, sense.AbortedCommand, code); !e.HasInfo || e.Info != uint64(lba+last) {
			t.Errorf("%02Xh/%02Xh: information %d", code.ASC(), code.ASCQ(), e.Info)
		}
		if !slices.Equal(r.tuples(lba, 2), before) {
			t.Error("something was written")
		}
		return
	}
	r.good(cdb, out)
	if f.name == "ORWRITE(16)" { // makes the guard
		v[last].guard = guard(data[:512])
	}
	if got := r.tuples(lba, len(v)); !slices.Equal(got, v) {
		t.Errorf("%02Xh/%02Xh: the medium has %x, want %x as sent", code.ASC(), code.ASCQ(), got, v)
	}
}

// TestProtectValues: which values of a PROTECT field are refused, and how (SBC-4, the
// tables of 5.13, 5.36 and 5.40, and 4.21.2.4).
func TestProtectValues(t *testing.T) {
	all := slices.Concat(readForms, verifyForms, writeForms, writeVerifyForms, sameForms, otherForms)
	for kind := range uint8(4) {
		r := newProtectedRig(t, kind, nil)
		for _, f := range all {
			for protect := range byte(8) {
				flags := protect << 5
				cdb := f.cdb(flags, 0, 1)
				at := 1
				if f.long {
					at = 10
				}
				t.Run(fmt.Sprintf("type_%d/%s/%d", kind, f.name, protect), func(t *testing.T) {
					r.t = t
					out := make([]byte, 2*(512+tupleLen))
					switch {
					case f.long && kind != 2:
						r.bad(cdb, out, sense.IllegalRequest, sense.InvalidOpcode)
					case protect > maxProtect, kind == 0 && protect != 0:
						r.field(cdb, out, at)
					case protect != 0 && kind == 2 && !f.long:
						r.bad(cdb, out, sense.IllegalRequest, sense.InvalidOpcode)
					}
				})
			}
		}
	}
	// a disk that does not support it has no such field, and no 32-byte commands
	r := newRig(t, nil)
	for _, f := range all {
		if f.long {
			r.bad(f.cdb(0, 0, 1), nil, sense.IllegalRequest, sense.InvalidOpcode)
			continue
		}
		for protect := byte(1); protect < 8; protect++ {
			r.field(f.cdb(protect<<5, 0, 1), nil, 1)
		}
	}
}

// TestMade: the protection information of what is written without (WRPROTECT 000b), and
// that it comes back.
func TestMade(t *testing.T) {
	data := append(fill(1, 1), fill(2, 1)...)
	g := []uint16{guard(data[:512]), guard(data[512:])}
	for _, c := range []struct {
		kind uint8
		ato  bool
		want []tuple
	}{
		{1, false, []tuple{{g[0], 0, 500}, {g[1], 0, 501}}},
		{1, true, []tuple{{g[0], 0xffff, 500}, {g[1], 0xffff, 501}}},
		{2, false, []tuple{{g[0], 0xffff, 0xffffffff}, {g[1], 0xffff, 0xffffffff}}},
		{3, false, []tuple{{g[0], 0, 0xffffffff}, {g[1], 0, 0xffffffff}}},
		{3, true, []tuple{{g[0], 0xffff, 0xffffffff}, {g[1], 0xffff, 0xffffffff}}},
	} {
		t.Run(fmt.Sprintf("type_%d/ato_%t", c.kind, c.ato), func(t *testing.T) {
			r := newProtectedRig(t, c.kind, nil)
			r.set(c.ato, false)
			r.good(cdb10(0x2a, 0, 500, 2), data)
			if got := r.tuples(500, 2); !slices.Equal(got, c.want) {
				t.Errorf("%x, want %x", got, c.want)
			}
			read := cdb10(0x28, 1<<5, 499, 4)
			if c.kind == 2 {
				read = tagged(0x09, 1<<5, 499, 4, 1, 0, 0)
			}
			want := with(slices.Concat(fill(0, 1), data, fill(0, 1)), noCheck, c.want[0], c.want[1], noCheck)
			if got := r.good(read, nil); !bytes.Equal(got, want) {
				t.Error("READ with protection information returns something else")
			}
			if got := r.good(cdb10(0x28, 0, 499, 4), nil); !bytes.Equal(got, slices.Concat(fill(0, 1), data, fill(0, 1))) {
				t.Error("READ without returns something else")
			}
		})
	}
}

// TestReadPart: an initiator that expects less, down to a part of the protection
// information.
func TestReadPart(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	r.good(cdb10(0x2a, 0, 0, 2), fill(3, 2))
	whole := r.good(cdb10(0x28, 1<<5, 0, 2), nil)
	for _, n := range []int{0, 1, 511, 512, 513, 519, 520, 521, 1039, 1040, 2000} {
		res := coretest.Do(r.path, cdb10(0x28, 1<<5, 0, 2), nil, n)
		if !res.Good() || !bytes.Equal(res.Data, whole[:min(n, len(whole))]) || res.InLen != 1040 {
			t.Errorf("%d bytes: %v, %d of %d", n, res, len(res.Data), res.InLen)
		}
	}
	// Data-Out that is not whole blocks with their protection information
	r.bad(cdb10(0x2a, 1<<5, 0, 2), make([]byte, 1024), sense.IllegalRequest, invalidFieldInIU)
}

// TestVerifyCompare: VERIFY with BYTCHK 01b and 11b compares the protection information
// (SBC-4, 5.36); the sense key is MISCOMPARE.
func TestVerifyCompare(t *testing.T) {
	want := [6][]sense.Code{
		1: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
		2: {appTagCheckFailed, refTagCheckFailed},
		3: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
		4: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
		5: {sense.GuardCheckFailed, appTagCheckFailed, refTagCheckFailed},
	}
	at := map[checks]uint64{checkGuard: 0, checkApp: 2, checkRef: 4}
	data := fill(9, 2)
	v := []tuple{right(data[:512], 20), right(data[:512], 21)}
	for kind := uint8(1); kind <= 3; kind++ {
		f := verifyForms[0]
		if kind == 2 {
			f = verifyForms[1]
		}
		for protect := byte(1); protect < 6; protect++ {
			for _, ato := range []bool{false, true} {
				for _, fault := range faults {
					r := newProtectedRig(t, kind, nil)
					r.set(ato, false)
					r.good(cdb10(0x2a, 0, 20, 2), data)
					r.setTuple(20, v[0])
					spoilt := v[1]
					fault.spoil(&spoilt)
					r.setTuple(21, spoilt)
					cdb := f.cdb(protect<<5|bytchkData<<1, 20, 2)
					compared := slices.Contains(want[protect], fault.code) &&
						(fault.field != checkApp || ato) && (fault.field != checkRef || kind != 3 || ato)
					if !compared {
						r.good(cdb, with(data, v...))
						continue
					}
					e := r.bad(cdb, with(data, v...), sense.Miscompare, fault.code)
					if e.Info != 520+512+at[fault.field] {
						t.Errorf("type %d, %d: information %d", kind, protect, e.Info)
					}
				}
			}
		}
		// BYTCHK 11b: the reference tag counts up but with type 3
		r := newProtectedRig(t, kind, nil)
		r.set(true, false)
		r.good(cdb10(0x2a, 0, 20, 2), data)
		r.setTuple(20, v[0])
		second := v[1]
		if kind == 3 {
			second.ref = v[0].ref
		}
		r.setTuple(21, second)
		cdb := f.cdb(1<<5|bytchkBlock<<1, 20, 2)
		r.good(cdb, with(data, v[0]))
		second.ref += 5
		r.setTuple(21, second)
		r.bad(cdb, with(data, v[0]), sense.Miscompare, refTagCheckFailed)
	}
	r := newProtectedRig(t, 1, nil)
	r.good(cdb10(0x2a, 0, 20, 2), data)
	other := slices.Clone(data)
	other[600] ^= 1
	if e := r.bad(cdb10(0x2f, bytchkData<<1, 20, 2), other, sense.Miscompare, sense.MiscompareDuringVerify); e.Info != 600 {
		t.Errorf("information %d, want 600", e.Info)
	}
	w := right(other[512:], 21)
	if e := r.bad(cdb10(0x2f, 1<<5|bytchkData<<1, 20, 2), with(other, v[0], w), sense.Miscompare, sense.MiscompareDuringVerify); e.Info != 608 {
		t.Errorf("information %d, want 608", e.Info)
	}
}

// TestWriteSameProtected: what WRITE SAME makes of one block's protection information
// (SBC-4, 5.51), and what it deallocates.
func TestWriteSameProtected(t *testing.T) {
	one := fill(6, 1)
	zero := fill(0, 1)
	for _, c := range []struct {
		name  string
		kind  uint8
		flags byte
		out   []byte
		want  [2]tuple
		holes bool
	}{
		{"made", 1, 0, one, [2]tuple{{guard(one), 0, 64}, {guard(one), 0, 65}}, false},
		{"made_of_zeros", 1, 0, zero, [2]tuple{{0, 0, 64}, {0, 0, 65}}, false},
		{"type_1", 1, 1 << 5, with(one, right(one, 64)), [2]tuple{right(one, 64), right(one, 65)}, false},
		{"type_2", 2, 1 << 5, with(one, right(one, 64)), [2]tuple{right(one, 64), right(one, 65)}, false},
		{"type_3", 3, 1 << 5, with(one, right(one, 64)), [2]tuple{right(one, 64), right(one, 64)}, false},
		{"all_ff", 1, 3 << 5, with(one, noCheck), [2]tuple{noCheck, noCheck}, false},
		{"unmap", 1, wsUnmap, zero, [2]tuple{noCheck, noCheck}, true},
		{"unmap_all_ff", 1, 3<<5 | wsUnmap, with(zero, noCheck), [2]tuple{noCheck, noCheck}, true},
		{"unmap_with_tags", 1, 3<<5 | wsUnmap, with(zero, right(zero, 64)), [2]tuple{right(zero, 64), right(zero, 65)}, false},
		{"unmap_of_data", 1, wsUnmap, one, [2]tuple{{guard(one), 0, 64}, {guard(one), 0, 65}}, false},
		{"no_data_out", 1, wsNDOB, nil, [2]tuple{noCheck, noCheck}, false},
		{"no_data_out_unmap", 1, wsNDOB | wsUnmap, nil, [2]tuple{noCheck, noCheck}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newProtectedRig(t, c.kind, nil)
			r.good(cdb10(0x2a, 0, 60, 120), fill(8, 120))
			cdb := cdb16(0x93, c.flags, 64, 64)
			if c.kind == 2 {
				cdb = tagged(0x0d, c.flags, 64, 64, 64, 0, 0)
			}
			r.good(cdb, c.out)
			if got := r.tuples(64, 64); got[0] != c.want[0] || got[1] != c.want[1] {
				t.Errorf("%x, want %x", got[:2], c.want)
			}
			want := bytes.Repeat(zero, 64)
			if len(c.out) > 0 {
				want = bytes.Repeat(c.out[:512], 64)
			}
			if !bytes.Equal(r.bytes(64, 64), want) {
				t.Error("other data")
			}
			if mapped := r.store.mapped[64*512/testGranularity]; mapped == c.holes {
				t.Errorf("mapped: %t", mapped)
			}
			r.good(cdb10(0x2f, 0, 60, 120), nil) // all of it can be verified
			r.field(cdb16(0x93, 6<<5, 64, 1), one, 1)
		})
	}
	r := newProtectedRig(t, 1, nil)
	r.field(cdb16(0x93, 1<<5|wsNDOB, 64, 1), nil, 1)
	r.field(cdb16(0x93, 0, 64, 0), one, 10)
}

// TestOrWriteProtected: the guard is of the result, the tags as sent.
func TestOrWriteProtected(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	r.good(cdb10(0x2a, 0, 3, 1), fill(0x0f, 1))
	r.good(cdb16(0x8b, 1<<5, 3, 1), with(fill(0xf0, 1), right(fill(0xf0, 1), 3)))
	if got, want := r.tuples(3, 1)[0], right(fill(0xff, 1), 3); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	r.good(cdb10(0x28, 1<<5, 3, 1), nil)
	r.setTuple(3, tuple{})
	r.bad(cdb16(0x8b, 0, 3, 1), fill(0, 1), sense.AbortedCommand, sense.GuardCheckFailed)
}

// TestUnmapForgetsProtection: what is deallocated has FFh (SBC-4, 4.7.3.1).
func TestUnmapForgetsProtection(t *testing.T) {
	for _, support := range []block.Support{block.Native, block.No} {
		r := newProtectedRig(t, 1, nil)
		r.dif.info.Unmap, r.dif.info.Extents = support, support
		r.good(cdb10(0x2a, 0, 0, 64), fill(1, 64))
		r.good(unmapCDB(24), unmapList(extent{8, 40}))
		got := r.tuples(0, 64)
		for i, v := range got {
			if unmapped := i >= 8 && i < 48; (v == noCheck) != unmapped {
				t.Fatalf("block %d has %x", i, v)
			}
		}
		r.good(cdb10(0x28, 1<<5, 0, 64), nil)
		r.good(cdb10(0x2f, 0, 0, 64), nil)
	}
}

// TestCompareAndWriteProtected: user data is compared, and INFORMATION is its offset in
// the Data-Out, protection information counted.
func TestCompareAndWriteProtected(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	old, next := fill(1, 2), fill(2, 2)
	r.good(cdb10(0x2a, 0, 8, 2), old)
	wrong := slices.Clone(old)
	wrong[515] ^= 1
	cdb := caw(8, 2)
	cdb[1] = 1 << 5
	both := func(b []byte) []tuple { return []tuple{right(b[:512], 8), right(b[512:], 9)} }
	e := r.bad(cdb, append(with(wrong, both(wrong)...), with(next, both(next)...)...), sense.Miscompare, sense.MiscompareDuringVerify)
	if e.Info != 523 {
		t.Errorf("information %d, want 523", e.Info)
	}
	r.good(cdb, append(with(old, both(old)...), with(next, both(next)...)...))
	if got := r.tuples(8, 2); !slices.Equal(got, both(next)) || !bytes.Equal(r.bytes(8, 2), next) {
		t.Errorf("the medium has %x", got)
	}
	if got := r.do(caw(8, 1), append(fill(2, 1), fill(3, 1)...)); !got.Good() {
		t.Error(got)
	}
}

// TestProtectionReported: INQUIRY, VPD page 86h, READ CAPACITY(16), MODE SENSE, block
// limits.
func TestProtectionReported(t *testing.T) {
	for kind := range uint8(4) {
		r := newProtectedRig(t, kind, nil)
		if b := r.good([]byte{0x12, 0, 0, 0, 96, 0}, nil); b[5]&1 == 0 {
			t.Error("PROTECT is 0")
		}
		if b := r.good([]byte{0x12, 1, 0x86, 0, 64, 0}, nil); b[4] != 7<<3|7 || b[7]&0x30 != 0 {
			t.Errorf("SPT and its like: % x", b[4:8])
		}
		want := byte(0)
		if kind != 0 {
			want = (kind-1)<<1 | 1
		}
		if b := r.good([]byte{0x9e, 0x10, 13: 32, 15: 0}, nil); b[12] != want {
			t.Errorf("type %d: P_TYPE and PROT_EN %02x, want %02x", kind, b[12], want)
		}
		if b := r.good([]byte{0x1a, 8, 0x4a, 0, 255, 0}, nil); b[4+2]&0x08 == 0 || b[4+5]&0x80 == 0 {
			t.Errorf("ATO and DPICZ cannot be changed: % x", b)
		}
		b := r.good([]byte{0x12, 1, 0xb0, 0, 64, 0}, nil)
		n := binary.BigEndian.Uint32(b[8:])
		if uint64(n)*520 > core.DefaultMaxTransfer || uint64(n+1)*520 <= core.DefaultMaxTransfer {
			t.Errorf("MAXIMUM TRANSFER LENGTH %d", n)
		}
	}
	r := newRig(t, nil)
	if b := r.good([]byte{0x12, 0, 0, 0, 96, 0}, nil); b[5]&1 != 0 {
		t.Error("PROTECT is 1 without protection information")
	}
	if b := r.good([]byte{0x1a, 8, 0x4a, 0, 255, 0}, nil); b[4+2]&0x08 != 0 || b[4+5]&0x80 != 0 {
		t.Error("ATO and DPICZ can be changed without protection information")
	}
}

func TestProtectedReservedBits(t *testing.T) {
	for kind := range uint8(4) {
		coretest.CheckReservedBits(t, newProtectedRig(t, kind, nil).path)
	}
}

// TestTypeZeroOfProtected: formatted without, the disk is one like any other.
func TestTypeZeroOfProtected(t *testing.T) {
	r := newProtectedRig(t, 0, nil)
	for _, f := range []func(uint64, uint32) []byte{writers["Write6"], writers["Write10"], writers["Write16"]} {
		r.good(f(4, 2), fill(5, 2))
	}
	r.good(cdb16(0x9c, 0, 4, 2), fill(6, 2))
	r.good(cdb16(0x8b, 0, 4, 2), fill(1, 2))
	r.good(cdb10(0x2e, 2, 4, 2), fill(7, 2))
	r.good(cdb16(0x93, 0, 4, 2), fill(7, 1))
	r.good(caw(4, 1), append(fill(7, 1), fill(8, 1)...))
	r.good(cdb10(0x2f, 2, 4, 1), fill(8, 1))
	if got := r.good(cdb10(0x28, 0, 4, 2), nil); !bytes.Equal(got, append(fill(8, 1), fill(7, 1)...)) {
		t.Error("other data")
	}
	if got := r.tuples(0, 10); slices.ContainsFunc(got, func(v tuple) bool { return v != noCheck }) {
		t.Errorf("protection information %x", got)
	}
}
