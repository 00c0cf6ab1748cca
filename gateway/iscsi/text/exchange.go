package text

import (
	"fmt"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// Request is a Text Request (RFC 7143, 11.10).
type Request struct {
	Final, Continue bool
	ITT, TTT        uint32
	Data            []byte // read during Step only
}

// Response is a Text Response (RFC 7143, 11.11).
type Response struct {
	Final, Continue bool
	ITT, TTT        uint32
	Data            []byte // valid until the next Step
}

// RejectError asks for a Reject PDU; the exchange under way is over.
type RejectError struct {
	Reason uint8 // pdu.RejectProtocol and its like
	Cause  string
}

func (e *RejectError) Error() string { return fmt.Sprintf("reject %02xh: %s", e.Reason, e.Cause) }

func reject(reason uint8, format string, args ...any) *RejectError {
	return &RejectError{Reason: reason, Cause: fmt.Sprintf(format, args...)}
}

// Exchange carries text of any length over PDUs of bounded length, both ways. A
// connection has one, for one negotiation at a time. No I/O, no lock.
//
//	initiator            target
//	C=1 F=0 ---------->          kept, at most MaxText
//	        <---------- F=0 TTT  empty: go on
//	F=1 TTT ---------->          whole: answered
//	        <---------- C=1 F=0  as much as the initiator takes
//	F=1 TTT ---------->          empty: go on
//	        <---------- F=1      the rest
type Exchange struct {
	// Answer gives the answer to a whole text; an error becomes a Reject PDU.
	Answer func(request []byte) ([]byte, error)

	itt, ttt uint32 // of the negotiation under way
	open     bool   // one is under way: our last response had F=0
	in, out  []byte // text gathered; answer not yet sent
	lastTTT  uint32
}

// Step answers one Text Request with at most maxData bytes of text, the
// initiator's MaxRecvDataSegmentLength. The error is a *RejectError.
func (x *Exchange) Step(q Request, maxData int) (Response, error) {
	r, err := x.step(q, maxData)
	if err != nil {
		x.reset()
		return Response{}, err
	}
	return r, nil
}

func (x *Exchange) step(q Request, maxData int) (Response, error) {
	switch {
	case q.Final && q.Continue:
		return Response{}, reject(pdu.RejectProtocol, "C and F in one request") // 11.10.2
	case q.TTT == pdu.NoTag:
		x.reset() // a new negotiation resets the old one (11.10.4)
	case !x.open || q.TTT != x.ttt || q.ITT != x.itt:
		return Response{}, reject(pdu.RejectInvalidField, "no negotiation with tags %08x, %08x", q.ITT, q.TTT)
	}
	x.itt = q.ITT
	if len(x.out) > 0 {
		if len(q.Data) > 0 || q.Continue { // 6.2
			return Response{}, reject(pdu.RejectProtocol, "text while our answer is not complete")
		}
		return x.send(q, maxData), nil
	}
	if len(x.in)+len(q.Data) > MaxText {
		return Response{}, reject(pdu.RejectResources, "text longer than %d bytes", MaxText)
	}
	if q.Continue {
		x.in = append(x.in, q.Data...)
		return x.send(q, maxData), nil
	}
	whole := q.Data
	if len(x.in) > 0 {
		whole = append(x.in, q.Data...)
		x.in = nil
	}
	answer, err := x.Answer(whole)
	if err != nil {
		return Response{}, reject(pdu.RejectProtocol, "%v", err)
	}
	x.out = answer
	return x.send(q, maxData), nil
}

// send makes the response with what is left of the answer. F answers F only
// (11.11.1); without F the response bears a tag for the next request (11.11.4).
func (x *Exchange) send(q Request, maxData int) Response {
	n := min(len(x.out), maxData)
	r := Response{ITT: q.ITT, TTT: pdu.NoTag, Data: x.out[:n]}
	x.out = x.out[n:]
	r.Continue = len(x.out) > 0
	r.Final = q.Final && !r.Continue
	if r.Final {
		x.reset()
		return r
	}
	x.open = true
	x.lastTTT++
	if x.lastTTT == pdu.NoTag {
		x.lastTTT = 1
	}
	x.ttt, r.TTT = x.lastTTT, x.lastTTT
	return r
}

func (x *Exchange) reset() {
	x.open, x.in, x.out = false, nil, nil
}
