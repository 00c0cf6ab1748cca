package session

import (
	"fmt"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// gap is what follows from the Reject of a numbered PDU (RFC 7143, 7.3): its CmdSN is not
// received, so ExpCmdSN stays there, and what comes behind it waits until the initiator has
// sent another PDU with that number, or ABORT TASK took it for received.
type gap struct {
	open    bool
	waiting []*pdu.PDU // behind it, in order, with memory of their own
	bytes   int64      // of their data
	next    pdu.Serial // the CmdSN that comes next behind it
	seen    int        // calls of Tick that saw somebody wait

	resuming bool
}

// gapPatience is how many calls of Tick see PDUs wait behind a gap. No initiator that we know
// fills it: libiscsi and Linux go on with the next number. So they are served after a while.
const gapPatience = 2

// unnumber takes back that p was received.
func (s *Session) unnumber(p *pdu.PDU) {
	if !s.counted {
		return
	}
	for sn := s.expCmdSN - 1; sn != s.last; sn-- { // plugged, and skipped since
		s.plugged[sn] = struct{}{}
	}
	s.counted = false
	s.expCmdSN = s.last
	s.gap.open, s.gap.seen = true, 0
	if len(s.gap.waiting) == 0 {
		s.gap.next = s.last + 1
	}
}

// behind keeps p, a PDU whose number is not expected yet, when it comes behind a gap.
func (s *Session) behind(p *pdu.PDU) (kept bool, err error) {
	g := &s.gap
	for _, ok := s.plugged[g.next]; ok; _, ok = s.plugged[g.next] {
		g.next++
	}
	if !g.open || p.CmdSN() != g.next || s.maxCmdSN.Before(g.next) {
		return false, nil
	}
	g.next++
	return true, s.keep(p)
}

// keepData keeps unsolicited data for a command that waits behind a gap.
func (s *Session) keepData(p *pdu.PDU) (kept bool, err error) {
	for _, w := range s.gap.waiting {
		if w.Opcode() == pdu.SCSICommand && w.ITT() == p.ITT() {
			return true, s.keep(p)
		}
	}
	return false, nil
}

// keep gives p memory of its own and a place behind the gap. The command window bounds their
// number, the session's budget their data.
func (s *Session) keep(p *pdu.PDU) error {
	g := &s.gap
	n := int64(len(p.Data))
	if g.bytes+n > s.cfg.Budget || len(g.waiting) >= gapWaiters*s.cfg.Window {
		return fmt.Errorf("%w: %d PDUs behind the gap in CmdSN at %d", ErrProtocol, len(g.waiting), s.expCmdSN)
	}
	head := make([]byte, pdu.HeaderLen+len(p.AHS))
	copy(head, p.BHS[:])
	copy(head[pdu.HeaderLen:], p.AHS)
	q := &pdu.PDU{BHS: pdu.View(head), AHS: head[pdu.HeaderLen:], Data: p.Data, Buf: p.Buf, Dropped: p.Dropped}
	if p.Buf == nil && n > 0 {
		if q.Buf = s.pool.Get(int(n)); q.Buf == nil {
			q.Data, q.Dropped = nil, true
		} else {
			copy(q.Buf.B, p.Data)
			q.Data = q.Buf.B
		}
	}
	p.Buf, p.Data = nil, nil
	g.bytes += n
	g.waiting = append(g.waiting, q)
	return nil
}

// gapWaiters is how many PDUs wait for each number of the window: a command and its
// unsolicited data.
const gapWaiters = 8

// resume takes in what waited behind a gap that has been closed.
func (s *Session) resume() error {
	g := &s.gap
	if g.open || len(g.waiting) == 0 || g.resuming {
		return nil
	}
	g.resuming = true
	defer func() { g.resuming = false }()
	for len(g.waiting) > 0 && !g.open {
		p := g.waiting[0]
		g.waiting = g.waiting[1:]
		g.bytes -= int64(p.DataLen())
		s.counted = false
		if err := accept[p.Opcode()](s, p); err != nil {
			return err
		}
	}
	return nil
}

// tickGap lets an initiator go on that does not fill the gap.
func (s *Session) tickGap() {
	g := &s.gap
	if !g.open || len(g.waiting) == 0 {
		return
	}
	if g.seen++; g.seen >= gapPatience {
		g.open = false
		s.expCmdSN++
		s.skipPlugged()
	}
}

// dropGap frees what waits behind a gap: the connection is gone.
func (s *Session) dropGap() {
	for _, p := range s.gap.waiting {
		freeData(p)
	}
	s.gap = gap{}
}
