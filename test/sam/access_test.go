//go:build system

package sam

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// Asymmetric access states (SPC-6, 5.16).
const (
	optimized    = 0x0
	nonOptimized = 0x1
	standby      = 0x2
	unavailable  = 0x3
	offline      = 0xe
)

const stateChanged = 0x2a06

// portGroup is a descriptor of REPORT TARGET PORT GROUPS.
type portGroup struct {
	state, supported, status byte
	tag                      uint16
	ports                    []uint16
}

func (h *host) groups(extended bool) []portGroup {
	h.t.Helper()
	format, head := byte(0x0a), 4
	if extended {
		format, head = 0x2a, 8
	}
	r := h.in(lunMem, []byte{0xa3, format, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}, 1024)
	h.good(r)
	if int(binary.BigEndian.Uint32(r.Data)) != len(r.Data)-4 {
		h.t.Errorf("RETURN DATA LENGTH %d of %d bytes", binary.BigEndian.Uint32(r.Data), len(r.Data))
	}
	var all []portGroup
	for b := r.Data[head:]; len(b) >= 8; {
		g := portGroup{b[0] & 15, b[1], b[5], binary.BigEndian.Uint16(b[2:]), nil}
		n := 8 + 4*int(b[7])
		for p := range slices.Chunk(b[8:n], 4) {
			g.ports = append(g.ports, binary.BigEndian.Uint16(p[2:]))
		}
		all = append(all, g)
		b = b[n:]
	}
	return all
}

// setGroups is SET TARGET PORT GROUPS with pairs of tag and state.
func (h *host) setGroups(pairs ...int) *initiator.Result {
	h.t.Helper()
	list := make([]byte, 4)
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, byte(pairs[i+1]), 0, byte(pairs[i]>>8), byte(pairs[i]))
	}
	return h.out(lunMem, []byte{0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, byte(len(list)), 0, 0}, list)
}

// twoPaths are an initiator at each of the two target port groups; the states are back to
// active/optimized when the case ends.
func twoPaths(t *testing.T) (first, second *host) {
	t.Helper()
	first, second = login(t), login(t, at(lab.second))
	t.Cleanup(func() {
		h := login(t)
		h.good(h.setGroups(1, optimized, 2, optimized))
	})
	return first, second
}

