//go:build vm

package tape

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/vm"
)

// TestTar writes a tree and compares it, at all blocking factors that people use.
func TestTar(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	files := []struct {
		blocking int // of 512 bytes
		tree     string
	}{{1, "etc/iscsi"}, {20, "etc"}, {128, "etc usr/sbin"}, {512, "etc usr/sbin"}}
	for _, f := range files {
		d.sh(fmt.Sprintf("tar -b %d -C / -cf $T %s", f.blocking, f.tree)) // closing writes a filemark
	}
	d.mt("rewind")
	for i, f := range files {
		d.at(i, 0)
		d.sh(fmt.Sprintf("tar -b %d -C / -df $T", f.blocking))
		d.mt("fsf 1")
	}
	d.mt("rewind")
	d.mt("fsf 2")
	d.sh("mkdir /tmp/x && tar -b 128 -C /tmp/x -xf $T && diff -r --no-dereference /usr/sbin /tmp/x/usr/sbin && rm -r /tmp/x")
	// Rewind on close: the tape is at its beginning afterwards.
	d.mt("rewind")
	d.sh("tar -b 1 -tf $R >/dev/null")
	d.at(0, 0)
	d.unload(big)
}

// TestTarVolumes writes a tree over two cartridges, and reads it from them.
func TestTarVolumes(t *testing.T) {
	l := open(t, "")
	l.blank(small+1, 0).unload(small + 1)
	d := l.blank(small, 0)
	d.uncompressed()
	// The script changes cartridges, as an operator would.
	guestFile(t, "/tmp/next", fmt.Sprintf(`#!/bin/bash
set -e
mt -f %[1]s offline
from=$(mtx -f %[2]s status | sed -n 's/.*Data Transfer Element 0:Full (Storage Element \([0-9]*\) Loaded).*/\1/p')
mtx -f %[2]s unload $from 0
mtx -f %[2]s load $((from == %[3]d ? %[4]d : %[3]d)) 0
mt -f %[1]s rewind
`, l.tapes[0], l.sg, small, small+1))
	d.sh("chmod +x /tmp/next; mkdir /tmp/tree && head -c 60000000 /dev/urandom >/tmp/tree/one && head -c 50000000 /dev/urandom >/tmp/tree/two && cp -a /usr/bin /tmp/tree/bin")
	d.sh("tar -M -b 128 -F /tmp/next -C /tmp -cf $T tree 2>&1")
	contains(t, l.mtx("status"), fmt.Sprintf("Data Transfer Element 0:Full (Storage Element %d Loaded)", small+1))
	d.sh("/tmp/next >/dev/null; tar -M -b 128 -F /tmp/next -C /tmp -df $T 2>&1; rm -r /tmp/tree")
	d.unload(small + 1)
}

// TestEncryption is stenc's way: on, off, and with another key.
func TestEncryption(t *testing.T) {
	// A read without the key is what must fail.
	l := open(t, `Sense Key : 0x7|ASC=0x74`)
	d := l.blank(big, 0)
	vm.Sh(t, "for k in right wrong; do head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n' >/tmp/$k; echo >>/tmp/$k; echo the $k key >>/tmp/$k; done")
	out := d.sh("stenc -f $T --detail 2>&1")
	contains(t, out, "Drive Encryption:")
	d.sh("head -c 65536 /dev/urandom >/tmp/plain; stenc -f $T -e on -k /tmp/right -a 1 2>&1; dd if=/tmp/plain of=$T bs=64k status=none")
	contains(t, d.sh("stenc -f $T --detail 2>&1"), "Drive Encryption:        on", "Drive Input:             Encrypting", "the right key")
	d.mt("rewind")
	d.sh("dd if=$T bs=64k status=none | cmp - /tmp/plain")
	d.mt("rewind")
	contains(t, d.sh("stenc -f $T --detail 2>&1"), "Volume Encryption:       Encrypted and able to decrypt")
	for _, c := range []string{"stenc -f $T -e off", "stenc -f $T -e on -k /tmp/wrong -a 1"} {
		d.sh(c + " 2>&1")
		d.mt("rewind")
		out, ok := d.try("dd if=$T bs=64k count=1 status=none | wc -c")
		if ok || !strings.Contains(out, "Input/output error") || !slices.Contains(strings.Fields(out), "0") {
			t.Errorf("after %q an encrypted block is read: %s", c, out)
		}
	}
	d.sh("stenc -f $T -e mixed -k /tmp/right -a 1 2>&1")
	d.mt("rewind")
	d.sh("dd if=$T bs=64k status=none | cmp - /tmp/plain; stenc -f $T -e off 2>&1")
	d.unload(big)
}

