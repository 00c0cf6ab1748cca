package handlertest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// Disk says how to make the disk under test.
type Disk struct {
	// Open makes a handler for a fresh disk of size bytes.
	Open func(tb testing.TB, size int64) core.Handler
}

// diskBytes is the size of the disks of the tests.
const diskBytes = 2 << 20

// RunDisk runs the suite of handlers and that of disks.
func RunDisk(t *testing.T, d Disk) {
	Run(t, Suite{Open: func(tb testing.TB) core.Handler { return d.Open(tb, diskBytes) }})
	t.Run("Capacity", func(t *testing.T) { testCapacity(t, d) })
	t.Run("Model", func(t *testing.T) { testModel(t, d) })
	t.Run("ConcurrentWriters", func(t *testing.T) { testConcurrentWriters(t, d) })
}

// disk is one path to a disk and what a test must know to form CDBs.
type disk struct {
	*core.Path
	block int
	last  uint64
	rows  map[string]bool
}

func newDisk(t *testing.T, p *core.Path) *disk {
	t.Helper()
	d := &disk{Path: p, rows: map[string]bool{}}
	for _, r := range p.Unit().Rows() {
		d.rows[r.Name] = true
	}
	r := coretest.Do(p, []byte{0x9e, 0x10, 13: 32, 15: 0}, nil, 32)
	if !r.Good() || len(r.Data) != 32 {
		t.Fatalf("READ CAPACITY(16): %v", r)
	}
	d.last = binary.BigEndian.Uint64(r.Data)
	d.block = int(binary.BigEndian.Uint32(r.Data[8:]))
	return d
}

// cdb forms a command of the family whose 16-byte opcode is code16, in a random one
// of the sizes that can hold the numbers.
func (d *disk) cdb(r *rand.Rand, code16 byte, lba uint64, blocks int) []byte {
	switch r.IntN(4) {
	case 0:
		if blocks > 0 && blocks < 256 && lba < 1<<21 {
			return []byte{code16 & 0x0f, byte(lba >> 16), byte(lba >> 8), byte(lba), byte(blocks), 0}
		}
	case 1:
		c := make([]byte, 10)
		c[0] = code16&0x0f | 0x20
		binary.BigEndian.PutUint32(c[2:], uint32(lba))
		binary.BigEndian.PutUint16(c[7:], uint16(blocks))
		return c
	case 2:
		c := make([]byte, 12)
		c[0] = code16&0x0f | 0xa0
		binary.BigEndian.PutUint32(c[2:], uint32(lba))
		binary.BigEndian.PutUint32(c[6:], uint32(blocks))
		return c
	}
	c := make([]byte, 16)
	c[0] = code16
	binary.BigEndian.PutUint64(c[2:], lba)
	binary.BigEndian.PutUint32(c[10:], uint32(blocks))
	return c
}

const (
	read16  = 0x88
	write16 = 0x8a
)

func (d *disk) read(t testing.TB, r *rand.Rand, lba uint64, blocks int) []byte {
	t.Helper()
	cdb := d.cdb(r, read16, lba, blocks)
	res := coretest.Do(d.Path, cdb, nil, blocks*d.block)
	if !res.Good() || len(res.Data) != blocks*d.block {
		t.Errorf("% x: %v, %d bytes", cdb, res, len(res.Data))
		return make([]byte, blocks*d.block)
	}
	return res.Data
}

func (d *disk) write(t testing.TB, r *rand.Rand, lba uint64, p []byte) {
	t.Helper()
	cdb := d.cdb(r, write16, lba, len(p)/d.block)
	if res := coretest.Do(d.Path, cdb, p, 0); !res.Good() {
		t.Errorf("% x: %v", cdb, res)
	}
}

// pattern is data unlike any other.
func pattern(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return p
}

