package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/vtl/library"
)

// group makes a command that has others.
func group(noun, short string, commands ...*cobra.Command) *cobra.Command {
	var verbs []string
	for _, c := range commands {
		verbs = append(verbs, c.Name())
	}
	c := &cobra.Command{Use: noun, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return failf(exitUsage, "a command is missing: %s", strings.Join(verbs, ", "))
		}}
	c.AddCommand(commands...)
	return c
}

// libraryFlags are how a command finds the running server, and a library of it.
type libraryFlags struct {
	serverFlags
	library string
}

func (f *libraryFlags) add(c *cobra.Command) {
	f.serverFlags.add(c)
	c.Flags().StringVarP(&f.library, "library", "l", "", "the library, when there are several")
}

// get asks for a list.
func (f *libraryFlags) get(c *cobra.Command, path string, query url.Values, v any) error {
	if f.library != "" {
		query.Set("library", f.library)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Get(ctx, path, v) })
}

// listCommand makes a command that asks for a list and prints it: as it came, or as a table.
func listCommand[T any](use, short, example, path string, rows func(io.Writer, T)) *cobra.Command {
	var f libraryFlags
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var v T
			if err := f.get(c, path, url.Values{}, &v); err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, v, rows)
		}}
	f.add(c)
	return c
}

// printTable prints v as JSON, or as the table that rows writes.
func printTable[T any](w io.Writer, output string, v T, rows func(io.Writer, T)) error {
	if output == "json" {
		return printJSON(w, v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(t, v)
	if err := t.Flush(); err != nil {
		return fail(exitFailure, err)
	}
	return nil
}

// changeTimeout bounds a change: with the times of real mechanics, a long one takes minutes.
const changeTimeout = time.Hour

// changer is a command that changes something in a library.
type changeCommand struct {
	use, short, long, example string
	path                      string
	args                      cobra.PositionalArgs
	flags                     func(c *cobra.Command, q *libraryRequest)
	// ask makes the requests of the arguments; q has what the flags say.
	ask func(args []string, q libraryRequest) ([]libraryRequest, error)
}

func (x changeCommand) command() *cobra.Command {
	var f libraryFlags
	var q libraryRequest
	c := &cobra.Command{Use: x.use, Short: x.short, Long: x.long, Example: x.example, Args: x.args,
		RunE: func(c *cobra.Command, args []string) error {
			q.Library = f.library
			list, err := x.ask(args, q)
			if err != nil {
				return err
			}
			f.timeout = changeTimeout
			done := cartridgeList{Cartridges: []cartridgeStatus{}}
			bar := newProgress(c.ErrOrStderr(), x.use[:strings.IndexByte(x.use+" ", ' ')], int64(len(list)), countUnit)
			var errs error
			for i, q := range list {
				bar.set(int64(i), q.Cartridge+q.Drive)
				var v cartridgeList
				errs = f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Post(ctx, x.path, q, &v) })
				done.Cartridges = append(done.Cartridges, v.Cartridges...)
				if errs != nil {
					break
				}
			}
			bar.end()
			if errs == nil || len(done.Cartridges) > 0 {
				errs = errors.Join(errs, printTable(c.OutOrStdout(), f.output, done, changedRows))
			}
			return errs
		}}
	f.add(c)
	if x.flags != nil {
		x.flags(c, &q)
	}
	return c
}

// changedRows says in a line each where cartridges are now.
func changedRows(w io.Writer, v cartridgeList) {
	for _, c := range v.Cartridges {
		place := c.Place.String()
		if c.Place == (library.Place{}) {
			place = "deleted"
		}
		if marks := strings.Join(cartridgeFlags(c), ", "); marks != "" {
			place += "\t" + marks
		}
		fmt.Fprintf(w, "%s\t%s\n", c.Barcode, place)
	}
}

// cartridgeFlags are the marks of a cartridge.
func cartridgeFlags(c cartridgeStatus) (list []string) {
	for _, f := range []struct {
		on   bool
		text string
	}{{c.WORM, "WORM"}, {c.WriteProtected, "write protected"}, {c.Missing, "MISSING"},
		{c.Cleaning, fmt.Sprintf("%d uses left", c.UsesLeft)}} {
		if f.on {
			list = append(list, f.text)
		}
	}
	return list
}

func libraryRows(w io.Writer, v libraryList) {
	fmt.Fprint(w, "LIBRARY\tMODEL\tSERIAL\tDRIVES\tSLOTS\tMAILSLOTS\tCARTRIDGES\tVAULT\tHEALTH\n")
	for _, l := range v.Libraries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.Name, l.Model, l.Serial, count(l.Drives), count(l.Slots), count(l.Mailslots),
			l.Cartridges, l.InVault, l.health())
	}
}

func count(c library.Count) string { return fmt.Sprintf("%d of %d", c.Full, c.Total) }

// health is what should worry people.
func (l libraryStatus) health() string {
	if l.Missing > 0 {
		return fmt.Sprintf("the contents of %d cartridges are missing", l.Missing)
	}
	return "ok"
}

func driveRows(w io.Writer, v driveList) {
	fmt.Fprint(w, "DRIVE\tLUN\tMODEL\tSERIAL\tADDRESS\tCARTRIDGE\tSTATE\n")
	for _, d := range v.Drives {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%s\t%s\n", d.Name, d.Number, d.Model, d.Serial, d.Address, orDash(d.Barcode), d.state())
	}
}

// state is the drive in words.
func (d driveStatus) state() string {
	var list []string
	switch {
	case d.Removed:
		return "removed"
	case d.Barcode == "":
		list = append(list, "empty")
	case d.Loaded:
		list = append(list, "loaded")
	default:
		list = append(list, "unloaded")
	}
	for _, f := range []struct {
		on   bool
		text string
	}{{d.Busy, "busy"}, {d.Prevented, "removal prevented"}, {d.Cleaning, "needs cleaning"}} {
		if f.on {
			list = append(list, f.text)
		}
	}
	return strings.Join(list, ", ")
}

func slotRows(w io.Writer, v slotList) {
	fmt.Fprint(w, "LIBRARY\tPLACE\tADDRESS\tCARTRIDGE\n")
	for _, s := range v.Slots {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", s.Library, s.Place, s.Address, orDash(s.Barcode))
	}
}

func cartridgeRows(w io.Writer, v cartridgeList) {
	fmt.Fprint(w, "CARTRIDGE\tLIBRARY\tKIND\tPLACE\tLOADS\tMOVED\tMARKS\n")
	for _, c := range v.Cartridges {
		moved := "-"
		if !c.Moved.IsZero() {
			moved = c.Moved.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", c.Barcode, c.Library, c.Media, c.Place, c.Loads, moved, orDash(strings.Join(cartridgeFlags(c), ", ")))
	}
}

// isTerminal reports whether w is a terminal that people look at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && os.Getenv("TERM") != "dumb"
}
