package initiator

import (
	"context"
	"fmt"
)

// Task management functions (RFC 7143, 11.5.1 and 7144).
const (
	AbortTask       = 1
	AbortTaskSet    = 2
	ClearACA        = 3
	ClearTaskSet    = 4
	LUReset         = 5
	TargetWarmReset = 6
	TargetColdReset = 7
	TaskReassign    = 8
	QueryTask       = 9
	QueryTaskSet    = 10
	ITNexusReset    = 11
	QueryAsyncEvent = 12
)

// TMF responses (RFC 7143, 11.6.1 and 7144).
const (
	FunctionComplete     = 0
	TaskDoesNotExist     = 1
	LUNDoesNotExist      = 2
	TaskStillAllegiant   = 3
	ReassignNotSupported = 4
	NotSupported         = 5
	NotAuthorized        = 6
	FunctionSucceeded    = 7
	FunctionRejected     = 255
)

// TMF asks for a task management function and gives its response code.
// referenced and refCmdSN name the task of ABORT TASK, QUERY TASK and TASK
// REASSIGN; they are NoTag and 0 for the others.
func (s *Session) TMF(ctx context.Context, function uint8, lun uint16, referenced, refCmdSN uint32) (uint8, error) {
	t, err := s.StartTMF(function, lun, referenced, refCmdSN)
	if err != nil {
		return 0, err
	}
	r, err := t.Wait(ctx)
	if err != nil {
		return 0, err
	}
	if r.Opcode() != OpTaskMgmtResp {
		return 0, fmt.Errorf("initiator: task management answered by %v", r)
	}
	return r.BHS[2], nil
}

// Forget drops a task that the target will not answer, as after ABORT TASK.
func (s *Session) Forget(t *Task) {
	s.mu.Lock()
	_, open := s.tasks[t.ITT]
	delete(s.tasks, t.ITT)
	s.mu.Unlock()
	if open {
		t.err = fmt.Errorf("initiator: task %#x was aborted", t.ITT)
		close(t.done)
	}
}

// StartTMF is TMF without the wait: the response PDU is that of the task.
func (s *Session) StartTMF(function uint8, lun uint16, referenced, refCmdSN uint32) (*Task, error) {
	p := new(PDU)
	p.BHS[0], p.BHS[1] = OpTaskMgmt|Immediate, Final|function
	p.PutLUN(lun)
	p.PutU32(20, referenced)
	p.PutU32(32, refCmdSN)
	return s.Request(p)
}

// Request sends any request that has an Initiator Task Tag and whose response has the
// same one. Tag and numbers are filled in.
func (s *Session) Request(p *PDU) (*Task, error) {
	t := new(Task)
	return t, s.start(p, t, nil)
}
