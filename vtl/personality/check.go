package personality

import (
	"slices"
	"strconv"
	"strings"
)

// set makes and checks all models.
func (l *loader) set() (*Set, error) {
	r := &l.r
	l.densities.make(r)
	l.media.make(r)
	l.drives.make(r)
	l.changers.make(r)
	for name, m := range l.media.made {
		l.checkMedia(m, l.media.report(r, name))
	}
	for name, d := range l.drives.made {
		l.checkDrive(d, l.drives.report(r, name))
		if d.Abstract {
			delete(l.drives.made, name)
		}
	}
	for name, c := range l.changers.made {
		checkChanger(c, l.changers.report(r, name))
		if c.Abstract {
			delete(l.changers.made, name)
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return &Set{media: l.media.made, ordered: sorted(l.media.made), drives: l.drives.made, changers: l.changers.made, densities: l.densities.made}, nil
}

// report gives what tells of a fault in the value at key of the model name, unless ok.
func (k *kind[T]) report(r *reader, name string) reporter {
	return func(ok bool, key, format string, a ...any) {
		if ok || k.broken[name] {
			return
		}
		at, known := k.where[name][key]
		if !known {
			at = k.sources[name].at
		}
		r.faultIn(k.sources[name].file, at, k.word+" "+name+": "+format, a...)
	}
}

type reporter func(ok bool, key, format string, a ...any)

// identity checks the INQUIRY strings and the serial numbers of a device.
func (f reporter) identity(vendor, product, revision, prefix string, length int) {
	for _, s := range []struct {
		key, value string
		min, max   int
	}{{"vendor", vendor, 1, 8}, {"product", product, 1, 16}, {"revision", revision, 1, 4}, {"serial_prefix", prefix, 0, 16}} {
		f(len(s.value) >= s.min && len(s.value) <= s.max, s.key, "%s %q does not have %d to %d characters", s.key, s.value, s.min, s.max)
		f(printable(s.value), s.key, "%s %q is not printable ASCII", s.key, s.value)
	}
	f(length >= len(prefix)+4 && length <= 32, "serial_length", "serial_length is %d; it leaves room for at least 4 characters after the prefix, and is at most 32", length)
}

func printable(s string) bool {
	return strings.Trim(s, " ") == s && !strings.ContainsFunc(s, func(c rune) bool { return c < 0x20 || c > 0x7e })
}

func (l *loader) checkMedia(m *Media, f reporter) {
	f(printable(m.Name) && len(m.Name) <= 32, "name", "the name is at most 32 printable characters")
	f(m.Cleaning || m.Capacity > 0, "capacity", "capacity is above zero")
	f(m.Partitions <= 4 && (m.Cleaning || m.Partitions > 0), "partitions", "partitions are 1 to 4")
	f(m.Cleaning || m.Wraps > 0, "wraps", "wraps are above zero")
	f(m.Cleaning || m.Length > 0 && m.Length < 1<<16, "length", "length is 1 to 65535 m")
	for _, s := range append(slices.Clone(m.Suffixes), m.Suffix, m.WORMSuffix) {
		f(s == "" || len(s) == 2 && printable(s), "suffix", "a suffix is two characters, not %q", s)
	}
	f(m.WORMSuffix == "" || m.WORMType != 0, "worm_suffix", "there is no worm_type")
}

func (l *loader) checkDrive(d *Drive, f reporter) {
	for _, id := range d.DensityIDs {
		if density, ok := l.densities.made[id]; ok {
			d.Densities = append(slices.Clip(d.Densities), *density)
		} else {
			f(false, "densities", "there is no density %q", id)
		}
	}
	d.Supports = slices.Clone(d.Supports)
	for i := range d.Supports {
		s := &d.Supports[i]
		m, ok := l.media.made[s.Media]
		f(ok, "supports", "there is no media %q", s.Media)
		s.Kind = m
		if ok && s.Density == 0 {
			s.Density = m.Density
		}
		has := !ok || m.Cleaning || slices.ContainsFunc(d.Densities, func(x Density) bool { return x.Code == s.Density })
		f(has, "supports", "%s is recorded with density %02Xh, which densities does not name", s.Media, s.Density)
	}
	if d.Abstract {
		return
	}
	f.identity(d.Vendor, d.Product, d.Revision, d.SerialPrefix, d.SerialLength)
	f(len(d.Supports) > 0, "supports", "it supports no media")
	f(d.MaxBlock > 0 && d.MaxBlock < 1<<24 && d.MinBlock <= d.MaxBlock, "max_block", "max_block is 1 to 16777215, and not below min_block")
	f(d.Version >= 2 && d.Version <= 7, "version", "version is 2 to 7")
	f(d.Partitions >= 1 && d.Partitions <= 4, "partitions", "partitions are 1 to 4")
	f(d.EarlyWarning > 0, "early_warning", "early_warning is above zero")
	for _, m := range d.Protection {
		f(m == 1 || m == 2, "protection", "%d is not a method of logical block protection", m)
	}
	for name := range d.ModePages {
		code, _, ok := ModePage(name)
		f(ok && code >= 0x20 && code < 0x3f, "mode_pages", "%q is not a vendor specific mode page: 20 to 3E, or with a subpage 20/01", name)
	}
	for code := range d.VPD {
		f(code >= 0xc0 || code == 0x03, "vpd", "page %02Xh is not vendor specific; the drive makes it", code)
	}
}

func checkChanger(c *Changer, f reporter) {
	if c.Abstract {
		return
	}
	f.identity(c.Vendor, c.Product, c.Revision, c.SerialPrefix, c.SerialLength)
	f(c.Version >= 2 && c.Version <= 7, "version", "version is 2 to 7")
	f(c.Pickers > 0, "pickers", "pickers are above zero")
	f(c.MaxSlots > 0 && c.MaxDrives > 0, "max_slots", "max_slots and max_drives are above zero")
	f(c.BarcodeLength >= 6 && c.BarcodeLength <= 32, "barcode_length", "barcode_length is 6 to 32")
	type span struct {
		key         string
		first, size int
	}
	spans := []span{{"picker", int(c.Picker), c.Pickers}, {"slot", int(c.Slot), c.MaxSlots},
		{"mailslot", int(c.Mailslot), c.MaxMailslots}, {"drive", int(c.Drive), c.MaxDrives}}
	for i, a := range spans {
		f(a.first+a.size <= 1<<16, a.key, "element addresses of %ss end above FFFFh", a.key)
		for _, b := range spans[:i] {
			apart := a.first+a.size <= b.first || b.first+b.size <= a.first || a.size == 0 || b.size == 0
			f(apart, a.key, "element addresses of %ss and %ss overlap", a.key, b.key)
		}
	}
}

// ModePage reads a key of Drive.ModePages: "25" or "25/01".
func ModePage(name string) (code, sub uint8, ok bool) {
	head, tail, long := strings.Cut(name, "/")
	c, err := strconv.ParseUint(head, 16, 8)
	if err != nil || !long {
		return uint8(c), 0, err == nil && len(head) == 2
	}
	s, err := strconv.ParseUint(tail, 16, 8)
	return uint8(c), uint8(s), err == nil && len(head) == 2 && len(tail) == 2 && s != 0
}
