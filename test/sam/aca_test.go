//go:build system

package sam

import (
	"fmt"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// naca sets NACA in the CONTROL byte of a CDB.
func naca(cdb []byte) []byte {
	cdb[len(cdb)-1] |= 4
	return cdb
}

// faulty is a command with NACA that ends with CHECK CONDITION and so begins an ACA.
func faulty() []byte { return naca(read10(1<<30, 1)) }

// aca begins an ACA for h, which ends with the case.
func (h *host) aca(lun uint16) {
	h.t.Helper()
	h.fails(h.in(lun, faulty(), 512), illegal, lbaOutOfRange)
	h.t.Cleanup(func() {
		select {
		case <-h.Done():
		default:
			if _, err := h.TMF(h.ctx, initiator.ClearACA, lun, initiator.NoTag, 0); err != nil {
				h.t.Error(err)
			}
		}
	})
}

func testACA(t *testing.T) {
	run(t, "5.9.2 without NACA there is no ACA", func(t *testing.T) {
		h := login(t)
		h.fails(h.in(lunOther, read10(1<<30, 1), 512), illegal, lbaOutOfRange)
		h.good(h.none(lunOther, tur))
	})
	run(t, "5.9.2 INQUIRY says NORMACA", func(t *testing.T) {
		h := login(t)
		r := h.in(lunOther, inquiry(-1, 36), 36)
		h.good(r)
		if r.Data[3]&0x20 == 0 {
			t.Errorf("byte 3 is %02x", r.Data[3])
		}
	})
	for attr, name := range map[uint8]string{initiator.Simple: "SIMPLE", initiator.Ordered: "ORDERED", initiator.HeadOfQueue: "HEAD OF QUEUE"} {
		run(t, "5.9.3 "+name+" of the faulted nexus meets ACA ACTIVE", func(t *testing.T) {
			h := login(t)
			h.aca(lunOther)
			h.is(h.do(&initiator.Command{LUN: lunOther, CDB: tur, Attr: attr}), acaActive)
			h.is(h.do(&initiator.Command{LUN: lunOther, CDB: write10(free, 1), Out: fill(1, 1), Attr: attr}), acaActive)
		})
	}
	run(t, "5.9.3 a task with the ACA attribute is carried out", func(t *testing.T) {
		h := login(t)
		h.write(lunOther, free, 1, 1)
		h.aca(lunOther)
		h.good(h.do(&initiator.Command{LUN: lunOther, CDB: write10(free, 1), Out: fill(1, 2), Attr: initiator.ACA}))
		h.tmf(initiator.ClearACA, lunOther, nil, initiator.FunctionComplete)
		h.holds(lunOther, free, 1, 2)
	})
	run(t, "5.9.3 only one task with the ACA attribute at a time", func(t *testing.T) {
		h := login(t)
		h.aca(lunHeld)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.ACA)
		tr.wait(t, begins("write", kept, 1))
		h.is(h.do(&initiator.Command{LUN: lunHeld, CDB: tur, Attr: initiator.ACA}), acaActive)
		release()
		h.good(h.wait(w))
	})
	run(t, "5.9.4 another nexus meets BUSY, or ACA ACTIVE with NACA", func(t *testing.T) {
		h, o := login(t), login(t)
		h.aca(lunOther)
		o.is(o.none(lunOther, tur), busy)
		o.is(o.none(lunOther, naca(make([]byte, 6))), acaActive)
	})
	run(t, "5.9.4 another nexus cannot clear it", func(t *testing.T) {
		h, o := login(t), login(t)
		h.aca(lunOther)
		o.tmf(initiator.ClearACA, lunOther, nil, initiator.FunctionRejected)
		h.is(h.none(lunOther, tur), acaActive)
	})
	run(t, "5.9.5 CLEAR ACA ends it for everyone", func(t *testing.T) {
		h, o := login(t), login(t)
		h.aca(lunOther)
		h.tmf(initiator.ClearACA, lunOther, nil, initiator.FunctionComplete)
		h.good(h.none(lunOther, tur))
		o.good(o.none(lunOther, tur))
	})
	run(t, "5.9.5 a reset ends it", func(t *testing.T) {
		h, o := login(t), login(t)
		h.aca(lunOther)
		o.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		h.told(lunOther, busReset)
		o.told(lunOther, busReset)
	})
	run(t, "5.9.5 the loss of the nexus ends it", func(t *testing.T) {
		h, o := login(t), login(t)
		h.aca(lunOther)
		if err := h.Logout(h.ctx); err != nil {
			t.Fatal(err)
		}
		o.soonGood(&initiator.Command{LUN: lunOther, CDB: tur}, busy)
	})
	run(t, "5.9.3 a task that waits stays until CLEAR ACA", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		barrier := h.startWrite(lunHeld, free, 7, initiator.Ordered)
		h.fails(h.do(&initiator.Command{LUN: lunHeld, CDB: faulty(), In: 512, Attr: initiator.HeadOfQueue}), illegal, lbaOutOfRange)
		release()
		h.good(h.wait(first))
		h.isOpen(barrier, "the blocked write")
		h.tmf(initiator.ClearACA, lunHeld, nil, initiator.FunctionComplete)
		h.good(h.wait(barrier))
	})
	run(t, "5.9.3 PREEMPT AND ABORT passes the ACA of the nexus that it preempts", func(t *testing.T) {
		h, o := registrant(t, 0xa1), registrant(t, 0xb2)
		h.good(h.prOut(prReserve, writeExclusive, 0xa1, 0, 0))
		o.settle()
		h.aca(lunPR)
		o.good(o.prOut(prPreemptAbort, writeExclusive, 0xb2, 0xa1, 0))
		o.good(o.none(lunPR, tur))
	})
	for qerr, name := range map[byte]string{0: "leaves all", 1: "aborts all", 3: "aborts those of its nexus"} {
		run(t, "SPC-7.5.9 QERR "+fmt.Sprint(qerr)+" "+name, func(t *testing.T) {
			h, o := login(t), login(t)
			h.control(lunHeld, func(p []byte) { p[3] = p[3]&^6 | qerr<<1 })
			o.settle()
			tr, release := held(t, lunHeld)
			own, other := h.startWrite(lunHeld, kept, 1, 1), o.startWrite(lunHeld, kept+1, 2, 1)
			tr.wait(t, begins("write", kept, 1), begins("write", kept+1, 1))
			h.fails(h.in(lunHeld, read10(1<<30, 1), 512), illegal, lbaOutOfRange)
			release()
			tr.wait(t, ends("write", kept, 1), ends("write", kept+1, 1))
			if qerr == 0 {
				h.good(h.wait(own))
			} else {
				h.isOpen(own, "the aborted write of the same nexus")
				h.Forget(own)
			}
			if qerr == 1 {
				o.isOpen(other, "the aborted write of the other nexus")
				o.Forget(other)
				o.hits(lunHeld, cleared) // nobody waits for the end of the abort
			} else {
				o.good(o.wait(other))
				o.told(lunHeld)
			}
		})
	}
	run(t, "SPC-7.5.9 TST 001b makes a task set for each nexus", func(t *testing.T) {
		h, o := login(t), login(t)
		h.control(lunHeld, func(p []byte) { p[2] = p[2]&^0xe0 | 0x20 })
		o.settle()
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		o.good(o.wait(o.startWrite(lunHeld, free, 2, initiator.Ordered)))
		o.tmf(initiator.ClearTaskSet, lunHeld, nil, initiator.FunctionComplete)
		release()
		h.good(h.wait(w))
		h.told(lunHeld)
	})
	run(t, "SPC-7.5.9 QUEUE ALGORITHM MODIFIER 0h keeps the order of a nexus", func(t *testing.T) {
		h := login(t)
		h.control(lunHeld, func(p []byte) { p[3] &^= 0xf0 })
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		second := h.startWrite(lunHeld, free, 2, initiator.Simple)
		h.isOpen(second, "the younger write")
		release()
		h.good(h.wait(w))
		h.good(h.wait(second))
		if tr.index(ends("write", kept, 1)) > tr.index(begins("write", free, 1)) {
			t.Errorf("order at the medium: %q", tr.told())
		}
	})
}

