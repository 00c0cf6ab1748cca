package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
)

// collections are all kinds of device that come several at a time.
func collections() []config.Collection { return []config.Collection{libraryCollection} }

// libraryNoun is an entry of libraries, and the key of targets.
const libraryNoun = "library"

var libraryCollection = config.Collection{
	Key: "libraries", Noun: libraryNoun,
	Doc: "Tape libraries.",
	TargetDoc: "A tape library instead of `luns`: the changer is LUN 0, drive N is LUN N. " +
		"One library may be shown by several targets and groups: see [library of a target](#library-of-a-target).",
	Keys: append([]config.Key{
		{Name: "model", Type: config.String, Required: true,
			Doc: "The model of the changer: see [models](models.md)."},
		{Name: "serial", Type: config.String, Check: checkSerial,
			Doc: "The serial number of the changer. Without it: one is made up, and kept for life."},
		{Name: "path", Type: config.Path, Required: true,
			Doc: "The directory where its cartridges are stored. It is created."},
		{Name: "drives", Type: config.List, Required: true,
			Doc: "The drives: see [drive](#drive). Drive 1 is LUN 1.", Elem: &driveKey},
		{Name: "slots", Type: config.Int, Default: int64(24), Doc: "How many slots there are.", Check: atLeast(1)},
		{Name: "mailslots", Type: config.Int, Default: int64(0),
			Doc: "How many mailslots (import/export elements) there are.", Check: atLeast(0)},
		{Name: "cartridges", Type: config.List,
			Doc: "Cartridges to create if there are none of these barcodes: single ones, or ranges like `TG0001L8-TG0010L8`. " +
				"The last two characters say of what kind; a barcode that begins with `CLN` is a cleaning cartridge. " +
				"They are put into the first free slots. What is taken out of this list stays: see `targate tape delete`. See [cartridge](#cartridge).",
			Elem: &cartridgeKey},
		{Name: "retention", Type: config.Map, Keys: retentionKeys,
			Doc: "How long what was overwritten, erased or formatted stays: see [retention](#retention), and [generations](tape/generations.md)."},
		{Name: "compression", Type: config.Enum, Values: []string{"zstd", "lz4"}, Default: "zstd",
			Doc: "How drives compress when initiators ask for it: `zstd` packs more, `lz4` is faster. What was written with the other stays readable."},
		{Name: "segment_size", Type: config.Size, Default: int64(cartridge.DefaultSegment), Check: checkSegment,
			Doc: "How large the files of new cartridges become, 64KiB to 1GiB."},
		{Name: "personalities", Type: config.Path,
			Doc: "A directory of models of your own, beside those of the program: see [models of your own](models.md#models-of-your-own)."},
	}, faultKeys...),
	Members: libraryMembers,
	Check:   checkLibrary,
}

var driveKey = config.Key{Name: "drive", Type: config.Map, Short: "model", Keys: []config.Key{
	{Name: "model", Type: config.String, Required: true, Doc: "The model of the drive: see [models](models.md)."},
	{Name: "serial", Type: config.String, Doc: "Its serial number. Without it: one is made up, and kept for life.", Check: checkSerial},
}}

var cartridgeKey = config.Key{Name: "cartridge", Type: config.Map, Short: "barcodes", Keys: []config.Key{
	{Name: "barcodes", Type: config.String, Required: true, Check: checkBarcodes, Doc: "A barcode, or a range like `TG0001L8-TG0010L8`."},
	{Name: "capacity", Type: config.Size, Doc: "How much each holds, for trying what happens at the end of a tape. Without it: what cartridges of the kind hold."},
}}

var retentionKeys = []config.Key{
	{Name: "age", Type: config.String, Default: "30d", Check: func(v any) error { _, err := parseAge(v.(string)); return err },
		Doc: "Older generations stay this long after they ended: `12h`, `30d`. 0: they need not stay."},
	{Name: "generations", Type: config.Int, Default: int64(0), Check: atLeast(0),
		Doc: "So many of them stay in any case."},
}

