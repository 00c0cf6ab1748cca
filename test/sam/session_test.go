//go:build system

package sam

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
)

func testText(t *testing.T) {
	ask := func(h *host, kv ...string) string {
		h.t.Helper()
		var k []initiator.Key
		for i := 0; i < len(kv); i += 2 {
			k = append(k, initiator.Key{Name: kv[i], Value: kv[i+1]})
		}
		r, err := h.Text(h.ctx, k)
		if err != nil {
			h.t.Fatal(err)
		}
		return string(r.Data)
	}
	run(t, "13.3 SendTargets=All in a discovery session", func(t *testing.T) {
		h := fresh(t, to(""))
		got := ask(h, "SendTargets", "All")
		for _, name := range []string{iqn, iqnAgain, iqnChap, iqnGroups, iqnTwo} {
			if !strings.Contains(got, "TargetName="+name+"\x00") {
				t.Errorf("%s is not in %q", name, got)
			}
		}
		if strings.Contains(got, iqnNobody) {
			t.Error("a target that this initiator may not use is listed")
		}
		for _, a := range []string{lab.Portal + ",1", lab.second + ",2"} {
			if !strings.Contains(got, "TargetAddress="+a+"\x00") {
				t.Errorf("%s is not in %q", a, got)
			}
		}
	})
	run(t, "13.3 SendTargets of one target", func(t *testing.T) {
		h := fresh(t, to(""))
		got := ask(h, "SendTargets", iqn)
		if !strings.Contains(got, "TargetName="+iqn+"\x00") || strings.Contains(got, iqnAgain) {
			t.Errorf("got %q", got)
		}
	})
	run(t, "13.3 SendTargets of a target that is not there", func(t *testing.T) {
		h := fresh(t, to(""))
		if got := ask(h, "SendTargets", iqn+"-none"); strings.Contains(got, "TargetName") {
			t.Errorf("got %q", got)
		}
	})
	run(t, "13.3 an empty SendTargets in a normal session is this target", func(t *testing.T) {
		h := login(t)
		got := ask(h, "SendTargets", "")
		if !strings.Contains(got, "TargetName="+iqn+"\x00") || strings.Contains(got, iqnAgain) {
			t.Errorf("got %q", got)
		}
	})
	run(t, "13.3 SendTargets=All in a normal session is refused", func(t *testing.T) {
		if got := ask(login(t), "SendTargets", "All"); !strings.Contains(got, "SendTargets=Reject") {
			t.Errorf("got %q", got)
		}
	})
	run(t, "6.2 a key that we do not know", func(t *testing.T) {
		if got := ask(login(t), "X-org.example.key", "1"); got != "X-org.example.key=NotUnderstood\x00" {
			t.Errorf("got %q", got)
		}
	})
	run(t, "6.4 a login key in the full feature phase", func(t *testing.T) {
		if got := ask(login(t), "MaxBurstLength", "8192"); got != "MaxBurstLength=Reject\x00" {
			t.Errorf("got %q", got)
		}
	})
	run(t, "13.12 MaxRecvDataSegmentLength changes at once", func(t *testing.T) {
		h := login(t)
		ask(h, "MaxRecvDataSegmentLength", "512")
		r := h.in(lunMem, read10(0, 8), 4096)
		h.good(r)
		if r.Segments != 8 {
			t.Errorf("4096 bytes came in %d Data-In, want 8", r.Segments)
		}
	})
	run(t, "11.10 an answer longer than the initiator takes", func(t *testing.T) {
		h := fresh(t, to(""), keys("MaxRecvDataSegmentLength", "512"))
		got := ask(h, "SendTargets", "All")
		for _, name := range []string{iqn, iqnTwo} {
			if !strings.Contains(got, "TargetName="+name+"\x00") {
				t.Errorf("%s is not in %q", name, got)
			}
		}
	})
	run(t, "4.3 a discovery session has no task management", func(t *testing.T) {
		h := fresh(t, to(""))
		f, err := h.StartTMF(initiator.LUReset, 0, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Wait(h.ctx); err == nil {
			t.Error("the function was carried out")
		}
	})
	run(t, "4.3 a discovery session carries no commands", func(t *testing.T) {
		h := fresh(t, to(""))
		task := h.start(&initiator.Command{CDB: tur})
		if _, err := task.Wait(h.ctx); err == nil {
			t.Error("a command was carried out")
		}
	})
}

func testLogout(t *testing.T) {
	logout := func(reason byte) *initiator.PDU {
		p := request(initiator.OpLogout, reason)
		p.BHS[0] |= initiator.Immediate
		p.PutU32(16, 0x77)
		return p
	}
	for _, reason := range []byte{0, 1} {
		run(t, fmt.Sprintf("11.14.1 reason %d ends the session", reason), func(t *testing.T) {
			w := dial(t)
			w.send(logout(reason))
			if p := w.expect(initiator.OpLogoutResp); p.BHS[2] != 0 || p.ITT() != 0x77 {
				t.Errorf("response %d, tag %#x", p.BHS[2], p.ITT())
			}
			w.ends(0)
		})
	}
	run(t, "11.15.1 reason 2 is not supported", func(t *testing.T) {
		w := dial(t)
		w.send(logout(2))
		if p := w.expect(initiator.OpLogoutResp); p.BHS[2] != 2 {
			t.Errorf("response %d, want 2", p.BHS[2])
		}
		w.alive()
	})
	run(t, "11.14.1 an unknown reason is rejected", func(t *testing.T) {
		w := dial(t)
		w.send(logout(9))
		if p := w.expect(initiator.OpReject); p.BHS[2] != 9 {
			t.Errorf("reason %#02x, want 09", p.BHS[2])
		}
	})
	run(t, "11.14.1 another CID is not there", func(t *testing.T) {
		w := dial(t)
		p := logout(1)
		p.BHS[21] = 7
		w.send(p)
		if p := w.expect(initiator.OpLogoutResp); p.BHS[2] != 1 {
			t.Errorf("response %d, want 1 (CID not found)", p.BHS[2])
		}
	})
	run(t, "11.14 a logout waits for what runs", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 0x5a, 1)
		tr.wait(t, begins("write", kept, 1))
		out, err := h.Request(logout(0))
		if err != nil {
			t.Fatal(err)
		}
		release()
		if p := h.final(out); p.BHS[2] != 0 {
			t.Errorf("response %d", p.BHS[2])
		}
		if tr.index(ends("write", kept, 1)) < 0 {
			t.Error("the logout was answered while the store still wrote")
		}
		h.good(h.wait(w))
		h.Close()
	})
	run(t, "11.14 a logout with data outstanding", func(t *testing.T) {
		h := login(t, onR2T)
		h.write(lunMem, free, 1, 1)
		w := h.start(&initiator.Command{CDB: write10(free, 1), Out: fill(1, 9), HoldData: true})
		if _, err := w.NextR2T(h.ctx); err != nil {
			t.Fatal(err)
		}
		if err := h.Logout(h.ctx); err != nil {
			t.Error(err)
		}
		login(t).holds(lunMem, free, 1, 1)
	})
}

