package sbc

import (
	"encoding/binary"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/spc"
)

// logPages are the log pages of a disk.
func (d *Disk) logPages() []spc.LogPage {
	pages := []spc.LogPage{
		{Code: 0x0d, Params: temperature},
		{Code: 0x15, Params: d.backgroundScan},
		{Code: 0x19, Params: d.statistics},
		{Code: 0x2f, Params: exceptions},
	}
	if d.accountant != nil {
		pages = append(pages, spc.LogPage{Code: 0x0c, Params: d.resources})
	}
	return pages
}

// resources is Logical Block Provisioning (SBC-4, 6.3.4): what is left for this disk
// and what it uses, in threshold sets.
func (d *Disk) resources(*core.Command) []spc.LogParam {
	const (
		dedicated = 0x01 // nobody else draws on the resource
		shared    = 0x02
	)
	u, err := d.accountant.Usage()
	if err != nil {
		d.log.Warn("cannot tell how much space is used", "device", d.host.Name(), "err", err)
		return nil
	}
	param := func(code uint16, bytes int64, scope byte) spc.LogParam {
		v := binary.BigEndian.AppendUint32(nil, uint32(min((bytes+thresholdSet-1)/thresholdSet, 0xffffffff)))
		return spc.LogParam{Code: code, Format: spc.BinaryList, Value: append(v, scope, 0, 0, 0)}
	}
	left := byte(dedicated)
	if u.Shared {
		left = shared
	}
	return []spc.LogParam{param(0x0001, u.Available, left), param(0x0002, u.Used, dedicated)}
}

// temperature is Temperature (SPC-6, 7.3.22): FFh, there is none to measure.
func temperature(*core.Command) []spc.LogParam {
	const unknown = 0xff
	return []spc.LogParam{
		{Code: 0x0000, Format: spc.BinaryList, Value: []byte{0, unknown}},
		{Code: 0x0001, Format: spc.BinaryList, Value: []byte{0, unknown}}, // reference
	}
}

// backgroundScan is Background Scan (SBC-4, 6.3.3): none ever ran.
func (d *Disk) backgroundScan(*core.Command) []spc.LogParam {
	minutes := uint32(time.Since(d.start) / time.Minute) // powered on
	return []spc.LogParam{{Code: 0x0000, Format: spc.BinaryList,
		Value: append(binary.BigEndian.AppendUint32(nil, minutes), 0, 0, 0, 0, 0, 0, 0, 0)}}
}

// statistics is General Statistics and Performance (SPC-6, 7.3.10). Times are not
// measured, so the intervals and weighted counts are zero.
func (d *Disk) statistics(*core.Command) []spc.LogParam {
	s := d.host.Stats()
	v := make([]byte, 64)
	for i, n := range []uint64{s.Reads, s.Writes, s.BytesOut >> d.shift, s.BytesIn >> d.shift} {
		binary.BigEndian.PutUint64(v[8*i:], n)
	}
	return []spc.LogParam{{Code: 0x0001, Format: spc.BinaryList, Value: v}}
}

// exceptions is Informational Exceptions (SPC-6, 7.3.12): there are none.
func exceptions(*core.Command) []spc.LogParam {
	const unknown = 0xff // MOST RECENT TEMPERATURE READING
	return []spc.LogParam{{Code: 0x0000, Format: spc.BinaryList, Value: []byte{0, 0, unknown, unknown}}}
}
