//go:build vm

// Package tape runs Linux's tape and changer drivers, and the programs that use them, on a
// tape library. With -args -peer it runs them on tgtd's, whose faults it then shows.
package tape

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/vm"
)

// The library: two LTO-8 drives and cartridges in the slots from 1 on.
const (
	iqn    = "iqn.2026-11.org.targate:lib0"
	portal = vm.HostAddr + ":3260"

	slots, mailslots = 16, 2

	// Slots by what their cartridges hold.
	fills = 1  // and 2, where btape looks for them
	small = 3  // to 6: daemon.SmallBytes
	big   = 7  // to 10: more than any test writes
	worm  = 11 // as small
	empty = 13 // to slots; a cleaning cartridge is in the one before
)

const config = `libraries:
  - name: lib0
    model: ibm-3573-tl
    path: ./tapes
    personalities: ./models
    drives: [` + daemon.TestDrive + `, ` + daemon.TestDrive + `]
    slots: 16
    mailslots: 2
    cartridges: ["TG0001V8-TG0002V8", "TG0003T8-TG0006T8", "TG0007L8-TG0010L8", TG0011TY, CLN012L1]
targets:
  - {iqn: "` + iqn + `", library: lib0}
`

var peer = flag.Bool("peer", false, "test tgtd instead of targate")

// server is what the guest logs in to.
var server struct {
	vm.Session
	changer int   // LUN
	drives  []int // LUNs
	targate *daemon.Targate
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == chVerb { // in the guest
		os.Exit(chMain(os.Args[2:]))
	}
	vm.Main(m, func() (func() error, error) {
		dir := filepath.Join(vm.Share(), "target")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		if *peer {
			return startPeer(dir)
		}
		if err := daemon.WriteTapeModels(dir); err != nil {
			return nil, err
		}
		t, err := daemon.StartTargate(daemon.TargateOptions{Dir: dir, Portal: portal, Config: config})
		if err != nil {
			return nil, err
		}
		server.Session = vm.Session{Portal: portal, Target: iqn}
		server.changer, server.drives, server.targate = 0, []int{1, 2}, t
		return t.Stop, nil
	})
}

func startPeer(dir string) (func() error, error) {
	l := &daemon.TgtdLibrary{Drives: 2, Slots: slots, Mailslots: mailslots, MiB: daemon.SmallBytes >> 20}
	for i := 1; i < empty; i++ {
		l.Barcodes = append(l.Barcodes, fmt.Sprintf("TG%04dL8", i))
	}
	t, err := daemon.StartTgtd(daemon.TgtdOptions{Dir: dir, Address: vm.HostAddr, Library: l})
	if err != nil {
		return nil, err
	}
	server.Session = vm.Session{Portal: t.Portal, Target: daemon.TgtdTarget}
	server.changer, server.drives = l.ChangerLUN(), []int{1, 2}
	return t.Stop, nil
}

// library is the library as one test sees it.
type library struct {
	t      *testing.T
	sg     string   // the changer's generic node
	sch    string   // the node of the driver ch
	tapes  []string // the no-rewind nodes
	tapeSG []string
	told   string // what the kernel may say
}

var opened, failed int // tests

// open logs in and finds the nodes; at the end of the test all cartridges go home and the kernel
// must have said nothing that matches complaints but for allowed.
func open(t *testing.T, allowed string) *library {
	t.Helper()
	vm.Try(t, "dmesg -C")
	server.Login(t)
	l := &library{t: t, told: allowed}
	l.find()
	t.Cleanup(func() {
		l.quiet()
		l.home()
		opened++
		if t.Failed() {
			failed++
		}
	})
	return l
}

// find waits for the nodes of the session's logical units.
func (l *library) find() {
	l.t.Helper()
	var script strings.Builder
	script.WriteString(`cd /sys/class/iscsi_session
for s in session*; do [ "$(cat $s/targetname)" = ` + server.Target + ` ] && cd $s/device; done
node() { until n=$(ls target*/*:$1/$2 2>/dev/null | grep -m 1 "$3"); do sleep 0.05; done; echo /dev/$n; }
`)
	fmt.Fprintf(&script, "node %d scsi_generic sg; node %d scsi_changer sch\n", server.changer, server.changer)
	for _, lun := range server.drives {
		fmt.Fprintf(&script, "node %d scsi_tape 'nst[0-9]*$'; node %d scsi_generic sg\n", lun, lun)
	}
	n := strings.Fields(vm.Sh(l.t, script.String()))
	l.sg, l.sch = n[0], n[1]
	for n = n[2:]; len(n) > 0; n = n[2:] {
		l.tapes, l.tapeSG = append(l.tapes, n[0]), append(l.tapeSG, n[1])
	}
}

// uncompressed makes a drive record data as it is, so that a small cartridge holds what it says.
func (d *drive) uncompressed() {
	d.l.t.Helper()
	if !*peer { // there a drive does not compress, nor can it be told not to
		d.mt("compression 0")
	}
}

// complaints are what the kernel says when a device does not behave. "ID/LUN unknown" is none: an
// address in the element descriptors would make ch keep a reference to each drive for ever.
var complaints = regexp.MustCompile(`(?i)(st\d+: |ch\d+\]|sch\d+|scsi|connection\d+).*(error|sense key|asc=|fail|reset|abort|timed? ?out|illegal|invalid)`)

