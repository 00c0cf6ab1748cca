package spc_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// page08 is the toy's Caching page with WCE as wce says and a pre-fetch limit.
func page08(wce bool, prefetch uint16) []byte {
	b := make([]byte, 20)
	b[0], b[1] = 0x08, 18
	if wce {
		b[2] = 0x04
	}
	b[8], b[9] = byte(prefetch>>8), byte(prefetch)
	return b
}

// page0a is Control with bits of bytes 2 and 4 added to the default.
func page0a(b2, b4 byte) []byte {
	return []byte{0x0a, 10, 0x02 | b2, 0x10, b4, 0, 0, 0, 0xff, 0xff, 0, 0}
}

func select6(flags byte, list []byte) []byte { return []byte{0x15, flags, 0, 0, byte(len(list)), 0} }

func list6(parts ...[]byte) []byte {
	return append([]byte{0, 0, 0, 0}, slices.Concat(parts...)...)
}

func TestModeSelectRefuses(t *testing.T) {
	set := func(b []byte, i int, v byte) []byte { b[i] = v; return b }
	invalidParam := sense.InvalidFieldInParameterList
	for _, c := range []struct {
		name  string
		flags byte // 0: PF
		list  []byte
		code  sense.Code
		field int // -1: none
		cdb   bool
		bit   int // -1: none
	}{
		{"header cut", 0x10, []byte{0, 0, 0}, sense.ParameterListLengthError, -1, false, -1},
		{"block descriptor cut", 0x10, []byte{0, 0, 0, 8, 0, 0}, sense.ParameterListLengthError, -1, false, -1},
		{"page header cut", 0x10, list6([]byte{0x08}), sense.ParameterListLengthError, -1, false, -1},
		{"subpage header cut", 0x10, list6([]byte{0x4a, 1, 0}), sense.ParameterListLengthError, -1, false, -1},
		{"page cut", 0x10, list6(page08(true, 0)[:19]), sense.ParameterListLengthError, -1, false, -1},
		{"block descriptor of 7 bytes", 0x10, []byte{0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, invalidParam, 3, false, -1},
		{"medium type", 0x10, []byte{0, 1, 0, 0}, invalidParam, 1, false, -1},
		{"other capacity", 0x10, []byte{0, 0, 0, 8, 0, 0, 0x0f, 0, 0, 0, 2, 0}, invalidParam, 4, false, 7},
		{"other block length", 0x10, []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0}, invalidParam, 10, false, 2},
		{"page that is none", 0x10, list6([]byte{0x02, 0}), invalidParam, 4, false, 5},
		{"subpage that is none", 0x10, list6([]byte{0x4a, 2, 0, 0}), invalidParam, 5, false, -1},
		{"page in subpage format", 0x10, list6(set(append([]byte{0x48, 0, 0, 16}, make([]byte, 16)...), 0, 0x48)), invalidParam, 4, false, 6},
		{"page length", 0x10, list6(set(page08(true, 0), 1, 17)), invalidParam, 5, false, -1},
		{"subpage length", 0x10, list6([]byte{0x4a, 1, 0, 27}, make([]byte, 27)), invalidParam, 6, false, -1},
		{"unchangeable bit", 0x10, list6(set(page08(true, 0), 2, 0x05)), invalidParam, 6, false, 0},
		{"unchangeable bit of a later page", 0x10, list6(page08(true, 0), page0a(0x10, 0)), invalidParam, 26, false, 4},
		{"reserved TST", 0x10, list6(page0a(0x40, 0)), invalidParam, 6, false, 7},
		{"reserved queue algorithm modifier", 0x10, list6(set(page0a(0, 0), 3, 0x20)), invalidParam, 7, false, 7},
		{"reserved QERR", 0x10, list6(set(page0a(0, 0), 3, 0x14)), invalidParam, 7, false, 2},
		{"reserved UA_INTLCK_CTRL", 0x10, list6(page0a(0, 0x10)), invalidParam, 8, false, 5},
		{"page without any changeable bit", 0x10, list6([]byte{0x1c, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), invalidParam, 6, false, 3},
		{"value that the device refuses", 0x10, list6(page0a(0, 0), page08(true, 101)), invalidParam, 24, false, -1},
		{"pages without PF", 0x00, list6(page08(true, 0)), sense.InvalidFieldInCDB, 1, true, 4},
		{"RTD with a list", 0x12, list6(page08(true, 0)), sense.InvalidFieldInCDB, 4, true, 7},
		{"SP where nothing is saved", 0x11, list6(page08(true, 0)), sense.InvalidFieldInCDB, 1, true, 0},
		{"reserved bit", 0x14, list6(), sense.InvalidFieldInCDB, 1, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, p := attach(t, nil)
			applied := d.applied.Load()
			r := coretest.Do(p, select6(c.flags, c.list), c.list, 0)
			if !r.Is(sense.IllegalRequest, c.code) {
				t.Fatal(r)
			}
			e := r.Sense
			if e.HasField != (c.field >= 0) || e.HasField && (int(e.Field) != c.field || e.InData == c.cdb) {
				t.Errorf("field pointer: %v", e)
			}
			if e.HasBit != (c.bit >= 0) || e.HasBit && int(e.Bit) != c.bit {
				t.Errorf("bit pointer: %v", e)
			}
			if d.applied.Load() != applied {
				t.Error("something was applied")
			}
		})
	}
}