func testAccess(t *testing.T) {
	for _, extended := range []bool{false, true} {
		run(t, fmt.Sprintf("6.36 every group and port is reported, extended %v", extended), func(t *testing.T) {
			a, _ := twoPaths(t)
			all := a.groups(extended)
			if len(all) != 2 || all[0].tag != 1 || all[1].tag != 2 {
				t.Fatalf("groups %+v", all)
			}
			for _, g := range all {
				if g.state != optimized || len(g.ports) == 0 || g.supported&0x0f != 0x0f {
					t.Errorf("group %+v", g)
				}
			}
		})
	}
	run(t, "6.36 a format that is reserved", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunMem, []byte{0xa3, 0x4a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}, 1024), illegal, invalidCDB)
	})
	run(t, "6.7.2 TPGS says implicit and explicit", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, inquiry(-1, 36), 36)
		h.good(r)
		if r.Data[5]>>4&3 != 3 {
			t.Errorf("TPGS %d", r.Data[5]>>4&3)
		}
	})
	run(t, "7.7.6 the group of a port in page 83h", func(t *testing.T) {
		for portal, want := range map[string]uint64{lab.Portal: 1, lab.second: 2} {
			h := login(t, at(portal))
			r := h.in(lunMem, inquiry(0x83, 1024), 1024)
			h.good(r)
			found := false
			for b := r.Data[4:]; len(b) >= 4; b = b[4+int(b[3]):] {
				found = found || b[1]>>4&3 == 1 && b[1]&15 == 5 && number(b[4:8]) == want
			}
			if !found {
				t.Errorf("%s: no designator of group %d", portal, want)
			}
		}
	})
	for _, s := range []struct {
		name  string
		state int
		code  uint16 // of a READ; 0 is GOOD
	}{{"active/optimized", optimized, 0}, {"active/non-optimized", nonOptimized, 0}, {"standby", standby, 0x040b}, {"unavailable", unavailable, 0x040c}} {
		run(t, "5.16 what is done in "+s.name, func(t *testing.T) {
			a, b := twoPaths(t)
			a.good(a.setGroups(2, s.state))
			b.settle()
			for _, c := range []initiator.Command{{CDB: read10(0, 1), In: 512}, {CDB: write10(free, 1), Out: fill(1, 1)}, {CDB: cdb16(0x88, 0, 0, 1), In: 512}} {
				r := b.do(&c)
				if s.code == 0 {
					b.good(r)
				} else {
					b.fails(r, notReady, s.code)
				}
				a.good(a.do(&c))
			}
			b.good(b.in(lunMem, inquiry(-1, 36), 36))
			b.sense(lunMem)
			if _, err := b.LUNs(b.ctx); err != nil {
				t.Error(err)
			}
			if got := b.groups(false); got[1].state != byte(s.state) || got[1].status != 1 && s.state != optimized {
				t.Errorf("groups %+v", got)
			}
			b.good(b.setGroups(2, optimized)) // is allowed in every state
			b.good(b.in(lunMem, read10(0, 1), 512))
		})
	}
	run(t, "5.16 the other nexuses are told", func(t *testing.T) {
		a, b := twoPaths(t)
		c := login(t)
		a.good(a.setGroups(2, nonOptimized))
		a.told(lunMem)
		b.told(lunMem, stateChanged)
		c.told(lunMem, stateChanged)
	})
	run(t, "5.16 no change is not told", func(t *testing.T) {
		a, b := twoPaths(t)
		a.good(a.setGroups(2, optimized))
		b.told(lunMem)
	})
	for name, pairs := range map[string][]int{
		"a state that is reserved": {2, 5}, "offline": {2, offline}, "transitioning": {2, 15},
		"a group that is not there": {9, standby}, "a group twice": {2, standby, 2, optimized},
	} {
		run(t, "6.45 "+name+" is refused and changes nothing", func(t *testing.T) {
			a, b := twoPaths(t)
			a.fails(a.setGroups(append([]int{1, nonOptimized}, pairs...)...), illegal, invalidParam)
			for _, g := range a.groups(false) {
				if g.state != optimized {
					t.Errorf("group %+v", g)
				}
			}
			b.told(lunMem)
		})
	}
	run(t, "6.45 a list cut in a descriptor", func(t *testing.T) {
		h := login(t)
		h.fails(h.out(lunMem, []byte{0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0}, []byte{0, 0, 0, 0, 2, 0}), illegal, paramLength)
	})
	run(t, "6.45 an empty list", func(t *testing.T) {
		h := login(t)
		h.good(h.none(lunMem, []byte{0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))
	})
	run(t, "5.16.2.6 a transition waits for what runs", func(t *testing.T) {
		a, b := twoPaths(t)
		tr, release := held(t, lunHeld)
		w := b.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		list := []byte{0, 0, 0, 0, standby, 0, 0, 2}
		set := a.start(&initiator.Command{LUN: lunMem, CDB: []byte{0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0}, Out: list})
		a.isOpen(set, "SET TARGET PORT GROUPS")
		release()
		a.good(a.wait(set))
		b.good(b.wait(w))
		if tr.index(ends("write", kept, 1)) < 0 {
			t.Error("answered while the store still wrote")
		}
		b.settle()
		b.fails(b.out(lunHeld, write10(free, 1), fill(1, 1)), notReady, 0x040b)
	})
	run(t, "5.16.2.6 transitions under load lose no command", func(t *testing.T) {
		a, b := twoPaths(t)
		h := login(t, at(lab.second))
		done := make(chan error, 1)
		go func() {
			for i := range 400 {
				c := &initiator.Command{LUN: lunFile, CDB: write10(3000+i%64, 1), Out: fill(1, byte(i)), Attr: initiator.Simple}
				r, err := h.Do(h.ctx, c)
				if err == nil && r.Status != good && (r.Status != checkCond || r.Key() != notReady && r.Key() != attention) {
					err = r.Err()
				}
				if err != nil {
					done <- fmt.Errorf("write %d: %w", i, err)
					return
				}
			}
			done <- nil
		}()
		states := []int{standby, optimized, nonOptimized, unavailable}
		for i := 0; ; i++ {
			a.good(a.setGroups(2, states[i%len(states)]))
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				a.good(a.setGroups(2, optimized))
				b.settle()
				b.good(b.out(lunFile, write10(3000, 1), fill(1, 1)))
				return
			default:
			}
		}
	})
	run(t, "7143-11.9.1 a change is told by an Asynchronous Message", func(t *testing.T) {
		a, b := twoPaths(t)
		a.good(a.setGroups(2, nonOptimized))
		b.hears(0, stateChanged)
	})
	run(t, "7143-11.9.1 a changed LUN map is told by an Asynchronous Message", func(t *testing.T) {
		h := login(t, to(iqnGroups), named("iqn.2026-11.org.targate:group-a8"))
		t.Cleanup(func() { firstModel.apply(t) })
		m := firstModel
		m.groupA = "{0: other, 3: mem, 6: file, 300: nothing}"
		m.apply(t)
		h.hears(0, lunsChanged)
	})
}

// hears waits for an Asynchronous Message with an event and, of a SCSI event, a code.
func (h *host) hears(event byte, code uint16) *initiator.PDU {
	h.t.Helper()
	for {
		h.mu.Lock()
		for _, p := range h.async {
			if p.Opcode() != initiator.OpAsync || p.BHS[36] != event {
				continue
			}
			r := initiator.Result{}
			if len(p.Data) > 2 {
				r.Sense = p.Data[2:]
			}
			if event != 0 || r.Code() == code {
				h.mu.Unlock()
				return p
			}
		}
		h.mu.Unlock()
		select {
		case <-h.woken:
		case <-h.ctx.Done():
			h.t.Fatalf("no Asynchronous Message %d with %04x", event, code)
		}
	}
}
