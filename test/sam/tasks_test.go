//go:build system

package sam

import (
	"fmt"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// A write of one block at a held address, and a marker at one that is not held.
func (h *host) startWrite(lun uint16, lba int, b byte, attr uint8) *initiator.Task {
	h.t.Helper()
	return h.start(&initiator.Command{LUN: lun, CDB: write10(lba, 1), Out: fill(1, b), Attr: attr})
}

func (h *host) startRead(lun uint16, lba int, attr uint8) *initiator.Task {
	h.t.Helper()
	return h.start(&initiator.Command{LUN: lun, CDB: read10(lba, 1), In: 512, Attr: attr})
}

// isOpen checks that a task has no response. A command that the server answers at once
// goes and comes in between, so that one on its way would have arrived.
func (h *host) isOpen(task *initiator.Task, what string) {
	h.t.Helper()
	if err := h.Ping(h.ctx, nil); err != nil {
		h.t.Fatal(err)
	}
	select {
	case <-task.Ended():
		h.t.Errorf("%s has ended: %v", what, task.Result().Err())
	default:
	}
}

const (
	free = 10 // the first of some blocks that are never held
	kept = heldFirst
)

func testSimple(t *testing.T) {
	run(t, "a later SIMPLE task passes one that is stuck", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		h.write(lunHeld, free, 1, 2)
		h.isOpen(w, "the held write")
		release()
		h.good(h.wait(w))
		h.holds(lunHeld, kept, 1, 1)
	})
	run(t, "UNTAGGED is SIMPLE", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Untagged)
		tr.wait(t, begins("write", kept, 1))
		h.good(h.wait(h.startWrite(lunHeld, free, 2, initiator.Untagged)))
		release()
		h.good(h.wait(w))
	})
	run(t, "many SIMPLE tasks are at the medium at once", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		var all []*initiator.Task
		for i := range 16 {
			all = append(all, h.startWrite(lunHeld, kept+i, byte(i), initiator.Simple))
		}
		for i := range 16 {
			tr.wait(t, begins("write", kept+i, 1))
		}
		release()
		for _, w := range all {
			h.good(h.wait(w))
		}
	})
	run(t, "a stuck logical unit holds up no other", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		h.good(h.wait(h.startWrite(lunOther, kept, 2, initiator.Ordered)))
		h.good(h.wait(h.startWrite(lunMem, kept, 2, initiator.HeadOfQueue)))
		release()
		h.good(h.wait(w))
	})
	for _, attr := range []uint8{5, 6, 7} {
		run(t, fmt.Sprintf("attribute %d is reserved", attr), func(t *testing.T) {
			h := login(t)
			r := h.do(&initiator.Command{LUN: lunMem, CDB: tur, Attr: attr})
			h.is(r, checkCond)
			if r.Key() != illegal {
				t.Errorf("sense %x/%04x, want ILLEGAL REQUEST", r.Key(), r.Code())
			}
		})
	}
	run(t, "an ACA task without an ACA is refused", func(t *testing.T) {
		h := login(t)
		h.fails(h.do(&initiator.Command{LUN: lunMem, CDB: tur, Attr: initiator.ACA}), illegal, 0x4900)
	})
}

