package session

import (
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// Task management functions (RFC 7143, 11.5.1; RFC 7144 for those from 9 on).
const (
	tmfAbortTask       = 1
	tmfAbortTaskSet    = 2
	tmfClearACA        = 3
	tmfClearTaskSet    = 4
	tmfLogicalUnitRst  = 5
	tmfTargetWarmReset = 6
	tmfTargetColdReset = 7
	tmfTaskReassign    = 8
	tmfQueryTask       = 9
	tmfQueryTaskSet    = 10
	tmfNexusReset      = 11
	tmfQueryAsyncEvent = 12
)

// Responses to them (RFC 7143, 11.6.1; RFC 7144).
const (
	tmfComplete     = 0
	tmfNoTask       = 1
	tmfNoLUN        = 2
	tmfNoReassign   = 4
	tmfNotSupported = 5
	tmfSucceeded    = 7 // of a query: yes
	tmfRejected     = 255
)

// scsiFeatures is the iSCSIProtocolLevel from which on RFC 7144 holds.
const scsiFeatures = 2

// tmfResult is a function to be answered: once it was carried out, and after the last of
// the tasks that it concerns. An initiator takes a task for gone when it has the answer,
// so no response may follow it (RFC 7143, 4.2.3.3); Linux ends the connection then.
type tmfResult struct {
	itt      uint32
	fn       byte
	response byte
	info     [3]byte // Additional Response Information (RFC 7144)
	carried  bool    // was carried out
	tasks    int     // how many of its tasks are neither answered nor forgotten yet
}

// follow has r answered after t.
func (r *tmfResult) follow(t *task) {
	t.tmfs = append(t.tmfs, r)
	r.tasks++
}

// maxFunctions is how many task management functions may wait for the end of what they
// abort. They are immediate as a rule, so no window bounds them.
const maxFunctions = 64

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
	r := &tmfResult{itt: p.ITT(), fn: p.Function(), response: tmfComplete}
	s.functions++
	switch fn := r.fn; {
	case s.functions > maxFunctions:
		r.response = tmfRejected
		s.answerTMF(r)
	case fn == tmfTargetWarmReset, fn == tmfTargetColdReset:
		s.manage(r, nil)
		s.resetAll(func() { s.tmfDone(r) })
	case fn == tmfTaskReassign:
		r.response = tmfNoReassign
		s.answerTMF(r)
	case fn >= tmfAbortTask && fn <= tmfLogicalUnitRst,
		fn >= tmfQueryTask && fn <= tmfQueryAsyncEvent && s.params.ProtocolLevel >= scsiFeatures:
		s.onUnit(p, r)
	default:
		r.response = tmfNotSupported
		s.answerTMF(r)
	}
	return s.Drain()
}

// resetAll resets every logical unit that the nexus sees, then calls done. Those that
// other initiators alone see are not this one's to reset.
func (s *Session) resetAll(done func()) {
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
}

// onUnit carries out a function that names a logical unit.
func (s *Session) onUnit(p *pdu.PDU, r *tmfResult) {
	if r.fn == tmfNexusReset { // the LUN field is reserved
		s.manage(r, nil)
		s.nexus.Reset(func() { s.tmfDone(r) })
		return
	}
	path := s.nexus.Path(p.LUN())
	if path.LUN == scsi.BadLUN {
		r.response = tmfNoLUN
		s.answerTMF(r)
		return
	}
	switch r.fn {
	case tmfAbortTask:
		s.abortTask(p, r)
		return
	case tmfAbortTaskSet:
		s.manage(r, path.Unit())
		path.AbortTaskSet(func() { s.tmfDone(r) })
		return
	case tmfClearTaskSet:
		s.manage(r, path.Unit())
		path.ClearTaskSet(func() { s.tmfDone(r) })
		return
	case tmfLogicalUnitRst:
		s.manage(r, path.Unit())
		path.Reset(func() { s.tmfDone(r) })
		return
	case tmfClearACA:
		if path.ClearACA(func() { s.tmfDone(r) }) {
			return
		}
		r.response = tmfRejected
	case tmfQueryTask:
		s.queryTask(path, s.tasks[p.ReferencedTag()], r)
	case tmfQueryTaskSet:
		if path.QueryTaskSet() {
			r.response = tmfSucceeded
			break
		}
		for _, t := range s.tasks {
			if t.Path.Unit() == path.Unit() {
				s.queryTask(t.Path, t, r)
			}
		}
	case tmfQueryAsyncEvent:
		var pending bool
		if r.info, pending = path.QueryAsyncEvent(); pending {
			r.response = tmfSucceeded
		}
	}
	s.answerTMF(r)
}

// queryTask answers whether t, which may be nil, is there. One that has ended and whose
// answer has not left yet is not, and the answer leaves first.
func (s *Session) queryTask(path *core.Path, t *task, r *tmfResult) {
	switch {
	case t == nil || t.Path != path || t.lingers:
	case t.failed || t.Present(): // one that failed is answered at the end of its data phase
		r.response = tmfSucceeded
	default:
		r.follow(t)
	}
}

