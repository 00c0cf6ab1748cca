package core

import (
	"sync/atomic"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// Handler is a logical unit's own part: what SAM and SPC do not already give to the
// core. Queueing, ordering, unit attentions, reservations, residuals and the
// encoding of sense data are never its business.
type Handler interface {
	// Profile is read once, when the unit is made, and kept.
	Profile() Profile
	// Attach gives the handler the core's side before the first command.
	Attach(Host) error
	// Execute carries out cmd, whose Row is one of the profile's, to its end. nil is
	// GOOD, a *sense.Error is CHECK CONDITION, a sense.Status is that status, any
	// other error is logged and becomes HARDWARE ERROR. It is called from many
	// goroutines. cmd.NoWait set: ErrWouldBlock, before anything was done, asks for
	// another call that may block. cmd is also a context that ends with the task.
	Execute(cmd *Command) error
	// Close ends the handler. No Execute runs or follows.
	Close() error
}

// Profile is what the core must know of a handler.
type Profile struct {
	Type      scsi.DeviceType
	Rows      []*Row
	BlockSize func() uint32 // bytes per logical block now; nil for 1
	Control   *Control      // the Control mode page's effects on the core
	// MaxTransfer bounds the data phase of one command in bytes (the MAXIMUM
	// TRANSFER LENGTH of VPD page B0h). The core refuses more, so no CDB field sizes
	// a buffer beyond it. 0: DefaultMaxTransfer.
	MaxTransfer uint32
	// Blocking: never call Execute with NoWait; go to a worker at once.
	Blocking bool
}

// DefaultMaxTransfer is 16 MiB.
const DefaultMaxTransfer = 16 << 20

// Control is the part of the Control mode page that the core obeys (SPC-6, 7.5.9).
// The handler's mode page code stores, the core loads.
type Control struct {
	DSense    atomic.Bool   // descriptor format sense data
	SWP       atomic.Bool   // software write protect
	TAS       atomic.Bool   // task aborted status
	QErr      atomic.Uint32 // queue error management: 0, 1 or 3
	Interlock atomic.Uint32 // unit attention interlocks control: 0, 2 or 3

	set *taskset.Set // of the unit, by NewUnit
}

// Values of the fields of Control.
const (
	QErrAll   = 1 // CHECK CONDITION aborts the task set
	QErrNexus = 3 // CHECK CONDITION aborts the tasks of its I_T nexus

	KeepUA    = 2 // CHECK CONDITION does not clear the unit attention that it reports
	KeepAllUA = 3 // and BUSY and its like leave one, too
)

// SetOrder says which tasks keep their order (taskset.Set): perNexus is TST 001b,
// restricted QUEUE ALGORITHM MODIFIER 0h. It has no effect before there is a unit.
func (c *Control) SetOrder(perNexus, restricted bool) {
	if c.set != nil {
		c.set.SetOrder(perNexus, restricted)
	}
}

// Host is what the core offers a handler. All methods are safe for concurrent use.
type Host interface {
	// Name is the device's name in the configuration, for logs.
	Name() string
	// Raise establishes a unit attention for every I_T nexus but except (nil: for
	// all), as when capacity or mode parameters change (SPC-6, 5.14).
	Raise(ua *sense.Error, except *Path)
	// Ports are the target ports by which the unit is reached now.
	Ports() []*TargetPort
	// Stats are the unit's counters since it was made.
	Stats() Stats
	// Rows are all commands of the unit, the core's own among them.
	Rows() []*Row
	// State is where the handler keeps what must survive a restart (saved mode
	// pages). It may be nil: then saving is not supported.
	State() State
}

// State keeps small named values of one unit, each replaced whole: after Save
// returns, a crash or a power cut leaves the new value, never a mixture.
type State interface {
	Load(name string) ([]byte, error) // an absent name is fs.ErrNotExist
	Save(name string, value []byte) error
}

// PollSenser is an optional interface of a Handler: what REQUEST SENSE returns
// when no unit attention waits, for example the progress of FORMAT UNIT. nil is
// NO SENSE.
type PollSenser interface {
	PollSense() *sense.Error
}

// PathLoser is an optional interface of a Handler that keeps something for an I_T nexus: told
// when the nexus is lost, whether p stays, as after I_T NEXUS RESET, or not.
type PathLoser interface{ Lost(p *Path) }

// Unwrapper is what a Handler that wraps another implements, so that As finds the
// optional interfaces below it.
type Unwrapper interface{ Unwrap() Handler }

// As finds the first T among h and what it wraps.
func As[T any](h Handler) (T, bool) {
	for h != nil {
		if t, ok := h.(T); ok {
			return t, true
		}
		w, ok := h.(Unwrapper)
		if !ok {
			break
		}
		h = w.Unwrap()
	}
	var zero T
	return zero, false
}

// TargetPort is a SCSI target port, as VPD pages 83h and 88h describe it.
type TargetPort struct {
	Target   string // SCSI target device name: the IQN
	Name     string // target port name: "IQN,t,0xTPGT" for iSCSI (RFC 7143, 4.2.7.2)
	Relative uint16 // RELATIVE TARGET PORT IDENTIFIER, unique and stable
	Group    uint16 // TARGET PORT GROUP
	Protocol uint8  // PROTOCOL IDENTIFIER (SPC-6, 7.6.1): 5 for iSCSI
}

// InitiatorPort is a SCSI initiator port.
type InitiatorPort struct {
	Name    string // SCSI device name: the initiator's IQN
	Session string // what makes the port unique: the ISID as 12 hex digits for iSCSI
}

func (p InitiatorPort) String() string { return p.Name + ",i,0x" + p.Session }

// Identity is who a device is, for life (DESIGN "Identity").
type Identity struct {
	Vendor   string // T10 VENDOR IDENTIFICATION, at most 8 characters
	Product  string // PRODUCT IDENTIFICATION, at most 16
	Revision string // PRODUCT REVISION LEVEL, at most 4
	Serial   string // UNIT SERIAL NUMBER, VPD page 80h
	NAA      [8]byte
}
