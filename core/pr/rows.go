package pr

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

// Service actions of PERSISTENT RESERVE OUT (SPC-6, table 231).
const (
	actRegister       = 0x00
	actReserve        = 0x01
	actRelease        = 0x02
	actClear          = 0x03
	actPreempt        = 0x04
	actPreemptAbort   = 0x05
	actRegisterIgnore = 0x06
	actRegisterMove   = 0x07
)

// Gates. A reservation refuses none of these commands by itself: which service actions
// it allows to whom is decided with the rest (SPC-6, table 73).
const (
	gateIn     = core.PastReserve | core.InStandby | core.Inline | core.WhileBusy
	gateOut    = core.PastReserve | core.InStandby | core.WhileBusy
	gateLegacy = core.PastReserve | core.WhileBusy
)

// Seconds after which an initiator may give a command up. PREEMPT AND ABORT waits for
// the storage under the commands that it aborts.
const (
	quick = 10
	slow  = 60
	long  = 600
)

func in(action int16, name, usage string, run func(*Service, *core.Command) error) ops.Op[*Service] {
	return ops.Op[*Service]{Row: core.Row{Code: 0x5e, Action: action, Name: "PERSISTENT RESERVE IN, " + name, Dir: scsi.In,
		Len: core.Bytes(7, 2), Gate: gateIn, Usage: usage, Timeout: quick}, Run: run}
}

func out(action int16, name, usage string) ops.Op[*Service] {
	return ops.Op[*Service]{Row: core.Row{Code: 0x5f, Action: action, Name: "PERSISTENT RESERVE OUT, " + name, Dir: scsi.Out,
		Len: core.Bytes(5, 4), Gate: gateOut, Usage: usage, Timeout: slow}, Run: (*Service).out}
}

func legacy(code uint8, name, usage string, run func(*Service, *core.Command) error) ops.Op[*Service] {
	return ops.Op[*Service]{Row: core.Row{Code: code, Action: core.NoAction, Name: name,
		Gate: gateLegacy, Usage: usage, Timeout: quick}, Run: run}
}

// The commands, in order of opcode. SCOPE and TYPE are in every usage mask, since the
// service actions that have no use for them are to ignore them. Third-party and extent
// reservations of SPC-2 are not supported.
var table = []ops.Op[*Service]{
	legacy(0x16, "RESERVE(6)", "\x16\x00\x00\x00\x00\x00", (*Service).reserve),
	legacy(0x17, "RELEASE(6)", "\x17\x00\x00\x00\x00\x00", (*Service).release),
	legacy(0x56, "RESERVE(10)", "\x56\x00\x00\x00\x00\x00\x00\x00\x00\x00", (*Service).reserve),
	legacy(0x57, "RELEASE(10)", "\x57\x00\x00\x00\x00\x00\x00\x00\x00\x00", (*Service).release),
	in(0, "READ KEYS", "\x5e\x00\x00\x00\x00\x00\x00\xff\xff\x00", (*Service).readKeys),
	in(1, "READ RESERVATION", "\x5e\x01\x00\x00\x00\x00\x00\xff\xff\x00", (*Service).readReservation),
	in(2, "REPORT CAPABILITIES", "\x5e\x02\x00\x00\x00\x00\x00\xff\xff\x00", (*Service).reportCapabilities),
	in(3, "READ FULL STATUS", "\x5e\x03\x00\x00\x00\x00\x00\xff\xff\x00", (*Service).readFullStatus),
	out(actRegister, "REGISTER", "\x5f\x00\xff\x00\x00\xff\xff\xff\xff\x00"),
	out(actReserve, "RESERVE", "\x5f\x01\xff\x00\x00\xff\xff\xff\xff\x00"),
	out(actRelease, "RELEASE", "\x5f\x02\xff\x00\x00\xff\xff\xff\xff\x00"),
	out(actClear, "CLEAR", "\x5f\x03\xff\x00\x00\xff\xff\xff\xff\x00"),
	out(actPreempt, "PREEMPT", "\x5f\x04\xff\x00\x00\xff\xff\xff\xff\x00"),
	preemptAbort(out(actPreemptAbort, "PREEMPT AND ABORT", "\x5f\x05\xff\x00\x00\xff\xff\xff\xff\x00")),
	out(actRegisterIgnore, "REGISTER AND IGNORE EXISTING KEY", "\x5f\x06\xff\x00\x00\xff\xff\xff\xff\x00"),
	out(actRegisterMove, "REGISTER AND MOVE", "\x5f\x07\xff\x00\x00\xff\xff\xff\xff\x00"),
}

// preemptAbort may run during the ACA of the nexus that it preempts.
func preemptAbort(o ops.Op[*Service]) ops.Op[*Service] {
	o.Gate |= core.PastACA
	o.Timeout = long
	return o
}
