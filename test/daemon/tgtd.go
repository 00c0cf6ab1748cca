package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// TgtdTarget is the name of the one target that StartTgtd serves; its files are
// the LUNs from 1 on, LUN 0 is tgtd's own controller.
const TgtdTarget = "iqn.2026-11.org.targate:peer"

// Tgtd is a running Debian tgtd.
type Tgtd struct {
	*Process
	Portal string
}

// TgtdOptions says how to start tgtd.
type TgtdOptions struct {
	Dir   string   // for its control socket and its log
	Files []string // backing files, served by the rdwr backing store
	// Library, when there are no Files, is served instead.
	Library *TgtdLibrary
	Address string   // to listen on, default the loopback
	Prefix  []string // a command to run it by, such as taskset -c 1
}

// StartTgtd serves files over iSCSI on a free port of the loopback.
func StartTgtd(o TgtdOptions) (*Tgtd, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	// The control port tells instances of tgtd apart; it is part of a socket name.
	control := fmt.Sprint(port % 32768)
	env := append(os.Environ(), "TGT_IPC_SOCKET="+filepath.Join(o.Dir, "tgtd"))
	if o.Address == "" {
		o.Address = "127.0.0.1"
	}
	portal := fmt.Sprintf("%s:%d", o.Address, port)
	args := append(append([]string{}, o.Prefix...), "tgtd", "-f", "-C", control, "--iscsi", "portal="+portal)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	p, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	t := &Tgtd{Process: p, Portal: portal}
	admin := func(args ...string) error {
		c := exec.Command("tgtadm", append([]string{"-C", control, "--lld", "iscsi"}, args...)...)
		c.Env = env
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("tgtadm %v: %w: %s%s", args, err, out, p.Log.Tail(5))
		}
		return nil
	}
	// tgtd says nothing when it is ready: ask until it answers.
	for end := time.Now().Add(StartLimit); ; {
		if err = admin("--op", "show", "--mode", "target"); err == nil {
			break
		}
		select {
		case <-p.Done():
			return nil, fmt.Errorf("tgtd does not start: %s", p.Log.Tail(20))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			p.Kill()
			return nil, err
		}
	}
	steps := [][]string{{"--op", "new", "--mode", "target", "--tid", "1", "-T", TgtdTarget}}
	for i, f := range o.Files {
		steps = append(steps, []string{"--op", "new", "--mode", "logicalunit", "--tid", "1",
			"--lun", fmt.Sprint(i + 1), "--bstype", "rdwr", "-b", f})
	}
	if o.Library != nil {
		more, err := o.Library.steps(o.Dir)
		if err != nil {
			p.Kill()
			return nil, err
		}
		steps = append(steps, more...)
	}
	steps = append(steps, []string{"--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"})
	for _, s := range steps {
		if err := admin(s...); err != nil {
			p.Kill()
			return nil, err
		}
	}
	return t, nil
}

// Stop kills tgtd: on SIGTERM it stays for as long as sessions are open.
func (t *Tgtd) Stop() error {
	t.Kill()
	if t.err == nil {
		return errors.New("tgtd ended by itself")
	}
	return nil
}
