package cartridge_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/cartridge/simfs"
	"github.com/targate/targate/vtl/carttest"
	"github.com/targate/targate/vtl/medium"
)

// damageTape has everything: partitions, generations, a rollback, attributes, sealed segments,
// compressed and encrypted frames.
func damageTape(t *testing.T) (*simfs.FS, *player) {
	fs := simTape(t, cartridge.Identity{SegmentSize: cartridge.MinSegment})
	m, err := cartridge.Open(simDir, simOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlayer(9, m)
	p.largest = 20_000
	for range 120 {
		if err := p.step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.m.Close(); err != nil {
		t.Fatal(err)
	}
	return fs, p
}

// TestBitFlips inverts bits all over the files: Check finds each, and whoever reads the tape
// gets an error or what was recorded, never anything else.
func TestBitFlips(t *testing.T) {
	fs, p := damageTape(t)
	checkClean(t, simDir, simOptions(fs))
	names, err := fs.List(simDir)
	if err != nil {
		t.Fatal(err)
	}
	var dump strings.Builder
	if err := cartridge.Dump(simDir, &dump, simOptions(fs)); err != nil {
		t.Fatal(err)
	}
	var closing int64
	for line := range strings.Lines(dump.String()) {
		if strings.Contains(line, "checkpoint at the end of use") {
			if _, err := fmt.Sscan(line, &closing); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 5))
	segments, newest := 0, ""
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			newest = name
		}
	}
	for _, name := range names {
		path := filepath.Join(simDir, name)
		size := fs.Size(path)
		if strings.HasSuffix(name, ".seg") {
			segments++
		}
		if name == "cartridge" {
			continue // see TestDamagedIdentity
		}
		if name == newest {
			size = closing // only the record that ends the use looks torn when it is damaged
		}
		for i := range 60 {
			off := r.Int64N(size)
			if i < 20 {
				off = min(int64(i*10), size-1) // headers
			} else if i < 40 {
				off = max(size-int64(i*7-130), 0) // footers
			}
			bit := uint(r.IntN(8))
			c := fs.Crash(simfs.None, nil)
			c.Flip(path, off, bit)
			found(t, c, p, name, off)
		}
	}
	if segments < 4 {
		t.Fatalf("only %d segments", segments)
	}
}

// found checks a damaged tape.
func found(t *testing.T, c *simfs.FS, p *player, name string, off int64) {
	t.Helper()
	faults, err := cartridge.Check(simDir, simOptions(c))
	if err == nil && len(faults) == 0 {
		t.Fatalf("%s at %d: not found", name, off)
	}
	m, err := cartridge.Open(simDir, simOptions(c))
	if err != nil {
		return
	}
	defer m.Close() //nolint:errcheck // nothing was written
	want := p.now()
	dst := make([]byte, 300<<10)
	for q := range m.Partitions() {
		if m.Info().Generation != want.generation {
			t.Fatalf("%s at %d: generation %d, want %d", name, off, m.Info().Generation, want.generation)
		}
		for i := range m.Partition(q).Objects {
			o, err := m.Read(q, i, dst, key)
			if err != nil {
				if !errors.Is(err, medium.ErrCorrupt) && !errors.Is(err, medium.ErrKeyWrong) {
					t.Fatalf("%s at %d: object %d: %v", name, off, i, err)
				}
				continue
			}
			if w := want.parts[q][i]; o.Length != w.length || o.CRC != w.crc {
				t.Fatalf("%s at %d: object %d: %+v, want %+v", name, off, i, o, w)
			}
		}
	}
}

// TestDamagedRead has one damaged block among others, which are read, and the tape goes on.
func TestDamagedRead(t *testing.T) {
	fs := simTape(t, cartridge.Identity{SegmentSize: 1 << 20})
	m, err := cartridge.Open(simDir, simOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	block := func(i uint64) []byte { return carttest.Data(70_000, i) }
	for i := range uint64(n) {
		if err := m.Write(0, i, block(i), medium.Recording{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	fs.Flip(filepath.Join(simDir, "0000000000000001.seg"), 5*70_053+35_000, 3)
	if m, err = cartridge.Open(simDir, simOptions(fs)); err != nil {
		t.Fatal(err)
	}
	bad := 0
	dst := make([]byte, 70_000)
	for i := range m.Partition(0).Objects {
		o, err := m.Read(0, i, dst, nil)
		switch {
		case errors.Is(err, medium.ErrCorrupt) && o.Length == len(dst):
			bad++
		case err != nil || !bytes.Equal(dst, block(i)):
			t.Fatalf("block %d: %v", i, err)
		}
	}
	if bad != 1 {
		t.Fatalf("%d blocks are damaged", bad)
	}
	if err := m.Write(0, n, block(n), medium.Recording{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	faults, err := cartridge.Check(simDir, simOptions(fs))
	if err != nil || len(faults) != 1 || faults[0].File != "0000000000000001.seg" {
		t.Fatalf("%v, %v", faults, err)
	}
}

// TestDamagedHeader loses the head of one record in the newest segment: its objects are
// damaged, and those behind are there.
func TestDamagedHeader(t *testing.T) {
	fs := simTape(t, cartridge.Identity{SegmentSize: 1 << 20})
	m, err := cartridge.Open(simDir, simOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(10) {
		if err := m.Write(0, i, carttest.Data(70_000, i), medium.Recording{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := cartridge.Dump(simDir, &b, simOptions(fs)); err != nil {
		t.Fatal(err)
	}
	off := int64(144 + 58 + 4*(70_000+49)) // near: any bit of a head or its block
	fs.Flip(filepath.Join(simDir, "0000000000000001.seg"), off, 1)
	if m, err = cartridge.Open(simDir, simOptions(fs)); err != nil {
		t.Fatal(err)
	}
	defer m.Close() //nolint:errcheck // only read
	if n := m.Partition(0).Objects; n != 10 {
		t.Fatalf("%d objects", n)
	}
	bad := 0
	for i := range uint64(10) {
		if _, err := m.Read(0, i, make([]byte, 70_000), nil); errors.Is(err, medium.ErrCorrupt) {
			bad++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if bad != 1 {
		t.Fatalf("%d objects are damaged:\n%s", bad, b.String())
	}
}

// TestDamagedIdentity is refused.
func TestDamagedIdentity(t *testing.T) {
	fs, _ := damageTape(t)
	path := filepath.Join(simDir, "cartridge")
	for off := range fs.Size(path) {
		c := fs.Crash(simfs.None, nil)
		c.Flip(path, off, uint(off))
		if m, err := cartridge.Open(simDir, simOptions(c)); err == nil {
			_ = m.Close()
			t.Fatalf("bit %d of byte %d", off%8, off)
		}
	}
}
