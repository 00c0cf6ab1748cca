package core_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// stub is a handler with a plain command, one with a service action, and sense data
// of its own for REQUEST SENSE.
type stub struct{ poll *sense.Error }

func (*stub) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, Rows: []*core.Row{
		{Code: 0x00, Action: core.NoAction, Name: "TEST UNIT READY", Usage: "\x00\x00\x00\x00\x00\x00", Timeout: 5},
		{Code: 0x9e, Action: 0x10, Name: "READ CAPACITY(16)", Dir: scsi.In, Len: core.Bytes(10, 4), Timeout: 7,
			Usage: "\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"},
	}}
}

func (*stub) Attach(core.Host) error      { return nil }
func (*stub) Execute(*core.Command) error { return nil }
func (*stub) Close() error                { return nil }
func (s *stub) PollSense() *sense.Error   { return s.poll }
func rsoc(opt, code byte, act uint16) []byte {
	return []byte{0xa3, 0x0c, opt, code, byte(act >> 8), byte(act), 0, 0, 16, 0, 0, 0}
}

func newStub(t *testing.T) (*stub, *core.Path) {
	s := &stub{}
	return s, coretest.NewPath(t, coretest.NewUnit(t, s, nil))
}

// TestReportOpcodesAll reads the list as libiscsi's tool does, and asks for each of
// its commands alone.
func TestReportOpcodesAll(t *testing.T) {
	_, p := newStub(t)
	for _, timeouts := range []bool{false, true} {
		opt, size := byte(0), 8
		if timeouts {
			opt, size = 0x80, 20
		}
		r := coretest.Do(p, rsoc(opt, 0, 0), nil, 4096)
		if !r.Good() {
			t.Fatal(r)
		}
		list := r.Data[4:]
		if n := int(binary.BigEndian.Uint32(r.Data)); n != len(list) || n != size*len(p.Unit().Rows()) {
			t.Fatalf("%d bytes of descriptors in %d, %d rows", n, len(list), len(p.Unit().Rows()))
		}
		for d := range slices.Chunk(list, size) {
			code, act, flags, cdbLen := d[0], binary.BigEndian.Uint16(d[2:]), d[5], int(binary.BigEndian.Uint16(d[6:]))
			if (flags&0x02 != 0) != timeouts || timeouts && (d[9] != 10 || binary.BigEndian.Uint32(d[16:]) == 0) {
				t.Errorf("%02Xh: timeouts % x", code, d)
			}
			if flags&1 == 0 && act != 0 {
				t.Errorf("%02Xh: a service action without SERVACTV", code)
			}
			right, wrong := byte(1), byte(2)
			if flags&1 != 0 {
				right, wrong = wrong, right
			}
			one := coretest.Do(p, rsoc(opt|right, code, act), nil, 4096)
			if !one.Good() || one.Data[1]&7 != 3 || one.Data[4] != code || int(binary.BigEndian.Uint16(one.Data[2:])) != cdbLen {
				t.Errorf("%02Xh alone: %v, % x", code, one, one.Data)
			}
			if want := 4 + cdbLen + size - 8; len(one.Data) != want {
				t.Errorf("%02Xh alone: %d bytes, want %d", code, len(one.Data), want)
			}
			if bad := coretest.Do(p, rsoc(opt|wrong, code, act), nil, 4096); !bad.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
				t.Errorf("%02Xh with the wrong reporting options: %v", code, bad)
			}
			if either := coretest.Do(p, rsoc(opt|3, code, act), nil, 4096); !either.Good() || either.Data[1]&7 != 3 {
				t.Errorf("%02Xh with reporting options 3: %v", code, either)
			}
		}
	}
}

func TestReportOpcodesOne(t *testing.T) {
	_, p := newStub(t)
	for _, c := range []struct {
		name      string
		opt, code byte
		act       uint16
		support   byte // 0: refused
	}{
		{"unknown opcode", 1, 0xff, 0, 1},
		{"unknown opcode with service action", 2, 0xff, 1, 1},
		{"unknown service action", 2, 0x9e, 0x11, 1},
		{"either, without service actions", 3, 0x00, 0, 3},
		{"either, a service action of none", 3, 0x00, 1, 1},
		{"either, unknown service action", 3, 0x9e, 0x11, 1},
		{"reserved reporting options", 4, 0x00, 0, 0},
	} {
		r := coretest.Do(p, rsoc(c.opt, c.code, c.act), nil, 4096)
		switch {
		case c.support == 0:
			if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
				t.Errorf("%s: %v", c.name, r)
			}
		case !r.Good() || r.Data[1]&7 != c.support:
			t.Errorf("%s: %v, % x", c.name, r, r.Data)
		}
	}
}

