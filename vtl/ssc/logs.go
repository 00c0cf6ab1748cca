package ssc

import (
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

// number is a log parameter that is a number of size bytes, and cannot be set.
func number(code uint16, value uint64, size int) spc.LogParam {
	if limit := uint64(1)<<(8*size) - 1; size < 8 && value > limit {
		value = limit // a counter that is full stays so
	}
	b := binary.BigEndian.AppendUint64(nil, value)
	return spc.LogParam{Code: code, Format: spc.BinaryList, Value: b[8-size:]}
}

// counter is number for what counts on and can be read as the default too.
func counter(code uint16, value uint64, size int) spc.LogParam {
	p := number(code, value, size)
	p.Format = spc.UnboundedCounter
	return p
}

func text(code uint16, s string, size int) spc.LogParam {
	return spc.LogParam{Code: code, Format: spc.ASCIIList, Value: wire.AppendPadded(nil, s, size)}
}

// firstVendorLog is the first vendor specific log page: a model has those that its data file names.
const firstVendorLog = 0x30

// driveLogs are the log pages of a drive. What cannot be counted here has no parameter: no data set is
// ever written again, and a virtual drive has no temperature.
func (d *Drive) driveLogs() []spc.LogPage {
	all := []spc.LogPage{
		{Code: 0x02, Params: d.writeErrorLog},
		{Code: 0x03, Params: d.readErrorLog},
		{Code: 0x0c, Params: d.sequentialLog},
		{Code: 0x11, Params: d.statusLog},
		d.alertResponseLog(),
		{Code: 0x14, Params: d.deviceLog},
		{Code: 0x17, Params: d.volumeLog},
		{Code: 0x1b, Params: d.compressionLog},
		d.alertLog(),
		{Code: 0x30, Params: d.usageLog},
		{Code: 0x31, Params: d.capacityLog},
		{Code: 0x32, Params: d.vendorCompressionLog},
	}
	return slices.DeleteFunc(all, func(p spc.LogPage) bool {
		if len(d.model.LogPages) == 0 {
			return p.Code >= firstVendorLog
		}
		return !slices.Contains(d.model.LogPages, p.Code)
	})
}

// Error counters (SPC-6, 7.3.6): bytes, and errors that were not corrected.
func (d *Drive) writeErrorLog(*core.Command) []spc.LogParam {
	return []spc.LogParam{counter(0x0005, d.stats.BytesWritten.Load(), 8), counter(0x0006, d.stats.WriteErrors.Load(), 4)}
}

func (d *Drive) readErrorLog(*core.Command) []spc.LogParam {
	return []spc.LogParam{counter(0x0005, d.stats.BytesRead.Load(), 8), counter(0x0006, d.stats.ReadErrors.Load(), 4)}
}

// sequentialLog is the Sequential-Access Device log page (SSC-5, 8.2.2). Capacities are those of the
// active partition, in units of 10^6 bytes.
func (d *Drive) sequentialLog(*core.Command) []spc.LogParam {
	list := []spc.LogParam{
		counter(0x0000, d.stats.BytesWritten.Load(), 8),
		counter(0x0003, d.stats.BytesRead.Load(), 8),
	}
	d.look(func(m *mount) {
		if m == nil {
			return
		}
		list = append(list, counter(0x0001, d.recorded(m), 8))
		p := m.medium.Partition(m.partition)
		warning := d.earlyWarning(p.Capacity)
		list = append(list, number(0x0004, megabytes(p.Used), 4), number(0x0005, megabytes(p.Capacity-warning), 4),
			number(0x0006, megabytes(warning), 4), number(0x0007, megabytes(usedTo(p, m.object)), 4))
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cleaning.Load() {
		list = append(list, number(0x0100, 1, 1))
	} else {
		list = append(list, number(0x0100, 0, 1))
	}
	return list
}

func megabytes(n int64) uint64 { return uint64(max(0, n)) / 1e6 }

// recorded is how many bytes m holds more, after compression, than when it was loaded, and what it held
// before it was made blank.
func (d *Drive) recorded(m *mount) uint64 {
	if now := m.stored(); now > m.usage.stored0 {
		return m.usage.carried + now - m.usage.stored0
	}
	return m.usage.carried
}

// deviceLog is the Device Statistics log page (SSC-5, 8.2.4): what was counted in the life of the drive, and since
// it was made.
func (d *Drive) deviceLog(*core.Command) []spc.LogParam {
	d.mu.Lock()
	prevented := len(d.prevent) > 0
	d.mu.Unlock()
	life := d.life.now()
	return []spc.LogParam{
		counter(0x0000, life.loads, 8),
		counter(0x0001, life.cleanings, 8),
		counter(0x0002, life.seconds/3600, 8),
		counter(0x000c, life.cycles, 8),
		counter(0x000d, d.stats.Loads.Load(), 8),
		counter(0x000e, d.stats.WriteErrors.Load(), 8),
		counter(0x000f, d.stats.ReadErrors.Load(), 8),
		text(0x0040, d.cfg.Identity.Serial, 32),
		text(0x0041, d.cfg.Identity.Serial, 32),
		number(0x0080, asNumber(prevented), 1),
	}
}

// compressionLog is the Data Compression log page (SSC-5, 8.2.8).
func (d *Drive) compressionLog(c *core.Command) []spc.LogParam {
	enabled := uint64(0)
	if d.settings.compress.Load() {
		enabled = 1
	}
	return append(d.vendorCompressionLog(c), number(0x0100, enabled, 1))
}

// vendorCompressionLog is log page 32h of LTO drives, which became page 1Bh. It counts since the medium was
// loaded.
func (d *Drive) vendorCompressionLog(*core.Command) []spc.LogParam {
	var list []spc.LogParam
	d.look(func(m *mount) {
		if m == nil {
			return
		}
		read, written, recorded := m.read(d), m.written(d), d.recorded(m)
		if recorded > 0 {
			list = append(list, number(0x0001, 100*written/recorded, 2))
		}
		for _, v := range []struct {
			code  uint16
			bytes uint64
		}{{0x0002, read}, {0x0006, written}, {0x0008, recorded}} {
			list = append(list, number(v.code, v.bytes>>20, 4), number(v.code+1, v.bytes&(1<<20-1), 4))
		}
	})
	return list
}

// usageLog is log page 30h of LTO drives: how often the medium was loaded.
func (d *Drive) usageLog(*core.Command) []spc.LogParam {
	var list []spc.LogParam
	d.look(func(m *mount) {
		if m != nil {
			loads, _ := m.kept(0, attrLoads)
			list = append(list, number(0x0001, loads, 4))
		}
	})
	return list
}

// capacityLog is log page 31h of LTO drives: what is left and what there is of the partitions 0 and 1, in
// MiB. All four parameters are there whatever is loaded: LTFS reads them.
func (d *Drive) capacityLog(*core.Command) []spc.LogParam {
	var left, all [2]uint64
	d.look(func(m *mount) {
		for p := 0; m != nil && p < min(2, m.medium.Partitions()); p++ {
			q := m.medium.Partition(p)
			left[p], all[p] = uint64(max(0, q.Capacity-q.Used))>>20, uint64(q.Capacity)>>20
		}
	})
	return []spc.LogParam{number(1, left[0], 4), number(2, left[1], 4), number(3, all[0], 4), number(4, all[1], 4)}
}

// usedTo is how much of Used the objects before object take, estimated.
func usedTo(p medium.Partition, object uint64) int64 {
	if p.Objects == 0 {
		return 0
	}
	return int64(float64(p.Used) * float64(min(object, p.Objects)) / float64(p.Objects))
}
