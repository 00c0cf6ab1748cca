package ssc

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

const timestampChanged sense.Code = 0x2a10

var timestampTable = []row{
	in(0xa3, "REPORT TIMESTAMP", core.Bytes(6, 4), "\xa3\x0f\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00", core.Inline, quick,
		(*Drive).reportTimestamp).action(0x0f),
	out(0xa4, "SET TIMESTAMP", core.Bytes(6, 4), "\xa4\x0f\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00", core.Inline, quick,
		(*Drive).setTimestamp).action(0x0f),
}

// timestamp is the device timestamp (SPC-6, 5.4): the clock of this machine, until an initiator sets another.
type timestamp struct {
	// ahead is how far it is ahead of this machine's clock, in ms, and whether an initiator said so.
	ahead atomic.Int64
	set   atomic.Bool
}

// reportTimestamp is REPORT TIMESTAMP (SPC-6, 6.39).
func (d *Drive) reportTimestamp(c *core.Command) error {
	const (
		byInitiator = 2
		byOther     = 3 // "some other method": the clock of this machine
		length      = 10
	)
	b := make([]byte, 12)
	b[1], b[2] = length, byOther
	if d.clock.set.Load() {
		b[2] = byInitiator
	}
	putU48(b[4:], uint64(time.Now().UnixMilli()+d.clock.ahead.Load()))
	return c.Reply(b)
}

// setTimestamp is SET TIMESTAMP (SPC-6, 6.51).
func (d *Drive) setTimestamp(c *core.Command) error {
	const length = 12
	switch {
	case c.OutLen == 0:
		return nil
	case c.OutLen < length || len(c.Out) < length:
		return sense.ErrParamLength
	}
	ms := int64(u48(c.Out[4:]))
	d.clock.ahead.Store(ms - time.Now().UnixMilli())
	d.clock.set.Store(true)
	d.raise(timestampChanged, c.Path)
	return nil
}

func u48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

func putU48(b []byte, v uint64) {
	binary.BigEndian.PutUint16(b, uint16(v>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(v))
}
