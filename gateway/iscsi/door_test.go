package iscsi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/gateway/iscsi"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/target"
	"github.com/targate/targate/test/initiator"
)

const (
	iqn     = "iqn.2026-11.test:disk"
	testLBA = 4096 // blocks of the device
	block   = 512
)

// device is a disk whose WRITE(10) to LBA 8 is held until the test lets it go.
type device struct {
	mu    sync.Mutex
	data  [testLBA * block]byte
	begun chan struct{} // one entry for each held write
	hold  chan struct{}
}

func row(code byte, name string, dir scsi.Dir, gate core.Gate) *core.Row {
	usage := make([]byte, 10)
	usage[0] = code
	for i := 1; i < 9; i++ {
		usage[i] = 0xff
	}
	return &core.Row{Code: code, Action: core.NoAction, Name: name, Dir: dir, Gate: gate, Len: core.Blocks(7, 2), Usage: string(usage)}
}

func (d *device) Profile() core.Profile {
	ready := &core.Row{Code: 0, Action: core.NoAction, Name: "TEST UNIT READY", Dir: scsi.None, Gate: core.Inline, Usage: "\x00\x00\x00\x00\x00\x00"}
	return core.Profile{Type: scsi.DirectAccess, BlockSize: func() uint32 { return block }, Rows: []*core.Row{ready,
		row(0x28, "READ(10)", scsi.In, core.ReadsMedium|core.Inline),
		row(0x2a, "WRITE(10)", scsi.Out, core.WritesMedium)}}
}
func (d *device) Attach(core.Host) error { return nil }
func (d *device) Close() error           { return nil }

