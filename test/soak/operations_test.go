//go:build system

package soak

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/targate/targate/test/initiator"
)

// operation is something that a host does, weight times as often as one of weight 1.
type operation struct {
	name   string
	weight int
	run    func(h *host, ctx context.Context) (end, error)
}

// operations is all of them.
var operations []operation

// The table refers to functions that look at the table's size no more than it does, yet
// the compiler sees a cycle, hence init.
func init() {
	operations = []operation{
		{"READ", 30, (*host).read},
		{"WRITE(6)", 4, writes(0x0a)},
		{"WRITE(10)", 20, writes(0x2a)},
		{"WRITE(12)", 4, writes(0xaa)},
		{"WRITE(16)", 10, writes(0x8a)},
		{"WRITE AND VERIFY", 4, writes(0x2e, 0xae, 0x8e)},
		{"WRITE ATOMIC(16)", 4, writes(0x9c)},
		{"WRITE SAME", 4, (*host).writeSame},
		{"XDWRITEREAD(10)", 4, (*host).xdWriteRead},
		{"UNMAP", 4, (*host).unmap},
		{"COMPARE AND WRITE", 6, (*host).compareAndWrite},
		{"ORWRITE(16)", 4, (*host).orWrite},
		{"VERIFY", 4, (*host).verify},
		{"SYNCHRONIZE CACHE", 2, (*host).synchronize},
		{"PRE-FETCH", 2, (*host).preFetch},
		{"EXTENDED COPY", 4, (*host).copy},
		{"WRITE USING TOKEN", 4, (*host).tokenCopy},
		{"inquiries", 4, (*host).inquiries},
		{"MODE SELECT", 2, (*host).modeSelect},
		{"PERSISTENT RESERVE", 2, (*host).reserve},
		{"RESERVE(6)", 1, (*host).reserve6},
		{"FORMAT UNIT, SANITIZE and others", 4, (*host).scratch},
		{"queries", 2, (*host).queries},
		{"many writes", 8, (*host).burst},
		{"ABORT TASK", 4, (*host).abortTask},
		{"ABORT TASK SET", 2, func(h *host, ctx context.Context) (end, error) { return h.reset(ctx, initiator.AbortTaskSet) }},
		{"CLEAR TASK SET", 1, func(h *host, ctx context.Context) (end, error) { return h.reset(ctx, initiator.ClearTaskSet) }},
		{"LOGICAL UNIT RESET", 1, func(h *host, ctx context.Context) (end, error) { return h.reset(ctx, initiator.LUReset) }},
		{"I_T NEXUS RESET", 1, func(h *host, ctx context.Context) (end, error) { return h.reset(ctx, initiator.ITNexusReset) }},
		{"LUN that changes", 4, (*host).changingLUN},
		{"LUN that is masked", 4, (*host).maskedLUN},
		{"disk that grows", 4, (*host).grownDisk},
		{"REPORT LUNS", 2, (*host).reportLUNs},
		{"NOP", 2, (*host).nop},
		{"logout", 1, (*host).logout},
		{"drop", 1, (*host).drop},
		{"session reinstatement", 1, (*host).reinstate},
		{"TARGET WARM RESET", 1, (*host).warm},
		{"TARGET COLD RESET", 1, (*host).cold},
	}
}

// pick chooses an operation. Target resets are rarer than a weight of 1.
func (h *host) pick() operation {
	sum := 0
	for _, o := range operations {
		sum += o.weight
	}
	n := h.rand.IntN(sum)
	for _, o := range operations {
		if n -= o.weight; n < 0 {
			return o
		}
	}
	panic("unreachable")
}

// place chooses a medium and up to most blocks of it.
func (h *host) place(most int) (m *medium, at, n int) {
	m = h.media[h.rand.IntN(len(h.media))]
	n = 1 + h.rand.IntN(most)
	return m, h.rand.IntN(blocks - n + 1), n
}

// data makes random bytes for n blocks.
func (h *host) data(m *medium, n int) []byte {
	b := make([]byte, n*m.size)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], h.rand.Uint64())
	}
	return b
}

// cdb16 is a CDB with LBA and number of blocks where most commands have them.
func cdb16(op uint8, m *medium, at, n int) []byte {
	b := make([]byte, 16)
	b[0] = op
	binary.BigEndian.PutUint64(b[2:], uint64(m.first+at))
	binary.BigEndian.PutUint32(b[10:], uint32(n))
	return b
}

// cdb is cdb16 for commands of 6, 10, 12 and 16 bytes.
func cdb(op uint8, m *medium, at, n int) []byte {
	b := make([]byte, []int{6, 10, 10, 0, 16, 12}[op>>5])
	b[0] = op
	switch lba := m.first + at; len(b) {
	case 6:
		b[2], b[3], b[4] = byte(lba>>8), byte(lba), byte(n)
	case 10:
		binary.BigEndian.PutUint32(b[2:], uint32(lba))
		binary.BigEndian.PutUint16(b[7:], uint16(n))
	case 12:
		binary.BigEndian.PutUint32(b[2:], uint32(lba))
		binary.BigEndian.PutUint32(b[6:], uint32(n))
	default:
		return cdb16(op, m, at, n)
	}
	return b
}

// one is one of the opcodes.
func (h *host) one(op ...uint8) uint8 { return op[h.rand.IntN(len(op))] }

