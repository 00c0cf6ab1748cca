package alua_test

import (
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// disk has the primary commands, TEST UNIT READY, a WRITE(10) that waits for the test
// and a READ(10) that is done at once.
type disk struct {
	*spc.Device
	set     *ops.Set[*disk]
	begun   chan struct{}
	release chan struct{}
	running func(*core.Command) // called by WRITE(10) before it waits
}

func newDisk(tb testing.TB) *disk {
	tb.Helper()
	dev, err := spc.NewDevice(spc.Config{Type: scsi.DirectAccess,
		Identity: core.Identity{Vendor: "TARGATE", Product: "Disk", Revision: "0001", Serial: "D1"}})
	if err != nil {
		tb.Fatal(err)
	}
	d := &disk{Device: dev, begun: make(chan struct{}, 64), release: make(chan struct{}, 64)}
	good := func(*disk, *core.Command) error { return nil }
	d.set = ops.Compile(spc.Ops[*disk](dev), []ops.Op[*disk]{
		{Row: core.Row{Code: 0x00, Action: core.NoAction, Name: "TEST UNIT READY",
			Gate: core.PastReserve | core.Inline, Usage: "\x00\x00\x00\x00\x00\x00"}, Run: good},
		{Row: core.Row{Code: 0x28, Action: core.NoAction, Name: "READ(10)",
			Gate: core.ReadsMedium | core.Inline, Usage: "\x28\x00\xff\xff\xff\xff\x00\xff\xff\x00"}, Run: good},
		{Row: core.Row{Code: 0x2a, Action: core.NoAction, Name: "WRITE(10)",
			Gate: core.WritesMedium, Usage: "\x2a\x00\xff\xff\xff\xff\x00\xff\xff\x00"},
			Run: func(d *disk, c *core.Command) error {
				if d.running != nil {
					d.running(c)
				}
				d.begun <- struct{}{}
				<-d.release
				return nil
			}},
	})
	return d
}

func (d *disk) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, Rows: d.set.Rows(), Control: d.Control()}
}

func (d *disk) Execute(c *core.Command) error { return d.set.Execute(d, c) }
func (d *disk) Close() error                  { return nil }

// lab is a unit with one path through group 1 and one through group 2, and a second
// unit of the same groups.
type lab struct {
	*disk
	groups *alua.Groups
	one    *core.Path
	two    *core.Path
	other  *core.Path // of the second unit, through group 1
}

// port is that of a group, with the relative identifier 10 times the group.
func port(group uint16) *core.TargetPort {
	p := *coretest.Target
	p.Group, p.Relative = group, 10*group
	return &p
}

func newLab(tb testing.TB, cfg alua.Config) *lab {
	tb.Helper()
	if cfg.Groups == nil {
		cfg.Groups = []alua.Group{{ID: 2, Ports: []uint16{21, 20}}, {ID: 1, Preferred: true}}
	}
	if !cfg.Explicit && !cfg.Implicit {
		cfg.Explicit, cfg.Implicit = true, true
	}
	groups, err := alua.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	l := &lab{disk: newDisk(tb), groups: groups}
	u := newUnit(tb, l.disk, groups)
	l.one = coretest.NewPathAt(tb, port(1), core.Mapping{Unit: u})
	l.two = coretest.NewPathAt(tb, port(2), core.Mapping{Unit: u})
	l.other = coretest.NewPathAt(tb, port(1), core.Mapping{Unit: newUnit(tb, newDisk(tb), groups)})
	return l
}

func newUnit(tb testing.TB, h core.Handler, g *alua.Groups) *core.Unit {
	tb.Helper()
	u, err := core.NewUnit("disk", h, core.UnitOptions{Services: []core.Service{g.Service()}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := u.Close(); err != nil {
			tb.Error(err)
		}
	})
	return u
}

func (l *lab) states() (one, two alua.State) {
	list := l.groups.List()
	return list[0].State, list[1].State
}

// CDBs.
var (
	ready   = []byte{0x00, 0, 0, 0, 0, 0}
	inquiry = []byte{0x12, 0, 0, 0, 255, 0}
	read    = []byte{0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0}
	write   = []byte{0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0}
)

func rtpg(format byte, alloc uint32) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xa3, format<<5 | 0x0a, 0, 0, 0, 0}, alloc), 0, 0)
}

func stpg(n int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xa4, 0x0a, 0, 0, 0, 0}, uint32(n)), 0, 0)
}

// item is a descriptor of SET TARGET PORT GROUPS.
type item struct {
	state alua.State
	group uint16
}

func list(items ...item) []byte {
	b := make([]byte, 4)
	for _, i := range items {
		b = binary.BigEndian.AppendUint16(append(b, byte(i.state), 0), i.group)
	}
	return b
}

func set(p *core.Path, items ...item) coretest.Result {
	b := list(items...)
	return coretest.Do(p, stpg(len(b)), b, 0)
}

func do(p *core.Path, cdb []byte) coretest.Result { return coretest.Do(p, cdb, nil, 4096) }

// hold starts a WRITE(10) at p that runs until l.release.
func (l *lab) hold(p *core.Path) *coretest.Command {
	c := coretest.NewCommand(p, write, nil, coretest.AnyLength)
	c.Start()
	<-l.begun
	return c
}

func notReady(r coretest.Result, c sense.Code) bool { return r.Is(sense.NotReady, c) }
