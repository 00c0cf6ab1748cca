package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/manage/statedir"
	"github.com/targate/targate/gateway/target"
)

type quiet struct{}

func (quiet) Profile() core.Profile       { return core.Profile{Type: scsi.DirectAccess} }
func (quiet) Attach(core.Host) error      { return nil }
func (quiet) Execute(*core.Command) error { return nil }
func (quiet) Close() error                { return nil }

type noDoor struct{}

func (noDoor) Listen(target.Portal) error     { return nil }
func (noDoor) Close(string) error             { return nil }
func (noDoor) Start()                         {}
func (noDoor) Shutdown(context.Context) error { return nil }

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))

// newServer makes a server that listens at the socket whose path is returned.
func newServer(t *testing.T, before ...func(*Server)) (s *Server, dir, socket string) {
	t.Helper()
	dir = t.TempDir()
	state, err := statedir.Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	mg, err := manage.New(manage.Options{Gateway: target.New(), Door: noDoor{}, State: state, Log: discard,
		OpenDevice: func(manage.DeviceConfig) (core.Handler, error) { return quiet{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	kinds := []config.Kind{{Name: "mem", Keys: []config.Key{{Name: "size", Type: config.Size, Required: true}}}}
	s = New(Options{Manager: mg, Version: "1.2.3", Log: discard,
		Routes: []Route{
			{Method: "GET", Path: "/v1/more", Doc: "more", Run: func(r *http.Request) (any, error) {
				return map[string]string{"of": r.URL.Query().Get("of")}, nil
			}},
			{Method: "POST", Path: "/v1/more", Doc: "change more", Changes: true, Run: func(r *http.Request) (any, error) {
				var q struct{ To string }
				if err := Body(r, &q); err != nil {
					return nil, err
				}
				return nil, NewConflict("not " + q.To)
			}},
		},
		Parse: func(file, dir string, text []byte) (*config.Model, error) {
			return config.Parse(file, text, config.Options{Kinds: kinds, Dir: dir})
		}})
	for _, f := range before {
		f(s)
	}
	socket = filepath.Join(dir, "s")
	if err := s.Listen(config.Listen{Network: "unix", Address: socket}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), mg.Close(context.Background()), state.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket stays: %v", err)
		}
	})
	return s, dir, socket
}

const good = `version: 1
iscsi: {portals: ['127.0.0.1:3260']}
devices: [{name: a, handler: mem, size: 1MiB}]
targets: [{iqn: 'iqn.2026-11.x:t', luns: {0: a}}]
`

func TestAPI(t *testing.T) {
	_, dir, socket := newServer(t)
	c := NewClient(socket)
	ctx := t.Context()
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st, err)
	}

	var p *Problem
	if err := c.Get(ctx, "/v1/config", &Config{}); !errors.As(err, &p) || p.Status != http.StatusNotFound {
		t.Errorf("config before the first: %v", err)
	}
	d, err := c.Apply(ctx, Config{File: "x.yaml", Dir: dir, Text: good})
	if err != nil || len(d.Changes) != 3 || d.Changes[0].String() != "add device a: mem" {
		t.Fatalf("%v %v", d, err)
	}
	if d, err = c.Apply(ctx, Config{File: "x.yaml", Dir: dir, Text: good}); err != nil || len(d.Changes) != 0 {
		t.Errorf("again: %v %v", d, err)
	}

	var st Status
	var tg Targets
	var se Sessions
	var dev Devices
	var cfg Config
	var idx Index
	var lat Latency
	for path, v := range map[string]any{"/v1": &idx, "/v1/status": &st, "/v1/targets": &tg,
		"/v1/sessions": &se, "/v1/devices": &dev, "/v1/config": &cfg, "/v1/latency": &lat} {
		if err := c.Get(ctx, path, v); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if st.Version != "1.2.3" || st.Devices != 1 || len(tg.Targets) != 1 || se.Sessions == nil || len(dev.Devices) != 1 ||
		len(lat.Devices) != 1 || lat.Since.IsZero() ||
		cfg.Text != good || len(idx.Routes) != len(routes)+2 {
		t.Errorf("%+v %+v %+v %+v %+v %+v", st, tg, se, dev, cfg, idx)
	}

	var old, now Latency
	if err := errors.Join(c.Post(ctx, "/v1/latency/reset", struct{}{}, &old), c.Get(ctx, "/v1/latency", &now)); err != nil ||
		!old.Since.Equal(lat.Since) || !now.Since.After(old.Since) {
		t.Errorf("reset of latencies: %v, from %v to %v", err, old.Since, now.Since)
	}

	_, err = c.Apply(ctx, Config{File: "x.yaml", Dir: dir, Text: "version: 3\ncolour: red\n"})
	if !errors.As(err, &p) || p.Type != TypeFaults || p.Status != 422 || len(p.Faults) != 3 ||
		!strings.HasPrefix(p.Faults[1].String(), "x.yaml:1:10: ") {
		t.Errorf("faults: %v", err)
	}
	_, err = c.Apply(ctx, Config{File: "x.yaml", Dir: dir, Text: good + "memory: 2GiB\n"})
	if !errors.As(err, &p) || p.Type != TypeConflict || p.Status != 409 || p.Faults[0].Line != 5 {
		t.Errorf("conflict: %v", err)
	}
}

