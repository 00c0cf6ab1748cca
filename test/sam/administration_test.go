//go:build system

package sam

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// targate runs a command of the program against the server.
func targate(t *testing.T, args ...string) {
	t.Helper()
	bin, err := daemon.Binary()
	if err == nil {
		_, err = daemon.Run(limit, bin, append(args, "--socket", filepath.Join(lab.dir, "targate.sock"))...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func testAdministration(t *testing.T) {
	run(t, "11.9.1 a logout that is asked for", func(t *testing.T) {
		h, other := login(t, to(iqnTwo)), login(t)
		targate(t, "session", "logout", "--target", iqnTwo, "--within", "8s")
		if p := h.hears(1, 0); p.U16(42) == 0 || p.U16(42) > 8 {
			t.Errorf("Parameter3 is %d seconds, want 1 to 8", p.U16(42))
		}
		h.good(h.none(0, tur)) // until then all works
		if err := h.Logout(h.ctx); err != nil {
			t.Error(err)
		}
		other.told(lunMem)
	})
	run(t, "11.9.1 who does not log out in time is dropped", func(t *testing.T) {
		h := login(t, to(iqnTwo))
		targate(t, "session", "logout", "--target", iqnTwo, "--within", "1s")
		h.hears(1, 0)
		select {
		case <-h.Done():
		case <-h.ctx.Done():
			t.Error("the session lives on")
		}
	})
	run(t, "11.9.1 a session that is dropped is told", func(t *testing.T) {
		h := login(t, to(iqnTwo))
		targate(t, "session", "drop", "--target", iqnTwo)
		h.hears(3, 0)
		select {
		case <-h.Done():
		case <-h.ctx.Done():
			t.Error("the session lives on")
		}
		again := login(t, to(iqnTwo))
		again.good(again.none(0, tur))
	})
	for _, r := range []struct {
		name   string
		more   string
		detail uint8
	}{{"for now", "", 1}, {"for good", ", permanent: true", 2}} {
		run(t, "11.13.5 a target that has moved "+r.name, func(t *testing.T) {
			stays := login(t, to(iqnTwo))
			t.Cleanup(func() { firstModel.apply(t) })
			m := firstModel
			m.two = fmt.Sprintf(", redirect: {address: %q%s}", lab.second, r.more)
			m.apply(t)
			_, p := firstLogin(t, loginPDU(1, 3, true, "InitiatorName", newName(), "TargetName", iqnTwo, "SessionType", "Normal"))
			if p.BHS[36] != 1 || p.BHS[37] != r.detail {
				t.Errorf("status %02x/%02x, want 01/%02x", p.BHS[36], p.BHS[37], r.detail)
			}
			if got := initiator.DecodeKeys(p.Data)["TargetAddress"]; !strings.HasPrefix(got, lab.second) {
				t.Errorf("TargetAddress %q, want %s", got, lab.second)
			}
			stays.good(stays.none(0, tur))
		})
	}
	run(t, "13.8 a target by one portal only", func(t *testing.T) {
		t.Cleanup(func() { firstModel.apply(t) })
		m := firstModel
		m.two = fmt.Sprintf(", portals: [%q]", lab.second)
		m.apply(t)
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := initiator.Dial(ctx, options(to(iqnTwo)))
		var e *initiator.LoginError
		if !errors.As(err, &e) || e.Class != 2 || e.Detail != 3 {
			t.Errorf("got %v, want status 02/03", err)
		}
		h := login(t, to(iqnTwo), at(lab.second))
		h.good(h.none(0, tur))
		all, err := initiator.Discover(ctx, options(to("")))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			if p.Target == iqnTwo && !strings.HasPrefix(p.Address, lab.second) {
				t.Errorf("%s is announced at %s", p.Target, p.Address)
			}
		}
	})
}
