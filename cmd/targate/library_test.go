package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

const iqnLib = "iqn.2026-11.org.targate:lib0"

// oneLibrary has two drives, six slots, two mailslots and three cartridges.
const oneLibrary = `
libraries:
  - name: lib0
    model: ibm-3573-tl
    path: ./tapes
    drives: [{model: ibm-ult3580-td8}, ibm-ult3580-td8]
    slots: 6
    mailslots: 2
    cartridges: [TG0001L8-TG0002L8, {barcodes: TG0003L8, capacity: 1GiB}, CLN001CU]
targets:
  - {iqn: 'iqn.2026-11.org.targate:lib0', library: lib0}
  - iqn: iqn.2026-11.org.targate:view
    groups: [{name: readers, initiators: ["*:bob"], library: {name: lib0, read_only: true}}]
`

func startLibrary(t *testing.T, dir, config string) *daemon.Targate {
	t.Helper()
	d, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kill)
	return d
}

// typed runs the program as someone types it, in dir.
func typed(t *testing.T, dir, line string) (stdout, stderr string, code int) {
	t.Helper()
	return program(t, dir, strings.Fields(line)...)
}

// TestLibraryVerbs types one command after the other.
func TestLibraryVerbs(t *testing.T) {
	dir := t.TempDir()
	startLibrary(t, dir, oneLibrary)
	t.Setenv("TARGATE_SOCKET", "targate.sock")
	for _, c := range []struct {
		line string
		code int
		out  string // is in what it prints, on stdout or stderr
	}{
		{"library list", exitOK, "lib0     ibm-3573-tl"},
		{"library list", exitOK, "0 of 2  4 of 6  0 of 2     4           0      ok"},
		{"library show lib0", exitOK, "lib0-drive2  2"},
		{"library show lib1", exitNotFound, `there is no library "lib1"; there are lib0`},
		{"library inventory lib0", exitOK, "TG0001L8  slot:1\n"},
		{"library inventory lib1", exitNotFound, "lib1"},
		{"drive list", exitOK, "lib0-drive1  1    ibm-ult3580-td8"},
		{"drive list --library lib9", exitNotFound, "lib9"},
		{"slot list", exitOK, "lib0     mailslot:2  17       -"},
		{"tape list", exitOK, "CLN001CU   lib0     LTO-Cleaning  slot:4  0      -      50 uses left"},

		{"tape load TG0001L8", exitOK, "TG0001L8  drive:1"},
		{"tape load TG0001L8", exitConflict, "at drive:1 already"},
		{"tape load TG0099L8", exitNotFound, "there is no such cartridge"},
		{"drive load lib0-drive2 TG0002L8", exitOK, "TG0002L8  drive:2"},
		{"drive load 2 TG0003L8", exitConflict, "there is a cartridge already"},
		{"drive load 3 TG0003L8", exitNotFound, `no drive "3"`},
		{"tape load TG0003L8", exitConflict, "no drive that can load TG0003L8 is empty"},
		{"tape delete TG0001L8", exitConflict, "in a drive"},
		{"tape label TG0001L8 XX0001L8", exitConflict, "in a drive"},
		{"tape write-protect TG0001L8", exitConflict, "in a drive"},
		{"tape show TG0001L8", exitOK, "drive:1"},
		{"tape ls TG0001L8", exitOK, "PARTITION"},
		{"tape rollback TG0001L8 0", exitConflict, "unload it first"},
		{"tape fsck TG0001L8", exitConflict, "unload it first"},
		{"tape prune TG0001L8", exitConflict, "unload it first"},
		{"tape export-image TG0001L8 x.tap", exitOK, "0 blocks"},
		{"tape import-image TG0001L8 x.tap", exitConflict, "unload it first"},
		{"drive eject 1", exitOK, "TG0001L8  drive:1"},
		{"drive list", exitOK, "TG0001L8   unloaded"},
		{"drive unload lib0-drive1", exitOK, "TG0001L8  slot:1"},
		{"drive unload lib0-drive1", exitConflict, "there is no cartridge"},
		{"drive unload lib0-drive7", exitNotFound, "lib0-drive7"},
		{"tape unload TG0002L8 --to mailslot:1", exitOK, "TG0002L8  mailslot:1"},
		{"tape unload TG0002L8", exitConflict, "is not in a drive"},

		{"library export lib0", exitOK, "TG0002L8  vault"},
		{"library export lib0", exitOK, ""},
		{"tape list", exitOK, "TG0002L8   lib0     LTO-8         vault"},
		{"tape move TG0002L8 slot:5", exitUsage, "import or export"},
		{"library import lib0 TG0002L8", exitOK, "TG0002L8  mailslot:1"},
		{"tape import TG0002L8", exitConflict, "in the library"},
		{"tape export TG0002L8", exitOK, "TG0002L8  vault"},
		{"tape import TG0002L8 --to slot:6", exitOK, "TG0002L8  slot:6"},
		{"tape eject TG0002L8", exitOK, "TG0002L8  mailslot:1"},
		{"tape move TG0002L8 slot:2", exitOK, "TG0002L8  slot:2"},
		{"slot move slot:2 mailslot:2", exitOK, "TG0002L8  mailslot:2"},
		{"slot move slot:2 mailslot:1", exitConflict, "there is no cartridge"},
		{"slot move slot:1 mailslot:2", exitConflict, "there is a cartridge already"},
		{"slot move slot:1 slot:7", exitNotFound, "there is no such place"},
		{"slot move slot:1 shelf:7", exitUsage, "shelf:7"},
		{"slot move slot:1", exitUsage, "accepts 2 arg"},

		{"tape create TG0010L8-TG0011L8 --capacity 2GiB", exitOK, "TG0011L8  slot:5"},
		{"tape show TG0010L8", exitOK, "2 GiB"},
		{"tape show TG0003L8", exitOK, "1 GiB"},
		{"tape create TG0010L8", exitConflict, "there is a cartridge of that barcode"},
		{"tape create TG0012XX", exitUsage, "no kind of cartridge"},
		{"tape create tg", exitUsage, "barcode"},
		{"tape create TG0012L8 --capacity 1GB", exitUsage, "did you mean 1GiB?"},
		{"tape create TG0012L8 --to vault --write-protect", exitOK, "TG0012L8  vault  write protected"},
		{"tape write-protect TG0012L8 --off", exitOK, "TG0012L8  vault\n"},
		{"tape write-protect TG0012L8", exitOK, "write protected"},
		{"tape label TG0012L8 MON001L8", exitOK, "MON001L8  vault"},
		{"tape label TG0012L8 MON001L8", exitNotFound, "there is no such cartridge"},
		{"tape label MON001L8 TG0001L8", exitConflict, "there is a cartridge of that barcode"},
		{"tape label MON001L8 TG0001L7", exitUsage, "L7"},
		{"tape set-worm TG0010L8 TG0010LY", exitOK, "TG0010LY"},
		{"tape set-worm CLN001CU", exitUsage, "WORM"},
		{"tape delete TG0010LY TG0011L8", exitOK, "TG0011L8  deleted"},
		{"tape delete TG0011L8", exitNotFound, "there is no such cartridge"},

		{"library faults lib0", exitOK, "RULE"},
		{"library faults lib0 --set absent.txt", exitNotFound, "absent.txt"},
		{"library faults lib0 --set a --off", exitUsage, "exclude"},
		{"library models", exitOK, "ibm-ult3580-td8"},
		{"library models --personalities absent", exitFailure, "absent"},
		{"library", exitUsage, "a command is missing: list"},
		{"tape", exitUsage, "a command is missing: list"},
		{"tape frobnicate", exitUsage, "unknown command"},
		{"drive list -o xml", exitUsage, "--output"},
	} {
		out, errs, code := typed(t, dir, c.line)
		if code != c.code || !strings.Contains(out+errs, c.out) {
			t.Errorf("%s: exit code %d, want %d and %q\nstdout %s\nstderr %s", c.line, code, c.code, c.out, out, errs)
		}
	}

	// Every list as JSON.
	for line, key := range map[string]string{"library list": "libraries", "drive list": "drives", "slot list": "slots",
		"tape list": "cartridges", "library models": "drives", "library faults lib0": "rules", "tape export MON001L8": ""} {
		out, errs, code := typed(t, dir, line+" -o json")
		var v map[string]json.RawMessage
		switch {
		case key == "" && code == exitConflict:
		case code != exitOK || json.Unmarshal([]byte(out), &v) != nil || v[key] == nil:
			t.Errorf("%s -o json: exit code %d\n%s%s", line, code, out, errs)
		}
	}
	if _, errs, code := typed(t, dir, "tape list --socket absent.sock"); code != exitNotFound {
		t.Errorf("no server: exit code %d: %s", code, errs)
	}
}

