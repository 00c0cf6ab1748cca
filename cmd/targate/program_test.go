package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// TestDemo runs the demo twice: the second run finds what the first one wrote.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	port, err := daemon.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	portal := fmt.Sprintf("127.0.0.1:%d", port)
	const iqn = "iqn.2026-11.org.targate:demo"
	data := bytes.Repeat([]byte{7}, 512)
	for run := range 2 {
		c := exec.Command(binary, "demo", "--listen", portal)
		c.Dir = dir
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := daemon.Start(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		// The tour is printed when the demo serves.
		var tour []byte
		for b := make([]byte, 4096); !bytes.Contains(tour, []byte("Ctrl-C")); {
			n, err := out.Read(b)
			if err != nil {
				t.Fatalf("%v\n%s", err, p.Log)
			}
			tour = append(tour, b[:n]...)
		}
		for _, want := range []string{"iscsi-ls -s iscsi://" + portal, "iscsiadm -m node -T " + iqn, "Connect-IscsiTarget -NodeAddress " + iqn, "esxcli",
			"iscsiadm -m node -T iqn.2026-11.org.targate:lib0", "lsscsi -g", "mtx -f", "tar -C /etc -cf /dev/nst0", "targate tape list"} {
			if !strings.Contains(string(tour), want) {
				t.Errorf("the tour does not say %q:\n%s", want, tour)
			}
		}
		s := dial(t, portal, iqn, alice, nil)
		if run == 0 {
			do(t, s, &initiator.Command{CDB: initiator.Write10(99, 1), Out: data})
		} else if !bytes.Equal(do(t, s, &initiator.Command{CDB: initiator.Read10(99, 1), In: 512}), data) {
			t.Error("the second run does not find what the first wrote")
		}
		lib := dialLibrary(t, portal, iqnLib, alice)
		if run == 0 {
			if out, errs, code := typed(t, dir, "tape list"); code != exitOK || strings.Count(out, "TG00") != 10 || !strings.Contains(out, "CLN001CU") {
				t.Errorf("tape list: exit code %d\n%s%s", code, out, errs)
			}
			if _, errs, code := typed(t, dir, "tape load TG0003L8 --drive 2"); code != exitOK {
				t.Fatal(errs)
			}
			calm(t, lib)
			record(t, lib, 2, data)
		} else {
			if r, err := lib.Do(t.Context(), &initiator.Command{LUN: 2, CDB: []byte{8, 0, 0, 2, 0, 0}, In: 512}); err != nil || r.Err() != nil || !bytes.Equal(r.Data, data) {
				t.Errorf("the second run does not find what the first wrote to a tape: %+v %v", r, err)
			}
		}
		if run == 0 {
			if st, err := os.Stat(filepath.Join(dir, "targate-demo", "disk0.img")); err != nil || st.Size() != 1<<30 || st.Sys().(*syscall.Stat_t).Blocks > 1<<20/512 {
				t.Errorf("disk0.img is not thin: %+v %v", st, err)
			}
			if _, errs, code := program(t, dir, "status"); code != 0 {
				t.Errorf("status finds no demo: exit code %d: %s", code, errs)
			}
		}
		if err := p.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestOldDemo keeps a demo directory of before there were tape libraries, and says what to add.
func TestOldDemo(t *testing.T) {
	dir := t.TempDir()
	devices, rest, _ := strings.Cut(demoConfig, "libraries:\n")
	_, targets, _ := strings.Cut(rest, "targets:\n")
	targets, _, _ = strings.Cut(targets, "  - iqn: iqn.2026-11.org.targate:lib0\n")
	old := devices + "targets:\n" + targets
	file := filepath.Join(dir, "targate.yaml")
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := prepareDemo(dir, defaultListen); err != nil || got != file {
		t.Fatal(got, err)
	}
	m, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	var tour bytes.Buffer
	printTour(&tour, "DIR0", m)
	if s := tour.String(); !strings.Contains(s, "Disks: iqn.2026-11.org.targate:demo") || strings.Contains(s, "mtx") || !strings.Contains(s, "targate apply DIR0/targate.yaml") {
		t.Errorf("the tour:\n%s", s)
	}
	// Who does as it says has a library.
	_, added, _ := strings.Cut(tour.String(), "add to DIR0/targate.yaml\n")
	library, added, ok := strings.Cut(added, "  and to \"targets:\"\n")
	target, _, ok2 := strings.Cut(added, "  and type:")
	if !ok || !ok2 {
		t.Fatalf("the tour:\n%s", tour.String())
	}
	outdent := func(s string) string { return strings.ReplaceAll("\n"+s, "\n    ", "\n") }
	if err := os.WriteFile(file, []byte(old+outdent(target)+outdent(library)), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err = load(file); err != nil || len(m.Entries) != 1 || len(m.Targets) != 2 {
		t.Fatalf("%+v %v", m, err)
	}
}

// TestExitCodes checks the exit codes of what needs no server.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good.yaml", "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\n")
	write("bad.yaml", "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\ndevces: []\n")
	write("missing.yaml", "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\ndevices: [{name: a, handler: file, path: ./absent}]\n")
	write("library.yaml", "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\nlibraries: [{name: l, model: generic, path: ./good.yaml, drives: [ibm-ult3580-td8]}]\n")
	for _, c := range []struct {
		args   string
		code   int
		stdout string // begins with
		stderr string // begins with
	}{
		{"version", exitOK, "targate ", ""},
		{"check good.yaml", exitOK, "", ""},
		{"check bad.yaml", exitFailure, "bad.yaml:3:1: the configuration has no key \"devces\"; did you mean \"devices\"?\n", ""},
		{"check bad.yaml -o json", exitFailure, "{\n  \"faults\": [\n    {\n      \"file\": \"bad.yaml\",\n      \"line\": 3,\n", ""},
		{"check good.yaml -o json", exitOK, "{\n  \"faults\": []\n}\n", ""},
		{"demo --listen nonsense", exitUsage, "", "targate: --listen"},
		{"check absent.yaml", exitNotFound, "", "targate: open absent.yaml: no such file"},
		{"check", exitUsage, "", "targate: accepts 1 arg"},
		{"", exitUsage, "", "targate: a command is missing"},
		{"sevre", exitUsage, "", "targate: unknown command"},
		{"serve", exitUsage, "", "targate: required flag"},
		{"serve --config bad.yaml", exitFailure, "", "bad.yaml:3:1: "},
		{"serve --config missing.yaml", exitFailure, "", "missing.yaml:3:18: device a: "},
		{"check library.yaml", exitOK, "", ""},
		{"serve --config library.yaml", exitFailure, "", "library.yaml:3:45: library l: "},
		{"serve --config absent.yaml", exitNotFound, "", "targate: open absent.yaml"},
		{"serve --config good.yaml --log-level loud", exitUsage, "", "targate: --log-level"},
		{"status", exitNotFound, "", "targate: no server was found"},
		{"status -o xml", exitUsage, "", "targate: --output"},
		{"status --reset", exitUsage, "", "targate: --reset"},
		{"status --nonsense", exitUsage, "", "targate: unknown flag"},
		{"apply good.yaml", exitNotFound, "", "targate: no server answers at "},
		{"apply bad.yaml", exitFailure, "", "bad.yaml:3:1: "},
		{"--help", exitOK, "A SCSI target", ""},
	} {
		t.Run(c.args, func(t *testing.T) {
			out, errs, code := program(t, dir, strings.Fields(c.args)...)
			if code != c.code || !strings.HasPrefix(out, c.stdout) || !strings.HasPrefix(errs, c.stderr) ||
				c.stdout == "" && out != "" {
				t.Errorf("exit code %d, want %d\nstdout %q\nstderr %q", code, c.code, out, errs)
			}
		})
	}
}
