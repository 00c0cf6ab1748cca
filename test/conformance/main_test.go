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
	diskMiB   = 64
)

// class is one kind of device that the suites run on.
type class struct {
	name   string
	device string // keys of its configuration beside name
}

// The classes. Thin is the default of the file handler.
var classes = []class{
	{"file-thin-512", fmt.Sprintf("handler: file, path: ./file-thin-512, size: %dMiB", diskMiB)},
	{"file-thin-4096", fmt.Sprintf("handler: file, path: ./file-thin-4096, size: %dMiB, block_size: 4096", diskMiB)},
	{"file-thick-512", fmt.Sprintf("handler: file, path: ./file-thick-512, size: %dMiB, thin: false", diskMiB)},
	{"mem-512", fmt.Sprintf("handler: mem, size: %dMiB", diskMiB)},
	{"mem-4096", fmt.Sprintf("handler: mem, size: %dMiB, block_size: 4096", diskMiB)},
}

// A class has its device at LUN 2n, and the same device write protected at 2n+1.
func lunOf(i int) int      { return 2 * i }
func readOnlyOf(i int) int { return 2*i + 1 }

func configuration() string {
	var devices, luns strings.Builder
	for i, c := range classes {
		fmt.Fprintf(&devices, "  - {name: %s, %s}\n", c.name, c.device)
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