func testReinstatement(t *testing.T) {
	run(t, "a new session of the same port ends the old one", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		b := login(t, named(name), isid(1))
		select {
		case <-a.Done():
		case <-a.ctx.Done():
			t.Error("the old session lives")
		}
		b.good(b.none(0, tur))
	})
	run(t, "another port of the same name does not", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		b := login(t, named(name), isid(2))
		a.good(a.none(0, tur))
		b.good(b.none(0, tur))
	})
	run(t, "the same port at another target does not", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		b := login(t, named(name), isid(1), to(iqnAgain))
		a.good(a.none(0, tur))
		b.good(b.none(0, tur))
	})
	run(t, "the same port at another portal group does not", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		b := login(t, named(name), isid(1), at(lab.second))
		a.good(a.none(0, tur))
		b.good(b.none(0, tur))
	})
	run(t, "the new session runs no command while an old write is stuck", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		tr, release := held(t, lunHeld)
		a.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		result, in := later(t, named(name), isid(1))
		<-a.Done()
		select {
		case <-in:
			t.Error("logged in while the old write was at the medium")
		default:
		}
		release()
		b := result()
		if tr.index(ends("write", kept, 1)) < 0 {
			t.Error("logged in before the old write had ended")
		}
		b.write(lunHeld, kept, 1, 2)
		b.holds(lunHeld, kept, 1, 2)
	})
	run(t, "a write of the old session does not come after the login", func(t *testing.T) {
		for range 8 {
			name := newName()
			a := login(t, named(name), isid(1))
			a.write(lunHeld, free, 1, 0x11)
			tr, release := held(t, lunHeld)
			a.startWrite(lunHeld, kept, 1, initiator.Ordered)
			tr.wait(t, begins("write", kept, 1))
			late := a.startWrite(lunHeld, free, 0xee, initiator.Simple)
			a.isOpen(late, "the blocked write")
			result, _ := later(t, named(name), isid(1))
			<-a.Done()
			release()
			h := result()
			// Until the server noted the loss the old write may have run, but not longer.
			if lines := tr.told(); slices.Contains(lines, begins("write", free, 1)) && !slices.Contains(lines, ends("write", free, 1)) {
				t.Fatalf("the old write is at the medium: %q", lines)
			}
			h.write(lunHeld, free, 1, 0x22)
			h.holds(lunHeld, free, 1, 0x22)
			n := 0
			for _, l := range tr.told() {
				if l == begins("write", free, 1) {
					n++
				}
			}
			if n > 2 {
				t.Fatalf("more writes than were sent: %q", tr.told())
			}
			h.Close()
		}
	})
	run(t, "SAM-6.3.4 the new nexus is told of its loss or of power on", func(t *testing.T) {
		name := newName()
		login(t, named(name), isid(1))
		b := fresh(t, named(name), isid(1))
		if got := b.attentions(lunMem); len(got) != 1 || got[0]>>8 != 0x29 {
			t.Errorf("unit attentions %04x, want one of 29h", got)
		}
	})
	run(t, "other sessions feel nothing", func(t *testing.T) {
		name := newName()
		other := login(t)
		login(t, named(name), isid(1))
		login(t, named(name), isid(1))
		other.told(lunMem)
	})
}

