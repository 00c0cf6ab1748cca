package pr

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// outIDs is REGISTER with SPEC_I_PT.
func outIDs(key, serviceKey uint64, flags byte, ids ...core.InitiatorPort) (cdb, list []byte) {
	_, list = out24(actRegister, 0, key, serviceKey, flags|flagSpecIPT)
	var body []byte
	for _, ip := range ids {
		body = appendTransportID(body, ip)
	}
	list = append(binary.BigEndian.AppendUint32(list, uint32(len(body))), body...)
	return outCDB(actRegister, 0, len(list)), list
}

// outMove is REGISTER AND MOVE.
func outMove(key, serviceKey uint64, flags byte, port uint16, to core.InitiatorPort) (cdb, list []byte) {
	list = binary.BigEndian.AppendUint64(nil, key)
	list = binary.BigEndian.AppendUint64(list, serviceKey)
	list = binary.BigEndian.AppendUint16(append(list, 0, flags), port)
	id := appendTransportID(nil, to)
	list = append(binary.BigEndian.AppendUint32(list, uint32(len(id))), id...)
	return outCDB(actRegisterMove, 0, len(list)), list
}

// wantNexuses are the registrants in order, as READ FULL STATUS lists them.
func (l *lab) wantNexuses(want ...Registrant) {
	l.tb.Helper()
	if got := l.service.Table().Registrants; !slices.Equal(got, want) {
		l.tb.Errorf("registrants\n%v, want\n%v", got, want)
	}
}

func registrant(name string, port uint16, key uint64) Registrant {
	return Registrant{Nexus{initiator(name), port}, key}
}

// TestParameterList: lengths and fields that a device server refuses (SPC-6, 6.18.3).
func TestParameterList(t *testing.T) {
	long := func(n int) func(cdb, list []byte) ([]byte, []byte) {
		return func(cdb, list []byte) ([]byte, []byte) {
			list = append(list, make([]byte, 512)...)[:n]
			return outCDB(cdb[1], cdb[2], n), list
		}
	}
	with := func(off int, v byte) func(cdb, list []byte) ([]byte, []byte) {
		return func(cdb, list []byte) ([]byte, []byte) { list[off] = v; return cdb, list }
	}
	plain := func(action byte) func() ([]byte, []byte) {
		return func() ([]byte, []byte) { return out24(action, 1, 1, 2, 0) }
	}
	ids := func() ([]byte, []byte) { return outIDs(1, 2, 0, initiator("x")) }
	move := func() ([]byte, []byte) { return outMove(1, 2, 0, 1, initiator("x")) }
	const length = -1
	tests := []struct {
		name  string
		list  func() ([]byte, []byte)
		spoil func(cdb, list []byte) ([]byte, []byte)
		want  int // byte of the parameter list, or length
	}{
		{"nothing", plain(actRegister), long(0), length},
		{"23 bytes", plain(actRegister), long(23), length},
		{"25 bytes", plain(actRegister), long(25), length},
		{"RESERVE, 28 bytes", plain(actReserve), long(28), length},
		{"RESERVE, SPEC_I_PT is ignored, the length not", plain(actReserve), func(c, l []byte) ([]byte, []byte) { l[20] = 8; return long(28)(c, l) }, length},
		{"CLEAR, 8 bytes", plain(actClear), long(8), length},
		{"reserved bit 7", plain(actRegister), with(20, 0x80), 20},
		{"reserved bit 1", plain(actRegisterIgnore), with(20, 0x02), 20},
		{"SPEC_I_PT without a length", plain(actRegister), with(20, flagSpecIPT), length},
		{"SPEC_I_PT of AND IGNORE", plain(actRegisterIgnore), with(20, flagSpecIPT), 20},
		{"APTPL that cannot be", plain(actRegister), with(20, flagAPTPL), 20},
		{"TransportID cut", ids, long(48), length},
		{"TransportID of another protocol", ids, with(28, 0x46), 28},
		{"TransportID of another format", ids, with(28, 0x85), 28},
		{"TransportID with a length of 20", ids, with(31, 20), 28},
		{"TransportID of a device that nobody knows", func() ([]byte, []byte) {
			return outIDs(0, 2, 0, core.InitiatorPort{Name: "iqn.2026-11.org.targate:x"})
		}, with(0, 0), 28},
		{"move: no TransportID", move, with(23, 0), 20},
		{"move: TransportID cut", move, long(44), length},
		{"move: two TransportIDs", func() ([]byte, []byte) {
			cdb, list := move()
			list = append(list, list[24:]...)
			list[23] *= 2
			return outCDB(cdb[1], 0, len(list)), list
		}, with(16, 0), 20},
		{"move: of a device", func() ([]byte, []byte) {
			return outMove(1, 2, 0, 1, core.InitiatorPort{Name: "iqn.2026-11.org.targate:x"})
		}, with(16, 0), 24},
		{"move: reserved bit", move, with(17, 4), 17},
		{"move: APTPL that cannot be", move, with(17, 1), 17},
		{"move: to a port that is not there", move, with(19, 77), 18},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil)
			if tt.name != "TransportID of a device that nobody knows" {
				l.a.join(1)
				l.a.reserve(WriteExclusive, 1)
			}
			before := l.service.Table()
			r := l.a.do(tt.spoil(tt.list()))
			if tt.want == length {
				if !r.Is(sense.IllegalRequest, sense.ParameterListLengthError) {
					t.Error(r)
				}
			} else {
				checkParam(t, r, tt.want)
			}
			if l.service.Table() != before {
				t.Error("the table changed")
			}
		})
	}
}

