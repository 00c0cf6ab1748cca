package cartridge_test

import (
	"path/filepath"
	"testing"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/carttest"
	"github.com/targate/targate/vtl/medium"
)

// tape is a cartridge for the suite.
type tape struct {
	dir string
	opt cartridge.Options
}

func (t tape) Mount(readOnly bool) (medium.Medium, error) {
	o := t.opt
	o.ReadOnly = readOnly
	m, err := cartridge.Open(t.dir, o)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func newTape(t testing.TB, i cartridge.Identity, o cartridge.Options) tape {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tape")
	if _, err := cartridge.Create(dir, i, o); err != nil {
		t.Fatal(err)
	}
	return tape{dir, o}
}

func TestSuite(t *testing.T) {
	for name, c := range map[string]struct {
		segment int64
		o       cartridge.Options
	}{
		"Defaults":      {0, cartridge.Options{}},
		"SmallSegments": {cartridge.MinSegment, cartridge.Options{FrameSize: 4096, Compression: cartridge.LZ4}},
	} {
		t.Run(name, func(t *testing.T) {
			carttest.Run(t, carttest.Suite{New: func(t *testing.T, worm bool, capacity int64) carttest.Tape {
				return newTape(t, cartridge.Identity{WORM: worm, Capacity: capacity, SegmentSize: c.segment}, c.o)
			}})
		})
	}
}
