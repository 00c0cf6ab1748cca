//go:build vm

// Package multipath runs the Linux initiator with two ways to one disk: multipath,
// target port groups, the fencing of a cluster, resets and a restart under load.
package multipath

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/vm"
)

const (
	iqn = "iqn.2026-11.org.targate:shared"

	// The portals are the target port groups 1 and 2.
	leftAddr, rightAddr = "10.0.2.3", "10.0.2.4"
	left, right         = leftAddr + ":3260", rightAddr + ":3260"

	// The nodes of a cluster.
	alice = "iqn.2026-11.org.targate:alice"
	bob   = "iqn.2026-11.org.targate:bob"

	config = `devices:
  - {name: shared, handler: file, path: ./shared.img, size: 64MiB}
  - {name: other, handler: file, path: ./other.img, size: 64MiB}
targets:
  - {iqn: "` + iqn + `", luns: {0: shared, 1: other}}
alua:
  explicit: true
  implicit: true
  groups: [{tag: 1}, {tag: 2, state: active/non-optimized}]
`
)

var target *daemon.Targate

// options are how target is started, again and again.
func options() daemon.TargateOptions {
	return daemon.TargateOptions{Dir: filepath.Join(vm.Share(), "target"), Portal: left,
		More: []string{fmt.Sprintf("{listen: %q, tag: 2}", right)}, Config: config}
}

func TestMain(m *testing.M) {
	vm.Main(m, func() (func() error, error) {
		_, err := vm.Host("ip addr add " + leftAddr + "/24 dev host; ip addr add " + rightAddr + "/24 dev host")
		if err == nil {
			err = os.Mkdir(options().Dir, 0o755)
		}
		if err == nil {
			target, err = daemon.StartTargate(options())
		}
		if err != nil {
			return nil, err
		}
		return func() error { return target.Stop() }, nil
	})
}

// contains fails the test unless out has all of the texts.
func contains(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(out, s) {
			t.Errorf("no %q in\n%s", s, out)
		}
	}
}

// The initiator's settings.
var (
	// quick notices that a path is cut, and gives it up, within seconds. An answer that
	// is late by less, on a busy machine, is no cut.
	quick = map[string]string{
		"node.session.timeo.replacement_timeout": "1",
		"node.conn[0].timeo.noop_out_interval":   "1",
		"node.conn[0].timeo.noop_out_timeout":    "4",
	}
	// patient waits for the server.
	patient = map[string]string{"node.session.timeo.replacement_timeout": "40"}
)

// path is one session's nodes.
type path struct {
	disk, generic string
	session       vm.Session
}

// login logs in by a portal.
func login(t *testing.T, initiator, portal string, settings map[string]string) path {
	t.Helper()
	s := vm.Session{Portal: portal, Target: iqn, Initiator: initiator, Settings: settings}
	s.Login(t)
	return path{s.Disk(t, 0), s.Device(t, 0, "scsi_generic"), s}
}

// paths are one by each portal; they come as two initiator names: Login tells sessions by these.
func paths(t *testing.T, settings map[string]string) (l, r path) {
	t.Helper()
	return login(t, alice, left, settings), login(t, bob, right, settings)
}

// work has fio write blocks all over dev, several at a time, and verify them, over and over until
// /tmp/stop is there; each round adds a line to /tmp/rounds.
func work(t *testing.T, dev string) (end func()) {
	t.Helper()
	vm.Sh(t, `rm -f /tmp/stop /tmp/rounds /tmp/result; touch /tmp/rounds
		(n=0
		while [ ! -e /tmp/stop ]; do
			n=$((n+1))
			fio --name=work --filename=`+dev+` --size=2M --rw=randwrite --bs=16k --iodepth=8 --ioengine=libaio --direct=1 \
				--verify=crc32c --verify_fatal=1 --randseed=$n --thread --output=/tmp/fio.log || { cat /tmp/fio.log; break; }
			echo $n >>/tmp/rounds
		done
		[ -e /tmp/stop ] && echo good >/tmp/result || echo bad >/tmp/result) >/tmp/work.log 2>&1 </dev/null &`)
	rounds(t)
	return func() {
		t.Helper()
		out := vm.Sh(t, `touch /tmp/stop; until [ -s /tmp/result ]; do sleep 0.05; done; cat /tmp/result /tmp/work.log; wc -l </tmp/rounds`)
		if !strings.HasPrefix(out, "good") {
			t.Errorf("the work failed:\n%s\n%s", out, vm.Sh(t, "dmesg | tail -n 30"))
		}
	}
}