// manage notes which tasks of the session r is about to abort: those on u, all when u is
// nil. What else ends aborted is another nexus's doing.
func (s *Session) manage(r *tmfResult, u *core.Unit) {
	for _, t := range s.tasks {
		if u != nil && t.Path.Unit() != u {
			continue
		}
		r.follow(t)
		if t.lingers {
			continue
		}
		t.managed = true
		if t.failed { // in no task set any more: only its data phase was left
			t.Status = scsi.TaskAborted
			s.finish(t)
		}
	}
}

// abortTask looks the task up by its tag, then by RefCmdSN (RFC 7143, 11.5.5 and 11.6.1).
func (s *Session) abortTask(p *pdu.PDU, r *tmfResult) {
	t := s.tasks[p.ReferencedTag()]
	switch {
	case t != nil && t.failed: // only its data phase was left
		t.single = true
		s.give(t)
		s.answerTMF(r)
	case t != nil:
		t.single = true
		r.follow(t)
		t.AbortTask(func(found bool) {
			if !found { // it has ended
				r.response = tmfNoTask
			}
			s.tmfDone(r)
		})
	default:
		// A command that was received is not there any more, so it was answered. One in
		// the window is taken for received, and ignored should it come.
		if !s.plug(p.RefCmdSN(), p.CmdSN()) {
			r.response = tmfNoTask
		}
		s.answerTMF(r)
	}
}

// plug takes the CmdSN ref, which has not come, as received. It is false when ref lies
// outside the command window, or not before the CmdSN of the task management function.
func (s *Session) plug(ref, own pdu.Serial) bool {
	if ref.Before(s.expCmdSN) || s.maxCmdSN.Before(ref) || !ref.Before(own) {
		return false
	}
	if s.plugged == nil {
		s.plugged = map[pdu.Serial]struct{}{}
	}
	s.plugged[ref] = struct{}{}
	s.skipPlugged()
	return true
}

// skipPlugged moves ExpCmdSN past the numbers that were taken for received.
func (s *Session) skipPlugged() {
	for {
		if _, ok := s.plugged[s.expCmdSN]; !ok {
			return
		}
		delete(s.plugged, s.expCmdSN)
		s.expCmdSN++
		s.gap.open = false
	}
}

// tmfDone queues the answer from any goroutine.
func (s *Session) tmfDone(r *tmfResult) {
	s.mu.Lock()
	s.tmfs = append(s.tmfs, r)
	s.ready.Add(1)
	s.mu.Unlock()
	s.cfg.Notify()
}

// answerTMF answers r, which was carried out.
func (s *Session) answerTMF(r *tmfResult) {
	r.carried = true
	s.maybeAnswer(r)
}

// finished answers the functions that waited for t alone.
func (s *Session) finished(t []*tmfResult) {
	for _, r := range t {
		r.tasks--
		s.maybeAnswer(r)
	}
}

func (s *Session) maybeAnswer(r *tmfResult) {
	if !r.carried || r.tasks > 0 || s.closed {
		return
	}
	s.functions--
	h := s.out.header()
	h.SetOpcode(pdu.TaskMgmtResp)
	h.SetFlags(pdu.Final)
	h.SetResponse(r.response)
	copy(h[8:], r.info[:])
	h.SetITT(r.itt)
	s.numbered(h)
	s.out.endHeader(h)
	if r.fn == tmfTargetColdReset { // all connections end (RFC 7143, 11.6.1)
		s.ending = true
		if s.cfg.ColdReset != nil {
			s.cfg.ColdReset()
		}
	}
}

// linger keeps an aborted task for as long as the initiator owes it data. A function that
// aborts many tasks is answered when the R2Ts of those of its own session were answered
// (RFC 7143, 4.2.3.3); with TaskReporting=FastAbort it does not wait (4.2.3.4). Data for
// tasks of other sessions, and of ABORT TASK, is discarded when it comes.
func (s *Session) linger(t *task) bool {
	if !t.managed || t.single || t.nR2T == 0 || s.closed || s.closing ||
		s.params.TaskReporting == login.FastAbort {
		return false
	}
	t.managed = false
	s.dropBuffers(t)
	t.failed, t.lingers = true, true
	s.lingering++
	s.impatience = 0
	return true
}

// patience is how many calls of Tick see a task that lingers.
const patience = 2

// Tick is called now and then, about every second. An initiator that sends no data for
// tasks that it has had aborted gets the answer all the same: Linux with its default
// node.session.iscsi.FastAbort=Yes does not, and has not negotiated it.
func (s *Session) Tick() {
	s.tickGap()
	if s.lingering == 0 || s.closed {
		return
	}
	if s.impatience++; s.impatience < patience {
		return
	}
	for _, t := range s.tasks {
		if t.lingers {
			s.finish(t)
		}
	}
}
