package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/contents"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/pool"
)

func tapeCommand() *cobra.Command {
	c := group("tape", "Make, move, look into and repair cartridges",
		append([]*cobra.Command{tapeListCommand(), tapeShowCommand()}, tapeChanges()...)...)
	c.Long = `Make, move, look into and repair cartridges.

BARCODE is that of a cartridge of the running server. show, generations, rollback, prune,
fsck, dump, ls, cat, import-image and export-image work on the directory of a cartridge, too,
be there a server or not: they take its path in place of a barcode, or look below --dir. Those
that only read can do so while a drive has it, and see what is durable by then.`
	c.AddCommand(tapeGenerationsCommand(), tapeRollbackCommand(), tapePruneCommand(), tapeFsckCommand(), tapeDumpCommand(),
		tapeLsCommand(), tapeCatCommand(), tapeImportImageCommand(), tapeExportImageCommand())
	return c
}

// sizeFlag is a flag with a size as in the configuration.
type sizeFlag int64

func (s *sizeFlag) String() string {
	if *s == 0 {
		return ""
	}
	return config.FormatSize(int64(*s))
}

func (s *sizeFlag) Set(text string) error {
	n, err := config.ParseSize(text)
	*s = sizeFlag(n)
	return err
}

func (s *sizeFlag) Type() string { return "SIZE" }

// tapeFlags are how a command finds a cartridge.
type tapeFlags struct {
	libraryFlags
	dir        string
	generation string // to read; empty: the current one
}

// addGeneration adds the flag that chooses a generation.
func (f *tapeFlags) addGeneration(c *cobra.Command) {
	c.Flags().StringVar(&f.generation, "generation", "", "what the cartridge was at the end of this `NUMBER` of \"targate tape generations\"")
}

func (f *tapeFlags) add(c *cobra.Command) {
	f.libraryFlags.add(c)
	c.Flags().StringVar(&f.dir, "dir", "", "look for the barcode in this `DIR` of cartridges, not at the server")
}

// path is the directory of the cartridge that name means.
func (f *tapeFlags) path(c *cobra.Command, name string) (string, error) {
	if err := checkOutput(f.output); err != nil {
		return "", err
	}
	if f.dir != "" {
		return f.below(name)
	}
	if strings.ContainsRune(name, '/') {
		return name, nil
	}
	x, err := f.cartridge(c, name)
	if err == nil && x.Path == "" {
		return "", failf(exitConflict, "%s has no contents: it is a cleaning cartridge, or they are missing", name)
	}
	return x.Path, err
}

// below is the cartridge of a barcode, or ID, in --dir.
func (f *tapeFlags) below(name string) (string, error) {
	all, err := pool.Find(f.dir, cartridge.Options{}, func(string, error) {})
	if err != nil {
		return "", fileError(err)
	}
	for _, x := range all {
		if x.Barcode == name || x.ID == name {
			return x.Path, nil
		}
	}
	return "", failf(exitNotFound, "there is no cartridge %q in %s", name, f.dir)
}

// cartridge is one of the server.
func (f *tapeFlags) cartridge(c *cobra.Command, name string) (cartridgeStatus, error) {
	var v cartridgeList
	if err := f.get(c, "/v1/cartridges", url.Values{"cartridge": {name}}, &v); err != nil {
		return cartridgeStatus{}, err
	}
	if len(v.Cartridges) > 1 {
		return cartridgeStatus{}, failf(exitUsage, "several libraries have a cartridge %s; name one with --library", name)
	}
	return v.Cartridges[0], nil
}

// mount mounts the cartridge that name means and calls do. ctx ends with a signal.
func (f *tapeFlags) mount(c *cobra.Command, name string, readOnly bool, do func(context.Context, *cartridge.Cartridge) error) error {
	path, err := f.path(c, name)
	if err != nil {
		return err
	}
	m, err := f.open(path, readOnly)
	if err != nil {
		return mountError(name, err)
	}
	ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = do(ctx, m)
	if closing := m.Close(); closing != nil {
		err = errors.Join(err, fail(exitFailure, closing))
	}
	return err
}

// open mounts the cartridge at path. To read, one of its generations will do, which a drive does
// not keep from others.
func (f *tapeFlags) open(path string, readOnly bool) (*cartridge.Cartridge, error) {
	switch {
	case readOnly && f.generation != "":
		g, err := numberArg(f.generation)
		if err != nil {
			return nil, err
		}
		m, err := cartridge.OpenGeneration(path, g, cartridge.Options{})
		if errors.Is(err, cartridge.ErrNoGeneration) {
			return nil, generationError(err)
		}
		return m, err
	case readOnly:
		return openToRead(path)
	}
	return cartridge.Open(path, cartridge.Options{})
}

