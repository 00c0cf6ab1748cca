package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Service actions of SANITIZE (SBC-4, 5.29). There is no CRYPTOGRAPHIC ERASE: nothing
// is encrypted.
const (
	saOverwrite  = 0x01
	saBlockErase = 0x02
	saExit       = 0x1f
)

// sanitize is SANITIZE with OVERWRITE or BLOCK ERASE.
func (d *Disk) sanitize(c *core.Command) error {
	const immed = 0x80
	op, err := parseSanitize(c.CDB, c.Out, int(d.cfg.BlockSize))
	if err != nil {
		return err
	}
	return d.perform(c, op, c.CDB[1]&immed != 0)
}

// parseSanitize makes an operation of SANITIZE's CDB and parameter list.
func parseSanitize(cdb, list []byte, blockSize int) (*operation, error) {
	const ause = 0x20
	op := &operation{code: sense.SanitizeInProgress, failed: sense.SanitizeCommandFailed,
		state:  stateSanitizeFailed,
		mends:  stateSanitizeFailed | stateExitAllowed | stateFormatFailed,
		passes: 1, run: (*Disk).wipe}
	if cdb[1]&ause != 0 {
		op.state |= stateExitAllowed
	}
	if cdb[1]&0x1f == saBlockErase {
		return op, nil
	}
	o, err := parseOverwrite(cdb, list, blockSize)
	if err != nil {
		return nil, err
	}
	op.passes, op.run = o.count, o.run
	return op, nil
}

// overwrite is the parameter list of OVERWRITE.
type overwrite struct {
	count  int
	invert bool
	block  []byte // the pattern, repeated to fill a block
}

func parseOverwrite(cdb, list []byte, blockSize int) (*overwrite, error) {
	n := int(binary.BigEndian.Uint16(cdb[7:]))
	if n < 5 || n > blockSize+4 {
		return nil, sense.Field(7)
	}
	if len(list) != n {
		return nil, sense.ErrParamLength
	}
	o := &overwrite{count: int(list[0] & 0x1f), invert: list[0]&0x80 != 0}
	pattern := int(binary.BigEndian.Uint16(list[2:]))
	switch {
	case list[0]&0x60 != 0:
		return nil, sense.ParamBit(0, 6) // TEST: vendor specific
	case o.count == 0:
		return nil, sense.ParamBit(0, 4)
	case list[1] != 0:
		return nil, sense.Param(1)
	case pattern == 0 || pattern > blockSize:
		return nil, sense.Param(2)
	case pattern > n-4:
		return nil, sense.ErrParamLength
	}
	o.block = make([]byte, blockSize)
	for at := 0; at < blockSize; at += pattern {
		copy(o.block[at:], list[4:4+pattern])
	}
	return o, nil
}

// run makes the passes, each durable before the next: otherwise a cache would
// swallow all but the last.
func (o *overwrite) run(d *Disk, done func(int64)) error {
	block := append([]byte(nil), o.block...)
	for pass := range o.count {
		if pass > 0 {
			if err := d.flushStores(); err != nil {
				return err
			}
			if o.invert {
				for i := range block {
					block[i] = ^block[i]
				}
			}
		}
		if err := d.repeat(d.ctx, block, 0, int64(d.blocks.Load()<<d.shift), 0, done); err != nil {
			return err
		}
		if err := d.overwriteProtection(block); err != nil {
			return err
		}
	}
	return d.forgetProtection()
}

// sanitizeExit is SANITIZE with EXIT FAILURE MODE: a failed sanitize is forgotten, if
// its AUSE bit allowed that.
func (d *Disk) sanitizeExit(*core.Command) error {
	d.opMu.Lock()
	defer d.opMu.Unlock()
	switch s := d.state.Load(); {
	case s&stateSanitizeFailed == 0:
		return nil
	case s&stateExitAllowed == 0:
		return sense.FieldBit(1, 4)
	}
	if err := d.forget(operationName); err != nil {
		return sense.Hardware(err)
	}
	d.setState(0, stateSanitizeFailed|stateExitAllowed)
	return nil
}
