//go:build system

package sam

import (
	"errors"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// goesOn logs in to the session of h by another connection: what the session agreed on is not
// offered again.
func goesOn(h *host) option {
	return func(o *initiator.Options) {
		o.TSIH, o.CmdSN = h.Params.TSIH, h.CmdSN()
		for _, k := range initiator.DefaultKeys {
			switch k.Name {
			case "HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength":
			default:
				o.Keys = append(o.Keys, initiator.Key{Name: k.Name})
			}
		}
	}
}

// cut loses the connection of h, as a network does.
func (h *host) cut() { _ = h.Conn.Close() }

func testContinuation(t *testing.T) {
	reserve, release := []byte{0x16, 0, 0, 0, 0, 0}, []byte{0x17, 0, 0, 0, 0, 0}
	retain := keys("DefaultTime2Retain", "60")
	refused := func(t *testing.T, class, detail uint8, opts ...option) {
		t.Helper()
		var le *initiator.LoginError
		if _, err := connect(t, opts...); !errors.As(err, &le) || *le != (initiator.LoginError{Class: class, Detail: detail}) {
			t.Errorf("%v, want %02x/%02x", err, class, detail)
		}
	}
	run(t, "13.16 Time2Retain is the smaller of both", func(t *testing.T) {
		for offer, want := range map[string]string{"60": "20", "7": "7", "0": "0"} {
			if got := login(t, keys("DefaultTime2Retain", offer)).Params.Answers["DefaultTime2Retain"]; got != want {
				t.Errorf("offered %s: %s, want %s", offer, got, want)
			}
		}
	})
	run(t, "6.3.6 a reservation outlives the connection", func(t *testing.T) {
		name, other := newName(), login(t)
		a := login(t, named(name), isid(1), retain)
		a.good(a.none(lunMem, reserve))
		a.cut()
		other.is(other.none(lunMem, tur), conflict)
		b := fresh(t, named(name), isid(1), goesOn(a))
		b.told(lunMem) // nothing: the nexus was not lost
		other.is(other.none(lunMem, tur), conflict)
		b.good(b.none(lunMem, release))
		other.good(other.none(lunMem, tur))
	})
	run(t, "6.3.5.1 without Time2Retain the nexus is lost with the connection", func(t *testing.T) {
		name, other := newName(), login(t)
		a := login(t, named(name), isid(1))
		a.good(a.none(lunMem, reserve))
		a.cut()
		other.soonGood(&initiator.Command{LUN: lunMem, CDB: tur}, conflict)
		refused(t, 2, 0x0a, named(name), isid(1), goesOn(a))
	})
	run(t, "6.3.5 TSIH 0 replaces what is kept", func(t *testing.T) {
		name, other := newName(), login(t)
		a := login(t, named(name), isid(1), retain)
		a.good(a.none(lunMem, reserve))
		a.cut()
		login(t, named(name), isid(1))
		other.good(other.none(lunMem, tur))
	})
	run(t, "6.3.4 the connection of a live session is reinstated", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		tr, release := held(t, lunHeld)
		a.startWrite(lunHeld, kept, 0x5a, 1)
		tr.wait(t, begins("write", kept, 1))
		release()
		b := fresh(t, named(name), isid(1), goesOn(a))
		<-a.Done()
		b.told(lunMem)
	})
	run(t, "6.3.4 another CID would be a second connection", func(t *testing.T) {
		name := newName()
		a := login(t, named(name), isid(1))
		refused(t, 2, 6, named(name), isid(1), goesOn(a), func(o *initiator.Options) { o.CID = 9 })
		a.good(a.none(lunMem, tur))
	})
	run(t, "6.3.4 the TSIH of another is no session", func(t *testing.T) {
		a := login(t)
		refused(t, 2, 0x0a, named(newName()), isid(1), goesOn(a))
		a.good(a.none(lunMem, tur))
	})
}
