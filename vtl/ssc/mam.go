package ssc

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

// Attributes of the medium auxiliary memory (SPC-6, 7.4; SSC-5, 4.2.22). Those of the drive and of
// the medium are made when they are asked for, of what is known; a few of them outlive the
// mount, and are kept by the medium under their own identifiers. Those of the host are the
// medium's to keep, as they were written.
const (
	attrRemaining    uint16 = 0x0000
	attrMaximum      uint16 = 0x0001
	attrTapeAlert    uint16 = 0x0002
	attrLoads        uint16 = 0x0003
	attrSpace        uint16 = 0x0004
	attrFormatOrg    uint16 = 0x0005
	attrDensity      uint16 = 0x0006
	attrInits        uint16 = 0x0007
	attrVolume       uint16 = 0x0008
	attrChange       uint16 = 0x0009
	attrDrive        uint16 = 0x020a // and the three before it, to 020Dh
	attrLifeWritten  uint16 = 0x0220
	attrLifeRead     uint16 = 0x0221
	attrLoadWritten  uint16 = 0x0222
	attrLoadRead     uint16 = 0x0223
	attrEncrypted    uint16 = 0x0224
	attrPlain        uint16 = 0x0225
	attrMaker        uint16 = 0x0400
	attrSerial       uint16 = 0x0401
	attrLength       uint16 = 0x0402
	attrWidth        uint16 = 0x0403
	attrOrg          uint16 = 0x0404
	attrMediumDens   uint16 = 0x0405
	attrMade         uint16 = 0x0406
	attrMAM          uint16 = 0x0407
	attrType         uint16 = 0x0408
	attrTypeInfo     uint16 = 0x0409
	attrNumber       uint16 = 0x040a
	attrDensities    uint16 = 0x040b
	attrLocalization uint16 = 0x0805
	attrCoherency    uint16 = 0x080c
	attrUCI          uint16 = 0x1000
	attrAltUCI       uint16 = 0x1001
	attrLock         uint16 = 0x1623

	// Host attributes that a vendor defines (SPC-6, table 404).
	attrVendorFirst uint16 = 0x1400
	attrVendorLast  uint16 = 0x17ff
)

// Formats of an attribute.
const (
	formatBinary = 0
	formatASCII  = 1
	formatText   = 2
)

// attrHeader is what stands before the value of an attribute: identifier, format and length.
const attrHeader = 5

// hostAttribute is an attribute that an initiator may write.
type hostAttribute struct {
	id     uint16
	format uint8
	// min and max are the lengths that it can have, in bytes, beside 0, which removes it.
	min, max int
}

// hostAttributes are in order of identifier (SPC-6, table 422; 1623h is that of LTFS).
var hostAttributes = []hostAttribute{
	{0x0800, formatASCII, 8, 8},             // APPLICATION VENDOR
	{0x0801, formatASCII, 32, 32},           // APPLICATION NAME
	{0x0802, formatASCII, 8, 8},             // APPLICATION VERSION
	{0x0803, formatText, 160, 160},          // USER MEDIUM TEXT LABEL
	{0x0804, formatASCII, 12, 12},           // DATE AND TIME LAST WRITTEN
	{attrLocalization, formatBinary, 1, 1},  // TEXT LOCALIZATION IDENTIFIER
	{0x0806, formatASCII, 32, 32},           // BARCODE
	{0x0807, formatText, 80, 80},            // OWNING HOST TEXTUAL NAME
	{0x0808, formatText, 160, 160},          // MEDIA POOL
	{0x0809, formatASCII, 16, 16},           // PARTITION USER TEXT LABEL
	{0x080a, formatBinary, 1, 1},            // LOAD/UNLOAD AT PARTITION
	{0x080b, formatASCII, 16, 16},           // APPLICATION FORMAT VERSION
	{attrCoherency, formatBinary, 23, 1023}, // VOLUME COHERENCY INFORMATION
	{0x0820, formatBinary, 36, 36},          // MEDIUM GLOBALLY UNIQUE IDENTIFIER
	{0x0821, formatBinary, 36, 36},          // MEDIA POOL GLOBALLY UNIQUE IDENTIFIER
	{attrLock, formatBinary, 1, 1},          // VOLUME LOCK STATE
}

// maxVendorAttribute bounds a host attribute that a vendor defines, in bytes.
const maxVendorAttribute = 255

// findHostAttribute says whether and how an initiator may write attribute id.
func findHostAttribute(id uint16) (hostAttribute, bool) {
	i, ok := slices.BinarySearchFunc(hostAttributes, id, func(a hostAttribute, id uint16) int { return cmp.Compare(a.id, id) })
	switch {
	case ok:
		return hostAttributes[i], true
	case id >= attrVendorFirst && id <= attrVendorLast:
		return hostAttribute{id: id, min: 1, max: maxVendorAttribute}, true
	}
	return hostAttribute{}, false
}

