//go:build vm

package tape

import (
	"fmt"
	"strings"
	"testing"
)

// records writes files of records, "3 4" for one of three and one of four, of size bytes each.
func (d *drive) records(size int, files ...int) {
	d.l.t.Helper()
	for _, n := range files {
		d.sh(fmt.Sprintf("dd if=/dev/urandom of=$T bs=%d count=%d status=none", size, n)) // closing writes the filemark
	}
}

// TestMt is every verb of mt, with the position that it leaves.
func TestMt(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	contains(t, d.mt("status"), "BOT", "ONLINE")
	if !*peer {
		contains(t, d.mt("status"), "LTO-8")
	}
	d.records(1024, 3, 4, 5) // files 0, 1, 2 with blocks 0-2, 4-7, 9-13 and filemarks 3, 8, 14
	d.at(3, 0)

	l.run("spacing", func(t *testing.T) {
		for _, s := range []struct {
			verb        string
			file, block int
		}{
			{"rewind", 0, 0},
			{"fsf 1", 1, 0}, {"fsf 2", 3, 0}, {"bsf 1", 2, -1}, {"bsfm 1", 2, 0}, {"rewind", 0, 0},
			{"fsr 2", 0, 2}, {"bsr 1", 0, 1}, {"fsf 1", 1, 0}, {"fsr 4", 1, 4}, {"bsr 3", 1, 1},
			{"asf 2", 2, 0}, {"asf 0", 0, 0}, {"fsfm 1", 0, -1}, {"eod", 3, -1}, {"rewind", 0, 0}, {"seod", 3, -1}, {"rewind", 0, 0}, {"retension", 0, 0},
		} {
			d.mt("%s", s.verb)
			d.at(s.file, s.block)
		}
	})
	l.run("tell and seek", func(t *testing.T) {
		d.mt("rewind")
		d.tell(0)
		d.mt("eod")
		d.tell(15)
		d.mt("seek 9")
		d.tell(9)
		d.mt("fsf 1")
		d.tell(15)
		d.mt("seek 0")
		d.tell(0)
	})
	l.run("filemarks", func(t *testing.T) {
		d.mt("eod")
		d.mt("weof 2")
		d.at(5, 0)
		d.mt("eof 1")
		d.at(6, 0)
		d.mt("bsf 2")
		d.mt("eof 1")
		d.tell(17) // an overwrite: what followed is gone
		d.mt("eod")
		d.tell(17)
	})
	l.run("block size", func(t *testing.T) {
		d.mt("setblk 4096")
		contains(t, d.mt("status"), "Tape block size 4096 bytes")
		d.mt("rewind")
		d.records(8192, 2) // four blocks of 4096
		d.tell(5)
		d.mt("setblk 0")
		contains(t, d.mt("status"), "Tape block size 0 bytes")
		d.mt("rewind")
		d.fails("dd if=$T of=/dev/null bs=1024 count=1", "annot allocate memory") // a block that is longer
		d.mt("rewind")
		out := d.sh("dd if=$T of=/dev/null bs=64k count=1 2>&1")
		contains(t, out, "4096 bytes")
	})
	l.run("settings", func(t *testing.T) {
		for _, verb := range []string{"compression 1", "compression 0", "compression 1", "setdensity 0x5e", "setdensity 0", "drvbuffer 1",
			"lock", "unlock", "densities", "stshowoptions", "stsetoptions scsi2logical", "tell", "stclearoptions scsi2logical", "defblksize 0", "sttimeout 900", "stlongtimeout 14000"} {
			d.mt("%s", verb)
		}
	})
	l.run("lock", func(t *testing.T) {
		d.mt("lock")
		d.fails(fmt.Sprintf("mtx -f %s unload %d 0", l.sg, big), "53")
		d.mt("unlock")
	})
	l.run("load and offline", func(t *testing.T) {
		d.mt("offline")
		if out := d.mt("status"); strings.Contains(out, "ONLINE") {
			t.Errorf("on line after mt offline: %s", out)
		}
		d.mt("load")
		d.mt("rewind") // the one who loads is told of no new medium
		d.at(0, 0)
		contains(t, d.mt("status"), "BOT", "ONLINE")
	})
	l.run("erase", func(t *testing.T) {
		for _, long := range []int{0, 1} {
			d.mt("rewind")
			d.records(1024, 2, 2)
			d.mt("rewind")
			d.mt("fsf 1")
			d.mt("erase %d", long)
			d.mt("rewind")
			d.mt("eod")
			d.at(1, -1)
			d.tell(3)
		}
	})
	d.mt("rewind")
	d.unload(big)
}

// TestPartitions makes two partitions with the driver's own ioctl, and moves between them.
func TestPartitions(t *testing.T) {
	l := open(t, "")
	d := l.blank(small, 0)
	d.mt("stsetoptions can-partitions")
	d.mt("mkpartition 10") // MB of partition 1
	d.mt("rewind")
	d.sh("echo zero | dd of=$T bs=512 conv=sync status=none")
	d.mt("setpartition 1")
	d.sh("echo one | dd of=$T bs=512 conv=sync status=none")
	d.mt("partseek 0 0")
	contains(t, d.sh("dd if=$T bs=512 count=1 status=none"), "zero")
	d.mt("setpartition 1")
	d.mt("rewind")
	contains(t, d.sh("dd if=$T bs=512 count=1 status=none"), "one")
	contains(t, d.mt("status"), "partition=1")
	d.mt("setpartition 0")
	d.mt("rewind")
	d.mt("mkpartition 0") // one again
	d.mt("rewind")
	d.fails("dd if=$T of=/dev/null bs=512 count=1")
	d.mt("stclearoptions can-partitions")
	d.unload(small)
}

// TestBlocks round trips blocks of all sizes that a user may choose.
func TestBlocks(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	var script strings.Builder
	sizes := []int{1, 2, 511, 512, 513, 4095, 4096, 10240, 64512, 65536, 126976, 262144, 524288, 1048576}
	for i, n := range sizes {
		fmt.Fprintf(&script, "head -c %d /dev/urandom >/tmp/b%d && dd if=/tmp/b%d of=$T bs=%d count=1 status=none\n", n, i, i, n)
	}
	d.sh("set -e\n" + script.String() + "mt -f $T rewind\n")
	script.Reset()
	for i := range sizes {
		fmt.Fprintf(&script, "dd if=$T bs=2M status=none | cmp - /tmp/b%d\n", i)
	}
	d.sh("set -e\n" + script.String() + "rm /tmp/b*")
	d.unload(big)
}

// TestWORM is a cartridge that is written only once.
func TestWORM(t *testing.T) {
	if *peer {
		t.Skip("tgtd has no WORM")
	}
	l := open(t, `Sense Key : 0x7|Sense Key : Data Protect|ASC=0x30|WORM`)
	d := l.load(worm, 0)
	contains(t, d.mt("status"), "ONLINE")
	d.records(1024, 3)
	d.mt("rewind")
	// st writes at the beginning; the drive keeps what is there.
	d.fails("dd if=/dev/zero of=$T bs=1024 count=1")
	d.mt("rewind")
	d.fails("mt -f $T erase")
	d.mt("eod")
	d.records(1024, 2)
	d.mt("rewind")
	d.mt("eod")
	d.at(2, -1)
	d.unload(worm)
}
