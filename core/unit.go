package core

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// Unit is a logical unit: what the core owns around a Handler.
type Unit struct {
	name    string
	h       Handler
	prof    Profile
	table   *Table
	control *Control
	state   State
	log     *slog.Logger
	set     taskset.Set

	quota quota

	mu      sync.Mutex // guards paths, retired, past, closed
	paths   map[*Path]struct{}
	retired Stats // of paths that are gone
	past    *latency.Snapshot
	closed  bool

	services []Service
}

// Service is a mechanism of SPC that the core adds to every unit: reservations, ALUA,
// third-party copy. It is part of the core; a handler never sees it. One that is an
// io.Closer, too, is closed with the unit, after the handler.
type Service interface {
	// Attach gives the service its unit, before the first command.
	Attach(Host) error
	// Rows are the commands that it answers instead of the handler.
	Rows() []*Row
	// Execute carries out one of its rows, by the rules of Handler.Execute.
	Execute(*Command) error
	// Gate is asked before any command of the unit is carried out, on the goroutine that
	// does: nil lets it pass. It must cost next to nothing while it has nothing to say.
	Gate(*Command) error
	// Lost tells that an I_T nexus is gone; Reset that the logical unit was reset.
	Lost(*Path)
	Reset()
}

// UnitOptions are the optional parts of a Unit.
type UnitOptions struct {
	State    State
	Log      *slog.Logger // nil: slog.Default
	Services []Service
}

// NewUnit puts the core around h. The unit owns h and closes it.
func NewUnit(name string, h Handler, o UnitOptions) (*Unit, error) {
	u := &Unit{name: name, h: h, prof: h.Profile(), state: o.State, log: o.Log,
		services: o.Services, paths: map[*Path]struct{}{}}
	if u.log == nil {
		u.log = slog.Default()
	}
	u.log = u.log.With("device", name)
	if u.prof.MaxTransfer == 0 {
		u.prof.MaxTransfer = DefaultMaxTransfer
	}
	if u.prof.BlockSize == nil {
		u.prof.BlockSize = func() uint32 { return 1 }
	}
	if u.control = u.prof.Control; u.control == nil {
		u.control = &Control{}
	}
	u.control.set = &u.set
	if err := u.attachAll(); err != nil {
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	return u, nil
}

// attachAll makes the table of the core's, the services' and the handler's commands, each
// row with the function that carries it out, and introduces the unit to them.
func (u *Unit) attachAll() (err error) {
	rows := u.ownRows()
	add := func(more []*Row, run func(*Command) error) {
		for _, r := range more {
			r.run = run
			rows = append(rows, r)
		}
	}
	for _, s := range u.services {
		add(s.Rows(), s.Execute)
	}
	add(u.prof.Rows, u.h.Execute)
	if u.table, err = NewTable(rows); err != nil {
		return err
	}
	for _, s := range u.services {
		if err := s.Attach(u); err != nil {
			return err
		}
	}
	return u.h.Attach(u)
}

// Name is the device's name in the configuration.
func (u *Unit) Name() string { return u.name }

// Handler is what the unit was made around.
func (u *Unit) Handler() Handler { return u.h }

// Type is the unit's peripheral device type.
func (u *Unit) Type() scsi.DeviceType { return u.prof.Type }

// BlockSize is the length of a logical block now, in bytes.
func (u *Unit) BlockSize() uint32 { return u.prof.BlockSize() }

// Rows are all commands of the unit (Host).
func (u *Unit) Rows() []*Row { return u.table.Rows() }

// State is where saved values live, or nil (Host).
func (u *Unit) State() State { return u.state }

// Ports are the target ports by which the unit is reached now (Host).
func (u *Unit) Ports() []*TargetPort {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := map[*TargetPort]bool{}
	var ports []*TargetPort
	for p := range u.paths {
		if tp := p.nexus.Target; !seen[tp] {
			seen[tp] = true
			ports = append(ports, tp)
		}
	}
	return ports
}

// Stats are the unit's counters (Host).
func (u *Unit) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.retired
	for p := range u.paths {
		s.Add(p.stats.load())
	}
	return s
}

// Raise establishes a unit attention on every path but except (Host).
func (u *Unit) Raise(ua *sense.Error, except *Path) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for p := range u.paths {
		if p != except {
			p.Raise(ua)
		}
	}
}

// Tasks is the unit's task set.
func (u *Unit) Tasks() *taskset.Set { return &u.set }

