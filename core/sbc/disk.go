package sbc

import (
	"context"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// Config is what a disk is beyond its store.
type Config struct {
	Identity core.Identity
	// BlockSize is the logical block length in bytes: 512, 1024, 2048 or 4096; 0 is 512.
	BlockSize uint32
	// PhysicalExponent: a physical block has 2^n logical blocks.
	PhysicalExponent uint8
	// LowestAligned is the lowest LBA that begins a physical block.
	LowestAligned uint16
	// ReadOnly refuses every write, whatever the store can do.
	ReadOnly bool
	// RotationRate is the nominal medium rotation rate in rpm (VPD page B1h); 0 is a
	// medium that does not rotate.
	RotationRate uint16
	// MaxTransfer bounds one command in bytes; 0 is core.DefaultMaxTransfer. It must
	// hold a COMPARE AND WRITE of one block.
	MaxTransfer uint32
	Protection  *Protection  // nil: no protection information
	Log         *slog.Logger // nil: slog.Default
}

// Disk is a direct-access block device over a store. It is safe for concurrent use.
type Disk struct {
	*spc.Device

	store  block.Store
	lender block.Lender // nil: the store does not lend
	// accountant is nil when the store does not deallocate, or cannot count.
	accountant block.Accountant
	info       block.Info // as the store said in New
	cfg        Config
	log        *slog.Logger
	start      time.Time

	shift     uint // log2 of the block size
	blockMask int  // block size - 1
	ops       *ops.Set[*Disk]

	blocks       atomic.Uint64 // the capacity
	writeThrough atomic.Bool   // WCE is 0 although the store has a volatile cache
	state        atomic.Uint32 // stateXxx; zero when nothing is in the way of a command
	lock         rangeLock
	scratch      scratchPool

	host core.Host   // set by Attach
	pi   *protection // nil: the disk does not support protection information

	// Operations that outlive their command: FORMAT UNIT, SANITIZE, PRE-FETCH.
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	warmer chan struct{} // a token per PRE-FETCH that runs on

	journal chan struct{} // a token of the one WRITE ATOMIC that uses the journal
	opMu    sync.Mutex    // guards op, and transitions of state
	op      *operation    // nil: none under way
	resize  sync.Mutex    // serializes Resize
}

// What can be in the way of a command.
const (
	stateReadOnly       = 1 << iota // every write is refused
	stateStopped                    // START STOP UNIT with START 0
	stateBusy                       // FORMAT UNIT or SANITIZE is under way
	stateFormatFailed               // until a FORMAT UNIT succeeds
	stateSanitizeFailed             // until a SANITIZE succeeds or the failure is exited
	stateExitAllowed                // by EXIT FAILURE MODE: the SANITIZE had AUSE set
	stateJournal                    // emptyJournal failed
)

var (
	_ core.Handler    = (*Disk)(nil)
	_ core.PollSenser = (*Disk)(nil)
)

// New makes a disk of a store. The disk owns the store and closes it. An error says
// what in cfg does not fit.
func New(store block.Store, cfg Config) (*Disk, error) {
	if cfg.BlockSize == 0 {
		cfg.BlockSize = 512
	}
	if cfg.MaxTransfer == 0 {
		cfg.MaxTransfer = core.DefaultMaxTransfer
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	d := &Disk{store: store, cfg: cfg, info: store.Info(), log: cfg.Log, start: time.Now()}
	switch cfg.BlockSize {
	case 512, 1024, 2048, 4096:
	default:
		return nil, fmt.Errorf("a logical block has 512, 1024, 2048 or 4096 bytes, not %d", cfg.BlockSize)
	}
	if cfg.PhysicalExponent > 15 {
		return nil, fmt.Errorf("the physical block exponent is at most 15, not %d", cfg.PhysicalExponent)
	}
	if cfg.LowestAligned > 0x3fff {
		return nil, fmt.Errorf("the lowest aligned LBA is at most %d, not %d", 0x3fff, cfg.LowestAligned)
	}
	if least := 2 * (cfg.BlockSize + tupleLen); cfg.MaxTransfer < least {
		return nil, fmt.Errorf("a command moves at least %d bytes, not %d", least, cfg.MaxTransfer)
	}
	d.store = block.Checked(store, int64(cfg.BlockSize))
	store = d.store
	d.shift = uint(bits.TrailingZeros32(cfg.BlockSize))
	d.blockMask = int(cfg.BlockSize) - 1
	d.blocks.Store(uint64(d.info.Size) >> d.shift)
	if d.blocks.Load() == 0 {
		return nil, fmt.Errorf("the store has %d bytes: not one block of %d", d.info.Size, cfg.BlockSize)
	}
	d.lender, _ = store.(block.Lender)
	if d.canUnmap() {
		d.accountant, _ = store.(block.Accountant)
	}
	if cfg.ReadOnly || d.info.ReadOnly {
		d.state.Store(stateReadOnly)
	}
	var err error
	if cfg.Protection != nil {
		d.pi, err = newProtection(cfg.Protection, d.info, cfg.BlockSize, d.state.Load() != 0)
		if err != nil {
			return nil, err
		}
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.warmer = make(chan struct{}, maxWarm)
	d.journal = make(chan struct{}, 1)

	d.Device, err = spc.NewDevice(d.primary())
	if err != nil {
		return nil, err
	}
	d.ops = ops.Compile(spc.Ops[*Disk](d.Device), d.rows())
	return d, nil
}

// rows are the block commands that the store can do, in order of opcode.
func (d *Disk) rows() []ops.Op[*Disk] {
	var list []ops.Op[*Disk]
	rows := table
	if d.pi != nil {
		rows = append(slices.Clip(table), longRows...)
	}
	for _, r := range rows {
		if r.when == nil || r.when(d) {
			list = append(list, r.Op)
		}
	}
	if d.pi != nil {
		return protect(list)
	}
	return list
}

func (d *Disk) canUnmap() bool    { return d.info.Unmap != block.No }
func (d *Disk) cannotUnmap() bool { return d.info.Unmap == block.No }
func (d *Disk) hasExtents() bool  { return d.info.Extents != block.No }

// Profile describes the disk to the core (core.Handler).
func (d *Disk) Profile() core.Profile {
	return core.Profile{
		Type:        scsi.DirectAccess,
		Rows:        d.ops.Rows(),
		BlockSize:   func() uint32 { return d.cfg.BlockSize },
		Control:     d.Device.Control(),
		MaxTransfer: d.cfg.MaxTransfer,
		Blocking:    d.info.NoWait == block.No || d.pi != nil,
	}
}

// Attach takes the core's side (core.Handler).
func (d *Disk) Attach(h core.Host) error {
	d.host = h
	if err := d.Device.Attach(h); err != nil {
		return err
	}
	if err := d.replay(); err != nil {
		return err
	}
	if err := d.mend(); err != nil {
		return err
	}
	return d.takeUp()
}

// Execute carries out cmd (core.Handler).
func (d *Disk) Execute(cmd *core.Command) error {
	if s := d.state.Load(); s != 0 {
		if err := d.refuse(cmd, s); err != nil {
			return err
		}
	}
	return d.ops.Execute(d, cmd)
}

// refuse says what of state s is in the way of cmd.
func (d *Disk) refuse(cmd *core.Command, s uint32) error {
	row := cmd.Row
	medium := row.Gate&(core.ReadsMedium|core.WritesMedium) != 0
	switch {
	case s&stateBusy != 0 && !row.Is(core.WhileBusy):
		if e := d.PollSense(); e != nil {
			return e
		}
		return nil // it has just ended
	case s&stateReadOnly != 0 && row.Is(core.WritesMedium):
		return sense.ErrWriteProtected
	case s&stateJournal != 0 && row.Is(core.WritesMedium):
		return d.mendJournal()
	case s&stateSanitizeFailed != 0 && !row.Is(core.WhileBusy) && row.Code != opSanitize:
		return sense.New(sense.MediumError, sense.SanitizeCommandFailed)
	case s&stateFormatFailed != 0 && medium && row.Code != opFormat && row.Code != opSanitize:
		return sense.New(sense.MediumError, mediumFormatCorrupt)
	case s&stateStopped != 0 && (medium || row.Code == opTestUnitReady):
		return sense.New(sense.NotReady, sense.InitializingCommandRequired)
	}
	return nil
}

// PollSense is the progress of FORMAT UNIT or SANITIZE (core.PollSenser).
func (d *Disk) PollSense() *sense.Error {
	d.opMu.Lock()
	op := d.op
	d.opMu.Unlock()
	if op == nil {
		return nil
	}
	e := sense.New(sense.NotReady, op.code)
	e.Progress, e.HasProgress = op.progress(), true
	return e
}

// Blocks is the capacity in logical blocks.
func (d *Disk) Blocks() uint64 { return d.blocks.Load() }

// Resize gives the disk another size in bytes, of which whole blocks count, and
// tells every initiator. The error is the store's, or says that it has one size for
// life.
func (d *Disk) Resize(bytes int64) error {
	r, ok := d.store.(block.Resizer)
	if !ok {
		return fmt.Errorf("the store cannot be resized")
	}
	d.resize.Lock()
	defer d.resize.Unlock()
	size := bytes &^ int64(d.blockMask)
	if size <= 0 {
		return fmt.Errorf("a disk of %d bytes has not one block of %d", bytes, d.cfg.BlockSize)
	}
	old, blocks := d.blocks.Load(), uint64(size)>>d.shift
	if blocks < old {
		d.blocks.Store(blocks) // nobody may use what is about to go
	}
	err := d.resizeProtection(size)
	if err == nil {
		err = r.Resize(size)
	}
	if err != nil {
		d.blocks.Store(old)
		return err
	}
	d.blocks.Store(blocks)
	if blocks != old && d.host != nil {
		d.host.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged), nil)
	}
	return nil
}

// Close ends what runs in the background and closes the store (core.Handler).
func (d *Disk) Close() error {
	d.cancel()
	d.work.Wait()
	return d.closeStores()
}