// TestShortData: the initiator sends less than the CDB says (SPC-6, 6.18.1).
func TestShortData(t *testing.T) {
	l := newLab(t, nil)
	cdb, list := out24(actRegister, 0, 0, 1, 0)
	if r := l.a.do(cdb, list[:20]); !r.Is(sense.IllegalRequest, sense.ParameterListLengthError) {
		t.Error(r)
	}
	l.a.wantKeys()
}

// TestSpecIPT is SPEC_I_PT (SPC-6, 5.14.7.3 and table 59).
func TestSpecIPT(t *testing.T) {
	l := newLab(t, nil)
	l.c.join(3)
	l.a.good(outIDs(0, 1, 0, initiator("b"), initiator("absent"), initiator("c"), initiator("a")))
	l.wantNexuses(registrant("c", 1, 3), registrant("a", 1, 1), registrant("b", 1, 1), registrant("absent", 1, 1))

	for name, cmd := range map[string]struct{ key, serviceKey uint64 }{"change": {1, 2}, "unregister": {1, 0}} {
		if r := l.a.do(outIDs(cmd.key, cmd.serviceKey, 0, initiator("x"))); !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
			t.Errorf("%s: %v", name, r)
		}
	}
	d := l.host("d", port1)
	if r := d.do(outIDs(0, 0, 0, initiator("x"))); !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
		t.Errorf("with no key: %v", r)
	}
	d.conflict(outIDs(9, 4, 0, initiator("x")))
	// the name of a device stands for its ports: the one that is logged in and the one
	// that is registered (SPC-6, 7.6.4.7)
	other := initiator("e")
	other.Session = "00023d000002"
	d.good(outIDs(0, 4, 0, other))
	l.host("e", port1)
	f := l.host("f", port1)
	f.good(outIDs(0, 6, flagAllTGPT, core.InitiatorPort{Name: other.Name}))
	want := []Registrant{registrant("d", 1, 4), {Nexus{other, 1}, 4}, registrant("f", 1, 6), registrant("f", 2, 6),
		registrant("e", 1, 6), registrant("e", 2, 6), {Nexus{other, 2}, 6}}
	got := l.service.Table().Registrants[4:]
	if !slices.Equal(got, want) {
		t.Errorf("registrants\n%v, want\n%v", got, want)
	}
}

// TestAllTGPT: as if the command had been received through each port of the target, and
// no other (SPC-6, 6.18.3).
func TestAllTGPT(t *testing.T) {
	l := newLab(t, nil)
	a2, b2 := l.host("a", port2), l.host("b", port2)
	l.a.register(0, 1, flagAllTGPT)
	l.wantNexuses(registrant("a", 1, 1), registrant("a", 2, 1))
	a2.reserve(ExclusiveAccessRegistrants, 1)
	l.a.good(writeMedium, nil)

	b2.register(0, 5, 0)
	l.b.register(0, 2, flagAllTGPT) // through port 2 that would conflict: b2 has a key
	l.wantNexuses(registrant("a", 1, 1), registrant("a", 2, 1), registrant("b", 2, 5), registrant("b", 1, 2))
	l.b.good(out24(actRegisterIgnore, 0, 0, 6, flagAllTGPT))
	l.wantNexuses(registrant("a", 1, 1), registrant("a", 2, 1), registrant("b", 2, 6), registrant("b", 1, 6))

	l.a.register(1, 0, 0) // only here
	l.wantNexuses(registrant("a", 2, 1), registrant("b", 2, 6), registrant("b", 1, 6))
	l.b.register(6, 7, flagAllTGPT)
	l.wantNexuses(registrant("a", 2, 1), registrant("b", 2, 7), registrant("b", 1, 7))
	l.b.register(7, 0, flagAllTGPT)
	l.wantNexuses(registrant("a", 2, 1))
	// a change through all ports registers nowhere anew
	a2.register(1, 9, flagAllTGPT)
	l.wantNexuses(registrant("a", 2, 9))
}

