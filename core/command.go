package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// ErrWouldBlock is how a handler refuses to run on the caller's goroutine: nothing
// has been done, and the core calls Execute again from a worker with NoWait unset.
var ErrWouldBlock = block.ErrWouldBlock

// Port is the side of a command that the transport implements: where its data goes
// and who is told that it ended.
type Port interface {
	// Room gives n bytes for c's Data-In, valid until the response has left. nil:
	// over the byte budget.
	Room(c *Command, n int) []byte
	// Own is called, on the goroutine that submitted c, when c is about to leave it:
	// Out must not lie in a buffer that the transport uses again, and any Room is
	// taken back (Execute asks anew). false: the byte budget does not allow that.
	Own(c *Command) bool
	// Done takes back a command that ended on another goroutine than that which
	// submitted it. Aborted commands come back too, with the status TASK ABORTED, which
	// is sent only if TellAborted.
	Done(c *Command)
}

// Command is one SCSI task as a handler sees it. The transport owns it and uses it
// again: after Execute returns, a handler keeps neither it nor its slices.
//
// A Command is a context.Context that ends when the task is aborted.
type Command struct {
	taskset.Task

	Path *Path // the I_T_L nexus that it came by
	Tag  uint64
	CDB  []byte // as long as its Row says
	Row  *Row

	// What the transport expects to move, from its own header. HasExpected is
	// false on a transport that has no such field; then the CDB alone counts.
	ExpectedIn, ExpectedOut uint32
	HasExpected             bool

	// NoWait: the caller cannot wait. A handler that would block returns
	// ErrWouldBlock before it has done anything.
	NoWait bool

	// Out is the Data-Out as received: OutLen bytes, or fewer when the transport
	// expected to move less than the CDB asks for.
	Out    []byte
	OutLen int // what the CDB asks for

	// InLen is how many bytes of Data-In the CDB asks for; the handler lowers it to
	// what there is to return. InMax of them may be moved: fewer than InLen when the
	// transport expects less. The transport makes the residual of the difference.
	InLen, InMax int
	// In is the Data-In, made by Room: In[:Moved()] is sent.
	In []byte

	// DataValid: the handler returns an error and Data-In too, as a stream device
	// does for an incorrect length (SSC-5, READ(6)). Otherwise an error moves nothing.
	DataValid bool

	// Lent, when set by the handler instead of filling In, is the Data-In as slices
	// of its own memory, unchanged until Release is called by the transport.
	Lent    [][]byte
	Release Releaser
	lent    [lentMax][]byte // backs Lent, so that a loan costs no allocation

	// The outcome, set by the core from what Execute returned.
	Status   scsi.Status
	SenseLen int
	// TellAborted: the status TASK ABORTED goes to the initiator (TAS of the Control
	// mode page). Without it nobody expects an answer to an aborted command.
	TellAborted bool
	sense       [sense.MaxLen]byte

	//lint:ignore U1000 used under the invariants tag
	checks checks

	// Times are kept for latency.Counters. The transport sets Received of every command, and
	// Weight of those that it has measured whatever becomes of them; the core does the rest.
	Times latency.Times

	Port Port
	// OutBuf and InBuf hold Out and In when they are pooled; the transport's.
	OutBuf, InBuf *buf.Buf

	cdb [16]byte

	mu     sync.Mutex
	done   chan struct{} // made by the first Done()
	after  map[*func()]struct{}
	cancel bool
}

// Releaser takes lent memory back.
type Releaser = block.Releaser

// lentMax is how many slices a loan has room for without an allocation.
const lentMax = 8

// LentRoom is an empty slice for the handler to append Lent to.
func (c *Command) LentRoom() [][]byte { return c.lent[:0] }

// Sense is the sense data of a CHECK CONDITION.
func (c *Command) Sense() []byte { return c.sense[:c.SenseLen] }

// SetCDB gives the command its CDB. Up to 16 bytes are copied; longer ones are
// kept, so b must outlive the command.
func (c *Command) SetCDB(b []byte) {
	if len(b) <= len(c.cdb) {
		n := copy(c.cdb[:], b)
		clear(c.cdb[n:])
		c.CDB = c.cdb[:]
		return
	}
	c.CDB = b
}

// Reset makes c ready for the next task. The transport has freed its buffers.
func (c *Command) Reset() {
	c.Path, c.Row = nil, nil
	c.NoWait = false
	c.Out, c.OutLen, c.In, c.InLen, c.InMax = nil, 0, nil, 0, 0
	clear(c.lent[:min(len(c.Lent), lentMax)])
	c.Lent, c.Release, c.DataValid = nil, nil, false
	c.OutBuf, c.InBuf = nil, nil
	c.Status, c.SenseLen, c.TellAborted = scsi.Good, 0, false
	if c.Times.Weight != 0 {
		c.Times = latency.Times{}
	}
	if c.done != nil || c.cancel || c.after != nil {
		c.mu.Lock()
		c.done, c.after, c.cancel = nil, nil, false
		c.mu.Unlock()
	}
}

// Room gives the handler InMax bytes to fill with Data-In. They hold garbage at
// first: a handler that fills fewer lowers InLen. The error is TASK SET FULL, to be
// returned as it is.
func (c *Command) Room() ([]byte, error) {
	if c.In == nil && c.InMax > 0 {
		c.In = c.Port.Room(c, c.InMax)
		c.checkRoom(c.InMax)
		if c.In == nil {
			return nil, sense.TaskSetFull
		}
	}
	return c.In, nil
}

