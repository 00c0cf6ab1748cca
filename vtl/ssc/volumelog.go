package ssc

import (
	"encoding/binary"
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/spc"
)

// volumeLog is the Volume Statistics log page (SSC-5, 8.2.6), of the loaded medium. Capacities are in
// units of 10^6 bytes.
func (d *Drive) volumeLog(*core.Command) []spc.LogParam {
	list := []spc.LogParam{number(0x0000, 0, 1)} // PAGE VALID
	d.look(func(m *mount) {
		if m == nil {
			return
		}
		media := m.cart.Media()
		loads, _ := m.kept(0, attrLoads)
		written, _ := m.kept(0, attrLifeWritten)
		read, _ := m.kept(0, attrLifeRead)
		var all, used int64
		for p := range m.medium.Partitions() {
			q := m.medium.Partition(p)
			all, used = all+q.Capacity, used+q.Used
		}
		list = []spc.LogParam{
			number(0x0000, 1, 1),
			number(0x0001, loads, 4),
			number(0x000e, m.written(d)/1e6, 4),
			number(0x000f, m.read(d)/1e6, 4),
			number(0x0010, (written+m.written(d))/1e6, 8),
			number(0x0011, (read+m.read(d))/1e6, 8),
			number(0x0016, megabytes(all), 4),
			number(0x0017, megabytes(used), 4),
			text(0x0040, m.info.Serial, 32),
			text(0x0042, m.info.Barcode, 32),
			text(0x0043, media.Vendor, 8),
			text(0x0045, volumePersonality(media.Name), 9),
			number(0x0080, asNumber(m.readOnly), 1),
			number(0x0081, asNumber(m.cart.WORM()), 1),
			m.perPartition(0x0200, 6, func(p int) uint64 { return m.firstOf(p, attrEncrypted) }),
			m.perPartition(0x0201, 6, func(p int) uint64 { return m.firstOf(p, attrPlain) }),
			m.perPartition(0x0202, 4, func(p int) uint64 { return megabytes(m.medium.Partition(p).Capacity) }),
			m.perPartition(0x0203, 4, func(p int) uint64 { return megabytes(m.medium.Partition(p).Used) }),
			m.perPartition(0x0204, 4, func(p int) uint64 {
				q := m.medium.Partition(p)
				return megabytes(q.Capacity - q.Used)
			}),
		}
		if r := d.recorded(m); r > 0 {
			list = append(list, number(0x0012, 100*m.written(d)/r, 2))
		}
	})
	return list
}

func asNumber(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// firstOf is the object that attribute id of partition p names, all ones for none.
func (m *mount) firstOf(p int, id uint16) uint64 {
	if v, ok := m.kept(p, id); ok {
		return v
	}
	return noneRecorded
}

// perPartition is a log parameter of one record for each partition: its length without the first byte, the
// partition number, and a value of size bytes, all ones when it is larger. A capacity of all ones would say that there
// is no end of data; none is that large.
func (m *mount) perPartition(code uint16, size int, value func(p int) uint64) spc.LogParam {
	var b []byte
	for p := range m.medium.Partitions() {
		b = append(b, byte(3+size), 0, 0, byte(p))
		v := binary.BigEndian.AppendUint64(nil, min(value(p), 1<<(8*size)-1))
		b = append(b, v[8-size:]...)
	}
	return spc.LogParam{Code: code, Format: spc.BinaryList, Value: b}
}

// volumePersonality is VOLUME PERSONALITY: the name that the makers have for a kind of cartridge.
func volumePersonality(media string) string {
	if n, ok := strings.CutPrefix(media, "LTO-"); ok {
		return "Ultrium-" + n
	}
	return media
}