func testReject(t *testing.T) {
	for _, op := range []byte{0x07, 0x1c, 0x1e, 0x3e} {
		run(t, fmt.Sprintf("11.17.1 opcode %02xh is not supported", op), func(t *testing.T) {
			w := dial(t)
			p := request(op, 0)
			p.BHS[0] |= initiator.Immediate
			p.PutU32(16, 0x55)
			w.send(p)
			r := w.expect(initiator.OpReject)
			if r.BHS[2] != 0x05 {
				t.Errorf("reason %#02x, want 05", r.BHS[2])
			}
			if !bytes.Equal(r.Data[:initiator.BHSLen], p.BHS[:]) {
				t.Error("the Reject does not carry the header")
			}
			w.alive()
		})
	}
	run(t, "11.16 SNACK at error recovery level 0", func(t *testing.T) {
		w := dial(t)
		p := request(0x10, 0)
		p.BHS[0] |= initiator.Immediate
		p.PutU32(16, 0x55)
		w.send(p)
		if r := w.expect(initiator.OpReject); r.BHS[2] != 0x03 {
			t.Errorf("reason %#02x, want 03", r.BHS[2])
		}
		w.alive()
	})
	run(t, "11.17 a Login Request in the full feature phase", func(t *testing.T) {
		w := dial(t)
		w.send(loginPDU(1, 3, true, names()...))
		if r, err := w.RecvWithin(limit); err == nil && r.Opcode() != initiator.OpReject {
			t.Errorf("got %v, want a Reject or the end", r)
		}
	})
	run(t, "11.17 a Reject counts in StatSN", func(t *testing.T) {
		w := dial(t)
		p := request(0x1c, 0)
		p.BHS[0] |= initiator.Immediate
		w.send(p)
		next := w.ExpStatSN
		if r := w.expect(initiator.OpReject); r.StatSN() != next {
			t.Errorf("StatSN %d, want %d", r.StatSN(), next)
		}
		if in := w.alive(); in.StatSN() != next+1 {
			t.Errorf("then StatSN %d, want %d", in.StatSN(), next+1)
		}
	})
	run(t, "7.3 the CmdSN of what is rejected is not received", func(t *testing.T) {
		w := dial(t)
		bad := request(initiator.OpLogout, 0x80|9) // an unknown reason
		bad.PutU32(16, 1)
		bad.PutU32(24, w.CmdSN)
		behind, filler := nop(2, w.CmdSN+1), nop(3, w.CmdSN)
		w.send(bad)
		if r := w.expect(initiator.OpReject); r.ExpCmdSN() != w.CmdSN {
			t.Errorf("ExpCmdSN %d, want %d", r.ExpCmdSN(), w.CmdSN)
		}
		w.send(behind)
		w.send(filler)
		for i, itt := range []uint32{3, 2} { // in the order of CmdSN
			if r := w.expect(initiator.OpNOPIn); r.ITT() != itt || r.ExpCmdSN() != w.CmdSN+uint32(i)+1 && r.ExpCmdSN() != w.CmdSN+2 {
				t.Errorf("answer %d: tag %d, ExpCmdSN %d", i, r.ITT(), r.ExpCmdSN())
			}
		}
	})
	run(t, "7.3 who does not fill the gap is served all the same", func(t *testing.T) {
		w := dial(t)
		bad := request(initiator.OpLogout, 0x80|9)
		bad.PutU32(24, w.CmdSN)
		w.send(bad)
		w.expect(initiator.OpReject)
		w.send(nop(2, w.CmdSN+1))
		if r := w.expect(initiator.OpNOPIn); r.ITT() != 2 || r.ExpCmdSN() != w.CmdSN+2 {
			t.Errorf("tag %d, ExpCmdSN %d", r.ITT(), r.ExpCmdSN())
		}
	})
	run(t, "7.7 a data segment above MaxRecvDataSegmentLength", func(t *testing.T) {
		w := dial(t)
		p := request(initiator.OpNOPOut, 0)
		p.BHS[0] |= initiator.Immediate
		p.Raw = true
		p.BHS[5], p.BHS[6], p.BHS[7] = 0xff, 0xff, 0xff
		w.send(p)
		for {
			r, err := w.RecvWithin(limit)
			if err != nil {
				break
			}
			if r.Opcode() != initiator.OpReject {
				t.Fatalf("got %v", r)
			}
		}
	})
}