// parseAge reads a time as Go does, and days.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time as 12h or 30d", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a time as 12h or 30d", s)
	}
	return d, nil
}

// retention is that of e.
func retention(e *config.Entry) cartridge.Retention {
	r, ok := e.Values["retention"].(config.Mapping)
	if !ok {
		r.Values = map[string]any{"age": retentionKeys[0].Default, "generations": retentionKeys[1].Default}
	}
	age, _ := parseAge(r.Values["age"].(string)) // checked
	return cartridge.Retention{Age: age, Count: int(r.Values["generations"].(int64))}
}

func atLeast(least int64) func(any) error {
	return func(v any) error {
		if v.(int64) < least {
			return fmt.Errorf("%d is too few", v)
		}
		return nil
	}
}

func checkSegment(v any) error {
	if n := v.(int64); n < cartridge.MinSegment || n > cartridge.MaxSegment {
		return fmt.Errorf("%s is not from %s to %s", config.FormatSize(n), config.FormatSize(cartridge.MinSegment), config.FormatSize(cartridge.MaxSegment))
	}
	return nil
}

func checkBarcodes(v any) error {
	_, err := library.Barcodes(v.(string))
	return err
}

// maxSerial is what the least of the VPD pages that hold it has room for.
const maxSerial = 32

func checkSerial(v any) error {
	s := v.(string)
	if len(s) > maxSerial || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return fmt.Errorf("%q has not 1 to %d printable ASCII characters", s, maxSerial)
	}
	return nil
}

// libraryMembers are the changer and the drives.
func libraryMembers(e *config.Entry) []string {
	names := []string{e.Name + "-changer"}
	for i := range e.Values["drives"].([]config.Item) {
		names = append(names, driveName(e.Name, i+1))
	}
	return names
}

// driveName is the device that drive n of a library is.
func driveName(library string, n int) string { return fmt.Sprintf("%s-drive%d", library, n) }

// models are the models that e can name.
func models(e *config.Entry) (*personality.Set, error) {
	dir, ok := e.Values["personalities"].(string)
	if !ok {
		return personality.Builtin(), nil
	}
	return personality.Load(dir)
}

// checkLibrary finds models that do not exist, and what does not fit to them.
func checkLibrary(e *config.Entry, fault func(config.Pos, string, ...any)) {
	set, err := models(e)
	if err != nil {
		var faults personality.Faults
		if !errors.As(err, &faults) {
			fault(e.Where("personalities"), "%v", err)
		}
		for _, f := range faults {
			fault(e.Where("personalities"), "%s", f)
		}
		return
	}
	drives := checkDrives(e, set, fault)
	name := e.Values["model"].(string)
	if changer, ok := set.Changer(name); !ok {
		fault(e.Where("model"), "there is no changer %q%s", name, instead(name, names(set.Changers(), func(c *personality.Changer) string { return c.Name })))
	} else {
		for _, x := range []struct {
			key  string
			n    int
			most int
		}{
			{"drives", len(e.Values["drives"].([]config.Item)), changer.MaxDrives},
			{"slots", int(e.Values["slots"].(int64)), changer.MaxSlots},
			{"mailslots", int(e.Values["mailslots"].(int64)), changer.MaxMailslots},
		} {
			if x.n > x.most {
				fault(e.Where(x.key), "%d %s; %s has %d at most", x.n, x.key, name, x.most)
			}
		}
	}
	checkCartridges(e, set, drives, fault)
	if _, err := loadFaults(e); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fault(e.Where("faults"), "%s", line)
		}
	}
}

