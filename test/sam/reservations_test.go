//go:build system

package sam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// Service actions of PERSISTENT RESERVE OUT (SPC-6, 6.18).
const (
	prRegister     = 0
	prReserve      = 1
	prRelease      = 2
	prClear        = 3
	prPreempt      = 4
	prPreemptAbort = 5
	prIgnore       = 6
	prMove         = 7
)

// Types of persistent reservation, and the flags of the parameter list.
const (
	writeExclusive     = 1
	exclusive          = 3
	writeRegistrants   = 5
	accessRegistrants  = 6
	writeAllRegistered = 7
	accessAll          = 8

	specIPT = 0x08
	allTGPT = 0x04
)

const (
	preempted     = 0x2a03
	released      = 0x2a04
	regsPreempted = 0x2a05
)

// lunPR is where reservations are tried; nothing else holds one there.
const lunPR = lunOther

func (h *host) prOut(action, kind byte, key, actionKey uint64, flags byte, more ...byte) *initiator.Result {
	h.t.Helper()
	list := make([]byte, 24, 24+len(more))
	binary.BigEndian.PutUint64(list, key)
	binary.BigEndian.PutUint64(list[8:], actionKey)
	list[20] = flags
	return h.prSend(action, kind, append(list, more...))
}

func (h *host) prSend(action, kind byte, list []byte) *initiator.Result {
	h.t.Helper()
	cdb := []byte{0x5f, action, kind, 0, 0, 0, 0, byte(len(list) >> 8), byte(len(list)), 0}
	return h.out(lunPR, cdb, list)
}

func (h *host) prIn(action byte) []byte {
	h.t.Helper()
	r := h.in(lunPR, []byte{0x5e, action, 0, 0, 0, 0, 0, 0x10, 0, 0}, 4096)
	h.good(r)
	return r.Data
}

// keys are the registered keys, sorted.
func (h *host) keys() []uint64 {
	h.t.Helper()
	var all []uint64
	for b := range slices.Chunk(h.prIn(0)[8:], 8) {
		all = append(all, binary.BigEndian.Uint64(b))
	}
	slices.Sort(all)
	return all
}

func (h *host) hasKeys(want ...uint64) {
	h.t.Helper()
	if got := h.keys(); !slices.Equal(got, want) {
		h.t.Errorf("keys %x, want %x", got, want)
	}
}

// reservation is the key and type of the holder, zeros without one.
func (h *host) reservation() (key uint64, kind byte) {
	h.t.Helper()
	b := h.prIn(1)
	if len(b) < 24 {
		return 0, 0
	}
	return binary.BigEndian.Uint64(b[8:]), b[21] & 15
}

func (h *host) isReserved(key uint64, kind byte) {
	h.t.Helper()
	if k, g := h.reservation(); k != key || g != kind {
		h.t.Errorf("reservation of key %x, type %d; want %x, %d", k, g, key, kind)
	}
}

// registrant logs in and registers a key, which goes with the case.
func registrant(t *testing.T, key uint64, opts ...option) *host {
	t.Helper()
	h := login(t, opts...)
	h.good(h.prOut(prIgnore, 0, 0, key, 0))
	t.Cleanup(func() {
		c := login(t)
		c.good(c.prOut(prIgnore, 0, 0, 0xc1ea4, 0))
		c.good(c.prOut(prClear, 0, 0xc1ea4, 0, 0))
	})
	return h
}

// status is one descriptor of READ FULL STATUS.
type status struct {
	key    uint64
	holder bool
	all    bool
	kind   byte
	port   uint16
	id     []byte // TransportID
}

func (h *host) fullStatus() []status {
	h.t.Helper()
	var all []status
	for b := h.prIn(3)[8:]; len(b) >= 24; {
		n := 24 + int(binary.BigEndian.Uint32(b[20:]))
		all = append(all, status{binary.BigEndian.Uint64(b), b[12]&1 != 0, b[12]&2 != 0, b[13] & 15, binary.BigEndian.Uint16(b[18:]), b[24:n]})
		b = b[n:]
	}
	return all
}

