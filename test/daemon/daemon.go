// Package daemon starts the programs that the tests talk to: targate itself and
// Debian's tgtd as the peer. What it starts is ended by its process id, and by the
// kernel should the test die first.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// StartLimit bounds the time from the start of a program until it serves,
// StopLimit from SIGTERM to its end; after that it is killed.
const (
	StartLimit = 20 * time.Second
	StopLimit  = 15 * time.Second
)

// Process is a running program. Its standard error is kept in Log.
type Process struct {
	PID int
	Log *Log

	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid after done
}

// Start runs cmd. cmd.Stderr is replaced.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, Log: newLog(), done: make(chan struct{})}
	cmd.Stderr = p.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Pdeathsig is sent when the thread that started the child ends, so hold
		// on to that thread for the child's life.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
			p.Log.close()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.PID = cmd.Process.Pid
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends sig; a program that has ended already is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop ends the program with SIGTERM and reports anything but a clean exit.
func (p *Process) Stop() error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(StopLimit):
		p.Kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM; its last lines:\n%s", p.name(), StopLimit, p.Log.Tail(20))
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w; its last lines:\n%s", p.name(), p.err, p.Log.Tail(20))
	}
	return nil
}

// Kill ends the program with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL) // it is gone, or cannot refuse
	<-p.done
}

func (p *Process) name() string { return filepath.Base(p.cmd.Path) }

// await waits until text stands in the log.
func (p *Process) await(text string) error {
	found := p.Log.wait(text)
	select {
	case <-found:
		if strings.Contains(p.Log.String(), text) {
			return nil
		}
	case <-time.After(StartLimit):
	}
	p.Kill()
	return fmt.Errorf("%s does not start; its last lines:\n%s", p.name(), p.Log.Tail(20))
}

// Log keeps what a program writes.
type Log struct {
	mu     sync.Mutex
	b      strings.Builder
	closed bool
	waits  []logWait
}

type logWait struct {
	text  string
	found chan struct{}
}

func newLog() *Log { return new(Log) }

// Write appends b.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(b)
	l.wake()
	return len(b), nil
}

func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// wake closes the channels of waits that are over. l.mu is held.
func (l *Log) wake() {
	var left []logWait
	for _, w := range l.waits {
		if l.closed || strings.Contains(l.b.String(), w.text) {
			close(w.found)
		} else {
			left = append(left, w)
		}
	}
	l.waits = left
}

// wait gives a channel that is closed when text was written, or nothing will be.
func (l *Log) wait(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := logWait{text, make(chan struct{})}
	l.waits = append(l.waits, w)
	l.wake()
	return w.found
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Tail gives the last n lines.
func (l *Log) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// FreePort gives a port of the loopback that nobody listens on now. The servers
// that tests start cannot tell us the port that they chose, so this must do.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() // only the number was wanted
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Run carries out a command that ends by itself within limit and gives what it
// wrote to both outputs. An error shows that too.
func Run(limit time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end within %v", limit)
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}
