package pr

import (
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// TestReserve is RESERVE for each pair of types, by the holder, a registrant and others
// (SPC-6, 5.14.9 and table 73).
func TestReserve(t *testing.T) {
	for _, typ := range allTypes {
		for _, again := range allTypes {
			t.Run(fmt.Sprintf("%d_then_%d", typ, again), func(t *testing.T) {
				l := newLab(t, nil)
				l.a.join(1)
				l.b.join(2)
				l.c.conflict(out24(actReserve, typ, 0, 0, 0)) // not registered
				l.a.conflict(out24(actReserve, typ, 2, 0, 0)) // the key of b
				gen, _ := l.a.keys()
				l.a.reserve(typ, 1)
				want := uint64(1)
				if typ.forAll() {
					want = 0
				}
				l.c.wantReservation(typ, want)
				check := func(h *host, key uint64, good bool) {
					t.Helper()
					r := h.do(out24(actReserve, again, key, 0, 0))
					if r.Good() != good || !good && r.Status != scsi.ReservationConflict {
						t.Errorf("by %v: %v, want good %v", h.Nexus().Initiator, r, good)
					}
				}
				check(l.a, 1, again == typ)
				check(l.b, 2, again == typ && typ.forAll())
				check(l.c, 0, false)
				l.c.wantReservation(typ, want)
				if now, _ := l.a.keys(); now != gen {
					t.Errorf("PRGENERATION %d, was %d", now, gen) // SPC-6, 6.17.2
				}
				l.a.wantUA()
				l.b.wantUA()
			})
		}
	}
}

// TestRelease is RELEASE (SPC-6, 5.14.11.2.2).
func TestRelease(t *testing.T) {
	for _, typ := range allTypes {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			l.a.good(out24(actRelease, typ, 1, 0, 0)) // nothing to release
			l.a.reserve(typ, 1)
			l.c.conflict(out24(actRelease, typ, 0, 0, 0))
			l.a.conflict(out24(actRelease, typ, 2, 0, 0))
			other := WriteExclusive
			if typ == other {
				other = ExclusiveAccess
			}
			if r := l.a.do(out24(actRelease, other, 1, 0, 0)); !r.Is(sense.IllegalRequest, sense.InvalidReleaseOfReservation) {
				t.Errorf("with another type: %v", r)
			}
			by := l.a
			if !typ.forAll() { // a registrant that holds nothing releases nothing
				l.b.good(out24(actRelease, typ, 2, 0, 0))
				l.c.wantReservation(typ, 1)
			} else { // each registrant is a holder
				by = l.b
			}
			gen, _ := l.c.keys()
			by.good(out24(actRelease, typ, by.key(l), 0, 0))
			l.c.wantReservation(0, 0)
			l.c.wantKeys(1, 2)
			if now, _ := l.c.keys(); now != gen {
				t.Errorf("PRGENERATION %d, was %d", now, gen)
			}
			for _, h := range []*host{l.a, l.b, l.c} {
				if h != by && h != l.c && typ.shared() {
					h.wantUA(sense.ReservationsReleased)
				} else {
					h.wantUA()
				}
			}
		})
	}
}

// key is what h is registered with.
func (h *host) key(l *lab) uint64 {
	t := l.service.Table()
	return t.Registrants[t.find(nexusOf(h.Path))].Key
}

// TestClear is CLEAR (SPC-6, 5.14.11.2.7).
func TestClear(t *testing.T) {
	for _, typ := range append([]Type{0}, allTypes...) {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			if typ != 0 {
				l.a.reserve(typ, 1)
			}
			l.c.conflict(out24(actClear, 0, 0, 0, 0))
			l.b.conflict(out24(actClear, 0, 1, 0, 0))
			gen, _ := l.c.keys()
			l.b.good(out24(actClear, 0, 2, 0, 0)) // not only the holder may
			l.c.wantReservation(0, 0)
			l.c.wantKeys()
			if now, _ := l.c.keys(); now != gen+1 {
				t.Errorf("PRGENERATION %d, was %d", now, gen)
			}
		})
	}
	l := newLab(t, nil)
	l.a.join(1)
	l.b.join(2)
	l.b.good(out24(actClear, 0, 2, 0, 0))
	l.a.wantUA(sense.ReservationsPreempted)
	l.b.wantUA()
	l.c.wantUA()
}

