// Command targate serves disks and tape libraries over iSCSI. See docs/ for what it does, and
// docs/configuration.md for the file that it reads.
package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes of the program.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitNotFound = 3
	exitConflict = 4
)

// failure is an error with the exit code that it ends the program with.
type failure struct {
	code int
	err  error // nil: all was said already
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func fail(code int, err error) error { return &failure{code, err} }

func failf(code int, format string, a ...any) error { return fail(code, fmt.Errorf(format, a...)) }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program without the process.
func run(args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	var f *failure
	if !errors.As(err, &f) { // from cobra: flags and arguments
		fmt.Fprintf(stderr, "targate: %v\nUsage: %s\nRun \"%s --help\" for more.\n", err, command.UseLine(), command.CommandPath())
		return exitUsage
	}
	if f.err != nil {
		fmt.Fprintf(stderr, "targate: %v\n", f.err)
	}
	return f.code
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "targate",
		Short:         "A SCSI target in user space: disks and tape libraries over iSCSI",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return errors.New("a command is missing: demo, serve, check, apply, status, session, alua, library, drive, slot, tape or version")
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(demoCommand(), serveCommand(), checkCommand(), applyCommand(), statusCommand(), sessionCommand(), aluaCommand(),
		libraryCommand(), driveCommand(), slotCommand(), tapeCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fmt.Fprintln(c.OutOrStdout(), "targate", version())
			return nil
		},
	}
}

// release is set by the linker in packages: -X main.release=1.2.3.
var release string

// version is the release, else what the Go tool recorded of the source.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			rev = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	if len(rev) >= 12 {
		return "0.0.0-" + rev[:12] + dirty
	}
	return info.Main.Version
}

// logFlags are the flags of commands that log.
type logFlags struct{ format, level string }

func (l *logFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&l.format, "log-format", "text", "format of the log on stderr: text or json")
	c.Flags().StringVar(&l.level, "log-level", "info", "least level that is logged: debug, info, warn or error")
}

func (l *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.level)); err != nil {
		return nil, failf(exitUsage, "--log-level %q is not debug, info, warn or error", l.level)
	}
	o.Level = level
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	}
	return nil, failf(exitUsage, "--log-format %q is not text or json", l.format)
}
