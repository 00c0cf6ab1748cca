package pr

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// start begins a WRITE of h that the handler holds.
func (l *lab) start(h *host) (*coretest.Command, *held) {
	l.tb.Helper()
	c := coretest.NewCommand(h.Path, writeMedium, nil, coretest.AnyLength)
	c.Start()
	return c, <-l.stub.hold
}

func newHoldingLab(t *testing.T) *lab {
	l := newLab(t, nil)
	l.stub.hold = make(chan *held)
	return l
}

// TestPreemptAndAbort: the commands of the preempted nexuses are aborted, those of
// nobody else, and the status comes when none of them can touch the medium any more
// (SPC-6, 5.14.11.2.6). What became of them is told by TAS or by unit attention (SAM-6,
// 5.6).
func TestPreemptAndAbort(t *testing.T) {
	for _, tas := range []bool{false, true} {
		l := newHoldingLab(t)
		l.stub.control.TAS.Store(tas)
		l.a.join(1)
		l.b.join(2)
		l.b.reserve(WriteExclusiveRegistrants, 2)
		mine, mineHeld := l.start(l.a)
		victim, victimHeld := l.start(l.b)

		cdb, list := out24(actPreemptAbort, WriteExclusive, 1, 2, 0)
		pa := coretest.NewCommand(l.a.Path, cdb, list, coretest.AnyLength)
		pa.Start()
		<-victimHeld.Done() // it was told
		select {
		case <-pa.Ended():
			t.Error("GOOD while the command of the preempted nexus can write")
		default:
		}
		l.c.conflict(writeMedium, nil)
		close(victimHeld.release)
		if r := pa.Wait(); !r.Good() || !victimHeld.ended.Load() {
			t.Errorf("%v, and the write has ended: %v", r, victimHeld.ended.Load())
		}
		if r := victim.Wait(); r.Status != scsi.TaskAborted {
			t.Errorf("the write of the preempted nexus: %v", r)
		}
		if mineHeld.Err() != nil {
			t.Error("a command of the preempting nexus was aborted")
		}
		close(mineHeld.release)
		if r := mine.Wait(); !r.Good() {
			t.Errorf("the write of the preempting nexus: %v", r)
		}
		l.a.wantReservation(WriteExclusive, 1)
		if tas {
			l.b.wantUA(sense.RegistrationsPreempted)
		} else {
			l.b.wantUA(sense.RegistrationsPreempted, sense.CommandsClearedByInitiator)
		}
		l.a.wantUA()
		l.c.wantUA()
	}
}

// TestPreemptDoesNotAbort: PREEMPT leaves the commands alone (SPC-6, 5.14.11.2.4).
func TestPreemptDoesNotAbort(t *testing.T) {
	l := newHoldingLab(t)
	l.a.join(1)
	l.b.join(2)
	write, w := l.start(l.b)
	l.a.good(out24(actPreempt, WriteExclusive, 1, 2, 0))
	close(w.release)
	if r := write.Wait(); !r.Good() {
		t.Error(r)
	}
}

// TestPreemptItself: a nexus that preempts its own registration aborts its other
// commands, not this one.
func TestPreemptItself(t *testing.T) {
	l := newHoldingLab(t)
	l.a.join(1)
	write, w := l.start(l.a)
	cdb, list := out24(actPreemptAbort, 0, 1, 1, 0)
	pa := coretest.NewCommand(l.a.Path, cdb, list, coretest.AnyLength)
	pa.Start()
	<-w.Done()
	close(w.release)
	if r := pa.Wait(); !r.Good() {
		t.Error(r)
	}
	if r := write.Wait(); r.Status != scsi.TaskAborted {
		t.Error(r)
	}
	l.a.wantKeys()
	l.a.wantUA()
}

// TestAbortThePreemptor: a PREEMPT AND ABORT that waits ends when it is aborted itself.
// What it changed stays.
func TestAbortThePreemptor(t *testing.T) {
	l := newHoldingLab(t)
	l.a.join(1)
	l.b.join(2)
	_, w := l.start(l.b)
	cdb, list := out24(actPreemptAbort, 0, 1, 2, 0)
	pa := coretest.NewCommand(l.a.Path, cdb, list, coretest.AnyLength)
	pa.Start()
	<-w.Done()
	found := make(chan bool, 1)
	pa.AbortTask(func(ok bool) { found <- ok })
	if r := pa.Wait(); r.Status != scsi.TaskAborted || !<-found {
		t.Error(r)
	}
	l.a.wantKeys(1)
	close(w.release)
}

// TestAbortedChangesNothing: what was aborted before it was decided has no effect.
func TestAbortedChangesNothing(t *testing.T) {
	l := newLab(t, nil)
	cdb, list := out24(actRegister, 0, 0, 1, 0)
	c := coretest.NewCommand(l.a.Path, cdb, list, coretest.AnyLength)
	if err := c.Parse(); err != nil {
		t.Fatal(err)
	}
	c.Out = list
	c.TaskCancel(nil)
	if err := l.service.Execute(c.Command); err != sense.TaskAborted { //nolint:errorlint // a status as it is
		t.Error(err)
	}
	l.a.wantKeys()
}