// TestMove is REGISTER AND MOVE (SPC-6, 5.14.8).
func TestMove(t *testing.T) {
	b := initiator("b")
	t.Run("to one who is absent", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.join(1)
		l.a.reserve(WriteExclusive, 1)
		gen, _ := l.c.keys()
		l.a.good(outMove(1, 7, 0, 2, b))
		l.wantNexuses(registrant("a", 1, 1), registrant("b", 2, 7))
		l.c.wantReservation(WriteExclusive, 7)
		if now, _ := l.c.keys(); now != gen+1 {
			t.Errorf("PRGENERATION %d, was %d", now, gen)
		}
		l.a.conflict(writeMedium, nil)
		l.host("b", port2).good(writeMedium, nil)
		l.b.conflict(writeMedium, nil) // another I_T nexus
	})
	t.Run("to a registrant, and unregister", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.join(1)
		l.b.join(2)
		l.a.reserve(ExclusiveAccessRegistrants, 1)
		l.a.good(outMove(1, 7, 1<<bitUnreg, 1, b))
		l.wantNexuses(registrant("b", 1, 7))
		l.c.wantReservation(ExclusiveAccessRegistrants, 7)
		l.a.conflict(readMedium, nil)
		l.a.wantUA()
		l.b.wantUA()
	})
	refused := []struct {
		name  string
		typ   Type
		by    string
		key   uint64
		sakey uint64
		to    core.InitiatorPort
		want  func(coretest.Result) bool
	}{
		{"not registered", WriteExclusive, "c", 0, 7, b, isConflict},
		{"wrong key", WriteExclusive, "a", 2, 7, b, isConflict},
		{"no reservation", 0, "a", 1, 7, b, func(r coretest.Result) bool { return r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) }},
		{"not the holder", WriteExclusive, "b", 2, 7, initiator("c"), isConflict},
		{"all registrants", WriteExclusiveAll, "a", 1, 7, b, isConflict},
		{"key 0", WriteExclusive, "a", 1, 0, b, isParam(offServiceKey)},
		{"to itself", WriteExclusive, "a", 1, 7, initiator("a"), isParam(offMoveID)},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			if tt.typ != 0 {
				l.a.reserve(tt.typ, 1)
			}
			before := l.service.Table()
			h := map[string]*host{"a": l.a, "b": l.b, "c": l.c}[tt.by]
			if r := h.do(outMove(tt.key, tt.sakey, 0, 1, tt.to)); !tt.want(r) {
				t.Error(r)
			}
			if l.service.Table() != before {
				t.Error("the table changed")
			}
		})
	}
}

func isConflict(r coretest.Result) bool { return r.String() == "RESERVATION CONFLICT" }

func isParam(off int) func(coretest.Result) bool {
	return func(r coretest.Result) bool {
		return r.Is(sense.IllegalRequest, sense.InvalidFieldInParameterList) && int(r.Sense.Field) == off
	}
}

// TestResources: the table is bounded (55/04), and a command that does not fit leaves
// nothing behind (SPC-6, 5.14.7.1).
func TestResources(t *testing.T) {
	l := newLab(t, nil)
	for i := range maxRegistrants - 1 {
		n := Nexus{initiator("x"), uint16(i)}
		err := l.service.store.Update(t.Context(), func(t *Table) (*Change, error) {
			c := t.change()
			return c, c.set(n, 1)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if r := l.a.do(outIDs(0, 1, 0, initiator("b"))); !r.Is(sense.IllegalRequest, sense.InsufficientRegistrations) {
		t.Error(r)
	}
	if n := len(l.service.Table().Registrants); n != maxRegistrants-1 {
		t.Errorf("%d registrants", n)
	}
	l.a.join(1)
	if r := l.b.register(0, 1, 0); !r.Is(sense.IllegalRequest, sense.InsufficientRegistrations) {
		t.Error(r)
	}
	// the full table fits READ FULL STATUS, cut to the allocation length
	if d := l.a.good(inCDB(3, 65535), nil).Data; len(d) != 65535 || int(binary.BigEndian.Uint32(d[4:])) <= 65535 {
		t.Errorf("%d bytes", len(d))
	}
}

// TestTooManyIDs: more TransportIDs than there can be registrants are not looked up.
func TestTooManyIDs(t *testing.T) {
	ids := make([]core.InitiatorPort, maxRegistrants+1)
	for i := range ids {
		ids[i] = core.InitiatorPort{Name: "x"}
	}
	cdb, list := outIDs(0, 1, 0, ids...)
	if _, err := parseOut(cdb, list, len(list)); !errors.Is(err, errRegistrants) {
		t.Error(err)
	}
}

// FuzzParseOut: no parameter list panics, and what passes is within its bounds.
func FuzzParseOut(f *testing.F) {
	_, list := out24(actReserve, 1, 1, 2, 0)
	f.Add(byte(actReserve), list)
	_, list = outIDs(0, 1, flagAllTGPT, initiator("a"), core.InitiatorPort{Name: "b"})
	f.Add(byte(actRegister), list)
	_, list = outMove(1, 2, 3, 1, initiator("b"))
	f.Add(byte(actRegisterMove), list)
	f.Fuzz(func(t *testing.T, action byte, list []byte) {
		p, err := parseOut(outCDB(action&7, 0, len(list)), list, len(list))
		if err != nil {
			var e *sense.Error
			if !errors.As(err, &e) || e.HasField && int(e.Field) >= len(list) {
				t.Fatal(err)
			}
			return
		}
		for _, id := range p.ids {
			if id.Name == "" || id.off >= len(list) {
				t.Fatalf("%+v", id)
			}
		}
		if p.action == actRegisterMove && len(p.ids) != 1 {
			t.Fatalf("%+v", p)
		}
	})
}
