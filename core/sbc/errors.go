package sbc

import (
	"errors"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// Codes that only block devices use.
const (
	// InvalidFieldInIU answers a Data-Out that is not whole logical blocks: the
	// transport expected to move less than the CDB asks for (FCP-4, 9.4.2).
	invalidFieldInIU    sense.Code = 0x0e03
	mediumFormatCorrupt sense.Code = 0x3100
	formatFailed        sense.Code = 0x3101
	appTagCheckFailed   sense.Code = 0x1002
	refTagCheckFailed   sense.Code = 0x1003
)

// storeError is the only place where a store's error becomes sense data. off is the
// first byte of the operation, for when the store does not know better.
func (d *Disk) storeError(err error, off int64, write bool) error {
	if err == nil || err == block.ErrWouldBlock { //nolint:errorlint // the sentinel itself
		return err
	}
	var at *block.Error
	if errors.As(err, &at) && at.Off > off {
		off = at.Off
	}
	lba := uint64(off) >> d.shift
	switch {
	case errors.Is(err, block.ErrNoSpace):
		return sense.ErrNoSpace.WithInfo(lba).WithCause(err)
	case errors.Is(err, block.ErrReadOnly):
		return sense.New(sense.DataProtect, sense.HardwareWriteProtected).WithCause(err)
	case errors.Is(err, block.ErrGone):
		// BECOMING READY is what initiators try again after a while; they would give
		// up on any other NOT READY.
		return sense.New(sense.NotReady, sense.NotReadyBecomingReady).WithCause(err)
	case errors.Is(err, block.ErrRange):
		return sense.ErrLBA.WithInfo(lba).WithCause(err)
	case write:
		return sense.MediumWrite(lba, err)
	default:
		return sense.Medium(lba, err)
	}
}

// aborted is how a command ends that noticed its own abort: nobody sees the status
// unless another nexus aborted it and wants to tell (TAS).
const aborted = sense.TaskAborted
