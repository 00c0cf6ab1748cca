package vm

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
)

const (
	// HostAddr is the host's address as the guest sees it, GuestAddr the guest's.
	HostAddr  = "10.0.2.2"
	GuestAddr = "10.0.2.15"

	// innerVariable marks the process in the namespaces; its value is the image.
	innerVariable = "TARGATE_VM_IMAGE"

	bootLimit  = 60 * time.Second // it takes 2 s, 5 on a busy machine
	shellLimit = 60 * time.Second
)

var (
	the   *guest
	share string
)

// Share is a directory of the host that is /host in the guest.
func Share() string { return share }

// Main is the body of a TestMain. setup runs on the host, in the namespaces, while the
// guest boots: it starts what the guest will talk to, on HostAddr. What it returns is
// called after the tests.
func Main(m *testing.M, setup func() (stop func() error, err error)) {
	if addr := os.Getenv(agentVariable); addr != "" {
		if err := agent(addr); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if os.Getenv(innerVariable) == "" {
		code, err := outer()
		if err != nil {
			fmt.Fprintln(os.Stderr, "vm:", err)
			code = 1
		}
		os.Exit(code)
	}
	code, err := inner(m, setup)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = 1
	}
	os.Exit(code) // as process 1 of the namespace: every straggler ends with us
}

// outer runs this binary again in namespaces of its own.
func outer() (code int, err error) {
	out, err := exec.Command(filepath.Join(daemon.Root(), "test", "vm", "image.sh")).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		return 1, fmt.Errorf("building the guest: %w", err)
	}
	// Build before the network is gone.
	bin, err := daemon.Binary()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), innerVariable+"="+strings.TrimSpace(string(out)), "TARGATE="+bin)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// inner sets up the network, boots the guest, and runs the tests.
func inner(m *testing.M, setup func() (func() error, error)) (code int, err error) {
	begin := time.Now()
	if share, err = os.MkdirTemp("", "targate-vm-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(share) // the rest of the run
	if _, err := Host(`mount -t proc proc /proc
		ip link set lo up
		ip link add host type veth peer name guest
		ip addr add ` + HostAddr + `/24 dev host
		ip link set host up
		ip link set guest up`); err != nil {
		return 1, err
	}
	l, err := net.Listen("tcp", HostAddr+":0")
	if err != nil {
		return 1, err
	}
	uml, err := boot(l.Addr().String())
	if err != nil {
		return 1, err
	}
	stop, err := setup()
	if err == nil {
		var c net.Conn
		if c, err = accept(l, uml); err == nil {
			the = newGuest(c)
			fmt.Printf("vm: guest and servers ready in %.1f s\n", time.Since(begin).Seconds())
			code = m.Run()
			err = c.Close() // the agent ends, and the guest with it
			select {
			case <-uml.Done():
			case <-time.After(10 * time.Second):
				err = errors.Join(err, errors.New("the guest does not end"))
			}
		}
	}
	uml.Kill()
	if stop != nil {
		err = errors.Join(err, stop())
	}
	return code, err
}

// boot starts the guest, whose agent will call addr.
func boot(addr string) (*daemon.Process, error) {
	image := os.Getenv(innerVariable)
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(share, "agent"), exe, 0o755)
	}
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(image, "linux.uml"), "mem=512M",
		"ubd0r="+filepath.Join(image, "root.img"), "root=/dev/ubda", "ro", "rootfstype=ext4", "init=/init",
		"con0=null,fd:2", "con=null", "ssl=null", "umid=guest", "uml_dir="+share+"/",
		"vec0:transport=raw,ifname=guest,depth=128,gro=1", "quiet", "loglevel=4", "panic=-1",
		"vm.share="+share, "vm.address="+GuestAddr, "vm.agent="+addr)
	// user-mode-linux keeps the guest's memory in a file in TMPDIR.
	cmd.Env = append(os.Environ(), "LD_PRELOAD="+filepath.Join(image, "umlshim.so"), "TMPDIR=/dev/shm")
	return daemon.Start(cmd)
}

// accept waits for the agent.
func accept(l net.Listener, uml *daemon.Process) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	ch := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		ch <- result{c, err}
	}()
	select {
	case r := <-ch:
		return r.c, r.err
	case <-uml.Done():
	case <-time.After(bootLimit):
	}
	l.Close() // ends the goroutine
	return nil, fmt.Errorf("the guest does not boot:\n%s", strings.ReplaceAll(uml.Log.Tail(40), "\r", ""))
}

// Host runs a shell command on the host, in the namespaces.
func Host(shell string) (string, error) {
	return daemon.Run(shellLimit, "bash", "-euo", "pipefail", "-c", shell)
}

// Sh runs a shell command in the guest and fails the test when it fails.
func Sh(t testing.TB, shell string) string {
	t.Helper()
	out, ok := Try(t, shell)
	if !ok {
		t.Fatalf("the command failed: %s\n%s", shell, out)
	}
	return out
}

// Try runs a shell command in the guest and tells whether it went well.
func Try(t testing.TB, shell string) (string, bool) {
	t.Helper()
	return TryWithin(t, shellLimit, shell)
}

// TryWithin is Try for a command that may take longer than most.
func TryWithin(t testing.TB, limit time.Duration, shell string) (string, bool) {
	t.Helper()
	begin := time.Now()
	r, err := the.run(shell, limit)
	if err != nil {
		t.Fatalf("%v: %s", err, shell)
	}
	t.Logf("%.2fs exit %d $ %s\n%s", time.Since(begin).Seconds(), r.Code, shell, r.Output)
	return r.Output, r.Code == 0
}