// Close aborts the commands that are there, waits for their end, and closes the handler.
// The caller has unmapped the unit everywhere; who still holds a path finds LOGICAL UNIT
// NOT SUPPORTED.
func (u *Unit) Close() error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	u.mu.Unlock()
	u.set.Close()
	err := u.h.Close()
	for _, s := range u.services {
		if c, ok := s.(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

func (u *Unit) attach(p *Path, first bool) {
	u.mu.Lock()
	u.paths[p] = struct{}{}
	u.mu.Unlock()
	if first {
		p.Raise(sense.New(sense.UnitAttention, sense.PowerOnReset))
	}
}

func (u *Unit) detach(p *Path) {
	u.mu.Lock()
	delete(u.paths, p)
	u.retired.Add(p.stats.load())
	u.retire(p)
	u.mu.Unlock()
	u.set.DropACA(&p.share)
	for _, s := range u.services {
		s.Lost(p)
	}
	u.lost(p)
}

// Parse finds the row of c and checks all of the CDB that does not depend on the
// medium, then sets OutLen, InLen and InMax. The transport calls it before the data
// phase, since only now is it known how much to ask for. An error ends c.
func (c *Command) Parse() error {
	u := c.Path.unit
	row, serr := u.table.Lookup(c.CDB)
	if u == noUnit && (row == nil || !row.Is(NoLU)) {
		return sense.ErrNoUnit
	}
	if serr != nil {
		return serr
	}
	c.Row = row
	if n := len(row.Usage); len(c.CDB) > n && n <= len(c.cdb) {
		// a transport pads short CDBs to 16 bytes
		if e := row.check(c.CDB); e != nil {
			return u.malformed(c, e)
		}
		c.CDB = c.CDB[:n]
	} else if len(c.CDB) < n {
		return sense.Field(7) // a variable length CDB shorter than its service action says
	} else if e := row.check(c.CDB); e != nil {
		return u.malformed(c, e)
	}
	if row.Dir == scsi.None {
		return nil
	}
	block := u.prof.BlockSize()
	n := row.Len.Length(c.CDB, block)
	if n > uint64(u.prof.MaxTransfer) && (row.Len.Blocks || row.Len.Func != nil || row.Dir == scsi.Out) {
		return sense.Field(int(row.Len.Off))
	}
	switch row.Dir {
	case scsi.In:
		c.InLen = int(n)
	case scsi.Out:
		c.OutLen = int(n)
	case scsi.Both:
		c.OutLen = int(n)
		in := row.LenIn.Length(c.CDB, block)
		if in > uint64(u.prof.MaxTransfer) {
			return sense.Field(int(row.LenIn.Off))
		}
		c.InLen = int(in)
	}
	c.InMax = min(c.InLen, int(u.prof.MaxTransfer))
	if c.HasExpected { // data that was announced in the other direction is residual
		c.InMax = min(c.InMax, int(c.ExpectedIn))
	}
	return nil
}

// Enter puts c into its unit's task set, in the order in which the transport
// received it and before its data has arrived. An error is for Fail: the task set
// does not take c, or the unit is closed.
func (c *Command) Enter() error {
	c.Times.Admitted, c.Times.Weight = latency.Now(), 1
	if v := c.admit(false); v > taskset.Run {
		return c.refusal(v)
	}
	return nil
}

func (c *Command) admit(run bool) taskset.Verdict {
	c.bind()
	return c.Path.unit.set.Admit(&c.Task, run)
}

// Submit carries out a command that Enter took in, now that its data is there. See
// EnterAndSubmit for the result.
func (c *Command) Submit() bool {
	u := c.Path.unit
	c.Times.Complete = latency.Now()
	c.Times.Started = c.Times.Complete
	if u.set.Start(&c.Task) {
		return u.start(c)
	}
	return u.later(c)
}

// EnterAndSubmit is Enter and Submit of a command that needs no more data. True: it
// has ended on this goroutine and the caller sends the response. False: it ends
// elsewhere, and Port.Done is called there.
func (c *Command) EnterAndSubmit() bool {
	u := c.Path.unit
	if c.Times.Weight != 0 {
		c.Times.Admitted = latency.Now()
		c.Times.Started = c.Times.Admitted
	}
	switch v := c.admit(true); v {
	case taskset.Run:
		return u.start(c)
	case taskset.Wait:
		return u.later(c)
	default:
		c.refuse(c.refusal(v))
		return true
	}
}

// later leaves a command that may not run yet to the goroutine that will enable it.
func (u *Unit) later(c *Command) bool {
	if !c.Port.Own(c) {
		if u.set.End(&c.Task) {
			return false // aborted: Done is or was called
		}
		c.setOutcome(sense.TaskSetFull)
		return true
	}
	c.leaves()
	if u.set.Arm(&c.Task) {
		u.work(c)
	}
	return false
}

// Leave takes a command that will never run out of its task set: its transport gave
// up on it. False: it was aborted before, and Port.Done is or was called.
func (c *Command) Leave() bool { return !c.Path.unit.set.End(&c.Task) }

// start runs a Running command here if its row and handler allow, else on a worker.
func (u *Unit) start(c *Command) bool {
	if c.Row.Gate&Inline != 0 && !u.prof.Blocking {
		c.NoWait = true
		err := u.execute(c)
		if err != ErrWouldBlock { //nolint:errorlint // the sentinel itself, on the hot path
			u.end(c, err)
			return true
		}
		c.NoWait = false
	}
	if !c.Port.Own(c) {
		u.end(c, sense.TaskSetFull)
		return true
	}
	c.Path.stats.blocked.Add(1)
	c.leaves()
	if u.set.Offload(&c.Task) {
		u.work(c)
	}
	return false
}

// work hands a Running command to a worker.
func (u *Unit) work(c *Command) { workers.run(c) }

// runBlocking carries c out on a worker. What was aborted before it began does not
// begin.
func (c *Command) runBlocking() {
	u := c.Path.unit
	c.NoWait = false
	err := error(sense.TaskAborted)
	if c.Err() == nil {
		c.Times.Started = latency.Now()
		err = u.execute(c)
	}
	if u.end(c, err) {
		c.setAborted()
	}
	c.Port.Done(c)
}

// execute is the dispatch: the gates, then the core's own commands or the handler.
//
// Unit attentions are looked for after the gates, though they are reported before what
// the gates say (SAM-6, 5.3.3): who takes a right away raises one first and then opens
// the gate, so no command passes a gate that was opened meanwhile without its initiator
// having been told.
func (u *Unit) execute(c *Command) error {
	refused := u.gates(c)
	if ua := c.Attention(); ua != nil {
		return ua
	}
	if refused != nil {
		return refused
	}
	return c.run()
}

// malformed picks between e, a reserved bit of the CDB, and write protection. No standard
// orders them; an initiator that probes a read-only LUN wants to hear of the latter
// (libiscsi's ReadOnly test sends WRITE SAME with UNMAP to a disk without LBPME).
func (u *Unit) malformed(c *Command, e *sense.Error) error {
	if err := u.writeProtected(c); err != nil {
		return err
	}
	return e
}

func (u *Unit) writeProtected(c *Command) error {
	if c.Row.Gate&WritesMedium == 0 {
		return nil
	}
	if c.Path.ReadOnly {
		return sense.ErrWriteProtected
	}
	if u.control.SWP.Load() {
		return sense.ErrSoftwareWP
	}
	return nil
}

// gates says what keeps c from being carried out: the services, whose RESERVATION CONFLICT
// takes precedence over other statuses (SAM-6, 5.3.3), then write protection.
func (u *Unit) gates(c *Command) error {
	for _, s := range u.services {
		if err := s.Gate(c); err != nil {
			return err
		}
	}
	return u.writeProtected(c)
}

// end sets the outcome of c and takes it out of the task set. True: task management
// aborted it while it ran.
func (u *Unit) end(c *Command, err error) (aborted bool) {
	if err == nil {
		c.Status = scsi.Good
	} else {
		c.setOutcome(err)
	}
	c.checkOutcome(err)
	c.Path.stats.count(c)
	if c.Times.Weight != 0 {
		c.Times.Executed = latency.Now()
	}
	if c.Status != scsi.CheckCondition || u == noUnit {
		aborted = u.set.End(&c.Task)
	} else {
		u.queueError(c)
		aborted = u.set.EndFaulted(&c.Task, c.naca())
	}
	if aborted {
		c.Path.stats.aborted.Add(1)
	}
	return aborted
}

func (u *Unit) logFailure(c *Command, e *sense.Error) {
	if errors.Is(e.Cause, ErrQuiet) {
		return
	}
	missed, ok := u.quota.take(time.Now())
	if !ok {
		return
	}
	name := "?"
	if c.Row != nil {
		name = c.Row.Name
	}
	u.log.Warn("command failed", "command", name, "initiator", c.Path.nexus.Initiator.Name,
		"lun", uint32(c.Path.LUN), "sense", e.Error(), "not_logged", missed)
}

// quota keeps a medium that fails every command from filling the log: logPerSecond lines,
// and how many were left out since.
type quota struct {
	mu     sync.Mutex
	second int64
	n      int
	missed int
}

const logPerSecond = 10

func (q *quota) take(now time.Time) (missed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := now.Unix(); s != q.second {
		q.second, q.n = s, 0
	}
	if q.n++; q.n > logPerSecond {
		q.missed++
		return 0, false
	}
	missed, q.missed = q.missed, 0
	return missed, true
}

// ErrQuiet as the cause of a sense.Error keeps it out of the log.
var ErrQuiet = errors.New("quiet")

// pool runs commands that may block. An idle worker takes the next command; when
// there is none, another goroutine is made. Their number is bounded by the commands
// that sessions may have outstanding, and idle ones beyond maxIdle end.
type pool struct {
	ch   chan *Command
	idle atomic.Int32
}

const maxIdle = 64

var workers = &pool{ch: make(chan *Command)}

// IdleWorkers is how many goroutines stand by for commands that may block.
func IdleWorkers() int { return int(workers.idle.Load()) }

func (p *pool) run(c *Command) {
	select {
	case p.ch <- c:
	default:
		go p.loop(c)
	}
}

func (p *pool) loop(c *Command) {
	for {
		c.runBlocking()
		if p.idle.Add(1) > maxIdle {
			p.idle.Add(-1)
			return
		}
		c = <-p.ch
		p.idle.Add(-1)
	}
}
