package smc_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/library/librarytest"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/pool"
	"github.com/targate/targate/vtl/smc"
	"github.com/targate/targate/vtl/ssc"
)

// whole is a library as it is served: real drives, and cartridges on disk.
type whole struct {
	t       *testing.T
	lib     *library.Library
	units   []*core.Unit
	changer *core.Path
	drives  []*core.Path // drive N at N-1
}

func openWhole(t *testing.T, dir string) *whole {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	tapes, err := pool.Open(pool.Config{Dir: filepath.Join(dir, "tapes"), Models: personality.Builtin(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	cfg := librarytest.Config(dir, 2)
	cfg.Pool = tapes
	cfg.Inventory = filepath.Join(dir, "inventory")
	cfg.NewDrive = func(s library.DriveSpec) (library.DriveHandler, error) {
		return ssc.New(ssc.Config{Model: s.Model, Identity: s.Identity, Log: log})
	}
	for i := range cfg.Cartridges {
		cfg.Cartridges[i].Capacity = 64 << 20
	}
	lib, err := library.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ch, err := smc.New(lib, log)
	if err != nil {
		t.Fatal(err)
	}
	w := &whole{t: t, lib: lib}
	w.changer = w.attach(ch)
	for _, d := range lib.Drives() {
		w.drives = append(w.drives, w.attach(lib.Drive(d.Number)))
	}
	return w
}

func (w *whole) attach(h core.Handler) *core.Path {
	u := coretest.NewUnit(w.t, h, &coretest.State{})
	w.units = append(w.units, u)
	return coretest.NewPath(w.t, u)
}

// close is a stop of the program.
func (w *whole) close() {
	w.t.Helper()
	for _, u := range w.units {
		if err := u.Close(); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.lib.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *whole) good(p *core.Path, out []byte, cdb ...byte) coretest.Result {
	w.t.Helper()
	r := coretest.Do(p, cdb, out, coretest.AnyLength)
	if !r.Good() {
		w.t.Fatalf("% x: %v", cdb, r)
	}
	return r
}

func (w *whole) move(from, to uint16) {
	w.t.Helper()
	w.good(w.changer, nil, 0xa5, 0, 0, 1, byte(from>>8), byte(from), byte(to>>8), byte(to), 0, 0, 0, 0)
}

// A cartridge is written in one drive, stays in it over a restart, and is read in another.
func TestWholeLibrary(t *testing.T) {
	dir := t.TempDir()
	w := openWhole(t, dir)
	d1 := w.drives[0]
	tur := make([]byte, 6)
	if r := coretest.Do(d1, tur, nil, 0); !r.Is(sense.NotReady, sense.MediumNotPresent) {
		t.Errorf("an empty drive: %v", r)
	}
	w.move(0x1000, 0x100)
	if r := coretest.Do(d1, tur, nil, 0); !r.Is(sense.UnitAttention, sense.MediumMayHaveChanged) {
		t.Errorf("after the load: %v", r)
	}
	block := bytes.Repeat([]byte("targate "), 8<<10)
	w.good(d1, block, 0x0a, 0, 1, 0, 0, 0) // WRITE(6) of 64 KiB, variable
	w.good(d1, nil, 0x10, 0, 0, 0, 1, 0)   // WRITE FILEMARKS
	w.good(d1, nil, 0x1e, 0, 0, 0, 1, 0)   // PREVENT
	r := coretest.Do(w.changer, []byte{0xa5, 0, 0, 1, 1, 0, 0x10, 0, 0, 0, 0, 0}, nil, 0)
	if !r.Is(sense.IllegalRequest, 0x5303) {
		t.Errorf("a move out of a drive that prevents it: %v", r)
	}
	w.close()

	w = openWhole(t, dir)
	d1, d2 := w.drives[0], w.drives[1]
	if s := w.lib.Drives()[0]; s.Barcode != "TG0001L8" || !s.Loaded {
		t.Fatalf("after a restart: %+v", s)
	}
	w.good(d1, nil, tur...)
	// EXCHANGE: that of slot 2 goes to drive 1, and what was there to drive 2
	w.good(w.changer, nil, 0xa6, 0, 0, 1, 0x10, 1, 1, 0, 1, 1, 0, 0)
	coretest.TakeUA(d1)
	coretest.TakeUA(d2)
	got := w.good(d2, nil, 0x08, 0, 1, 0, 0, 0)
	if !bytes.Equal(got.Data, block) {
		t.Errorf("%d bytes read, %d written", len(got.Data), len(block))
	}
	if s := w.lib.Drives(); s[0].Barcode != "TG0002L8" || s[1].Barcode != "TG0001L8" || !s[1].Loaded {
		t.Errorf("%+v", s)
	}
	// backup software finds the LUN of a drive by its serial number
	id := w.good(w.changer, nil, 0xb8, 4, 1, 0, 0, 1, 1, 0, 0xff, 0xff, 0, 0)
	serial := w.good(d1, nil, 0x12, 1, 0x80, 0, 0xff, 0)
	if !bytes.HasSuffix(id.Data, serial.Data[4:]) || len(serial.Data) != 14 {
		t.Errorf("VPD page 80h is %q, DVCID ends with %q", serial.Data[4:], id.Data)
	}
	w.move(0x101, 0x1000)
	w.spend()
	if r := coretest.Do(d2, tur, nil, 0); r.Good() {
		t.Error("an empty drive is ready")
	}
	w.close()
}

// spend has the cleaning cartridge clean drive 2 as often as it can, and once more.
func (w *whole) spend() {
	w.t.Helper()
	const uses = 50
	for i := range uses + 1 {
		w.move(0x1004, 0x101)
		r := coretest.Do(w.drives[1], []byte{0x4d, 0, 0x6e, 0, 0, 0, 0x16, 0, 9, 0}, nil, 9) // TapeAlert 22
		coretest.TakeUA(w.drives[1])
		if got, want := r.Good() && r.Data[8] == 1, i == uses; got != want {
			w.t.Errorf("clean %d: expired %v, % x", i+1, r, r.Data)
		}
		w.move(0x101, 0x1004)
	}
	if c, err := w.lib.Cartridge("CLN001L8"); err != nil || c.UsesLeft != 0 || c.Loads != uses+1 {
		w.t.Errorf("%+v, %v", c, err)
	}
}
