package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/gateway/manage/config"
)

func checkCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a configuration file",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			_, err := load(args[0])
			faults := config.Faults{}
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			if output == "json" {
				if err := printJSON(c.OutOrStdout(), map[string]config.Faults{"faults": faults}); err != nil {
					return err
				}
			} else if err != nil {
				fmt.Fprintln(c.OutOrStdout(), faults.Error())
			}
			if err != nil {
				return fail(exitFailure, nil)
			}
			return nil
		},
	}
	addOutput(c, &output)
	return c
}

// sockets are where a server is looked for when nothing says where.
var sockets = []string{"targate-demo/state/targate.sock", "state/targate.sock", "/run/targate/targate.sock"}

// findSocket is the socket of the running server.
func findSocket(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if s := os.Getenv("TARGATE_SOCKET"); s != "" {
		return s, nil
	}
	for _, s := range sockets {
		if _, err := os.Stat(s); err == nil {
			return s, nil
		}
	}
	return "", failf(exitNotFound, "no server was found at %s; name its socket with --socket", strings.Join(sockets, ", "))
}

// clientError gives an error of the API its exit code.
func clientError(socket string, err error) error {
	var p *api.Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p) && p.Type == api.TypeConflict:
		return fail(exitConflict, err)
	case errors.As(err, &p) && p.Status == http.StatusNotFound:
		return fail(exitNotFound, err)
	case errors.As(err, &p) && p.Status == http.StatusBadRequest:
		return fail(exitUsage, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return failf(exitNotFound, "no server answers at %s: %w", socket, err)
	}
	return fail(exitFailure, err)
}

func applyCommand() *cobra.Command {
	var socket, output string
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make the running server match a configuration file",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			file := args[0]
			m, err := loadForClient(file)
			if err != nil {
				return sayFaults(c.ErrOrStderr(), err)
			}
			if socket == "" && os.Getenv("TARGATE_SOCKET") == "" {
				socket = socketOf(m)
			}
			path, err := findSocket(socket)
			if err != nil {
				return err
			}
			dir, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				return fail(exitFailure, err)
			}
			diff, err := api.NewClient(path).Apply(c.Context(), api.Config{File: file, Dir: dir, Text: string(m.Text)})
			if err != nil {
				return sayFaults(c.ErrOrStderr(), clientError(path, err))
			}
			return printDiff(c.OutOrStdout(), output, diff)
		},
	}
	addOutput(c, &output)
	c.Flags().StringVar(&socket, "socket", "", "the server's socket (default: that of the file)")
	return c
}

// loadForClient reads a file whose secrets only the server may be able to read.
func loadForClient(file string) (*config.Model, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitNotFound, err)
	} else if err != nil {
		return nil, fail(exitFailure, err)
	}
	n := 0
	stand := func() string {
		n++
		return fmt.Sprintf("a stand-in, %d of many", n)
	}
	o := configOptions("")
	o.Getenv = func(string) string { return stand() }
	o.ReadFile = func(string) ([]byte, error) { return []byte(stand()), nil }
	m, err := config.Parse(file, text, o)
	if err != nil {
		return nil, fail(exitFailure, err)
	}
	return m, nil
}

// sayFaults prints the faults of err as "check" does; any other error stays.
func sayFaults(w io.Writer, err error) error {
	var faults config.Faults
	var p *api.Problem
	if errors.As(err, &p) {
		faults = p.Faults
	}
	if len(faults) == 0 && !errors.As(err, &faults) {
		return err
	}
	fmt.Fprintln(w, faults.Error())
	var f *failure
	if errors.As(err, &f) {
		return fail(f.code, nil)
	}
	return fail(exitFailure, nil)
}

func printDiff(w io.Writer, output string, d manage.Diff) error {
	if output == "json" {
		return printJSON(w, d)
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "no changes")
	}
	for _, c := range d.Changes {
		fmt.Fprintln(w, c)
	}
	return nil
}

func addOutput(c *cobra.Command, output *string) {
	c.Flags().StringVarP(output, "output", "o", "text", "text or json")
}

func checkOutput(output string) error {
	if output != "text" && output != "json" {
		return failf(exitUsage, "--output %q is not text or json", output)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fail(exitFailure, err)
	}
	return nil
}

// overview is what "status -o json" prints.
type overview struct {
	Status api.Status `json:"status"`
	api.Targets
	api.Sessions
	api.Devices
	libraryList
	driveList
}