// transportID is that of an initiator port with an ISID of option isid.
func transportID(name string, last byte) []byte {
	s := fmt.Sprintf("%s,i,0x80010203%02x%02x", name, 0, last)
	n := max((len(s)+1+3)&^3, 20)
	b := append([]byte{0x45, 0, byte(n >> 8), byte(n)}, s...)
	return append(b, make([]byte, n-len(s))...)
}

func testReservations(t *testing.T) {
	const a, b, c = 0xa1, 0xb2, 0xc3
	for _, k := range []struct {
		kind                byte
		name                string
		othersRead          bool // who is not registered
		registered, regRead bool // registered others may write and read
	}{
		{writeExclusive, "Write Exclusive", true, false, true},
		{exclusive, "Exclusive Access", false, false, false},
		{writeRegistrants, "Write Exclusive Registrants Only", true, true, true},
		{accessRegistrants, "Exclusive Access Registrants Only", false, true, true},
		{writeAllRegistered, "Write Exclusive All Registrants", true, true, true},
		{accessAll, "Exclusive Access All Registrants", false, true, true},
	} {
		run(t, "5.14 who may do what under "+k.name, func(t *testing.T) {
			holder, member, stranger := registrant(t, a), registrant(t, b), login(t)
			holder.good(holder.prOut(prReserve, k.kind, a, 0, 0))
			member.settle()
			for _, x := range []struct {
				name        string
				h           *host
				read, write bool
			}{{"holder", holder, true, true}, {"registered", member, k.regRead, k.registered}, {"stranger", stranger, k.othersRead, false}} {
				want := map[bool]uint8{true: good, false: conflict}
				if r := x.h.in(lunPR, read10(0, 1), 512); r.Status != want[x.read] {
					t.Errorf("READ by the %s: status %#02x, want %#02x", x.name, r.Status, want[x.read])
				}
				for _, m := range mediaCommands {
					if m.out == 0 {
						continue
					}
					if r := x.h.do(m.command(lunPR, 40, 1, 512)); (r.Status == conflict) == x.write {
						t.Errorf("%s by the %s: status %#02x", m.name, x.name, r.Status)
					}
				}
				x.h.good(x.h.in(lunPR, inquiry(-1, 36), 36))
				x.h.sense(lunPR)
				if _, err := x.h.LUNs(x.h.ctx); err != nil {
					t.Error(err)
				}
				x.h.keys() // PERSISTENT RESERVE IN never conflicts
			}
		})
		run(t, "5.14.11.2 release of "+k.name, func(t *testing.T) {
			holder, member, stranger := registrant(t, a), registrant(t, b), login(t)
			holder.good(holder.prOut(prReserve, k.kind, a, 0, 0))
			key := uint64(a)
			if k.kind >= writeAllRegistered {
				key = 0
			}
			stranger.isReserved(key, k.kind)
			holder.settle()
			member.settle()
			holder.good(holder.prOut(prRelease, k.kind, a, 0, 0))
			stranger.isReserved(0, 0)
			stranger.hasKeys(a, b)
			holder.told(lunPR)
			stranger.told(lunPR)
			if k.kind >= writeRegistrants {
				member.told(lunPR, released)
			} else {
				member.told(lunPR)
			}
			stranger.good(stranger.out(lunPR, write10(0, 1), fill(1, 0)))
		})
	}
	run(t, "6.17.2 READ KEYS and the generation", func(t *testing.T) {
		h := login(t)
		h.hasKeys()
		before := binary.BigEndian.Uint32(h.prIn(0))
		registrant(t, a)
		registrant(t, a) // one key for two is allowed
		h.hasKeys(a, a)
		if after := binary.BigEndian.Uint32(h.prIn(0)); after != before+2 {
			t.Errorf("generation %d, then %d", before, after)
		}
	})
	run(t, "6.18 a wrong key conflicts", func(t *testing.T) {
		h := registrant(t, a)
		h.is(h.prOut(prReserve, writeExclusive, b, 0, 0), conflict)
		h.is(h.prOut(prRegister, 0, b, c, 0), conflict)
		h.is(h.prOut(prClear, 0, b, 0, 0), conflict)
		s := login(t)
		s.is(s.prOut(prReserve, writeExclusive, 0, 0, 0), conflict)
		s.is(s.prOut(prRegister, 0, a, c, 0), conflict)
		h.hasKeys(a)
	})
	run(t, "5.14.7 REGISTER changes its own key", func(t *testing.T) {
		h := registrant(t, a)
		h.good(h.prOut(prRegister, 0, a, b, 0))
		h.hasKeys(b)
		h.good(h.prOut(prRegister, 0, b, 0, 0))
		h.hasKeys()
	})
	run(t, "5.14.9 RESERVE again is good, another type conflicts", func(t *testing.T) {
		h, o := registrant(t, a), registrant(t, b)
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		h.is(h.prOut(prReserve, exclusive, a, 0, 0), conflict)
		o.is(o.prOut(prReserve, writeExclusive, b, 0, 0), conflict)
		h.isReserved(a, writeExclusive)
	})
	run(t, "5.14.11.2 RELEASE by another changes nothing", func(t *testing.T) {
		h, o := registrant(t, a), registrant(t, b)
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		o.good(o.prOut(prRelease, writeExclusive, b, 0, 0))
		h.isReserved(a, writeExclusive)
		h.fails(h.prOut(prRelease, exclusive, a, 0, 0), illegal, 0x2604)
	})
	run(t, "5.14.11.3 the holder that unregisters releases", func(t *testing.T) {
		h, o := registrant(t, a), registrant(t, b)
		h.good(h.prOut(prReserve, writeRegistrants, a, 0, 0))
		o.settle()
		h.good(h.prOut(prRegister, 0, a, 0, 0))
		o.told(lunPR, released)
		o.isReserved(0, 0)
		o.hasKeys(b)
	})
	run(t, "5.14.11.3 the last of all registrants releases", func(t *testing.T) {
		h, o := registrant(t, a), registrant(t, b)
		h.good(h.prOut(prReserve, accessAll, a, 0, 0))
		h.good(h.prOut(prRegister, 0, a, 0, 0))
		o.isReserved(0, accessAll)
		o.good(o.prOut(prRegister, 0, b, 0, 0))
		o.isReserved(0, 0)
	})
	run(t, "5.14.11.5 CLEAR tells the others", func(t *testing.T) {
		h, o, s := registrant(t, a), registrant(t, b), login(t)
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		o.good(o.prOut(prClear, 0, b, 0, 0))
		s.hasKeys()
		s.isReserved(0, 0)
		h.told(lunPR, preempted)
		o.told(lunPR)
		s.told(lunPR)
	})
	run(t, "5.14.11.4 PREEMPT takes registration and reservation", func(t *testing.T) {
		h, o, m := registrant(t, a), registrant(t, b), registrant(t, c)
		h.good(h.prOut(prReserve, exclusive, a, 0, 0))
		o.good(o.prOut(prPreempt, writeExclusive, b, a, 0))
		o.hasKeys(b, c)
		o.isReserved(b, writeExclusive)
		h.told(lunPR, regsPreempted)
		o.told(lunPR)
		m.told(lunPR, released) // the type changed
	})
	run(t, "5.14.11.4 PREEMPT with the same type tells the preempted only", func(t *testing.T) {
		h, o, m := registrant(t, a), registrant(t, b), registrant(t, c)
		h.good(h.prOut(prReserve, exclusive, a, 0, 0))
		o.good(o.prOut(prPreempt, exclusive, b, a, 0))
		h.told(lunPR, regsPreempted)
		m.told(lunPR)
	})
	run(t, "5.14.11.4 PREEMPT of one that does not hold", func(t *testing.T) {
		h, o, m := registrant(t, a), registrant(t, b), registrant(t, c)
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		o.good(o.prOut(prPreempt, writeExclusive, b, c, 0))
		o.hasKeys(a, b)
		o.isReserved(a, writeExclusive)
		m.told(lunPR, regsPreempted)
		h.told(lunPR)
	})
	run(t, "5.14.11.4 PREEMPT of a key that is not there conflicts", func(t *testing.T) {
		h := registrant(t, a)
		h.is(h.prOut(prPreempt, writeExclusive, a, 0x999, 0), conflict)
	})
	run(t, "5.14.11.4 PREEMPT of key zero is invalid", func(t *testing.T) {
		h := registrant(t, a)
		h.good(h.prOut(prReserve, writeExclusive, a, 0, 0))
		h.fails(h.prOut(prPreempt, writeExclusive, a, 0, 0), illegal, invalidParam)
	})
	run(t, "6.17.5 READ FULL STATUS names every nexus", func(t *testing.T) {
		name := newName()
		h := registrant(t, a, named(name), isid(1))
		registrant(t, b, named(name), isid(2), at(lab.second))
		h.good(h.prOut(prReserve, exclusive, a, 0, 0))
		all := h.fullStatus()
		if len(all) != 2 {
			t.Fatalf("%d descriptors", len(all))
		}
		slices.SortFunc(all, func(x, y status) int { return int(x.key) - int(y.key) })
		if x := all[0]; x.key != a || !x.holder || x.kind != exclusive || x.port == 0 || !bytes.Equal(x.id, transportID(name, 1)) {
			t.Errorf("the holder: %+v, want TransportID %q", x, transportID(name, 1))
		}
		if x := all[1]; x.key != b || x.holder || x.port == 0 || x.port == all[0].port || !bytes.Equal(x.id, transportID(name, 2)) {
			t.Errorf("the other: %+v, want TransportID %q", x, transportID(name, 2))
		}
	})
	run(t, "6.18.3 ALL_TG_PT registers at every port of the target", func(t *testing.T) {
		name := newName()
		h := registrant(t, a, named(name), isid(1))
		h.good(h.prOut(prIgnore, 0, 0, b, allTGPT))
		second := login(t, named(name), isid(1), at(lab.second))
		second.hasKeys(b, b)
		second.good(second.prOut(prReserve, writeExclusive, b, 0, 0))
		second.isReserved(b, writeExclusive)
	})
	run(t, "6.18.3 SPEC_I_PT registers other initiator ports", func(t *testing.T) {
		name := newName()
		other := login(t, named(name), isid(7))
		h := registrant(t, a)
		h.good(h.prOut(prRegister, 0, a, 0, 0))
		id := transportID(name, 7)
		list := binary.BigEndian.AppendUint32(nil, uint32(len(id)))
		h.good(h.prOut(prRegister, 0, 0, c, specIPT, append(list, id...)...))
		h.hasKeys(c, c)
		other.good(other.prOut(prReserve, writeExclusive, c, 0, 0))
		other.isReserved(c, writeExclusive)
	})
	run(t, "6.18.3 SPEC_I_PT with a list cut short registers nobody", func(t *testing.T) {
		h := login(t)
		id := transportID(newName(), 7)
		list := binary.BigEndian.AppendUint32(nil, uint32(len(id)))
		r := h.prOut(prRegister, 0, 0, c, specIPT, append(list, id[:len(id)-4]...)...)
		h.is(r, checkCond)
		h.hasKeys()
	})
	run(t, "5.14.8 REGISTER AND MOVE gives the reservation away", func(t *testing.T) {
		name := newName()
		from, dest := registrant(t, a), login(t, named(name), isid(3))
		from.good(from.prOut(prReserve, exclusive, a, 0, 0))
		port := from.fullStatus()[0].port
		id := transportID(name, 3)
		list := make([]byte, 24)
		binary.BigEndian.PutUint64(list, a)
		binary.BigEndian.PutUint64(list[8:], b)
		binary.BigEndian.PutUint16(list[18:], port)
		binary.BigEndian.PutUint32(list[20:], uint32(len(id)))
		from.good(from.prSend(prMove, 0, append(list, id...)))
		from.isReserved(b, exclusive)
		from.hasKeys(a, b)
		from.is(from.out(lunPR, write10(0, 1), fill(1, 1)), conflict)
		dest.settle()
		dest.good(dest.out(lunPR, write10(0, 1), fill(1, 1)))
	})
	run(t, "5.14.8 REGISTER AND MOVE with UNREG", func(t *testing.T) {
		name := newName()
		from, _ := registrant(t, a), login(t, named(name), isid(3))
		from.good(from.prOut(prReserve, writeExclusive, a, 0, 0))
		id := transportID(name, 3)
		list := make([]byte, 24)
		binary.BigEndian.PutUint64(list, a)
		binary.BigEndian.PutUint64(list[8:], b)
		list[17] = 2
		binary.BigEndian.PutUint16(list[18:], from.fullStatus()[0].port)
		binary.BigEndian.PutUint32(list[20:], uint32(len(id)))
		from.good(from.prSend(prMove, 0, append(list, id...)))
		from.hasKeys(b)
		from.isReserved(b, writeExclusive)
	})
	run(t, "5.14.8 REGISTER AND MOVE of what one does not hold conflicts", func(t *testing.T) {
		from, other := registrant(t, a), registrant(t, b)
		from.good(from.prOut(prReserve, writeExclusive, a, 0, 0))
		id := transportID(newName(), 3)
		list := make([]byte, 24)
		binary.BigEndian.PutUint64(list, b)
		binary.BigEndian.PutUint64(list[8:], c)
		binary.BigEndian.PutUint16(list[18:], from.fullStatus()[0].port)
		binary.BigEndian.PutUint32(list[20:], uint32(len(id)))
		other.is(other.prSend(prMove, 0, append(list, id...)), conflict)
	})
	run(t, "5.14.5 registrations outlive the nexus", func(t *testing.T) {
		name := newName()
		h := registrant(t, a, named(name), isid(1))
		h.good(h.prOut(prReserve, exclusive, a, 0, 0))
		if err := h.Logout(h.ctx); err != nil {
			t.Fatal(err)
		}
		s := login(t)
		s.isReserved(a, exclusive)
		s.is(s.in(lunPR, read10(0, 1), 512), conflict)
		again := login(t, named(name), isid(1))
		again.good(again.in(lunPR, read10(0, 1), 512))
	})
	run(t, "5.14.5 a logical unit reset leaves them", func(t *testing.T) {
		h, s := registrant(t, a), login(t)
		h.good(h.prOut(prReserve, exclusive, a, 0, 0))
		s.tmf(initiator.LUReset, lunPR, nil, initiator.FunctionComplete)
		s.settle()
		s.isReserved(a, exclusive)
		s.is(s.in(lunPR, read10(0, 1), 512), conflict)
	})
	run(t, "6.17.4 REPORT CAPABILITIES", func(t *testing.T) {
		b := login(t).prIn(2)
		if len(b) != 8 || b[2]&0x0c != 0x0c || b[3]&0x80 == 0 || b[4]&0xea != 0xea || b[5]&1 != 1 {
			t.Errorf("got %x", b)
		}
	})
	for name, cdb := range map[string][]byte{
		"a scope": {0x5f, prReserve, 0x11, 0, 0, 0, 0, 0, 24, 0}, "a type": {0x5f, prReserve, 2, 0, 0, 0, 0, 0, 24, 0},
	} {
		run(t, "6.18.2 "+name+" that is reserved", func(t *testing.T) {
			h := registrant(t, a)
			list := make([]byte, 24)
			list[7] = a
			h.fails(h.out(lunPR, cdb, list), illegal, invalidCDB)
		})
	}
	run(t, "6.18.3 a parameter list of another length", func(t *testing.T) {
		h := registrant(t, a)
		h.fails(h.prSend(prReserve, writeExclusive, make([]byte, 20)), illegal, paramLength)
	})
	for _, kind := range []struct {
		name   string
		action byte
	}{{"PREEMPT AND ABORT", prPreemptAbort}, {"PREEMPT", prPreempt}} {
		run(t, "5.14.11.4.5 "+kind.name+" and a running write", func(t *testing.T) { preemptsRunning(t, kind.action) })
	}

	reserve6, release6 := []byte{0x16, 0, 0, 0, 0, 0}, []byte{0x17, 0, 0, 0, 0, 0}
	for _, form := range []struct {
		name             string
		reserve, release []byte
	}{{"6", reserve6, release6}, {"10", make10(0x56), make10(0x57)}} {
		run(t, "SPC-2-7.21 RESERVE("+form.name+") keeps the others away", func(t *testing.T) {
			h, o := login(t), login(t)
			h.good(h.none(lunPR, form.reserve))
			h.good(h.none(lunPR, form.reserve))
			o.is(o.none(lunPR, form.reserve), conflict)
			o.is(o.in(lunPR, read10(0, 1), 512), conflict)
			o.is(o.out(lunPR, write10(0, 1), fill(1, 1)), conflict)
			o.good(o.in(lunPR, inquiry(-1, 36), 36))
			o.good(o.none(lunPR, form.release)) // which changes nothing
			o.is(o.in(lunPR, read10(0, 1), 512), conflict)
			h.good(h.in(lunPR, read10(0, 1), 512))
			h.good(h.none(lunPR, form.release))
			o.good(o.in(lunPR, read10(0, 1), 512))
		})
	}
	run(t, "SPC-2-5.5 a logout releases", func(t *testing.T) {
		h, o := login(t), login(t)
		h.good(h.none(lunPR, reserve6))
		if err := h.Logout(h.ctx); err != nil {
			t.Fatal(err)
		}
		o.soonGood(&initiator.Command{LUN: lunPR, CDB: read10(0, 1), In: 512}, conflict)
	})
	run(t, "SPC-2-5.5 a reset releases", func(t *testing.T) {
		h, o := login(t), login(t)
		h.good(h.none(lunPR, reserve6))
		o.tmf(initiator.LUReset, lunPR, nil, initiator.FunctionComplete)
		o.settle()
		o.good(o.in(lunPR, read10(0, 1), 512))
	})
	run(t, "SPC-2-5.5 RESERVE and registrations exclude each other", func(t *testing.T) {
		h, o := login(t), login(t)
		h.good(h.none(lunPR, reserve6))
		o.is(o.prOut(prRegister, 0, 0, b, 0), conflict)
		h.good(h.none(lunPR, release6))
		m := registrant(t, a)
		h.is(h.none(lunPR, reserve6), conflict)
		m.hasKeys(a)
	})
}

