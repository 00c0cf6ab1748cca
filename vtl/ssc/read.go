package ssc

import (
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

// Bits of byte 1 of the commands that move blocks.
const (
	fixed  = 0x01
	sili   = 0x02
	bytord = 0x04 // of READ REVERSE
)

// Rules of the TRANSFER LENGTH fields of the 6-byte and the 16-byte commands.
var (
	transfer6  = core.Rule{Off: 2, Width: 3, Func: func(cdb []byte, block uint32) uint64 { return transfer(cdb, 2, block) }}
	transfer16 = core.Rule{Off: 12, Width: 3, Func: func(cdb []byte, block uint32) uint64 { return transfer(cdb, 12, block) }}
)

// transfer is how many bytes are to move: a number of blocks with FIXED, else bytes.
func transfer(cdb []byte, off int, block uint32) uint64 {
	n := uint64(wire.U24(cdb[off:]))
	if cdb[1]&fixed != 0 {
		n *= uint64(block)
	}
	return n
}

var readTable = []row{
	in(0x05, "READ BLOCK LIMITS", core.Rule{Off: 1, Func: limitsLen}, "\x05\x01\x00\x00\x00\x00",
		core.PastReserve|core.Inline, quick, (*Drive).readBlockLimits),
	in(0x08, "READ(6)", transfer6, "\x08\x03\xff\xff\xff\x00", medial|core.Inline, slow, onMedium((*Drive).read6)),
	in(0x0f, "READ REVERSE(6)", transfer6, "\x0f\x07\xff\xff\xff\x00", medial, slow, onMedium((*Drive).readReverse6)),
	in(0x81, "READ REVERSE(16)", transfer16, "\x81\x07\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		medial, slow, onMedium((*Drive).readReverse16)),
	in(0x88, "READ(16)", transfer16, "\x88\x03\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		medial|core.Inline, slow, onMedium((*Drive).read16)),
}

const mloi = 0x01 // byte 1 of READ BLOCK LIMITS

func limitsLen(cdb []byte, _ uint32) uint64 {
	if cdb[1]&mloi != 0 {
		return 20
	}
	return 6
}

// readBlockLimits is READ BLOCK LIMITS (SSC-5, 7.6).
func (d *Drive) readBlockLimits(c *core.Command) error {
	if c.CDB[1]&mloi != 0 {
		b := make([]byte, 20)
		binary.BigEndian.PutUint64(b[12:], 1<<63-1) // MAXIMUM LOGICAL OBJECT IDENTIFIER
		return c.Reply(b)
	}
	b := make([]byte, 6)
	b[0] = d.model.Granularity & 0x1f
	wire.PutU24(b[1:], d.maxBlock())
	binary.BigEndian.PutUint16(b[4:], uint16(max(1, d.model.MinBlock)))
	return c.Reply(b)
}

// maxBlock is the longest block that the drive reads and writes.
func (d *Drive) maxBlock() uint32 {
	if d.model.MaxBlock == 0 {
		return medium.MaxBlock
	}
	return min(d.model.MaxBlock, medium.MaxBlock)
}

func (d *Drive) read6(c *core.Command) error {
	return d.read(c, int(wire.U24(c.CDB[2:])))
}

func (d *Drive) readReverse6(c *core.Command) error {
	return d.readReverse(c, int(wire.U24(c.CDB[2:])))
}

func (d *Drive) read16(c *core.Command) error {
	if c.NoWait && !d.here(c) {
		return core.ErrWouldBlock
	}
	if err := d.seek(c); err != nil {
		return err
	}
	return d.read(c, int(wire.U24(c.CDB[12:])))
}

func (d *Drive) readReverse16(c *core.Command) error {
	if err := d.seek(c); err != nil {
		return err
	}
	return d.readReverse(c, int(wire.U24(c.CDB[12:])))
}

// u64 is a field of eight bytes.
func u64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// here says whether the position is where a 16-byte command wants it.
func (d *Drive) here(c *core.Command) bool {
	m := d.mount
	return int(c.CDB[3]) == m.partition && u64(c.CDB[4:]) == m.object
}

// seek goes to the PARTITION and LOGICAL OBJECT IDENTIFIER of a 16-byte command.
func (d *Drive) seek(c *core.Command) error {
	p, err := d.target(true, c.CDB, 3)
	if err != nil {
		return err
	}
	object := u64(c.CDB[4:])
	if d.here(c) {
		return nil
	}
	return d.locate(c, p, object, false)
}

// stop is how a command ends that met something else than what it asked for, with rest of it, in
// blocks or bytes, undone. The flag of the sense data that says what is set by the caller.
func stop(k sense.Key, c sense.Code, rest int64) *sense.Error {
	e := sense.New(k, c)
	e.Info, e.HasInfo = uint64(rest), true
	return e
}

// atFilemark is stop at a filemark, atEnd at the end of data, atBeginning at that of the partition,
// badLength at a block of another length.
func atFilemark(rest int64) *sense.Error {
	e := stop(sense.NoSense, filemarkDetected, rest)
	e.Filemark = true
	return e
}

func atEnd(rest int64) *sense.Error { return stop(sense.BlankCheck, endOfData, rest) }

func atBeginning(rest int64) *sense.Error {
	e := stop(sense.NoSense, beginningOfPartition, rest)
	e.EndOfMedium = true
	return e
}

func badLength(rest int64) *sense.Error {
	e := stop(sense.NoSense, sense.NoAdditionalSense, rest)
	e.ILI = true
	return e
}

// read is READ (SSC-5, 6.6 and 7.5) of n blocks or bytes.
func (d *Drive) read(c *core.Command, n int) error {
	if err := d.checkRead(c); err != nil || n == 0 {
		return err
	}
	if c.NoWait && !d.prompt(0) {
		return core.ErrWouldBlock
	}
	if c.CDB[1]&fixed != 0 {
		return d.readFixed(c, n, 0)
	}
	return d.readVariable(c, n)
}

// checkRead refuses what READ and READ REVERSE cannot do, and sees to it that c moves blocks
// of the length that they have now: a MODE SELECT may have come between.
func (d *Drive) checkRead(c *core.Command) error {
	if c.CDB[1]&fixed == 0 {
		return nil
	}
	block := d.blockLen.Load()
	switch {
	case block == 0:
		return sense.FieldBit(1, 0)
	case c.CDB[1]&sili != 0:
		return sense.FieldBit(1, 1)
	}
	if want := c.Row.Len.Length(c.CDB, block); want != uint64(c.InLen) {
		if want > core.DefaultMaxTransfer {
			return sense.Field(int(c.Row.Len.Off))
		}
		c.InLen, c.InMax = int(want), int(want)
		if c.HasExpected {
			c.InMax = min(c.InMax, int(c.ExpectedIn))
		}
	}
	return nil
}

// readVariable reads one block of n bytes.
func (d *Drive) readVariable(c *core.Command, n int) error {
	m := d.mount
	in, err := c.Room()
	if err != nil {
		return err
	}
	k, err := d.keysFor(c)
	if err != nil {
		return err
	}
	o, err := m.readObject(m.object, in, k)
	if err != nil {
		return d.unread(err, int64(n))
	}
	switch o.Kind {
	case medium.EndOfData:
		return atEnd(int64(n))
	case medium.Filemark:
		d.advance(1)
		return atFilemark(int64(n))
	}
	d.advance(1)
	g := d.readGuard()
	g.seal(in, o)
	length := o.Length + g.size()
	c.InLen = min(n, length)
	d.stats.BlocksRead.Add(1)
	d.stats.BytesRead.Add(uint64(min(n, o.Length)))
	switch {
	case length == n:
		return nil
	case c.CDB[1]&sili != 0 && (length < n || d.blockLen.Load() == 0):
		return nil
	}
	c.DataValid = true
	return badLength(int64(n) - int64(length))
}

// readFixed reads count blocks.
func (d *Drive) readFixed(c *core.Command, count, done int) error {
	m := d.mount
	in, err := c.Room()
	if err != nil {
		return err
	}
	k, err := d.keysFor(c)
	if err != nil {
		return err
	}
	block, g := int(d.blockLen.Load()), d.readGuard()
	unit := block + g.size()
	// ends makes what has been read the Data-In.
	ends := func(err error) error {
		c.InLen, c.DataValid = done*unit, done > 0 && err != nil
		return err
	}
	for ; done < count; done++ {
		if c.Err() != nil {
			return aborted
		}
		dst := in[min(done*unit, len(in)):min((done+1)*unit, len(in))]
		o, err := m.readObject(m.object, dst, k)
		rest := int64(count - done)
		switch {
		case err != nil:
			return ends(d.unread(err, rest))
		case o.Kind == medium.EndOfData:
			return ends(atEnd(rest))
		case o.Kind == medium.Filemark:
			d.advance(1)
			return ends(atFilemark(rest))
		}
		d.advance(1)
		if o.Length != block {
			return ends(badLength(rest))
		}
		g.seal(dst, o)
		d.stats.BlocksRead.Add(1)
		d.stats.BytesRead.Add(uint64(block))
	}
	return nil
}

// advance moves the position over n objects, back when n is negative.
func (d *Drive) advance(n int64) {
	m := d.mount
	d.moveTo(m.partition, m.object+uint64(n))
}

// unread is a failed Read with rest of the command undone. The position is behind a block that cannot
// be read, and before one for which a key is missing.
func (d *Drive) unread(err error, rest int64) error {
	e := d.failed(err, false)
	if e.Deferred {
		return e
	}
	if e.Key == sense.MediumError {
		d.advance(1)
	}
	e.Info, e.HasInfo = uint64(rest), true
	return e
}

// readReverse is READ REVERSE (SSC-5, 6.7 and 7.8) of n blocks or bytes.
func (d *Drive) readReverse(c *core.Command, n int) error {
	if err := d.checkRead(c); err != nil || n == 0 {
		return err
	}
	in, err := c.Room()
	if err != nil {
		return err
	}
	if d.readGuard().method != guardNone { // what would come before the bytes that it protects
		return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
	}
	k, err := d.keysFor(c)
	if err != nil {
		return err
	}
	block, count := n, 1
	if c.CDB[1]&fixed != 0 {
		block, count = int(d.blockLen.Load()), n
	}
	for done := range count {
		if c.Err() != nil {
			return aborted
		}
		dst := in[min(done*block, len(in)):min((done+1)*block, len(in))]
		length, err := d.readBack(c, dst, block, k)
		if err != nil {
			e, ok := err.(*sense.Error) //nolint:errorlint // made by readBack
			if ok && !e.Deferred {
				e.Info, e.HasInfo = uint64(count-done), true
				if c.CDB[1]&fixed == 0 {
					e.Info = uint64(n)
				}
			}
			c.InLen, c.DataValid = done*block, done > 0
			return err
		}
		if c.CDB[1]&fixed == 0 {
			c.InLen = min(n, length)
			if length != n && (c.CDB[1]&sili == 0 || length > n && d.blockLen.Load() != 0) {
				c.DataValid = true
				return badLength(int64(n) - int64(length))
			}
		} else if length != block {
			c.InLen, c.DataValid = done*block, done > 0
			return badLength(int64(count - done))
		}
		d.stats.BlocksRead.Add(1)
		d.stats.BytesRead.Add(uint64(min(length, block)))
	}
	return nil
}

// readBack reads the block before the position into dst, which has room for want bytes or for what of
// it is moved, and goes before it. Without BYTORD its last byte comes first.
func (d *Drive) readBack(c *core.Command, dst []byte, want int, k *keySet) (length int, err error) {
	m := d.mount
	if m.object == 0 {
		return 0, atBeginning(0)
	}
	o, err := m.medium.Read(m.partition, m.object-1, nil, nil)
	if err == nil && o.Kind == medium.Block && len(dst) > 0 {
		b := d.room(o.Length)
		if o, err = m.readObject(m.object-1, b, k); err == nil {
			if c.CDB[1]&bytord == 0 {
				slices.Reverse(b)
			}
			copy(dst, b[:min(want, len(b))])
		}
	}
	if err != nil {
		e := d.failed(err, false)
		if e.Key == sense.MediumError && !e.Deferred {
			d.advance(-1)
		}
		return 0, e
	}
	d.advance(-1)
	if o.Kind == medium.Filemark {
		return 0, atFilemark(0)
	}
	return o.Length, nil
}

// room is memory for one block, until the next call. The caller holds the tape.
func (d *Drive) room(n int) []byte {
	if cap(d.scratch) < n {
		d.scratch = make([]byte, n) // at most medium.MaxBlock, and let go when the medium is
	}
	return d.scratch[:n]
}
