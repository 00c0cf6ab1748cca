package ssc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

var appendTable = []row{
	none(0x82, "ALLOW OVERWRITE", "\x82\x00\x0f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
		medial, quick, onMedium((*Drive).allowOverwrite)).only(func(d *Drive) bool { return d.model.AppendOnly }),
}

// overwrite is what ALLOW OVERWRITE has permitted, in append-only mode, until the position changes.
type overwrite uint8

const (
	overwriteNone overwrite = iota
	overwriteHere
	overwriteFormat
)

// allowOverwrite is ALLOW OVERWRITE (SSC-5, 7.2): what append-only mode forbids, for what comes next.
func (d *Drive) allowOverwrite(c *core.Command) error {
	m := d.mount
	m.overwrite = overwriteNone
	switch want := overwrite(c.CDB[2] & 0x0f); want {
	case overwriteNone:
	case overwriteHere:
		if int(c.CDB[3]) != m.partition || u64(c.CDB[4:]) != m.object {
			return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
		}
		m.overwrite = want
	case overwriteFormat:
		if m.partition != 0 || m.object != 0 {
			return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
		}
		m.overwrite = want
	default:
		return sense.FieldBit(2, 3)
	}
	return nil
}

// onlyFilemarks says that nothing but filemarks follows the position, and something precedes it:
// append-only mode lets the end of the last file be written again.
func (m *mount) onlyFilemarks(q medium.Partition) bool {
	if m.object == 0 {
		return false
	}
	before, err := m.medium.FilemarksBefore(m.partition, m.object)
	return err == nil && q.Filemarks-before == q.Objects-m.object
}
