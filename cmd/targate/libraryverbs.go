package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/targate/targate/gateway/manage/api"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
)

func libraryCommand() *cobra.Command {
	return group("library", "Show tape libraries, and let their robots work",
		listCommand("list", "List the libraries", "  targate library list -o json", "/v1/libraries", libraryRows),
		libraryShowCommand(), libraryInventoryCommand(), libraryImportCommand(), libraryExportCommand(), libraryFaultsCommand(), libraryModelsCommand())
}

// libraryView is what "library show" prints.
type libraryView struct {
	libraryStatus
	Elements   []driveStatus     `json:"drive_list"`
	Places     []slotStatus      `json:"slot_list"`
	Cartridges []cartridgeStatus `json:"cartridge_list"`
}

func libraryShowCommand() *cobra.Command {
	var f libraryFlags
	c := &cobra.Command{Use: "show NAME", Short: "Show a library with its drives, slots and cartridges", Args: cobra.ExactArgs(1),
		Example: "  targate library show lib0",
		RunE: func(c *cobra.Command, args []string) error {
			f.library = args[0]
			var libs libraryList
			var drives driveList
			var slots slotList
			var tapes cartridgeList
			for path, v := range map[string]any{"/v1/libraries": &libs, "/v1/drives": &drives, "/v1/slots": &slots, "/v1/cartridges": &tapes} {
				if err := f.get(c, path, url.Values{}, v); err != nil {
					return err
				}
			}
			v := libraryView{libs.Libraries[0], drives.Drives, slots.Slots, tapes.Cartridges}
			return printTable(c.OutOrStdout(), f.output, v, func(w io.Writer, v libraryView) {
				l := v.libraryStatus
				fmt.Fprintf(w, "%s: %s (%s %s %s), serial %s, cartridges in %s\n", l.Name, l.Model, l.Vendor, l.Product, l.Revision, l.Serial, l.Path)
				fmt.Fprintf(w, "the robot made %d moves, %d exchanges, %d scans; health: %s\n\n", l.Moves, l.Exchanges, l.Scans, l.health())
				driveRows(w, driveList{v.Elements})
				fmt.Fprintln(w)
				slotRows(w, slotList{v.Places})
				fmt.Fprintln(w)
				cartridgeRows(w, cartridgeList{v.Cartridges})
			})
		}}
	f.serverFlags.add(c)
	return c
}

func libraryInventoryCommand() *cobra.Command {
	return changeCommand{use: "inventory [NAME]", short: "Have the robot read all barcodes",
		long: `Have the robot read all barcodes, as INITIALIZE ELEMENT STATUS does, and look again for
the contents of cartridges that were missing.`,
		example: "  targate library inventory lib0", path: "/v1/libraries/inventory", args: cobra.MaximumNArgs(1),
		ask: func(args []string, q libraryRequest) ([]libraryRequest, error) {
			return []libraryRequest{libraryOf(args, q)}, nil
		}}.command()
}

// libraryOf is q for the library that the first argument names.
func libraryOf(args []string, q libraryRequest) libraryRequest {
	if len(args) > 0 {
		q.Library = args[0]
	}
	return q
}

func libraryImportCommand() *cobra.Command {
	return changeCommand{use: "import NAME BARCODE...", short: "Put cartridges of the vault into the mailslots of a library",
		long: `Put cartridges of the vault into free mailslots, or into free slots when the library has no
mailslots. Initiators are told; backup programs then move them to slots. "targate tape
import" can say where to.`,
		example: "  targate library import lib0 TG0001L8 TG0002L8", path: "/v1/cartridges/import", args: cobra.MinimumNArgs(2),
		ask: func(args []string, q libraryRequest) ([]libraryRequest, error) {
			return forEach(args[1:], libraryOf(args, q)), nil
		}}.command()
}

// forEach asks the same for each cartridge.
func forEach(barcodes []string, q libraryRequest) (list []libraryRequest) {
	for _, b := range barcodes {
		q.Cartridge = b
		list = append(list, q)
	}
	return list
}