// rounds waits for two more rounds of work: one that began before, and a whole one.
func rounds(t *testing.T) {
	t.Helper()
	vm.Sh(t, `n=$(($(wc -l </tmp/rounds)+2))
		until [ $(wc -l </tmp/rounds) -ge $n ]; do [ -s /tmp/result ] && { cat /tmp/work.log; exit 1; }; sleep 0.05; done`)
}

// TestMultipath cuts each of two paths under work, and brings it back.
func TestMultipath(t *testing.T) {
	l, r := paths(t, quick)
	vm.Sh(t, fmt.Sprintf(`modprobe -a dm-multipath dm-round-robin
		number() { cat /sys/block/${1#/dev/}/dev; }
		echo "0 $(blockdev --getsz %[1]s) multipath 1 queue_if_no_path 0 2 1 round-robin 0 1 1 $(number %[1]s) 1 round-robin 0 1 1 $(number %[2]s) 1" |
			dmsetup create mp
		dmsetup mknodes`, l.disk, r.disk))
	t.Cleanup(func() { vm.Sh(t, "dmsetup remove --retry mp") })
	end := work(t, "/dev/mapper/mp")
	for _, cut := range []struct{ address, disk string }{{leftAddr, l.disk}, {rightAddr, r.disk}} {
		number := strings.TrimSpace(vm.Sh(t, "cat /sys/block/"+filepath.Base(cut.disk)+"/dev"))
		if _, err := vm.Host("ip addr del " + cut.address + "/24 dev host"); err != nil {
			t.Fatal(err)
		}
		vm.Sh(t, "until dmsetup status mp | grep -q ' "+number+" F '; do sleep 0.05; done")
		rounds(t)
		if _, err := vm.Host("ip addr add " + cut.address + "/24 dev host"); err != nil {
			t.Fatal(err)
		}
		// What multipathd does: the path is good again when it answers.
		vm.Sh(t, "until sg_turs "+cut.disk+" 2>/dev/null; do sleep 0.05; done; dmsetup message mp 0 reinstate_path "+number)
		rounds(t)
	}
	end()
	figure.Report(t, "vm: dm-multipath lost each of two paths in turn under verified I/O, without an error")
}

// TestGroups changes the states of target port groups from both sides.
func TestGroups(t *testing.T) {
	l, r := paths(t, patient)
	contains(t, vm.Sh(t, "sg_inq "+l.generic), "TPGS=3")
	contains(t, vm.Sh(t, "sg_vpd -p di "+r.generic), "Target port group: 0x2")
	contains(t, vm.Sh(t, "sg_rtpg -d "+l.generic), "target port group id : 0x1", "target port group id : 0x2",
		"active/optimized", "active/non optimized")
	clear := "until sg_turs " + r.generic + "; do :; done"
	vm.Sh(t, clear)

	vm.Sh(t, "sg_stpg --tp=2 --state=s "+l.generic)
	out, ok := vm.Try(t, "sg_turs -v "+r.generic+" 2>&1")
	if ok {
		t.Error("the other path is told nothing")
	}
	contains(t, out, "symmetric access state changed")
	contains(t, vm.Sh(t, "sg_rtpg -d "+r.generic), "standby")
	if out, ok := vm.Try(t, "sg_dd if="+r.generic+" of=/dev/null bs=512 count=1 2>&1"); ok {
		t.Errorf("a read through a group in standby:\n%s", out)
	}
	vm.Sh(t, "sg_dd if="+l.generic+" of=/dev/null bs=512 count=1")

	program(t, "alua", "set", "2", "active/non-optimized")
	out, ok = vm.Try(t, "sg_turs -v "+r.generic+" 2>&1")
	if ok {
		t.Error("a path is not told of an implicit transition")
	}
	contains(t, out, "symmetric access state changed")
	vm.Sh(t, clear+"; sg_dd if="+r.generic+" of=/dev/null bs=512 count=1")
}

