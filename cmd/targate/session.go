package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/api"
)

func sessionCommand() *cobra.Command {
	c := &cobra.Command{Use: "session", Short: "Show and end sessions of the running server", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return failf(exitUsage, "a command is missing: list, logout or drop")
		}}
	c.AddCommand(sessionListCommand(), sessionLogoutCommand(), sessionDropCommand())
	return c
}

// serverFlags are how a command finds the running server.
type serverFlags struct {
	socket, output string
	timeout        time.Duration // of a question; 0: askTimeout
}

func (f *serverFlags) add(c *cobra.Command) {
	addOutput(c, &f.output)
	c.Flags().StringVar(&f.socket, "socket", "", "the server's socket (default: $TARGATE_SOCKET, or where demo and the service have it)")
}

// askTimeout bounds a question to the server.
const askTimeout = 30 * time.Second

// with calls f with the running server.
func (f *serverFlags) with(c *cobra.Command, do func(context.Context, *api.Client) error) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	path, err := findSocket(f.socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), cmp.Or(f.timeout, askTimeout))
	defer cancel()
	return clientError(path, do(ctx, api.NewClient(path)))
}

func sessionListCommand() *cobra.Command {
	var f serverFlags
	c := &cobra.Command{Use: "list", Short: "List the sessions", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v api.Sessions
			err := f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Get(ctx, "/v1/sessions", &v) })
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(c.OutOrStdout(), v)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			printSessions(t, v.Sessions)
			if err := t.Flush(); err != nil {
				return fail(exitFailure, err)
			}
			return nil
		}}
	f.add(c)
	return c
}

func printSessions(w io.Writer, list []manage.SessionStatus) {
	fmt.Fprint(w, "SESSION\tINITIATOR\tFROM\tTARGET\tGROUP\tSINCE\n")
	for _, x := range list {
		if x.Lost {
			x.Peer += " (lost)"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", x.TSIH, x.Initiator, x.Peer, x.Target, orDash(x.Group), x.Since.Format(time.DateTime))
	}
}

func sessionLogoutCommand() *cobra.Command {
	within := api.DefaultWithin * time.Second
	c := endCommand("logout", "Ask initiators to log out, as before a target moves", "/v1/sessions/logout", func(q *api.SessionRequest) error {
		s := math.Ceil(within.Seconds())
		if s < 1 || s > math.MaxUint16 {
			return failf(exitUsage, "--within is from 1s to %ds", math.MaxUint16)
		}
		q.Within = uint16(s)
		return nil
	})
	c.Long = `Ask initiators to log out, as before a target moves.

Initiators that know the request (Linux, libiscsi) finish what they have begun, log out,
and log in again, where they are told of a redirect. Sessions that do not end in time are
dropped. The command does not wait for that.`
	c.Flags().DurationVar(&within, "within", within, "how long initiators have")
	return c
}

func sessionDropCommand() *cobra.Command {
	return endCommand("drop", "End sessions at once; initiators log in again", "/v1/sessions/drop",
		func(*api.SessionRequest) error { return nil })
}

func endCommand(verb, short, path string, fill func(*api.SessionRequest) error) *cobra.Command {
	var f serverFlags
	var q api.SessionRequest
	c := &cobra.Command{Use: verb + " (SESSION | --target IQN | --device NAME)", Short: short, Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if ways := append(slices.Clone(args), slices.DeleteFunc([]string{q.Target, q.Device}, func(s string) bool { return s == "" })...); len(ways) != 1 {
				return failf(exitUsage, "name one session, by its number in \"targate session list\", or a target, or a device")
			}
			if len(args) == 1 {
				n, err := strconv.ParseUint(args[0], 10, 16)
				if err != nil || n == 0 {
					return failf(exitUsage, "%q is not the number of a session", args[0])
				}
				q.TSIH = uint16(n)
			}
			if err := fill(&q); err != nil {
				return err
			}
			var r api.SessionResult
			err := f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Post(ctx, path, q, &r) })
			switch {
			case err != nil:
				return err
			case f.output == "json":
				return printJSON(c.OutOrStdout(), r)
			}
			fmt.Fprintf(c.OutOrStdout(), "%d sessions\n", r.Sessions)
			return nil
		}}
	f.add(c)
	c.Flags().StringVar(&q.Target, "target", "", "all sessions of this target")
	c.Flags().StringVar(&q.Device, "device", "", "all sessions that see this device")
	return c
}
