package ssc

import (
	"io"
	"log/slog"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/handlertest"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
	"github.com/targate/targate/vtl/personality"
)

// cartridge is a Cartridge of a memtape.
type cartridge struct {
	*memtape.Tape
	barcode         string
	media           *personality.Media
	worm, protected bool
	fail            error // of Mount
}

func (c *cartridge) Barcode() string           { return c.barcode }
func (c *cartridge) Media() *personality.Media { return c.media }
func (c *cartridge) WORM() bool                { return c.worm }
func (c *cartridge) WriteProtected() bool      { return c.protected }

func (c *cartridge) Mount() (medium.Medium, error) {
	if c.fail != nil {
		return nil, c.fail
	}
	return c.Tape.Mount(c.protected)
}

// models are those that come with the program.
var models = personality.Builtin()

// newCartridge makes a blank cartridge of the kind that its barcode says, which holds capacity bytes.
func newCartridge(tb testing.TB, barcode string, capacity int64) *cartridge {
	tb.Helper()
	m, worm, ok := models.ByBarcode(barcode)
	if !ok {
		tb.Fatalf("no kind of cartridge has barcode %s", barcode)
	}
	info := medium.Info{ID: barcode, Barcode: barcode, Type: m.Name, Serial: "S" + barcode, WORM: worm}
	return &cartridge{Tape: memtape.New(info, capacity), barcode: barcode, media: m, worm: worm}
}

// newDrive makes an empty LTO-8 drive.
func newDrive(tb testing.TB, change func(*Config)) *Drive {
	tb.Helper()
	model, ok := models.Drive("ibm-ult3580-td8")
	if !ok {
		tb.Fatal("no LTO-8 drive")
	}
	own := *model
	cfg := Config{Model: &own, Identity: core.Identity{Vendor: model.Vendor, Product: model.Product,
		Revision: model.Revision, Serial: "1000000001"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestHandler(t *testing.T) {
	handlertest.Run(t, handlertest.Suite{Open: func(tb testing.TB) core.Handler {
		d := newDrive(tb, nil)
		if err := d.Insert(newCartridge(tb, "TG0001L8", 64<<20)); err != nil {
			tb.Fatal(err)
		}
		return d
	}})
}

func TestReservedBits(t *testing.T) {
	d := newDrive(t, nil)
	if err := d.Insert(newCartridge(t, "TG0001L8", 64<<20)); err != nil {
		t.Fatal(err)
	}
	coretest.CheckReservedBits(t, coretest.NewPath(t, coretest.NewUnit(t, d, nil)))
}