// TestHelp wants a description and an example of every verb.
func TestHelp(t *testing.T) {
	for _, noun := range rootCommand().Commands() {
		switch noun.Name() {
		case "library", "drive", "slot", "tape":
		default:
			continue
		}
		for _, verb := range noun.Commands() {
			if verb.Short == "" || !strings.HasPrefix(verb.Example, "  targate "+noun.Name()+" "+verb.Name()) {
				t.Errorf("%s %s: %q, example %q", noun.Name(), verb.Name(), verb.Short, verb.Example)
			}
			if verb.Flags().Lookup("output") == nil {
				t.Errorf("%s %s has no -o", noun.Name(), verb.Name())
			}
		}
	}
}

// dialLibrary logs in and takes the unit attentions; drives may be empty.
func dialLibrary(t *testing.T, portal, iqn, name string) *initiator.Session {
	t.Helper()
	s, err := initiator.Dial(t.Context(), initiator.Options{Addr: portal, TargetName: iqn, InitiatorName: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	calm(t, s)
	return s
}

// calm takes the unit attentions of every LUN, and waits for drives that load or clean.
func calm(t *testing.T, s *initiator.Session) {
	t.Helper()
	luns, err := s.LUNs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range luns {
		for r := (*initiator.Result)(nil); r == nil || r.Key() == 6 || r.Code() == 0x0401 || r.Code() == 0x3003; { // becoming ready, cleaning
			if r, err = s.Do(t.Context(), &initiator.Command{LUN: l, CDB: make([]byte, 6)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// deviceType is the PERIPHERAL DEVICE TYPE of a LUN, and its product.
func deviceType(t *testing.T, s *initiator.Session, lun uint16) string {
	t.Helper()
	b := do(t, s, &initiator.Command{LUN: lun, CDB: []byte{0x12, 0, 0, 0, 96, 0}, In: 96})
	return fmt.Sprintf("%d %s", b[0], strings.TrimSpace(string(b[16:32])))
}

// elements reads how many slots, mailslots and drives the changer has (MODE SENSE, page 1Dh).
func elements(t *testing.T, s *initiator.Session) [3]uint16 {
	t.Helper()
	b := do(t, s, &initiator.Command{CDB: []byte{0x1a, 8, 0x1d, 0, 255, 0}, In: 255})
	at := func(i int) uint16 { return uint16(b[4+i])<<8 | uint16(b[5+i]) }
	return [3]uint16{at(8), at(12), at(16)}
}

// TestLibraryApply changes a library under its sessions.
func TestLibraryApply(t *testing.T) {
	dir := t.TempDir()
	d := startLibrary(t, dir, oneLibrary)
	t.Setenv("TARGATE_SOCKET", "targate.sock")
	s := dialLibrary(t, d.Portal, iqnLib, alice)
	for lun, want := range []string{"8 3573-TL", "1 ULT3580-TD8", "1 ULT3580-TD8"} {
		if got := deviceType(t, s, uint16(lun)); got != want {
			t.Errorf("LUN %d is %s, want %s", lun, got, want)
		}
	}
	if got := elements(t, s); got != [3]uint16{6, 2, 2} {
		t.Errorf("slots, mailslots, drives: %v", got)
	}
	name := serial(t, s, 1)

	more := strings.NewReplacer("slots: 6", "slots: 8", "mailslots: 2", "mailslots: 3", "ibm-ult3580-td8]", "ibm-ult3580-td8, ibm-ult3580-td7]",
		"cartridges: [", "cartridges: [TG0007L7, ").Replace(oneLibrary)
	more = strings.Replace(more, "mailslots: 8", "mailslots: 3", 1)
	if err := d.Write(more); err != nil {
		t.Fatal(err)
	}
	out, errs, code := program(t, dir, "apply", d.Config)
	want := `change library lib0: drive 3 added, ibm-ult3580-td7
change library lib0: slots 8
change library lib0: mailslots 3
change library lib0: cartridges TG0007L7
change target iqn.2026-11.org.targate:lib0: luns +3 lib0-drive3
change target iqn.2026-11.org.targate:view: group readers luns +3 lib0-drive3 read-only
`
	if code != exitOK || out != want {
		t.Fatalf("apply: exit code %d\n%s%s\nwant\n%s", code, out, errs, want)
	}
	calm(t, s)
	if got := elements(t, s); got != [3]uint16{8, 3, 3} {
		t.Errorf("slots, mailslots, drives: %v", got)
	}
	if got := deviceType(t, s, 3); got != "1 ULT3580-TD7" || serial(t, s, 1) != name {
		t.Errorf("LUN 3 is %s, LUN 1 has serial number %s, was %s", got, serial(t, s, 1), name)
	}
	if out, _, _ := typed(t, dir, "tape load TG0007L7 --drive 3"); !strings.Contains(out, "drive:3") {
		t.Error(out)
	}

	if err := d.Write(strings.Replace(more, "slots: 8", "slots: 8\n    retention: {age: 1d, generations: 2}", 1)); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := program(t, dir, "apply", d.Config); code != exitOK || out != "change library lib0: retention 24h0m0s, 2 generations\n" {
		t.Errorf("apply: exit code %d %s%s", code, out, errs)
	}

	// What cannot go says why; the empty can.
	if err := d.Write(oneLibrary); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitConflict || !strings.Contains(errs, "drive 3 cannot go: cartridge TG0007L7 is in it") {
		t.Errorf("apply: exit code %d %s", code, errs)
	}
	if err := d.Write(strings.Replace(more, "path: ./tapes", "path: ./other", 1)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitConflict || !strings.Contains(errs, "path cannot change") {
		t.Errorf("apply: exit code %d %s", code, errs)
	}
	if _, errs, code := typed(t, dir, "drive unload 3"); code != exitOK {
		t.Fatal(errs)
	}
	if err := d.Write(oneLibrary); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := program(t, dir, "apply", d.Config); code != exitOK || !strings.Contains(out, "drive 3 removed") {
		t.Errorf("apply: exit code %d %s%s", code, out, errs)
	}
	if luns, err := s.LUNs(t.Context()); err != nil || len(luns) != 3 {
		t.Errorf("LUNs %v %v", luns, err)
	}

	// The library goes, and comes back with all it had, and what can be changed in no other way.
	const nothing = "devices: []\n"
	other := strings.Replace(oneLibrary, "slots: 6", "slots: 6\n    serial: MINE0001\n    compression: lz4", 1)
	if err := d.Write(other); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := program(t, dir, "apply", d.Config); code != exitConflict || !strings.Contains(errs, "serial cannot change") || !strings.Contains(errs, "compression cannot change") {
		t.Errorf("apply: exit code %d %s", code, errs)
	}
	for _, c := range []struct{ config, change string }{{nothing, "remove library lib0"}, {other, "add library lib0: 3 devices"}} {
		if err := d.Write(c.config); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := program(t, dir, "apply", d.Config); code != exitOK || !strings.Contains(out, c.change) {
			t.Errorf("apply: exit code %d %s%s", code, out, errs)
		}
	}
	s = dialLibrary(t, d.Portal, iqnLib, alice)
	if serial(t, s, 1) != name {
		t.Errorf("serial number %s, was %s", serial(t, s, 1), name)
	}
	if out, _, _ := typed(t, dir, "tape list"); strings.Count(out, "\n") != 6 {
		t.Error(out)
	}
	if out, _, _ := typed(t, dir, "library list"); !strings.Contains(out, "MINE0001") || !strings.HasPrefix(serial(t, s, 0), "MINE0001") {
		t.Errorf("%s, serial number %q", out, serial(t, s, 0))
	}
}

// TestLibraryFaults checks configurations.
func TestLibraryFaults(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bad.txt"), []byte("fail class=medium\nfial class=stuck\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	head := "version: 1\niscsi: {portals: ['127.0.0.1:3260']}\nlibraries:\n  - name: l\n"
	for text, want := range map[string]string{
		"model: ibm-3573-tx, path: a, drives: [ibm-ult3580-td8]":                                                          `4:22: there is no changer "ibm-3573-tx"; did you mean "ibm-3573-tl"?`,
		"model: nonsense, path: a, drives: [ibm-ult3580-td8]":                                                             `4:22: there is no changer "nonsense"; "targate library models" lists them`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td88]":                                                         `4:53: there is no drive "ibm-ult3580-td88"; did you mean "ibm-ult3580-td8"?`,
		"model: ibm-3573-tl, path: a, drives: [{model: ibm-ult3580-td8, serail: X}]":                                      `4:78: a drive has no key "serail"; did you mean "serial"?`,
		"model: ibm-3573-tl, path: a, drives: [{serial: X}]":                                                              `4:53: a drive needs the key "model"`,
		"model: ibm-3573-tl, path: a, drives: []":                                                                         `4:52: drives is empty; a library has at least one`,
		"model: ibm-3573-tl, path: a":                                                                                     `a library needs the key "drives": The drives`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], slots: 0":                                                `4:78: slots: 0 is too few`,
		"model: hp-msl-g3, path: a, drives: [ibm-ult3580-td8], slots: 1000":                                               `4:76: 1000 slots; hp-msl-g3 has 416 at most`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], cartridges: [TG0001ZZ]":                                  `4:84: TG0001ZZ: no kind of cartridge has barcodes that end in "ZZ"`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], cartridges: [TG0001L5]":                                  `4:84: TG0001L5: no drive of this library can load LTO-5 cartridges`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], cartridges: [TG0009L8-TG0001L8]":                         `ends before it begins`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], cartridges: [TG0001L8-TG0003L8, TG0002L8]":               `4:103: cartridge TG0002L8 is there twice, first in line 4`,
		"model: ibm-3573-tl, path: a, drives: [{model: ibm-ult3580-td8, serial: A}, {model: ibm-ult3580-td8, serial: A}]": `A is the serial number of another drive too`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], timing: slow":                                            `4:79: timing: "slow" is not off, real, or a factor`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], faults: ./bad.txt":                                       `bad.txt: line 2: "fial class=stuck"`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], faults: ./absent.txt":                                    `absent.txt`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], personalities: ./absent":                                 `absent`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], retention: {age: soon}":                                  `4:88: age: "soon" is not a time as 12h or 30d`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], retention: {aeg: 1d}":                                    `a retention has no key "aeg"; did you mean "age"?`,
		"model: ibm-3573-tl, path: a, drives: [ibm-ult3580-td8], segment_size: 1KiB":                                      `segment_size: 1KiB is not from 64KiB to 1GiB`,
	} {
		file := strings.Replace(head, "  - name: l\n", "  - {name: l, "+text+"}\n", 1)
		if err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, errs, code := typed(t, dir, "check x.yaml"); code != exitFailure || !strings.Contains(out, want) || !strings.HasPrefix(out, "x.yaml:4:") {
			t.Errorf("%s: exit code %d, want %s\n%s%s", text, code, want, out, errs)
		}
	}
}
