package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/targate/targate/vtl/cartridge"
)

// generation is one in JSON.
type generation struct {
	Number     uint64     `json:"generation"`
	Began      time.Time  `json:"began"`
	Ended      *time.Time `json:"ended,omitempty"` // nil: it is the current one
	Why        string     `json:"why"`             // it began
	Partition  int        `json:"partition"`       // where it began
	Object     uint64     `json:"object"`
	From       *uint64    `json:"from,omitempty"` // what a rollback went back to
	Objects    uint64     `json:"objects"`
	Used       int64      `json:"used"` // bytes, after compression
	Partitions int        `json:"partitions"`
}

type generationList struct {
	Generations []generation `json:"generations"`
}

func toGeneration(g cartridge.Generation) generation {
	x := generation{Number: g.Number, Began: g.Began, Why: g.Why.String(), Partition: g.Partition, Object: g.Object,
		Objects: g.Objects(), Used: g.Used(), Partitions: len(g.Partitions)}
	if !g.Ended.IsZero() {
		x.Ended = &g.Ended
	}
	if g.Why == cartridge.RolledBack {
		x.From = &g.From
	}
	return x
}

func tapeGenerationsCommand() *cobra.Command {
	var f tapeFlags
	c := &cobra.Command{Use: "generations BARCODE", Short: "List what a cartridge was before it was overwritten, erased or formatted", Args: cobra.ExactArgs(1),
		Long: `List what a cartridge was before it was overwritten, erased or formatted. Each of these begins a
generation; the older ones stay until the retention of the library lets them go. "ls", "cat"
and "export-image" look into one with --generation, "rollback" goes back to one. The
cartridge may be in a drive.`,
		Example: "  targate tape generations TG0001L8",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := f.path(c, args[0])
			if err != nil {
				return err
			}
			all, err := cartridge.Generations(path, cartridge.Options{})
			if err != nil {
				return mountError(args[0], err)
			}
			v := generationList{Generations: []generation{}}
			for _, g := range all {
				v.Generations = append(v.Generations, toGeneration(g))
			}
			return printTable(c.OutOrStdout(), f.output, v, generationRows)
		}}
	f.add(c)
	return c
}

func generationRows(w io.Writer, v generationList) {
	fmt.Fprint(w, "GENERATION\tBEGAN\tENDED\tBY\tOBJECTS\tUSED\n")
	for _, g := range v.Generations {
		ended, by := "now", g.Why
		if g.Ended != nil {
			ended = g.Ended.Local().Format(time.DateTime)
		}
		switch {
		case g.From != nil:
			by += fmt.Sprintf(" to %d", *g.From)
		case g.Why == cartridge.Overwritten.String(), g.Why == cartridge.Erased.String():
			by += fmt.Sprintf(" at object %d of partition %d", g.Object, g.Partition)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", g.Number, g.Began.Local().Format(time.DateTime), ended, by, g.Objects, human(g.Used))
	}
}

// numberArg reads the number of a generation.
func numberArg(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, failf(exitUsage, "%q is not the number of a generation", s)
	}
	return n, nil
}

func tapeRollbackCommand() *cobra.Command {
	var f tapeFlags
	c := &cobra.Command{Use: "rollback BARCODE GENERATION", Short: "Make a cartridge what it was at the end of an older generation", Args: cobra.ExactArgs(2),
		Long: `Make a cartridge what it was at the end of an older generation: undo of overwrites, erasures
and formats. What it is now becomes a generation, too, so that this can be undone. The
cartridge must not be in a drive, and it is not a WORM one.`,
		Example: "  targate tape rollback TG0001L8 3",
		RunE: func(c *cobra.Command, args []string) error {
			g, err := numberArg(args[1])
			if err != nil {
				return err
			}
			return f.mount(c, args[0], false, func(_ context.Context, m *cartridge.Cartridge) error {
				if err := m.Rollback(g); err != nil {
					return generationError(err)
				}
				all := m.Generations()
				v := generationList{[]generation{toGeneration(all[len(all)-1])}}
				return printTable(c.OutOrStdout(), f.output, v, generationRows)
			})
		}}
	f.add(c)
	return c
}

// generationError gives an error about a generation its exit code.
func generationError(err error) error {
	if errors.Is(err, cartridge.ErrNoGeneration) {
		return fail(exitNotFound, err)
	}
	if errors.Is(err, cartridge.ErrInUse) {
		return fail(exitConflict, err)
	}
	return fail(exitFailure, err)
}

// pruned is what "tape prune" prints.
type pruned struct {
	Cartridge   string `json:"cartridge"`
	Generations int    `json:"generations"` // that are gone
	Segments    int    `json:"segments"`    // files that are gone
}