// TestModeSelectShort: the initiator sends less than PARAMETER LIST LENGTH says.
func TestModeSelectShort(t *testing.T) {
	_, p := attach(t, nil)
	list := list6(page08(false, 0))
	for n := range len(list) { // after the header, no page is cut either
		r := coretest.Do(p, select6(0x10, list), list[:n], 0)
		if !r.Is(sense.IllegalRequest, sense.ParameterListLengthError) {
			t.Errorf("%d bytes: %v", n, r)
		}
	}
}

// TestModeSelectWhole: a fault in the last page leaves the first as it was.
func TestModeSelectWhole(t *testing.T) {
	d, p := attach(t, &coretest.State{})
	q := coretest.NewPath(t, p.Unit())
	list := list6(page08(false, 5), page0a(0, 0xff))
	if r := coretest.Do(p, select6(0x11, list), list, 0); r.Good() {
		t.Fatal(r)
	}
	if got := d.Mode(0x08, 0); !bytes.Equal(got, page08(true, 0)) {
		t.Errorf("page 08h became % x", got)
	}
	if ua := coretest.TakeUA(q); len(ua) > 0 {
		t.Errorf("unit attention %v", ua)
	}
}

// TestModeSelectAccepts: what initiators send back although it changes nothing.
func TestModeSelectAccepts(t *testing.T) {
	for _, c := range []struct {
		name string
		cdb  []byte
		list []byte
	}{
		{"empty list", []byte{0x15, 0x10, 0, 0, 0, 0}, nil},
		{"header only", []byte{0x15, 0x10, 0, 0, 4, 0}, []byte{0, 0, 0, 0}},
		{"header without PF", []byte{0x15, 0, 0, 0, 4, 0}, []byte{0, 0, 0, 0}},
		{"lengths and WP as sensed", []byte{0x15, 0x10, 0, 0, 4, 0}, []byte{0x37, 0, 0x90, 0}},
		{"the block descriptor as sensed", []byte{0x15, 0x10, 0, 0, 12, 0}, []byte{0, 0, 0, 8, 0, 0, 0x10, 0, 0, 0, 2, 0}},
		{"no number of blocks", []byte{0x15, 0x10, 0, 0, 12, 0}, []byte{0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0}},
		{"all blocks", []byte{0x15, 0x10, 0, 0, 12, 0}, []byte{0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0}},
		{"long descriptor", []byte{0x55, 0x10, 0, 0, 0, 0, 0, 0, 24, 0},
			[]byte{0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0}},
		{"PS set", []byte{0x15, 0x10, 0, 0, 24, 0}, list6(append([]byte{0x88}, page08(true, 0)[1:]...))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, p := attach(t, nil)
			q := coretest.NewPath(t, p.Unit())
			if r := coretest.Do(p, c.cdb, c.list, 0); !r.Good() {
				t.Error(r)
			}
			if ua := coretest.TakeUA(q); len(ua) > 0 {
				t.Errorf("unit attention %v", ua)
			}
		})
	}
}

// sense08 does MODE SENSE(6) of page 08h with a page control.
func sense08(p *core.Path, pc byte) coretest.Result {
	return coretest.Do(p, []byte{0x1a, 0x08, pc<<6 | 0x08, 0, 255, 0}, nil, 255)
}

