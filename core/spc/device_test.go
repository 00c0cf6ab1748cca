package spc_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

func TestNewDeviceRefuses(t *testing.T) {
	mode := func(p spc.ModePage) func(*toy, *spc.Config) {
		return func(_ *toy, cfg *spc.Config) { cfg.Modes = append(cfg.Modes, p) }
	}
	log := func(p spc.LogPage) func(*toy, *spc.Config) {
		return func(_ *toy, cfg *spc.Config) { cfg.Logs = append(cfg.Logs, p) }
	}
	none := func(*core.Command) []spc.LogParam { return nil }
	for name, change := range map[string]func(*toy, *spc.Config){
		"INQUIRY too long":         func(_ *toy, cfg *spc.Config) { cfg.Imitation = &spc.Imitation{Tail: make([]byte, 225)} },
		"VPD page twice":           func(_ *toy, cfg *spc.Config) { cfg.VPD = append(cfg.VPD, spc.VPDPage{Code: 0x83}) },
		"mode page twice":          mode(spc.ModePage{Default: []byte{0x0a, 0}}),
		"mode page without length": mode(spc.ModePage{Default: []byte{0x07}}),
		"subpage without length":   mode(spc.ModePage{Default: []byte{0x47, 1, 0}}),
		"mode page too long":       mode(spc.ModePage{Default: []byte{0x07, 1, 0, 0}}),
		"mode page too short":      mode(spc.ModePage{Default: []byte{0x07, 1}}),
		"mode page with PS":        mode(spc.ModePage{Default: []byte{0x87, 1, 0}}),
		"mode page 3Fh":            mode(spc.ModePage{Default: []byte{0x3f, 1, 0}}),
		"mode subpage FFh":         mode(spc.ModePage{Default: []byte{0x47, 0xff, 0, 0}}),
		"mask too short":           mode(spc.ModePage{Default: []byte{0x07, 1, 0}, Changeable: []byte{0, 0}}),
		"log page twice":           log(spc.LogPage{Code: 0x0c, Params: none}),
		"log page 00h":             log(spc.LogPage{Code: 0x00, Params: none}),
		"log page 3Fh":             log(spc.LogPage{Code: 0x3f, Params: none}),
		"log subpage FFh":          log(spc.LogPage{Code: 0x19, Sub: 0xff, Params: none}),
		"log page without content": log(spc.LogPage{Code: 0x19}),
		"vendor":                   func(_ *toy, cfg *spc.Config) { cfg.Identity.Vendor = "TARGATE!!" },
		"product":                  func(_ *toy, cfg *spc.Config) { cfg.Identity.Product = strings.Repeat("p", 17) },
		"revision":                 func(_ *toy, cfg *spc.Config) { cfg.Identity.Revision = "00001" },
		"serial":                   func(_ *toy, cfg *spc.Config) { cfg.Identity.Serial = strings.Repeat("1", 245) },
		"not ASCII":                func(_ *toy, cfg *spc.Config) { cfg.Identity.Product = "Töy" },
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			d := &toy{}
			cfg := d.config()
			change(d, &cfg)
			if _, err := spc.NewDevice(cfg); err == nil {
				t.Error("taken")
			}
		})
	}
}