func statusCommand() *cobra.Command {
	var f serverFlags
	var latency, reset bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show targets, sessions, devices and tape libraries of the running server, or how long commands take",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reset && !latency {
				return failf(exitUsage, "--reset goes with --latency")
			}
			if latency {
				var l api.Latency
				err := f.with(c, func(ctx context.Context, cl *api.Client) (err error) {
					l, err = askLatency(ctx, cl, reset)
					return err
				})
				if err != nil {
					return err
				}
				if f.output == "json" {
					return printJSON(c.OutOrStdout(), l)
				}
				return printLatency(c.OutOrStdout(), l.Latency)
			}
			var v overview
			err := f.with(c, func(ctx context.Context, cl *api.Client) (err error) {
				v, err = ask(ctx, cl)
				return err
			})
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(c.OutOrStdout(), v)
			}
			return printStatus(c.OutOrStdout(), v)
		},
	}
	f.add(c)
	c.Flags().BoolVar(&latency, "latency", false, "how long commands took: percentiles by device, session, class and stage")
	c.Flags().BoolVar(&reset, "reset", false, "with --latency: count anew after this answer")
	return c
}

func ask(ctx context.Context, c *api.Client) (v overview, err error) {
	err = errors.Join(
		c.Get(ctx, "/v1/status", &v.Status),
		c.Get(ctx, "/v1/targets", &v.Targets),
		c.Get(ctx, "/v1/sessions", &v.Sessions),
		c.Get(ctx, "/v1/devices", &v.Devices),
		c.Get(ctx, "/v1/libraries", &v.libraryList),
		c.Get(ctx, "/v1/drives", &v.driveList))
	return v, err
}

func printStatus(w io.Writer, v overview) error {
	s := v.Status
	var b bytes.Buffer
	fmt.Fprintf(&b, "targate %s, up %s, configuration %s\n", s.Version, time.Since(s.Started).Round(time.Second), s.Config)
	if m := s.Memory; m != nil {
		fmt.Fprintf(&b, "data in flight %s, peak %s, of %s\n", human(m.Used), human(m.Peak), human(m.Limit))
	}
	for _, name := range s.Closing {
		fmt.Fprintf(&b, "%s was removed and still has commands\n", name)
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\nPORTAL\tANNOUNCED\tTAG\n")
	for _, p := range s.Portals {
		fmt.Fprintf(t, "%s\t%s\t%d\n", p.Listen, orDash(p.Announce), p.Tag)
	}
	fmt.Fprint(t, "\nTARGET\tSESSIONS\tCHAP\tLUNS\n")
	for _, x := range v.Targets.Targets {
		fmt.Fprintf(t, "%s\t%d\t%v\t%s\n", x.IQN, x.Sessions, x.CHAP, lunList(x.LUNs))
		for _, g := range x.Groups {
			fmt.Fprintf(t, "  group %s\t\t\t%s\n", g.Name, lunList(g.LUNs))
		}
	}
	fmt.Fprint(t, "\nDEVICE\tHANDLER\tSIZE\tBLOCK\tREADS\tWRITES\tREAD\tWRITTEN\tERRORS\n")
	for _, d := range v.Devices.Devices {
		size, block := "-", "-"
		if d.BlockSize > 0 {
			size, block = human(d.Size), strconv.Itoa(int(d.BlockSize))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%d\n", d.Name, d.Handler, size, block,
			d.Stats.Reads, d.Stats.Writes, human(int64(d.Stats.BytesIn)), human(int64(d.Stats.BytesOut)), d.Stats.Errors)
	}
	if len(v.Libraries) > 0 {
		fmt.Fprintln(t)
		libraryRows(t, v.libraryList)
		fmt.Fprintln(t)
		driveRows(t, v.driveList)
	}
	fmt.Fprintln(t)
	printSessions(t, v.Sessions.Sessions)
	if err := t.Flush(); err != nil {
		return fail(exitFailure, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fail(exitFailure, err)
	}
	return nil
}

func lunList(luns []manage.LUNStatus) string {
	var list []string
	for _, l := range luns {
		s := fmt.Sprintf("%d=%s", l.LUN, l.Device)
		if l.ReadOnly {
			s += "(ro)"
		}
		list = append(list, s)
	}
	return orDash(strings.Join(list, " "))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// human writes a number of bytes in three digits.
func human(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", f, units[i])
}