// TestRegister is table 59 of SPC-6, 5.14.7: REGISTER and REGISTER AND IGNORE by who is
// registered and who is not.
func TestRegister(t *testing.T) {
	const conflict = "conflict"
	tests := []struct {
		name       string
		was        uint64
		action     byte
		key, sakey uint64
		want       string // "" is GOOD
		is         uint64
		gen        uint32 // how far PRGENERATION moves
	}{
		{"new", 0, actRegister, 0, 7, "", 7, 1},
		{"new with a key", 0, actRegister, 3, 7, conflict, 0, 0},
		{"unregister nobody", 0, actRegister, 0, 0, "", 0, 0},
		{"unregister nobody with a key", 0, actRegister, 3, 0, conflict, 0, 0},
		{"change", 5, actRegister, 5, 7, "", 7, 1},
		{"change to the same", 5, actRegister, 5, 5, "", 5, 1},
		{"change with a wrong key", 5, actRegister, 6, 7, conflict, 5, 0},
		{"change with no key", 5, actRegister, 0, 7, conflict, 5, 0},
		{"unregister", 5, actRegister, 5, 0, "", 0, 1},
		{"unregister with a wrong key", 5, actRegister, 6, 0, conflict, 5, 0},
		{"ignore: new", 0, actRegisterIgnore, 9, 7, "", 7, 1},
		{"ignore: change", 5, actRegisterIgnore, 9, 7, "", 7, 1},
		{"ignore: unregister", 5, actRegisterIgnore, 9, 0, "", 0, 1},
		{"ignore: unregister nobody", 0, actRegisterIgnore, 9, 0, "", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil)
			if tt.was != 0 {
				l.a.join(tt.was)
			}
			gen, _ := l.b.keys()
			cdb, list := out24(tt.action, 0xf, tt.key, tt.sakey, 0) // SCOPE and TYPE are ignored
			if tt.want == conflict {
				l.a.conflict(cdb, list)
			} else {
				l.a.good(cdb, list)
			}
			if tt.is == 0 {
				l.b.wantKeys()
			} else {
				l.b.wantKeys(tt.is)
			}
			if now, _ := l.b.keys(); now != gen+tt.gen {
				t.Errorf("PRGENERATION %d, was %d", now, gen)
			}
		})
	}
}

// TestKeyOfHolder: a holder that changes its key keeps the reservation (SPC-6, 5.14.7).
func TestKeyOfHolder(t *testing.T) {
	l := newLab(t, nil)
	l.a.join(1)
	l.a.reserve(WriteExclusive, 1)
	if r := l.a.register(1, 8, 0); !r.Good() {
		t.Fatal(r)
	}
	l.b.wantReservation(WriteExclusive, 8)
}

// TestUnregisterHolder: a reservation goes with its holder, that of all registrants with
// the last of them (SPC-6, 5.14.11.2.3).
func TestUnregisterHolder(t *testing.T) {
	for _, typ := range allTypes {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			l.a.reserve(typ, 1)
			l.a.register(1, 0, 0)
			l.a.wantUA()
			if typ.forAll() {
				l.c.wantReservation(typ, 0)
				l.b.wantUA()
				l.b.register(2, 0, 0)
			} else if typ.shared() {
				l.b.wantUA(sense.ReservationsReleased)
			} else {
				l.b.wantUA()
			}
			l.c.wantReservation(0, 0)
			l.c.wantUA()
		})
	}
}

