package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// binary is the program, built for these tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "targate-test")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
		binary = filepath.Join(dir, "targate")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("go build: %v\n%s", err, out))
		}
		if err := os.Setenv("TARGATE", binary); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// limit bounds each program that a test runs to its end.
const limit = 60 * time.Second

// program runs the program to its end.
func program(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// dial logs in and takes the unit attentions of a new nexus.
func dial(t *testing.T, portal, iqn, name string, chap *initiator.CHAP) *initiator.Session {
	t.Helper()
	s, err := initiator.Dial(t.Context(), initiator.Options{Addr: portal, TargetName: iqn, InitiatorName: name, CHAP: chap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	luns, err := s.LUNs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range luns {
		if err := s.Ready(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// do carries out a command, which must end with GOOD.
func do(t *testing.T, s *initiator.Session, c *initiator.Command) []byte {
	t.Helper()
	r, err := s.Do(t.Context(), c)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Data
}

// attention returns ASC and ASCQ of the unit attention that waits at lun, 0 for none.
func attention(t *testing.T, s *initiator.Session, lun uint16) uint16 {
	t.Helper()
	r, err := s.Do(t.Context(), &initiator.Command{LUN: lun, CDB: make([]byte, 6)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Err() == nil {
		return 0
	}
	if r.Key() != 6 {
		t.Fatal(r.Err())
	}
	return r.Code()
}

// serial is the UNIT SERIAL NUMBER of lun.
func serial(t *testing.T, s *initiator.Session, lun uint16) string {
	t.Helper()
	b := do(t, s, &initiator.Command{LUN: lun, CDB: []byte{0x12, 1, 0x80, 0, 255, 0}, In: 255})
	return string(b[4:])
}

const (
	iqnT, iqnU = "iqn.2026-11.org.targate:t", "iqn.2026-11.org.targate:u"
	alice, bob = "iqn.2026-11.org.example:alice", "iqn.2026-11.org.example:bob"
)

const firstConfig = `
devices:
  - {name: disk0, handler: file, path: ./disk0.img, size: 16MiB}
  - {name: ram0, handler: mem, size: 16MiB}
targets:
  - iqn: iqn.2026-11.org.targate:t
    luns: {0: disk0}
    chap: {users: [{name: joe, secret_file: ./joe.secret}]}
  - {iqn: 'iqn.2026-11.org.targate:u', luns: {0: ram0}}
`

const secondConfig = `
devices:
  - {name: disk0, handler: file, path: ./disk0.img, size: 32MiB}
  - {name: disk1, handler: file, path: ./disk1.img, size: 8MiB, block_size: 4096}
  - {name: ram0, handler: mem, size: 16MiB}
targets:
  - iqn: iqn.2026-11.org.targate:t
    luns: {0: disk0, 300: disk1}
    chap: {users: [{name: joe, secret_file: ./joe.secret}]}
  - {iqn: 'iqn.2026-11.org.targate:u', luns: {0: ram0}}
`

var joe = &initiator.CHAP{Name: "joe", Secret: "a secret of joe"}

// TestServe is the life of a server: sessions, a change under them, a clean stop, a
// crash, and the data afterwards.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "joe.secret"), []byte("a secret of joe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(portal, config string) *daemon.Targate {
		t.Helper()
		d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Portal: portal, Config: config})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Kill)
		return d
	}
	d := start("", firstConfig)
	a, b := dial(t, d.Portal, iqnT, alice, joe), dial(t, d.Portal, iqnU, bob, nil)
	data := bytes.Repeat([]byte("targate!"), 4096/8)
	do(t, a, &initiator.Command{CDB: initiator.Write10(8, 8), Out: data})
	name := serial(t, a, 0)

	// What status knows.
	out, errs, code := program(t, dir, "status", "--socket", "targate.sock", "-o", "json")
	var v overview
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 {
		t.Fatalf("status: %v, exit code %d\n%s", err, code, errs)
	}
	if len(v.Sessions.Sessions) != 2 || v.Sessions.Sessions[0].Initiator != alice || len(v.Devices.Devices) != 2 ||
		v.Devices.Devices[0].Serial != name || v.Devices.Devices[0].Stats.Writes != 1 || v.Status.Targets != 2 {
		t.Errorf("status: %s", out)
	}
	if out, _, code := program(t, dir, "status", "--socket", "targate.sock"); code != 0 || !strings.Contains(out, "0=disk0") || !strings.Contains(out, bob) {
		t.Errorf("status: exit code %d\n%s", code, out)
	}

	latencies(t, dir)

	// Another server on the same state.
	if _, errs, code := program(t, dir, "serve", "--config", d.Config); code != exitConflict || !strings.Contains(errs, "in use") {
		t.Errorf("a second server: exit code %d: %s", code, errs)
	}

	// A change while sessions run.
	if err := d.Write(secondConfig); err != nil {
		t.Fatal(err)
	}
	out, errs, code = program(t, dir, "apply", d.Config)
	if want := "change device disk0: size 32MiB\nadd device disk1: file\nchange target " + iqnT + ": luns +300 disk1\n"; code != 0 || out != want {
		t.Errorf("apply: exit code %d, %q, want %q\n%s", code, out, want, errs)
	}
	if out, _, code := program(t, dir, "apply", d.Config, "-o", "json"); code != 0 || strings.TrimSpace(out) != "{\n  \"changes\": []\n}" {
		t.Errorf("apply again: exit code %d: %s", code, out)
	}
	got := map[uint16]bool{attention(t, a, 0): true, attention(t, a, 0): true}
	if !got[0x2a09] || !got[0x3f0e] || attention(t, a, 0) != 0 {
		t.Errorf("unit attentions %#v", got)
	}
	if code := attention(t, b, 0); code != 0 {
		t.Errorf("a session whose LUNs did not change has unit attention %04x", code)
	}
	if blocks, _, err := a.Capacity(t.Context(), 0); err != nil || blocks != 32<<20/512 {
		t.Errorf("capacity %d %v", blocks, err)
	}
	if err := a.Ready(t.Context(), 300); err != nil {
		t.Fatal(err)
	}
	if blocks, size, err := a.Capacity(t.Context(), 300); err != nil || blocks != 8<<20/4096 || size != 4096 {
		t.Errorf("capacity of LUN 300: %d blocks of %d, %v", blocks, size, err)
	}

	// Faults and conflicts leave all as it is.
	if err := d.Write(strings.Replace(secondConfig, "300: disk1", "300: disk9", 1)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitFailure || !strings.Contains(errs, `targate.yaml:12:27: there is no device "disk9"`) {
		t.Errorf("faults: exit code %d: %s", code, errs)
	}
	if err := d.Write(strings.Replace(secondConfig, "32MiB", "16MiB", 1)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitConflict || !strings.Contains(errs, "cannot shrink") {
		t.Errorf("a conflict: exit code %d: %s", code, errs)
	}
	if !bytes.Equal(do(t, a, &initiator.Command{CDB: initiator.Read10(8, 8), In: 4096}), data) {
		t.Error("the data is not what was written")
	}

	// A clean stop under sessions, and a start.
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	<-a.Done()
	if _, err := os.Lstat(filepath.Join(dir, "targate.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	if _, errs, code := program(t, dir, "status", "--socket", "targate.sock"); code != exitNotFound {
		t.Errorf("status of no server: exit code %d: %s", code, errs)
	}
	d = start(d.Portal, secondConfig)
	a = dial(t, d.Portal, iqnT, alice, joe)
	if !bytes.Equal(do(t, a, &initiator.Command{CDB: initiator.Read10(8, 8), In: 4096}), data) || serial(t, a, 0) != name {
		t.Error("after a clean stop: other data, or another serial number")
	}

	// kill -9 under a session: what was acknowledged is there, and nothing is in the way.
	data = bytes.Repeat([]byte("crashes!"), 4096/8)
	do(t, a, &initiator.Command{CDB: initiator.Write10(16, 8), Out: data})
	d.Kill()
	if _, err := os.Lstat(filepath.Join(dir, "targate.sock")); err != nil {
		t.Errorf("the socket should be stale now: %v", err)
	}
	d = start(d.Portal, secondConfig)
	a = dial(t, d.Portal, iqnT, alice, joe)
	if !bytes.Equal(do(t, a, &initiator.Command{CDB: initiator.Read10(16, 8), In: 4096}), data) || serial(t, a, 0) != name {
		t.Error("after kill -9: other data, or another serial number")
	}

	// Removing a target ends its sessions; removing a device frees it.
	if err := d.Write(strings.Split(secondConfig, "targets:")[0] + "targets: []\n"); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := program(t, dir, "apply", d.Config); code != 0 {
		t.Errorf("apply: exit code %d: %s%s", code, out, errs)
	}
	<-a.Done()
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
}

// TestLoginRefused checks which status an initiator sees that may not log in.
func TestLoginRefused(t *testing.T) {
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: t.TempDir(), Config: `
devices: [{name: ram0, handler: mem, size: 1MiB}]
targets:
  - iqn: iqn.2026-11.org.targate:t
    groups: [{name: g, initiators: ["*:alice"], luns: {0: ram0}}]
    max_sessions: 1
`})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	refused := func(name, iqn string, isid byte, class, detail uint8) {
		t.Helper()
		_, err := initiator.Dial(t.Context(), initiator.Options{Addr: d.Portal, TargetName: iqn, InitiatorName: name,
			ISID: [6]byte{0x80, 0, 0, 0, 0, isid}})
		var le *initiator.LoginError
		if !errors.As(err, &le) || le.Class != class || le.Detail != detail {
			t.Errorf("%s at %s: %v, want %02x/%02x", name, iqn, err, class, detail)
		}
	}
	refused(bob, iqnT, 1, 2, 2)
	refused(alice, iqnU, 1, 2, 3)
	if p, err := initiator.Discover(t.Context(), initiator.Options{Addr: d.Portal, InitiatorName: bob}); err != nil || len(p) != 0 {
		t.Errorf("bob discovers %v %v", p, err)
	}
	if p, err := initiator.Discover(t.Context(), initiator.Options{Addr: d.Portal, InitiatorName: alice}); err != nil || len(p) != 1 ||
		!strings.HasPrefix(p[0].Address, d.Portal) {
		t.Errorf("alice discovers %v %v", p, err)
	}
	dial(t, d.Portal, iqnT, alice, nil)
	refused(alice, iqnT, 2, 3, 2)
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}

// manager is a service manager's end of sd_notify.
type manager struct{ c *net.UnixConn }

func (m manager) next(t *testing.T) string {
	t.Helper()
	if err := m.c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := m.c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b[:n]), "\n")
	return first
}

// TestReload sends SIGHUP with a good file and a bad one.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck
	m := manager{c}
	const config = "devices: [{name: ram0, handler: mem, size: 1MiB}]\ntargets: [{iqn: 'iqn.2026-11.org.targate:u', luns: {0: ram0%s}}]\n"
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: fmt.Sprintf(config, ""), Env: []string{"NOTIFY_SOCKET=" + path}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	if s := m.next(t); s != "READY=1" {
		t.Fatal(s)
	}
	s := dial(t, d.Portal, iqnU, bob, nil)
	reload := func(text string) {
		t.Helper()
		if err := d.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := d.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if a, b := m.next(t), m.next(t); a != "RELOADING=1" || b != "READY=1" {
			t.Fatal(a, b)
		}
	}
	reload("colour: red\n")
	// The log comes by a pipe, in its own time.
	for end := time.Now().Add(limit); !strings.Contains(d.Log.String(), `targate.yaml:5:1: the configuration has no key`); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no word of the fault in the log:\n%s", d.Log)
		}
	}
	if attention(t, s, 0) != 0 {
		t.Error("a bad file changed something")
	}
	reload(fmt.Sprintf(config, ", 1: ram0"))
	if attention(t, s, 0) != 0x3f0e {
		t.Error("a good file changed nothing")
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if s := m.next(t); s != "STOPPING=1" {
		t.Error(s)
	}
}

