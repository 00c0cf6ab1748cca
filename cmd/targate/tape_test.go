package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/medium"
)

// record writes blocks and a filemark to the drive at a LUN.
func record(t *testing.T, s *initiator.Session, lun uint16, data ...[]byte) {
	t.Helper()
	for _, b := range data {
		do(t, s, &initiator.Command{LUN: lun, CDB: []byte{0x0a, 0, byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b)), 0}, Out: b})
	}
	do(t, s, &initiator.Command{LUN: lun, CDB: []byte{0x10, 0, 0, 0, 1, 0}})
}

// TestTapeFiles looks into a cartridge that a drive has written, with and without the server.
func TestTapeFiles(t *testing.T) {
	dir := t.TempDir()
	d := startLibrary(t, dir, oneLibrary)
	t.Setenv("TARGATE_SOCKET", "targate.sock")
	if _, errs, code := typed(t, dir, "tape load TG0001L8 --drive 1"); code != exitOK {
		t.Fatal(errs)
	}
	s := dialLibrary(t, d.Portal, iqnLib, alice)
	label := fmt.Sprintf("%-80s", "VOL1MYTAPE")
	record(t, s, 1, []byte(label))
	record(t, s, 1, bytes.Repeat([]byte("targate "), 1000), bytes.Repeat([]byte("targate "), 1000))
	reader := dialLibrary(t, d.Portal, "iqn.2026-11.org.targate:view", bob)
	r, err := reader.Do(t.Context(), &initiator.Command{LUN: 1, CDB: []byte{0x10, 0, 0, 0, 1, 0}})
	if err != nil || r.Key() != 7 {
		t.Errorf("WRITE FILEMARKS by a read-only group: %+v %v", r, err)
	}
	for _, c := range []struct {
		line string
		code int
		out  string
	}{
		{"tape unload TG0001L8", exitOK, "slot:1"},
		{"tape ls TG0001L8", exitOK, "ANSI: "},
		{"tape ls TG0001L8", exitOK, "0          1     2      2       8000        15.62 KiB"},
		{"tape ls TG0001L8 --partition 3", exitNotFound, "partition 3"},
		{"tape ls tapes/TG0001L8 -o json", exitOK, `"blocks": 2`},
		{"tape ls TG0001L8 --dir tapes", exitOK, "15.62 KiB"},
		{"tape ls TG0008L8 --dir tapes", exitNotFound, "TG0008L8"},
		{"tape ls TG0001L8 --dir absent", exitNotFound, "absent"},
		{"tape ls ./absent", exitNotFound, "absent"},
		{"tape ls CLN001CU", exitConflict, "cleaning"},
		{"tape show TG0001L8", exitOK, "5 objects, 2 of them filemarks"},
		{"tape cat TG0001L8 0", exitOK, label},
		{"tape cat TG0001L8 7", exitNotFound, "file 7"},
		{"tape cat TG0001L8 x", exitUsage, "number"},
		{"tape delete TG0001L8", exitConflict, "not blank"},
		{"tape set-worm TG0001L8 TG0001LY", exitConflict, "not blank"},
		{"tape export-image TG0001L8 copy.tap", exitOK, "simh: 3 blocks, 2 filemarks"},
		{"tape export-image TG0001L8 copy.tap", exitConflict, "copy.tap"},
		{"tape export-image TG0001L8 copy.xyz", exitUsage, "says no format"},
		{"tape export-image TG0001L8 copy.bin --format aws", exitOK, "aws: 3 blocks"},
		{"tape import-image TG0001L8 copy.tap", exitConflict, "not blank"},
		{"tape import-image TG0002L8 absent.tap", exitNotFound, "absent.tap"},
		{"tape import-image TG0002L8 copy.tap --format floppy", exitUsage, "floppy"},
		{"tape import-image TG0002L8 copy.tap", exitOK, "simh: 3 blocks, 2 filemarks"},
		{"tape ls TG0002L8", exitOK, "ANSI: "},
		{"tape delete TG0001L8 --force", exitOK, "deleted"},
	} {
		out, errs, code := typed(t, dir, c.line)
		if code != c.code || !strings.Contains(out+errs, c.out) {
			t.Errorf("%s: exit code %d, want %d and %q\nstdout %s\nstderr %s", c.line, code, c.code, c.out, out, errs)
		}
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := typed(t, dir, "tape cat ./tapes/TG0002L8 1"); code != exitOK || out != strings.Repeat("targate ", 2000) {
		t.Errorf("without a server: exit code %d, %d bytes, %s", code, len(out), errs)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "copy.tap")); err != nil || len(b) != 80+2*8000+3*8+2*4+4 && len(b) != 80+2*8000+3*8+2*4 {
		t.Errorf("copy.tap has %d bytes, %v", len(b), err)
	}
}