// preemptsRunning preempts a registrant whose write is at the medium. PREEMPT AND ABORT
// ends when the write cannot touch the medium any more, and the write has no status.
func preemptsRunning(t *testing.T, action byte) {
	const a, b = 0xa1, 0xb2
	h, o := login(t, keys("iSCSIProtocolLevel", "2")), login(t)
	out := func(h *host, action, kind byte, key, actionKey uint64) *initiator.Command {
		list := make([]byte, 24)
		binary.BigEndian.PutUint64(list, key)
		binary.BigEndian.PutUint64(list[8:], actionKey)
		return &initiator.Command{LUN: lunHeld, CDB: []byte{0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0}, Out: list}
	}
	h.good(h.do(out(h, prIgnore, 0, 0, a)))
	o.good(o.do(out(o, prIgnore, 0, 0, b)))
	defer func() { o.good(o.do(out(o, prClear, 0, b, 0))) }()
	h.good(h.do(out(h, prReserve, writeExclusive, a, 0)))
	o.settle()
	tr, release := held(t, lunHeld)
	w := h.startWrite(lunHeld, kept, 1, initiator.Simple)
	tr.wait(t, begins("write", kept, 1))
	preempt := out(o, action, writeExclusive, b, a)
	preempt.Attr = initiator.HeadOfQueue // past the task that waits behind the write
	if action == prPreempt {
		o.good(o.do(preempt))
		h.isOpen(w, "the write")
		release()
		h.good(h.wait(w)) // it was there before
	} else {
		behind := h.startWrite(lunHeld, free, 1, initiator.Ordered)
		h.isOpen(behind, "the write that waits")
		p := o.start(preempt)
		for present := true; present; { // both are aborted at once, and one shows it
			f, err := h.TMF(h.ctx, initiator.QueryTask, lunHeld, behind.ITT, behind.CmdSN())
			if err != nil {
				t.Fatal(err)
			}
			present = f == initiator.FunctionSucceeded
		}
		h.Forget(behind)
		o.isOpen(p, "PREEMPT AND ABORT")
		release()
		o.good(o.wait(p))
		if tr.index(ends("write", kept, 1)) < 0 {
			t.Error("answered while the store still wrote")
		}
		h.isOpen(w, "the aborted write")
		h.Forget(w)
	}
	got := h.attentions(lunHeld)
	if !slices.Contains(got, regsPreempted) {
		t.Errorf("unit attentions %04x, want %04x among them", got, regsPreempted)
	}
	h.is(h.out(lunHeld, write10(free, 1), fill(1, 1)), conflict)
	o.good(o.out(lunHeld, write10(free, 1), fill(1, 1)))
}