// quiet checks what the kernel said since the last call.
func (l *library) quiet() {
	l.t.Helper()
	allowed := regexp.MustCompile("^$")
	if l.told != "" {
		allowed = regexp.MustCompile(l.told)
	}
	for line := range strings.Lines(vm.Sh(l.t, "dmesg; dmesg -C")) {
		if complaints.MatchString(line) && !allowed.MatchString(line) {
			l.t.Errorf("the kernel complains: %s", line)
		}
	}
}

// home unloads what is in the drives.
func (l *library) home() {
	out, _ := vm.Try(l.t, "mtx -f "+l.sg+" status")
	for _, m := range regexp.MustCompile(`Data Transfer Element (\d+):Full`).FindAllStringSubmatch(out, -1) {
		d, _ := strconv.Atoi(m[1])
		vm.Try(l.t, fmt.Sprintf("mt -f %s unlock; mt -f %s offline; mtx -f %s unload $(mtx -f %s status | sed -n 's/.*Data Transfer Element %d:Full (Storage Element \\([0-9]*\\) Loaded).*/\\1/p') %d",
			l.tapes[d], l.tapes[d], l.sg, l.sg, d, d))
	}
}

// run is a part of the test: what fails in it fails there.
func (l *library) run(name string, f func(t *testing.T)) {
	whole := l.t
	whole.Run(name, func(t *testing.T) {
		l.t = t
		defer func() { l.t = whole }()
		f(t)
	})
}

// mtx runs a command of mtx.
func (l *library) mtx(format string, args ...any) string {
	l.t.Helper()
	return vm.Sh(l.t, "mtx -f "+l.sg+" "+fmt.Sprintf(format, args...)+" 2>&1")
}

// drive is a drive with a cartridge.
type drive struct {
	l      *library
	n      int
	dev    string // nst
	rewind string // st
	sg     string
}

// load puts the cartridge of a slot into a drive.
func (l *library) load(slot, n int) *drive {
	l.t.Helper()
	l.mtx("load %d %d", slot, n)
	return l.drive(n)
}

func (l *library) drive(n int) *drive {
	return &drive{l: l, n: n, dev: l.tapes[n], rewind: strings.Replace(l.tapes[n], "/nst", "/st", 1), sg: l.tapeSG[n]}
}

// unload takes the cartridge home.
func (d *drive) unload(slot int) {
	d.l.t.Helper()
	d.mt("offline")
	d.l.mtx("unload %d %d", slot, d.n)
}

// blank gives an empty tape at its beginning, whatever was on it.
func (l *library) blank(slot, n int) *drive {
	l.t.Helper()
	d := l.load(slot, n)
	d.mt("setblk 0")
	d.mt("rewind")
	if *peer { // no ERASE there: an overwrite is as good
		d.mt("weof 1")
		d.mt("rewind")
		return d
	}
	d.mt("erase 0")
	d.mt("rewind")
	return d
}

// sh runs a shell command; $T is the tape, $G its generic node.
func (d *drive) sh(command string) string {
	d.l.t.Helper()
	return vm.Sh(d.l.t, "T="+d.dev+" G="+d.sg+" R="+d.rewind+"; "+command)
}

func (d *drive) try(command string) (string, bool) {
	d.l.t.Helper()
	return vm.Try(d.l.t, "T="+d.dev+" G="+d.sg+" R="+d.rewind+"; { "+command+"; } 2>&1")
}

func (d *drive) mt(format string, args ...any) string {
	d.l.t.Helper()
	return d.sh("mt -f $T " + fmt.Sprintf(format, args...) + " 2>&1")
}

// at checks what MTIOCGET says of the position: the file, and the block in it, as st counts
// them.
func (d *drive) at(file, block int) {
	d.l.t.Helper()
	out := d.mt("status")
	m := regexp.MustCompile(`File number=(-?\d+), block number=(-?\d+), partition=(-?\d+)`).FindStringSubmatch(out)
	if m == nil {
		d.l.t.Fatalf("mt status: %s", out)
	}
	if want := fmt.Sprint(file, " ", block); m[1]+" "+m[2] != want {
		d.l.t.Errorf("at file and block %s %s, want %s", m[1], m[2], want)
	}
}

// tell checks the drive's own position: what READ POSITION says.
func (d *drive) tell(block int) {
	d.l.t.Helper()
	out := d.mt("tell")
	if !strings.Contains(out, fmt.Sprintf("At block %d.", block)) {
		d.l.t.Errorf("mt tell: %s, want block %d", strings.TrimSpace(out), block)
	}
}

// fails runs a command that must fail, and whose output has all of the texts.
func (d *drive) fails(command string, texts ...string) {
	d.l.t.Helper()
	out, ok := d.try(command)
	if ok {
		d.l.t.Errorf("it went well: %s\n%s", command, out)
	}
	contains(d.l.t, out, texts...)
}

// longLimit is for programs that write and read whole cartridges; they take 20 s on two idle cores.
const longLimit = 4 * time.Minute

// long runs a shell command that may take long, and must go well.
func long(t *testing.T, shell string) string {
	t.Helper()
	out, ok := vm.TryWithin(t, longLimit, shell)
	if !ok {
		t.Fatalf("the command failed: %s", shell)
	}
	return out
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
