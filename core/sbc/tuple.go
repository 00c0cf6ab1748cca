package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core/sense"
)

// tupleLen is the length of the protection information of one logical block: LOGICAL
// BLOCK GUARD, LOGICAL BLOCK APPLICATION TAG, LOGICAL BLOCK REFERENCE TAG (SBC-4,
// 4.21.3). The protection information interval is one block.
const tupleLen = 8

// tuple is the protection information of one block.
type tuple struct {
	guard, app uint16
	ref        uint32
}

// noCheck is the protection information of a block that was never written, or is
// deallocated: it disables all checks (SBC-4, 4.21.3).
var noCheck = tuple{0xffff, 0xffff, 0xffffffff}

func getTuple(b []byte) tuple {
	return tuple{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])}
}

func (t tuple) put(b []byte) {
	binary.BigEndian.PutUint16(b, t.guard)
	binary.BigEndian.PutUint16(b[2:], t.app)
	binary.BigEndian.PutUint32(b[4:], t.ref)
}

// unchecked says whether t, read from the medium, disables the checks of its block.
// What comes from an initiator is checked all the same (NO_PI_CHK is 0).
func (t tuple) unchecked(kind uint8) bool {
	return t.app == 0xffff && (kind != 3 || t.ref == 0xffffffff)
}

// checks are fields of protection information, as a set.
type checks uint8

const (
	checkGuard checks = 1 << iota
	checkApp
	checkRef

	checkAll = checkGuard | checkApp | checkRef
)

// maxProtect is the highest value of RDPROTECT, WRPROTECT, VRPROTECT and ORPROTECT
// that is not reserved.
const maxProtect = 5

// checked is what each value of a PROTECT field has checked: in protection information
// from the medium (RDPROTECT, ORPROTECT, and VRPROTECT with BYTCHK 00b) and in what
// came from the initiator (WRPROTECT, ORPROTECT, and VRPROTECT with BYTCHK 01b or 11b).
// With 000b nothing comes from the initiator (SBC-4, tables of 5.13, 5.36 and 5.40).
var checked = [8]checks{0: checkAll, 1: checkAll, 2: checkApp | checkRef, 3: 0, 4: checkGuard, 5: checkAll}

// compared is what VERIFY with BYTCHK 01b or 11b compares, byte by byte, with the medium
// (SBC-4, 5.36, the table of byte-by-byte comparison requirements).
var compared = [8]checks{1: checkAll, 2: checkApp | checkRef, 3: checkAll, 4: checkAll, 5: checkAll}

// expected is what is known of the protection information of a range.
type expected struct {
	kind uint8 // the protection type, 1 to 3
	ato  bool  // ATO of the Control mode page
	// ref is the reference tag of the first block, valid when hasRef: it follows from
	// the LBA with type 1, and from the CDB of a 32-byte command with type 2.
	ref    uint32
	hasRef bool
	// app is the application tag of every block in the bits of mask: from the CDB of a
	// 32-byte command, when ATO is 1.
	app, mask uint16
}

// check says what of t, the protection information of block number i of the range, is
// wrong; 0 is nothing.
func (x *expected) check(what checks, t tuple, block []byte, i uint32) sense.Code {
	switch {
	case what&checkGuard != 0 && t.guard != guard(block):
		return sense.GuardCheckFailed
	case what&checkApp != 0 && (t.app^x.app)&x.mask != 0:
		return appTagCheckFailed
	case what&checkRef != 0 && x.hasRef && t.ref != x.ref+i:
		return refTagCheckFailed
	}
	return 0
}

// checkMedium is check of what was read from the medium.
func (x *expected) checkMedium(what checks, t tuple, block []byte, i uint32) sense.Code {
	if what == 0 || t.unchecked(x.kind) {
		return 0
	}
	return x.check(what, t, block, i)
}

// compare says which field of have, from the medium, differs from want, from the
// initiator, and where in the eight bytes. The tags of which SBC-4 says that a device
// server may modify them are not compared.
func (x *expected) compare(what checks, have, want tuple) (c sense.Code, at int) {
	switch {
	case what&checkGuard != 0 && have.guard != want.guard:
		return sense.GuardCheckFailed, 0
	case what&checkApp != 0 && x.ato && have.app != want.app:
		return appTagCheckFailed, 2
	case what&checkRef != 0 && (x.kind != 3 || x.ato) && have.ref != want.ref:
		return refTagCheckFailed, 4
	}
	return 0, 0
}

// made is the protection information that the device server makes for a block that is
// written without (WRPROTECT 000b), at lba. With ATO 1 the application tag is FFFFh, so
// nothing is checked later: the tag is the application's, which gave none. With ATO 0
// the tag is ours, and is 0 so that later reads check the guard; but with type 2 a later
// READ(32) would expect a reference tag that nobody has named, so there it is FFFFh too.
func (x *expected) made(g uint16, lba uint64) tuple {
	t := tuple{guard: g, ref: 0xffffffff}
	if x.ato || x.kind == 2 {
		t.app = 0xffff
	}
	if x.kind == 1 {
		t.ref = uint32(lba)
	}
	return t
}
