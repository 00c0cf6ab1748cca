package ssc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

// Config is a drive.
type Config struct {
	Model    *personality.Drive
	Identity core.Identity
	Motion   Motion       // nil: motion takes no time and never fails
	Log      *slog.Logger // nil: slog.Default
}

// Drive is a tape drive. It is safe for concurrent use.
type Drive struct {
	*spc.Device

	model *personality.Drive
	cfg   Config
	log   *slog.Logger
	ops   *ops.Set[*Drive]
	host  core.Host // set by Attach

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // operations in the background

	// Stats are the counters that the log pages report.
	stats    Stats
	alerts   alerts
	protect  protection
	clock    timestamp
	doing    atomic.Uint32 // the activity of the command that is carried out
	keys     encryption
	life     lifetime
	cleaning atomic.Bool // the drive wants to be cleaned

	blockLen atomic.Uint32 // BLOCK LENGTH of the block descriptor; 0: variable
	settings settings      // what MODE SELECT sets

	tape  chan struct{} // holds the token of whoever may use the medium
	after *operation    // that the command which holds the tape leaves behind
	// scratch is memory for one block, for who holds the tape.
	scratch []byte

	mu       sync.Mutex // guards all below
	cart     Cartridge  // in the drive; nil: none
	mount    *mount     // its contents, when it is loaded
	load     loadState
	loadErr  *sense.Error // why it is loadFailed
	op       *operation   // that keeps the tape after its status; nil: none
	deferred *sense.Error // an error that the next command to the medium reports
	prevent  map[uint32]bool
	// partitioning is the Medium Partition page.
	partitioning partitioning
	display      string // by LOAD DISPLAY
}

// mount is a loaded cartridge.
type mount struct {
	medium  medium.Medium
	cart    Cartridge
	info    medium.Info
	support *personality.Support
	// readOnly: WP of the mode parameter header, by tab, medium or drive.
	readOnly bool

	partition int
	object    uint64 // the logical object behind the position

	dirty bool // something may be recorded that no Flush has made durable
	// warned and forewarned, of each partition: early warning, and programmable early warning,
	// were passed since the end of data was before.
	warned, forewarned [medium.MaxPartitions]bool
	usage              usage
	order              *order // the recommended access order; nil: none was generated
	// overwrite is what ALLOW OVERWRITE permits.
	overwrite overwrite
}

var (
	_ core.Handler    = (*Drive)(nil)
	_ core.PollSenser = (*Drive)(nil)
	_ core.Resetter   = (*Drive)(nil)
)

// New makes an empty drive. An error says what in cfg does not fit.
func New(cfg Config) (*Drive, error) {
	if cfg.Model == nil {
		return nil, fmt.Errorf("ssc: a drive without a model")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Motion == nil {
		cfg.Motion = Still{}
	}
	d := &Drive{model: cfg.Model, cfg: cfg, log: cfg.Log, tape: make(chan struct{}, 1), prevent: map[uint32]bool{}}
	d.settings.bufferedMode.Store(defaultBufferedMode)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	var err error
	if d.Device, err = spc.NewDevice(d.primary()); err != nil {
		return nil, err
	}
	d.ops = ops.Compile(d.rows())
	return d, nil
}

// Model is what the drive was made of.
func (d *Drive) Model() *personality.Drive { return d.model }

// Profile describes the drive to the core (core.Handler).
func (d *Drive) Profile() core.Profile {
	return core.Profile{
		Type: scsi.Sequential,
		Rows: d.ops.Rows(),
		BlockSize: func() uint32 { // FIXED is refused when blocks have no length
			return max(1, d.blockLen.Load())
		},
		Control: d.Device.Control(),
	}
}

// Attach takes the core's side (core.Handler).
func (d *Drive) Attach(h core.Host) error {
	d.host = h
	if err := d.life.begin(h.State()); err != nil {
		d.log.Warn("the counters of a drive begin anew", "err", err)
	}
	return d.Device.Attach(h)
}

// Execute carries out c (core.Handler).
func (d *Drive) Execute(c *core.Command) error {
	if a := activities[c.Row.Code]; a != actNone {
		d.doing.Store(a)
		defer d.doing.CompareAndSwap(a, actNone)
	}
	err := d.ops.Execute(d, c)
	d.noteOutcome(err)
	return err
}

// Reset is what a LOGICAL UNIT RESET resets (core.Resetter): mode pages, the block length, and
// who prevents the removal of the medium. The tape stays where it is.
func (d *Drive) Reset() {
	d.Device.Reset()
	d.keys.reset()
	d.blockLen.Store(0)
	d.settings.bufferedMode.Store(defaultBufferedMode)
	d.mu.Lock()
	clear(d.prevent)
	d.mu.Unlock()
}

// Close makes what was recorded durable and ends the drive (core.Handler).
func (d *Drive) Close() error {
	d.cancel()
	d.work.Wait()
	d.tape <- struct{}{}
	defer d.release()
	if d.host != nil {
		d.outlive(func(*lifeCounts) {})
	}
	return d.unmount()
}

// PollSense is the progress of an operation, or that the drive wants to be cleaned
// (core.PollSenser).
func (d *Drive) PollSense() *sense.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.op != nil:
		return d.op.polled()
	case d.cleaning.Load():
		return sense.New(sense.NoSense, cleaningRequested)
	}
	return nil
}

// acquire takes the token of the tape for c. The error is to be returned as it is.
func (d *Drive) acquire(c *core.Command) error {
	select {
	case d.tape <- struct{}{}:
		return nil
	default:
	}
	if c.NoWait {
		return core.ErrWouldBlock
	}
	select {
	case d.tape <- struct{}{}:
		return nil
	case <-c.Done():
		return aborted
	}
}

// release gives the token back.
func (d *Drive) release() { <-d.tape }

// ready says what keeps commands from the medium: nil when one is loaded.
func (d *Drive) ready() *sense.Error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mount != nil {
		return nil
	}
	return d.absent()
}

// onMedium is run with the tape, for a command that needs a loaded medium.
func onMedium(run func(*Drive, *core.Command) error) func(*Drive, *core.Command) error {
	return func(d *Drive, c *core.Command) error {
		if err := d.busy(); err != nil {
			return err
		}
		if err := d.acquire(c); err != nil {
			return err
		}
		defer d.leave()
		if err := c.Attention(); err != nil { // of a cartridge that came while c waited
			return err
		}
		if err := d.takeDeferred(); err != nil {
			return err
		}
		if e := d.ready(); e != nil {
			return e
		}
		return run(d, c)
	}
}

// onTape is run with the tape, whether a medium is loaded or not.
func onTape(run func(*Drive, *core.Command) error) func(*Drive, *core.Command) error {
	return func(d *Drive, c *core.Command) error {
		if err := d.busy(); err != nil {
			return err
		}
		if err := d.acquire(c); err != nil {
			return err
		}
		defer d.leave()
		return run(d, c)
	}
}

// busy refuses a command while an operation is under way that others do not wait for.
func (d *Drive) busy() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.op != nil && d.op.exclusive {
		return d.op.notReady()
	}
	return nil
}

// takeDeferred is the error of an operation that had ended with GOOD before, to be reported once.
func (d *Drive) takeDeferred() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.deferred; e != nil {
		d.deferred = nil
		return e
	}
	return nil
}

// look calls f with the loaded cartridge, nil when there is none, which does not change and is not
// unloaded meanwhile. f does no I/O.
func (d *Drive) look(f func(m *mount)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.mount)
}
