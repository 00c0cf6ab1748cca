package target

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/targate/targate/core"
)

// TestPark: what becomes of a session whose connection is lost.
func TestPark(t *testing.T) {
	ip := core.InitiatorPort{Name: "iqn.y:a", Session: "1"}
	setup := func(t *testing.T, o OpenOptions) (*Gateway, *Target, *Session) {
		g := New()
		apply(t, g, Config{Targets: []Spec{{Name: "iqn.x:t", LUNs: LUNMap{0: {Unit: newUnit(t, "a")}}}}})
		tg := g.Target("iqn.x:t")
		return g, tg, open(t, tg, ip.Name, ip.Session, o)
	}
	run := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	run("time is over", func(t *testing.T) {
		g, tg, s := setup(t, OpenOptions{})
		if !s.Park(20 * time.Second) {
			t.Fatal("not parked")
		}
		time.Sleep(20*time.Second - time.Nanosecond)
		synctest.Wait()
		if len(luns(s)) != 1 || len(g.Sessions()) != 1 {
			t.Error("it ends too early")
		}
		time.Sleep(time.Nanosecond)
		<-s.Done()
		if len(luns(s)) != 0 || len(g.Sessions()) != 0 {
			t.Error("the nexus is still there")
		}
		if _, err := tg.Resume(t.Context(), ip, s.TSIH, OpenOptions{}); !errors.Is(err, ErrNoSession) {
			t.Errorf("resumed too late: %v", err)
		}
	})
	run("resumed", func(t *testing.T) {
		g, tg, old := setup(t, OpenOptions{})
		old.Park(20 * time.Second)
		if _, err := tg.Resume(t.Context(), ip, old.TSIH+1, OpenOptions{}); !errors.Is(err, ErrNoSession) {
			t.Errorf("with another TSIH: %v", err)
		}
		s, err := tg.Resume(t.Context(), ip, old.TSIH, OpenOptions{Peer: "there"})
		if err != nil || s.Nexus != old.Nexus || s.TSIH != old.TSIH || s.Peer != "there" {
			t.Fatalf("%+v, %v", s, err)
		}
		<-old.Done()
		time.Sleep(time.Minute)
		if len(luns(s)) != 1 || len(g.Sessions()) != 1 || g.Sessions()[0] != s {
			t.Error("it does not go on")
		}
		s.Close()
		if len(g.Sessions()) != 0 {
			t.Error("it does not end")
		}
	})
	run("resumed while it is connected", func(t *testing.T) {
		cut := make(chan struct{}, 1)
		_, tg, old := setup(t, OpenOptions{Cut: func() { cut <- struct{}{} }})
		go func() {
			<-cut
			time.Sleep(time.Second) // commands come to their end
			if !old.Park(0) {
				t.Error("not parked for who waits")
			}
		}()
		if s, err := tg.Resume(t.Context(), ip, old.TSIH, OpenOptions{}); err != nil || s.Nexus != old.Nexus {
			t.Errorf("%v", err)
		}
	})
	run("resumed while commands do not end", func(t *testing.T) {
		_, tg, old := setup(t, OpenOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tg.Resume(ctx, ip, old.TSIH, OpenOptions{}); !errors.Is(err, ErrBusy) {
			t.Errorf("%v", err)
		}
		if old.Park(0) {
			t.Error("parked for nobody")
		}
	})
	run("replaced", func(t *testing.T) {
		_, tg, old := setup(t, OpenOptions{})
		old.Park(time.Hour)
		if s := open(t, tg, ip.Name, ip.Session, OpenOptions{}); s.Nexus == old.Nexus || len(luns(old)) != 0 {
			t.Error("the old nexus lives on")
		}
	})
	run("dropped", func(t *testing.T) {
		g, _, s := setup(t, OpenOptions{})
		if s.Parked() || !s.Park(time.Hour) || !s.Parked() {
			t.Error("parked before, or not after")
		}
		s.Logout(5) // nobody is there to be asked
		<-s.Done()
		if len(g.Sessions()) != 0 {
			t.Error("it is still there")
		}
	})
	run("dropped before", func(t *testing.T) {
		_, _, s := setup(t, OpenOptions{Drop: func(string) {}})
		s.Drop("so")
		if s.Park(time.Hour) {
			t.Error("parked although it was dropped")
		}
	})
}
