//go:build system

package sam

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
)

// Targets of the server.
const (
	iqn       = "iqn.2026-11.org.targate:sam"
	iqnAgain  = "iqn.2026-11.org.targate:sam-again" // the same logical units
	iqnChap   = "iqn.2026-11.org.targate:sam-chap"
	iqnGroups = "iqn.2026-11.org.targate:sam-groups"
	iqnTwo    = "iqn.2026-11.org.targate:sam-two" // takes two sessions
	iqnNobody = "iqn.2026-11.org.targate:sam-nobody"

	user, userSecret     = "joe", "correct-horse-1"
	target, targetSecret = "tg", "battery-staple-2"
)

// LUNs of iqn and iqnAgain.
const (
	lunMem    = 0
	lunHeld   = 1
	lunFile   = 2
	lunNull   = 3
	lun4K     = 4
	lunRO     = 5 // lunMem's device, read only
	lunBroken = 6 // fails, see brokenFirst
	lunOther  = 7
	lunHeld2  = 8
)

// Blocks of lunBroken.
const (
	brokenRead  = 100
	brokenWrite = 200
	brokenFull  = 300
	brokenGone  = 400
)

// Calls of the held disks on these blocks are kept while their file exists.
const (
	heldFirst = 1000
	heldLast  = 1999
)

// lab is the server that all cases share.
var lab struct {
	*daemon.Targate
	dir    string
	second string // another portal, of target portal group 2
	traces map[uint16]*trace
}

// devices is the part of the configuration that no case changes.
func devices() string {
	held := func(name string) string {
		return fmt.Sprintf("trace to=%s; hold op=read,write,flush,zero,unmap lba=%d..%d while=%s",
			filepath.Join(lab.dir, name+".trace"), heldFirst, heldLast, filepath.Join(lab.dir, name+".hold"))
	}
	broken := fmt.Sprintf("fail op=read lba=%d class=medium; fail op=write lba=%d class=medium; fail op=write,zero lba=%d class=no-space; fail op=read,write lba=%d class=gone",
		brokenRead, brokenWrite, brokenFull, brokenGone)
	return fmt.Sprintf(`alua: {explicit: true, implicit: true, groups: [{tag: 1}, {tag: 2}]}
devices:
  - {name: mem, handler: mem, size: 8MiB}
  - {name: held, handler: mem, size: 8MiB, filter: %q}
  - {name: file, handler: file, path: ./file.img, size: 16MiB}
  - {name: nothing, handler: null, size: 1TiB}
  - {name: mem4k, handler: mem, size: 8MiB, block_size: 4096}
  - {name: broken, handler: mem, size: 8MiB, filter: %q}
  - {name: other, handler: mem, size: 8MiB}
  - {name: held2, handler: mem, size: 8MiB, filter: %q}
  - {name: grows, handler: mem, size: %%s}
`, held("held"), broken, held("held2"))
}

const luns = "{0: mem, 1: held, 2: file, 3: nothing, 4: mem4k, 5: {device: mem, read_only: true}, 6: broken, 7: other, 8: held2}"

// model is what of the configuration a case changes.
type model struct {
	grows  string // size of the disk that grows
	groupA string // LUN map of group a of iqnGroups
	whoA   string // a pattern of who is in it
	two    string // more keys of iqnTwo
}

var firstModel = model{grows: "4MiB", groupA: "{0: other, 3: mem, 300: nothing}", whoA: "iqn.*:group-a*"}

func (m model) String() string {
	return fmt.Sprintf(devices(), m.grows) + "targets:\n" +
		"  - {iqn: \"" + iqn + "\", luns: " + luns + "}\n" +
		"  - {iqn: \"" + iqnAgain + "\", luns: " + luns + "}\n" +
		"  - iqn: " + iqnChap + "\n    luns: {0: mem}\n" +
		"    chap: {users: [{name: " + user + ", secret_file: ./user}], mutual: {name: " + target + ", secret_file: ./target}}\n" +
		"  - iqn: " + iqnGroups + "\n    luns: {0: grows}\n    groups:\n" +
		"      - {name: a, initiators: [\"" + m.whoA + "\"], luns: " + m.groupA + "}\n" +
		"      - {name: b, initiators: [\"iqn.*:group-b?\"], luns: {1: {device: other, read_only: true}}}\n" +
		"      - {name: empty, initiators: [\"iqn.*:group-empty\"], luns: {}}\n" +
		"  - {iqn: \"" + iqnTwo + "\", luns: {0: mem}, max_sessions: 2" + m.two + "}\n" +
		"  - iqn: " + iqnNobody + "\n    groups:\n      - {name: n, initiators: [\"iqn.*:somebody\"], luns: {0: mem}}\n"
}

// apply makes the server follow m.
func (m model) apply(t *testing.T) {
	t.Helper()
	if err := lab.Write(m.String()); err != nil {
		t.Fatal(err)
	}
	if err := lab.Apply(); err != nil {
		t.Fatal(err)
	}
}

func start(dir string) error {
	lab.dir = dir
	lab.traces = map[uint16]*trace{}
	for lun, name := range map[uint16]string{lunHeld: "held", lunHeld2: "held2"} {
		path := filepath.Join(dir, name+".trace")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			return err
		}
		t, err := newTrace(path, filepath.Join(dir, name+".hold"))
		if err != nil {
			return err
		}
		lab.traces[lun] = t
	}
	for name, secret := range map[string]string{"user": userSecret, "target": targetSecret} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			return err
		}
	}
	port, err := daemon.FreePort()
	if err != nil {
		return err
	}
	lab.second = fmt.Sprintf("127.0.0.1:%d", port)
	lab.Targate, err = daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: firstModel.String(),
		More:  []string{fmt.Sprintf("{listen: %q, tag: 2}", lab.second)},
		ISCSI: []string{"time2retain: 20"}})
	return err
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "targate-sam")
	if err != nil {
		log.Fatal(err)
	}
	code := 1
	if err = start(dir); err == nil {
		code = m.Run()
		err = lab.Stop()
	}
	if err != nil {
		log.Print(err)
		code = 1
	}
	if code != 0 && lab.Targate != nil && lab.Process != nil {
		log.Printf("the last lines of targate:\n%s", lab.Log.Tail(40))
	}
	if err := os.RemoveAll(dir); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

// cases and failures count what run was given.
var cases, failures atomic.Int32

// minCases is the least number of cases of the whole suite.
const minCases = 250

// run is t.Run of one case.
func run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		cases.Add(1)
		t.Cleanup(func() {
			if t.Failed() {
				failures.Add(1)
			}
			select {
			case <-lab.Done():
				t.Fatal("the server has ended")
			default:
			}
		})
		f(t)
	})
}

// TestSAM runs every family of cases.
func TestSAM(t *testing.T) {
	begin := time.Now()
	whole := true
	for _, f := range families {
		if !t.Run(strings.ReplaceAll(f.name, " ", "_"), f.run) {
			whole = false
		}
	}
	if whole && cases.Load() < minCases {
		t.Logf("only %d cases ran (a pattern for -run?); the whole suite has at least %d", cases.Load(), minCases)
	}
	figure.Report(t, "conformance-sam: %d cases, %d failed, in %.0f s", cases.Load(), failures.Load(), time.Since(begin).Seconds())
}

// family is the cases of one subject.
type family struct {
	name string // the clause first
	run  func(t *testing.T)
}
