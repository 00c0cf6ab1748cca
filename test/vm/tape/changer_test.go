//go:build vm

package tape

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/targate/targate/test/vm"
)

// TestAttach is what the kernel finds.
func TestAttach(t *testing.T) {
	l := open(t, "")
	out := vm.Sh(t, "lsscsi -g")
	for kind, want := range map[string]int{"mediumx": 1, "tape": 2} {
		if got := strings.Count(out, kind); got != want {
			t.Errorf("%d devices of type %s, want %d", got, kind, want)
		}
	}
	if !*peer {
		contains(t, out, "IBM", "3573-TL", "ULT3580-TD8")
	}
	contains(t, vm.Sh(t, "cat /sys/class/scsi_changer/sch*/device/type"), "8")
	l.quiet()
}

// inSlots is how mtx shows the slots: their barcodes, empty ones included.
func (l *library) inSlots() []string {
	l.t.Helper()
	all := []string{""} // slots count from 1
	for _, m := range regexp.MustCompile(`Storage Element \d+(?: IMPORT/EXPORT)?:(Empty|Full)(?: :VolumeTag=(\S*))?`).FindAllStringSubmatch(l.mtx("status"), -1) {
		all = append(all, m[2])
	}
	return all
}

// TestMtx is every verb of mtx.
func TestMtx(t *testing.T) {
	l := open(t, "")
	contains(t, l.mtx("inquiry"), "Product Type: Medium Changer")
	contains(t, l.mtx("status"), fmt.Sprintf("2 Drives, %d Slots ( %d Import/Export )", slots+mailslots, mailslots),
		"Data Transfer Element 0:Empty", "Storage Element 1:Full :VolumeTag=TG0001V8", fmt.Sprintf("Storage Element %d IMPORT/EXPORT:Empty", slots+1))
	l.mtx("inventory")

	l.run("load and unload", func(t *testing.T) {
		l.mtx("load 1 0")
		l.mtx("load 2 1")
		contains(t, l.mtx("status"), "Data Transfer Element 0:Full (Storage Element 1 Loaded):VolumeTag = TG0001V8",
			"Data Transfer Element 1:Full (Storage Element 2 Loaded):VolumeTag = TG0002V8", "Storage Element 1:Empty")
		vm.Sh(t, "mt -f "+l.tapes[0]+" offline; mt -f "+l.tapes[1]+" offline")
		l.mtx("unload 1 0")
		l.mtx("unload 2 1")
	})
	l.run("next and previous", func(t *testing.T) {
		l.mtx("first 0")
		contains(t, l.mtx("status"), "Data Transfer Element 0:Full (Storage Element 1 Loaded)")
		l.mtx("next 0")
		contains(t, l.mtx("status"), "Data Transfer Element 0:Full (Storage Element 2 Loaded)")
		l.mtx("previous 0")
		l.mtx("unload 1 0")
	})
	l.run("transfer", func(t *testing.T) {
		l.mtx("transfer 1 %d", empty)
		if s := l.inSlots(); s[1] != "" || s[empty] != "TG0001V8" {
			t.Errorf("the slots hold %q", s)
		}
		l.mtx("transfer %d 1", empty)
	})
	l.run("mailslot", func(t *testing.T) {
		l.mtx("transfer 2 %d", slots+1)
		contains(t, l.mtx("status"), fmt.Sprintf("Storage Element %d IMPORT/EXPORT:Full :VolumeTag=TG0002V8", slots+1))
		l.mtx("transfer %d 2", slots+1)
	})
	l.run("refusals", func(t *testing.T) {
		for _, c := range []struct{ command, sense string }{
			{fmt.Sprintf("transfer 1 %d", 2), "Additional Sense Code = 3B"},
			{fmt.Sprintf("load %d 0", empty), "mpty"},
			{"load 99 0", "nvalid"},
		} {
			out, ok := vm.Try(t, "mtx -f "+l.sg+" "+c.command+" 2>&1")
			if ok {
				t.Errorf("mtx %s went well", c.command)
			}
			if !strings.Contains(out, c.sense) && !strings.Contains(out, "Full") {
				t.Errorf("mtx %s: %s, want %q", c.command, out, c.sense)
			}
		}
	})
	// What tgtd does not have.
	l.run("exchange", func(t *testing.T) {
		l.mtx("exchange 1 2 %d", empty)
		s := l.inSlots()
		if s[1] != "" || s[2] != "TG0001V8" || s[empty] != "TG0002V8" {
			t.Errorf("after an exchange the slots hold %q", s)
		}
		l.mtx("transfer 2 1")
		l.mtx("transfer %d 2", empty)
	})
	l.run("position", func(t *testing.T) { l.mtx("position 3") })
	l.run("eepos", func(t *testing.T) {
		l.mtx("eepos 1 transfer 2 %d", slots+1)
		l.mtx("eepos 0 transfer %d 2", slots+1)
	})
	l.run("barcodes", func(t *testing.T) {
		want := []string{"", "TG0001V8", "TG0002V8", "TG0003T8"}
		if got := l.inSlots(); fmt.Sprint(got[:4]) != fmt.Sprint(want) {
			t.Errorf("the slots hold %q", got)
		}
		contains(t, l.mtx("nobarcode status"), "Storage Element 1:Full")
	})
}

