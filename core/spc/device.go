package spc

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

// Config is what a device type and one device of it say of themselves. It is read
// once, by NewDevice.
type Config struct {
	Type      scsi.DeviceType
	Identity  core.Identity
	Removable bool // RMB: the medium can be taken out

	// Versions are the version descriptors of the device type, for example SBC3.
	// Those of SAM, SPC and the transport are added.
	Versions []uint16

	// VPD, Modes and Logs are the device type's own pages, in any order.
	VPD   []VPDPage
	Modes []ModePage
	Logs  []LogPage

	// Header gives the mode parameter header and block descriptor for c, a long LBA
	// one only if long. nil: zeros and no block descriptor.
	Header func(c *core.Command, long bool) Header
	// SetHeader takes those of a MODE SELECT: it refuses (sense.Param, whose byte it
	// counts from h.At) or returns what makes them effective, nil when nothing would
	// change. It does not keep h.Block. It is called before
	// anything changes. nil: only values that change nothing are taken.
	SetHeader func(c *core.Command, h Header) (apply func(), err error)

	// SelfTest is the default self-test of SEND DIAGNOSTIC: it reads the medium, or
	// whatever shows that the device works. c ends with the task. nil: SEND
	// DIAGNOSTIC is not supported.
	SelfTest func(c *core.Command) error

	// NoPageZero: MODE SENSE of page 00h returns the header and the block descriptor alone, as
	// drivers of tapes want it. There is no such page then.
	NoPageZero bool

	// CanProtect: the SWP bit of the Control mode page can be set.
	CanProtect bool
	// VolatileCache sets V_SUP of VPD page 86h.
	VolatileCache bool
	// TPGS and ThirdPartyCopy are the fields of the standard INQUIRY data. TPGS nil is
	// what the unit's services say; ThirdPartyCopy nil is 0.
	// ThirdPartyCopy need not be set for VPD page 8Fh, whose presence says it too.
	TPGS           func() uint8
	ThirdPartyCopy func() bool
	// Protection, when not nil, is a device that supports protection information.
	Protection *Protection
	// Imitation, when not nil, is a device that stands for the product of some maker.
	Imitation *Imitation
}

// Imitation is what the product of some maker says otherwise than this package would.
type Imitation struct {
	Version uint8  // VERSION of the standard INQUIRY data; 0: SPC-4
	Tail    []byte // the standard INQUIRY data from byte 36 on, as far as it goes
	// ProductInT10: the T10 vendor ID designator of VPD page 83h names the product between
	// vendor and serial number, as those of tape drives and changers do.
	ProductInT10 bool
	// NoVPD are VPD pages of this package that it does not have, or that Config.VPD replaces.
	NoVPD []uint8
}

// Protection is what a device says of its protection information to the primary
// commands: PROTECT of the standard INQUIRY data is 1.
type Protection struct {
	SPT    uint8 // SUPPORTED PROTECTION TYPE of VPD page 86h (SPC-6, table 479)
	Checks uint8 // GRD_CHK, APP_CHK and REF_CHK of VPD page 86h: bits 2, 1 and 0
	// Apply takes ATO and DPICZ of the Control mode page, which can be changed.
	Apply func(ato, dpicz bool)
}

// Header is what the mode parameter header carries, and the block descriptor
// (SPC-6, 7.5.5 and 7.5.6).
type Header struct {
	MediumType uint8
	Specific   uint8 // DEVICE-SPECIFIC PARAMETER
	// Block is the block descriptor: 8 bytes, 16 when it is a long LBA one, or empty
	// when there is none.
	Block []byte
	// At is where Block lies in the parameter list of a MODE SELECT.
	At int
}

// Version descriptors (SPC-6, table 153).
const (
	SAM5  uint16 = 0x00a0
	SPC4  uint16 = 0x0460
	SBC3  uint16 = 0x04c0
	SSC4  uint16 = 0x0520
	SMC3  uint16 = 0x0480
	MMC6  uint16 = 0x04e0
	ISCSI uint16 = 0x0960
)

// Device is the part of a handler that carries out the primary commands. A handler
// embeds one. All methods are safe for concurrent use.
type Device struct {
	cfg       Config
	imitation Imitation
	vpd       []VPDPage  // sorted by code
	logs      []LogPage  // sorted by code and subpage
	pages     []ModePage // in the order of MODE SENSE
	control   core.Control
	buffers   buffers

	host core.Host // set by Attach

	selecting sync.Mutex                // serializes MODE SELECT
	modes     atomic.Pointer[modeTable] // replaced whole by MODE SELECT
}

// NewDevice makes the primary commands of one device. An error is a mistake in cfg:
// a page that is declared twice, or whose length contradicts its header.
func NewDevice(cfg Config) (*Device, error) {
	d := &Device{cfg: cfg}
	if im := cfg.Imitation; im != nil {
		d.imitation = *im
	}
	if err := d.checkIdentity(); err != nil {
		return nil, fmt.Errorf("spc: %w", err)
	}
	if err := d.setVPD(cfg.VPD); err != nil {
		return nil, fmt.Errorf("spc: %w", err)
	}
	if err := d.setModes(cfg.Modes); err != nil {
		return nil, fmt.Errorf("spc: %w", err)
	}
	if err := d.setLogs(cfg.Logs); err != nil {
		return nil, fmt.Errorf("spc: %w", err)
	}
	return d, nil
}

// Primary is d itself: what Ops asks of a handler, and an embedded *Device answers.
func (d *Device) Primary() *Device { return d }

// Attach takes the core's side and restores saved mode pages. A handler that has
// its own Attach calls it first.
func (d *Device) Attach(h core.Host) error {
	d.host = h
	if u, ok := h.(core.Describer); ok {
		if err := d.addVPD(u.VPDPages()); err != nil {
			return fmt.Errorf("spc: %w", err)
		}
	}
	return d.restoreModes()
}

// Control is what core.Profile wants: the effects of the Control mode page.
func (d *Device) Control() *core.Control { return &d.control }

// WriteProtected says whether c's nexus may not write: the WP bit of a mode
// parameter header, as far as it is not the medium's own.
func (d *Device) WriteProtected(c *core.Command) bool {
	return c.Path.ReadOnly || d.control.SWP.Load()
}

// Ops are the rows of the primary commands that d supports. L is the handler's
// type, so that they join its own rows in one ops.Compile.
func Ops[L interface{ Primary() *Device }](d *Device) []ops.Op[L] {
	var list []ops.Op[L]
	for _, o := range table {
		if o.when != nil && !o.when(d) {
			continue
		}
		run := o.run
		list = append(list, ops.Op[L]{Row: o.Row, Run: func(l L, c *core.Command) error {
			return run(l.Primary(), c)
		}})
	}
	return slices.Clip(list)
}