// TestInquiryLength: any allocation length gives the same bytes, cut.
func TestInquiryLength(t *testing.T) {
	_, p := attach(t, nil)
	full := coretest.Do(p, []byte{0x12, 0, 0, 0x02, 0, 0}, nil, 512).Data
	if len(full) != 5+int(full[4]) {
		t.Fatalf("%d bytes, ADDITIONAL LENGTH %d", len(full), full[4])
	}
	for n := range 512 {
		cdb := []byte{0x12, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(cdb[3:], uint16(n))
		r := coretest.Do(p, cdb, nil, coretest.AnyLength)
		if !r.Good() || !bytes.Equal(r.Data, full[:min(n, len(full))]) {
			t.Fatalf("allocation length %d: %v, %d bytes", n, r, len(r.Data))
		}
	}
}

// TestInquiryHooks: the fields that other parts of the target decide.
func TestInquiryHooks(t *testing.T) {
	d := newToy(t, func(_ *toy, cfg *spc.Config) {
		cfg.Type = scsi.CDDVD
		cfg.Removable = true
		cfg.TPGS = func() uint8 { return 3 }
		cfg.ThirdPartyCopy = func() bool { return true }
		cfg.Versions = slices.Repeat([]uint16{spc.MMC6}, 9)
	})
	u := coretest.NewUnit(t, d, nil)
	other := *coretest.Target
	other.Protocol, other.Relative = 0, 9
	p := coretest.NewPathAt(t, &other, core.Mapping{Unit: u})
	b := coretest.Do(p, []byte{0x12, 0, 0, 0, 96, 0}, nil, 96).Data
	if b[0] != 0x05 || b[1] != 0x80 || b[5] != 0x38 {
		t.Errorf("bytes 0, 1, 5: %#x %#x %#x", b[0], b[1], b[5])
	}
	for i, want := range []uint16{spc.SAM5, spc.SPC4, spc.MMC6, spc.MMC6, spc.MMC6, spc.MMC6, spc.MMC6, spc.MMC6, 0} {
		if got := binary.BigEndian.Uint16(b[58+2*i:]); got != want {
			t.Errorf("version descriptor %d is %04x, want %04x", i, got, want)
		}
	}
}

// TestPorts: pages 83h and 88h name the port that the command came by, and all.
func TestPorts(t *testing.T) {
	_, p := attach(t, nil)
	second := *coretest.Target
	second.Name, second.Relative, second.Group = "iqn.2026-11.org.targate:test,t,0x0002", 2, 7
	q := coretest.NewPathAt(t, &second, core.Mapping{Unit: p.Unit()})
	page := func(p *core.Path, code byte) []byte {
		r := coretest.Do(p, []byte{0x12, 1, code, 2, 0, 0}, nil, 512)
		if !r.Good() || int(binary.BigEndian.Uint16(r.Data[2:])) != len(r.Data)-4 {
			t.Fatalf("page %02x: %v, % x", code, r, r.Data)
		}
		return r.Data
	}
	for _, c := range []struct {
		p         *core.Path
		want, not string
		relative  byte
		group     byte
	}{{p, coretest.Target.Name, second.Name, 1, 1}, {q, second.Name, coretest.Target.Name, 2, 7}} {
		b := page(c.p, 0x83)
		if !bytes.Contains(b, []byte(c.want)) || bytes.Contains(b, []byte(c.not)) {
			t.Errorf("page 83h: % x", b)
		}
		if !bytes.Contains(b, []byte{0x51, 0x94, 0, 4, 0, 0, 0, c.relative}) || !bytes.Contains(b, []byte{0x51, 0x95, 0, 4, 0, 0, 0, c.group}) {
			t.Errorf("page 83h: % x", b)
		}
	}
	for i := range 6 {
		more := second
		more.Relative = uint16(9 - i)
		coretest.NewPathAt(t, &more, core.Mapping{Unit: p.Unit()})
	}
	var got []uint16
	for b := page(p, 0x88)[4:]; len(b) > 0; b = b[12+binary.BigEndian.Uint16(b[10:]):] {
		got = append(got, binary.BigEndian.Uint16(b[2:]))
	}
	if !slices.Equal(got, []uint16{1, 2, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("page 88h lists ports %v", got)
	}
}

// TestSCSIName: names of every length are ended by a zero and padded to four.
func TestSCSIName(t *testing.T) {
	_, first := attach(t, nil)
	for n := 216; n < 224; n++ {
		tp := *coretest.Target
		tp.Target = strings.Repeat("x", n)
		p := coretest.NewPathAt(t, &tp, core.Mapping{Unit: first.Unit()})
		b := coretest.Do(p, []byte{0x12, 1, 0x83, 4, 0, 0}, nil, 1024).Data
		i := bytes.Index(b, []byte{0x53, 0xa8, 0})
		value := b[i+4:]
		if len(value) != int(b[i+3]) || len(value)%4 != 0 || value[n] != 0 || len(value) > n+4 {
			t.Errorf("%d characters: % x", n, b[i:])
		}
	}
}

func names(u *core.Unit) string {
	var b strings.Builder
	for _, r := range u.Rows() {
		fmt.Fprintf(&b, "%s;", r.Name)
	}
	return b.String()
}

// TestRowsFollowConfig: what a device cannot do has no row.
func TestRowsFollowConfig(t *testing.T) {
	plain := newToy(t, func(_ *toy, cfg *spc.Config) {
		cfg.SelfTest, cfg.Logs, cfg.CanProtect = nil, cfg.Logs[:1], false
	})
	u := coretest.NewUnit(t, plain, nil)
	for _, name := range []string{"SEND DIAGNOSTIC", "LOG SELECT"} {
		if strings.Contains(names(u), name+";") {
			t.Errorf("%s has a row", name)
		}
	}
	p := coretest.NewPath(t, u)
	if r := coretest.Do(p, []byte{0x1d, 4, 0, 0, 0, 0}, nil, 0); !r.Is(sense.IllegalRequest, sense.InvalidOpcode) {
		t.Error(r)
	}
	list := list6(page0a(0, 0x08))
	if r := coretest.Do(p, select6(0x10, list), list, 0); !r.Is(sense.IllegalRequest, sense.InvalidFieldInParameterList) {
		t.Errorf("SWP: %v", r)
	}
	_, q := attach(t, nil)
	for _, name := range []string{"SEND DIAGNOSTIC", "LOG SELECT", "INQUIRY", "MODE SELECT(10)"} {
		if !strings.Contains(names(q.Unit()), name+";") {
			t.Errorf("%s has no row", name)
		}
	}
}

// TestReservedBits sets each bit that no row evaluates.
func TestReservedBits(t *testing.T) {
	_, p := attach(t, nil)
	for _, row := range p.Unit().Rows() {
		for i := 1; i < len(row.Usage); i++ {
			for bit := range 8 {
				if row.Usage[i]&(1<<bit) != 0 || row.Action != core.NoAction && i == 1 && bit < 5 {
					continue
				}
				cdb := make([]byte, len(row.Usage))
				cdb[0] = row.Code
				if row.Action != core.NoAction {
					cdb[1] = byte(row.Action)
				}
				cdb[i] |= 1 << bit
				r := coretest.Do(p, cdb, nil, 0)
				if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || int(r.Sense.Field) != i || int(r.Sense.Bit) != bit {
					t.Errorf("%s byte %d bit %d: %v", row.Name, i, bit, r)
				}
			}
		}
	}
}

func TestSelfTest(t *testing.T) {
	d, p := attach(t, nil)
	for _, c := range []struct {
		flags byte
		ill   bool
		good  bool
	}{{0x04, false, true}, {0x07, false, true}, {0x04, true, false}, {0x00, true, true}} {
		d.ill.Store(c.ill)
		r := coretest.Do(p, []byte{0x1d, c.flags, 0, 0, 0, 0}, nil, 0)
		if r.Good() != c.good || !c.good && !r.Is(sense.HardwareError, sense.FailedSelfTest) {
			t.Errorf("%+v: %v", c, r)
		}
	}
}

func TestLogSelect(t *testing.T) {
	d, p := attach(t, nil)
	q := coretest.NewPath(t, p.Unit())
	for _, c := range []struct {
		name  string
		cdb   []byte
		field int // -1: GOOD
	}{
		{"clear a page", []byte{0x4c, 2, 0x4c, 0, 0, 0, 0, 0, 0, 0}, -1},
		{"clear all", []byte{0x4c, 2, 0xc0, 0, 0, 0, 0, 0, 0, 0}, -1},
		{"no PCR", []byte{0x4c, 0, 0x4c, 0, 0, 0, 0, 0, 0, 0}, 1},
		{"page of lists", []byte{0x4c, 2, 0x6f, 0, 0, 0, 0, 0, 0, 0}, 2},
		{"no such page", []byte{0x4c, 2, 0x42, 0, 0, 0, 0, 0, 0, 0}, 2},
		{"no such subpage", []byte{0x4c, 2, 0x4c, 1, 0, 0, 0, 0, 0, 0}, 3},
		{"list of pages", []byte{0x4c, 2, 0x40, 0xff, 0, 0, 0, 0, 0, 0}, 2},
		{"parameter list", []byte{0x4c, 2, 0x4c, 0, 0, 0, 0, 0, 4, 0}, 8},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			d.count.Store(42)
			r := coretest.Do(p, c.cdb, nil, 0)
			if c.field < 0 {
				if !r.Good() || d.count.Load() != 0 {
					t.Errorf("%v, count %d", r, d.count.Load())
				}
				if ua := coretest.TakeUA(q); !slices.Equal(ua, []sense.Code{sense.LogParametersChanged}) {
					t.Errorf("unit attentions %v", ua)
				}
				return
			}
			if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || int(r.Sense.Field) != c.field || d.count.Load() != 42 {
				t.Errorf("%v, count %d", r, d.count.Load())
			}
			if ua := coretest.TakeUA(q); len(ua) > 0 {
				t.Errorf("unit attentions %v", ua)
			}
		})
	}
}

