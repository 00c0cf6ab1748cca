//go:build vm

// Package disk runs the Linux initiator and its file systems on disks of targate.
package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/vm"
)

const (
	disks  = "iqn.2026-11.org.targate:disks"
	oneWay = "iqn.2026-11.org.targate:chap"
	mutual = "iqn.2026-11.org.targate:mutual"
	masked = "iqn.2026-11.org.targate:masked"
	coming = "iqn.2026-11.org.targate:coming"

	// The initiators that the groups of masked know.
	alice = "iqn.2026-11.org.targate:alice"
	bob   = "iqn.2026-11.org.targate:bob"

	secret       = "correct-horse-1"
	targetSecret = "battery-staple-2"
)

// config is the configuration; big is the size of the disk that grows, late the LUN map of
// coming.
func config(big, late string) string {
	return fmt.Sprintf(`devices:
  - {name: ext4, handler: file, path: ./ext4.img, size: %s}
  - {name: xfs, handler: file, path: ./xfs.img, size: 512MiB, block_size: 4096}
  - {name: ram, handler: mem, size: 64MiB}
  - {name: late, handler: mem, size: 32MiB}
targets:
  - {iqn: %q, luns: {0: ext4, 1: xfs, 2: {device: ram, read_only: true}, 3: ram}}
  - iqn: %q
    luns: {0: ram}
    chap: {users: [{name: joe, secret_file: ./joe.secret}]}
  - iqn: %q
    luns: {0: ram}
    chap: {users: [{name: joe, secret_file: ./joe.secret}], mutual: {name: tg, secret_file: ./tg.secret}}
  - iqn: %q
    groups:
      - {name: alice, initiators: [%q], luns: {0: ext4, 5: ram}}
      - {name: bob, initiators: ["*:b?b"], luns: {0: ram}}
  - {iqn: %q, luns: {%s}}
`, big, disks, oneWay, mutual, masked, alice, coming, late)
}

const first = "0: ram" // of coming

const portal = vm.HostAddr + ":3260"

var target *daemon.Targate

