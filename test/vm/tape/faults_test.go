//go:build vm

package tape

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
)

// Each test here is something that Debian's tgtd does wrong before the Linux tape driver.

// TestBlankTape: a read of a tape with nothing on it is an error or the end, never a record of stale
// memory.
func TestBlankTape(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	well := 0
	for range 3 {
		out, ok := d.try("dd if=$T bs=64k count=1 status=none | wc -c")
		if !slices.Contains(strings.Fields(out), "0") {
			t.Errorf("a read of blank tape: %s", out)
		}
		if ok {
			well++
		}
	}
	if well > 1 { // the driver may take the first for the end of a file
		t.Errorf("%d of 3 reads of blank tape went well", well)
	}
	// The sense: BLANK CHECK, END-OF-DATA DETECTED, VALID, no EOM.
	out, _ := d.try("sg_raw -r 64k $G 08 00 01 00 00 00")
	contains(t, out, "Blank Check", "End-of-data detected")
	if strings.Contains(out, "EOM") {
		t.Errorf("blank tape with EOM:\n%s", out)
	}
	d.unload(big)
}

// TestAppend is btape's append test: mt eod goes to where the file number is right.
func TestAppend(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	d.records(64512, 1, 2, 3)
	d.mt("rewind")
	d.mt("eod")
	d.at(3, -1)
	d.records(64512, 1)
	d.at(4, 0)
	d.mt("rewind")
	for file, blocks := range []int{1, 2, 3, 1} {
		out := d.sh("dd if=$T bs=64512 of=/dev/null 2>&1")
		contains(t, out, fmt.Sprintf("%d+0 records in", blocks))
		d.at(file+1, 0)
	}
	d.fails("dd if=$T bs=64512 of=/dev/null count=1; dd if=$T bs=64512 of=/dev/null count=1")
	d.unload(big)
}

// TestEndOfMedium fills a small tape as st sees it: one ENOSPC at early warning, room for a trailer
// after it, then ENOSPC for good; and everything that was acknowledged is there.
func TestEndOfMedium(t *testing.T) {
	l := open(t, "")
	d := l.blank(small, 0)
	const size = 64 << 10
	d.uncompressed()
	out, ok := d.try(fmt.Sprintf("dd if=/dev/urandom of=$T bs=%d", size))
	if ok {
		t.Fatalf("a tape without end: %s", out)
	}
	contains(t, out, "No space left on device")
	blocks := written(t, out)
	if least, most := daemon.SmallBytes*9/10/size, daemon.SmallBytes/size; blocks < least || blocks > most {
		t.Errorf("%d blocks of 64 KiB before the early warning of a tape of %d bytes", blocks, daemon.SmallBytes)
	}
	// st has written a filemark at close. A trailer after early warning fits.
	d.sh("dd if=/dev/urandom of=/tmp/trailer bs=1024 count=2 status=none; dd if=/tmp/trailer of=$T bs=1024 count=1 status=none || dd if=/tmp/trailer of=$T bs=1024 count=1 status=none")
	out, ok = d.try(fmt.Sprintf("for i in $(seq 2000); do dd if=/dev/urandom of=$T bs=%d count=64 || break; done; false", size))
	if !strings.Contains(out, "No space left on device") || ok {
		t.Errorf("a tape goes on after its end: %s", out)
	}
	d.mt("rewind")
	contains(t, d.sh(fmt.Sprintf("dd if=$T of=/dev/null bs=%d 2>&1", size)), fmt.Sprintf("%d+0 records in", blocks))
	contains(t, d.sh("dd if=$T bs=64k status=none | cmp -n 1024 - /tmp/trailer && echo same"), "same")
	d.mt("compression 1")
	d.unload(small)
}

// written is how many whole records dd says that it wrote.
func written(t *testing.T, out string) int {
	t.Helper()
	m := regexp.MustCompile(`(\d+)\+\d+ records out`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no count of dd in %s", out)
	}
	var n int
	fmt.Sscan(m[1], &n)
	return n
}