// TestLogCounters: PC chooses among the values of a counter; it has no thresholds.
func TestLogCounters(t *testing.T) {
	d, p := attach(t, nil)
	d.count.Store(42)
	for pc, want := range []int{-1, 42, -1, 0} {
		r := coretest.Do(p, []byte{0x4d, 0, byte(pc)<<6 | 0x0c, 0, 0, 0, 0, 1, 0, 0}, nil, 256)
		if want < 0 {
			if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || r.Sense.Field != 2 {
				t.Errorf("PC %d: %v", pc, r)
			}
			continue
		}
		if got := binary.BigEndian.Uint64(r.Data[8:]); int(got) != want {
			t.Errorf("PC %d: %d, want %d", pc, got, want)
		}
	}
}

func TestBufferRefuses(t *testing.T) {
	_, p := attach(t, nil)
	for _, c := range []struct {
		name  string
		cdb   []byte
		field int
	}{
		{"write microcode", []byte{0x3b, 0x05, 0, 0, 0, 0, 0, 0, 4, 0}, 1},
		{"write combined header", []byte{0x3b, 0x00, 0, 0, 0, 0, 0, 0, 4, 0}, 1},
		{"write another buffer", []byte{0x3b, 0x02, 1, 0, 0, 0, 0, 0, 4, 0}, 2},
		{"write beyond the end", []byte{0x3b, 0x02, 0, 0, 0xff, 0xfd, 0, 0, 4, 0}, 6},
		{"write from beyond the end", []byte{0x3b, 0x02, 0, 1, 0, 1, 0, 0, 0, 0}, 3},
		{"write too long an echo", []byte{0x3b, 0x0a, 0, 0, 0, 0, 0, 0x10, 1, 0}, 6},
		{"read combined header", []byte{0x3c, 0x00, 0, 0, 0, 0, 0, 0, 4, 0}, 1},
		{"read error history", []byte{0x3c, 0x1c, 0, 0, 0, 0, 0, 0, 4, 0}, 1},
		{"read another buffer", []byte{0x3c, 0x02, 1, 0, 0, 0, 0, 0, 4, 0}, 2},
		{"read from beyond the end", []byte{0x3c, 0x02, 0, 1, 0, 1, 0, 0, 4, 0}, 3},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			var out []byte
			if c.cdb[0] == 0x3b {
				out = make([]byte, 0x1001)
			}
			r := coretest.Do(p, c.cdb, out, 4)
			if !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || int(r.Sense.Field) != c.field {
				t.Error(r)
			}
		})
	}
}

