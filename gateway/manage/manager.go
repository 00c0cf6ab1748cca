package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/copy"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/manage/statedir"
	"github.com/targate/targate/gateway/target"
)

// Door is a front end that listens at portals.
type Door interface {
	// Listen opens a portal. Initiators that come wait for Start.
	Listen(p target.Portal) error
	// Start lets initiators in by every open portal.
	Start()
	// Close closes the portal whose Listen is addr. Its sessions go on.
	Close(addr string) error
	// Shutdown closes every portal, ends every session, and returns when no command
	// runs any more, or when ctx ends.
	Shutdown(ctx context.Context) error
}

// DeviceConfig is what a handler is made of.
type DeviceConfig struct {
	Name     string
	Kind     string
	Values   map[string]any // as config.Device
	Identity core.Identity
	// Dir is a directory of the device's own for what its handler must remember.
	Dir string
	Log *slog.Logger
}

// Resizer is an optional interface of a core.Handler: the device can grow while it is
// used. A size that it has already is no error, a smaller one is.
type Resizer interface{ Resize(bytes int64) error }

// Options are what a Manager works with.
type Options struct {
	Gateway *target.Gateway
	Door    Door
	State   *statedir.Dir
	// OpenDevice makes the handler of a device.
	OpenDevice func(DeviceConfig) (core.Handler, error)
	// OpenCollection makes a collection; nil: there are none.
	OpenCollection func(CollectionConfig) (Collection, error)
	// Pool, if not nil, is shown in status.
	Pool *buf.Pool
	Log  *slog.Logger // nil: slog.Default
	// Quiet bounds how long removed devices are waited for within Apply; then they
	// close in the background. 0: 10 s.
	Quiet time.Duration
}

// Manager owns all that is configured. It is safe for concurrent use.
type Manager struct {
	o       Options
	log     *slog.Logger
	started time.Time

	mu          sync.Mutex // serializes Apply and Close; guards the rest
	counting    time.Time  // latencies, since then
	running     *config.Model
	applied     time.Time
	devices     map[string]*device
	closing     map[string]chan struct{} // removed devices and collections that are not closed yet
	collections map[entryKey]*collection
	copies      *copy.Manager // third-party copy between any two units
	alua        *alua.Groups  // nil: not configured
	ports       *ports
	closed      bool
}

// device is one that runs.
type device struct {
	cfg  config.Device
	id   core.Identity
	unit *core.Unit
	of   *collection // that the device is a member of; nil: it stands in devices
}

// Conflict means that a model cannot be applied to what runs: it asks for a change
// that needs a restart, or a device under another shape.
type Conflict struct{ Faults config.Faults }

func (e *Conflict) Error() string { return e.Faults.Error() }

// New makes a manager that runs nothing yet.
func New(o Options) (*Manager, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Quiet == 0 {
		o.Quiet = 10 * time.Second
	}
	p, err := loadPorts(o.State)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &Manager{o: o, log: o.Log, started: now, counting: now, devices: map[string]*device{}, collections: map[entryKey]*collection{},
		closing: map[string]chan struct{}{}, ports: p, copies: copy.NewManager()}, nil
}

// Apply makes what runs match m and says what changed. The error is config.Faults
// when something of m cannot be had, a *Conflict when it cannot follow from what runs;
// then nothing has changed, except that a disk may have grown and a target port group have
// changed its state already.
func (mg *Manager) Apply(ctx context.Context, m *config.Model) (Diff, error) {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	if mg.closed {
		return Diff{}, errors.New("the server is stopping")
	}
	p, err := mg.plan(m)
	if err != nil {
		return Diff{}, err
	}
	if err := p.prepare(ctx); err != nil {
		p.undo()
		return Diff{}, err
	}
	p.commit()
	mg.running, mg.applied = m, time.Now()
	for _, c := range p.diff.Changes {
		mg.log.Info("applied", "change", c.String())
	}
	return p.diff, nil
}

