package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/gateway/iscsi"
	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/manage/statedir"
	"github.com/targate/targate/gateway/target"
)

// stopTimeout bounds a clean stop.
const stopTimeout = 30 * time.Second

// gcPercent is GOGC unless the environment says otherwise. Payload buffers are pooled
// and disks in memory lie outside the heap, so the heap is small and a collection,
// which costs every connection, may be rare.
const gcPercent = 400

func serveCommand() *cobra.Command {
	var file string
	var l logFlags
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve what a configuration file says, in the foreground",
		Long: `Serve what a configuration file says, in the foreground.

SIGHUP applies the file again, SIGTERM and SIGINT stop cleanly, a second one stops at
once.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := l.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			s := server{load: func() (*config.Model, error) { return load(file) }, log: log, stderr: c.ErrOrStderr()}
			return s.run()
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "the configuration file")
	_ = c.MarkFlagRequired("config") // fails only for a flag that is not there
	l.add(c)
	return c
}

// load reads a configuration file with the exit code of its failure.
func load(file string) (*config.Model, error) {
	m, err := config.Load(file, configOptions(""))
	var faults config.Faults
	switch {
	case err == nil:
		return m, nil
	case errors.As(err, &faults):
		return nil, fail(exitFailure, faults)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(exitNotFound, err)
	}
	return nil, fail(exitFailure, err)
}

// server is the daemon.
type server struct {
	load   func() (*config.Model, error)
	ready  func(*config.Model) // called when it serves; may be nil
	log    *slog.Logger
	stderr io.Writer

	state   *statedir.Dir
	manager *manage.Manager
	api     *api.Server
}

// run serves until a signal ends it.
func (s *server) run() error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)

	m, err := s.load()
	if err != nil {
		return s.say(err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if s.state, err = statedir.Open(m.StateDir); err != nil {
		if errors.Is(err, statedir.ErrInUse) {
			return fail(exitConflict, err)
		}
		return fail(exitFailure, err)
	}
	defer s.state.Close() //nolint:errcheck // a lock file
	if err := s.start(m); err != nil {
		_ = s.stop(signals) // the first error counts
		return s.say(err)
	}
	fmt.Fprintln(s.stderr, "targate: ready")
	notify(s.log, "READY=1")
	if s.ready != nil {
		s.ready(m)
	}
	for sig := range signals {
		if sig != syscall.SIGHUP {
			s.log.Info("stopping", "signal", sig.String())
			break
		}
		s.reload()
	}
	notify(s.log, "STOPPING=1")
	if err := s.stop(signals); err != nil {
		return fail(exitFailure, err)
	}
	s.log.Info("stopped")
	return nil
}

// say prints faults as "check" does and keeps other errors for the end.
func (s *server) say(err error) error {
	var f *failure
	code := exitFailure
	if errors.As(err, &f) {
		code = f.code
	}
	var faults config.Faults
	if errors.As(err, &faults) {
		fmt.Fprintln(s.stderr, faults.Error())
		return fail(code, nil)
	}
	return fail(code, err)
}

func (s *server) start(m *config.Model) error {
	gateway := target.New()
	pool := buf.NewPool(m.Memory)
	door := iscsi.New(gateway, iscsi.Options{Log: s.log, Pool: pool})
	var err error
	s.manager, err = manage.New(manage.Options{Gateway: gateway, Door: door, State: s.state,
		OpenDevice: openDevice, OpenCollection: s.openLibrary, Pool: pool, Log: s.log})
	if err != nil {
		return errors.Join(err, door.Shutdown(context.Background()))
	}
	libraries := libraryAPI{func() map[string]*tapeLibrary { return tapeLibraries(s.manager) }}
	s.api = api.New(api.Options{Manager: s.manager, Version: version(), Log: s.log, Routes: libraries.routes(),
		Parse: func(file, dir string, text []byte) (*config.Model, error) {
			return config.Parse(file, text, configOptions(dir))
		}})
	if _, err := s.manager.Apply(context.Background(), m); err != nil {
		return err
	}
	for _, l := range m.API.Listen {
		if err := s.api.Listen(l); err != nil {
			return err
		}
	}
	return nil
}

// openLibrary opens an entry of libraries.
func (s *server) openLibrary(c manage.CollectionConfig) (manage.Collection, error) {
	return openLibrary(c, func(device string) { s.manager.DropSessions(manage.SessionChoice{Device: device}) })
}

// reload applies the file again. What ran goes on if that fails.
func (s *server) reload() {
	notify(s.log, fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicroseconds()))
	defer notify(s.log, "READY=1")
	m, err := s.load()
	if err == nil {
		_, err = s.manager.Apply(context.Background(), m)
	}
	var conflict *manage.Conflict
	var faults config.Faults
	switch {
	case err == nil:
		s.log.Info("the configuration was applied again", "file", m.File)
		return
	case errors.As(err, &conflict):
		faults = conflict.Faults
	case !errors.As(err, &faults):
		s.log.Error("the configuration was not applied; what ran goes on", "error", err)
		return
	}
	for _, f := range faults {
		s.log.Error("the configuration was not applied; what ran goes on", "fault", f.String())
	}
}

// stop ends everything in a bounded time. Another signal ends the process at once.
func (s *server) stop(signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	go func() {
		for sig := range signals {
			if sig != syscall.SIGHUP {
				s.log.Error("stopped at once: data that was not flushed may be lost in a power cut", "signal", sig.String())
				os.Exit(exitFailure)
			}
		}
	}()
	var errs []error
	if s.api != nil {
		errs = append(errs, s.api.Shutdown(ctx))
	}
	if s.manager != nil {
		errs = append(errs, s.manager.Close(ctx))
	}
	return errors.Join(errs...)
}

// socketOf is the first unix socket of the API that m names, or "".
func socketOf(m *config.Model) string {
	for _, l := range m.API.Listen {
		if l.Network == "unix" {
			return filepath.Clean(l.Address)
		}
	}
	return ""
}
