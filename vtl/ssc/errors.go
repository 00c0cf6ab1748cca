package ssc

import (
	"errors"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// Additional sense codes of sequential-access devices, and others that the core does not name.
const (
	filemarkDetected      sense.Code = 0x0001
	endOfPartition        sense.Code = 0x0002
	beginningOfPartition  sense.Code = 0x0004
	endOfData             sense.Code = 0x0005
	programmableWarning   sense.Code = 0x0007
	cleaningRequested     sense.Code = 0x0017
	eraseInProgress       sense.Code = 0x0018
	locateInProgress      sense.Code = 0x0019
	rewindInProgress      sense.Code = 0x001a
	setCapacityInProgress sense.Code = 0x001b
	verifyInProgress      sense.Code = 0x001c
	operationInProgress   sense.Code = 0x0407
	invalidFieldInIU      sense.Code = 0x0e03
	incompatibleMedium    sense.Code = 0x3000
	cannotReadFormat      sense.Code = 0x3002
	cleaningInstalled     sense.Code = 0x3003
	cleaningExpired       sense.Code = 0x3013
	cannotWriteFormat     sense.Code = 0x3005
	associatedWP          sense.Code = 0x2703
	wormOverwrite         sense.Code = 0x300c
	mediumFormatCorrupt   sense.Code = 0x3100
	pastBeginning         sense.Code = 0x3b0c
	writeAppendPosition   sense.Code = 0x5001
	loadEjectFailed       sense.Code = 0x5300
	removalPrevented      sense.Code = 0x5302
	unableToDecrypt       sense.Code = 0x7401
	incorrectKey          sense.Code = 0x7403
)

// aborted is how a command ends that noticed its own abort: nobody sees the status
// unless another nexus aborted it and wants to tell (TAS).
const aborted = sense.TaskAborted

// mediumError is err of m as sense data. write tells failures to record from those to read. What
// a Deferred says of the position is done already, by failed.
func mediumError(err error, write bool) *sense.Error {
	e := sense.New(sense.MediumError, sense.UnrecoveredReadError)
	if write {
		e.Code = sense.WriteError
	}
	switch {
	case errors.Is(err, medium.ErrFull):
		e = sense.New(sense.VolumeOverflow, endOfPartition)
		e.EndOfMedium = true
	case errors.Is(err, medium.ErrNoSpace):
		// Not VOLUME OVERFLOW: backup software would take the cartridge for full, and the
		// next, and all.
		e = sense.New(sense.DataProtect, sense.SpaceAllocationFailed)
	case errors.Is(err, medium.ErrReadOnly):
		e = sense.New(sense.DataProtect, sense.WriteProtected)
	case errors.Is(err, medium.ErrWORM):
		e = sense.New(sense.DataProtect, wormOverwrite)
	case errors.Is(err, medium.ErrKeyNeeded):
		e = sense.New(sense.DataProtect, unableToDecrypt)
	case errors.Is(err, medium.ErrKeyWrong):
		e = sense.New(sense.DataProtect, incorrectKey)
	case errors.Is(err, medium.ErrGone):
		e = sense.New(sense.NotReady, sense.NotReadyBecomingReady)
	}
	var later *medium.Deferred
	e.Deferred = errors.As(err, &later)
	e.Cause = err
	return e
}

// failed is mediumError for a command that holds the tape. After a deferred error the position is
// where the medium ends now, when it was behind that.
func (d *Drive) failed(err error, write bool) *sense.Error {
	m := d.mount
	var e *sense.Error
	if errors.As(err, &e) { // made by whoever stands between drive and medium
		c := *e
		return &c
	}
	var later *medium.Deferred
	if errors.As(err, &later) && later.Partition == m.partition && later.First < m.object {
		d.moveTo(m.partition, later.First)
	}
	if write {
		d.stats.WriteErrors.Add(1)
	} else {
		d.stats.ReadErrors.Add(1)
	}
	return mediumError(err, write)
}
