//go:build system

package tape

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/initiator"
)

// targate runs the program's own verbs on the server.
func targate(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := daemon.Binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := daemon.Run(30*time.Second, bin, append(args, "--socket", filepath.Join(lab.Dir, "targate.sock"))...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// testPeople is what initiators see of what people do with cartridges.
func testPeople(t *testing.T) {
	run(t, "the tab of a cartridge: 07/27/00 before any data, WP in the mode parameter header", func(t *testing.T) {
		h := login(t)
		h.insert(1, "")
		targate(t, "tape", "write-protect", "TG0002U8")
		t.Cleanup(func() {
			login(t).insert(1, "")
			targate(t, "tape", "write-protect", "TG0002U8", "--off")
		})
		h.insert(1, "TG0002U8")
		h.ready()
		for _, c := range []*initiator.Command{
			{CDB: cdb6(0x0a, 0, 100), Out: pattern(100, 1)}, {CDB: cdb6(0x10, 0, 1)}, {CDB: []byte{0x19, 0, 0, 0, 0, 0}},
			{CDB: []byte{0x19, 1, 0, 0, 0, 0}}, {CDB: []byte{4, 0, 0, 0, 0, 0}}, {CDB: []byte{0x0b, 0, 0, 0xff, 0xff, 0}},
		} {
			c.LUN = lunDrive
			h.is(h.do(c), "wp")
		}
		h.at(0)
		h.good(h.none(cdb6(0x10, 0, 0)...)) // a flush writes nothing
		if header, _ := h.modeSense(0, 0x0f, 0); header[3]&0x80 == 0 {
			t.Errorf("WP is not set: %x", header)
		}
	})
	run(t, "a cartridge put into a mailslot by hand: 06/28/01 for each nexus of the changer", func(t *testing.T) {
		a, b := login(t), login(t)
		targate(t, "tape", "eject", "TG0012L8")
		targate(t, "tape", "export", "TG0012L8")
		for _, h := range []*host{a, b} {
			h.attentions(lunChanger)
		}
		targate(t, "tape", "import", "TG0012L8", "--library", "lib0")
		for _, h := range []*host{a, b} {
			codes := h.attentions(lunChanger)
			if !slices.Contains(codes, 0x2801) && !slices.Contains(codes, 0x2800) {
				t.Errorf("unit attentions %04x", codes)
			}
		}
		for address, e := range a.elements() {
			if e.barcode == "TG0012L8" && address != firstSlot+11 {
				a.is(a.move(address, firstSlot+11), "good")
			}
		}
	})
}

// faults puts rules in place for the rest of the case.
func faults(t *testing.T, rules string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "faults.txt")
	if err := os.WriteFile(file, []byte(rules+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	targate(t, "library", "faults", "lib0", "--set", file)
	t.Cleanup(func() { targate(t, "library", "faults", "lib0", "--off") })
}

// testFaults is what initiators are told of a bad tape, and where it is then.
func testFaults(t *testing.T) {
	start := func(t *testing.T) *host {
		h := login(t)
		h.prepare("tiny")
		for i := range uint64(5) {
			h.good(h.out(cdb6(0x0a, 0, 100), pattern(100, i)))
		}
		h.good(h.none(cdb6(0x10, 0, 1)...))
		h.good(h.none(1, 0, 0, 0, 0, 0))
		return h
	}
	run(t, "a block that cannot be read: 03/11/00", func(t *testing.T) {
		h := start(t)
		faults(t, "fail class=medium op=read drive=1 object=2")
		h.good(h.in(cdb6(0x08, 0, 100), 100))
		h.good(h.in(cdb6(0x08, 0, 100), 100))
		r := h.in(cdb6(0x08, 0, 100), 100)
		h.is(r, "3/1100 info=100 resid=100")
		if len(r.Data) != 0 {
			t.Errorf("%d bytes of it", len(r.Data))
		}
		if p := h.readPosition(); p.object != 2 && p.object != 3 {
			t.Errorf("at object %d", p.object)
		}
		h.good(h.none(0x2b, 0, 0, 0, 0, 0, 3, 0, 0, 0)) // what follows can be read
		h.good(h.in(cdb6(0x08, 0, 100), 100))
	})
	run(t, "a block that cannot be read among fixed ones: the residual counts those before", func(t *testing.T) {
		h := start(t)
		h.good(h.setBlock(100))
		defer h.setBlock(0)
		faults(t, "fail class=medium op=read drive=1 object=2")
		h.is(h.in(cdb6(0x08, 1, 5), 500), "3/1100 info=3 resid=300")
	})
	run(t, "a block that cannot be written: 03/0C/00, and the tape ends before it", func(t *testing.T) {
		h := start(t)
		faults(t, "fail class=medium op=write drive=1 times=1")
		h.good(h.none(0x2b, 0, 0, 0, 0, 0, 3, 0, 0, 0))
		h.is(h.out(cdb6(0x0a, 0, 100), pattern(100, 9)), "3/0c00 anybits")
		h.at(3)
		h.good(h.none(1, 0, 0, 0, 0, 0))
		for range 3 {
			h.good(h.in(cdb6(0x08, 0, 100), 100))
		}
	})
	run(t, "a filemark that cannot be written", func(t *testing.T) {
		h := start(t)
		faults(t, "fail class=medium op=filemark drive=1 times=1")
		h.good(h.none(cdb6(0x11, 3, 0)...))
		h.is(h.none(cdb6(0x10, 0, 1)...), "3/0c00 anybits")
		h.at(6)
		h.good(h.none(cdb6(0x10, 0, 1)...))
		h.at(7)
	})
	run(t, "a drive that fails: 04/44/00", func(t *testing.T) {
		h := start(t)
		faults(t, "fail class=hardware op=locate drive=1 times=1")
		h.is(h.none(0x2b, 0, 0, 0, 0, 0, 3, 0, 0, 0), "4/4400 anybits")
		h.good(h.none(0x2b, 0, 0, 0, 0, 0, 3, 0, 0, 0))
	})
	run(t, "a robot that fails: 04/3B/16, and the cartridge is where it was", func(t *testing.T) {
		h := login(t)
		h.insert(1, "")
		faults(t, "fail class=position op=move tape=TG0012L8 times=1")
		h.is(h.move(firstSlot+11, firstSlot+35), "4/3b16 anybits")
		if got := h.elements()[firstSlot+11].barcode; got != "TG0012L8" {
			t.Errorf("slot 12 holds %q", got)
		}
		h.is(h.move(firstSlot+11, firstSlot+35), "good")
		h.is(h.move(firstSlot+35, firstSlot+11), "good")
	})
	run(t, "a TapeAlert flag is shown until it is read", func(t *testing.T) {
		h := start(t)
		faults(t, "alert flag=4 op=read drive=1 times=1")
		logParameters(h, 0x2e, 0)
		h.good(h.in(cdb6(0x08, 0, 100), 100))
		if flags := logParameters(h, 0x2e, 0); number(flags[4]) != 1 {
			t.Errorf("flag 4 is %x", flags[4])
		}
		if flags := logParameters(h, 0x2e, 0); number(flags[4]) != 0 {
			t.Errorf("flag 4 is still %x", flags[4])
		}
	})
}