func (d *device) Execute(c *core.Command) error {
	if c.Row.Dir == scsi.None {
		return nil
	}
	lba := int(c.CDB[5])
	if c.Row.Dir == scsi.In {
		in, err := c.Room()
		d.mu.Lock()
		defer d.mu.Unlock()
		copy(in, d.data[lba*block:])
		return err
	}
	if lba == 8 {
		d.begun <- struct{}{}
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	copy(d.data[lba*block:], c.Out)
	return nil
}

// lab is a door with a device at LUN 0 of one target.
type lab struct {
	t     *testing.T
	gw    *target.Gateway
	door  *iscsi.Server
	dev   *device
	unit  *core.Unit
	spec  target.Spec
	keep  uint16          // Time2Retain
	away  target.Redirect // of the second portal
	addrs []string        // of the portals
}

func newLab(t *testing.T, o iscsi.Options) *lab {
	t.Helper()
	l := &lab{t: t, gw: target.New(), dev: &device{begun: make(chan struct{}, 256), hold: make(chan struct{}, 256)}}
	var err error
	if l.unit, err = core.NewUnit("disk", l.dev, core.UnitOptions{}); err != nil {
		t.Fatal(err)
	}
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	if o.NopInterval == 0 {
		o.NopInterval = 200 * time.Millisecond // the housekeeper ticks four times as fast
	}
	l.door = iscsi.New(l.gw, o)
	l.spec = target.Spec{Name: iqn, LUNs: target.LUNMap{0: {Unit: l.unit}}}
	for range 2 {
		// The port is free at this moment: a portal is known by its address.
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := free.Addr().String()
		if err := errors.Join(free.Close(), l.door.Listen(target.Portal{Listen: addr})); err != nil {
			t.Fatal(err)
		}
		l.addrs = append(l.addrs, addr)
	}
	l.apply()
	l.door.Start()
	t.Cleanup(func() {
		if err := l.door.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := l.unit.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) apply() {
	l.t.Helper()
	c := target.Config{Targets: []target.Spec{l.spec}, Time2Wait: 2, Time2Retain: l.keep}
	for _, a := range l.addrs {
		c.Portals = append(c.Portals, target.Portal{Listen: a})
	}
	c.Portals[len(c.Portals)-1].Redirect = l.away
	if _, err := l.gw.Apply(c); err != nil {
		l.t.Fatal(err)
	}
}

// peer is a session and the Asynchronous Messages that it got.
type peer struct {
	*initiator.Session
	async chan *initiator.PDU
}

// try logs in by portal n; isid tells initiator ports apart.
func (l *lab) try(n int, isid byte, with ...func(*initiator.Options)) (*peer, error) {
	p := &peer{async: make(chan *initiator.PDU, 64)}
	o := initiator.Options{Addr: l.addrs[n], TargetName: iqn, InitiatorName: "iqn.2026-11.test:i",
		ISID: [6]byte{0x80, 0, 0, 0, 0, isid}}
	for _, f := range with {
		f(&o)
	}
	c, err := initiator.Connect(l.t.Context(), o.Addr)
	if err != nil {
		return nil, err
	}
	params, err := initiator.Login(c, o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	p.Session = initiator.NewSession(c, params)
	p.OnAsync = func(m *initiator.PDU) { p.async <- m }
	l.t.Cleanup(func() { _ = p.Close() })
	return p, nil
}

// dial is try, which must do, and takes the unit attention of the new nexus.
func (l *lab) dial(n int, isid byte) *peer {
	l.t.Helper()
	p, err := l.try(n, isid)
	if err != nil {
		l.t.Fatal(err)
	}
	for range 2 {
		if _, err := p.Do(l.t.Context(), &initiator.Command{CDB: make([]byte, 6)}); err != nil {
			l.t.Fatal(err)
		}
	}
	return p
}

func write(lba byte, data []byte) *initiator.Command {
	return &initiator.Command{CDB: []byte{0x2a, 0, 0, 0, 0, lba, 0, byte(len(data) / block >> 8), byte(len(data) / block), 0}, Out: data}
}

// event waits for an Asynchronous Message and returns its code and parameters.
func (p *peer) event(t *testing.T) (code byte, params [3]uint16) {
	t.Helper()
	select {
	case m := <-p.async:
		return m.BHS[36], [3]uint16{m.U16(38), m.U16(40), m.U16(42)}
	case <-time.After(10 * time.Second):
		t.Fatal("no Asynchronous Message")
	}
	return 0, params
}

func (p *peer) ended(t *testing.T) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the connection does not end")
	}
}

// TestColdReset: the answer, then the end of every session of the target (RFC 7143,
// 11.5.1 and 11.6.1). They may come back, with the unit attention of a power on.
func TestColdReset(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	a, b := l.dial(0, 1), l.dial(1, 2)
	if r, err := a.TMF(t.Context(), initiator.TargetColdReset, 0, initiator.NoTag, 0); err != nil || r != initiator.FunctionComplete {
		t.Fatal(r, err)
	}
	if code, _ := b.event(t); code != 3 {
		t.Errorf("event %d, want 3: connections are dropped", code)
	}
	a.ended(t)
	b.ended(t)
	c, err := l.try(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Do(t.Context(), &initiator.Command{CDB: make([]byte, 6)})
	if err != nil || r.Key() != 6 || r.Code()>>8 != 0x29 {
		t.Errorf("%v, sense %x/%04x, want UNIT ATTENTION 29h", err, r.Key(), r.Code())
	}
}

// TestLogoutRequest: event 1 with the time; who does not follow is dropped, with event 3
// (RFC 7143, 11.9.1).
func TestLogoutRequest(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	a, b := l.dial(0, 1), l.dial(0, 2)
	for _, s := range l.gw.Sessions() {
		s.Logout(1)
	}
	for _, p := range []*peer{a, b} {
		if code, params := p.event(t); code != 1 || params[2] != 1 {
			t.Errorf("event %d %v, want 1 and one second", code, params)
		}
	}
	if err := a.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	if code, params := b.event(t); code != 3 || params[1] != 2 {
		t.Errorf("event %d %v, want 3 and Time2Wait 2", code, params)
	}
	b.ended(t)
}

// TestShutdown: initiators are told, and what is outstanding comes to its end.
func TestShutdown(t *testing.T) {
	l := newLab(t, iscsi.Options{Grace: 30 * time.Second})
	p := l.dial(0, 1)
	done := make(chan error, 1)
	go func() {
		r, err := p.Do(t.Context(), write(8, make([]byte, block)))
		if err == nil {
			err = r.Err()
		}
		done <- err
	}()
	<-l.dev.begun
	end := make(chan error, 1)
	go func() { end <- l.door.Shutdown(t.Context()) }()
	if code, _ := p.event(t); code != 3 {
		t.Errorf("event %d, want 3", code)
	}
	l.dev.hold <- struct{}{}
	if err := <-done; err != nil {
		t.Errorf("a write that was outstanding: %v", err)
	}
	if err := <-end; err != nil {
		t.Error(err)
	}
	p.ended(t)
}

// TestStart: an initiator that comes before the targets are there waits, and is not told
// that there are none.
func TestStart(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := errors.Join(free.Close(), l.door.Listen(target.Portal{Listen: addr})); err != nil {
		t.Fatal(err)
	}
	l.addrs = append(l.addrs, addr)
	l.spec.Portals = []string{addr}
	result := make(chan error, 1)
	go func() {
		_, err := l.try(2, 1)
		result <- err
	}()
	l.apply()
	l.door.Start()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestLoginIntruder: once a login has begun, another PDU is answered with 02/0B, and that
// is the end (RFC 7143, 4.2.4).
func TestLoginIntruder(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	c, err := initiator.Connect(t.Context(), l.addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // at the end of a test
	var hello, nop initiator.PDU
	hello.BHS[0] = initiator.OpLogin | initiator.Immediate
	hello.BHS[1] = initiator.OperationalStage << 2
	hello.BHS[8] = 0x80
	hello.Data = initiator.EncodeKeys([]initiator.Key{{Name: "InitiatorName", Value: "iqn.2026-11.test:i"}, {Name: "TargetName", Value: iqn}})
	nop.BHS[0], nop.BHS[1] = initiator.OpNOPOut|initiator.Immediate, initiator.Final
	for i, p := range []*initiator.PDU{&hello, &nop} {
		if err := c.Send(p); err != nil {
			t.Fatal(err)
		}
		r, err := c.RecvWithin(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		status, want := r.U16(36), []uint16{0, 0x020b}[i]
		if r.Opcode() != initiator.OpLoginResponse || status != want || r.StatSN() != uint32(i) {
			t.Errorf("PDU %d: %v with status %04x and StatSN %d, want %04x", i, r, status, r.StatSN(), want)
		}
	}
	if r, err := c.RecvWithin(10 * time.Second); err == nil {
		t.Errorf("%v after the end of the login", r)
	}
}

// TestRedirect: temporary and permanent (RFC 7143, 11.13.5); sessions that are there stay.
func TestRedirect(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	p := l.dial(0, 1)
	for _, permanent := range []bool{false, true} {
		l.spec.Redirect = &target.Redirect{Address: "192.0.2.1:3260", Permanent: permanent}
		l.apply()
		want := initiator.LoginError{Class: 1, Detail: 1}
		if permanent {
			want.Detail = 2
		}
		var le *initiator.LoginError
		if _, err := l.try(0, 2); !errors.As(err, &le) || *le != want {
			t.Errorf("permanent %v: %v, want %v", permanent, err, &want)
		}
	}
	if r, err := p.Do(t.Context(), &initiator.Command{CDB: make([]byte, 6)}); err != nil || r.Err() != nil {
		t.Error(r, err)
	}

	// A portal that sends on leaves the others alone.
	l.spec.Redirect, l.away = nil, target.Redirect{Address: "192.0.2.2:3260"}
	l.apply()
	var le *initiator.LoginError
	if _, err := l.try(1, 3); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 1, Detail: 1}) {
		t.Errorf("by the portal that sends on: %v", err)
	}
	l.dial(0, 3)
	l.away = target.Redirect{}
	l.apply()
	l.dial(1, 3)
}

// TestTargetPortals: a target that is there by one portal is found and logged in to by
// that one alone; sessions by others end when the configuration says so.
func TestTargetPortals(t *testing.T) {
	l := newLab(t, iscsi.Options{})
	a, b := l.dial(0, 1), l.dial(1, 2)
	l.spec.Portals = []string{l.addrs[0]}
	l.apply()
	b.ended(t)
	if r, err := a.Do(t.Context(), &initiator.Command{CDB: make([]byte, 6)}); err != nil || r.Err() != nil {
		t.Error(r, err)
	}
	var le *initiator.LoginError
	if _, err := l.try(1, 3); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 2, Detail: 3}) {
		t.Errorf("by the other portal: %v, want 02/03 not found", err)
	}
	for i, want := range []string{"TargetName=" + iqn + "\x00TargetAddress=" + l.addrs[0] + ",1\x00", ""} {
		s, err := initiator.Dial(t.Context(), initiator.Options{Addr: l.addrs[i], InitiatorName: "iqn.2026-11.test:i"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Text(t.Context(), []initiator.Key{{Name: "SendTargets", Value: "All"}})
		if err != nil {
			t.Fatal(err)
		}
		if found := string(r.Data); found != want {
			t.Errorf("discovery by portal %d: %q, want %q", i, found, want)
		}
		_ = s.Close()
	}
}

// TestReinstatement: a login of the same initiator port ends the old session, and is not
// complete while a command of the old one may still touch the medium. The wait is bounded
// (RFC 7143, 6.3.5).
func TestReinstatement(t *testing.T) {
	l := newLab(t, iscsi.Options{LoginTimeout: 300 * time.Millisecond})
	old := l.dial(0, 1)
	stuck := make(chan error, 1)
	go func() {
		_, err := old.Do(t.Context(), write(8, make([]byte, block)))
		stuck <- err
	}()
	<-l.dev.begun
	var le *initiator.LoginError
	if _, err := l.try(0, 1); !errors.As(err, &le) || *le != (initiator.LoginError{Class: 3, Detail: 1}) {
		t.Errorf("while a write is stuck: %v, want 03/01 service unavailable", err)
	}
	old.ended(t)
	if err := <-stuck; err == nil {
		t.Error("the stuck write was answered after its session had ended")
	}
	if n := l.unit.Tasks().Len(); n != 1 {
		t.Errorf("%d tasks, want the stuck one", n)
	}
	l.dev.hold <- struct{}{}
	var p *peer
	for p == nil { // the end of the old session has to get about
		var err error
		if p, err = l.try(0, 1); err != nil && !errors.As(err, &le) {
			t.Fatal(err)
		}
	}
	if n := l.unit.Tasks().Len(); n != 0 {
		t.Errorf("%d tasks of the old session are left with the new one", n)
	}
}

// TestPressure: 64 sessions with a full window of 1 MiB writes stay within the memory, and
// all writes come to their end: TASK SET FULL is for trying again.
func TestPressure(t *testing.T) {
	const sessions, depth, rounds, size = 64, 4, 2, 1 << 20
	pool := buf.NewPool(32 << 20)
	limits := login.DefaultLimits()
	l := newLab(t, iscsi.Options{Pool: pool, Limits: limits, Window: depth, SessionBudget: 1 << 20, NopInterval: time.Minute})
	data := make([]byte, size)
	var wg sync.WaitGroup
	for i := range sessions {
		p := l.dial(0, byte(i+1))
		for range depth {
			wg.Go(func() {
				for range rounds {
					for {
						r, err := p.Do(t.Context(), write(0, data))
						if err != nil {
							t.Error(err)
							return
						}
						if r.Err() == nil {
							break
						}
						if r.Status != 0x28 {
							t.Error(r.Err())
							return
						}
					}
				}
			})
		}
	}
	wg.Wait()
	if peak := pool.Peak(); peak > pool.Limit() {
		t.Errorf("%d bytes at the peak, the memory is %d", peak, pool.Limit())
	}
}
