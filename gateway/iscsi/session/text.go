package session

import (
	"errors"

	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/text"
)

// textRequest carries a text request to the exchange and queues its answer (RFC 7143,
// 11.10 and 11.11).
func (s *Session) textRequest(p *pdu.PDU) error {
	ok, err := s.number(p)
	if !ok {
		freeData(p)
		return err
	}
	if p.Dropped {
		s.reject(p, pdu.RejectResources)
		return nil
	}
	a, err := s.cfg.Text.Step(text.Request{
		Final:    p.Final(),
		Continue: p.Flags()&pdu.Continue != 0,
		ITT:      p.ITT(), TTT: p.TTT(), Data: p.Data,
	}, int(s.params.MaxXmitDataSegmentLength))
	var r *text.RejectError
	if errors.As(err, &r) {
		s.reject(p, r.Reason)
		return nil
	}
	freeData(p)
	if err != nil {
		return err
	}
	h := s.out.header()
	h.SetOpcode(pdu.TextResponse)
	if a.Final {
		h.SetFlags(pdu.Final)
	} else if a.Continue {
		h.SetFlags(pdu.Continue)
	}
	h.SetITT(a.ITT)
	h.SetTTT(a.TTT)
	s.numbered(h)
	s.out.small(h, a.Data)
	return nil
}

// SetMaxXmit takes a new MaxRecvDataSegmentLength of the initiator (RFC 7143, 13.12:
// the one operational key that may change in the full feature phase).
func (s *Session) SetMaxXmit(n uint32) { s.params.MaxXmitDataSegmentLength = n }
