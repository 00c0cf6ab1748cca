package session

import (
	"fmt"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// maxText bounds the keys of one text request, and of our answer (RFC 7143 leaves it
// open; every real request is far below).
const maxText = 64 << 10

// textState is a text negotiation that takes more than one PDU.
type textState struct {
	request []byte // so far, while C is set
	answer  []byte // what is left to send
	itt     uint32
	ttt     uint32
	active  bool
}

func (x *textState) reset() { *x = textState{} }

// textRequest collects a request, answers it, and continues a long answer
// (RFC 7143, 11.10 and 11.11).
func (s *Session) textRequest(p *pdu.PDU) error {
	ok, err := s.number(p)
	if !ok {
		freeData(p)
		return err
	}
	x := &s.text
	switch {
	case p.Dropped:
		s.reject(p, pdu.RejectResources)
		return nil
	case p.TTT() == pdu.NoTag: // a new negotiation resets an old one
		x.reset()
		x.itt, x.active = p.ITT(), true
	case !x.active || p.TTT() != x.ttt || p.ITT() != x.itt:
		s.reject(p, pdu.RejectProtocol)
		return nil
	}
	if len(x.request)+len(p.Data) > maxText {
		s.reject(p, pdu.RejectResources)
		return fmt.Errorf("%w: a text request above %d bytes", ErrProtocol, maxText)
	}
	x.request = append(x.request, p.Data...)
	freeData(p)
	if p.Flags()&pdu.Continue != 0 {
		if p.Final() {
			s.reject(p, pdu.RejectInvalidField)
			return nil
		}
		s.textAnswer(p, nil, false)
		return nil
	}
	if x.answer == nil || len(x.request) > 0 {
		answer, err := s.cfg.Text(x.request)
		if err != nil {
			s.reject(p, pdu.RejectProtocol)
			x.reset()
			return nil
		}
		x.request, x.answer = nil, answer
	}
	n := min(len(x.answer), int(s.params.MaxXmitDataSegmentLength))
	chunk := x.answer[:n]
	x.answer = x.answer[n:]
	s.textAnswer(p, chunk, len(x.answer) > 0)
	return nil
}

// textAnswer queues one Text Response; more says that the answer goes on.
func (s *Session) textAnswer(p *pdu.PDU, chunk []byte, more bool) {
	x := &s.text
	h := s.out.header()
	h.SetOpcode(pdu.TextResponse)
	h.SetITT(p.ITT())
	h.SetTTT(pdu.NoTag)
	switch {
	case more:
		h.SetFlags(pdu.Continue)
	case p.Final():
		h.SetFlags(pdu.Final)
	}
	if !h.Final() {
		x.ttt = s.newTTT()
		h.SetTTT(x.ttt)
	} else {
		x.reset()
	}
	s.numbered(h)
	s.out.small(h, chunk)
}