// TestRemoveUnderLoad takes a disk away from sessions that read and write it all the
// time: they are told, and the server and its other disk go on.
func TestRemoveUnderLoad(t *testing.T) {
	dir := t.TempDir()
	const both = `
devices:
  - {name: a, handler: file, path: ./a.img, size: 4MiB}
  - {name: b, handler: file, path: ./b.img, size: 4MiB}
targets: [{iqn: 'iqn.2026-11.org.targate:u', luns: {0: a, 1: b}}]
`
	const one = `
devices: [{name: b, handler: file, path: ./b.img, size: 4MiB}]
targets: [{iqn: 'iqn.2026-11.org.targate:u', luns: {1: b}}]
`
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: both})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	const sessions = 4
	type end struct {
		err error
		n   int
	}
	ends, going := make(chan end, sessions), make(chan bool, sessions)
	for i := range sessions {
		s, err := initiator.Dial(t.Context(), initiator.Options{Addr: d.Portal, TargetName: iqnU,
			InitiatorName: fmt.Sprintf("%s%d", bob, i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Ready(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		block := make([]byte, 4096)
		go func() {
			for n := 0; ; n++ {
				if n == 100 {
					going <- true
				}
				c := &initiator.Command{CDB: initiator.Write10(uint32(n%1000)*8, 8), Out: block}
				if n%2 == 1 {
					c = &initiator.Command{CDB: initiator.Read10(uint32(n%1000)*8, 8), In: 4096}
				}
				r, err := s.Do(t.Context(), c)
				if err == nil && r.Err() == nil {
					continue
				}
				if err == nil && (r.Key() != 5 || r.Code() != 0x2500) {
					err = r.Err()
				}
				if err == nil {
					err = s.Ready(t.Context(), 1)
				}
				ends <- end{err, n}
				return
			}
		}()
	}
	for range sessions {
		<-going
	}
	if err := d.Write(one); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(); err != nil {
		t.Fatal(err)
	}
	for range sessions {
		if e := <-ends; e.err != nil {
			t.Errorf("after %d commands: %v", e.n, e.err)
		}
	}
	// The disk is free: it comes back as what it was.
	if err := d.Write(both); err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
}
