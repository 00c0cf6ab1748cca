package iscsi_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi"
	"github.com/targate/targate/test/initiator"
)

// retained asks for Time2Retain.
func retained(o *initiator.Options) {
	o.Keys = []initiator.Key{{Name: "DefaultTime2Retain", Value: "60"}}
}

// goesOn logs in to the session of p by another connection.
func goesOn(p *peer) func(*initiator.Options) {
	return func(o *initiator.Options) {
		o.TSIH, o.CmdSN = p.Params.TSIH, p.CmdSN()
		for _, k := range initiator.DefaultKeys {
			switch k.Name {
			case "HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength":
			default: // agreed already
				o.Keys = append(o.Keys, initiator.Key{Name: k.Name})
			}
		}
	}
}

func status(t *testing.T, p *peer, c *initiator.Command) (scsi.Status, *sense.Error) {
	t.Helper()
	r, err := p.Do(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := sense.Parse(r.Sense)
	return scsi.Status(r.Status), e
}

// TestResume: a session whose connection was lost is kept for Time2Retain. Who goes on with it
// finds its nexus as it was; its tasks are gone, and its CmdSNs go on (RFC 7143, 6.3.4).
func TestResume(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	l.keep = 30
	l.apply()
	old, err := l.try(0, 1, retained)
	if err != nil {
		t.Fatal(err)
	}
	if got := old.Params.Answers["DefaultTime2Retain"]; got != "30" {
		t.Fatalf("DefaultTime2Retain=%s, want the smaller of 60 and 30", got)
	}
	for range 2 { // past the unit attention of a new nexus
		status(t, old, &initiator.Command{CDB: make([]byte, 6)})
	}
	go old.Do(t.Context(), write(8, bytes.Repeat([]byte{1}, block))) //nolint:errcheck // it is not answered
	<-l.dev.begun
	l.unit.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged), nil)
	_ = old.Conn.Close()
	l.dev.hold <- struct{}{}

	var le *initiator.LoginError
	other := func(o *initiator.Options) { goesOn(old)(o); o.CID = 5 }
	if _, err := l.try(0, 1, other); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 2, Detail: 6}) {
		t.Errorf("by another CID: %v, want 02/06 too many connections", err)
	}
	if _, err := l.try(0, 2, goesOn(old)); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 2, Detail: 10}) {
		t.Errorf("by another ISID: %v, want 02/0a session does not exist", err)
	}
	p, err := l.try(0, 1, goesOn(old))
	if err != nil {
		t.Fatal(err)
	}
	if p.Params.TSIH != old.Params.TSIH || len(l.gw.Sessions()) != 1 {
		t.Errorf("TSIH %d, was %d; %d sessions", p.Params.TSIH, old.Params.TSIH, len(l.gw.Sessions()))
	}
	// What was established meanwhile is told, and no loss of the nexus.
	st, e := status(t, p, &initiator.Command{CDB: make([]byte, 6)})
	if st != scsi.CheckCondition || e == nil || e.Code != sense.CapacityChanged {
		t.Errorf("first %v %v, want CAPACITY DATA HAS CHANGED", st, e)
	}
	if st, e := status(t, p, write(1, bytes.Repeat([]byte{2}, block))); st != scsi.Good {
		t.Errorf("then %v %v", st, e)
	}

	// While the connection is there, too: it is logged out in passing.
	// Its commands that never came are gone with it.
	again, err := l.try(0, 1, func(o *initiator.Options) { goesOn(p)(o); o.CmdSN += 3 })
	if err != nil {
		t.Fatal(err)
	}
	p.ended(t)
	if st, e := status(t, again, &initiator.Command{CDB: make([]byte, 6)}); st != scsi.Good {
		t.Errorf("after the reinstatement of a connection %v %v", st, e)
	}

	// TSIH 0 is another session: the nexus is lost (6.3.5).
	_ = again.Conn.Close()
	fresh, err := l.try(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	if st, e := status(t, fresh, &initiator.Command{CDB: make([]byte, 6)}); st != scsi.CheckCondition || e.Key != sense.UnitAttention {
		t.Errorf("a new session begins with %v %v", st, e)
	}
	// Nothing is kept after a logout.
	if err := fresh.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.try(0, 1, goesOn(fresh)); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 2, Detail: 10}) {
		t.Errorf("after a logout: %v, want 02/0a", err)
	}
}