// attribute is an attribute as READ ATTRIBUTE reports it.
type attribute struct {
	medium.Attribute
	readOnly bool
}

// append adds a as SPC-6, 7.4.1 has it.
func (a attribute) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, a.ID)
	flags := a.Format
	if a.readOnly {
		flags |= 0x80
	}
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.Value)))
	return append(dst, a.Value...)
}

func binaryAttribute(id uint16, value uint64, size int) attribute {
	b := binary.BigEndian.AppendUint64(nil, value)
	return attribute{medium.Attribute{ID: id, Format: formatBinary, Value: b[8-size:]}, true}
}

func textAttribute(id uint16, s string, size int) attribute {
	return attribute{medium.Attribute{ID: id, Format: formatASCII, Value: wire.AppendPadded(nil, s, size)}, true}
}

// kept is the number that the medium keeps as attribute id, of partition 0 for all of it.
func (m *mount) kept(p int, id uint16) (uint64, bool) {
	a, ok := m.medium.Attribute(p, id)
	if !ok || len(a.Value) > 8 {
		return 0, false
	}
	var b [8]byte
	copy(b[8-len(a.Value):], a.Value)
	return binary.BigEndian.Uint64(b[:]), true
}

// attributes are all attributes of partition p, in order of identifier. The caller holds the tape.
func (d *Drive) attributes(p int) []attribute {
	m := d.mount
	media, part := m.cart.Media(), m.medium.Partition(p)
	var list []attribute
	number := func(id uint16, value uint64, size int) { list = append(list, binaryAttribute(id, value, size)) }
	text := func(id uint16, s string, size int) { list = append(list, textAttribute(id, s, size)) }

	const mib = 1 << 20
	number(attrRemaining, uint64(max(0, part.Capacity-part.Used))/mib, 8)
	number(attrMaximum, uint64(part.Capacity)/mib, 8)
	number(attrTapeAlert, d.alerts.flags(), 8)
	number(attrSpace, uint64(max(0, media.MAM-m.hostBytes())), 8)
	text(attrFormatOrg, organization(media.Name), 8)
	number(attrDensity, uint64(m.density()), 1)
	text(attrVolume, m.info.Barcode, 32)
	for _, id := range []uint16{attrLoads, attrInits, attrChange} {
		if v, ok := m.kept(0, id); ok {
			number(id, v, map[uint16]int{attrLoads: 8, attrInits: 2, attrChange: 4}[id])
		}
	}
	for _, id := range []uint16{attrDrive, attrDrive + 1, attrDrive + 2, attrDrive + 3, attrMade} {
		if a, ok := m.medium.Attribute(0, id); ok {
			list = append(list, attribute{a, true})
		}
	}
	written, _ := m.kept(0, attrLifeWritten)
	read, _ := m.kept(0, attrLifeRead)
	number(attrLifeWritten, (written+m.written(d))/mib, 8)
	number(attrLifeRead, (read+m.read(d))/mib, 8)
	number(attrLoadWritten, m.written(d)/mib, 8)
	number(attrLoadRead, m.read(d)/mib, 8)
	marks := m.marksOf(p)
	number(attrEncrypted, marks.encrypted, 8)
	number(attrPlain, marks.plain, 8)
	list = append(list, m.cartridgeAttributes(d)...)
	for _, a := range m.medium.Attributes(p) {
		if _, ok := findHostAttribute(a.ID); ok {
			list = append(list, attribute{a, false})
		}
	}
	slices.SortFunc(list, func(a, b attribute) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// cartridgeAttributes are those that are the same in every drive, for life.
func (m *mount) cartridgeAttributes(d *Drive) []attribute {
	media := m.cart.Media()
	kind := uint64(0x00) // data
	if m.cart.WORM() {
		kind = 0x80
	}
	list := []attribute{
		textAttribute(attrMaker, media.Vendor, 8),
		textAttribute(attrSerial, m.info.Serial, 32),
		binaryAttribute(attrLength, uint64(media.Length), 4),
		binaryAttribute(attrWidth, uint64(media.Width), 4),
		textAttribute(attrOrg, organization(media.Name), 8),
		binaryAttribute(attrMediumDens, uint64(media.Density), 1),
		binaryAttribute(attrMAM, uint64(media.MAM), 8),
		binaryAttribute(attrType, kind, 1),
		binaryAttribute(attrTypeInfo, 0, 2),
		{medium.Attribute{ID: attrDensities, Format: formatBinary, Value: densities(d, m)}, true},
		// The unique cartridge identity: who made it, its serial number, and its kind.
		{medium.Attribute{ID: attrUCI, Format: formatBinary,
			Value: append(wire.AppendPadded(wire.AppendPadded(nil, media.Vendor, 8), m.info.Serial, 18), media.Type, media.Density)}, true},
		{medium.Attribute{ID: attrAltUCI, Format: formatBinary,
			Value: wire.AppendPadded(wire.AppendPadded(nil, media.Vendor, 8), m.info.Serial, 16)}, true},
	}
	return list
}

// densities are the density codes that the drive can read or write on the medium: up to ten, 0 where
// there are fewer.
func densities(d *Drive, m *mount) []byte {
	b := make([]byte, 10)
	b[0] = m.cart.Media().Density
	if m.support.Density != b[0] {
		b[1] = m.support.Density
	}
	return b
}

// organization is who assigned the density code of a kind of cartridge.
func organization(media string) string {
	switch family, _, _ := strings.Cut(media, "-"); {
	case family == "LTO":
		return "LTO-CVE"
	case family == "3592":
		return "IBM"
	case strings.HasPrefix(family, "T10000"):
		return "STK"
	default:
		return family
	}
}

// hostBytes is how much of the memory host attributes take, of all partitions.
func (m *mount) hostBytes() int {
	n := 0
	for p := range m.medium.Partitions() {
		for _, a := range m.medium.Attributes(p) {
			if _, ok := findHostAttribute(a.ID); ok {
				n += attrHeader + len(a.Value)
			}
		}
	}
	return n
}

// usage is what the memory of a loaded medium needs to know of its use.
type usage struct {
	written0, read0 uint64 // Stats.BytesWritten and BytesRead when it was loaded
	stored0         uint64 // medium.Partition.Stored, of all partitions, when it was loaded or made blank
	carried         uint64 // what was recorded between the two
	// changed: the volume change reference is another one than any that was read.
	changed bool
	marks   [medium.MaxPartitions]marks
}

// written and read are the bytes that went to and from initiators since m was loaded.
func (m *mount) written(d *Drive) uint64 { return d.stats.BytesWritten.Load() - m.usage.written0 }
func (m *mount) read(d *Drive) uint64    { return d.stats.BytesRead.Load() - m.usage.read0 }

// stored is what all partitions of m have Stored.
func (m *mount) stored() (n uint64) {
	for p := range m.medium.Partitions() {
		n += m.medium.Partition(p).Stored
	}
	return n
}

// noteLoad notes the load in the memory of the medium: how many there were, and the drives of the last
// four. A medium that cannot be written keeps what it has.
func (d *Drive) noteLoad(m *mount) error {
	m.usage = usage{written0: d.stats.BytesWritten.Load(), read0: d.stats.BytesRead.Load(), stored0: m.stored()}
	if m.info.ReadOnly {
		return nil
	}
	loads, _ := m.kept(0, attrLoads)
	list := []medium.Attribute{binaryAttribute(attrLoads, loads+1, 8).Attribute}
	for i := uint16(3); i > 0; i-- {
		if a, ok := m.medium.Attribute(0, attrDrive+i-1); ok {
			a.ID++
			list = append(list, a)
		}
	}
	id := d.cfg.Identity
	list = append(list, textAttribute(attrDrive, string(wire.AppendPadded(nil, id.Vendor, 8))+id.Serial, 40).Attribute)
	for _, first := range []attribute{
		binaryAttribute(attrInits, 1, 2),
		binaryAttribute(attrChange, nextChange(0), 4),
		textAttribute(attrMade, time.Now().UTC().Format("20060102"), 8),
	} {
		if _, ok := m.medium.Attribute(0, first.ID); !ok {
			list = append(list, first.Attribute)
		}
	}
	return m.medium.SetAttributes(0, list...)
}

// noteUnload adds what this load moved to what was moved in the life of the medium.
func (d *Drive) noteUnload(m *mount) error {
	moved := m.written(d) + m.read(d)
	if m.info.ReadOnly || moved == 0 {
		return nil
	}
	written, _ := m.kept(0, attrLifeWritten)
	read, _ := m.kept(0, attrLifeRead)
	return m.medium.SetAttributes(0,
		binaryAttribute(attrLifeWritten, written+m.written(d), 8).Attribute,
		binaryAttribute(attrLifeRead, read+m.read(d), 8).Attribute)
}

// changing is called before anything of the medium changes by a command: the volume change
// reference is another one before what is recorded can be, since attributes and blocks are
// durable in order. It changes once for all that is recorded until somebody looks at it.
func (m *mount) changing() error {
	if m.usage.changed {
		return nil
	}
	old, _ := m.kept(0, attrChange)
	if err := m.medium.SetAttributes(0, binaryAttribute(attrChange, nextChange(old), 4).Attribute); err != nil {
		return err
	}
	m.usage.changed = true
	return nil
}

// nextChange is a volume change reference behind old: larger, and not to be guessed, so that it differs
// from those of a generation that was taken back. 0 and FFFFFFFFh say that there is none.
func nextChange(old uint64) uint64 {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	next := (old + 1 + uint64(b[0])) & 0xffffffff
	if next == 0 || next == 0xffffffff {
		return 1
	}
	return next
}