// program runs targate on the host.
func program(t *testing.T, args ...string) {
	t.Helper()
	bin, err := daemon.Binary()
	if err == nil {
		_, err = daemon.Run(daemon.StartLimit, bin, append(args, "--socket", filepath.Join(target.Dir, "targate.sock"))...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFencing is what the fence agent of a two-node cluster does.
func TestFencing(t *testing.T) {
	a, b := paths(t, patient)
	write := func(p path) bool {
		_, ok := vm.Try(t, "dd if=/dev/zero of="+p.disk+" bs=4k count=1 oflag=direct conv=notrunc status=none")
		return ok
	}
	pr := func(p path, args string) {
		t.Helper()
		vm.Sh(t, "sg_persist -n "+args+" "+p.generic)
	}
	vm.Sh(t, "for d in "+a.generic+" "+b.generic+"; do until sg_turs $d; do :; done; done")
	pr(a, "--out --register --param-sark=0xa")
	pr(b, "--out --register --param-sark=0xb")
	pr(a, "--out --reserve --param-rk=0xa --prout-type=5") // write exclusive, registrants only
	if !write(a) || !write(b) {
		t.Fatal("a registered node cannot write")
	}
	pr(b, "--out --preempt-abort --param-rk=0xb --param-sark=0xa --prout-type=5")
	if write(a) {
		t.Error("the fenced node writes")
	}
	if !write(b) {
		t.Error("the node that is left cannot write")
	}
	out := vm.Sh(t, "sg_persist -n --in --read-keys "+b.generic+"; sg_persist -n --in --read-reservation "+b.generic)
	contains(t, out, "0xb", "Write Exclusive, registrants only")
	if strings.Contains(out, "0xa\n") {
		t.Errorf("the key of the fenced node is there:\n%s", out)
	}
	pr(b, "--out --clear --param-rk=0xb")
	if !write(b) {
		t.Error("no node can write after CLEAR")
	}
}

// TestResets resets the logical unit and the target under work.
func TestResets(t *testing.T) {
	p := login(t, alice, left, patient)
	end := work(t, p.disk)
	for range 2 {
		vm.Sh(t, "sg_reset -d "+p.generic)
		rounds(t)
		vm.Sh(t, "sg_reset -t "+p.generic)
		rounds(t)
	}
	end()
}

// TestCopy has the target copy from one logical unit to another.
func TestCopy(t *testing.T) {
	p := login(t, alice, left, patient)
	vm.Sh(t, fmt.Sprintf(`dd if=/dev/urandom of=/tmp/data bs=1M count=8 status=none
		dd if=/tmp/data of=%[1]s bs=1M oflag=direct status=none
		sg_xcopy if=%[2]s of=%[3]s bs=512 count=16384 seek=2048 2>&1
		dd if=%[4]s bs=1M skip=1 count=8 iflag=direct status=none | cmp - /tmp/data`,
		p.disk, p.generic, p.session.Device(t, 1, "scsi_generic"), p.session.Disk(t, 1)))
}

// TestRestart stops and starts the server under work: the initiator waits and goes on.
func TestRestart(t *testing.T) {
	p := login(t, alice, left, patient)
	end := work(t, p.disk)
	for range 2 {
		err := target.Stop()
		if err == nil {
			target, err = daemon.StartTargate(options())
		}
		if err != nil {
			t.Fatal(err)
		}
		rounds(t)
	}
	end()
	figure.Report(t, "vm: two restarts of the server under verified I/O, without an error")
}