// TestChangerCommands is what vm.md names as missing from tgtd's changer, by raw CDBs.
func TestChangerCommands(t *testing.T) {
	l := open(t, "")
	for _, c := range []struct{ name, command string }{
		{"prevent and allow", "sg_prevent --prevent=1 % && sg_prevent --allow %"},
		{"position to element", "sg_raw % 2b 00 00 00 10 00 00 00 00 00"},
		{"initialize element status with range", "sg_raw % 37 00 00 00 00 00 00 00 00 00"},
		{"initialize element status with range, vendor's code", "sg_raw % e7 00 00 00 00 00 00 00 00 00"},
		{"request volume element address", "(printf TG0002V8; head -c 32 /dev/zero) | sg_raw -s 40 % b6 00 00 00 00 05 00 00 00 28 00 00 && sg_raw -r 255 % b5 10 00 00 00 ff 00 00 00 ff 00 00"},
		{"log sense", "sg_logs -a %"},
		{"TapeAlert", "sg_logs -p 0x2e %"},
		{"reserve and release", "sg_raw % 16 00 00 00 00 00 && sg_raw % 17 00 00 00 00 00"},
		{"persistent reservation", "sg_persist -n -o -G -S 0xabc % && sg_persist -n -i -k % | grep 0xabc && sg_persist -n -o -G -K 0xabc -S 0 %"},
		{"operation codes", "sg_opcodes % | grep -i 'move medium'"},
		{"identification", "sg_vpd -p di %"},
		{"read element status with DVCID", "sg_raw -r 4096 % b8 14 00 00 ff ff 01 00 10 00 00 00"},
		{"read element status with CURDATA", "sg_raw -r 4096 % b8 14 00 00 ff ff 02 00 10 00 00 00"},
		{"mode pages", "sg_modes -a %"},
		{"loaderinfo", "loaderinfo -f %"},
	} {
		l.run(c.name, func(t *testing.T) {
			vm.Sh(t, strings.ReplaceAll(c.command, "%", l.sg)+" 2>&1")
		})
	}
	l.run("the drives' serial numbers", func(t *testing.T) {
		// DVCID is what backup programs pair drives by.
		status := vm.Sh(t, "sg_raw -r 4096 -o - "+l.sg+" b8 14 00 00 ff ff 01 00 10 00 00 00 2>/dev/null | strings -n 8 2>/dev/null || sg_raw -r 4096 -o - "+l.sg+" b8 14 00 00 ff ff 01 00 10 00 00 00 2>/dev/null | tr -c '[:alnum:]' '\\n'")
		for _, g := range l.tapeSG {
			serial := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(lastLine(vm.Sh(t, "sg_vpd -p sn "+g))), "Unit serial number:"))
			if serial == "" || !strings.Contains(status, serial) {
				t.Errorf("the serial number %q is not in READ ELEMENT STATUS:\n%s", serial, status)
			}
		}
	})
	if *peer {
		return
	}
	l.run("removal prevented", func(t *testing.T) {
		d := l.load(1, 0)
		d.mt("rewind") // takes the unit attentions
		d.sh("sg_prevent --prevent=1 $G")
		d.fails("mtx -f "+l.sg+" unload 1 0", "Additional Sense Code = 53")
		d.sh("sg_prevent --allow $G")
		d.unload(1)
	})
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