// openToRead mounts the current generation of the cartridge at path: what is durable of it. That
// keeps no drive from loading it.
func openToRead(path string) (*cartridge.Cartridge, error) {
	all, err := cartridge.Generations(path, cartridge.Options{})
	if err != nil {
		return nil, err
	}
	return cartridge.OpenGeneration(path, all[len(all)-1].Number, cartridge.Options{})
}

func mountError(name string, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	if errors.Is(err, cartridge.ErrInUse) {
		return failf(exitConflict, "%s: %w: a drive has it, or another command; unload it first", name, err)
	}
	return fileError(err)
}

// tapeView is what "tape show" prints.
type tapeView struct {
	*cartridgeStatus                 // of the server; nil: it was not asked
	Identity         *tapeIdentity   `json:"identity,omitempty"`
	Generation       uint64          `json:"generation"`
	Partitions       []tapePartition `json:"partitions,omitempty"`
}

type tapeIdentity struct {
	ID       string    `json:"id"`
	Barcode  string    `json:"barcode"`
	Media    string    `json:"media"`
	Serial   string    `json:"serial"`
	WORM     bool      `json:"worm"`
	Capacity int64     `json:"capacity"`
	Created  time.Time `json:"created"`
}

type tapePartition struct {
	Objects   uint64 `json:"objects"`
	Filemarks uint64 `json:"filemarks"`
	Capacity  int64  `json:"capacity"`
	Used      int64  `json:"used"`
	Written   uint64 `json:"written"`
	Stored    uint64 `json:"stored"`
}

func tapeShowCommand() *cobra.Command {
	var f tapeFlags
	c := &cobra.Command{Use: "show BARCODE", Short: "Show a cartridge", Args: cobra.ExactArgs(1),
		Example: "  targate tape show TG0001L8\n  targate tape show ./tapes/TG0001L8",
		RunE: func(c *cobra.Command, args []string) error {
			v, err := f.view(c, args[0])
			if err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, v, viewRows)
		}}
	f.add(c)
	return c
}

// view gathers what is known of a cartridge.
func (f *tapeFlags) view(c *cobra.Command, name string) (v tapeView, err error) {
	if err := checkOutput(f.output); err != nil {
		return v, err
	}
	path := ""
	if f.dir == "" && !strings.ContainsRune(name, '/') {
		x, err := f.cartridge(c, name)
		if err != nil {
			return v, err
		}
		v.cartridgeStatus, path = &x, x.Path
	} else if path, err = f.path(c, name); err != nil {
		return v, err
	}
	if path == "" {
		return v, nil
	}
	i, err := cartridge.Read(path, cartridge.Options{})
	if err != nil {
		return v, fileError(err)
	}
	v.Identity = &tapeIdentity{i.ID, i.Barcode, i.Type, i.Serial, i.WORM, i.Capacity, i.Created}
	m, err := f.open(path, true)
	if err != nil {
		return v, mountError(name, err)
	}
	v.Generation = m.Info().Generation
	for p := range m.Partitions() {
		x := m.Partition(p)
		v.Partitions = append(v.Partitions, tapePartition{x.Objects, x.Filemarks, x.Capacity, x.Used, x.Written, x.Stored})
	}
	if err := m.Close(); err != nil {
		return v, fail(exitFailure, err)
	}
	return v, nil
}