// Close ends every session, then closes every device, which makes their data durable.
// It returns when that is done or ctx ends.
func (mg *Manager) Close(ctx context.Context) error {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	mg.closed = true
	if err := mg.o.Door.Shutdown(ctx); err != nil {
		return fmt.Errorf("sessions did not end: %w", err)
	}
	var errs []error
	var wait []chan struct{}
	var errMu sync.Mutex
	for _, d := range mg.devices {
		done := make(chan struct{})
		wait = append(wait, done)
		go func() {
			defer close(done)
			if err := d.unit.Close(); err != nil {
				errMu.Lock()
				defer errMu.Unlock()
				errs = append(errs, fmt.Errorf("device %s: %w", d.cfg.Name, err))
			}
		}()
	}
	for _, done := range mg.closing {
		wait = append(wait, done)
	}
	for _, done := range wait {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("devices did not close: %w", ctx.Err())
		}
	}
	for key, c := range mg.collections {
		if err := c.Close(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// openDevice makes the unit of c.
func (mg *Manager) openDevice(c config.Device) (*device, error) {
	id, err := identity(mg.o.State, c.Name)
	if err != nil {
		return nil, err
	}
	dir, err := mg.o.State.Sub(deviceDir(c.Name) + "/data")
	if err != nil {
		return nil, err
	}
	log := mg.log.With("device", c.Name)
	h, err := mg.o.OpenDevice(DeviceConfig{Name: c.Name, Kind: c.Kind, Values: c.Values,
		Identity: id, Dir: dir, Log: log})
	if err != nil {
		return nil, err
	}
	u, err := mg.newUnit(c.Name, h)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &device{cfg: c, id: id, unit: u}, nil
}

// newUnit makes a unit of h, which stays the caller's when that fails.
func (mg *Manager) newUnit(name string, h core.Handler) (*core.Unit, error) {
	return core.NewUnit(name, h, core.UnitOptions{Log: mg.log,
		State:    savedValues{mg.o.State, deviceDir(name) + "/saved/"},
		Services: mg.services(name, h)})
}

// retire closes devices that nothing maps any more, each when its commands have ended
// or were aborted, and collections after their members. It waits for that for a while.
func (mg *Manager) retire(devices []*device, collections []*collection) {
	members := map[*collection][]<-chan struct{}{}
	var names []string
	for _, d := range devices {
		done := make(chan struct{})
		mg.closing[d.cfg.Name] = done
		names = append(names, d.cfg.Name)
		if d.of != nil {
			members[d.of] = append(members[d.of], done)
		}
		go func() {
			waitQuiet(d.unit)
			if err := d.unit.Close(); err != nil {
				mg.log.Error("a removed device did not close well", "device", d.cfg.Name, "error", err)
			}
			close(done)
		}()
	}
	for _, c := range collections {
		mg.closeCollection(c, members[c])
		names = append(names, keyOf(&c.entry).String())
	}
	limit := time.After(mg.o.Quiet)
	for _, name := range names {
		select {
		case <-mg.closing[name]:
			delete(mg.closing, name)
		case <-limit:
			mg.log.Warn("removed devices still have commands; they close when these end")
			return
		}
	}
}

// patience is how long the commands of a removed device may go on before they are
// aborted: those that end by then have their status.
const patience = 5 * time.Second

// waitQuiet returns when u has no command left, or patience ends.
func waitQuiet(u *core.Unit) {
	for end := time.Now().Add(patience); u.Tasks().Len() > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
}

// describe is where a fault of the device's opening is shown.
func describe(m *config.Model, at config.Pos, name string, err error) config.Fault {
	text := err.Error()
	if prefix := "device " + name; !strings.Contains(text, prefix) {
		text = prefix + ": " + text
	}
	return m.Fault(at, "%s", text)
}

func deviceDir(name string) string { return "devices/" + name }

// fixed names what of m cannot follow from old without a restart.
func fixed(old, m *config.Model) config.Faults {
	var f config.Faults
	if filepath.Clean(old.StateDir) != filepath.Clean(m.StateDir) {
		f = append(f, m.Fault(m.StateDirAt, "state_dir cannot change from %s while the server runs; restart it", old.StateDir))
	}
	if old.Memory != m.Memory {
		f = append(f, m.Fault(m.MemoryAt, "memory cannot change from %s while the server runs; restart it", config.FormatSize(old.Memory)))
	}
	if !slices.EqualFunc(old.API.Listen, m.API.Listen, func(a, b config.Listen) bool { return a.String() == b.String() }) {
		f = append(f, m.Fault(m.API.At, "api.listen cannot change while the server runs; restart it"))
	}
	return f
}
