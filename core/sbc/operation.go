package sbc

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// operation is a FORMAT UNIT or SANITIZE: work on the whole medium that, once it has
// begun, neither the end of its command nor a reset ends (SBC-4, 4.11.2).
type operation struct {
	code   sense.Code // of the NOT READY that other commands get
	failed sense.Code // of the MEDIUM ERROR when it fails
	state  uint32     // stateXxx then
	mends  uint32     // stateXxx that its success clears
	passes int        // over the medium
	run    func(d *Disk, done func(int64)) error

	done, total atomic.Int64 // bytes
	ended       chan struct{}
	err         error // valid once ended is closed

	// kind is the protection type that a FORMAT UNIT gives the medium; path is where it
	// came by, nil after a restart.
	kind uint8
	path *core.Path
}

// progress is how much is done, in 65536ths.
func (o *operation) progress() uint16 {
	return uint16(min(float64(o.done.Load())/float64(o.total.Load())*65536, 65535))
}

// perform carries out op for c, which asked for it with IMMED or not.
func (d *Disk) perform(c *core.Command, op *operation, immed bool) error {
	if !d.reserve(op) {
		return sense.Busy // another came first, just now
	}
	if err := d.remember(c); err != nil {
		d.release(op, err)
		return err
	}
	d.begin(op)
	if immed {
		return nil
	}
	select {
	case <-op.ended:
		return op.err
	case <-c.Done():
		return aborted
	}
}

// reserve makes op the one operation of the disk. False: there is one already.
func (d *Disk) reserve(op *operation) bool {
	d.opMu.Lock()
	defer d.opMu.Unlock()
	if d.op != nil {
		return false
	}
	op.total.Store(int64(d.blocks.Load()<<d.shift) * int64(op.passes))
	op.ended = make(chan struct{})
	d.op = op
	d.setState(stateBusy, 0)
	return true
}

// release ends what reserve began.
func (d *Disk) release(op *operation, err error) {
	d.opMu.Lock()
	d.op = nil
	d.setState(0, stateBusy)
	d.opMu.Unlock()
	op.err = err
	close(op.ended)
}

// begin runs op in the background.
func (d *Disk) begin(op *operation) {
	d.work.Go(func() { d.conclude(op, d.overMedium(op)) })
}

// overMedium runs op with the medium to itself.
func (d *Disk) overMedium(op *operation) error {
	h, err := d.lock.lock(d.ctx, 0, math.MaxInt64, true)
	if err != nil {
		return err
	}
	defer d.lock.unlock(h)
	if err := op.run(d, func(n int64) { op.done.Add(n) }); err != nil {
		return err
	}
	return d.flushStores()
}

func (d *Disk) conclude(op *operation, err error) {
	switch {
	case d.ctx.Err() != nil: // Close: what is remembered goes on after the restart
		err = aborted
	case err != nil:
		err = sense.New(sense.MediumError, op.failed).WithCause(err)
		d.setState(op.state, 0)
		d.log.Error("an operation on the whole medium failed", "device", d.host.Name(), "err", err)
	default:
		if err := d.forget(operationName); err != nil {
			// the worst that follows is that a restart does it all again
			d.log.Error("cannot record the end of an operation", "device", d.host.Name(), "err", err)
		}
		d.setState(0, op.mends)
	}
	d.release(op, err)
}

// remember makes the operation that c asks for outlive a restart: the CDB, 16 bytes,
// and the parameter list.
func (d *Disk) remember(c *core.Command) error {
	var cdb [cdbRecord]byte
	copy(cdb[:], c.CDB)
	if err := d.save(operationName, cdb[:], c.Out); err != nil {
		return sense.Hardware(err)
	}
	return nil
}

const cdbRecord = 16

// takeUp begins again what a restart interrupted.
func (d *Disk) takeUp() error {
	record, err := d.load(operationName)
	if err != nil || record == nil {
		return err
	}
	if len(record) < cdbRecord {
		return fmt.Errorf("%s is truncated", operationName)
	}
	cdb, list := record[:cdbRecord], record[cdbRecord:]
	var op *operation
	switch cdb[0] {
	case opFormat:
		op, err = parseFormat(cdb, list, d.pi != nil)
	case opSanitize:
		op, err = parseSanitize(cdb, list, int(d.cfg.BlockSize))
	default:
		err = fmt.Errorf("opcode %02Xh", cdb[0])
	}
	if err != nil {
		return fmt.Errorf("%s: %w", operationName, err)
	}
	d.reserve(op)
	d.begin(op)
	return nil
}
