package ssc

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/personality"
)

var densityTable = []row{
	in(0x44, "REPORT DENSITY SUPPORT", core.Bytes(7, 2), "\x44\x03\x00\x00\x00\x00\x00\xff\xff\x00", core.Inline, quick, (*Drive).reportDensity),
	in(0xab, "READ MEDIA SERIAL NUMBER", core.Bytes(6, 4), "\xab\x01\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00", core.Inline, quick,
		(*Drive).readMediaSerial).action(0x01),
}

// reportDensity is REPORT DENSITY SUPPORT (SSC-5, 7.14): density or medium type descriptors, of the
// drive or of the loaded medium.
func (d *Drive) reportDensity(c *core.Command) error {
	const media, mediumType = 0x01, 0x02
	var loaded *mount
	if c.CDB[1]&media != 0 {
		if err := d.readyInline(); err != nil {
			return err
		}
		d.look(func(m *mount) { loaded = m })
		if loaded == nil {
			return sense.New(sense.NotReady, sense.MediumNotPresent)
		}
	}
	b := make([]byte, 4)
	if c.CDB[1]&mediumType != 0 {
		b = d.mediumTypes(b, loaded)
	} else {
		b = d.densityDescriptors(b, loaded)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	return c.Reply(b)
}

// readyInline is what keeps a command from the loaded medium, for one that does not hold the tape.
func (d *Drive) readyInline() error {
	if err := d.ready(); err != nil {
		return err
	}
	return nil
}

// densityDescriptors adds those of the drive, or of what it can do with m, in order of code.
func (d *Drive) densityDescriptors(b []byte, m *mount) []byte {
	const wrtok, deflt = 0x80, 0x20
	list := slices.Clone(d.model.Densities)
	slices.SortFunc(list, func(a, b personality.Density) int { return cmp.Compare(a.Code, b.Code) })
	for _, x := range list {
		write, own := d.records(x.Code, m)
		if m != nil && !own {
			continue
		}
		var flags byte
		if write {
			flags |= wrtok
		}
		if m != nil || x.Code == d.defaultDensity() {
			flags |= deflt
		}
		b = append(b, x.Code, x.Code, flags, 0, 0)
		b = wire.AppendU24(b, x.BitsPerMM)
		b = binary.BigEndian.AppendUint16(b, x.MediaWidth)
		b = binary.BigEndian.AppendUint16(b, x.Tracks)
		size := x.Capacity
		if m != nil { // of this cartridge
			size = uint32(megabytes(m.capacity()))
		}
		b = binary.BigEndian.AppendUint32(b, size)
		b = wire.AppendPadded(b, x.Organization, 8)
		b = wire.AppendPadded(b, x.Name, 8)
		b = wire.AppendPadded(b, x.Detail, 20)
	}
	return b
}

// records says whether the drive can record density code on m (nil: on any cartridge), and whether
// that is the density of m.
func (d *Drive) records(code uint8, m *mount) (write, own bool) {
	for _, s := range d.model.Supports {
		if s.Density == code && s.Write && (m == nil || s.Media == m.support.Media) {
			write = true
		}
	}
	return write, m != nil && m.density() == code
}

// defaultDensity is that of the first kind of cartridge in the data file of the model: its own.
func (d *Drive) defaultDensity() uint8 { return d.model.Supports[0].Density }

// capacity is that of all partitions, in bytes.
func (m *mount) capacity() (n int64) {
	for p := range m.medium.Partitions() {
		n += m.medium.Partition(p).Capacity
	}
	return n
}

// mediumTypes adds a descriptor for each kind of cartridge that the drive supports, or for m alone, in
// order of medium type.
func (d *Drive) mediumTypes(b []byte, m *mount) []byte {
	type kind struct {
		code  uint8
		media *personality.Media
		name  string
	}
	var kinds []kind
	for _, s := range d.model.Supports {
		media := s.Kind
		if media.Cleaning {
			continue
		}
		plain, worm := d.mediumType(media, false), d.mediumType(media, true)
		if m == nil || m.support.Media == s.Media && !m.cart.WORM() {
			kinds = append(kinds, kind{plain, media, media.Suffix})
		}
		if s.WORM && media.WORMType != 0 && (m == nil || m.support.Media == s.Media && m.cart.WORM()) {
			kinds = append(kinds, kind{worm, media, media.WORMSuffix})
		}
	}
	slices.SortStableFunc(kinds, func(a, b kind) int { return cmp.Compare(a.code, b.code) })
	for _, k := range kinds {
		const rest = 52
		b = append(b, k.code, 0, 0, rest, 1) // one density code
		b = append(b, k.media.Density, 0, 0, 0, 0, 0, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(k.media.Width))
		b = binary.BigEndian.AppendUint16(b, uint16(k.media.Length))
		b = append(b, 0, 0)
		b = wire.AppendPadded(b, organization(k.media.Name), 8)
		b = wire.AppendPadded(b, k.name, 8)
		b = wire.AppendPadded(b, k.media.Name, 20)
	}
	return b
}

// mediumType is MEDIUM TYPE of a kind of cartridge, or of its WORM version.
func (d *Drive) mediumType(media *personality.Media, worm bool) uint8 {
	switch {
	case d.model.PlainMediumType && worm:
		return 0x01
	case d.model.PlainMediumType:
		return 0x00
	case worm:
		return media.WORMType
	}
	return media.Type
}

// readMediaSerial is READ MEDIA SERIAL NUMBER (SPC-6, 6.24): a multiple of four bytes.
func (d *Drive) readMediaSerial(c *core.Command) error {
	if err := d.readyInline(); err != nil {
		return err
	}
	b := make([]byte, 4)
	d.look(func(m *mount) {
		if m != nil {
			b = append(b, m.info.Serial...)
		}
	})
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}
