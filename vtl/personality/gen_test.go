package personality

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

//go:generate go test -count=1 -run ^TestModelTable$ -update .

const modelTable = "../../docs/models.md"

// TestModelTable keeps docs/models.md as the data files are; with -update it writes it.
func TestModelTable(t *testing.T) {
	want := modelsDoc(Builtin())
	if *update {
		if err := os.WriteFile(modelTable, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(modelTable)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/models.md is stale: run go generate ./vtl/personality")
	}
}

func modelsDoc(s *Set) string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format, a...) }
	p(`# Models

What a tape library can be made of: the names that ` + "`model`" + ` takes in the configuration. Written by ` + "`go generate ./vtl/personality`" + ` from
the data files in vtl/personality/data; your own go into a directory of .yaml files and may begin with any of these (` + "`base`" + `).

## Drives

| model | INQUIRY | writes | reads only | partitions | features |
|---|---|---|---|---|---|
`)
	for _, d := range s.Drives() {
		var write, read, features []string
		for _, u := range d.Supports {
			m, _ := s.Media(u.Media)
			switch {
			case m.Cleaning:
			case u.Write:
				write = append(write, u.Media)
			default:
				read = append(read, u.Media)
			}
		}
		for _, f := range []struct {
			name string
			has  bool
		}{
			{"encryption", d.Encryption}, {"compression", d.Compression},
			{"protection by Reed-Solomon", slices.Contains(d.Protection, 1)}, {"by CRC32C", slices.Contains(d.Protection, 2)},
			{"append only", d.AppendOnly}, {"RAO", d.RAO}, {"display", d.Display},
		} {
			if f.has {
				features = append(features, f.name)
			}
		}
		p("| %s | %s `%s` %s | %s | %s | %d | %s |\n", d.Name, d.Vendor, d.Product, d.Revision, strings.Join(write, ", "), strings.Join(read, ", "),
			d.Partitions, strings.Join(features, ", "))
	}
	p(`
## Changers

Element addresses are those of the first element of each type.

| model | machine | INQUIRY | picker | slots | mailslots | drives |
|---|---|---|---|---|---|---|
`)
	for _, c := range s.Changers() {
		p("| %s | %s | %s `%s` %s | %d | %d from %d | %d from %d | %d from %d |\n", c.Name, c.Description, c.Vendor, c.Product, c.Revision,
			c.Picker, c.MaxSlots, c.Slot, c.MaxMailslots, c.Mailslot, c.MaxDrives, c.Drive)
	}
	p(`
## Cartridges

The last two characters of a barcode say which it is. Barcodes of cleaning cartridges begin with %s.

| media | barcode | WORM | capacity | density | medium type | partitions | length | wraps |
|---|---|---|---|---|---|---|---|---|
`, CleaningPrefix)
	media := s.AllMedia()
	slices.SortStableFunc(media, func(a, b *Media) int {
		clean := func(m *Media) int {
			if m.Cleaning {
				return 1
			}
			return 0
		}
		return cmp.Compare(clean(a), clean(b))
	})
	for _, m := range media {
		if m.Cleaning {
			p("| %s | %s | | | | | | | |\n", m.Name, strings.Join(append([]string{m.Suffix}, m.Suffixes...), ", "))
			continue
		}
		p("| %s | %s | %s | %s | %02Xh | %02Xh | %d | %d m | %d |\n", m.Name, m.Suffix, m.WORMSuffix, capacity(m.Capacity), m.Density, m.Type,
			m.Partitions, m.Length, m.Wraps)
	}
	return b.String()
}

func capacity(n int64) string {
	if n%1e12 == 0 {
		return fmt.Sprintf("%d TB", n/1e12)
	}
	return fmt.Sprintf("%d GB", n/1e9)
}