func TestMain(m *testing.M) {
	vm.Main(m, func() (func() error, error) {
		dir := filepath.Join(vm.Share(), "target")
		err := os.Mkdir(dir, 0o755)
		for name, text := range map[string]string{"joe.secret": secret, "tg.secret": targetSecret} {
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
			}
		}
		if err == nil {
			target, err = daemon.StartTargate(daemon.TargateOptions{Dir: dir, Portal: portal, Config: config("512MiB", first)})
		}
		if err != nil {
			return nil, err
		}
		return target.Stop, nil
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

// stored is how many bytes of disk a file of the target takes.
func stored(t *testing.T, name string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(target.Dir, name), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func session() vm.Session { return vm.Session{Portal: portal, Target: disks} }

func TestDiscovery(t *testing.T) {
	out := vm.Discover(t, portal)
	contains(t, out, portal+",1 "+disks, oneWay, mutual)
	if strings.Contains(out, masked) {
		t.Errorf("a target shows itself to an initiator that may not log in:\n%s", out)
	}
}

func TestLUNs(t *testing.T) {
	s := session()
	s.Login(t)
	for lun := range 4 {
		s.Disk(t, lun)
	}
	out := vm.Sh(t, "lsscsi -s")
	contains(t, out, "disk", "TARGATE", "536MB", "67.1MB")
	if n := strings.Count(out, "disk"); n != 4 {
		t.Errorf("%d disks, want 4", n)
	}
}

func TestFileSystems(t *testing.T) {
	s := session()
	s.Login(t)
	for _, c := range []struct {
		name, make, check string
		lun               int
	}{
		{"ext4", "mkfs.ext4 -q -F", "fsck.ext4 -f -n", 0},
		{"xfs", "mkfs.xfs -q -f", "xfs_repair -n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := s.Disk(t, c.lun)
			vm.Sh(t, c.make+" "+d)
			vm.Sh(t, "mkdir -p /mnt/d && mount "+d+" /mnt/d")
			vm.Sh(t, `cd /mnt/d && dd if=/dev/urandom of=big bs=1M count=96 conv=fsync status=none
				mkdir many && for i in $(seq 300); do echo $i >many/$i; done
				cp -a /usr/bin bin && sync && find . -type f -exec sha256sum {} + >/tmp/sums`)
			vm.Sh(t, "umount /mnt/d && "+c.check+" "+d)
			vm.Sh(t, "echo 3 >/proc/sys/vm/drop_caches && mount "+d+" /mnt/d && cd /mnt/d && sha256sum --quiet -c /tmp/sums")

			image := c.name + ".img"
			full := stored(t, image)
			vm.Sh(t, "rm /mnt/d/big && sync && fstrim -v /mnt/d")
			if trimmed := stored(t, image); full-trimmed < 90<<20 {
				t.Errorf("fstrim freed %d of %d bytes of the file; 96 MiB were deleted", full-trimmed, full)
			}
			vm.Sh(t, "umount /mnt/d && "+c.check+" "+d)
		})
	}
}

func TestDigests(t *testing.T) {
	s := session()
	s.Settings = map[string]string{
		"node.conn[0].iscsi.HeaderDigest": "CRC32C",
		"node.conn[0].iscsi.DataDigest":   "CRC32C",
	}
	s.Login(t)
	contains(t, vm.Sh(t, "iscsiadm -m session -P 2"), "HeaderDigest: CRC32C", "DataDigest: CRC32C")
	vm.Sh(t, `dd if=/dev/urandom of=/tmp/r bs=1M count=16 status=none
		dd if=/tmp/r of=`+s.Disk(t, 3)+` bs=1M oflag=direct status=none
		dd if=`+s.Disk(t, 3)+` bs=64k count=256 iflag=direct status=none | cmp - /tmp/r`)
}

func TestCHAP(t *testing.T) {
	user := func(secret string) map[string]string {
		return map[string]string{"node.session.auth.authmethod": "CHAP",
			"node.session.auth.username": "joe", "node.session.auth.password": secret}
	}
	both := func(secret, targets string) map[string]string {
		m := user(secret)
		m["node.session.auth.username_in"], m["node.session.auth.password_in"] = "tg", targets
		return m
	}
	for _, c := range []struct {
		name, target string
		settings     map[string]string
		ok           bool
	}{
		{"none", oneWay, nil, false},
		{"wrong secret", oneWay, user("wrong-wrong-12"), false},
		{"right secret", oneWay, user(secret), true},
		{"mutual", mutual, both(secret, targetSecret), true},
		{"mutual, wrong secret of the target", mutual, both(secret, "wrong-wrong-12"), false},
		{"mutual, wrong secret", mutual, both("wrong-wrong-12", targetSecret), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := vm.Session{Portal: portal, Target: c.target, Settings: c.settings}
			if ok := s.TryLogin(t); ok != c.ok {
				t.Fatalf("login %v, want %v", ok, c.ok)
			}
			if c.ok {
				vm.Sh(t, "dd if="+s.Disk(t, 0)+" of=/dev/null bs=64k count=16 iflag=direct status=none")
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	s := session()
	s.Login(t)
	d := s.Disk(t, 2)
	if out := vm.Sh(t, "blockdev --getro "+d); strings.TrimSpace(out) != "1" {
		t.Errorf("the kernel takes %s as writable", d)
	}
	if _, ok := vm.Try(t, "dd if=/dev/zero of="+d+" bs=4k count=1 oflag=direct"); ok {
		t.Error("a write went through")
	}
	// Past the kernel's own check: the target's word.
	out, ok := vm.Try(t, "sg_raw -s 512 -i /dev/zero "+s.Device(t, 2, "scsi_generic")+" 2a 00 00 00 00 00 00 00 01 00 2>&1")
	if ok {
		t.Error("a WRITE(10) went through")
	}
	contains(t, out, "Write protected")
	vm.Sh(t, "dd if="+d+" of=/dev/null bs=64k count=4 iflag=direct status=none")
}

func TestGrow(t *testing.T) {
	s := session()
	s.Login(t)
	d := s.Disk(t, 0)
	vm.Sh(t, "mkfs.ext4 -q -F "+d+" && mkdir -p /mnt/g && mount "+d+" /mnt/g && echo here >/mnt/g/file && sync")
	t.Cleanup(func() { vm.Sh(t, "umount /mnt/g && fsck.ext4 -f -n "+d) })

	apply(t, config("768MiB", first))
	vm.Sh(t, "iscsiadm -m session --rescan >/dev/null")
	want := strconv.Itoa(768 << 20)
	vm.Sh(t, "until [ $(blockdev --getsize64 "+d+") = "+want+" ]; do sleep 0.05; done")
	vm.Sh(t, "resize2fs "+d)
	out := vm.Sh(t, "df -B1M --output=size /mnt/g | tail -n 1; cat /mnt/g/file")
	f := strings.Fields(out)
	if mib, err := strconv.Atoi(f[0]); err != nil || mib < 690 || f[1] != "here" {
		t.Errorf("after resize2fs: %s", out)
	}
	vm.Sh(t, "dd if=/dev/zero of=/mnt/g/fill bs=1M count=600 conv=fsync status=none && rm /mnt/g/fill && fstrim /mnt/g")
}

func apply(t *testing.T, config string) {
	t.Helper()
	err := target.Write(config)
	if err == nil {
		err = target.Apply()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestNewLUN: a LUN that is added appears by itself. The target tells REPORTED LUNS DATA
// HAS CHANGED by an Asynchronous Message, and iscsid scans (node.session.scan = auto).
func TestNewLUN(t *testing.T) {
	s := vm.Session{Portal: portal, Target: coming}
	s.Login(t)
	s.Disk(t, 0)
	apply(t, config("768MiB", first+", 1: late"))
	d := s.Disk(t, 1)
	vm.Sh(t, `dd if=/dev/urandom of=/tmp/r bs=1M count=4 status=none
		dd if=/tmp/r of=`+d+` bs=1M oflag=direct status=none
		dd if=`+d+` bs=64k count=64 iflag=direct status=none | cmp - /tmp/r`)

	// One that is taken away again fails at once, and what is left goes on.
	apply(t, config("768MiB", first))
	if _, ok := vm.Try(t, "dd if="+d+" of=/dev/null bs=4k count=1 iflag=direct status=none"); ok {
		t.Error("a LUN that was taken away can be read")
	}
	vm.Sh(t, "dd if="+s.Disk(t, 0)+" of=/dev/null bs=4k count=1 iflag=direct status=none")
	figure.Report(t, "vm: a LUN that was added appeared without a rescan")
}

func TestMasking(t *testing.T) {
	a := vm.Session{Portal: portal, Target: masked, Initiator: alice}
	b := vm.Session{Portal: portal, Target: masked, Initiator: bob}
	a.Login(t)
	b.Login(t)
	size := func(d string) string { return strings.TrimSpace(vm.Sh(t, "blockdev --getsize64 "+d)) }
	ram := strconv.Itoa(64 << 20)
	if got := size(a.Disk(t, 5)); got != ram {
		t.Errorf("alice's LUN 5 has %s bytes", got)
	}
	if got := size(a.Disk(t, 0)); got == ram {
		t.Errorf("alice's LUN 0 has %s bytes, as bob's", got)
	}
	if got := size(b.Disk(t, 0)); got != ram {
		t.Errorf("bob's LUN 0 has %s bytes", got)
	}
	// One logical unit under two numbers: what bob writes, alice reads, and sg_vpd says so.
	vm.Sh(t, "echo from bob | dd of="+b.Disk(t, 0)+" bs=4096 conv=sync oflag=direct status=none")
	contains(t, vm.Sh(t, "dd if="+a.Disk(t, 5)+" bs=4096 count=1 iflag=direct status=none | head -c 9"), "from bob")
	id := func(d string) string { return vm.Sh(t, "sg_vpd -p di --quiet "+d) }
	if x, y := id(a.Disk(t, 5)), id(b.Disk(t, 0)); x != y {
		t.Errorf("one disk with two names:\n%s%s", x, y)
	}
	if s := (vm.Session{Portal: portal, Target: masked}); s.TryLogin(t) {
		t.Error("an initiator of no group logs in")
	}
	figure.Report(t, "vm: Linux %s logs in, formats, trims, grows, authenticates and masks", strings.TrimSpace(vm.Sh(t, "uname -r")))
}