func testCapacity(t *testing.T, s Disk) {
	d := newDisk(t, path(t, s.Open(t, diskBytes)))
	if got := int64(d.last+1) * int64(d.block); got != diskBytes {
		t.Errorf("%d blocks of %d bytes, the disk has %d", d.last+1, d.block, diskBytes)
	}
	r := blocktest.Rand(t)
	for _, code := range []byte{read16, write16} {
		for _, c := range []struct {
			lba    uint64
			blocks int
			good   bool
		}{
			{d.last, 1, true}, {d.last + 1, 0, true}, {d.last + 1, 1, false}, {d.last, 2, false}, {0, 0, true},
		} {
			cdb := d.cdb(r, code, c.lba, c.blocks)
			out, in := []byte(nil), c.blocks*d.block
			if code == write16 {
				out, in = make([]byte, in), 0
			}
			res := coretest.Do(d.Path, cdb, out, in)
			if c.good != res.Good() || !c.good && !res.Is(sense.IllegalRequest, sense.LBAOutOfRange) {
				t.Errorf("% x, last LBA %d: %v", cdb, d.last, res)
			}
		}
	}
}

// testModel does what chance says to the disk and to a slice.
func testModel(t *testing.T, s Disk) {
	d := newDisk(t, path(t, s.Open(t, diskBytes)))
	r := blocktest.Rand(t)
	model := make([]byte, diskBytes)
	for i := range 600 {
		n := 1 + r.IntN(1<<r.IntN(7))
		lba := uint64(r.Int64N(int64(d.last) + 2 - int64(n)))
		off, end := int(lba)*d.block, (int(lba)+n)*d.block
		what := "WRITE"
		switch k := r.IntN(8); {
		case k == 0 && d.rows["UNMAP"]:
			what = "UNMAP"
			list := make([]byte, 24)
			list[1], list[3] = 22, 16
			binary.BigEndian.PutUint64(list[8:], lba)
			binary.BigEndian.PutUint32(list[16:], uint32(n))
			if res := coretest.Do(d.Path, []byte{0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0}, list, 0); !res.Good() {
				t.Fatalf("UNMAP %d+%d: %v", lba, n, res)
			}
			clear(model[off:end])
		case k == 1 && d.rows["WRITE SAME(16)"]:
			what = "WRITE SAME"
			one := pattern(r, d.block)
			c := make([]byte, 16)
			c[0] = 0x93
			binary.BigEndian.PutUint64(c[2:], lba)
			binary.BigEndian.PutUint32(c[10:], uint32(n))
			if res := coretest.Do(d.Path, c, one, 0); !res.Good() {
				t.Fatalf("WRITE SAME %d+%d: %v", lba, n, res)
			}
			copy(model[off:end], bytes.Repeat(one, n))
		case k == 2 && d.rows["SYNCHRONIZE CACHE(10)"]:
			what = "SYNCHRONIZE CACHE"
			if res := coretest.Do(d.Path, []byte{0x35, 9: 0}, nil, 0); !res.Good() {
				t.Fatalf("SYNCHRONIZE CACHE: %v", res)
			}
		default:
			p := pattern(r, n*d.block)
			d.write(t, r, lba, p)
			copy(model[off:], p)
		}
		if got := d.read(t, r, lba, n); !bytes.Equal(got, model[off:end]) {
			t.Fatalf("step %d, after %s of %d blocks at %d: other data", i, what, n, lba)
		}
	}
	for lba := uint64(0); lba <= d.last; lba += 64 {
		n := min(64, int(d.last+1-lba))
		if off := int(lba) * d.block; !bytes.Equal(d.read(t, r, lba, n), model[off:off+n*d.block]) {
			t.Fatalf("at the end: other data in %d blocks at %d", n, lba)
		}
	}
}

// testConcurrentWriters: each nexus has every eighth block, and finds there what it
// wrote.
func testConcurrentWriters(t *testing.T, s Disk) {
	const nexuses = 8
	u := coretest.NewUnit(t, s.Open(t, diskBytes), &coretest.State{})
	seeds := blocktest.Rand(t)
	var wg sync.WaitGroup
	for i := range uint64(nexuses) {
		d := newDisk(t, coretest.NewPath(t, u))
		r := rand.New(rand.NewPCG(seeds.Uint64(), i))
		wg.Go(func() {
			for range 150 {
				lba := uint64(r.Int64N(int64(d.last/nexuses)))*nexuses + i
				p := pattern(r, d.block)
				d.write(t, r, lba, p)
				if got := d.read(t, r, lba, 1); !bytes.Equal(got, p) {
					t.Errorf("nexus %d finds other data at %d than it wrote", i, lba)
					return
				}
			}
		})
	}
	wg.Wait()
}