// TestBufferEdges: the last bytes of the data buffer, and reads that run over its end.
func TestBufferEdges(t *testing.T) {
	_, p := attach(t, nil)
	read := func(off int) []byte {
		cdb := []byte{0x3c, 0x02, 0, byte(off >> 16), byte(off >> 8), byte(off), 0, 0, 8, 0}
		r := coretest.Do(p, cdb, nil, 8)
		if !r.Good() {
			t.Fatal(r)
		}
		return r.Data
	}
	if b := read(0xfffc); !bytes.Equal(b, make([]byte, 4)) {
		t.Errorf("before any write % x", b)
	}
	if r := coretest.Do(p, []byte{0x3b, 0x02, 0, 0, 0xff, 0xfc, 0, 0, 4, 0}, []byte("last"), 0); !r.Good() {
		t.Fatal(r)
	}
	if b := read(0xfffc); string(b) != "last" {
		t.Errorf("%q", b)
	}
	if r := coretest.Do(p, []byte{0x3b, 0x02, 0, 1, 0, 0, 0, 0, 0, 0}, nil, 0); !r.Good() {
		t.Errorf("no bytes at the end: %v", r)
	}
	if b := read(0x10000); len(b) != 0 {
		t.Errorf("at the end % x", b)
	}
}

// TestEchoBuffers: each nexus has its own, the longest unused goes first, and an
// allocation length of 16 MiB takes no more than what was written.
func TestEchoBuffers(t *testing.T) {
	_, first := attach(t, nil)
	echo := func(p *core.Path, data byte) {
		if r := coretest.Do(p, []byte{0x3b, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0}, []byte{data}, 0); !r.Good() {
			t.Fatal(r)
		}
	}
	paths := []*core.Path{first}
	for len(paths) < 33 {
		paths = append(paths, coretest.NewPath(t, first.Unit()))
	}
	for i, p := range paths[:32] {
		echo(p, byte(i))
	}
	echo(paths[0], 100) // again: now the latest
	echo(paths[32], 32) // one too many
	for i, p := range paths {
		c := coretest.NewCommand(p, []byte{0x3c, 0x0a, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0}, nil, 0xffffff)
		r := c.Run()
		want := byte(i)
		switch i {
		case 0:
			want = 100
		case 1:
			if !r.Is(sense.IllegalRequest, sense.CommandSequenceError) {
				t.Errorf("nexus 1 still has its buffer: %v", r)
			}
			continue
		}
		if !r.Good() || !bytes.Equal(r.Data, []byte{want}) {
			t.Errorf("nexus %d: %v, % x", i, r, r.Data)
		}
		if len(c.In) != 1 {
			t.Errorf("nexus %d: room for %d bytes", i, len(c.In))
		}
	}
}

