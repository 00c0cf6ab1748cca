package session

import (
	"encoding/binary"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// residual is the difference between what the initiator expected to move and what
// the command asked for or returned (RFC 7143, 11.4.5).
func residual(expected uint32, n int) (flag byte, count uint32) {
	switch {
	case int(expected) > n:
		return pdu.Underflow, expected - uint32(n)
	case int(expected) < n:
		return pdu.Overflow, uint32(n) - expected
	}
	return 0, 0
}

// residuals computes the flags and counts of t's response. On an error without data
// nothing was moved, and the residual is the whole.
func (t *task) residuals() (flags byte, count, bidi uint32) {
	in, out := t.InLen, t.OutLen
	if t.Row == nil {
		in, out = 0, 0 // refused unparsed: nothing was asked for
	} else if t.Status != scsi.Good && t.Status != scsi.ConditionMet && !t.hasData() {
		in = 0
	}
	switch {
	case t.read && t.write:
		flags, count = residual(t.ExpectedOut, out)
		f, n := residual(t.ExpectedIn, in)
		return flags | f<<2, count, n
	case t.read:
		flags, count = residual(t.ExpectedIn, in)
	case t.write:
		flags, count = residual(t.ExpectedOut, out)
	case in > 0:
		flags, count = residual(0, in)
	default:
		flags, count = residual(0, out)
	}
	return flags, count, 0
}

// hasData reports whether the answer carries Data-In.
func (t *task) hasData() bool {
	return t.Moved() > 0 && (t.In != nil || t.Lent != nil) &&
		(t.Status == scsi.Good || t.DataValid)
}

// respond queues the answer to t, data and status. The task may be recycled then.
func (s *Session) respond(t *task) {
	if invariants {
		t.check()
	}
	if t.Times.Weight != 0 {
		s.measured(t)
	}
	flags, count, bidi := t.residuals()
	sent := uint32(0) // ExpDataSN: 0 without Data-In (RFC 7143, 11.4.8)
	if t.hasData() {
		if t.room && t.phaseCollapse() {
			s.respondInArena(t, flags, count)
			s.release(t)
			return
		}
		n, collapsed := s.dataIn(t, flags, count)
		if collapsed {
			s.release(t)
			return
		}
		sent = n
	} else {
		t.dropRoom()
	}
	h := s.out.header()
	h.SetOpcode(pdu.SCSIResponse)
	h.SetFlags(pdu.Final | flags)
	h.SetStatus(t.Status)
	h.SetITT(t.itt)
	s.numbered(h)
	h.SetExpDataSN(sent)
	h.SetResidual(count)
	h.SetBidiResidual(bidi)
	if t.SenseLen > 0 { // RFC 7143, 11.4.7: SenseLength, then the sense data
		n := 2 + t.SenseLen
		h.SetDataLen(n)
		s.out.endHeader(h)
		b := s.out.take(n)
		binary.BigEndian.PutUint16(b, uint16(t.SenseLen))
		copy(b[2:], t.Sense())
		var crc uint32
		if s.out.dataDigest {
			crc = pdu.Digest(0, b)
		}
		s.out.endData(n, crc)
	} else {
		s.out.endHeader(h)
	}
	s.release(t)
}

// phaseCollapse reports whether the status may ride on the last Data-In PDU.
func (t *task) phaseCollapse() bool { return t.SenseLen == 0 && !t.write }

// respondInArena fills the header that Room left before the data: one PDU, no copy.
func (s *Session) respondInArena(t *task, flags byte, count uint32) {
	n := t.Moved()
	s.out.rewind(t.mark)
	t.room = false
	h := s.out.header()
	h.SetOpcode(pdu.DataIn)
	h.SetFlags(pdu.Final | pdu.HasStatus | flags)
	h.SetStatus(t.Status)
	h.SetDataLen(n)
	h.SetITT(t.itt)
	h.SetTTT(pdu.NoTag)
	s.numbered(h)
	h.SetResidual(count)
	s.out.endHeader(h)
	data := s.out.take(n)
	var crc uint32
	if s.out.dataDigest {
		crc = pdu.Digest(0, data)
	}
	s.out.endData(n, crc)
}

// dataIn queues t's data as Data-In PDUs within the initiator's
// MaxRecvDataSegmentLength, in sequences within MaxBurstLength. It returns their number;
// collapsed is true when the last of them carries the status.
func (s *Session) dataIn(t *task, flags byte, count uint32) (sn uint32, collapsed bool) {
	if t.room { // the data lies in the arena: copy it out of the way of more headers
		t.moveRoom()
	}
	total := t.Moved()
	src := cursor{one: t.In[:min(len(t.In), total)], many: t.Lent}
	maxSeg, maxBurst := int(s.params.MaxXmitDataSegmentLength), int(s.params.MaxBurstLength)
	collapsed = t.phaseCollapse()
	burst := 0
	sn = t.r2tSN // one numbering for R2Ts and Data-In of a bidirectional command (RFC 7143, 11.7.5)
	for off := 0; off < total; sn++ {
		n := min(total-off, maxSeg, maxBurst-burst)
		last := off+n == total
		burst += n
		h := s.out.header()
		h.SetOpcode(pdu.DataIn)
		h.SetDataLen(n)
		h.SetITT(t.itt)
		h.SetTTT(pdu.NoTag)
		h.SetDataSN(sn)
		h.SetBufferOffset(uint32(off))
		switch {
		case last && collapsed:
			h.SetFlags(pdu.Final | pdu.HasStatus | flags)
			h.SetStatus(t.Status)
			s.numbered(h)
			h.SetResidual(count)
		case last, burst == maxBurst:
			h.SetFlags(pdu.Final)
			s.windows(h)
		default:
			s.windows(h)
		}
		if !last || !collapsed {
			h.SetStatSN(0) // reserved without S
		}
		if burst == maxBurst {
			burst = 0
		}
		s.out.endHeader(h)
		s.out.endData(n, src.queue(&s.out, n))
		off += n
	}
	return sn, collapsed
}

// moveRoom copies Data-In out of the arena into a buffer, when its header must be
// followed by others (a status that cannot ride on it).
func (t *task) moveRoom() {
	b := t.s.pool.Must(len(t.In))
	copy(b.B, t.In)
	t.dropRoom()
	t.In, t.InBuf = b.B, b
}

// cursor walks over the bytes of one slice, or of many.
type cursor struct {
	one  []byte
	many [][]byte
}

// queue refers o to the next n bytes and returns their digest if one is wanted.
func (c *cursor) queue(o *Out, n int) (crc uint32) {
	for n > 0 {
		if len(c.one) == 0 {
			c.one, c.many = c.many[0], c.many[1:]
			continue
		}
		b := c.one[:min(n, len(c.one))]
		c.one = c.one[len(b):]
		n -= len(b)
		if o.dataDigest {
			crc = pdu.Digest(crc, b)
		}
		o.ref(b)
	}
	return crc
}

// release hands what t's answer refers to over to Out, and frees the rest.
func (s *Session) release(t *task) {
	if t.InBuf != nil || t.Release != nil {
		s.out.hold(holder{buf: t.InBuf, rel: t.Release})
		t.InBuf, t.Release, t.Lent = nil, nil, nil
	}
	s.freeOut(t)
}