// fetch reads n blocks and compares them with the model; after good, the model is sure.
func (h *host) fetch(ctx context.Context, m *medium, at, n int) (end, error) {
	op := h.one(0x08, 0x28, 0x28, 0xa8, 0x88)
	if m.first+at >= 1<<16 { // the disk that grows
		op = 0x88
	}
	c := &initiator.Command{LUN: m.lun, CDB: cdb(op, m, at, n), In: n * m.size}
	e, r, err := h.do(ctx, c)
	if err != nil || e != good {
		return e, err
	}
	if len(r.Data) != n*m.size {
		return e, fmt.Errorf("READ of %d blocks gave %d bytes", n, len(r.Data))
	}
	return e, m.read(at, r.Data)
}

func (h *host) read(ctx context.Context) (end, error) {
	m, at, n := h.place(blocks)
	return h.fetch(ctx, m, at, n)
}

func (h *host) readAll(ctx context.Context) (e end, err error) {
	for _, m := range h.media {
		if e, err = h.fetch(ctx, m, 0, blocks); err != nil || e != good {
			break
		}
	}
	return e, err
}

// store carries out c, which makes the blocks at at hold data.
func (h *host) store(ctx context.Context, c *initiator.Command, m *medium, at int, data []byte) (end, error) {
	e, _, err := h.do(ctx, c)
	if e != refused {
		m.wrote(at, data, e == good)
	}
	return e, err
}

func (h *host) writeCommand(op uint8, m *medium, at int, data []byte) *initiator.Command {
	n := len(data) / m.size
	c := &initiator.Command{LUN: m.lun, Out: data, CDB: cdb(op, m, at, n), NoImmediateData: h.rand.IntN(4) == 0}
	switch op {
	case 0x9c: // its length is where others have the low half of theirs
		c.CDB[10], c.CDB[11] = 0, 0
		fallthrough
	case 0x2a, 0xaa, 0x8a:
		if h.rand.IntN(4) == 0 {
			c.CDB[1] |= 0x08 // FUA
		}
	}
	if op == 0x2a {
		c.Attr = []uint8{initiator.Simple, initiator.Simple, initiator.Ordered, initiator.HeadOfQueue}[h.rand.IntN(4)]
	}
	return c
}

// writes is a write by one of the opcodes.
func writes(op ...uint8) func(*host, context.Context) (end, error) {
	return func(h *host, ctx context.Context) (end, error) {
		m, at, n := h.place(64)
		data := h.data(m, n)
		return h.store(ctx, h.writeCommand(h.one(op...), m, at, data), m, at, data)
	}
}

func (h *host) writeSame(ctx context.Context) (end, error) {
	m, at, n := h.place(blocks)
	block := h.data(m, 1)
	c := &initiator.Command{LUN: m.lun, CDB: cdb(h.one(0x41, 0x93), m, at, n), Out: block}
	return h.store(ctx, c, m, at, bytes.Repeat(block, n))
}

// thin is the media where UNMAP is a command, LUN 2 by the configuration.
const thin = 2

func (h *host) unmap(ctx context.Context) (end, error) {
	_, at, n := h.place(blocks)
	m := h.media[thin]
	p := make([]byte, 24)
	p[1], p[3] = 22, 16
	binary.BigEndian.PutUint64(p[8:], uint64(m.first+at))
	binary.BigEndian.PutUint32(p[16:], uint32(n))
	c := &initiator.Command{LUN: m.lun, CDB: []byte{0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, Out: p}
	return h.store(ctx, c, m, at, make([]byte, n*m.size))
}

// known reads n blocks, so that what they hold is sure.
func (h *host) known(ctx context.Context, most int) (m *medium, at int, now []byte, e end, err error) {
	m, at, n := h.place(most)
	if e, err = h.fetch(ctx, m, at, n); err != nil || e != good {
		return nil, 0, nil, e, err
	}
	return m, at, m.sure(at, n), good, nil
}

func (h *host) compareAndWrite(ctx context.Context) (end, error) {
	m, at, now, e, err := h.known(ctx, 1)
	if err != nil || e != good {
		return e, err
	}
	data := h.data(m, 1)
	wrong := h.rand.IntN(3) == 0
	if wrong {
		now[h.rand.IntN(len(now))] ^= 1
	}
	c := &initiator.Command{LUN: m.lun, CDB: cdb16(0x89, m, at, 0), Out: append(now, data...)}
	c.CDB[13] = 1
	if !wrong {
		return h.store(ctx, c, m, at, data)
	}
	e, _, err = h.do(ctx, c, 0x0e)
	if err == nil && e == good {
		err = fmt.Errorf("COMPARE AND WRITE found what is not there")
	}
	return e, err
}

func (h *host) orWrite(ctx context.Context) (end, error) {
	m, at, now, e, err := h.known(ctx, 32)
	if err != nil || e != good {
		return e, err
	}
	data := h.data(m, len(now)/m.size)
	for i := range now {
		now[i] |= data[i]
	}
	c := &initiator.Command{LUN: m.lun, CDB: cdb16(0x8b, m, at, len(now)/m.size), Out: data}
	return h.store(ctx, c, m, at, now)
}

func (h *host) verify(ctx context.Context) (end, error) {
	m, at, now, e, err := h.known(ctx, 32)
	if err != nil || e != good {
		return e, err
	}
	c := &initiator.Command{LUN: m.lun, CDB: cdb(h.one(0x2f, 0xaf, 0x8f), m, at, len(now)/m.size), Out: now}
	c.CDB[1] = 0x02 // BYTCHK: compare
	e, _, err = h.do(ctx, c)
	return e, err
}

func (h *host) synchronize(ctx context.Context) (end, error) {
	m, at, n := h.place(blocks)
	e, _, err := h.do(ctx, &initiator.Command{LUN: m.lun, CDB: cdb(h.one(0x35, 0x91), m, at, n)})
	return e, err
}
