package pr

import (
	"encoding/binary"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// stub is a handler with one command of each kind that the tables of reservations tell
// apart. A WRITE that finds hold set is sent there and waits.
type stub struct {
	control core.Control
	hold    chan *held // nil: nothing is held
}

// held is a WRITE that does not end before release is closed.
type held struct {
	*core.Command
	release chan struct{}
	ended   atomic.Bool
}

func (h *stub) Profile() core.Profile {
	row := func(name string, dir scsi.Dir, gate core.Gate, usage string) *core.Row {
		r := &core.Row{Code: usage[0], Action: core.NoAction, Name: name, Dir: dir, Gate: gate, Usage: usage, Timeout: 1}
		if dir != scsi.None {
			r.Len = core.Bytes(8, 1)
		}
		return r
	}
	start := row("START STOP UNIT", scsi.None, 0, "\x1b\x01\x00\x0f\xf7\x00")
	start.PastReserveIf = func(cdb []byte) bool { return cdb[4]&0xf1 == 1 }
	return core.Profile{Type: scsi.DirectAccess, Control: &h.control, Rows: []*core.Row{
		row("TEST UNIT READY", scsi.None, core.PastReserve|core.Inline, "\x00\x00\x00\x00\x00\x00"),
		start,
		row("READ(10)", scsi.In, core.ReadsMedium|core.Inline, "\x28\x00\xff\xff\xff\xff\x00\xff\xff\x00"),
		row("WRITE(10)", scsi.Out, core.WritesMedium, "\x2a\x00\xff\xff\xff\xff\x00\xff\xff\x00"),
		row("XDWRITEREAD(10)", scsi.None, core.ReadsMedium|core.WritesMedium, "\x53\x00\xff\xff\xff\xff\x00\xff\xff\x00"),
		row("LOG SENSE", scsi.None, core.PastReserve, "\x4d\x00\xff\xff\x00\xff\xff\xff\xff\x00"),
		row("MODE SENSE(10)", scsi.None, core.Inline, "\x5a\x18\xff\xff\x00\x00\x00\xff\xff\x00"),
	}}
}

func (*stub) Attach(core.Host) error { return nil }
func (*stub) Close() error           { return nil }

func (h *stub) Execute(c *core.Command) error {
	if c.Row.Code == 0x2a && h.hold != nil {
		w := &held{Command: c, release: make(chan struct{})}
		h.hold <- w
		<-w.release
		w.ended.Store(true)
	}
	return nil
}

// Commands of the stub.
var (
	testUnitReady = []byte{0x00, 0, 0, 0, 0, 0}
	startUnit     = []byte{0x1b, 0, 0, 0, 1, 0}
	stopUnit      = []byte{0x1b, 0, 0, 0, 0, 0}
	readMedium    = []byte{0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	writeMedium   = []byte{0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	readWrite     = []byte{0x53, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	logSense      = []byte{0x4d, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	modeSense     = []byte{0x5a, 0, 0, 0, 0, 0, 0, 0, 0, 0}

	reserve6  = []byte{0x16, 0, 0, 0, 0, 0}
	release6  = []byte{0x17, 0, 0, 0, 0, 0}
	reserve10 = []byte{0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	release10 = []byte{0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0}
)

// lab is a unit with reservations and three initiators a, b and c.
type lab struct {
	tb      testing.TB
	stub    *stub
	service *Service
	unit    *core.Unit
	a, b, c *host
}

// host is an initiator port at a target port.
type host struct {
	*core.Path
	tb testing.TB
}

// The ports of the target, and one of another target.
var (
	port1 = coretest.Target
	port2 = &core.TargetPort{Target: port1.Target, Name: port1.Target + ",t,0x0002", Relative: 2, Group: 2, Protocol: 5}
	port9 = &core.TargetPort{Target: "iqn.2026-11.org.targate:other", Name: "iqn.2026-11.org.targate:other,t,0x0001", Relative: 9, Group: 1, Protocol: 5}
)

func allPorts() []*core.TargetPort { return []*core.TargetPort{port1, port2, port9} }

func newLab(tb testing.TB, state core.State) *lab {
	tb.Helper()
	return newLabWith(tb, state, Options{Ports: allPorts})
}

func newLabWith(tb testing.TB, state core.State, o Options) *lab {
	tb.Helper()
	l := &lab{tb: tb, stub: &stub{}, service: New(o)}
	var err error
	l.unit, err = core.NewUnit("test", l.stub, core.UnitOptions{State: state,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Services: []core.Service{l.service}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.unit.Close(); err != nil {
			tb.Error(err)
		}
	})
	l.a, l.b, l.c = l.host("a", port1), l.host("b", port1), l.host("c", port1)
	return l
}

func initiator(name string) core.InitiatorPort {
	return core.InitiatorPort{Name: "iqn.2026-11.org.targate:" + name, Session: "00023d000001"}
}

func (l *lab) host(name string, port *core.TargetPort) *host {
	l.tb.Helper()
	n := core.NewNexus(initiator(name), port)
	n.SetLUNs(map[scsi.LUN]core.Mapping{0: {Unit: l.unit}}, true)
	l.tb.Cleanup(n.Close)
	h := &host{n.Path(0), l.tb}
	coretest.TakeUA(h.Path)
	return h
}

func (h *host) do(cdb, data []byte) coretest.Result {
	return coretest.Do(h.Path, cdb, data, coretest.AnyLength)
}

// good is do, which must succeed.
func (h *host) good(cdb, data []byte) coretest.Result {
	h.tb.Helper()
	r := h.do(cdb, data)
	if !r.Good() {
		h.tb.Fatalf("%v: % x % x: %v", h.Nexus().Initiator, cdb, data, r)
	}
	return r
}

// conflict is do, which must end with RESERVATION CONFLICT.
func (h *host) conflict(cdb, data []byte) {
	h.tb.Helper()
	if r := h.do(cdb, data); r.Status != scsi.ReservationConflict {
		h.tb.Fatalf("%v: % x % x: %v, want RESERVATION CONFLICT", h.Nexus().Initiator, cdb, data, r)
	}
}

// out is a PERSISTENT RESERVE OUT with a parameter list of 24 bytes.
func out24(action byte, typ Type, key, serviceKey uint64, flags byte) (cdb, list []byte) {
	list = binary.BigEndian.AppendUint64(nil, key)
	list = binary.BigEndian.AppendUint64(list, serviceKey)
	list = append(list, 0, 0, 0, 0, flags, 0, 0, 0)
	return outCDB(action, byte(typ), len(list)), list
}

func outCDB(action, scopeType byte, n int) []byte {
	return []byte{0x5f, action, scopeType, 0, 0, 0, 0, byte(n >> 8), byte(n), 0}
}

func inCDB(action byte, n int) []byte {
	return []byte{0x5e, action, 0, 0, 0, 0, 0, byte(n >> 8), byte(n), 0}
}

const (
	flagAPTPL   = 1 << bitAPTPL
	flagAllTGPT = 1 << bitAllTGPT
	flagSpecIPT = 1 << bitSpecIPT
)

func (h *host) register(key, serviceKey uint64, flags byte) coretest.Result {
	cdb, list := out24(actRegister, 0, key, serviceKey, flags)
	return h.do(cdb, list)
}

// join registers with key whatever was before.
func (h *host) join(key uint64) *host {
	h.tb.Helper()
	h.good(out24(actRegisterIgnore, 0, 0, key, 0))
	return h
}

func (h *host) reserve(typ Type, key uint64) {
	h.tb.Helper()
	h.good(out24(actReserve, typ, key, 0, 0))
}

// ua are the codes of the unit attentions that wait.
func (h *host) ua() []sense.Code { return coretest.TakeUA(h.Path) }

func (h *host) wantUA(want ...sense.Code) {
	h.tb.Helper()
	if got := h.ua(); !slices.Equal(got, want) {
		h.tb.Errorf("%v: unit attentions %v, want %v", h.Nexus().Initiator, got, want)
	}
}

// keys are those of READ KEYS, with PRGENERATION.
func (h *host) keys() (gen uint32, keys []uint64) {
	h.tb.Helper()
	d := h.good(inCDB(0, 4096), nil).Data
	if n := int(binary.BigEndian.Uint32(d[4:])); n != len(d)-8 {
		h.tb.Fatalf("ADDITIONAL LENGTH %d in % x", n, d)
	}
	for k := range slices.Chunk(d[8:], 8) {
		keys = append(keys, binary.BigEndian.Uint64(k))
	}
	return binary.BigEndian.Uint32(d), keys
}

// reservation is that of READ RESERVATION; typ 0 is none.
func (h *host) reservation() (typ Type, key uint64) {
	h.tb.Helper()
	d := h.good(inCDB(1, 4096), nil).Data
	switch n := binary.BigEndian.Uint32(d[4:]); {
	case n == 0 && len(d) == 8:
		return 0, 0
	case n != 16 || len(d) != 24 || d[21]>>4 != 0:
		h.tb.Fatalf("% x", d)
	}
	return Type(d[21] & 0xf), binary.BigEndian.Uint64(d[8:])
}

func (h *host) wantReservation(typ Type, key uint64) {
	h.tb.Helper()
	if gotType, gotKey := h.reservation(); gotType != typ || gotKey != key {
		h.tb.Errorf("reservation of type %d by %#x, want type %d by %#x", gotType, gotKey, typ, key)
	}
}

func (h *host) wantKeys(want ...uint64) {
	h.tb.Helper()
	if _, got := h.keys(); !slices.Equal(got, want) {
		h.tb.Errorf("keys %#x, want %#x", got, want)
	}
}

// allTypes in the order of their codes.
var allTypes = []Type{WriteExclusive, ExclusiveAccess, WriteExclusiveRegistrants,
	ExclusiveAccessRegistrants, WriteExclusiveAll, ExclusiveAccessAll}