// Moved is how many bytes of Data-In go to the initiator.
func (c *Command) Moved() int { return min(c.InLen, c.InMax) }

// Reply is how a handler returns parameter data: b, cut to the allocation length
// of the CDB and to the room that there is.
func (c *Command) Reply(b []byte) error {
	c.InLen = min(c.InLen, len(b))
	c.InMax = min(c.InMax, c.InLen) // an allocation length sizes no buffer
	in, err := c.Room()
	if err != nil {
		return err
	}
	copy(in, b[:c.InLen])
	return nil
}

// Fail ends c, which is not or no more in a task set, with err. An auto contingent
// allegiance goes first, and err may begin one (SAM-6, 5.9).
func (c *Command) Fail(err error) {
	if c.Path == nil || c.Path.unit == noUnit {
		c.setOutcome(err)
		return
	}
	c.bind()
	if v := c.Path.unit.set.Check(&c.Task); v != taskset.Wait {
		err = c.refusal(v)
	}
	c.refuse(err)
}

// bind tells the task what the task set must know.
func (c *Command) bind() {
	c.Owner, c.Nexus, c.Share = c, c.Path.nexus.ID, &c.Path.share
	gate := Gate(0)
	if c.Row != nil {
		gate = c.Row.Gate
	}
	c.Writes, c.PastACA, c.Serial = gate&WritesMedium != 0, gate&PastACA != 0, gate&Serial != 0
}

// refusal is the outcome of a command that the task set does not take.
func (c *Command) refusal(v taskset.Verdict) error {
	switch v {
	case taskset.Full:
		return sense.TaskSetFull
	case taskset.Busy:
		return sense.Busy
	case taskset.ACAActive:
		return sense.ACAActive
	case taskset.ACAOther: // SAM-6, table 40
		if c.naca() {
			return sense.ACAActive
		}
		return sense.Busy
	case taskset.NoACA:
		return errNoACA
	}
	return sense.ErrNoUnit
}

var errNoACA = sense.New(sense.IllegalRequest, sense.InvalidMessageError)

// refuse ends c, which is not in a task set, with err.
func (c *Command) refuse(err error) {
	c.setOutcome(err)
	u := c.Path.unit
	switch {
	case c.Status == scsi.TaskSetFull:
		c.Path.stats.full.Add(1)
	case c.Status == scsi.CheckCondition && u != noUnit:
		u.queueError(c)
		u.set.Fault(&c.Task, c.naca())
	}
}

// naca is the NACA bit of the CONTROL byte.
func (c *Command) naca() bool {
	off := controlField(c.CDB)
	return off >= 0 && off < len(c.CDB) && c.CDB[off]&scsi.NACA != 0
}

// setOutcome turns what Execute returned into status and sense. It is the only
// place that does.
func (c *Command) setOutcome(err error) {
	if err == nil {
		c.Status = scsi.Good
		return
	}
	var st sense.Status
	if errors.As(err, &st) {
		c.Status = scsi.Status(st)
		if c.Path != nil {
			c.Path.interlock(c.Status)
		}
		return
	}
	e := sense.Of(err)
	c.Status = scsi.CheckCondition
	descriptor := c.Path != nil && c.Path.unit.control.DSense.Load()
	c.SenseLen = len(e.Append(c.sense[:0], descriptor))
	if e.Cause != nil && c.Path != nil {
		c.Path.unit.logFailure(c, e)
	}
}

// Deadline is never set: an initiator's timeout arrives as ABORT TASK.
func (c *Command) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the task is aborted. It costs an allocation; a handler that
// does not wait need not ask.
func (c *Command) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.cancel {
			close(c.done)
		}
	}
	return c.done
}

// AfterFunc calls f on a goroutine of its own when the task is aborted, unless stop is called
// first; stop says whether it came in time. Package context uses it for contexts made from a
// Command: without it, it would start a goroutine that may still look at the Command when it
// carries out another task.
func (c *Command) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel {
		go f()
		return func() bool { return false }
	}
	key := &f
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	c.after[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.after[key]
		delete(c.after, key)
		return ok
	}
}

// Err is context.Canceled once the task is aborted.
func (c *Command) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel {
		return context.Canceled
	}
	return nil
}

// Value carries nothing.
func (c *Command) Value(any) any { return nil }

// TaskCancel tells the handler that its task is aborted (taskset.Owner).
func (c *Command) TaskCancel(*taskset.Task) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cancel {
		c.cancel = true
		if c.done != nil {
			close(c.done)
		}
		for f := range c.after {
			go (*f)()
		}
		c.after = nil
	}
}

// TaskEnabled carries c out on a worker (taskset.Owner).
func (c *Command) TaskEnabled(*taskset.Task) { c.Path.unit.work(c) }

// setAborted is the outcome of a command that task management aborted.
func (c *Command) setAborted() {
	c.Status, c.SenseLen, c.TellAborted = scsi.TaskAborted, 0, c.Told()
	c.Times.Weight = 0 // how long it took is not the device's doing
}

// TaskAborted gives c back to the transport: it never ran (taskset.Owner).
func (c *Command) TaskAborted(*taskset.Task) {
	c.setAborted()
	c.Port.Done(c)
}
