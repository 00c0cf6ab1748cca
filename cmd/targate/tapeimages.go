package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/image"
)

// formatFlag is the format of an image.
type formatFlag struct{ name string }

func (x *formatFlag) add(c *cobra.Command, def string) {
	c.Flags().StringVar(&x.name, "format", "", fmt.Sprintf("%s (default: %s)", strings.Join(image.Names(), ", "), def))
}

// find is the format that was named, or else what other says.
func (x *formatFlag) find(other func() (image.Format, error)) (image.Format, error) {
	if x.name == "" {
		return other()
	}
	format, ok := image.Find(x.name)
	if !ok {
		return format, failf(exitUsage, "--format %q is not one of %s", x.name, strings.Join(image.Names(), ", "))
	}
	return format, nil
}

func tapeImportImageCommand() *cobra.Command {
	var f tapeFlags
	var format formatFlag
	compress := true
	c := &cobra.Command{Use: "import-image BARCODE FILE", Short: "Record a tape image of another program on a blank cartridge", Args: cobra.ExactArgs(2),
		Long: `Record a tape image of another program on a blank cartridge that no drive has: SIMH .tap,
Ersatz-11, TPC, AWSTAPE, HET, FakeTape, or a directory of mhvtl.`,
		Example: "  targate tape import-image TG0001L8 old.tap",
		RunE: func(c *cobra.Command, args []string) error {
			from, err := format.find(func() (image.Format, error) { return image.Detect(args[1]) })
			if err != nil {
				return imageError(err)
			}
			total, err := image.Size(args[1])
			if err != nil {
				return fileError(err)
			}
			var n image.Counts
			err = f.mount(c, args[0], false, func(ctx context.Context, m *cartridge.Cartridge) error {
				r, err := from.Open(args[1])
				if err != nil {
					return fileError(err)
				}
				bar := newProgress(c.ErrOrStderr(), "importing", total, human)
				n, err = image.Import(ctx, m, r, compress, func(used int64) { bar.set(used, "") })
				bar.end()
				if err = errors.Join(err, r.Close()); err != nil {
					return imageError(err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, imageCounts{from.Name, n}, imageRows)
		}}
	f.add(c)
	format.add(c, "what the image looks like")
	c.Flags().BoolVar(&compress, "compress", true, "compress what is recorded")
	return c
}

func tapeExportImageCommand() *cobra.Command {
	var f tapeFlags
	var k keyFlag
	var format formatFlag
	c := &cobra.Command{Use: "export-image BARCODE FILE", Short: "Write a cartridge as a tape image of another program", Args: cobra.ExactArgs(2),
		Long: `Write what is on a cartridge as a tape image of another program; while a drive has it, what is
durable. FILE, a directory for mhvtl, must not be there yet.`,
		Example: "  targate tape export-image TG0001L8 copy.tap\n  targate tape export-image TG0001L8 copy.aws --format aws",
		RunE: func(c *cobra.Command, args []string) error {
			to, err := format.find(func() (image.Format, error) { return formatOf(args[1]) })
			if err != nil {
				return err
			}
			key, err := k.key()
			if err != nil {
				return err
			}
			var n image.Counts
			err = f.mount(c, args[0], true, func(ctx context.Context, m *cartridge.Cartridge) error {
				var total int64
				for p := range m.Partitions() {
					total += int64(m.Partition(p).Written)
				}
				w, err := to.Create(args[1])
				if err != nil {
					return fileError(err)
				}
				bar := newProgress(c.ErrOrStderr(), "exporting", total, human)
				n, err = image.Export(ctx, m, w, key, func(written int64) { bar.set(written, "") })
				bar.end()
				if err != nil {
					return imageError(err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			return printTable(c.OutOrStdout(), f.output, imageCounts{to.Name, n}, imageRows)
		}}
	f.add(c)
	f.addGeneration(c)
	k.add(c)
	format.add(c, "as FILE ends")
	return c
}

// formatOf is the format whose files end as path does.
func formatOf(path string) (image.Format, error) {
	for _, x := range image.Formats() {
		for _, ext := range x.Extensions {
			if strings.HasSuffix(strings.ToLower(path), ext) {
				return x, nil
			}
		}
	}
	return image.Format{}, failf(exitUsage, "the end of %s says no format; name one with --format: %s", path, strings.Join(image.Names(), ", "))
}

// imageCounts is what image commands print.
type imageCounts struct {
	Format string `json:"format"`
	image.Counts
}

func imageRows(w io.Writer, v imageCounts) {
	fmt.Fprintf(w, "%s: %d blocks, %d filemarks, %s", v.Format, v.Blocks, v.Filemarks, human(v.Bytes))
	if v.Bad > 0 {
		fmt.Fprintf(w, "; %d blocks were bad when the image was made", v.Bad)
	}
	fmt.Fprintln(w)
}

// imageError gives an error of copying its exit code.
func imageError(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	if errors.Is(err, image.ErrNotBlank) {
		return fail(exitConflict, err)
	}
	return fileError(err)
}