func libraryExportCommand() *cobra.Command {
	var f libraryFlags
	c := &cobra.Command{Use: "export NAME", Short: "Take all cartridges out of the mailslots of a library, into the vault",
		Long: `Take all cartridges out of the mailslots, into the vault: what an operator does with what a
backup program has ejected.`,
		Example: "  targate library export lib0", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.library = args[0]
			var slots slotList
			if err := f.get(c, "/v1/slots", url.Values{}, &slots); err != nil {
				return err
			}
			done := cartridgeList{Cartridges: []cartridgeStatus{}}
			for _, s := range slots.Slots {
				if s.Place.Kind != library.Mailslot || s.Barcode == "" {
					continue
				}
				var v cartridgeList
				err := f.with(c, func(ctx context.Context, cl *api.Client) error {
					return cl.Post(ctx, "/v1/cartridges/export", libraryRequest{Library: f.library, Cartridge: s.Barcode}, &v)
				})
				if err != nil {
					return err
				}
				done.Cartridges = append(done.Cartridges, v.Cartridges...)
			}
			return printTable(c.OutOrStdout(), f.output, done, changedRows)
		}}
	f.serverFlags.add(c)
	return c
}

func libraryFaultsCommand() *cobra.Command {
	var f libraryFlags
	var file string
	var off bool
	c := &cobra.Command{Use: "faults NAME", Short: "Show the fault rules of a library, or put others in place",
		Long: `Show the fault rules of a library and what became of them, or put those of a file in place,
until the next start.`,
		Example: "  targate library faults lib0\n  targate library faults lib0 --set faults.txt\n  targate library faults lib0 --off", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.library = args[0]
			var v faultList
			var err error
			switch q := (faultRequest{Library: args[0]}); {
			case file != "" && off:
				return failf(exitUsage, "--set and --off exclude each other")
			case file != "" || off:
				if file != "" {
					b, err := os.ReadFile(file)
					if err != nil {
						return fileError(err)
					}
					q.Rules = string(b)
				}
				err = f.with(c, func(ctx context.Context, cl *api.Client) error { return cl.Post(ctx, "/v1/libraries/faults", q, &v) })
			default:
				err = f.get(c, "/v1/libraries/faults", url.Values{}, &v)
			}
			if err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, v, func(w io.Writer, v faultList) {
				fmt.Fprint(w, "RULE\tHITS\tAPPLIED\n")
				for _, r := range v.Rules {
					fmt.Fprintf(w, "%s\t%d\t%d\n", r.Rule, r.Hits, r.Applied)
				}
			})
		}}
	f.serverFlags.add(c)
	c.Flags().StringVar(&file, "set", "", "put the rules of this `FILE` in place")
	c.Flags().BoolVar(&off, "off", false, "end all faults")
	return c
}

// fileError gives an error of the file system its exit code.
func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitNotFound, err)
	case errors.Is(err, fs.ErrExist):
		return fail(exitConflict, err)
	}
	return fail(exitFailure, err)
}

// modelList is what "library models" prints.
type modelList struct {
	Changers []model `json:"changers"`
	Drives   []model `json:"drives"`
	Media    []model `json:"media"`
}

type model struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Vendor      string `json:"vendor,omitempty"`
	Product     string `json:"product,omitempty"`
	Suffix      string `json:"suffix,omitempty"` // of barcodes
}

func libraryModelsCommand() *cobra.Command {
	var dir, output string
	c := &cobra.Command{Use: "models", Short: "List the models that a configuration can name", Args: cobra.NoArgs,
		Example: "  targate library models\n  targate library models --personalities ./models -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			set := personality.Builtin()
			if dir != "" {
				var err error
				if set, err = personality.Load(dir); err != nil {
					return fail(exitFailure, err)
				}
			}
			var v modelList
			for _, x := range set.Changers() {
				v.Changers = append(v.Changers, model{Name: x.Name, Description: x.Description, Vendor: x.Vendor, Product: x.Product})
			}
			for _, x := range set.Drives() {
				v.Drives = append(v.Drives, model{Name: x.Name, Description: x.Description, Vendor: x.Vendor, Product: x.Product})
			}
			for _, x := range set.AllMedia() {
				v.Media = append(v.Media, model{Name: x.Name, Description: x.Description, Suffix: strings.TrimSuffix(x.Suffix+" "+x.WORMSuffix, " ")})
			}
			return printTable(c.OutOrStdout(), output, v, func(w io.Writer, v modelList) {
				for _, t := range []struct {
					title string
					list  []model
				}{{"CHANGER", v.Changers}, {"\nDRIVE", v.Drives}} {
					fmt.Fprintf(w, "%s\tVENDOR\tPRODUCT\tDESCRIPTION\n", t.title)
					for _, m := range t.list {
						fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", m.Name, m.Vendor, m.Product, m.Description)
					}
				}
				fmt.Fprint(w, "\nCARTRIDGE\tBARCODES END IN\n")
				for _, m := range v.Media {
					fmt.Fprintf(w, "%s\t%s\n", m.Name, m.Suffix)
				}
			})
		}}
	addOutput(c, &output)
	c.Flags().StringVar(&dir, "personalities", "", "a directory of models of your own")
	return c
}

