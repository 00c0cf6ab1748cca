package ssc

import (
	"context"
	"sync/atomic"

	"github.com/targate/targate/core/sense"
)

// Motion is how long the mechanics take, and how they fail: what a test or vtl/fault puts below
// a drive.
type Motion interface {
	// Move returns when m is over. progress is told the share of it that is done, from 0 to 1, as
	// often as it likes. An error, a *sense.Error or any other, is how the command ends; ctx ends with
	// the task or the drive.
	Move(ctx context.Context, m Move, progress func(float64)) error
}

// MoveKind is a kind of motion.
type MoveKind uint8

// Kinds of motion.
const (
	MoveLoad MoveKind = iota
	MoveUnload
	MoveLocate // LOCATE and SPACE
	MoveRewind
	MoveErase  // a long one: from From to the end
	MoveFormat // over the whole medium
	MoveClean
)

// Move is one motion of the mechanics.
type Move struct {
	Kind      MoveKind
	Partition int
	// From and To are places along the partition, from 0 at its beginning to 1 at its end.
	From, To float64
	// FromObject and ToObject are the logical objects there.
	FromObject, ToObject uint64
	Barcode              string // of the cartridge
}

// Stiller is an optional interface of a Motion: whether moves take no time now. Who puts a cartridge
// into a drive that stands still finds it loaded.
type Stiller interface{ Still() bool }

// Still is the Motion of a drive without mechanics.
type Still struct{}

// Move does nothing (Motion).
func (Still) Move(context.Context, Move, func(float64)) error { return nil }

// Still is true (Stiller).
func (Still) Still() bool { return true }

func isStill(m Motion) bool {
	s, ok := m.(Stiller)
	return ok && s.Still()
}

// operation is work on the tape that may outlast its command.
type operation struct {
	code sense.Code // of REQUEST SENSE while it is under way
	key  sense.Key
	// exclusive: other commands to the medium are refused meanwhile, with not; else they wait.
	exclusive bool
	not       sense.Code // of NOT READY
	reported  bool       // what goes wrong with it is reported otherwise than as deferred error
	run       func(ctx context.Context, progress func(float64)) error

	done atomic.Uint32 // 65536ths
}

// polled is what REQUEST SENSE says of it.
func (o *operation) polled() *sense.Error { return o.sense(o.key, o.code) }

// notReady is what TEST UNIT READY and refused commands say of it.
func (o *operation) notReady() *sense.Error { return o.sense(sense.NotReady, o.not) }

func (o *operation) sense(k sense.Key, c sense.Code) *sense.Error {
	e := sense.New(k, c)
	e.Progress, e.HasProgress = uint16(o.done.Load()), true
	return e
}

// do carries out op, for a command that holds the tape: at once, ended by ctx, or with immed
// after the command, when what goes wrong is for the next one.
func (d *Drive) do(ctx context.Context, op *operation, immed bool) error {
	if immed {
		d.after = op
		return nil
	}
	return d.carryOut(ctx, op)
}

// carryOut carries out op, for somebody who holds the tape.
func (d *Drive) carryOut(ctx context.Context, op *operation) error {
	d.mu.Lock()
	d.op = op
	d.mu.Unlock()
	err := op.run(ctx, func(f float64) { op.done.Store(uint32(min(max(f, 0)*65536, 65535))) })
	d.mu.Lock()
	d.op = nil
	d.mu.Unlock()
	return err
}

// leave gives the tape up after a command, or to the operation that it began.
func (d *Drive) leave() {
	op := d.after
	if op == nil {
		d.release()
		return
	}
	d.after = nil
	d.mu.Lock()
	d.op = op // before the status of the command
	d.mu.Unlock()
	d.work.Go(func() {
		err := d.carryOut(d.ctx, op)
		if err != nil && !op.reported && d.ctx.Err() == nil {
			e := *sense.Of(err)
			e.Deferred = true
			d.mu.Lock()
			d.deferred = &e
			d.mu.Unlock()
		}
		d.release()
	})
}

// move waits for the mechanics.
func (d *Drive) move(ctx context.Context, m Move, progress func(float64)) error {
	d.mu.Lock()
	if d.cart != nil {
		m.Barcode = d.cart.Barcode()
	}
	d.mu.Unlock()
	err := d.cfg.Motion.Move(ctx, m, progress)
	if err != nil && ctx.Err() != nil {
		return aborted
	}
	return err
}
