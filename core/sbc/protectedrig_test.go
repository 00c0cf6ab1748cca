package sbc

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/targate/targate/core/sense"
)

// protectedRig is a disk with protection information.
type protectedRig struct {
	*rig
	dif *testStore
}

// newDIF is a store for the protection information of a rig.
func newDIF() *testStore {
	size := (ProtectionSize(rigBlocks*512, 512) + testGranularity - 1) / testGranularity * testGranularity
	return newTestStore(size)
}

func newProtectedRig(t testing.TB, kind uint8, change func(*Config, *testStore)) *protectedRig {
	t.Helper()
	r := &protectedRig{dif: newDIF()}
	r.rig = newRig(t, func(c *Config, s *testStore) {
		c.Protection = &Protection{Store: r.dif, Type: kind}
		if change != nil {
			change(c, s)
		}
	})
	return r
}

// tuples are the protection information that the medium has.
func (r *protectedRig) tuples(lba, n int) []tuple {
	r.dif.mu.Lock()
	defer r.dif.mu.Unlock()
	b := slices.Clone(r.dif.data[dataAt+lba*tupleLen : dataAt+(lba+n)*tupleLen])
	invert(b)
	list := make([]tuple, n)
	for i := range list {
		list[i] = getTuple(b[i*tupleLen:])
	}
	return list
}

// setTuple is what only a fault does.
func (r *protectedRig) setTuple(lba int, t tuple) {
	r.dif.mu.Lock()
	defer r.dif.mu.Unlock()
	b := r.dif.data[dataAt+lba*tupleLen:][:tupleLen]
	t.put(b)
	invert(b)
}

// with puts protection information behind each block of data.
func with(data []byte, t ...tuple) []byte {
	var b []byte
	for i, v := range t {
		b = append(b, data[i*512:(i+1)*512]...)
		b = append(b, make([]byte, tupleLen)...)
		v.put(b[len(b)-tupleLen:])
	}
	return b
}

// set changes bits of the Control mode page.
func (r *protectedRig) set(ato, dpicz bool) {
	r.t.Helper()
	page := []byte{0x0a, 10, 0x02, 0x10, 0, 0, 0, 0, 0xff, 0xff, 0, 0}
	if ato {
		page[5] |= 0x80
	}
	if dpicz {
		page[2] |= 0x08
	}
	list := append(make([]byte, 4), page...)
	r.good([]byte{0x15, 0x10, 0, 0, byte(len(list)), 0}, list)
}

// tagged is a 32-byte command with the tags that it expects.
func tagged(action, flags byte, lba uint64, n, ref uint32, app, mask uint16) []byte {
	b := cdb32(action, flags, lba, n)
	binary.BigEndian.PutUint32(b[20:], ref)
	binary.BigEndian.PutUint16(b[24:], app)
	binary.BigEndian.PutUint16(b[26:], mask)
	return b
}

// form is a command in one of its lengths.
type form struct {
	name string
	long bool
	cdb  func(flags byte, lba uint64, n uint32) []byte
}

func forms(name string, c10, c12, c16, action byte) []form {
	list := []form{
		{name + "(16)", false, func(f byte, lba uint64, n uint32) []byte { return cdb16(c16, f, lba, n) }},
		{name + "(32)", true, func(f byte, lba uint64, n uint32) []byte {
			return tagged(action, f, lba, n, uint32(lba), 0x1234, 0xffff)
		}},
	}
	if c10 != 0 {
		list = append(list, form{name + "(10)", false, func(f byte, lba uint64, n uint32) []byte { return cdb10(c10, f, uint32(lba), uint16(n)) }})
	}
	if c12 != 0 {
		list = append(list, form{name + "(12)", false, func(f byte, lba uint64, n uint32) []byte { return cdb12(c12, f, uint32(lba), n) }})
	}
	return list
}

var (
	readForms        = forms("READ", 0x28, 0xa8, 0x88, 0x09)
	verifyForms      = forms("VERIFY", 0x2f, 0xaf, 0x8f, 0x0a)
	writeForms       = forms("WRITE", 0x2a, 0xaa, 0x8a, 0x0b)
	writeVerifyForms = forms("WRITE AND VERIFY", 0x2e, 0xae, 0x8e, 0x0c)
	sameForms        = forms("WRITE SAME", 0x41, 0, 0x93, 0x0d)
	otherForms       = []form{
		{"ORWRITE(16)", false, func(f byte, lba uint64, n uint32) []byte { return cdb16(0x8b, f, lba, n) }},
		{"COMPARE AND WRITE", false, func(f byte, lba uint64, n uint32) []byte { b := caw(lba, byte(n)); b[1] = f; return b }},
		{"WRITE ATOMIC(16)", false, func(f byte, lba uint64, n uint32) []byte { return cdb16(0x9c, f, lba, n) }},
	}
)

// carries says whether f can carry protection information of kind.
func (f form) carries(kind uint8) bool { return f.long == (kind == 2) }

// Fields that can be wrong, in what a test gives or stores.
var faults = []struct {
	field checks
	code  sense.Code
	spoil func(*tuple)
}{
	{checkGuard, sense.GuardCheckFailed, func(t *tuple) { t.guard ^= 1 }},
	{checkApp, appTagCheckFailed, func(t *tuple) { t.app ^= 1 }},
	{checkRef, refTagCheckFailed, func(t *tuple) { t.ref ^= 1 }},
}

// right is protection information of a block that no check complains of.
func right(data []byte, lba uint64) tuple { return tuple{guard(data), 0x1234, uint32(lba)} }

// known says whether a check of field can take place: the reference tag follows from the
// LBA (type 1) or the CDB (type 2, 32 bytes), the application tag from the CDB (32 bytes
// and ATO 1).
func known(field checks, kind uint8, f form, ato bool) bool {
	switch field {
	case checkApp:
		return f.long && ato
	case checkRef:
		return kind == 1 || kind == 2 && f.long
	}
	return true
}
