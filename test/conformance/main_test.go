//go:build system

package conformance

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/test/daemon"
)

const (
	iqn       = "iqn.2026-11.org.targate:disks"
	iqnSecond = "iqn.2026-11.org.targate:disks-again" // the same logical units
	iqnChap   = "iqn.2026-11.org.targate:chap"
	user      = "joe"
	secret    = "correct-horse-1"
	mutual    = "battery-staple-2"
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
}

// A class has its device at LUN 2n, and the same device write protected at 2n+1.
func lunOf(i int) int      { return 2 * i }
func readOnlyOf(i int) int { return 2*i + 1 }

func configuration() string {
	var devices, luns strings.Builder
	for i, c := range classes {
		fmt.Fprintf(&devices, "  - {name: %s, %s, size: %dMiB, block_size: %d}\n", c.name, c.device, c.mib, c.block)
		fmt.Fprintf(&luns, "      %d: %s\n      %d: {device: %s, read_only: true}\n", lunOf(i), c.name, readOnlyOf(i), c.name)
	}
	return "devices:\n" + devices.String() + "targets:\n" +
		"  - iqn: " + iqn + "\n    luns:\n" + luns.String() +
		"  - iqn: " + iqnSecond + "\n    luns:\n" + luns.String() +
		"  - iqn: " + iqnChap + "\n    groups: [{name: chap, initiators: [\"" + chapName + "\"], luns: {0: " + classes[0].name + "}}]\n" +
		"    chap: {users: [{name: " + user + ", secret_file: ./joe.secret}], mutual: {name: tg, secret_file: ./tg.secret}}\n"
}

var target *daemon.Targate

func TestMain(m *testing.M) {
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
