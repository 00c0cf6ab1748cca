package session

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// Events of an Asynchronous Message (RFC 7143, 11.9.1). Event 4, a negotiation that the
// target asks for, has no use here: nothing that we would change is negotiable then.
const (
	asyncSCSI      = 0
	asyncLogout    = 1
	asyncDropAll   = 3 // of the session's connections, which is one
	asyncTerminate = 5 // of the tasks of a logical unit
)

// maxEvents bounds the SCSI events that wait to be sent. One more is left to the unit
// attention that it accompanies.
const maxEvents = 64

// event is what Drain is to tell the initiator.
type event struct {
	code    byte
	lun     scsi.LUN
	ua      *sense.Error // of asyncSCSI
	seconds uint16       // of asyncLogout
	end     bool         // the connection ends with it
}

// reported are the unit attentions that are sent as SCSI events too: those after which
// an initiator that sends no command would go on with an old picture of the devices.
func reported(c sense.Code) bool {
	switch c {
	case sense.ReportedLUNsDataHasChanged, sense.InquiryDataChanged,
		sense.CapacityChanged, sense.AsymmetricStateChanged:
		return true
	}
	return false
}

// Attention is for core.Nexus.Watch: it reports a unit attention by an Asynchronous
// Message.
func (s *Session) Attention(p *core.Path, ua *sense.Error) {
	if !reported(ua.Code) {
		return
	}
	if s.tell(event{code: asyncSCSI, lun: p.LUN, ua: ua}) {
		// Notify may come to abort tasks and so raise unit attentions itself, and the
		// caller holds the unit's lock.
		go s.cfg.Notify()
	}
}

// tell queues e for Drain. It is false when too many SCSI events wait.
func (s *Session) tell(e event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.code == asyncSCSI && len(s.events) >= maxEvents {
		return false
	}
	s.events = append(s.events, e)
	s.ready.Add(1)
	return true
}

// RequestLogout asks the initiator to log out within so many seconds. It may be called
// from any goroutine.
func (s *Session) RequestLogout(seconds uint16) {
	s.tell(event{code: asyncLogout, seconds: seconds})
	s.cfg.Notify()
}

// Dropping tells the initiator that its connection is about to be closed, and after how
// many seconds it may come back. It may be called from any goroutine.
func (s *Session) Dropping() {
	s.tell(event{code: asyncDropAll})
	s.cfg.Notify()
}

// Drop is Dropping, and then Drain returns ErrDropped.
func (s *Session) Drop() {
	s.tell(event{code: asyncDropAll, end: true})
	s.cfg.Notify()
}

// async queues an Asynchronous Message. params are Parameter1 to Parameter3.
func (s *Session) async(code byte, lun scsi.LUN, params [3]uint16, data []byte) {
	h := s.out.header()
	h.SetOpcode(pdu.Async)
	h.SetFlags(pdu.Final)
	lun.Put(h.LUNBytes())
	h.SetITT(pdu.NoTag)
	s.numbered(h)
	h.SetAsyncEvent(code, params)
	s.out.small(h, data)
}

// sendEvent tells e. After a logout there is nobody who listens.
func (s *Session) sendEvent(e event) error {
	switch {
	case s.closed, s.loggedOut:
	case e.code == asyncSCSI:
		s.sendAttention(e)
	case e.code == asyncLogout && !s.closing:
		s.async(asyncLogout, 0, [3]uint16{2: e.seconds}, nil)
	case e.code == asyncDropAll:
		s.async(asyncDropAll, 0, [3]uint16{1: s.params.Time2Wait}, nil)
	}
	if e.end {
		return ErrDropped
	}
	return nil
}

// sendAttention reports e as a SCSI event: SenseLength, then the sense data.
func (s *Session) sendAttention(e event) {
	b := e.ua.Append(make([]byte, 2, 2+sense.MaxLen), false)
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	if len(b) <= int(s.params.MaxXmitDataSegmentLength) {
		s.async(asyncSCSI, e.lun, [3]uint16{}, b)
	}
}

// terminated tells, with TaskReporting=FastAbort, that another nexus had t aborted (RFC
// 7143, 4.2.3.4): one message for each logical unit whose tasks have ended since the last
// call of Drain.
func (s *Session) terminated(t *task) {
	if s.params.TaskReporting != login.FastAbort || t.managed || t.single || s.closing || s.closed {
		return
	}
	lun := t.Path.LUN
	for _, l := range s.terminations {
		if l == lun {
			return
		}
	}
	s.terminations = append(s.terminations, lun)
}

func (s *Session) sendTerminations() {
	for _, l := range s.terminations {
		s.async(asyncTerminate, l, [3]uint16{}, nil)
	}
	s.terminations = s.terminations[:0]
}
