//go:build system

package conformance

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
)

const clientLimit = time.Minute

// client runs a program and wants all of the texts in its output.
func client(t *testing.T, wants []string, name string, args ...string) {
	t.Helper()
	out, err := daemon.Run(clientLimit, name, args...)
	if err != nil {
		t.Error(err)
		return
	}
	for _, w := range wants {
		if !strings.Contains(out, w) {
			t.Errorf("%s %s: no %q in\n%s", name, strings.Join(args, " "), w, out)
		}
	}
}

func TestTools(t *testing.T) {
	t.Run("iscsi-ls", func(t *testing.T) {
		wants := []string{"Target:" + iqn + " Portal:" + target.Portal, "Target:" + iqnAgainOf(0)}
		for i := range classes {
			wants = append(wants, fmt.Sprintf("Lun:%-4d Type:DIRECT_ACCESS", lunOf(i)))
		}
		out, err := daemon.Run(clientLimit, "iscsi-ls", "--show-luns", "iscsi://"+target.Portal)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range wants {
			if !strings.Contains(out, w) {
				t.Errorf("no %q in\n%s", w, out)
			}
		}
		if strings.Contains(out, iqnChap) {
			t.Errorf("a target shows itself to an initiator of no group:\n%s", out)
		}
	})
	for i, c := range classes {
		url := target.URL(iqn, lunOf(i))
		t.Run("iscsi-inq "+c.name, func(t *testing.T) {
			client(t, []string{"Peripheral Device Type:DIRECT_ACCESS", "CmdQue:1"}, "iscsi-inq", url)
			client(t, []string{"SUPPORTED_VPD_PAGES"}, "iscsi-inq", "-e", "1", "-c", "0", url)
			client(t, []string{"Designator Type:(3) NAA"}, "iscsi-inq", "-e", "1", "-c", "131", url)
		})
		t.Run("iscsi-readcapacity16 "+c.name, func(t *testing.T) {
			client(t, []string{
				fmt.Sprintf("LOGICAL BLOCK LENGTH IN BYTES:%d", c.block),
				fmt.Sprintf("Total size:%d", c.mib<<20),
			}, "iscsi-readcapacity16", url)
		})
	}
	t.Run("iscsi-perf", func(t *testing.T) {
		client(t, []string{"iops average"}, "iscsi-perf", "-m", "32", "-b", "8", "-t", "2", "-r", target.URL(iqn, 0))
	})
}

func TestCHAPRefuses(t *testing.T) {
	for _, c := range []struct{ name, url string }{
		{"no CHAP", target.URL(iqnChap, 0)},
		{"wrong secret", chapURL(user, "correct-horse-2", mutual)},
		{"wrong user", chapURL("jim", secret, mutual)},
		{"wrong secret of the target", chapURL(user, secret, "battery-staple-3")},
	} {
		if out, err := daemon.Run(clientLimit, "iscsi-inq", "-i", chapName, c.url); err == nil {
			t.Errorf("%s: the login went through:\n%s", c.name, out)
		}
	}
	if _, err := daemon.Run(clientLimit, "iscsi-inq", "-i", chapName, chapURL(user, secret, mutual)); err != nil {
		t.Error(err)
	}
}

func TestQEMU(t *testing.T) {
	for i, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			url := target.URL(iqn, lunOf(i))
			client(t, []string{fmt.Sprintf("virtual size: %d MiB", c.mib)}, "qemu-img", "info", "-f", "raw", url)

			io := func(commands ...string) {
				t.Helper()
				args := []string{"-f", "raw"}
				for _, cmd := range commands {
					args = append(args, "-c", cmd)
				}
				out, err := daemon.Run(clientLimit, "qemu-io", append(args, url)...)
				if err != nil || strings.Contains(out, "verification failed") || strings.Contains(out, "error") {
					t.Errorf("qemu-io %q: %v\n%s", commands, err, out)
				}
			}
			// Reads of what this qemu-io did not write stay below 32 KiB: from there on
			// QEMU 7.2 asks GET LBA STATUS and, with blocks of 4096 bytes, fails an
			// assertion of its own (iscsi_co_block_status).
			io("write -P 0xab 0 4M", "read -P 0xab 0 4M")
			io("write -P 0x11 64k 4k", "read -P 0xab 48k 16k", "read -P 0x11 64k 4k", "read -P 0xab 68k 16k")
			io("write -z 1M 64k", "read -P 0 1M 16k", "read -P 0xab 1088k 16k")
			io("write -z -u 2M 1M", "read -P 0 3056k 16k", "read -P 0xab 3M 16k")
			io("write -f -P 0x77 5M 64k", "flush", "read -P 0x77 5M 64k")
			io("discard 0 4M", "write -P 1 0 4k", "read -P 1 0 4k")
			io("aio_write -P 2 8M 1M", "aio_write -P 3 9M 1M", "aio_write -P 4 10M 1M", "aio_flush",
				"read -P 2 8M 1M", "read -P 3 9M 1M", "read -P 4 10M 1M")

			// A whole disk there and back.
			image := filepath.Join(t.TempDir(), "image")
			b := make([]byte, c.mib<<20)
			rand.NewChaCha8([32]byte{byte(i)}).Read(b[:8<<20]) // the rest is holes
			copy(b[c.mib<<20-9:], "the end.\n")
			if err := os.WriteFile(image, b, 0o600); err != nil {
				t.Fatal(err)
			}
			client(t, nil, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, url)
			client(t, []string{"Images are identical."}, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, url)
			back := image + ".back"
			client(t, nil, "qemu-img", "convert", "-f", "raw", "-O", "raw", url, back)
			if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, b) {
				t.Errorf("the image does not come back: %v", err)
			}
		})
	}
}

// TestFio writes and verifies with fio, whose Debian build reaches iSCSI through
// qemu-nbd.
func TestFio(t *testing.T) {
	for i, c := range classes {
		t.Run(c.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "nbd")
			nbd, err := daemon.Start(exec.Command("qemu-nbd", "--persistent", "--cache=none", "--aio=threads",
				"--format=raw", "--discard=unmap", "--socket="+socket, target.URL(iqn, lunOf(i))))
			if err != nil {
				t.Fatal(err)
			}
			defer nbd.Kill()
			if err := listening(nbd, socket); err != nil {
				t.Fatal(err)
			}
			client(t, []string{"err= 0"}, "fio", "--name=verify", "--ioengine=nbd", "--uri=nbd+unix:///?socket="+socket,
				"--rw=randrw", "--bsrange=4k-256k", "--iodepth=16", fmt.Sprintf("--size=%dM", c.mib),
				"--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--verify_backlog=256", "--randrepeat=1", "--verify_state_save=0")
		})
	}
}

// listening waits until p listens on a Unix socket.
func listening(p *daemon.Process, socket string) error {
	end := time.After(daemon.StartLimit)
	for {
		c, err := net.Dial("unix", socket)
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.Done():
			return fmt.Errorf("qemu-nbd ended: %s", p.Log.Tail(5))
		case <-end:
			return fmt.Errorf("qemu-nbd does not listen: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