func TestReportTMF(t *testing.T) {
	_, p := newStub(t)
	for _, c := range []struct {
		repd byte
		len  int
	}{{0, 4}, {0x80, 16}} {
		r := coretest.Do(p, []byte{0xa3, 0x0d, c.repd, 0, 0, 0, 0, 0, 0, 32, 0, 0}, nil, 32)
		if !r.Good() || len(r.Data) != c.len || r.Data[0] != 0xfc || r.Data[1] != 7 || int(r.Data[3]) != c.len-4 {
			t.Errorf("REPD %#x: %v, % x", c.repd, r, r.Data)
		}
	}
}

// TestRequestSense: unit attentions first, then what the device says of itself.
func TestRequestSense(t *testing.T) {
	s, p := newStub(t)
	ask := func(desc byte) coretest.Result {
		return coretest.Do(p, []byte{0x03, desc, 0, 0, 252, 0}, nil, 252)
	}
	parsed := func(r coretest.Result) sense.Error {
		e, err := sense.Parse(r.Data)
		if err != nil {
			t.Fatal(r, err)
		}
		return *e
	}
	if e := parsed(ask(0)); e != (sense.Error{}) {
		t.Errorf("at rest: %v", &e)
	}
	s.poll = &sense.Error{Key: sense.NotReady, Code: sense.SanitizeInProgress, HasProgress: true, Progress: 0x4000}
	p.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged))
	for _, want := range []*sense.Error{sense.New(sense.UnitAttention, sense.CapacityChanged), s.poll, s.poll} {
		r := ask(1)
		if e := parsed(r); e != *want || r.Data[0] != 0x72 {
			t.Errorf("%v, want %v", &e, want)
		}
	}
	if r := ask(0); r.Data[0] != 0x70 || len(r.Data) != 18 {
		t.Errorf("fixed format: % x", r.Data)
	}
}

func TestReportLUNs(t *testing.T) {
	u := coretest.NewUnit(t, &stub{}, nil)
	n := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.org.targate:i"}, coretest.Target)
	t.Cleanup(n.Close)
	ask := func(lun scsi.LUN, sel byte, length uint32) coretest.Result {
		cdb := []byte{0xa0, 0, sel, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(cdb[6:], length)
		return coretest.Do(n.Path(lun), cdb, nil, coretest.AnyLength)
	}
	luns := func(r coretest.Result) (list []scsi.LUN) {
		if !r.Good() || int(binary.BigEndian.Uint32(r.Data)) != len(r.Data)-8 {
			t.Fatalf("%v, % x", r, r.Data)
		}
		for b := range slices.Chunk(r.Data[8:], 8) {
			list = append(list, scsi.ParseLUN(b))
		}
		return list
	}
	if got := luns(ask(0, 0, 1024)); !slices.Equal(got, []scsi.LUN{0}) {
		t.Errorf("nothing mapped: %v", got)
	}
	n.SetLUNs(map[scsi.LUN]core.Mapping{3: {Unit: u}, 300: {Unit: u}}, true)
	for _, sel := range []byte{0x00, 0x02, 0x11} {
		for _, lun := range []scsi.LUN{0, 3, 77} { // any LUN answers
			if got := luns(ask(lun, sel, 1024)); !slices.Equal(got, []scsi.LUN{0, 3, 300}) {
				t.Errorf("select report %#x at %v: %v", sel, lun, got)
			}
		}
	}
	if got := luns(ask(3, 0x01, 1024)); len(got) != 0 {
		t.Errorf("well known: %v", got)
	}
	if r := ask(3, 0, 16); len(r.Data) != 16 || r.InLen != 16 {
		t.Errorf("cut: % x", r.Data)
	}
	for _, bad := range []coretest.Result{ask(3, 0, 15), ask(3, 0x03, 1024)} {
		if !bad.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
			t.Error(bad)
		}
	}
}

// TestNoUnit: what a LUN answers where nothing is mapped.
func TestNoUnit(t *testing.T) {
	n := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.org.targate:i"}, coretest.Target)
	p := n.Path(5)
	if r := coretest.Do(p, []byte{0x12, 0, 0, 0, 255, 0}, nil, 255); !r.Good() || len(r.Data) != 36 || r.Data[0] != 0x7f {
		t.Errorf("INQUIRY: %v, % x", r, r.Data)
	}
	for _, cdb := range [][]byte{{0x12, 1, 0, 0, 255, 0}, {0x12, 0, 0x80, 0, 255, 0}} {
		if r := coretest.Do(p, cdb, nil, 255); !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
			t.Errorf("% x: %v", cdb, r)
		}
	}
	r := coretest.Do(p, []byte{0x03, 0, 0, 0, 18, 0}, nil, 18)
	if e, err := sense.Parse(r.Data); err != nil || *e != *sense.ErrNoUnit {
		t.Errorf("REQUEST SENSE: %v, %v, %v", r, e, err)
	}
	for _, cdb := range [][]byte{{0, 0, 0, 0, 0, 0}, rsoc(0, 0, 0), {0xff, 0, 0, 0, 0, 0}} {
		if r := coretest.Do(p, cdb, nil, 0); !r.Is(sense.IllegalRequest, sense.LogicalUnitNotSupported) {
			t.Errorf("% x: %v", cdb, r)
		}
	}
}
