package ssc

import (
	"errors"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

var writeTable = []row{
	out(0x0a, "WRITE(6)", transfer6, "\x0a\x01\xff\xff\xff\x00", writes|core.Inline, slow, onMedium((*Drive).write6)),
	none(0x10, "WRITE FILEMARKS(6)", "\x10\x01\xff\xff\xff\x00", writes, slow, onMedium((*Drive).writeFilemarks6)),
	none(0x80, "WRITE FILEMARKS(16)", "\x80\x0d\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		writes, slow, onMedium((*Drive).writeFilemarks16)),
	out(0x8a, "WRITE(16)", transfer16, "\x8a\x0d\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		writes|core.Inline, slow, onMedium((*Drive).write16)),
}

func (d *Drive) write6(c *core.Command) error {
	return d.write(c, int(wire.U24(c.CDB[2:])))
}

// write16 is WRITE(16). FCS and LCS say where a sequence of them begins and ends; each names its place
// itself.
func (d *Drive) write16(c *core.Command) error {
	if c.NoWait && !d.here(c) {
		return core.ErrWouldBlock
	}
	if err := d.seek(c); err != nil {
		return err
	}
	return d.write(c, int(wire.U24(c.CDB[12:])))
}

// writable says what keeps the medium from being changed at object of the active partition.
func (d *Drive) writable(m *mount) error {
	switch {
	case !m.support.Write:
		return sense.New(sense.DataProtect, cannotWriteFormat)
	case m.readOnly:
		return sense.ErrWriteProtected
	case d.settings.associatedWP.Load():
		return sense.New(sense.DataProtect, associatedWP)
	case d.settings.softwareWP.Load():
		return sense.ErrSoftwareWP
	}
	return nil
}

// recordable is writable for what records from the position on, whatever follows.
func (d *Drive) recordable() error {
	m := d.mount
	if err := d.writable(m); err != nil {
		return err
	}
	q := m.medium.Partition(m.partition)
	switch {
	case m.object == q.Objects:
		return d.changing()
	case m.info.WORM:
		return sense.New(sense.DataProtect, wormOverwrite)
	case d.settings.appendOnly.Load() && m.overwrite != overwriteHere && !m.onlyFilemarks(q):
		return sense.New(sense.DataProtect, writeAppendPosition)
	}
	d.stats.Overwrites.Add(1)
	return d.changing()
}

// changing is called before the medium changes.
func (d *Drive) changing() error {
	if err := d.mount.changing(); err != nil {
		return d.failed(err, true)
	}
	return nil
}

// write is WRITE (SSC-5, 6.11 and 7.17) of n blocks or bytes.
func (d *Drive) write(c *core.Command, n int) error {
	if n == 0 {
		return nil
	}
	g := d.writeGuard()
	block, count := n-g.size(), 1 // without protection information
	if c.CDB[1]&fixed != 0 {
		if block, count = int(d.blockLen.Load()), n; block == 0 {
			return sense.FieldBit(1, 0)
		}
	} else if block < 1 || d.checkLength(uint32(block)) != nil {
		return sense.Field(int(c.Row.Len.Off))
	}
	unit := block + g.size()
	if len(c.Out) != unit*count { // the transport brought less, or the block length has changed since
		return sense.New(sense.IllegalRequest, invalidFieldInIU)
	}
	if c.NoWait && (d.settings.bufferedMode.Load() == 0 || !d.mount.usage.changed || !d.prompt(block*count)) {
		return core.ErrWouldBlock
	}
	if err := d.recordable(); err != nil {
		return err
	}
	m := d.mount
	r, err := d.recording(c)
	if err != nil {
		return err
	}
	for done := range count {
		if done > 0 && c.Err() != nil {
			return aborted
		}
		if err := d.record(g, c.Out[done*unit:(done+1)*unit], r); err != nil {
			rest := count - done
			if count == 1 && c.CDB[1]&fixed == 0 {
				rest = n
			}
			return d.unwritten(err, int64(rest))
		}
		m.dirty = true
		d.advance(1)
		d.stats.BlocksWritten.Add(1)
		d.stats.BytesWritten.Add(uint64(block))
	}
	return d.written()
}

// record records data, a block with its protection information, at the position.
func (d *Drive) record(g guard, data []byte, r medium.Recording) error {
	if g.method != guardNone {
		block, crc, ok := g.check(data)
		if !ok {
			return errGuard
		}
		data, r.CRC, r.HasCRC = block, crc, true
	}
	m := d.mount
	if err := m.mark(m.partition, m.object, r.Key != nil); err != nil {
		return err
	}
	return m.medium.Write(m.partition, m.object, data, r)
}

// checkLength refuses a block that the drive does not write.
func (d *Drive) checkLength(n uint32) error {
	if n > d.maxBlock() || n < d.model.MinBlock || n&(1<<d.model.Granularity-1) != 0 {
		return sense.ErrInvalidField
	}
	return nil
}

// unwritten is a failed Write or WriteFilemarks with rest of the command not done. The position is
// behind what was recorded.
func (d *Drive) unwritten(err error, rest int64) error {
	e := d.failed(err, true)
	if e.Deferred { // what of an earlier command is missing, its INFORMATION cannot say
		return e
	}
	if errors.Is(err, medium.ErrFull) {
		d.stats.VolumeOverflows.Add(1)
	}
	e.Info, e.HasInfo = uint64(rest), true
	return e
}

// written ends a command that recorded all it was to: with what warns of the end of the partition.
// Early warning is reported for each command beyond it, programmable early warning for the one
// that comes into its zone (SSC-5, 4.2.5 and 4.2.6).
func (d *Drive) written() error {
	m := d.mount
	p := m.partition
	warn, fore := d.zones(p, m.object)
	crossed := warn && !m.warned[p]
	entered := fore && !m.forewarned[p]
	m.warned[p], m.forewarned[p] = warn, fore
	if d.settings.bufferedMode.Load() == 0 || crossed && d.settings.syncAtWarning.Load() {
		if err := d.flush(); err != nil {
			return err
		}
	}
	code := endOfPartition
	switch {
	case warn:
		d.stats.EarlyWarnings.Add(1)
	case entered:
		code = programmableWarning
	default:
		return nil
	}
	e := stop(sense.NoSense, code, 0)
	e.EndOfMedium = true
	return e
}

func (d *Drive) writeFilemarks6(c *core.Command) error {
	return d.writeFilemarks(c, 2)
}

func (d *Drive) writeFilemarks16(c *core.Command) error {
	if err := d.seek(c); err != nil {
		return err
	}
	return d.writeFilemarks(c, 12)
}

// maxFilemarks bounds one command: three bytes of a CDB could ask for 16 millions of them, for nothing.
const maxFilemarks = 1 << 20

// writeFilemarks is WRITE FILEMARKS (SSC-5, 6.12 and 7.18). Without IMMED all that was recorded is
// durable when it ends, also when it is to write none.
// FILEMARK COUNT lies at off.
func (d *Drive) writeFilemarks(c *core.Command, off int) error {
	immed, n := c.CDB[1]&1 != 0, uint64(wire.U24(c.CDB[off:]))
	m := d.mount
	if n > maxFilemarks {
		return sense.Field(off)
	}
	if n > 0 {
		if err := d.recordable(); err != nil {
			return err
		}
		if err := m.cut(m.partition, m.object); err != nil {
			return d.unwritten(err, int64(n))
		}
		if err := m.medium.WriteFilemarks(m.partition, m.object, n); err != nil {
			return d.unwritten(err, int64(n))
		}
		m.dirty = true
		d.advance(int64(n))
		d.stats.FilemarksWritten.Add(n)
	}
	if !immed {
		if err := d.flush(); err != nil {
			return err
		}
	}
	if n == 0 {
		return nil
	}
	return d.written()
}

// prompt says whether n bytes can be written, or with n 0 the next block be read, without waiting.
func (d *Drive) prompt(n int) bool {
	m := d.mount
	q, ok := m.medium.(medium.Prompter)
	switch {
	case !ok:
		return false
	case n > 0:
		return q.PromptWrite(m.partition, m.object, n)
	}
	return q.PromptRead(m.partition, m.object)
}
