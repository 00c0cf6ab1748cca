package ssc

import (
	"errors"
	"math/bits"
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// alert is a TapeAlert flag (SSC-5, 4.2.20).
type alert uint8

const (
	alertHardError       alert = 0x03
	alertMedia           alert = 0x04
	alertReadFailure     alert = 0x05
	alertWriteFailure    alert = 0x06
	alertWriteProtect    alert = 0x09
	alertNoRemoval       alert = 0x0a
	alertCleaningMedia   alert = 0x0b
	alertUnsupported     alert = 0x0c
	alertMemoryFailure   alert = 0x0f
	alertCleanNow        alert = 0x14
	alertCleaningExpired alert = 0x16
	alertInvalidCleaning alert = 0x17
	alertLoadFailure     alert = 0x21 // unrecoverable unload failure
	alertWORMIntegrity   alert = 0x3b
	alertWORMOverwrite   alert = 0x3c

	alertCount = 64
)

func (a alert) bit() uint64 { return 1 << (alertCount - a) }

func alertBits(list ...alert) (n uint64) {
	for _, a := range list {
		n |= a.bit()
	}
	return n
}

// perCartridge are the flags that end when the cartridge leaves the drive (SSC-5, table 16).
var perCartridge = alertBits(alertHardError, alertMedia, alertReadFailure, alertWriteFailure, alertWriteProtect,
	alertNoRemoval, alertCleaningMedia, alertUnsupported, alertMemoryFailure, alertCleaningExpired, alertInvalidCleaning,
	alertWORMIntegrity, alertWORMOverwrite)

// supportedAlerts are those that the drive can raise (VPD page B2h).
var supportedAlerts = perCartridge | alertBits(alertCleanNow, alertLoadFailure)

// alerts are the TapeAlert flags of a drive. Flag 01h is the most significant bit of a word.
type alerts struct {
	mu     sync.Mutex
	active uint64
	// seen are the flags that a nexus has read in log page 2Eh since they became active: it reads each
	// once.
	seen map[uint32]uint64
}

// raise makes flags active. One that was active already is told again.
func (a *alerts) raise(flags uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active |= flags
	for id := range a.seen {
		a.seen[id] &^= flags
	}
}

func (a *alerts) clear(flags uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active &^= flags
}

// flags are those that are active.
func (a *alerts) flags() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.active
}

// take gives those that nexus has not read, which it has then.
func (a *alerts) take(nexus uint32) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil {
		a.seen = map[uint32]uint64{}
	}
	fresh := a.active &^ a.seen[nexus]
	a.seen[nexus] = a.seen[nexus]&a.active | fresh
	return fresh
}

func (a *alerts) forget(nexus uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, nexus)
}

// outcomes are the flags that go with how a command ends.
var outcomes = []struct {
	key   sense.Key
	code  sense.Code
	flags uint64
}{
	{sense.MediumError, sense.UnrecoveredReadError, alertBits(alertHardError, alertMedia, alertReadFailure)},
	{sense.MediumError, sense.WriteError, alertBits(alertHardError, alertMedia, alertWriteFailure)},
	{sense.MediumError, mediumFormatCorrupt, alertBits(alertHardError, alertMedia, alertReadFailure)},
	{sense.DataProtect, sense.WriteProtected, alertBits(alertWriteProtect)},
	{sense.DataProtect, wormOverwrite, alertBits(alertWORMOverwrite)},
	{sense.IllegalRequest, removalPrevented, alertBits(alertNoRemoval)},
	{sense.NotReady, incompatibleMedium, alertBits(alertUnsupported)},
	{sense.NotReady, cleaningInstalled, alertBits(alertCleaningMedia)},
	{sense.NotReady, cleaningExpired, alertBits(alertCleaningExpired)},
	{sense.MediumError, loadEjectFailed, alertBits(alertLoadFailure)},
}

// RaiseAlert makes TapeAlert flag n active, 1 to 64, until the cartridge leaves or, of a flag of the drive itself, for good.
// It may be called from anywhere, the medium among them.
func (d *Drive) RaiseAlert(n int) {
	if n >= 1 && n <= alertCount {
		d.alerts.raise(alert(n).bit())
	}
}

// RequireCleaning makes the drive ask for a cleaning cartridge, until it has had one. It may be called from
// anywhere, the medium among them.
func (d *Drive) RequireCleaning() {
	d.cleaning.Store(true)
	d.alerts.raise(alertCleanNow.bit())
}

// noteOutcome raises the flags of err, which ended a command.
func (d *Drive) noteOutcome(err error) {
	if err == nil {
		return // before e costs an allocation
	}
	var e *sense.Error
	if !errors.As(err, &e) {
		return
	}
	for _, o := range outcomes {
		if o.key == e.Key && o.code == e.Code {
			d.alerts.raise(o.flags)
		}
	}
}

// alertLog is log page 2Eh: each flag, which a nexus reads once (SSC-5, 8.2.3).
func (d *Drive) alertLog() spc.LogPage {
	return spc.LogPage{Code: 0x2e, Params: func(c *core.Command) []spc.LogParam {
		flags := d.alerts.take(c.Path.Nexus().ID)
		list := make([]spc.LogParam, alertCount)
		for i := range list {
			a := alert(i + 1)
			value := byte(bits.OnesCount64(flags & a.bit()))
			list[i] = spc.LogParam{Code: uint16(a), Format: spc.BinaryList, Value: []byte{value}}
		}
		return list
	}}
}

// alertResponseLog is log page 12h: the flags as they are, whoever has read them (ADC-4).
func (d *Drive) alertResponseLog() spc.LogPage {
	return spc.LogPage{Code: 0x12, Params: func(*core.Command) []spc.LogParam {
		return []spc.LogParam{number(0x0000, d.alerts.flags(), 8)}
	}}
}
