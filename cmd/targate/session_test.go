package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// TestSessionCommands lists sessions, asks one to log out and drops another.
func TestSessionCommands(t *testing.T) {
	dir := t.TempDir()
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: `
devices: [{name: ram0, handler: mem, size: 16MiB}]
targets: [{iqn: 'iqn.2026-11.org.targate:u', luns: {0: ram0}}]
`})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	events := make(chan byte, 8)
	sessions := map[string]*initiator.Session{}
	for _, name := range []string{alice, bob} {
		c, err := initiator.Connect(t.Context(), d.Portal)
		if err != nil {
			t.Fatal(err)
		}
		p, err := initiator.Login(c, initiator.Options{TargetName: iqnU, InitiatorName: name})
		if err != nil {
			t.Fatal(err)
		}
		s := initiator.NewSession(c, p)
		s.OnAsync = func(p *initiator.PDU) { events <- p.BHS[36] }
		t.Cleanup(func() { _ = s.Close() })
		sessions[name] = s
	}
	event := func() byte {
		select {
		case e := <-events:
			return e
		case <-time.After(limit):
			t.Fatal("no Asynchronous Message")
		}
		return 0
	}
	session := func(args ...string) (string, int) {
		out, errs, code := program(t, dir, append([]string{"session"}, append(args, "--socket", "targate.sock")...)...)
		return out + errs, code
	}

	out, code := session("list", "-o", "json")
	var v api.Sessions
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK || len(v.Sessions) != 2 {
		t.Fatalf("list: %v, exit code %d: %s", err, code, out)
	}
	if out, code := session("list"); code != exitOK || !strings.Contains(out, alice) || !strings.Contains(out, bob) {
		t.Errorf("list: exit code %d: %s", code, out)
	}
	tsih := map[string]string{}
	for _, s := range v.Sessions {
		tsih[s.Initiator] = strconv.Itoa(int(s.TSIH))
	}
	if out, code := session("logout", tsih[alice], "--within", "30s"); code != exitOK || out != "1 sessions\n" {
		t.Errorf("logout: exit code %d: %s", code, out)
	}
	if e := event(); e != 1 {
		t.Errorf("event %d, want 1", e)
	}
	if err := sessions[alice].Logout(t.Context()); err != nil {
		t.Error(err)
	}
	if out, code := session("drop", "--target", iqnU); code != exitOK || out != "1 sessions\n" {
		t.Errorf("drop: exit code %d: %s", code, out)
	}
	if e := event(); e != 3 {
		t.Errorf("event %d, want 3", e)
	}
	<-sessions[bob].Done()
	for args, want := range map[string]int{
		"drop 999":                            exitNotFound,
		"drop --device ram9":                  exitNotFound,
		"drop":                                exitUsage,
		"drop x":                              exitUsage,
		"drop --device ram0 --target " + iqnU: exitUsage,
	} {
		if out, code := session(strings.Fields(args)...); code != want {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, want, out)
		}
	}
	last := dial(t, d.Portal, iqnU, bob, nil)
	if out, code := session("drop", "--device", "ram0"); code != exitOK || out != "1 sessions\n" {
		t.Errorf("drop: exit code %d: %s", code, out)
	}
	<-last.Done()
}
