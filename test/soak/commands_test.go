//go:build system

package soak

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/targate/targate/test/initiator"
)

// xdWriteRead writes, and gets what was there with the new data exclusive-ored.
func (h *host) xdWriteRead(ctx context.Context) (end, error) {
	m, at, now, e, err := h.known(ctx, 32)
	if err != nil || e != good {
		return e, err
	}
	data := h.data(m, len(now)/m.size)
	c := &initiator.Command{LUN: m.lun, CDB: cdb(0x53, m, at, len(now)/m.size), Out: data, In: len(now)}
	e, r, err := h.do(ctx, c)
	if e != refused {
		m.wrote(at, data, e == good)
	}
	if err != nil || e != good {
		return e, err
	}
	for i := range now {
		now[i] ^= data[i]
	}
	if string(r.Data) != string(now) {
		err = fmt.Errorf("MISCOMPARE: XDWRITEREAD on LUN %d at block %d gave another exclusive or", m.lun, m.first+at)
	}
	return e, err
}

func (h *host) preFetch(ctx context.Context) (end, error) {
	m, at, n := h.place(blocks)
	e, _, err := h.do(ctx, &initiator.Command{LUN: m.lun, CDB: cdb(h.one(0x34, 0x90), m, at, n)})
	return e, err
}

// tokenCDB is a command of opcode 83h or 84h with a list identifier of four bytes.
func tokenCDB(op, action byte, idAt int, id uint32, n int) []byte {
	b := make([]byte, 16)
	b[0], b[1] = op, action
	binary.BigEndian.PutUint32(b[idAt:], id)
	binary.BigEndian.PutUint32(b[10:], uint32(n))
	return b
}

// rangeOf is a block device range descriptor.
func rangeOf(m *medium, at, n int) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, uint64(m.first+at))
	binary.BigEndian.PutUint32(b[8:], uint32(n))
	return b
}

// tokenCopy copies by a ROD token, between two disks of the same block length.
func (h *host) tokenCopy(ctx context.Context) (end, error) {
	const copyAborted, illegalRequest = 0x0a, 5
	of512 := []int{0, 2, 3}
	src, dst := h.media[of512[h.rand.IntN(3)]], h.media[of512[h.rand.IntN(3)]]
	n := 1 + h.rand.IntN(32)
	from, to := h.rand.IntN(blocks/2-n+1), blocks/2+h.rand.IntN(blocks/2-n+1)
	if e, err := h.fetch(ctx, src, from, n); err != nil || e != good {
		return e, err
	}
	id := uint32(1 + h.rand.IntN(1<<16))
	p := make([]byte, 32)
	p[1], p[15] = 30, 16
	copy(p[16:], rangeOf(src, from, n))
	c := &initiator.Command{LUN: src.lun, CDB: tokenCDB(0x83, 0x10, 6, id, len(p)), Out: p}
	const tooMany = 0x550d // INSUFFICIENT RESOURCES TO CREATE ROD: tokens live for a minute
	if e, r, err := h.do(ctx, c, copyAborted, illegalRequest); err != nil || e != good {
		if err == nil && r != nil && r.Key() == illegalRequest && r.Code() != tooMany {
			err = fmt.Errorf("POPULATE TOKEN: %w", r.Err())
		}
		return e, err
	}
	// A reset in between makes the target forget the copy.
	e, r, err := h.do(ctx, &initiator.Command{LUN: src.lun, CDB: tokenCDB(0x84, 7, 2, id, 1024), In: 1024}, illegalRequest)
	if err != nil || e != good {
		return e, err
	}
	at := 32
	if len(r.Data) > 14 {
		at += int(r.Data[14]) // behind the sense data
	}
	if len(r.Data) < at+6+512 {
		return unsure, nil // the copy was aborted: no token
	}
	p = make([]byte, 552)
	binary.BigEndian.PutUint16(p, 550)
	copy(p[16:], r.Data[at+6:at+6+512])
	p[535] = 16
	copy(p[536:], rangeOf(dst, to, n))
	c = &initiator.Command{LUN: dst.lun, CDB: tokenCDB(0x83, 0x11, 6, id, len(p)), Out: p}
	e, _, err = h.do(ctx, c, copyAborted, illegalRequest) // a token that a reset or a write made void
	if e != refused {
		dst.wrote(to, src.sure(from, n), e == good)
	}
	return e, err
}

// reserve6 has a reservation of SPC-2 for a while.
func (h *host) reserve6(ctx context.Context) (end, error) {
	m, at, n := h.place(8)
	result, _, err := h.do(ctx, &initiator.Command{LUN: m.lun, CDB: []byte{0x16, 0, 0, 0, 0, 0}})
	if err == nil && result == good {
		data := h.data(m, n)
		result, err = h.store(ctx, h.writeCommand(0x2a, m, at, data), m, at, data)
	}
	for err == nil && result != refused && result != lost { // which ends it, too
		var e end
		if e, _, err = h.do(ctx, &initiator.Command{LUN: m.lun, CDB: []byte{0x17, 0, 0, 0, 0, 0}}); e != unsure {
			return max(result, e), err
		}
	}
	return result, err
}

// scratch does to one disk what leaves nothing to compare.
func (h *host) scratch(ctx context.Context) (end, error) {
	const notReady, mediumError, illegalRequest = 2, 3, 5
	all := []*initiator.Command{
		{CDB: []byte{0x04, 0, 0, 0, 0, 0}},                    // FORMAT UNIT
		{CDB: []byte{0x48, 0x82, 0, 0, 0, 0, 0, 0, 0, 0}},     // SANITIZE, BLOCK ERASE, IMMED
		{CDB: []byte{0x48, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0}},     // EXIT FAILURE MODE
		{CDB: []byte{0x1b, 0, 0, 0, byte(h.rand.IntN(2)), 0}}, // START STOP UNIT
		{CDB: []byte{0x1b, 0, 0, 0, 1, 0}},                    // started more often than stopped
		{CDB: []byte{0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0}},        // UNMAP of nothing
		{CDB: initiator.Read10(0, 64), In: 64 * 512},          //
		{CDB: initiator.Write10(64, 64), Out: make([]byte, 64*512)},
	}
	c := all[h.rand.IntN(len(all))]
	c.LUN = scratch
	e, _, err := h.do(ctx, c, notReady, mediumError, illegalRequest)
	return e, err
}

// queries are the task management functions that end nothing.
func (h *host) queries(ctx context.Context) (end, error) {
	m, _, _ := h.place(1)
	function := h.one(initiator.QueryTaskSet, initiator.QueryAsyncEvent, initiator.ClearACA)
	answer, err := h.tmf(ctx, function, m.lun, nil)
	switch {
	case errors.Is(err, initiator.ErrClosed):
		return lost, h.ended(err)
	case err != nil:
		return lost, err
	case answer != initiator.FunctionComplete && answer != initiator.FunctionSucceeded:
		err = fmt.Errorf("answer %d to function %d", answer, function)
	}
	return good, err
}