// nop is a ping with a CmdSN of its own.
func nop(itt, sn uint32) *initiator.PDU {
	p := request(initiator.OpNOPOut, 0)
	p.PutU32(16, itt)
	p.PutU32(20, initiator.NoTag)
	p.PutU32(24, sn)
	return p
}

func testNOP(t *testing.T) {
	for _, n := range []int{0, 1, 512, 8192} {
		run(t, fmt.Sprintf("11.18 a ping with %d bytes", n), func(t *testing.T) {
			h := login(t)
			if err := h.Ping(h.ctx, bytes.Repeat([]byte{0xa5}, n)); err != nil {
				t.Error(err)
			}
		})
	}
	run(t, "11.18 a ping that is not immediate takes a CmdSN", func(t *testing.T) {
		w := dial(t)
		p := request(initiator.OpNOPOut, 0)
		p.PutU32(16, 1)
		p.PutU32(20, initiator.NoTag)
		p.PutU32(24, w.CmdSN)
		w.send(p)
		if r := w.expect(initiator.OpNOPIn); r.ExpCmdSN() != w.CmdSN+1 {
			t.Errorf("ExpCmdSN %d, want %d", r.ExpCmdSN(), w.CmdSN+1)
		}
	})
	run(t, "11.18 without a tag there is no answer", func(t *testing.T) {
		w := dial(t)
		p := request(initiator.OpNOPOut, 0)
		p.BHS[0] |= initiator.Immediate
		p.PutU32(16, initiator.NoTag)
		p.PutU32(20, initiator.NoTag)
		w.send(p)
		w.alive() // expects the answer to its own
	})
	run(t, "11.19 the answer is cut to what the initiator takes", func(t *testing.T) {
		w := dial(t, keys("MaxRecvDataSegmentLength", "512"))
		p := request(initiator.OpNOPOut, 0)
		p.BHS[0] |= initiator.Immediate
		p.PutU32(16, 1)
		p.PutU32(20, initiator.NoTag)
		p.Data = make([]byte, 1000)
		w.send(p)
		if r := w.expect(initiator.OpNOPIn); len(r.Data) != 512 {
			t.Errorf("%d bytes", len(r.Data))
		}
	})
	run(t, "11.18 a ping passes a stuck command", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		if err := h.Ping(h.ctx, []byte("x")); err != nil {
			t.Error(err)
		}
		release()
		h.good(h.wait(w))
	})
}
