//go:build system

package sam

import (
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// stage brings a task of h on lunHeld into a state, with what goes with it.
type stage struct {
	name string
	make func(h *host, tr *trace) *initiator.Task
	owed bool // data that an R2T asked for
}

// The states in which a task management function can meet a task.
var stages = []stage{
	{"of a running write", func(h *host, tr *trace) *initiator.Task {
		w := h.startWrite(lunHeld, kept+8, 0xee, initiator.Simple)
		tr.wait(h.t, begins("write", kept+8, 1))
		return w
	}, false},
	{"of a running read", func(h *host, tr *trace) *initiator.Task {
		r := h.startRead(lunHeld, kept+8, initiator.Simple)
		tr.wait(h.t, begins("read", kept+8, 1))
		return r
	}, false},
	{"of a blocked write", func(h *host, tr *trace) *initiator.Task {
		h.startWrite(lunHeld, kept+9, 0xee, initiator.Ordered)
		tr.wait(h.t, begins("write", kept+9, 1))
		w := h.startWrite(lunHeld, free+8, 0xee, initiator.Simple)
		h.isOpen(w, "the blocked write")
		return w
	}, false},
	{"of a write that waits for data", func(h *host, _ *trace) *initiator.Task {
		return h.start(&initiator.Command{LUN: lunHeld, CDB: write10(free+8, 1), Out: fill(1, 0xee), HoldData: true})
	}, true},
	{"of a blocked write that waits for data", func(h *host, tr *trace) *initiator.Task {
		h.startWrite(lunHeld, kept+9, 0xee, initiator.Ordered)
		tr.wait(h.t, begins("write", kept+9, 1))
		return h.start(&initiator.Command{LUN: lunHeld, CDB: write10(free+8, 1), Out: fill(1, 0xee), HoldData: true})
	}, true},
}

// onR2T makes every write wait for an R2T.
var onR2T = keys("InitialR2T", "Yes", "ImmediateData", "No")

func testTaskManagement(t *testing.T) {
	for _, f := range []struct {
		name     string
		function uint8
	}{
		{"7.2 ABORT TASK", initiator.AbortTask},
		{"7.3 ABORT TASK SET", initiator.AbortTaskSet},
		{"7.5 CLEAR TASK SET", initiator.ClearTaskSet},
		{"7.7 LOGICAL UNIT RESET", initiator.LUReset},
		{"7143-11.5.1 TARGET WARM RESET", initiator.TargetWarmReset},
	} {
		for _, s := range stages {
			run(t, f.name+" "+s.name, func(t *testing.T) { abortsSafely(t, f.function, s) })
		}
	}
	for _, s := range stages {
		run(t, "7143-11.5.1 ABORT TASK by a wrong tag "+s.name, func(t *testing.T) {
			h := login(t, onR2T)
			tr, release := held(t, lunHeld)
			task := s.make(h, tr)
			got, err := h.TMF(h.ctx, initiator.AbortTask, lunHeld, 0x7fff0000, h.CmdSN()-1000)
			if err != nil || got != initiator.TaskDoesNotExist {
				t.Errorf("response %d, %v; want %d", got, err, initiator.TaskDoesNotExist)
			}
			h.isOpen(task, "the other task")
			release()
		})
	}
	run(t, "7.2 ABORT TASK of a task that has ended", func(t *testing.T) {
		h := login(t)
		r := h.startRead(lunMem, free, initiator.Simple)
		h.good(h.wait(r))
		h.tmf(initiator.AbortTask, lunMem, r, initiator.TaskDoesNotExist)
	})
	run(t, "7.2 ABORT TASK spares the other tasks", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		a, b := h.startWrite(lunHeld, kept, 1, 1), h.startWrite(lunHeld, kept+1, 2, 1)
		tr.wait(t, begins("write", kept, 1), begins("write", kept+1, 1))
		abort, err := h.StartTMF(initiator.AbortTask, lunHeld, a.ITT, a.CmdSN())
		if err != nil {
			t.Fatal(err)
		}
		h.isOpen(abort, "ABORT TASK")
		release()
		if got := h.final(abort).BHS[2]; got != initiator.FunctionComplete {
			t.Errorf("response %d", got)
		}
		h.good(h.wait(b))
		h.isOpen(a, "the aborted write")
		h.Forget(a)
		h.told(lunHeld)
	})
	run(t, "7.3 ABORT TASK SET spares the tasks of others", func(t *testing.T) {
		a, b := login(t), login(t)
		tr, release := held(t, lunHeld)
		x, y := a.startWrite(lunHeld, kept, 1, 1), b.startWrite(lunHeld, kept+1, 2, 1)
		tr.wait(t, begins("write", kept, 1), begins("write", kept+1, 1))
		f, err := a.StartTMF(initiator.AbortTaskSet, lunHeld, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		a.isOpen(f, "ABORT TASK SET")
		release()
		if got := a.final(f).BHS[2]; got != initiator.FunctionComplete {
			t.Errorf("response %d", got)
		}
		b.good(b.wait(y))
		a.Forget(x)
		a.told(lunHeld)
		b.told(lunHeld)
	})
	run(t, "7.5 CLEAR TASK SET tells the others", func(t *testing.T) {
		a, b, c := login(t), login(t), login(t)
		tr, release := held(t, lunHeld)
		x := b.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		f, err := a.StartTMF(initiator.ClearTaskSet, lunHeld, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		a.isOpen(f, "CLEAR TASK SET")
		release()
		if got := a.final(f).BHS[2]; got != initiator.FunctionComplete {
			t.Errorf("response %d", got)
		}
		b.isOpen(x, "the cleared write")
		b.Forget(x)
		a.told(lunHeld)
		b.told(lunHeld, cleared)
		c.told(lunHeld) // it had no task
	})
	run(t, "7.5 CLEAR TASK SET with TAS answers the others TASK ABORTED", func(t *testing.T) {
		a, b := login(t), login(t)
		a.control(lunHeld, func(p []byte) { p[5] |= 0x40 })
		b.settle()
		tr, release := held(t, lunHeld)
		x, own := b.startWrite(lunHeld, kept, 1, 1), a.startWrite(lunHeld, kept+1, 1, 1)
		tr.wait(t, begins("write", kept, 1), begins("write", kept+1, 1))
		f, err := a.StartTMF(initiator.ClearTaskSet, lunHeld, initiator.NoTag, 0)
		if err != nil {
			t.Fatal(err)
		}
		a.isOpen(f, "CLEAR TASK SET")
		release()
		a.final(f)
		b.is(b.wait(x), aborted)
		b.told(lunHeld)
		a.isOpen(own, "the write of the nexus that asked")
		a.Forget(own)
	})
	run(t, "7.7 LOGICAL UNIT RESET tells every nexus", func(t *testing.T) {
		a, b := login(t), login(t)
		a.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		a.told(lunOther, busReset)
		b.told(lunOther, busReset)
		a.told(lunMem)
	})
	run(t, "7143-11.5.1 TARGET WARM RESET resets every logical unit", func(t *testing.T) {
		a, b := login(t), login(t)
		a.tmf(initiator.TargetWarmReset, 0, nil, initiator.FunctionComplete)
		for _, lun := range []uint16{lunMem, lunHeld, lunFile, lunNull, lun4K, lunOther} {
			a.told(lun, busReset)
			b.told(lun, busReset)
		}
	})
	run(t, "7.4 CLEAR ACA without an ACA is complete", func(t *testing.T) {
		h := login(t)
		h.tmf(initiator.ClearACA, lunMem, nil, initiator.FunctionComplete)
	})
	for _, f := range []struct {
		name     string
		function uint8
	}{
		{"ABORT TASK SET", initiator.AbortTaskSet}, {"CLEAR TASK SET", initiator.ClearTaskSet},
		{"LOGICAL UNIT RESET", initiator.LUReset}, {"CLEAR ACA", initiator.ClearACA},
	} {
		run(t, "7143-11.6.1 "+f.name+" of no LUN", func(t *testing.T) {
			login(t).tmf(f.function, 77, nil, initiator.LUNDoesNotExist)
		})
	}
	run(t, "7143-11.6.1 TASK REASSIGN is not supported", func(t *testing.T) {
		h := login(t)
		h.tmf(initiator.TaskReassign, lunMem, nil, initiator.ReassignNotSupported)
	})
	for _, f := range []uint8{13, 64, 127} {
		run(t, "7143-11.6.1 an unknown function is not supported", func(t *testing.T) {
			login(t).tmf(f, lunMem, nil, initiator.NotSupported)
		})
	}
	run(t, "7143-11.5 task management passes a closed window", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		var all []*initiator.Task
		for h.Window() > 0 {
			all = append(all, h.startWrite(lunHeld, kept, 1, 1))
		}
		tr.wait(t, begins("write", kept, 1))
		h.tmf(initiator.LUReset, lunOther, nil, initiator.FunctionComplete)
		release()
		for _, w := range all {
			h.good(h.wait(w))
		}
	})
	run(t, "5.6 no status for a command that its own initiator aborted", func(t *testing.T) {
		h := login(t)
		h.control(lunHeld, func(p []byte) { p[5] |= 0x40 }) // TAS is for the others
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		f, err := h.StartTMF(initiator.AbortTask, lunHeld, w.ITT, w.CmdSN())
		if err != nil {
			t.Fatal(err)
		}
		h.isOpen(f, "ABORT TASK") // it has come to the target
		release()
		h.final(f)
		h.isOpen(w, "the aborted write")
		h.Forget(w)
	})
}

// abortsSafely carries out a function against a task in a state: the response comes only
// when the store is done with the task, the task has no status, and whatever it was to
// write does not come later. A function for many tasks waits for the data that R2Ts asked
// for, too (RFC 7143, 4.2.3.2).
func abortsSafely(t *testing.T, function uint8, s stage) {
	h := login(t, onR2T)
	h.write(lunHeld, free+8, 1, 0x11)
	tr, release := held(t, lunHeld)
	task := s.make(h, tr)
	var r2t *initiator.PDU
	if s.owed {
		var err error
		if r2t, err = task.NextR2T(h.ctx); err != nil {
			t.Fatal(err)
		}
	}
	stuck := tr.index(begins("write", kept+8, 1)) >= 0 || tr.index(begins("read", kept+8, 1)) >= 0 ||
		function != initiator.AbortTask && tr.index(begins("write", kept+9, 1)) >= 0
	f, err := h.StartTMF(function, lunHeld, tag(function, task), task.CmdSN())
	if err != nil {
		t.Fatal(err)
	}
	if stuck {
		h.isOpen(f, "the function, while the store still works,")
		release()
	}
	if s.owed && function != initiator.AbortTask {
		h.isOpen(f, "the function, while data is owed,")
		if err := task.DataOut(r2t); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.final(f).BHS[2]; got != initiator.FunctionComplete {
		t.Errorf("response %d", got)
	}
	lines := tr.told()
	if s.owed && function == initiator.AbortTask { // late data is discarded
		if err := task.DataOut(r2t); err != nil {
			t.Fatal(err)
		}
	}
	h.isOpen(task, "the aborted task")
	h.Forget(task)
	release()
	if function == initiator.LUReset || function == initiator.TargetWarmReset {
		h.settle()
	}
	// What was at the medium when the function was answered is all that ever gets there.
	h.holds(lunHeld, free+8, 1, 0x11)
	if slices.Contains(lines, begins("write", kept+8, 1)) && !slices.Contains(lines, ends("write", kept+8, 1)) {
		t.Errorf("answered before the store was done: %q", lines)
	}
	if slices.Contains(tr.told(), begins("write", free+8, 1)) {
		t.Errorf("the aborted write came to the store: %q", tr.told())
	}
}

func tag(function uint8, task *initiator.Task) uint32 {
	if function == initiator.AbortTask {
		return task.ITT
	}
	return initiator.NoTag
}