// What a product of some maker says stands where the standard data would.
func TestImitation(t *testing.T) {
	tail := append([]byte("tail"), make([]byte, 100)...)
	d := newToy(t, func(_ *toy, cfg *spc.Config) {
		cfg.Imitation = &spc.Imitation{Version: 3, Tail: tail, ProductInT10: true, NoVPD: []uint8{0x80, 0x87}}
		cfg.VPD = append(cfg.VPD, spc.VPDPage{Code: 0x80, Append: func(b []byte, _ *core.Command) []byte { return append(b, "other"...) }})
	})
	p := coretest.NewPath(t, coretest.NewUnit(t, d, nil))
	inquiry := func(evpd, page byte) []byte {
		return coretest.Do(p, []byte{0x12, evpd, page, 0, 0xff, 0}, nil, 255).Data
	}
	if b := inquiry(0, 0); len(b) != 140 || b[4] != 135 || b[2] != 3 || string(b[36:40]) != "tail" {
		t.Errorf("standard INQUIRY data % x", b)
	}
	if b := inquiry(1, 0); !bytes.Equal(b[4:], []byte{0x00, 0x80, 0x83, 0x86, 0x88, 0xb1}) {
		t.Errorf("VPD pages % x", b[4:])
	}
	if b := inquiry(1, 0x80); string(b[4:]) != "other" {
		t.Errorf("VPD page 80h: %q", b[4:])
	}
	if b := inquiry(1, 0x83); string(b[8:40]) != "TARGATE Toy             TOY00001" {
		t.Errorf("VPD page 83h: %q", b[8:40])
	}
}
