//go:build system

package conformance

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
)

const (
	iqn     = "iqn.2026-11.org.targate:disks"
	iqnChap = "iqn.2026-11.org.targate:chap"
	iqnSlow = "iqn.2026-11.org.targate:slow" // LUN 0 takes seconds to be overwritten
	user    = "joe"
	secret  = "correct-horse-1"
	mutual  = "battery-staple-2"
)

// class is one kind of device that the suites run on.
type class struct {
	name   string
	block  int    // bytes
	mib    int    // of capacity
	device string // more keys of its configuration
}

// The classes. Thin is the default of the file handler. Disks with blocks of 512 bytes
// have less than 65536 of them, since WriteSame16.Unmap would write that many with one
// command, whatever MAXIMUM TRANSFER LENGTH says; Read10.Async wants 4096 and more.
var classes = []class{
	{"file-thin-512", 512, 31, "handler: file, path: ./file-thin-512"},
	{"file-thin-4096", 4096, 64, "handler: file, path: ./file-thin-4096"},
	{"file-thick-512", 512, 31, "handler: file, path: ./file-thick-512, thin: false"},
	{"mem-512", 512, 31, "handler: mem"},
	{"mem-4096", 4096, 64, "handler: mem"},
	// With protection information of each type.
	{"mem-512-pi1", 512, 31, "handler: mem, protection: 1"},
	{"file-thin-4096-pi2", 4096, 64, "handler: file, path: ./file-thin-4096-pi2, protection: 2"},
	{"file-thin-512-pi3", 512, 31, "handler: file, path: ./file-thin-512-pi3, protection: 3"},
}

// lunOf is where iqn has the device of a class.
func lunOf(i int) int { return i }

// iqnOf is the target of a class alone, which tests may reset: its device is LUN 0, and
// write protected LUN 1. iqnAgainOf has the same logical units.
func iqnOf(i int) string      { return "iqn.2026-11.org.targate:" + classes[i].name }
func iqnAgainOf(i int) string { return iqnOf(i) + "-again" }

// sideBySide is how many classes are tested at a time.
const sideBySide = "4"

func configuration() string {
	var devices, luns, targets strings.Builder
	for i, c := range classes {
		fmt.Fprintf(&devices, "  - {name: %s, %s, size: %dMiB, block_size: %d}\n", c.name, c.device, c.mib, c.block)
		fmt.Fprintf(&luns, "      %d: %s\n", lunOf(i), c.name)
		for _, iqn := range []string{iqnOf(i), iqnAgainOf(i)} {
			fmt.Fprintf(&targets, "  - {iqn: %q, luns: {0: %[2]s, 1: {device: %[2]s, read_only: true}}}\n", iqn, c.name)
		}
	}
	return "devices:\n" + devices.String() +
		"  - {name: slow, handler: mem, size: 4MiB, filter: \"delay op=write,zero time=300ms\"}\n" + "targets:\n" +
		"  - {iqn: \"" + iqnSlow + "\", luns: {0: slow}}\n" +
		"  - iqn: " + iqn + "\n    luns:\n" + luns.String() +
		targets.String() +
		"  - iqn: " + iqnChap + "\n    groups: [{name: chap, initiators: [\"" + chapName + "\"], luns: {0: " + classes[0].name + "}}]\n" +
		"    chap: {users: [{name: " + user + ", secret_file: ./joe.secret}], mutual: {name: tg, secret_file: ./tg.secret}}\n"
}

var target *daemon.Targate

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", sideBySide); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "targate-conformance-")
	if err != nil {
		log.Fatal(err)
	}
	code := 1
	for name, text := range map[string]string{"joe.secret": secret, "tg.secret": mutual} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
	}
	if err == nil {
		target, err = daemon.StartTargate(daemon.TargateOptions{Dir: dir, Config: configuration()})
	}
	if err == nil {
		code = m.Run()
		err = target.Stop()
	}
	if err != nil {
		log.Print(err)
		code = 1
	}
	if code != 0 && target != nil && target.Process != nil {
		log.Printf("the last lines of targate:\n%s", target.Log.Tail(40))
	}
	if err := os.RemoveAll(dir); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}