func driveCommand() *cobra.Command {
	to := func(c *cobra.Command, q *libraryRequest) {
		placeFlag(c, &q.To, "to", "where the cartridge goes: slot:N or mailslot:N (default: where it came from)")
	}
	one := func(args []string, q libraryRequest) ([]libraryRequest, error) {
		q.Drive = args[0]
		return []libraryRequest{q}, nil
	}
	return group("drive", "Load and unload the drives of tape libraries",
		listCommand("list", "List the drives", "  targate drive list --library lib0", "/v1/drives", driveRows),
		changeCommand{use: "load DRIVE BARCODE", short: "Put a cartridge into a drive",
			long: `Put a cartridge into a drive, which begins to load it. DRIVE is its name, as in "targate drive
list", or its number in the library.`,
			example: "  targate drive load lib0-drive1 TG0001L8", path: "/v1/drives/load", args: cobra.ExactArgs(2),
			ask: func(args []string, q libraryRequest) ([]libraryRequest, error) {
				q.Drive, q.Cartridge = args[0], args[1]
				return []libraryRequest{q}, nil
			}}.command(),
		changeCommand{use: "unload DRIVE", short: "Unload a drive and carry its cartridge back",
			example: "  targate drive unload lib0-drive1\n  targate drive unload 1 --to mailslot:1",
			path:    "/v1/drives/unload", args: cobra.ExactArgs(1), flags: to, ask: one}.command(),
		changeCommand{use: "eject DRIVE", short: "Press the unload button of a drive; the cartridge stays in it",
			example: "  targate drive eject lib0-drive1", path: "/v1/drives/eject", args: cobra.ExactArgs(1), ask: one}.command())
}

func slotCommand() *cobra.Command {
	return group("slot", "Show slots and mailslots, and move what is in them",
		listCommand("list", "List the slots and mailslots", "  targate slot list -o json", "/v1/slots", slotRows),
		changeCommand{use: "move FROM TO", short: "Carry a cartridge from one place of a library to another",
			long:    "Carry a cartridge from one place of a library to another: slot:N, mailslot:N or drive:N.",
			example: "  targate slot move slot:3 mailslot:1", path: "/v1/libraries/move", args: cobra.ExactArgs(2),
			ask: func(args []string, q libraryRequest) (list []libraryRequest, err error) {
				if q.From, err = parsePlace(args[0]); err != nil {
					return nil, err
				}
				q.To, err = parsePlace(args[1])
				return []libraryRequest{q}, err
			}}.command())
}

func parsePlace(s string) (library.Place, error) {
	p, err := library.ParsePlace(s)
	if err != nil {
		return p, fail(exitUsage, err)
	}
	return p, nil
}

// placeFlag adds a flag that is a place.
func placeFlag(c *cobra.Command, p *library.Place, name, usage string) {
	c.Flags().TextVar(p, name, library.Place{}, usage)
}

