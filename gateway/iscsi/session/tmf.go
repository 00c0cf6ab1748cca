package session

import (
	"sync/atomic"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// Task management functions (RFC 7143, 11.5.1).
const (
	tmfAbortTask       = 1
	tmfAbortTaskSet    = 2
	tmfClearACA        = 3
	tmfClearTaskSet    = 4
	tmfLogicalUnitRst  = 5
	tmfTargetWarmReset = 6
	tmfTargetColdReset = 7
	tmfTaskReassign    = 8
)

// Responses to them (RFC 7143, 11.6.1).
const (
	tmfComplete     = 0
	tmfNoTask       = 1
	tmfNoLUN        = 2
	tmfNoReassign   = 4
	tmfNotSupported = 5
	tmfRejected     = 255
)

// tmfResult is a function to be answered.
type tmfResult struct {
	itt      uint32
	response byte
	task     *task // of ABORT TASK that found nothing running: answered after it
	taskITT  uint32
}

// taskMgmt carries out a task management function. The response leaves when no
// affected command can touch the medium any more.
func (s *Session) taskMgmt(p *pdu.PDU) error {
	ok, err := s.number(p)
	freeData(p)
	if !ok {
		return err
	}
	if s.nexus == nil {
		s.reject(p, pdu.RejectProtocol)
		return nil
	}
	if err := s.Drain(); err != nil { // what has ended is not there to be aborted
		return err
	}
	r := tmfResult{itt: p.ITT(), response: tmfComplete}
	done := func() { s.tmfDone(r) }
	fn := p.Function()
	switch fn {
	case tmfAbortTaskSet, tmfClearACA, tmfClearTaskSet, tmfLogicalUnitRst, tmfAbortTask:
		path := s.nexus.Path(p.LUN())
		if path.LUN == scsi.BadLUN {
			r.response = tmfNoLUN
			s.answerTMF(r)
			return nil
		}
		switch fn {
		case tmfAbortTask:
			s.abortTask(p, r)
		case tmfAbortTaskSet:
			path.AbortTaskSet(done)
		case tmfClearACA:
			if !path.ClearACA(done) {
				r.response = tmfRejected
				s.answerTMF(r)
			}
		case tmfClearTaskSet:
			path.ClearTaskSet(done)
		case tmfLogicalUnitRst:
			path.Reset(done)
		}
	case tmfTargetWarmReset, tmfTargetColdReset:
		paths := s.nexus.Paths()
		var left atomic.Int32
		left.Store(int32(len(paths)) + 1)
		one := func() {
			if left.Add(-1) == 0 {
				done()
			}
		}
		for _, path := range paths {
			path.Reset(one)
		}
		one()
	case tmfTaskReassign:
		r.response = tmfNoReassign
		s.answerTMF(r)
	default:
		r.response = tmfNotSupported
		s.answerTMF(r)
	}
	return s.Drain()
}

// abortTask looks the task up by its tag, then by RefCmdSN (RFC 7143, 11.5.1).
func (s *Session) abortTask(p *pdu.PDU, r tmfResult) {
	t := s.tasks[p.ReferencedTag()]
	switch {
	case t != nil && t.failed: // only its data phase was left
		s.give(t)
		s.answerTMF(r)
	case t != nil:
		t.AbortTask(func(found bool) {
			if !found { // it has ended; its answer goes first
				r.response, r.task, r.taskITT = tmfNoTask, t, t.itt
			}
			s.tmfDone(r)
		})
	default:
		// With one connection every command below ExpCmdSN has been received, so it
		// was answered; one in the window that is still to come would be "not yet
		// arrived", which TCP's order excludes.
		r.response = tmfNoTask
		s.answerTMF(r)
	}
}

// tmfDone queues the answer from any goroutine.
func (s *Session) tmfDone(r tmfResult) {
	s.mu.Lock()
	s.tmfs = append(s.tmfs, r)
	s.ready.Add(1)
	s.mu.Unlock()
	s.cfg.Notify()
}

func (s *Session) answerTMF(r tmfResult) {
	if s.closed {
		return
	}
	if t := r.task; t != nil && t.outstands && t.itt == r.taskITT {
		r.task = nil
		t.tmf = &r
		return
	}
	h := s.out.header()
	h.SetOpcode(pdu.TaskMgmtResp)
	h.SetFlags(pdu.Final)
	h.SetResponse(r.response)
	h.SetITT(r.itt)
	s.numbered(h)
	s.out.endHeader(h)
}