// TestCommands sends the commands of sg3_utils to a drive, a third reading of the standards.
func TestCommands(t *testing.T) {
	l := open(t, "")
	d := l.blank(big, 0)
	d.records(65536, 4)
	for _, c := range []struct {
		command string
		wants   []string
	}{
		{"sg_turs $G", nil},
		{"sg_inq $G", []string{"Vendor identification: IBM", "Product identification: ULT3580-TD8", "Peripheral device type: tape", "RMB=1"}},
		{"sg_inq -d $G", []string{"SSC-", "SPC-"}},
		{"sg_vpd $G", []string{"Unit serial number", "Device identification"}},
		{"for p in $(sg_vpd --all --enumerate 2>/dev/null >/dev/null; sg_vpd -p sv --raw $G | od -An -v -tx1 -j4); do sg_vpd -p 0x$p $G >/dev/null || exit 1; done", nil},
		{"sg_vpd -p di $G", []string{"designator type: NAA", "designator type: T10 vendor identification"}},
		{"sg_logs -a $G", []string{"Supported log pages", "Sequential access device", "TapeAlert", "Volume statistics"}},
		{"sg_logs -p 0x17 $G", []string{"Page valid: 1", "Volume serial number"}},
		{"sg_logs -p 0x2e $G", []string{"Read warning: 0", "Media: 0"}},
		{"sg_logs -p 0x0c $G", []string{"Data bytes received"}},
		{"sg_logs -p 0x1b $G", []string{"ompression ratio"}},
		{"sg_read_attr $G", []string{"Remaining capacity in partition", "Medium manufacturer", "Medium serial number"}},
		{"sg_read_attr --sa=0x01 $G", nil},
		{"sg_modes -a $G", []string{"Data Compression", "Device configuration", "Medium Partition"}},
		{"sg_modes -6 -p 0x0f $G", []string{"Data Compression"}},
		{"sg_opcodes $G", []string{"Read(6)", "Write filemarks(6)", "Locate(16)", "Read position", "Format medium", "Security protocol in"}},
		{"sg_opcodes -t $G", []string{"Task Management Functions supported"}},
		{"sg_luns $G", []string{"Lun list length = 24"}},
		{"sg_requests $G", nil},
		{"sg_senddiag -t $G", nil},
		{"sg_persist -n -i -k $G", nil},
		{"sg_prevent --prevent=1 $G && sg_prevent --allow $G", nil},
		{"sg_timestamp $G", nil},
		{"tapeinfo -f $G", []string{"Product Type: Tape Drive", "Vendor ID: 'IBM", "DataCompCapable: yes", "MaxBlock:"}},
		{"sg_reset -d $G && mt -f $T rewind", nil},
	} {
		l.run(strings.Fields(c.command)[0]+" "+strings.Join(strings.Fields(c.command)[1:], " "), func(t *testing.T) {
			contains(t, d.sh("{ "+c.command+"; } 2>&1"), c.wants...)
		})
	}
	d.unload(big)
}

// TestFigure is the last one.
func TestFigure(t *testing.T) {
	figure.Report(t, "vm-tape: %d of %d tests pass: Linux st, ch and sg, mt, mtx, tar, stenc, sg3_utils, btape and Bacula", opened-failed, opened)
}