// TestTogether runs all commands from many nexuses at once. Each ends, the table is
// whole after every change, and the gate is that of the table at the end.
func TestTogether(t *testing.T) {
	state := &coretest.State{}
	l := newLab(t, state)
	hosts := []*host{l.a, l.b, l.c, l.host("a", port2), l.host("d", port9)}
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 400 {
				cdb, list := randomCommand(rnd)
				r := h.do(cdb, list)
				switch r.Status {
				case scsi.Good, scsi.ReservationConflict, scsi.CheckCondition, scsi.TaskAborted:
				default:
					t.Errorf("% x: %v", cdb, r)
				}
				checkTable(t, l.service.Table())
			}
		})
	}
	wg.Wait()
	table := l.service.Table()
	if got, want := l.service.gate.Load() == nil, newGate(table) == nil; got != want {
		t.Errorf("the gate is open: %v, want %v", got, want)
	}
	if b, err := state.Load(stateName); err == nil && !slices.Equal(b, encode(table)) {
		t.Error("what is saved is not what is there")
	}
}

// randomCommand is one of all that this package answers, and some that it gates. Keys
// and types are few, so that they meet.
func randomCommand(rnd *rand.Rand) (cdb, list []byte) {
	key, serviceKey := uint64(rnd.IntN(3)), uint64(rnd.IntN(3))
	typ := allTypes[rnd.IntN(len(allTypes))]
	flags := byte(0)
	if rnd.IntN(2) == 0 {
		flags = flagAPTPL
	}
	to := initiator(string(rune('a' + rnd.IntN(4))))
	switch n := rnd.IntN(20); {
	case n < 8:
		return out24(byte(n&7), typ, key, serviceKey, flags&^flagSpecIPT)
	case n < 11: // so that someone is registered
		return out24(actRegisterIgnore, typ, key, 1+serviceKey, flags|byte(rnd.IntN(2))<<bitAllTGPT)
	case n == 11:
		return outIDs(key, serviceKey, flags, to)
	case n == 12:
		return outMove(key, serviceKey, flags|byte(rnd.IntN(2))<<bitUnreg, uint16(1+rnd.IntN(2)), to)
	case n == 13:
		return reserve6, nil
	case n < 16:
		return release10, nil
	case n == 16:
		return inCDB(byte(rnd.IntN(4)), 512), nil
	default:
		return [][]byte{readMedium, writeMedium, testUnitReady}[rnd.IntN(3)], nil
	}
}

// checkTable holds t against what is true of every table.
func checkTable(tb testing.TB, t *Table) {
	tb.Helper()
	for i, r := range t.Registrants {
		if r.Key == 0 || t.find(r.Nexus) != i {
			tb.Fatalf("registrant %d of %+v", i, t)
		}
	}
	switch {
	case t.Type != 0 && !t.Type.valid(),
		t.Type != 0 && len(t.Registrants) == 0,
		t.Type != 0 && !t.Type.forAll() && t.find(t.Holder) < 0,
		(t.Type == 0 || t.Type.forAll()) && t.Holder != Nexus{},
		t.Reserved != nil && len(t.Registrants) > 0:
		tb.Fatalf("%+v", t)
	}
}

// TestSharedStore: two gateways that serve one unit with one Store hold each other's
// initiators to the same reservations.
func TestSharedStore(t *testing.T) {
	shared := &sharedStore{}
	join := func(name string, port *core.TargetPort) (*lab, *host) {
		l := newLabWith(t, nil, Options{Store: shared, Ports: allPorts})
		l.stub.hold = make(chan *held)
		return l, l.host(name, port)
	}
	one, x := join("x", port1)
	two, y := join("y", port2)
	x.join(1)
	y.join(2)
	y.wantKeys(1, 2)
	x.reserve(ExclusiveAccess, 1)
	y.conflict(writeMedium, nil)
	write, w := one.start(x)
	cdb, list := out24(actPreemptAbort, ExclusiveAccess, 2, 1, 0)
	pa := coretest.NewCommand(y.Path, cdb, list, coretest.AnyLength)
	pa.Start()
	<-w.Done()
	close(w.release)
	if r := pa.Wait(); !r.Good() || !w.ended.Load() {
		t.Errorf("%v, and the write behind the other gateway has ended: %v", r, w.ended.Load())
	}
	if r := write.Wait(); r.Status != scsi.TaskAborted {
		t.Error(r)
	}
	x.wantUA(sense.RegistrationsPreempted, sense.CommandsClearedByInitiator)
	x.conflict(writeMedium, nil)
	if one.service.Table() != two.service.Table() {
		t.Error("two tables")
	}
}