func TestSave(t *testing.T) {
	state := &coretest.State{}
	_, p := attach(t, state)
	list := list6(page08(false, 7), page0a(0x04, 0x08))
	if r := coretest.Do(p, select6(0x11, list), list, 0); !r.Good() {
		t.Fatal(r)
	}
	// changed again, but not saved
	list = list6(page08(true, 9))
	if r := coretest.Do(p, select6(0x10, list), list, 0); !r.Good() {
		t.Fatal(r)
	}
	saved := append([]byte{0x88}, page08(false, 7)[1:]...)
	if r := sense08(p, 3); !bytes.Equal(r.Data[4:], saved) {
		t.Errorf("saved values % x", r.Data)
	}

	d, p := attach(t, state) // the program has started again
	if got := d.Mode(0x08, 0); !bytes.Equal(got, page08(false, 7)) {
		t.Errorf("restored % x", got)
	}
	if r := coretest.Do(p, []byte{0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nil, 0); !r.Is(sense.DataProtect, sense.SoftwareWriteProtected) {
		t.Errorf("SWP was not restored: %v", r)
	} else if r.Raw[0] != 0x72 {
		t.Error("D_SENSE was not restored")
	}
	if r := sense08(p, 3); !bytes.Equal(r.Data[4:], saved) {
		t.Errorf("saved values after restore % x", r.Data)
	}
	if r := coretest.Do(p, []byte{0x15, 0x13, 0, 0, 0, 0}, nil, 0); !r.Good() { // RTD, SP
		t.Error(r)
	}
	d, _ = attach(t, state)
	if got := d.Mode(0x08, 0); !bytes.Equal(got, page08(true, 0)) {
		t.Errorf("after revert to defaults % x", got)
	}
}

// TestSaveCurrent: SP without a list saves what is current (SPC-6, 6.12).
func TestSaveCurrent(t *testing.T) {
	state := &coretest.State{}
	_, p := attach(t, state)
	list := list6(page08(true, 9))
	for _, c := range []struct{ cdb, out []byte }{{select6(0x10, list), list}, {select6(0x11, nil), nil}} {
		if r := coretest.Do(p, c.cdb, c.out, 0); !r.Good() {
			t.Fatal(r)
		}
	}
	d, _ := attach(t, state)
	if got := d.Mode(0x08, 0); !bytes.Equal(got, page08(true, 9)) {
		t.Errorf("restored % x", got)
	}
}

// TestSaveFails: what could not be made durable is not GOOD, and changes nothing.
func TestSaveFails(t *testing.T) {
	state := &coretest.State{}
	d, p := attach(t, state)
	state.FailSave(errors.New("disk full"))
	list := list6(page08(false, 7))
	if r := coretest.Do(p, select6(0x11, list), list, 0); !r.Is(sense.HardwareError, sense.InternalTargetFailure) {
		t.Error(r)
	}
	if got := d.Mode(0x08, 0); !bytes.Equal(got, page08(true, 0)) {
		t.Errorf("current values are % x", got)
	}
	if r := sense08(p, 3); !bytes.Equal(r.Data[5:], page08(true, 0)[1:]) {
		t.Errorf("saved values are % x", r.Data)
	}
}

func TestNoState(t *testing.T) {
	_, p := attach(t, nil)
	if r := sense08(p, 3); !r.Is(sense.IllegalRequest, sense.SavingNotSupported) {
		t.Error(r)
	}
	if r := sense08(p, 0); r.Data[4]&0x80 != 0 {
		t.Error("PS is set")
	}
}

// savedPages is what a toy saves of its pages.
func savedPages(tb testing.TB) []byte {
	tb.Helper()
	state := &coretest.State{}
	_, p := attach(tb, state)
	list := list6(page08(false, 7))
	if r := coretest.Do(p, select6(0x11, list), list, 0); !r.Good() {
		tb.Fatal(r)
	}
	b, err := state.Load("mode-pages")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestRestoreRefuses: a version that is not known, and a list that ends within a page.
func TestRestoreRefuses(t *testing.T) {
	good := savedPages(t)
	whole := map[int]bool{2: true, 2 + 20: true, 2 + 20 + 12: true} // ends of pages
	for n := range len(good) + 1 {
		state := &coretest.State{}
		if err := state.Save("mode-pages", good[:n]); err != nil {
			t.Fatal(err)
		}
		if _, err := core.NewUnit("test", newToy(t, nil), core.UnitOptions{State: state}); (err == nil) != whole[n] {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	state := &coretest.State{}
	if err := state.Save("mode-pages", append([]byte{0, 2}, good[2:]...)); err != nil {
		t.Fatal(err)
	}
	if _, err := core.NewUnit("test", newToy(t, nil), core.UnitOptions{State: state}); err == nil {
		t.Error("version 2 was taken")
	}
}

// TestRestoreOtherPages: a device whose pages are others than when they were saved
// takes what it still has.
func TestRestoreOtherPages(t *testing.T) {
	state := &coretest.State{}
	if err := state.Save("mode-pages", savedPages(t)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*spc.ModePage){
		"shorter": func(p *spc.ModePage) { p.Default = append([]byte{0x08, 10}, p.Default[2:12]...); p.Changeable = nil },
		"longer": func(p *spc.ModePage) {
			p.Default = append([]byte{0x08, 20}, append(p.Default[2:], 0, 0)...)
			p.Changeable = append(p.Changeable, 0xff, 0xff)
		},
		"not changeable":   func(p *spc.ModePage) { p.Changeable = nil },
		"limits tightened": func(p *spc.ModePage) { p.Check = func([]byte) error { return sense.Param(8) } },
		"gone":             func(p *spc.ModePage) { p.Default = []byte{0x07, 0}; p.Changeable = nil },
	} {
		d := newToy(t, func(_ *toy, cfg *spc.Config) { change(&cfg.Modes[1]) })
		coretest.NewUnit(t, d, state)
		if b := d.Mode(0x08, 0); b != nil && b[2] != 0x04 {
			t.Errorf("%s: % x", name, b)
		}
	}
}

// TestPageZero: the vendor specific page 00h comes last (SPC-6, 6.14.1).
func TestPageZero(t *testing.T) {
	d := newToy(t, func(_ *toy, cfg *spc.Config) {
		cfg.Modes = append(cfg.Modes, spc.ModePage{Default: []byte{0x00, 2, 0xab, 0xcd}})
	})
	p := coretest.NewPath(t, coretest.NewUnit(t, d, nil))
	r := coretest.Do(p, []byte{0x1a, 8, 0x3f, 0, 255, 0}, nil, 255)
	if !r.Good() || !bytes.HasSuffix(r.Data, []byte{0x00, 2, 0xab, 0xcd}) || r.Data[4] != 0x08 {
		t.Errorf("%v, % x", r, r.Data)
	}
}

// TestSetHeader: a device that takes the header and block descriptor, as tapes do.
func TestSetHeader(t *testing.T) {
	d := newToy(t, func(d *toy, cfg *spc.Config) {
		cfg.SetHeader = func(_ *core.Command, h spc.Header) (func(), error) {
			if len(h.Block) > 0 && h.Block[0] != 0 {
				return nil, sense.Param(h.At)
			}
			if v := uint32(h.Specific); v != d.header.Load() {
				return func() { d.header.Store(v) }, nil
			}
			return nil, nil
		}
	})
	p := coretest.NewPath(t, coretest.NewUnit(t, d, nil))
	q := coretest.NewPath(t, p.Unit())
	for _, c := range []struct {
		list   []byte
		good   bool
		header uint32
		ua     int
	}{
		{[]byte{0, 0, 0x10, 0}, true, 0x10, 1},
		{[]byte{0, 0, 0x10, 0}, true, 0x10, 0},
		{[]byte{0, 0, 0x20, 8, 1, 0, 0, 0, 0, 0, 0, 0}, false, 0x10, 0},
		{append([]byte{0, 0, 0x20, 0}, 0x02, 0), false, 0x10, 0}, // a bad page after it
	} {
		if r := coretest.Do(p, select6(0x10, c.list), c.list, 0); r.Good() != c.good {
			t.Errorf("% x: %v", c.list, r)
		}
		if got := d.header.Load(); got != c.header {
			t.Errorf("% x: header %#x", c.list, got)
		}
		if ua := coretest.TakeUA(q); len(ua) != c.ua {
			t.Errorf("% x: unit attentions %v", c.list, ua)
		}
	}
}

func TestReadOnlyPath(t *testing.T) {
	_, p := attach(t, nil)
	ro := coretest.NewPathAt(t, coretest.Target, core.Mapping{Unit: p.Unit(), ReadOnly: true})
	for _, c := range []struct {
		p    *core.Path
		want byte
	}{{p, 0x10}, {ro, 0x90}} {
		if r := coretest.Do(c.p, []byte{0x1a, 0, 0x3f, 0, 4, 0}, nil, 4); r.Data[2] != c.want {
			t.Errorf("device-specific parameter %#x, want %#x", r.Data[2], c.want)
		}
	}
}

// TestConcurrentSelect: MODE SELECT from many nexuses and MODE SENSE beside it; what
// is sensed was selected whole.
func TestConcurrentSelect(t *testing.T) {
	_, p := attach(t, &coretest.State{})
	u := p.Unit()
	var wg sync.WaitGroup
	for i := range 4 {
		q := coretest.NewPath(t, u)
		wg.Go(func() {
			for j := range 50 {
				list := list6(page08((i+j)%2 == 0, uint16((i+j)%2)))
				for {
					r := coretest.Do(q, select6(0x11, list), list, 0)
					if r.Good() {
						break
					}
					if r.Sense == nil || r.Sense.Key != sense.UnitAttention {
						t.Error(r)
						return
					}
				}
			}
		})
		wg.Go(func() {
			for range 200 {
				r := sense08(q, 0)
				if r.Status == scsi.Good && (r.Data[6]&4 == 0) != (r.Data[13] == 1) {
					t.Errorf("torn: % x", r.Data)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzModeSelect: no parameter list panics; what is refused changes nothing, and
// what is taken only what is changeable.
func FuzzModeSelect(f *testing.F) {
	f.Add(byte(0x10), list6(page08(false, 7)))
	f.Add(byte(0x11), list6(page08(true, 7), page0a(0x04, 0x08)))
	f.Add(byte(0x10), list6([]byte{0x0a, 10, 2, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0})) // queue algorithm modifier
	f.Add(byte(0x10), list6([]byte{0x4a, 1, 0, 28}, make([]byte, 28)))
	f.Add(byte(0x10), []byte{0, 0, 0, 8, 0, 0, 0x10, 0, 0, 0, 2, 0})
	f.Add(byte(0x12), []byte{})
	f.Fuzz(func(t *testing.T, flags byte, list []byte) {
		d, p := attach(t, &coretest.State{})
		pages := [][2]byte{{0x08, 0}, {0x0a, 0}, {0x0a, 1}, {0x1c, 0}}
		all := func() (now, fixed []byte) {
			for _, page := range pages {
				b := d.Mode(page[0], page[1])
				now = append(now, b...)
				const changeable = 1 << 6
				r := coretest.Do(p, []byte{0x1a, 8, changeable | page[0], page[1], 255, 0}, nil, 255)
				for i, mask := range r.Data[4:] {
					fixed = append(fixed, b[i]&^mask)
				}
			}
			return now, fixed
		}
		before, fixed := all()
		list = list[:min(len(list), 255)]
		r := coretest.Do(p, select6(flags&0x13, list), list, 0)
		now, still := all()
		if !r.Good() && !bytes.Equal(now, before) {
			t.Fatalf("%v, and changed", r)
		}
		if !bytes.Equal(still, fixed) {
			t.Fatalf("unchangeable: %x\nwas %x", still, fixed)
		}
	})
}

// FuzzRestore: no saved bytes panic, or bring values that MODE SELECT would refuse.
func FuzzRestore(f *testing.F) {
	f.Add(savedPages(f))
	f.Add([]byte{0, 1, 0x4a, 0x01, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		state := &coretest.State{}
		if err := state.Save("mode-pages", b); err != nil {
			t.Fatal(err)
		}
		d := newToy(t, nil)
		u, err := core.NewUnit("test", d, core.UnitOptions{State: state})
		if err != nil {
			return
		}
		if got := d.Mode(0x08, 0); len(got) != 20 || got[8] != 0 || got[9] > 100 {
			t.Errorf("restored % x", got)
		}
		if err := u.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A page whose fields the device changes itself: MODE SENSE shows what there is, and MODE SELECT takes
// nothing else.
func TestLivePage(t *testing.T) {
	n := byte(1)
	d := newToy(t, func(_ *toy, cfg *spc.Config) {
		cfg.Modes = append(cfg.Modes, spc.ModePage{Default: []byte{0x1d, 2, 0, 0}, Live: func(b []byte) { b[2] = n }})
	})
	p := coretest.NewPath(t, coretest.NewUnit(t, d, &coretest.State{}))
	for n = 1; n < 3; n++ {
		for _, pc := range []byte{0x00, 0x80, 0xc0} {
			r := coretest.Do(p, []byte{0x1a, 8, pc | 0x1d, 0, 8, 0}, nil, 8)
			if !r.Good() || len(r.Data) != 8 || r.Data[6] != n {
				t.Errorf("page control %#x: %v, % x", pc, r, r.Data)
			}
		}
		if d.Mode(0x1d, 0)[2] != n {
			t.Errorf("page % x", d.Mode(0x1d, 0))
		}
	}
	for v := byte(2); v < 4; v++ { // n is 3 now
		r := coretest.Do(p, []byte{0x15, 0x10, 0, 0, 8, 0}, []byte{0, 0, 0, 0, 0x1d, 2, v, 0}, 0)
		if r.Good() != (v == 3) {
			t.Errorf("MODE SELECT of %d: %v", v, r)
		}
	}
}