// TestGenerations overwrites a tape, and undoes it.
func TestGenerations(t *testing.T) {
	dir := t.TempDir()
	d := startLibrary(t, dir, oneLibrary)
	t.Setenv("TARGATE_SOCKET", "targate.sock")
	if _, errs, code := typed(t, dir, "tape load TG0001L8 --drive 1"); code != exitOK {
		t.Fatal(errs)
	}
	s := dialLibrary(t, d.Portal, iqnLib, alice)
	record(t, s, 1, []byte(fmt.Sprintf("%-512s", "the first")))
	do(t, s, &initiator.Command{LUN: 1, CDB: []byte{1, 0, 0, 0, 0, 0}}) // REWIND
	record(t, s, 1, []byte(fmt.Sprintf("%-512s", "ransomware")))
	for _, c := range []struct {
		line string
		code int
		out  string
	}{
		// In a drive, to read.
		{"tape generations TG0001L8", exitOK, "overwrite at object 0 of partition 0"},
		{"tape generations TG0001L8 -o json", exitOK, `"generation": 1`},
		{"tape ls TG0001L8 --generation 0", exitOK, "512"},
		{"tape cat TG0001L8 0 --generation 0", exitOK, "the first"},
		{"tape cat TG0001L8 0", exitOK, "ransomware"},
		{"tape cat TG0001L8 0 --generation 7", exitNotFound, "no such generation"},
		{"tape cat TG0001L8 0 --generation x", exitUsage, "number of a generation"},
		{"tape dump TG0001L8", exitOK, `barcode "TG0001L8"`},
		{"tape dump TG0001L8 -o json", exitOK, `"lines": [`},
		{"tape dump TG0099L8", exitNotFound, "TG0099L8"},
		{"tape rollback TG0001L8 0", exitConflict, "unload it first"},
		// In a slot.
		{"tape unload TG0001L8", exitOK, "slot:1"},
		{"tape rollback TG0001L8 0", exitOK, "rollback to 0"},
		{"tape cat TG0001L8 0", exitOK, "the first"},
		{"tape rollback TG0001L8 1", exitOK, "rollback to 1"}, // undo of the undo
		{"tape cat TG0001L8 0", exitOK, "ransomware"},
		{"tape rollback TG0001L8 0", exitOK, "rollback to 0"},
		{"tape rollback TG0001L8 9", exitNotFound, "no such generation"},
		{"tape rollback TG0001L8 x", exitUsage, "number of a generation"},
		{"tape prune TG0001L8 --keep-age 1d", exitOK, "0 generations are gone"},
		{"tape prune TG0001L8 --keep-age soon", exitUsage, "soon"},
		{"tape prune TG0001L8 --keep 1", exitOK, "3 generations are gone"},
		{"tape prune TG0001L8", exitOK, "1 generations are gone"},
		{"tape cat TG0001L8 0 --generation 1", exitNotFound, "no such generation"},
		{"tape fsck TG0001L8 TG0002L8", exitOK, "2 checked, no damage"},
		{"tape fsck TG0099L8", exitNotFound, "TG0099L8"},
		{"tape generations ./tapes/TG0001L8", exitOK, "now"},
	} {
		out, errs, code := typed(t, dir, c.line)
		if code != c.code || !strings.Contains(out+errs, c.out) {
			t.Errorf("%s: exit code %d, want %d and %q\nstdout %s\nstderr %s", c.line, code, c.code, c.out, out, errs)
		}
	}
	// What was undone is what the drive reads.
	if _, errs, code := typed(t, dir, "tape load TG0001L8 --drive 1"); code != exitOK {
		t.Fatal(errs)
	}
	calm(t, s)
	if b := do(t, s, &initiator.Command{LUN: 1, CDB: []byte{8, 0, 0, 2, 0, 0}, In: 512}); !strings.HasPrefix(string(b), "the first ") {
		t.Errorf("%.20q", b)
	}
	// Damage has an exit code.
	if _, errs, code := typed(t, dir, "tape unload TG0001L8"); code != exitOK {
		t.Fatal(errs)
	}
	files, err := filepath.Glob(filepath.Join(dir, "tapes", "TG0001L8", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if i := bytes.Index(b, []byte("the first")); err == nil && i >= 0 {
			b[i] ^= 1
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, errs, code := typed(t, dir, "tape fsck TG0001L8 -o json"); code != exitFailure || !strings.Contains(out, `"cartridge": "TG0001L8"`) {
		t.Errorf("fsck of a damaged cartridge: exit code %d\n%s%s", code, out, errs)
	}
}

// TestEncryptedTape looks into a cartridge that a drive has encrypted.
func TestEncryptedTape(t *testing.T) {
	dir := t.TempDir()
	key := &medium.Key{AES: [32]byte(bytes.Repeat([]byte{0xa5}, 32))}
	for name, text := range map[string]string{"right": strings.Repeat("a5", 32) + "\nmy key\n", "wrong": strings.Repeat("5a", 32), "short": "a5\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "TG0001L8")
	if _, err := cartridge.Create(path, cartridge.Identity{Barcode: "TG0001L8", Type: "LTO-8", Capacity: 1 << 30}, cartridge.Options{}); err != nil {
		t.Fatal(err)
	}
	m, err := cartridge.Open(path, cartridge.Options{})
	if err == nil {
		err = errors.Join(m.Write(0, 0, []byte("a secret"), medium.Recording{Key: key}), m.WriteFilemarks(0, 1, 1), m.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		line string
		code int
		out  string
	}{
		{"tape ls ./TG0001L8", exitOK, "encrypted"},
		{"tape cat ./TG0001L8 0", exitFailure, "there is no key"},
		{"tape cat ./TG0001L8 0 --key-file wrong", exitFailure, "another key"},
		{"tape cat ./TG0001L8 0 --key-file short", exitUsage, "64 hexadecimal digits"},
		{"tape cat ./TG0001L8 0 --key-file absent", exitNotFound, "absent"},
		{"tape cat ./TG0001L8 0 --key-file right", exitOK, "a secret"},
		{"tape export-image ./TG0001L8 x.tap", exitFailure, "there is no key"},
		{"tape export-image ./TG0001L8 x.tap --key-file right", exitOK, "1 blocks"},
	} {
		out, errs, code := typed(t, dir, c.line)
		if code != c.code || !strings.Contains(out+errs, c.out) {
			t.Errorf("%s: exit code %d, want %d and %q\nstdout %s\nstderr %s", c.line, code, c.code, c.out, out, errs)
		}
	}
}

// TestProgress draws a bar.
func TestProgress(t *testing.T) {
	p := newProgress(os.Stderr, "exporting", 4<<20, human)
	if got, want := p.line(1<<20, ""), "exporting [#######-----------------------] 1 MiB of 4 MiB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := p.line(9<<20, "x"), "exporting [##############################] 9 MiB of 4 MiB x"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var b bytes.Buffer
	p = newProgress(&b, "looking", 0, countUnit)
	p.set(3, "files")
	p.end()
	if got := p.line(3, "files"); got != "looking 3 files" || b.Len() != 0 {
		t.Errorf("%q, and %q where no terminal is", got, b.String())
	}
}

// TestFaultRules breaks tapes and drives, and drops sessions.
func TestFaultRules(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("fail class=medium op=read tape=TG0001L8 object=1 # a bad spot\n")
	d := startLibrary(t, dir, strings.Replace(oneLibrary, "slots: 6", "slots: 6\n    faults: ./rules.txt\n    timing: \"0.0001\"", 1))
	t.Setenv("TARGATE_SOCKET", "targate.sock")
	if _, errs, code := typed(t, dir, "tape load TG0001L8 --drive 1"); code != exitOK {
		t.Fatal(errs)
	}
	s := dialLibrary(t, d.Portal, iqnLib, alice)
	block := make([]byte, 512)
	record(t, s, 1, block, block, block)
	do(t, s, &initiator.Command{LUN: 1, CDB: []byte{1, 0, 0, 0, 0, 0}}) // REWIND
	read := &initiator.Command{LUN: 1, CDB: []byte{8, 0, 0, 2, 0, 0}, In: 512}
	do(t, s, read)
	if r, err := s.Do(t.Context(), read); err != nil || r.Key() != 3 || r.Code() != 0x1100 {
		t.Errorf("READ of a bad spot: %+v %v", r, err)
	}
	if out, _, _ := typed(t, dir, "library faults lib0"); !strings.Contains(out, "object=1  1     1") {
		t.Error(out)
	}

	// Others, while the session is there.
	write("alert flag=7 op=rewind; clean op=rewind\n")
	if out, errs, code := typed(t, dir, "library faults lib0 --set rules.txt"); code != exitOK || strings.Count(out, "op=rewind") != 2 {
		t.Errorf("exit code %d %s%s", code, out, errs)
	}
	do(t, s, &initiator.Command{LUN: 1, CDB: []byte{1, 0, 0, 0, 0, 0}})
	if out, _, _ := typed(t, dir, "drive list"); !strings.Contains(out, "needs cleaning") {
		t.Error(out)
	}
	b := do(t, s, &initiator.Command{LUN: 1, CDB: []byte{0x4d, 0, 0x2e, 0, 0, 0, 0, 2, 0, 0}, In: 512})
	if flag := b[4+5*6+4]; flag != 1 { // parameters of 5 bytes
		t.Errorf("TapeAlert flag 7 is %d: %x", flag, b)
	}
	write("fial\n")
	if _, errs, code := typed(t, dir, "library faults lib0 --set rules.txt"); code != exitUsage || !strings.Contains(errs, "fial") {
		t.Errorf("exit code %d %s", code, errs)
	}
	write("drop op=write times=1\n")
	if _, errs, code := typed(t, dir, "library faults lib0 --set rules.txt"); code != exitOK {
		t.Error(errs)
	}
	_, _ = s.Do(t.Context(), &initiator.Command{LUN: 1, CDB: []byte{0x0a, 0, 0, 2, 0, 0}, Out: block}) // it may have its answer
	<-s.Done()
	if _, errs, code := typed(t, dir, "library faults lib0 --off"); code != exitOK {
		t.Error(errs)
	}

	// A cleaning cartridge helps.
	for _, line := range []string{"tape unload TG0001L8", "tape load CLN001CU --drive 1"} {
		if _, errs, code := typed(t, dir, line); code != exitOK {
			t.Error(errs)
		}
	}
	dialLibrary(t, d.Portal, iqnLib, alice)
	if out, _, _ := typed(t, dir, "drive list"); strings.Contains(out, "needs cleaning") {
		t.Error(out)
	}
}