func viewRows(w io.Writer, v tapeView) {
	row := func(name, format string, a ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	if c := v.cartridgeStatus; c != nil {
		row("barcode", "%s", c.Barcode)
		row("library", "%s", c.Library)
		row("place", "%s", c.Place)
		row("kind", "%s", c.Media)
		row("marks", "%s", orDash(strings.Join(cartridgeFlags(*c), ", ")))
		row("moved", "%d times, into drives %d times", c.Moves, c.Loads)
		row("directory", "%s", orDash(c.Path))
	} else {
		row("barcode", "%s", v.Identity.Barcode)
		row("kind", "%s", v.Identity.Media)
	}
	if i := v.Identity; i != nil {
		row("id", "%s", i.ID)
		row("serial", "%s", i.Serial)
		row("capacity", "%s", human(i.Capacity))
		row("created", "%s", i.Created.Local().Format(time.DateTime))
		row("generation", "%d", v.Generation)
	}
	for n, p := range v.Partitions {
		row(fmt.Sprintf("partition %d", n), "%d objects, %d of them filemarks; %s of %s used, for %s of data", p.Objects, p.Filemarks,
			human(p.Used), human(p.Capacity), human(int64(p.Written)))
	}
}

// keyFlag is the key of encrypted blocks.
type keyFlag struct{ file string }

func (k *keyFlag) add(c *cobra.Command) {
	c.Flags().StringVar(&k.file, "key-file", "", "the `FILE` whose first line is the key of encrypted blocks: 64 hexadecimal digits")
}

func (k *keyFlag) key() (*medium.Key, error) {
	if k.file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(k.file)
	if err != nil {
		return nil, fileError(err)
	}
	line, _, _ := strings.Cut(string(b), "\n") // stenc has a description behind it
	key, err := hex.DecodeString(strings.TrimSpace(line))
	if err != nil || len(key) != 32 {
		return nil, failf(exitUsage, "%s does not begin with a line of 64 hexadecimal digits", k.file)
	}
	return &medium.Key{AES: [32]byte(key)}, nil
}

// fileList is what "tape ls" prints.
type fileList struct {
	Files []contents.File `json:"files"`
}

func tapeLsCommand() *cobra.Command {
	var f tapeFlags
	var k keyFlag
	partition := -1
	c := &cobra.Command{Use: "ls BARCODE", Short: "List what is between the filemarks of a cartridge", Args: cobra.ExactArgs(1),
		Long: `List what is between the filemarks of a cartridge, and what the first blocks say they are:
ANSI labels, tar, cpio, dump, Bacula and Bareos, Amanda, LTFS.`,
		Example: "  targate tape ls TG0001L8\n  targate tape ls ./tapes/TG0001L8 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			key, err := k.key()
			if err != nil {
				return err
			}
			v := fileList{Files: []contents.File{}}
			err = f.mount(c, args[0], true, func(ctx context.Context, m *cartridge.Cartridge) error {
				first, last, err := partitions(m, partition)
				if err != nil {
					return err
				}
				bar := newProgress(c.ErrOrStderr(), "looking", int64(m.Partition(first).Filemarks), countUnit)
				defer bar.end()
				for p := first; p <= last; p++ {
					err := contents.List(ctx, m, p, key, func(x contents.File) error {
						v.Files = append(v.Files, x)
						bar.set(int64(x.Number), "files")
						return nil
					})
					if err != nil {
						return fail(exitFailure, err)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, v, fileRows)
		}}
	f.add(c)
	f.addGeneration(c)
	k.add(c)
	c.Flags().IntVar(&partition, "partition", -1, "only this partition, from 0 on")
	return c
}

// partitions are those that a flag means: all for -1.
func partitions(m medium.Medium, n int) (first, last int, err error) {
	switch {
	case n == -1:
		return 0, m.Partitions() - 1, nil
	case n < 0 || n >= m.Partitions():
		return 0, 0, failf(exitNotFound, "there is no partition %d; the cartridge has %d", n, m.Partitions())
	}
	return n, n, nil
}

func fileRows(w io.Writer, v fileList) {
	fmt.Fprint(w, "PARTITION\tFILE\tFIRST\tBLOCKS\tBLOCK SIZE\tDATA\tWHAT\n")
	for _, x := range v.Files {
		size := strconv.Itoa(x.Longest)
		if x.Shortest != x.Longest {
			size = fmt.Sprintf("%d to %d", x.Shortest, x.Longest)
		}
		var what []string
		for _, l := range x.Labels {
			what = append(what, l.Kind+": "+l.Text)
		}
		if x.Encrypted {
			what = append(what, "encrypted")
		}
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%s\t%s\t%s\n", x.Partition, x.Number, x.First, x.Blocks, size, human(x.Bytes), orDash(strings.Join(what, "; ")))
	}
}

func tapeCatCommand() *cobra.Command {
	var f tapeFlags
	var k keyFlag
	var partition int
	c := &cobra.Command{Use: "cat BARCODE FILE", Short: "Write the blocks of a file of a cartridge to the standard output", Args: cobra.ExactArgs(2),
		Long: `Write the blocks between two filemarks to the standard output. FILE is the number in "targate
tape ls".`,
		Example: "  targate tape cat TG0001L8 0 | tar tvf -",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.ParseUint(args[1], 10, 63)
			if err != nil {
				return failf(exitUsage, "%q is not the number of a file", args[1])
			}
			key, err := k.key()
			if err != nil {
				return err
			}
			return f.mount(c, args[0], true, func(ctx context.Context, m *cartridge.Cartridge) error {
				x, err := contents.Find(m, partition, n)
				if errors.Is(err, contents.ErrNoFile) {
					return fail(exitNotFound, err)
				}
				if err == nil {
					_, err = io.Copy(c.OutOrStdout(), untilDone{ctx, contents.NewReader(m, x, key)})
				}
				if err != nil {
					return fail(exitFailure, err)
				}
				return nil
			})
		}}
	f.add(c)
	f.addGeneration(c)
	k.add(c)
	c.Flags().IntVar(&partition, "partition", 0, "the partition, from 0 on")
	return c
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}
