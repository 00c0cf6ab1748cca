package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Root is the directory of go.mod.
var Root = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		panic(fmt.Sprintf("go env GOMOD: %v", err))
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
})

// buildLimit is generous: the first build on a slow machine compiles everything.
const buildLimit = 5 * time.Minute

// Binary gives the path of the targate program: $TARGATE when set, as the
// Makefile does, else bin/targate, built now.
var Binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TARGATE"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(Root(), "bin", "targate")
	if _, err := Run(buildLimit, "go", "build", "-C", Root(), "-o", path, "./cmd/targate"); err != nil {
		return "", err
	}
	return path, nil
})

// socket is the control API's, in Dir.
const socket = "targate.sock"

// Targate is a running `targate serve`.
type Targate struct {
	*Process
	Portal string // host:port
	Config string // path of the configuration file
	Dir    string // where relative paths of the configuration lie

	more  []string // portals after the first
	iscsi []string // other keys of iscsi
}

// TargateOptions says how to start targate.
type TargateOptions struct {
	Dir    string   // an existing directory
	Portal string   // host:port; default a free port of the loopback
	More   []string // portals after the first, as the configuration writes them
	ISCSI  []string // other keys of iscsi, such as "time2retain: 20"
	Config string   // YAML from `devices:` on; the head is written by Start
	Prefix []string // a command to run it by, such as taskset -c 1
	Binary string   // another program than Binary gives
	Env    []string
}

// StartTargate writes Dir/targate.yaml and serves it.
func StartTargate(o TargateOptions) (*Targate, error) {
	bin, err := o.Binary, error(nil)
	if bin == "" {
		bin, err = Binary()
	}
	if err != nil {
		return nil, err
	}
	if o.Portal == "" {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		o.Portal = fmt.Sprintf("127.0.0.1:%d", port)
	}
	t := &Targate{Portal: o.Portal, Dir: o.Dir, Config: filepath.Join(o.Dir, "targate.yaml"), more: o.More, iscsi: o.ISCSI}
	if err := t.Write(o.Config); err != nil {
		return nil, err
	}
	args := append(append([]string{}, o.Prefix...), bin, "serve", "--config", t.Config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), o.Env...)
	if t.Process, err = Start(cmd); err != nil {
		return nil, err
	}
	return t, t.await("targate: ready")
}

// Write replaces the configuration file; Apply makes the daemon follow it.
func (t *Targate) Write(config string) error {
	portals := strings.Join(append([]string{fmt.Sprintf("%q", t.Portal)}, t.more...), ", ")
	keys := strings.Join(append([]string{fmt.Sprintf("portals: [%s]", portals)}, t.iscsi...), ", ")
	head := fmt.Sprintf("version: 1\nstate_dir: ./state\niscsi: {%s}\napi: {listen: [\"unix:./%s\"]}\n", keys, socket)
	return os.WriteFile(t.Config, []byte(head+config), 0o644)
}

// Apply runs `targate apply` on the configuration file.
func (t *Targate) Apply() error {
	bin, err := Binary()
	if err == nil {
		_, err = Run(StartLimit, bin, "apply", t.Config)
	}
	return err
}

// Status is what the control API and the kernel say of a running targate.
type Status struct {
	Sessions   int
	Goroutines int
	Memory     struct{ Limit, Used, Peak int64 } // data in flight, bytes
	RSS        int64                             // resident memory, bytes
}

// Status asks for the present state.
func (t *Targate) Status(ctx context.Context) (*Status, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a connection kept would be a goroutine of the server
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(t.Dir, socket))
		},
	}}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/v1/status", nil)
	if err != nil {
		return nil, err
	}
	r, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET /v1/status: %s", r.Status)
	}
	s := new(Status)
	if err := json.NewDecoder(r.Body).Decode(s); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", t.PID))
	if err != nil {
		return nil, err
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		return nil, err
	}
	s.RSS = resident * int64(os.Getpagesize())
	return s, nil
}

// Await asks for the status until ok holds.
func (t *Targate) Await(ctx context.Context, ok func(*Status) bool) (*Status, error) {
	for {
		s, err := t.Status(ctx)
		if err != nil || ok(s) {
			return s, err
		}
		select {
		case <-ctx.Done():
			return s, fmt.Errorf("%w; the last status was %+v", ctx.Err(), *s)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// URL is the libiscsi address of a logical unit.
func (t *Targate) URL(target string, lun int) string {
	return fmt.Sprintf("iscsi://%s/%s/%d", t.Portal, target, lun)
}