// testQueries is the functions of RFC 7144.
func testQueries(t *testing.T) {
	level2 := keys("iSCSIProtocolLevel", "2")
	run(t, "7.8 QUERY TASK of a task that runs", func(t *testing.T) {
		h := login(t, level2)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		h.tmf(initiator.QueryTask, lunHeld, w, initiator.FunctionSucceeded)
		release()
		h.good(h.wait(w))
		h.tmf(initiator.QueryTask, lunHeld, w, initiator.FunctionComplete)
	})
	run(t, "7.9 QUERY TASK SET", func(t *testing.T) {
		h, o := login(t, level2), login(t, level2)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		h.tmf(initiator.QueryTaskSet, lunHeld, nil, initiator.FunctionSucceeded)
		o.tmf(initiator.QueryTaskSet, lunHeld, nil, initiator.FunctionComplete)
		release()
		h.good(h.wait(w))
		h.tmf(initiator.QueryTaskSet, lunHeld, nil, initiator.FunctionComplete)
	})
	run(t, "7.10 QUERY ASYNCHRONOUS EVENT", func(t *testing.T) {
		h := login(t, level2)
		h.tmf(initiator.QueryAsyncEvent, lunOther, nil, initiator.FunctionComplete)
		h.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		f, err := h.StartTMF(initiator.QueryAsyncEvent, lunOther, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		p := h.final(f)
		if p.BHS[2] != initiator.FunctionSucceeded {
			t.Errorf("response %d, want %d", p.BHS[2], initiator.FunctionSucceeded)
		}
		h.told(lunOther, busReset) // which a query does not clear
	})
	run(t, "7.6 I_T NEXUS RESET ends the tasks of the nexus alone", func(t *testing.T) {
		h, o := login(t, level2), login(t)
		tr, release := held(t, lunHeld)
		w, other := h.startWrite(lunHeld, kept, 1, 1), o.startWrite(lunHeld, kept+1, 1, 1)
		tr.wait(t, begins("write", kept, 1), begins("write", kept+1, 1))
		f, err := h.StartTMF(initiator.ITNexusReset, lunHeld, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		h.isOpen(f, "I_T NEXUS RESET")
		release()
		if got := h.final(f).BHS[2]; got != initiator.FunctionComplete {
			t.Errorf("response %d", got)
		}
		h.Forget(w)
		o.good(o.wait(other))
		o.told(lunHeld)
	})
	run(t, "7144-4 without iSCSIProtocolLevel 2 they are not supported", func(t *testing.T) {
		h := login(t)
		for _, f := range []uint8{initiator.QueryTask, initiator.QueryTaskSet, initiator.ITNexusReset, initiator.QueryAsyncEvent} {
			h.tmf(f, lunMem, nil, initiator.NotSupported)
		}
	})
}