// TestRequests sends what the client does not.
func TestRequests(t *testing.T) {
	s, dir, _ := newServer(t)
	local, remote := peer{local: true, ok: true}, peer{}
	body := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	apply := body(Config{File: "x", Dir: dir, Text: good})
	for _, c := range []struct {
		name               string
		from               peer
		method, path, host string
		typ, body          string
		status             int
	}{
		{"other user", peer{local: true}, "GET", "/v1/status", "localhost", "", "", 403},
		{"remote look", remote, "GET", "/v1/status", "127.0.0.1:8480", "", "", 200},
		{"remote look v6", remote, "GET", "/v1/status", "[::1]:8480", "", "", 200},
		{"rebinding", remote, "GET", "/v1/status", "evil.example:8480", "", "", 403},
		{"remote change", remote, "POST", "/v1/apply", "localhost", "application/json", apply, 403},
		{"no path", local, "GET", "/v2/status", "x", "", "", 404},
		{"no method", local, "DELETE", "/v1/status", "x", "", "", 405},
		{"form", local, "POST", "/v1/apply", "x", "text/plain", apply, 415},
		{"not JSON", local, "POST", "/v1/apply", "x", "application/json", "{", 400},
		{"unknown member", local, "POST", "/v1/apply", "x", "application/json", `{"fiel": "x"}`, 400},
		{"relative dir", local, "POST", "/v1/apply", "x", "application/json", body(Config{File: "x", Dir: "."}), 400},
		{"alua without one", local, "GET", "/v1/alua", "x", "", "", 404},
		{"alua without a state", local, "POST", "/v1/alua", "x", "application/json", `{"tag": 1}`, 400},
		{"alua of no such state", local, "POST", "/v1/alua", "x", "application/json", `{"tag": 1, "state": "transitioning"}`, 400},
		{"alua from afar", remote, "POST", "/v1/alua", "localhost", "application/json", `{"tag": 1, "state": "standby"}`, 403},
		{"latency from afar", remote, "POST", "/v1/latency/reset", "localhost", "application/json", `{}`, 403},
		{"large", local, "POST", "/v1/apply", "x", "application/json", `{"text":"` + strings.Repeat("a", maxBody) + `"}`, 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(context.WithValue(t.Context(), connKey{}, c.from),
				c.method, c.path, strings.NewReader(c.body))
			r.Host = c.host
			r.Header.Set("Content-Type", c.typ)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if c.status == 200 {
				return
			}
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != c.status ||
				w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%v %+v", err, p)
			}
			if c.status == 405 && w.Header().Get("Allow") != "GET" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
		})
	}
}

// TestPeer checks that the credentials of a real connection are those of this process.
func TestPeer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck
	if p := peerOf(a); !p.local || !p.ok || int(p.uid) != os.Geteuid() || int(p.pid) != os.Getpid() {
		t.Errorf("%+v", p)
	}
}

// TestRoutes goes routes that the program has added.
func TestRoutes(t *testing.T) {
	_, _, socket := newServer(t)
	c := NewClient(socket)
	var v struct{ Of string }
	if err := c.Get(t.Context(), "/v1/more?of=this", &v); err != nil || v.Of != "this" {
		t.Errorf("%+v %v", v, err)
	}
	var p *Problem
	err := c.Post(t.Context(), "/v1/more", map[string]string{"to": "there"}, &v)
	if !errors.As(err, &p) || p.Type != TypeConflict || p.Status != http.StatusConflict || p.Detail != "not there" {
		t.Errorf("%v", err)
	}
	var idx Index
	if err := c.Get(t.Context(), "/v1", &idx); err != nil || idx.Routes[len(idx.Routes)-1].Doc != "change more" {
		t.Errorf("%+v %v", idx, err)
	}
}

// TestSlowRoute wants an answer that takes longer than the time for a question.
func TestSlowRoute(t *testing.T) {
	slow := make(chan struct{})
	_, _, socket := newServer(t, func(s *Server) {
		s.http.ReadTimeout = 20 * time.Millisecond
		s.routes = append(s.routes, Route{Method: "POST", Path: "/v1/slow", Changes: true, Run: func(r *http.Request) (any, error) {
			time.AfterFunc(10*s.http.ReadTimeout, func() { close(slow) })
			select {
			case <-slow:
				return struct{}{}, nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}})
	})
	if err := NewClient(socket).Post(t.Context(), "/v1/slow", struct{}{}, &struct{}{}); err != nil {
		t.Error(err)
	}
}

func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "s")
	first, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a socket that is served: %v", err)
	}
	if err := first.Close(); err != nil { // what is left is what kill -9 leaves
		t.Fatal(err)
	}
	second, err := listenUnix(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	defer second.Close() //nolint:errcheck
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()

	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "keep" {
		t.Errorf("%q %v", b, err)
	}
}

func TestTCP(t *testing.T) {
	s, _, _ := newServer(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	if err := s.Listen(config.Listen{Network: "tcp", Address: addr}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/v1/status": 200, "/v1/apply": 403} {
		method := http.MethodGet
		if want == 403 {
			method = http.MethodPost
		}
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = a.Body.Close()
		if a.StatusCode != want {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
}
