// Package handlertest is the suite that every core.Handler runs, whatever its device
// type: it drives the handler through a real core.Unit, as a transport does. RunDisk
// adds what holds for disks over any store.
package handlertest

import (
	"bytes"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

// Suite says how to make the handler under test.
type Suite struct {
	// Open makes a fresh handler. The suite closes it by way of its unit.
	Open func(tb testing.TB) core.Handler
}

// Run runs every test of the suite.
func Run(t *testing.T, s Suite) {
	t.Run("Profile", func(t *testing.T) { testProfile(t, s) })
	t.Run("Inquiry", func(t *testing.T) { testInquiry(t, s) })
	t.Run("AllocationLength", func(t *testing.T) { testAllocationLength(t, s) })
	t.Run("AnyCDB", func(t *testing.T) { testAnyCDB(t, s) })
	t.Run("ConcurrentPaths", func(t *testing.T) { testConcurrentPaths(t, s) })
}

// path opens a handler, puts a unit around it, and is one way to it.
func path(tb testing.TB, h core.Handler) *core.Path {
	return coretest.NewPath(tb, coretest.NewUnit(tb, h, &coretest.State{}))
}

func testProfile(t *testing.T, s Suite) {
	p := path(t, s.Open(t))
	prof := p.Unit().Handler().Profile()
	type key struct {
		code   uint8
		action int16
	}
	seen := map[key]string{}
	names := map[string]uint8{}
	for _, r := range p.Unit().Rows() { // the core's own among them
		k := key{r.Code, r.Action}
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s are both %02Xh/%d", r.Name, other, r.Code, r.Action)
		}
		seen[k] = r.Name
		// service actions may share a name (SANITIZE), opcodes may not
		if code, ok := names[r.Name]; r.Name == "" || ok && code != r.Code {
			t.Errorf("%02Xh/%d: name %q is missing or that of %02Xh", r.Code, r.Action, r.Name, code)
		}
		names[r.Name] = r.Code
		if r.Timeout == 0 {
			t.Errorf("%s recommends no timeout", r.Name)
		}
	}
	// mandatory for every device type (SPC-6, table 100)
	for _, name := range []string{"INQUIRY", "TEST UNIT READY", "REQUEST SENSE", "REPORT LUNS"} {
		if _, ok := names[name]; !ok {
			t.Errorf("no row for %s", name)
		}
	}
	if prof.BlockSize != nil && prof.BlockSize() == 0 {
		t.Error("a block of no bytes")
	}
	if r := coretest.Do(p, make([]byte, 6), nil, 0); !r.Good() {
		t.Errorf("TEST UNIT READY: %v", r)
	}
}

func inquiry(p *core.Path, evpd, page byte) coretest.Result {
	return coretest.Do(p, []byte{0x12, evpd, page, 0x04, 0, 0}, nil, 1024)
}

func testInquiry(t *testing.T, s Suite) {
	p := path(t, s.Open(t))
	typ := p.Unit().Type()
	r := inquiry(p, 0, 0)
	if !r.Good() || len(r.Data) < 36 || len(r.Data) != int(r.Data[4])+5 {
		t.Fatalf("INQUIRY: %v, % x", r, r.Data)
	}
	if got := scsi.DeviceType(r.Data[0]); got != typ {
		t.Errorf("peripheral device type %v, the profile says %v", got, typ)
	}
	for _, b := range r.Data[8:36] { // SPC-6, 4.3.1: left-aligned ASCII
		if b < 0x20 || b > 0x7e {
			t.Fatalf("identification %q is not ASCII", r.Data[8:36])
		}
	}
	list := inquiry(p, 1, 0)
	if !list.Good() || len(list.Data) < 5 {
		t.Fatalf("VPD page 00h: %v", list)
	}
	pages := list.Data[4:]
	for i, page := range pages {
		if i > 0 && pages[i-1] >= page {
			t.Errorf("VPD pages % x are not in ascending order", pages)
		}
		v := inquiry(p, 1, page)
		if !v.Good() || len(v.Data) < 4 || v.Data[1] != page || scsi.DeviceType(v.Data[0]) != typ {
			t.Errorf("VPD page %02Xh is listed, but: %v, % x", page, v, v.Data)
		} else if n := int(v.Data[2])<<8 + int(v.Data[3]) + 4; n != len(v.Data) {
			t.Errorf("VPD page %02Xh has %d bytes and says %d", page, len(v.Data), n)
		}
	}
}