// checkDrives gives the models of the drives that are known.
func checkDrives(e *config.Entry, set *personality.Set, fault func(config.Pos, string, ...any)) (drives []*personality.Drive) {
	list := e.Values["drives"].([]config.Item)
	if len(list) == 0 {
		fault(e.Where("drives"), "drives is empty; a library has at least one")
	}
	serials := map[string]int{}
	for _, item := range list {
		m := item.Value.(config.Mapping)
		name := m.Values["model"].(string)
		d, ok := set.Drive(name)
		if !ok {
			fault(m.Where("model"), "there is no drive %q%s", name, instead(name, names(set.Drives(), func(d *personality.Drive) string { return d.Name })))
			continue
		}
		drives = append(drives, d)
		s, ok := m.Values["serial"].(string)
		if line := serials[s]; ok && line > 0 {
			fault(m.Where("serial"), "%s is the serial number of another drive too, in line %d", s, line)
		} else if ok {
			serials[s] = m.Where("serial").Line
		}
	}
	return drives
}

// checkCartridges finds barcodes of no kind, and those that are there twice.
func checkCartridges(e *config.Entry, set *personality.Set, drives []*personality.Drive, fault func(config.Pos, string, ...any)) {
	list, _ := e.Values["cartridges"].([]config.Item)
	seen := map[string]int{}
	for _, item := range list {
		at := item.Value.(config.Mapping)
		barcodes, err := library.Barcodes(at.Values["barcodes"].(string))
		if err != nil {
			continue // a fault already
		}
		m, worm, ok := set.ByBarcode(barcodes[0])
		switch {
		case !ok:
			fault(at.Where("barcodes"), "%s: no kind of cartridge has barcodes that end in %q; LTO-8 has L8", barcodes[0], barcodes[0][max(0, len(barcodes[0])-2):])
		case !m.Cleaning && !slices.ContainsFunc(drives, func(d *personality.Drive) bool {
			s := d.Support(m.Name)
			return s != nil && (!worm || s.WORM)
		}) && len(drives) == len(e.Values["drives"].([]config.Item)):
			fault(at.Where("barcodes"), "%s: no drive of this library can load %s cartridges%s", barcodes[0], m.Name, wormText(worm))
		}
		for _, b := range barcodes {
			if line, dup := seen[b]; dup {
				fault(at.Where("barcodes"), "cartridge %s is there twice, first in line %d", b, line)
				break
			}
			seen[b] = item.At.Line
		}
	}
}

func wormText(worm bool) string {
	if worm {
		return " that can be written only once"
	}
	return ""
}

func names[T any](list []T, name func(T) string) (all []string) {
	for _, x := range list {
		all = append(all, name(x))
	}
	return all
}

// instead says what a name was probably meant to be.
func instead(name string, known []string) string {
	if best := config.Nearest(name, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; \"targate library models\" lists them"
}

// libraryConfig is e in the words of the library, but for what opens it.
func libraryConfig(e *config.Entry, set *personality.Set) library.Config {
	changer, _ := set.Changer(e.Values["model"].(string)) // checked
	c := library.Config{Name: e.Name, Model: changer, Models: set,
		Slots: int(e.Values["slots"].(int64)), Mailslots: int(e.Values["mailslots"].(int64))}
	c.Serial, _ = e.Values["serial"].(string)
	for _, item := range e.Values["drives"].([]config.Item) {
		m := item.Value.(config.Mapping)
		model, _ := set.Drive(m.Values["model"].(string)) // checked
		serial, _ := m.Values["serial"].(string)
		c.Drives = append(c.Drives, library.DriveConfig{Model: model, Serial: serial})
	}
	list, _ := e.Values["cartridges"].([]config.Item)
	for _, item := range list {
		m := item.Value.(config.Mapping)
		capacity, _ := m.Values["capacity"].(int64)
		c.Cartridges = append(c.Cartridges, library.Cartridges{Barcodes: m.Values["barcodes"].(string), Capacity: capacity})
	}
	return c
}

// inventoryFile is in the library's directory of the state directory.
func inventoryFile(dir string) string { return filepath.Join(dir, "inventory") }
