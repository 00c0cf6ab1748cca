package pr

import (
	"fmt"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// TestReserve6 is what iscsi-test-cu asks of RESERVE and RELEASE (Reserve6.Simple and
// .2Initiators; SPC-2, 7.16 and 7.21), with both CDB lengths in every mixture.
func TestReserve6(t *testing.T) {
	for i, cmd := range [][2][]byte{{reserve6, release6}, {reserve10, release10}, {reserve6, release10}, {reserve10, release6}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			l := newLab(t, nil)
			reserve, release := cmd[0], cmd[1]
			l.a.good(reserve, nil)
			l.a.good(reserve, nil) // again
			l.b.conflict(reserve, nil)
			l.b.good(release, nil) // of nothing
			l.a.good(modeSense, nil)
			l.b.conflict(modeSense, nil)
			l.b.conflict(reserve, nil)
			l.a.good(release, nil)
			l.b.good(reserve, nil)
			l.a.conflict(writeMedium, nil)
			l.b.good(release, nil)
			l.a.good(writeMedium, nil)
		})
	}
}

// TestReserveLost: the reservation goes with its I_T nexus (Reserve6.Logout and
// .ITNexusLoss; SPC-2, 5.5.1), with the last LUN of it that leads to the unit, and with
// no other.
func TestReserveLost(t *testing.T) {
	l := newLab(t, nil)
	two := map[scsi.LUN]core.Mapping{0: {Unit: l.unit}, 1: {Unit: l.unit}}
	l.a.Nexus().SetLUNs(two, false)
	l.a.ua()
	l.a.good(reserve6, nil)
	l.b.Nexus().Close()
	l.c.conflict(reserve6, nil)
	l.a.Nexus().SetLUNs(map[scsi.LUN]core.Mapping{1: {Unit: l.unit}}, false)
	l.c.conflict(reserve6, nil)
	l.a.Nexus().Close()
	l.c.good(reserve6, nil)

	// a later session of the same ports is another nexus, and the loss of the first
	// does not touch it
	again := l.host("a", port1)
	l.c.good(release6, nil)
	again.good(reserve6, nil)
	l.service.Lost(l.a.Path)
	l.c.conflict(reserve6, nil)
}

// TestReserveNexusReset: I_T NEXUS RESET ends the reservation of its nexus alone (SPC-2,
// 5.5.1), and not what the nexus registered (SPC-6, 5.14.1).
func TestReserveNexusReset(t *testing.T) {
	l := newLab(t, nil)
	l.a.good(reserve6, nil)
	l.service.NexusLost(l.b.Nexus())
	l.c.conflict(reserve6, nil)
	l.service.NexusLost(l.a.Nexus())
	l.a.wantUA(sense.NexusLoss)
	l.c.good(reserve6, nil)
	l.c.good(release6, nil)
	l.a.join(1)
	l.service.NexusLost(l.a.Nexus())
	l.c.wantKeys(1)
}

// TestReserveAfterLoss: a RESERVE that is carried out when its nexus is gone already
// reserves nothing, since nothing would end that.
func TestReserveAfterLoss(t *testing.T) {
	l := newLab(t, nil)
	l.a.Nexus().Close()
	if r := l.a.do(reserve6, nil); !r.Is(sense.IllegalRequest, sense.LogicalUnitNotSupported) {
		t.Error(r)
	}
	l.b.good(reserve6, nil)
}

// TestReserveReset: LOGICAL UNIT RESET ends a RESERVE, and the former holder learns of
// it before its next write (Reserve6.LUNReset; SPC-2, 5.5.1). A persistent reservation
// stays (SPC-6, 5.14.1).
func TestReserveReset(t *testing.T) {
	l := newLab(t, nil)
	l.a.good(reserve6, nil)
	ended := make(chan struct{})
	l.unit.Reset(func() { close(ended) })
	<-ended
	l.b.ua()
	l.b.good(reserve6, nil)
	l.b.good(writeMedium, nil)
	if r := l.a.do(writeMedium, nil); !r.Is(sense.UnitAttention, sense.BusDeviceReset) {
		t.Errorf("the former holder: %v", r)
	}
	l.a.conflict(writeMedium, nil)
	l.b.good(release6, nil)

	l.a.join(1)
	l.a.reserve(ExclusiveAccess, 1)
	ended = make(chan struct{})
	l.unit.Reset(func() { close(ended) })
	<-ended
	l.a.ua()
	l.b.ua()
	l.b.conflict(writeMedium, nil)
	l.a.good(writeMedium, nil)
}

// TestResetTellsFirst: nobody finds the unit free of a RESERVE while the former holder
// has not been told of the reset.
func TestResetTellsFirst(t *testing.T) {
	l := newLab(t, nil)
	l.a.good(reserve6, nil)
	l.service.Reset() // as Unit.Reset does before it raises the unit attentions of all
	if r := l.a.do(writeMedium, nil); !r.Is(sense.UnitAttention, sense.BusDeviceReset) {
		t.Errorf("the former holder: %v", r)
	}
	l.b.wantUA()
}

// TestReserveAndPersistent: RESERVE excludes PERSISTENT RESERVE IN and OUT, even of its
// holder, and registrations exclude RESERVE and RELEASE (SPC-2, 5.5.1), but for those
// whose persistent reservation covers them (SPC-6, 5.14.3).
func TestReserveAndPersistent(t *testing.T) {
	l := newLab(t, nil)
	l.a.good(reserve6, nil)
	for _, h := range []*host{l.a, l.b} {
		for action := range byte(4) {
			h.conflict(inCDB(action, 64), nil)
		}
		for _, action := range []byte{actRegister, actRegisterIgnore, actClear} {
			h.conflict(out24(action, 0, 0, 1, 0))
		}
	}
	l.a.good(release6, nil)
	l.a.join(1)
	for _, h := range []*host{l.a, l.b} { // registered or not, there is no reservation
		for _, cdb := range [][]byte{reserve6, release6, reserve10, release10} {
			h.conflict(cdb, nil)
		}
	}
	for _, typ := range allTypes {
		l.b.join(2)
		l.a.reserve(typ, 1)
		before := l.service.Table()
		for _, cdb := range [][]byte{reserve6, release6, reserve10, release10} {
			l.a.good(cdb, nil)
			if typ.shared() {
				l.b.good(cdb, nil)
			} else {
				l.b.conflict(cdb, nil)
			}
			l.c.conflict(cdb, nil)
		}
		if l.service.Table() != before {
			t.Errorf("type %d: the table changed", typ)
		}
		l.a.good(out24(actRelease, typ, 1, 0, 0))
		l.b.ua()
	}
}
