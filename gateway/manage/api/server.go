package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
)

// Options are what a Server works with.
type Options struct {
	Manager *manage.Manager
	// Parse reads a configuration.
	Parse   func(file, dir string, text []byte) (*config.Model, error)
	Version string
	// Routes are more than the API has by itself. Their paths begin with "/v1/".
	Routes []Route
	Log    *slog.Logger // nil: slog.Default
}

// Server answers the API. It is safe for concurrent use.
type Server struct {
	o      Options
	routes []Route
	http   *http.Server
	wg     sync.WaitGroup

	mu      sync.Mutex // guards sockets
	sockets []string   // to remove at the end
}

// New makes a server that does not listen yet.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Server{o: o, routes: slices.Concat(routes, o.Routes)}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, peerOf(c))
		},
	}
	return s
}

type connKey struct{}

// peer is who is at the other end.
type peer struct {
	local bool // a unix socket
	ok    bool // of this user, or root
	uid   uint32
	pid   int32
}

func peerOf(c net.Conn) peer {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}
	}
	p := peer{local: true}
	raw, err := u.SyscallConn()
	if err != nil {
		return p
	}
	err = raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil {
			p.uid, p.pid = cred.Uid, cred.Pid
			p.ok = cred.Uid == 0 || cred.Uid == uint32(os.Geteuid())
		}
	})
	p.ok = p.ok && err == nil
	return p
}

// Listen opens one address of the API.
func (s *Server) Listen(l config.Listen) error {
	var ln net.Listener
	var err error
	if l.Network == "unix" {
		ln, err = listenUnix(l.Address)
	} else {
		ln, err = net.Listen(l.Network, l.Address)
	}
	if err != nil {
		return fmt.Errorf("api %s: %w", l, err)
	}
	if l.Network == "unix" {
		s.mu.Lock()
		s.sockets = append(s.sockets, l.Address)
		s.mu.Unlock()
	}
	s.wg.Go(func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.o.Log.Error("the API ended", "listen", l.String(), "error", err)
		}
	})
	return nil
}

// listenUnix makes a socket that is private from its first moment: under another name,
// and renamed over what a process that was killed left behind.
func listenUnix(path string) (net.Listener, error) {
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s: %w", path, syscall.EADDRINUSE)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSocket == 0 {
		return nil, fmt.Errorf("%s is there and is not a socket", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		return nil, errors.Join(err, ln.Close(), os.Remove(temp))
	}
	return ln, nil
}

// Shutdown stops to listen and waits for the answers that are under way, at most until
// ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	for _, path := range s.sockets {
		_ = os.Remove(path) // a leftover does no harm
	}
	s.sockets = nil
	s.mu.Unlock()
	err := s.http.Shutdown(ctx)
	s.wg.Wait()
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, _ := r.Context().Value(connKey{}).(peer)
	route, prob := s.find(r, p, w.Header())
	if prob != nil {
		writeProblem(w, prob)
		return
	}
	if route.Changes {
		s.o.Log.Info("api", "method", r.Method, "path", r.URL.Path, "uid", p.uid, "pid", p.pid)
	}
	if prob := readBody(w, r); prob != nil {
		writeProblem(w, prob)
		return
	}
	run := route.Run
	if run == nil {
		run = func(r *http.Request) (any, error) { return route.run(s, r) }
	}
	v, err := run(r)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client is gone
}

// readBody reads the body of r, so that the time that a client has for it does not bound the
// answer: what people ask of a tape library takes minutes when it has the times of a real one.
func readBody(w http.ResponseWriter, r *http.Request) *Problem {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return NewProblem(http.StatusRequestEntityTooLarge, err.Error())
	case err != nil:
		return NewProblem(http.StatusBadRequest, err.Error())
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not of a test's recorder
	return nil
}

// find is the route of r, if who asks may go it. answer are the headers of the answer.
func (s *Server) find(r *http.Request, p peer, answer http.Header) (*Route, *Problem) {
	switch {
	case p.local && !p.ok:
		return nil, NewProblem(http.StatusForbidden, "the API is for the user of the server and for root")
	case !p.local && !localHost(r.Host):
		// A name that a web page chose may lead here (DNS rebinding).
		return nil, NewProblem(http.StatusForbidden, "the host is an address or localhost, not a name")
	}
	for i := range s.routes {
		rt := &s.routes[i]
		switch {
		case rt.Path != r.URL.Path:
		case rt.Method != r.Method:
			answer.Add("Allow", rt.Method)
		case rt.Changes && !p.local:
			return nil, NewProblem(http.StatusForbidden, "changes come by the unix socket")
		default:
			return rt, nil
		}
	}
	if answer.Get("Allow") != "" {
		return nil, NewProblem(http.StatusMethodNotAllowed, "")
	}
	return nil, NewProblem(http.StatusNotFound, "no such path; GET /v1 lists them")
}

func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