// tapeChanges are the verbs of tape that the server carries out.
func tapeChanges() (list []*cobra.Command) {
	all := func(args []string, q libraryRequest) ([]libraryRequest, error) { return forEach(args, q), nil }
	for _, x := range []changeCommand{
		{use: "create BARCODE...", short: "Make blank cartridges",
			long: `Make blank cartridges. BARCODE may be a range. Its last two characters say of what kind
they are (see "targate library models"); one that begins with CLN is a cleaning cartridge.
They go into the first free slots, and into the vault when there are none.`,
			example: "  targate tape create TG0011L8-TG0020L8\n  targate tape create TG0021L8 --to mailslot:1",
			path:    "/v1/cartridges/create", args: cobra.MinimumNArgs(1), ask: all,
			flags: func(c *cobra.Command, q *libraryRequest) {
				placeFlag(c, &q.To, "to", "slot:N, mailslot:N or vault")
				c.Flags().BoolVar(&q.On, "write-protect", false, "with the tab on")
				c.Flags().Var((*sizeFlag)(&q.Capacity), "capacity", "how much each holds, as in 10GiB (default: as its kind)")
			}},
		{use: "move BARCODE PLACE", short: "Carry a cartridge to a slot, mailslot or drive",
			example: "  targate tape move TG0001L8 slot:5", path: "/v1/libraries/move", args: cobra.ExactArgs(2),
			ask: func(args []string, q libraryRequest) (list []libraryRequest, err error) {
				q.Cartridge = args[0]
				q.To, err = parsePlace(args[1])
				return []libraryRequest{q}, err
			}},
		{use: "load BARCODE", short: "Put a cartridge into a drive",
			example: "  targate tape load TG0001L8\n  targate tape load TG0001L8 --drive 2", path: "/v1/drives/load", args: cobra.ExactArgs(1), ask: all,
			flags: func(c *cobra.Command, q *libraryRequest) {
				c.Flags().StringVar(&q.Drive, "drive", "", "the drive, by name or number (default: the first empty one that can load it)")
			}},
		{use: "unload BARCODE", short: "Unload a cartridge from its drive and carry it back",
			example: "  targate tape unload TG0001L8 --to mailslot:1", path: "/v1/drives/unload", args: cobra.ExactArgs(1), ask: all,
			flags: func(c *cobra.Command, q *libraryRequest) {
				placeFlag(c, &q.To, "to", "where it goes: slot:N or mailslot:N (default: where it came from)")
			}},
		{use: "import BARCODE...", short: "Put cartridges of the vault into a library",
			long: `Put cartridges of the vault into the first free mailslots, or slots when the library has no
mailslots. Initiators are told.`,
			example: "  targate tape import TG0001L8 --to slot:7", path: "/v1/cartridges/import", args: cobra.MinimumNArgs(1), ask: all,
			flags: func(c *cobra.Command, q *libraryRequest) { placeFlag(c, &q.To, "to", "mailslot:N or slot:N") }},
		{use: "export BARCODE...", short: "Take cartridges out of a library, into the vault",
			long: `Take cartridges out of slots or mailslots, into the vault: the shelf outside of the library.
Initiators see that they are gone. Their contents stay.`,
			example: "  targate tape export TG0001L8 TG0002L8", path: "/v1/cartridges/export", args: cobra.MinimumNArgs(1), ask: all},
		{use: "eject BARCODE...", short: "Carry cartridges to free mailslots, from where they can be exported",
			example: "  targate tape eject TG0001L8", path: "/v1/cartridges/eject", args: cobra.MinimumNArgs(1), ask: all},
		{use: "write-protect BARCODE...", short: "Move the tab of cartridges that are not in a drive",
			example: "  targate tape write-protect TG0001L8\n  targate tape write-protect TG0001L8 --off",
			path:    "/v1/cartridges/write-protect", args: cobra.MinimumNArgs(1),
			flags: func(c *cobra.Command, q *libraryRequest) {
				c.Flags().BoolVar(&q.Off, "off", false, "let it be written again")
			},
			ask: all},
		{use: "label BARCODE NEW", short: "Stick another label on a cartridge",
			long:    "Stick another label on a cartridge that is not in a drive. What ends the barcode, and says its kind, stays.",
			example: "  targate tape label TG0001L8 MON001L8", path: "/v1/cartridges/label", args: cobra.ExactArgs(2),
			ask: func(args []string, q libraryRequest) ([]libraryRequest, error) {
				q.Cartridge, q.Label = args[0], args[1]
				return []libraryRequest{q}, nil
			}},
		{use: "set-worm BARCODE [NEW]", short: "Make a blank cartridge one that is written only once",
			long: `Make a blank cartridge one that is written only once. The end of its barcode says that it is
one, so NEW is the barcode that it gets, as TG0001LY of TG0001L8.`,
			example: "  targate tape set-worm TG0001L8 TG0001LY", path: "/v1/cartridges/set-worm", args: cobra.RangeArgs(1, 2),
			ask: func(args []string, q libraryRequest) ([]libraryRequest, error) {
				q.Cartridge = args[0]
				if len(args) > 1 {
					q.Label = args[1]
				}
				return []libraryRequest{q}, nil
			}},
		{use: "delete BARCODE...", short: "Destroy cartridges with all their generations",
			long: `Destroy cartridges that are not in a drive, with all their generations. One that is not blank
takes --force. If the configuration names it under "cartridges", a blank one of that
barcode is there again after the next start.`,
			example: "  targate tape delete TG0001L8", path: "/v1/cartridges/delete", args: cobra.MinimumNArgs(1), ask: all,
			flags: func(c *cobra.Command, q *libraryRequest) {
				c.Flags().BoolVar(&q.Force, "force", false, "also one that is not blank")
			}},
	} {
		list = append(list, x.command())
	}
	return list
}

func tapeListCommand() *cobra.Command {
	return listCommand("list", "List the cartridges, those in the vault among them", "  targate tape list -o json", "/v1/cartridges", cartridgeRows)
}