func testOrdered(t *testing.T) {
	run(t, "ORDERED waits for every older task", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		second := h.startWrite(lunHeld, free, 2, initiator.Ordered)
		h.isOpen(second, "the ORDERED write")
		if tr.index(begins("write", free, 1)) >= 0 {
			t.Error("the ORDERED write is at the medium")
		}
		release()
		h.good(h.wait(first))
		h.good(h.wait(second))
		if tr.index(ends("write", kept, 1)) > tr.index(begins("write", free, 1)) {
			t.Errorf("order at the medium: %q", tr.told())
		}
	})
	run(t, "no younger SIMPLE task passes an ORDERED one", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		second := h.startWrite(lunHeld, free, 2, initiator.Simple)
		third := h.startRead(lunHeld, free+1, initiator.Simple)
		h.isOpen(second, "the younger write")
		h.isOpen(third, "the younger read")
		release()
		h.good(h.wait(first))
		h.good(h.wait(second))
		h.good(h.wait(third))
		for _, l := range []string{begins("write", free, 1), begins("read", free+1, 1)} {
			if tr.index(ends("write", kept, 1)) > tr.index(l) {
				t.Errorf("order at the medium: %q", tr.told())
			}
		}
	})
	run(t, "an ORDERED task that waits is a barrier too", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		second := h.startWrite(lunHeld, free, 2, initiator.Ordered)
		third := h.startWrite(lunHeld, free+1, 3, initiator.Simple)
		h.isOpen(third, "the SIMPLE write behind the barrier")
		release()
		h.good(h.wait(first))
		h.good(h.wait(second))
		h.good(h.wait(third))
		if tr.index(ends("write", free, 1)) > tr.index(begins("write", free+1, 1)) {
			t.Errorf("order at the medium: %q", tr.told())
		}
	})
	run(t, "ORDERED tasks run one after another", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		const n = 12
		var all []*initiator.Task
		for i := range n {
			all = append(all, h.startWrite(lunHeld, kept+i, byte(i), initiator.Ordered))
		}
		tr.wait(t, begins("write", kept, 1))
		release()
		for _, w := range all {
			h.good(h.wait(w))
		}
		for i := range n - 1 {
			if tr.index(ends("write", kept+i, 1)) > tr.index(begins("write", kept+i+1, 1)) {
				t.Fatalf("order at the medium: %q", tr.told())
			}
		}
	})
	run(t, "the last of ORDERED writes to one block is what stays", func(t *testing.T) {
		h := login(t)
		var all []*initiator.Task
		for i := range 64 {
			all = append(all, h.startWrite(lunFile, free, byte(i), initiator.Ordered))
		}
		for _, w := range all {
			h.good(h.wait(w))
		}
		h.holds(lunFile, free, 1, 63)
	})
	run(t, "the place of a write is that of its command, not of its data", func(t *testing.T) {
		h := login(t, keys("InitialR2T", "Yes", "ImmediateData", "No"))
		w := h.start(&initiator.Command{LUN: lunHeld, CDB: write10(free, 1), Out: fill(1, 9), Attr: initiator.Ordered, HoldData: true})
		r2t, err := w.NextR2T(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		r := h.startRead(lunHeld, free, initiator.Simple)
		h.isOpen(r, "the read behind an ORDERED write without data")
		if err := w.DataOut(r2t); err != nil {
			t.Fatal(err)
		}
		h.good(h.wait(w))
		res := h.wait(r)
		h.good(res)
		if res.Data[0] != 9 {
			t.Error("the younger read did not see the ORDERED write")
		}
	})
	run(t, "the barrier holds for the tasks of other nexuses", func(t *testing.T) {
		a, b := login(t), login(t)
		tr, release := held(t, lunHeld)
		w := a.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		r := b.startRead(lunHeld, free, initiator.Simple)
		b.isOpen(r, "the read of the other nexus")
		release()
		a.good(a.wait(w))
		b.good(b.wait(r))
	})
	run(t, "an ORDERED task waits for those of other nexuses", func(t *testing.T) {
		a, b := login(t), login(t)
		tr, release := held(t, lunHeld)
		w := a.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		r := b.startRead(lunHeld, free, initiator.Ordered)
		b.isOpen(r, "the ORDERED read of the other nexus")
		release()
		a.good(a.wait(w))
		b.good(b.wait(r))
	})
	run(t, "an aborted ORDERED task frees those behind it", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		barrier := h.startWrite(lunHeld, free, 2, initiator.Ordered)
		r := h.startRead(lunHeld, free+1, initiator.Simple)
		h.isOpen(r, "the read behind the barrier")
		h.tmf(initiator.AbortTask, lunHeld, barrier, initiator.FunctionComplete)
		h.Forget(barrier)
		h.good(h.wait(r))
		release()
		h.good(h.wait(first))
	})
}

func testHeadOfQueue(t *testing.T) {
	run(t, "HEAD OF QUEUE passes an ORDERED task that waits", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Simple)
		tr.wait(t, begins("write", kept, 1))
		second := h.startWrite(lunHeld, free, 2, initiator.Ordered)
		h.good(h.wait(h.startWrite(lunHeld, free+1, 3, initiator.HeadOfQueue)))
		h.isOpen(second, "the ORDERED write")
		release()
		h.good(h.wait(first))
		h.good(h.wait(second))
	})
	run(t, "HEAD OF QUEUE passes an ORDERED task that runs", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.Ordered)
		tr.wait(t, begins("write", kept, 1))
		h.good(h.wait(h.startRead(lunHeld, free, initiator.HeadOfQueue)))
		h.isOpen(first, "the ORDERED write")
		release()
		h.good(h.wait(first))
	})
	run(t, "SIMPLE waits for a HEAD OF QUEUE task", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.HeadOfQueue)
		tr.wait(t, begins("write", kept, 1))
		second := h.startRead(lunHeld, free, initiator.Simple)
		h.isOpen(second, "the SIMPLE read")
		release()
		h.good(h.wait(first))
		h.good(h.wait(second))
		if tr.index(ends("write", kept, 1)) > tr.index(begins("read", free, 1)) {
			t.Errorf("order at the medium: %q", tr.told())
		}
	})
	run(t, "HEAD OF QUEUE does not wait for another one", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		first := h.startWrite(lunHeld, kept, 1, initiator.HeadOfQueue)
		tr.wait(t, begins("write", kept, 1))
		h.good(h.wait(h.startRead(lunHeld, free, initiator.HeadOfQueue)))
		release()
		h.good(h.wait(first))
	})
	run(t, "HEAD OF QUEUE runs while every place is taken", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		var all []*initiator.Task
		for i := range 100 {
			all = append(all, h.startWrite(lunHeld, kept+i, 1, initiator.Simple))
		}
		tr.wait(t, begins("write", kept, 1))
		h.good(h.wait(h.startRead(lunHeld, free, initiator.HeadOfQueue)))
		release()
		for _, w := range all {
			h.good(h.wait(w))
		}
	})
}
