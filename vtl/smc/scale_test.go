package smc_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/library"
)

// flatPool knows of no cartridge but those that it is asked for: 65,000 files are not what is tested.
type flatPool struct{ library.Pool }

func (flatPool) List() ([]library.Stored, error) { return nil, nil }
func (flatPool) Create(library.Stored) error     { return nil }

// 64 drives and 65,000 slots, all full: the status of all elements fits the transfer limit, and costs
// little more memory than its bytes.
func TestLargestLibrary(t *testing.T) {
	const drives, slots = 64, 65000
	r := newRig(t, func(cfg *library.Config) {
		cfg.Model = changer(t, "generic")
		cfg.Slots, cfg.Mailslots = slots, 32
		cfg.Drives = nil
		for range drives {
			cfg.Drives = append(cfg.Drives, library.DriveConfig{Model: newDriveModel(t)})
		}
		cfg.Pool = flatPool{cfg.Pool}
		cfg.Cartridges = []library.Cartridges{{Barcodes: "TG00001L8-TG65000L8"}}
	})
	if s := r.lib.Status(); s.Slots.Full != slots || s.Drives.Total != drives {
		t.Fatalf("%+v", s)
	}
	all := []byte{0xb8, 0x10, 0, 0, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0, 0}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := coretest.Do(r.paths[0], all, nil, coretest.AnyLength)
	runtime.ReadMemStats(&after)
	const elements = 1 + 32 + drives + slots
	want := 8 + 4*8 + elements*52 + drives*34
	if !got.Good() || len(got.Data) != want {
		t.Fatalf("%v, %d bytes, want %d", got, len(got.Data), want)
	}
	if n := binary.BigEndian.Uint16(got.Data[2:]); n != elements {
		t.Errorf("%d elements available, want %d", n, elements)
	}
	if n := wire.U24(got.Data[5:]); int(n) != want-8 {
		t.Errorf("%d bytes available, want %d", n, want-8)
	}
	// what the test's transport takes for itself is three times the data
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(5*want) {
		t.Errorf("%d bytes were allocated for %d", used, want)
	}
	// a header costs no more than a small library's
	small := coretest.Do(r.paths[0], append(all[:7:7], 0, 0, 8, 0, 0), nil, 8)
	if !small.Good() || string(small.Data) != string(got.Data[:8]) {
		t.Errorf("%v, % x", small, small.Data)
	}
	// the last slot, to and fro
	for _, cdb := range [][]byte{
		{0xa5, 0, 0, 0, 0xff, 0xdb, 0, 0x0a, 0, 0, 0, 0},
		{0xa5, 0, 0, 0, 0, 0x0a, 0xff, 0xdb, 0, 0, 0, 0},
	} {
		if got := r.do(cdb, nil); !got.Good() {
			t.Errorf("% x: %v", cdb, got)
		}
	}
}