// TestSpace: SPACE stops at a filemark and says how much was left; at the beginning it says so.
func TestSpace(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	d.records(1024, 2, 3) // blocks 0, 1, filemark 2, blocks 3 to 5, filemark 6
	for _, c := range []struct {
		name, from, cdb string
		wants           []string
		at              int
	}{
		{"blocks over a filemark", "0", "11 00 00 00 05 00", []string{"Filemark detected", "Info fld=0x3", "FMK"}, 3},
		{"blocks backwards over a filemark", "5", "11 00 ff ff fb 00", []string{"Filemark detected", "FMK"}, 2},
		{"blocks back at the beginning", "0", "11 00 ff ff ff 00", []string{"Beginning-of-partition/medium detected", "EOM"}, 0},
		{"blocks at the end of data", "7", "11 00 00 00 05 00", []string{"Blank Check", "End-of-data detected", "Info fld=0x5"}, 7},
		{"filemarks past the end of data", "0", "11 01 7f ff ff 00", []string{"Blank Check", "End-of-data detected", "Info fld=0x7ffffd"}, 7},
	} {
		l.run(c.name, func(t *testing.T) {
			d.mt("seek %s", c.from)
			out, ok := d.try("sg_raw $G " + c.cdb)
			if ok {
				t.Errorf("it went well: %s", out)
			}
			contains(t, out, c.wants...)
			d.position(c.at)
		})
	}
	l.run("end of data", func(t *testing.T) {
		d.mt("rewind")
		d.sh("sg_raw $G 11 03 00 00 00 00")
		d.position(7)
		d.sh("sg_raw $G 91 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00")
	})
	d.unload(big)
}

// position checks READ POSITION's logical object number; st does not know of what sg did.
func (d *drive) position(object int) {
	d.l.t.Helper()
	out := d.sh("sg_raw -r 20 $G 34 00 00 00 00 00 00 00 00 00 2>&1")
	m := regexp.MustCompile(`(?m)^ ?00 +((?:[0-9a-f]{2} +){16})`).FindStringSubmatch(out)
	if m == nil {
		d.l.t.Fatalf("READ POSITION: %s", out)
	}
	var b [16]byte
	for i, f := range strings.Fields(m[1]) {
		fmt.Sscanf(f, "%02x", &b[i])
	}
	if got := int(b[4])<<24 | int(b[5])<<16 | int(b[6])<<8 | int(b[7]); got != object {
		d.l.t.Errorf("at object %d, want %d", got, object)
	}
}

// TestMissing is what vm.md names as missing from tgtd's drive.
func TestMissing(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	d.records(1024, 3)
	for _, c := range []struct{ name, command string }{
		{"LOCATE(10) with BT", "sg_raw $G 2b 04 00 00 00 00 01 00 00 00"},
		{"LOCATE(16)", "sg_raw $G 92 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00"},
		{"READ POSITION with BT", "sg_raw -r 20 $G 34 01 00 00 00 00 00 00 00 00"},
		{"READ POSITION long", "sg_raw -r 32 $G 34 06 00 00 00 00 00 00 00 00"},
		{"READ POSITION extended", "sg_raw -r 32 $G 34 08 00 00 00 00 00 00 20 00"},
		{"REPORT DENSITY SUPPORT", "sg_raw -r 512 $G 44 00 00 00 00 00 00 02 00 00"},
		{"LOG SENSE", "sg_logs -a $G"},
		{"TapeAlert", "sg_logs -p 0x2e $G"},
		{"READ ATTRIBUTE", "sg_read_attr $G"},
		{"SECURITY PROTOCOL IN", "sg_raw -r 256 $G a2 20 00 10 00 00 00 00 01 00 00 00"},
		{"RESERVE and RELEASE", "sg_raw $G 16 00 00 00 00 00 && sg_raw $G 17 00 00 00 00 00"},
		{"PERSISTENT RESERVE", "sg_persist -n -o -G -S 0x123 $G && sg_persist -n -o -R -K 0x123 -T 3 $G && sg_persist -n -i -r $G && sg_persist -n -o -L -K 0x123 -T 3 $G && sg_persist -n -o -G -K 0x123 -S 0 $G"},
		{"VERIFY", "mt -f $T rewind && sg_raw $G 13 00 00 04 00 00"},
		{"mode page 11", "sg_modes -p 0x11 $G"},
		{"mode page 0F", "sg_modes -p 0x0f $G"},
		{"VPD B3 or B0", "sg_vpd -p 0xb0 $G"},
		{"tapeinfo", "tapeinfo -f $G"},
		{"ERASE", "mt -f $T eod && sg_raw $G 19 00 00 00 00 00"},
		{"FORMAT MEDIUM", "mt -f $T rewind && sg_raw $G 04 00 00 00 00 00"},
	} {
		l.run(c.name, func(t *testing.T) { d.sh("set -e; { " + c.command + "; } 2>&1") })
	}
	d.unload(big)
}
