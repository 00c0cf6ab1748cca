package vm

import (
	"fmt"
	"strings"
	"testing"
)

// Session says how the guest logs in to a target. The zero value of all but Target and
// Portal is the initiator's default.
type Session struct {
	Portal, Target string
	// Settings are records of iscsiadm, such as node.session.auth.username.
	Settings map[string]string
	// Initiator is another initiator name than the guest's own.
	Initiator string
}

// start begins the initiator's daemon once.
const start = `pgrep -x iscsid >/dev/null || { modprobe -a iscsi_tcp sd_mod sr_mod st sg ch; iscsid; }
`

// Login logs in; the kernel looks for logical units on its own time (see Device). The
// session ends with the test.
func (s Session) Login(t testing.TB) {
	t.Helper()
	if !s.TryLogin(t) {
		t.Fatalf("no login to %s", s.Target)
	}
}

// TryLogin is Login for a login that may be refused.
func (s Session) TryLogin(t testing.TB) bool {
	t.Helper()
	var b strings.Builder
	b.WriteString("set -e\n" + start)
	node := fmt.Sprintf("iscsiadm -m node -T %s -p %s,1 -I %s", s.Target, s.Portal, s.iface())
	if s.Initiator != "" {
		fmt.Fprintf(&b, "iscsiadm -m iface -I %[1]s -o new >/dev/null 2>&1 || true\n"+
			"iscsiadm -m iface -I %[1]s -o update -n iface.initiatorname -v %[2]s >/dev/null\n"+
			"iscsiadm -m iface -I %[1]s -o update -n iface.transport_name -v tcp >/dev/null\n", s.iface(), s.Initiator)
	}
	fmt.Fprintf(&b, "%s -o new >/dev/null\n", node)
	for k, v := range s.Settings {
		fmt.Fprintf(&b, "%s -o update -n %s -v %s\n", node, k, v)
	}
	fmt.Fprintf(&b, "%s -l\n", node)
	_, ok := Try(t, b.String())
	t.Cleanup(func() {
		Try(t, node+" -u >/dev/null 2>&1; "+node+" -o delete")
	})
	return ok
}

func (s Session) iface() string {
	if s.Initiator == "" {
		return "default"
	}
	_, name, _ := strings.Cut(s.Initiator, ":")
	return name
}

// Discover gives the lines of iscsiadm for what a portal shows: "address,tag name".
func Discover(t testing.TB, portal string) string {
	t.Helper()
	out := Sh(t, "set -e\n"+start+"iscsiadm -m discovery -t st -p "+portal)
	Sh(t, "iscsiadm -m node -o delete")
	return out
}

// Device gives the path of the block, tape or other node that the kernel made for a
// logical unit of the session; class is the directory in sysfs: block, scsi_tape,
// scsi_changer, scsi_generic. It waits until there is one.
func (s Session) Device(t testing.TB, lun int, class string) string {
	t.Helper()
	name := s.Initiator
	if name == "" {
		name = "$(sed -n s/InitiatorName=//p /etc/iscsi/initiatorname.iscsi)"
	}
	out := Sh(t, fmt.Sprintf(`find_it() {
	for s in /sys/class/iscsi_session/session*; do
		[ "$(cat $s/targetname)" = %s ] && [ "$(cat $s/initiatorname)" = "%s" ] || continue
		ls $s/device/target*/*:%d/%s 2>/dev/null | head -n 1
	done
}
until n=$(find_it) && [ -n "$n" ]; do sleep 0.05; done
echo /dev/$n`, s.Target, name, lun, class))
	return strings.TrimSpace(out)
}

// Disk is Device for the block device of a disk.
func (s Session) Disk(t testing.TB, lun int) string {
	t.Helper()
	return s.Device(t, lun, "block")
}