// cdbFor is r's CDB with all fields zero but its allocation length.
func cdbFor(r *core.Row, length uint32) []byte {
	cdb := make([]byte, len(r.Usage))
	cdb[0] = r.Code
	switch {
	case r.Action == core.NoAction:
	case r.Code == 0x7f:
		cdb[7] = byte(len(cdb) - 8)
		cdb[8], cdb[9] = byte(r.Action>>8), byte(r.Action)
	default:
		cdb[1] = byte(r.Action)
	}
	for i := range r.Len.Width {
		cdb[r.Len.Off+r.Len.Width-1-i] = byte(length >> (8 * i))
	}
	return cdb
}

// parameterReads are the rows that return parameter data of an allocation length.
func parameterReads(p *core.Path) []*core.Row {
	var rows []*core.Row
	for _, r := range p.Unit().Rows() {
		if r.Dir == scsi.In && r.Len.Func == nil && !r.Len.Blocks && r.Len.Width > 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// reportLUNs has a least allocation length of 16 (SPC-3, 6.21).
const reportLUNs = 0xa0

// testAllocationLength: parameter data are cut, never refused and never padded
// (SPC-6, 4.2.5.6).
func testAllocationLength(t *testing.T, s Suite) {
	p := path(t, s.Open(t))
	for _, r := range parameterReads(p) {
		const room = 252 // what one byte can say
		whole := coretest.Do(p, cdbFor(r, room), nil, room)
		if !whole.Good() {
			continue // zero is no valid value of one of its other fields
		}
		n := len(whole.Data)
		for _, m := range []int{0, 1, 3, 4, 5, n / 2, n - 1, n, n + 1} {
			if m < 0 || r.Len.Zero != 0 && m == 0 || r.Code == reportLUNs && m < 16 {
				continue
			}
			got := coretest.Do(p, cdbFor(r, uint32(m)), nil, room)
			for range 3 { // what counts or tells the time is another by now
				if bytes.Equal(got.Data, whole.Data[:min(m, len(whole.Data))]) {
					break
				}
				whole = coretest.Do(p, cdbFor(r, room), nil, room)
				got = coretest.Do(p, cdbFor(r, uint32(m)), nil, room)
			}
			if want := whole.Data[:min(m, len(whole.Data))]; !got.Good() || !bytes.Equal(got.Data, want) {
				t.Errorf("%s with allocation length %d: %v, % x, want % x", r.Name, m, got, got.Data, want)
			}
		}
	}
}

// testAnyCDB: no CDB of a known command leads to a panic, an undefined status, sense
// data that cannot be read, or more data than the initiator has room for.
func testAnyCDB(t *testing.T, s Suite) {
	p := path(t, s.Open(t))
	rnd := blocktest.Rand(t)
	out := make([]byte, 64<<10)
	for _, r := range p.Unit().Rows() {
		for range 40 {
			cdb := cdbFor(r, uint32(rnd.IntN(256)))
			for i := 1; i < len(cdb); i++ {
				if rnd.IntN(3) == 0 {
					cdb[i] ^= byte(rnd.Uint32()) & r.Usage[i]
				}
			}
			if r.Action != core.NoAction && r.Code != 0x7f {
				cdb[1] = cdb[1]&^0x1f | byte(r.Action)
			}
			for i := range 64 {
				out[i] = byte(rnd.Uint32() & rnd.Uint32())
			}
			expected := []int{0, 5, 512, 64 << 10, coretest.AnyLength}[rnd.IntN(5)]
			got := coretest.Do(p, cdb, out[:rnd.IntN(3)*512], expected)
			p.ClearACA(func() {}) // that CHECK CONDITION with NACA left
			switch got.Status {
			case scsi.Good, scsi.ConditionMet, scsi.CheckCondition, scsi.Busy, scsi.ReservationConflict:
			default:
				t.Errorf("%s % x: status %v", r.Name, cdb, got.Status)
			}
			if expected != coretest.AnyLength && len(got.Data) > expected {
				t.Errorf("%s % x: %d bytes, the initiator expects %d", r.Name, cdb, len(got.Data), expected)
			}
		}
	}
}

// testConcurrentPaths asks for all parameter data on many I_T nexuses at once, which
// the race detector watches.
func testConcurrentPaths(t *testing.T, s Suite) {
	u := coretest.NewUnit(t, s.Open(t), &coretest.State{})
	var wg sync.WaitGroup
	for range 4 {
		p := coretest.NewPath(t, u)
		wg.Go(func() {
			for range 20 {
				for _, r := range parameterReads(p) {
					coretest.Do(p, cdbFor(r, 252), nil, 252)
				}
				if r := coretest.Do(p, make([]byte, 6), nil, 0); !r.Good() {
					t.Errorf("TEST UNIT READY: %v", r)
				}
			}
		})
	}
	wg.Wait()
}