// TestPreempt is table 61 of SPC-6, 5.14.11.2.4. a holds (key 1), b (2) and c (2) are
// registered; d is not.
func TestPreempt(t *testing.T) {
	const illegal = "26/00"
	pre, rel := sense.RegistrationsPreempted, sense.ReservationsReleased
	type uas [3][]sense.Code
	tests := []struct {
		name       string
		typ        Type // of the reservation before
		by         int
		to         Type
		key, sakey uint64
		want       string // "", "conflict" or illegal
		keys       []uint64
		after      Type
		holder     uint64
		ua         uas
	}{
		{"no reservation", 0, 0, 0xf, 1, 2, "", []uint64{1}, 0, 0, uas{1: {pre}, 2: {pre}}},
		{"no reservation, itself", 0, 0, 0xf, 1, 1, "", []uint64{2, 2}, 0, 0, uas{}},
		{"no reservation, key 0", 0, 0, 1, 1, 0, illegal, []uint64{1, 2, 2}, 0, 0, uas{}},
		{"no reservation, unknown key", 0, 0, 1, 1, 3, "conflict", []uint64{1, 2, 2}, 0, 0, uas{}},
		{"no reservation, wrong own key", 0, 0, 1, 3, 2, "conflict", []uint64{1, 2, 2}, 0, 0, uas{}},
		{"the holder, same type", WriteExclusive, 1, WriteExclusive, 2, 1, "", []uint64{2, 2}, WriteExclusive, 2, uas{0: {pre}}},
		{"the holder, other type", WriteExclusive, 1, ExclusiveAccessRegistrants, 2, 1, "", []uint64{2, 2}, ExclusiveAccessRegistrants, 2, uas{0: {pre}, 2: {rel}}},
		{"the holder, to all", ExclusiveAccessRegistrants, 1, WriteExclusiveAll, 2, 1, "", []uint64{2, 2}, WriteExclusiveAll, 0, uas{0: {pre}, 2: {rel}}},
		{"the holder itself", ExclusiveAccess, 0, WriteExclusive, 1, 1, "", []uint64{1, 2, 2}, WriteExclusive, 1, uas{1: {rel}, 2: {rel}}},
		{"not the holder", ExclusiveAccess, 0, 0xf, 1, 2, "", []uint64{1}, ExclusiveAccess, 1, uas{1: {pre}, 2: {pre}}},
		{"not the holder, itself", ExclusiveAccess, 1, 0xf, 2, 2, "", []uint64{1}, ExclusiveAccess, 1, uas{2: {pre}}},
		{"key 0", ExclusiveAccess, 1, ExclusiveAccess, 2, 0, illegal, []uint64{1, 2, 2}, ExclusiveAccess, 1, uas{}},
		{"unknown key", WriteExclusiveRegistrants, 1, ExclusiveAccess, 2, 3, "conflict", []uint64{1, 2, 2}, WriteExclusiveRegistrants, 1, uas{}},
		{"all, key 0", WriteExclusiveAll, 1, WriteExclusiveAll, 2, 0, "", []uint64{2}, WriteExclusiveAll, 0, uas{0: {pre}, 2: {pre}}},
		{"all, key 0, to one", ExclusiveAccessAll, 1, ExclusiveAccess, 2, 0, "", []uint64{2}, ExclusiveAccess, 2, uas{0: {pre}, 2: {pre}}},
		{"all, a key", ExclusiveAccessAll, 1, 0xf, 2, 1, "", []uint64{2, 2}, ExclusiveAccessAll, 0, uas{0: {pre}}},
		{"all, own key", ExclusiveAccessAll, 1, 0xf, 2, 2, "", []uint64{1}, ExclusiveAccessAll, 0, uas{2: {pre}}},
		{"all, unknown key", ExclusiveAccessAll, 1, ExclusiveAccess, 2, 3, "conflict", []uint64{1, 2, 2}, ExclusiveAccessAll, 0, uas{}},
	}
	for _, tt := range tests {
		for _, action := range []byte{actPreempt, actPreemptAbort} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, action), func(t *testing.T) {
				l := newLab(t, nil)
				d := l.host("d", port1)
				hosts := []*host{l.a.join(1), l.b.join(2), l.c.join(2)}
				if tt.typ != 0 {
					l.a.reserve(tt.typ, 1)
				}
				d.conflict(out24(action, WriteExclusive, 0, 1, 0))
				gen, _ := d.keys()
				r := hosts[tt.by].do(out24(action, tt.to, tt.key, tt.sakey, 0))
				switch tt.want {
				case "":
					gen++
					if !r.Good() {
						t.Fatal(r)
					}
				case illegal:
					checkParam(t, r, offServiceKey)
				default:
					if r.Status != scsi.ReservationConflict {
						t.Fatal(r)
					}
				}
				if now, keys := d.keys(); now != gen || !slices.Equal(keys, tt.keys) {
					t.Errorf("PRGENERATION %d keys %v, want %d %v", now, keys, gen, tt.keys)
				}
				d.wantReservation(tt.after, tt.holder)
				for i, h := range hosts {
					h.wantUA(tt.ua[i]...)
				}
				d.wantUA()
			})
		}
	}
}

// TestPreemptLast: the reservation of all registrants goes with the last registration,
// which PREEMPT can take from its own nexus (SPC-6, 5.14.11.2.3).
func TestPreemptLast(t *testing.T) {
	l := newLab(t, nil)
	l.a.join(1)
	l.a.reserve(WriteExclusiveAll, 1)
	l.a.good(out24(actPreempt, 0, 1, 1, 0))
	l.a.wantReservation(0, 0)
	l.a.wantKeys()
}

// TestTypes: SCOPE and TYPE that do not exist, where they count (SPC-6, 6.18.2).
func TestTypes(t *testing.T) {
	l := newLab(t, nil)
	l.a.join(1)
	for _, action := range []byte{actReserve, actRelease} {
		for b := range 256 {
			if typ := Type(b); typ.valid() {
				continue
			}
			cdb, list := out24(action, Type(b), 1, 0, 0)
			bit := uint8(3)
			if b>>4 != 0 {
				bit = 7
			}
			r := l.a.do(cdb, list)
			if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || r.Sense.Field != 2 || r.Sense.Bit != bit {
				t.Errorf("action %d, %#x: %v", action, b, r)
			}
		}
	}
	l.a.reserve(WriteExclusive, 1)
	l.b.join(2)
	if r := l.b.do(out24(actPreempt, 0, 2, 1, 0)); !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
		t.Errorf("PREEMPT to no type: %v", r)
	}
	l.a.wantReservation(WriteExclusive, 1)
}

// checkParam expects INVALID FIELD IN PARAMETER LIST with a pointer to off.
func checkParam(t *testing.T, r coretest.Result, off int) {
	t.Helper()
	if !r.Is(sense.IllegalRequest, sense.InvalidFieldInParameterList) || !r.Sense.HasField ||
		!r.Sense.InData || int(r.Sense.Field) != off {
		t.Errorf("%v, want 26/00 at byte %d", r, off)
	}
}