func tapePruneCommand() *cobra.Command {
	var f tapeFlags
	var r cartridge.Retention
	age := "0"
	c := &cobra.Command{Use: "prune BARCODE", Short: "Let older generations of a cartridge go now, and their space", Args: cobra.ExactArgs(1),
		Long: `Let older generations of a cartridge go now, whatever the retention of the library is, and give back
their space. There is no undo. Without flags all but the current one go.`,
		Example: "  targate tape prune TG0001L8 --keep 2 --keep-age 7d",
		RunE: func(c *cobra.Command, args []string) (err error) {
			if r.Age, err = parseAge(age); err != nil {
				return failf(exitUsage, "--keep-age: %v", err)
			}
			return f.mount(c, args[0], false, func(_ context.Context, m *cartridge.Cartridge) error {
				p, err := m.Prune(r)
				if err != nil {
					return generationError(err)
				}
				return printTable(c.OutOrStdout(), f.output, pruned{args[0], p.Generations, p.Segments}, func(w io.Writer, v pruned) {
					fmt.Fprintf(w, "%s\t%d generations are gone, with %d files\n", v.Cartridge, v.Generations, v.Segments)
				})
			})
		}}
	f.add(c)
	c.Flags().IntVar(&r.Count, "keep", 0, "keep this many older generations")
	c.Flags().StringVar(&age, "keep-age", age, "keep those that ended less than this ago, as in 12h or 7d")
	return c
}

// fault is one of "tape fsck".
type tapeFault struct {
	Cartridge string `json:"cartridge"`
	File      string `json:"file"`
	Offset    int64  `json:"offset"`
	Message   string `json:"message"`
}

type tapeFaults struct {
	Checked int         `json:"checked"` // cartridges
	Faults  []tapeFault `json:"faults"`
}

func tapeFsckCommand() *cobra.Command {
	var f tapeFlags
	c := &cobra.Command{Use: "fsck BARCODE...", Short: "Read all of cartridges and say what is damaged", Args: cobra.MinimumNArgs(1),
		Long: `Read all of cartridges that are not in a drive, compare it with its checksums, and say what is
damaged, with file and offset. Nothing is changed: what a crash left is tidied up when the
cartridge is loaded, and is no damage. The exit code is 1 when there is damage.`,
		Example: "  targate tape fsck TG0001L8 TG0002L8\n  targate tape fsck ./tapes/TG0001L8 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			v := tapeFaults{Faults: []tapeFault{}}
			bar := newProgress(c.ErrOrStderr(), "checking", int64(len(args)), countUnit)
			defer bar.end()
			for i, name := range args {
				path, err := f.path(c, name)
				if err != nil {
					return err
				}
				bar.set(int64(i), name)
				list, err := cartridge.Check(path, cartridge.Options{})
				if err != nil && (errors.Is(err, cartridge.ErrInUse) || errors.Is(err, fs.ErrNotExist)) {
					return mountError(name, err)
				}
				for _, x := range list {
					v.Faults = append(v.Faults, tapeFault{name, x.File, x.Offset, x.Err.Error()})
				}
				if err != nil {
					v.Faults = append(v.Faults, tapeFault{Cartridge: name, Message: err.Error()})
				}
				v.Checked++
			}
			bar.end()
			if err := printTable(c.OutOrStdout(), f.output, v, faultRows); err != nil || len(v.Faults) == 0 {
				return err
			}
			return fail(exitFailure, nil)
		}}
	f.add(c)
	return c
}

func faultRows(w io.Writer, v tapeFaults) {
	for _, x := range v.Faults {
		fmt.Fprintf(w, "%s: %s: %d: %s\n", x.Cartridge, x.File, x.Offset, x.Message)
	}
	if len(v.Faults) == 0 {
		fmt.Fprintf(w, "%d checked, no damage\n", v.Checked)
	}
}

func tapeDumpCommand() *cobra.Command {
	var f tapeFlags
	c := &cobra.Command{Use: "dump BARCODE", Short: "Say in words what the files of a cartridge hold", Args: cobra.ExactArgs(1),
		Long:    "Say in words what the files of a cartridge hold, record by record, without its data: for who looks for a fault.",
		Example: "  targate tape dump TG0001L8 | less",
		RunE: func(c *cobra.Command, args []string) error {
			path, err := f.path(c, args[0])
			if err != nil {
				return err
			}
			if f.output == "json" {
				return dumpJSON(c.OutOrStdout(), path, args[0])
			}
			if err := cartridge.Dump(path, c.OutOrStdout(), cartridge.Options{}); err != nil {
				return mountError(args[0], err)
			}
			return nil
		}}
	f.add(c)
	return c
}

// dumpJSON prints the lines of a dump.
func dumpJSON(w io.Writer, path, name string) error {
	r, pipe := io.Pipe()
	go func() { pipe.CloseWithError(cartridge.Dump(path, pipe, cartridge.Options{})) }()
	lines := []string{}
	s := bufio.NewScanner(r)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	if err := s.Err(); err != nil {
		return mountError(name, err)
	}
	return printJSON(w, map[string][]string{"lines": lines})
}
