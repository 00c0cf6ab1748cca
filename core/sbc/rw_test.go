package sbc

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// readers and writers are the four lengths of each command.
var (
	readers = map[string]func(lba uint64, n uint32) []byte{
		"Read6":  func(l uint64, n uint32) []byte { return []byte{0x08, byte(l >> 16), byte(l >> 8), byte(l), byte(n), 0} },
		"Read10": func(l uint64, n uint32) []byte { return cdb10(0x28, 0, uint32(l), uint16(n)) },
		"Read12": func(l uint64, n uint32) []byte { return cdb12(0xa8, 0, uint32(l), n) },
		"Read16": func(l uint64, n uint32) []byte { return cdb16(0x88, 0, l, n) },
	}
	writers = map[string]func(lba uint64, n uint32) []byte{
		"Write6":  func(l uint64, n uint32) []byte { return []byte{0x0a, byte(l >> 16), byte(l >> 8), byte(l), byte(n), 0} },
		"Write10": func(l uint64, n uint32) []byte { return cdb10(0x2a, 0, uint32(l), uint16(n)) },
		"Write12": func(l uint64, n uint32) []byte { return cdb12(0xaa, 0, uint32(l), n) },
		"Write16": func(l uint64, n uint32) []byte { return cdb16(0x8a, 0, l, n) },
	}
)

func TestReadWrite(t *testing.T) {
	for rname, rd := range readers {
		for wname, wr := range writers {
			t.Run(rname+"/"+wname, func(t *testing.T) {
				r := newRig(t, nil)
				for i, n := range []uint32{1, 7, 8, 255} {
					p := fill(byte(i+1), int(n))
					lba := uint64(rigBlocks) - uint64(n)
					r.good(wr(lba, n), p)
					if got := r.good(rd(lba, n), nil); !bytes.Equal(got, p) {
						t.Errorf("%d blocks do not come back", n)
					}
				}
			})
		}
	}
}

func TestRead6ZeroIs256(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write6"](0, 0), fill(7, 256))
	if got := r.good(readers["Read6"](0, 0), nil); !bytes.Equal(got, fill(7, 256)) {
		t.Error("256 blocks do not come back")
	}
}

func TestRange(t *testing.T) {
	r := newRig(t, nil)
	all := map[string]func(uint64, uint32) []byte{}
	for n, f := range readers {
		all[n] = f
	}
	for n, f := range writers {
		all[n] = f
	}
	all["Verify10"] = func(l uint64, n uint32) []byte { return cdb10(0x2f, 0, uint32(l), uint16(n)) }
	all["Verify16"] = func(l uint64, n uint32) []byte { return cdb16(0x8f, 0, l, n) }
	all["PreFetch10"] = func(l uint64, n uint32) []byte { return cdb10(0x34, 0, uint32(l), uint16(n)) }
	all["SynchronizeCache16"] = func(l uint64, n uint32) []byte { return cdb16(0x91, 0, l, n) }
	all["OrWrite16"] = func(l uint64, n uint32) []byte { return cdb16(0x8b, 0, l, n) }
	all["WriteAndVerify16"] = func(l uint64, n uint32) []byte { return cdb16(0x8e, 0, l, n) }
	all["WriteAtomic16"] = func(l uint64, n uint32) []byte { return cdb16(0x9c, 0, l, n) }
	for name, f := range all {
		t.Run(name, func(t *testing.T) {
			cases := []struct {
				name string
				lba  uint64
				n    uint32
				info uint64
			}{
				{"beyond_last_lba", rigBlocks, 1, rigBlocks},
				{"across_last_lba", rigBlocks - 1, 2, rigBlocks},
				{"far_beyond", 0x1fffff, 1, 0x1fffff},
				{"no_blocks_beyond", rigBlocks + 1, 0, rigBlocks + 1},
			}
			for _, c := range cases {
				if len(f(0, 0)) == 6 && c.n == 0 {
					continue // means 256 there
				}
				t.Run(c.name, func(t *testing.T) {
					cdb := f(c.lba, c.n)
					out := fill(1, int(c.n))
					e := r.bad(cdb, out, sense.IllegalRequest, sense.LBAOutOfRange)
					if !e.HasInfo || e.Info != c.info {
						t.Errorf("information %d, want %d", e.Info, c.info)
					}
				})
			}
			if len(f(0, 0)) > 6 {
				res := r.do(f(rigBlocks, 0), nil)
				if res.Status != scsi.Good && res.Status != scsi.ConditionMet {
					t.Errorf("no blocks at the end: %v", res)
				}
			}
			if len(f(0, 0)) == 16 {
				r.bad(f(1<<63, 1), fill(1, 1), sense.IllegalRequest, sense.LBAOutOfRange)
				r.bad(f(^uint64(0), 1), fill(1, 1), sense.IllegalRequest, sense.LBAOutOfRange)
			}
		})
	}
}

// A transport that expects to move less, or more, than the CDB asks for.
func TestResiduals(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write10"](0, 2), append(fill('a', 1), fill('b', 1)...))
	for _, n := range []int{0, 200, 512, 700, 1024, 10000} {
		t.Run(fmt.Sprintf("Read10/expects_%d", n), func(t *testing.T) {
			res := coretest.Do(r.path, readers["Read10"](0, 2), nil, n)
			want := min(n, 1024)
			if !res.Good() || len(res.Data) != want || res.InLen != 1024 {
				t.Fatalf("%v: %d bytes of %d, want %d", res, len(res.Data), res.InLen, want)
			}
			if !bytes.Equal(res.Data, append(fill('a', 1), fill('b', 1)...)[:want]) {
				t.Error("other data")
			}
		})
	}
	for _, wr := range []func(uint64, uint32) []byte{writers["Write10"],
		func(l uint64, n uint32) []byte { return cdb10(0x2e, 0x02, uint32(l), uint16(n)) }} {
		r.good(writers["Write10"](0, 2), fill('a', 2))
		if res := coretest.Do(r.path, wr(0, 2), fill('b', 1), 0); !res.Good() {
			t.Errorf("one block of two: %v", res)
		}
		if !bytes.Equal(r.bytes(0, 2), append(fill('b', 1), fill('a', 1)...)) {
			t.Error("one block of two: other data")
		}
		if res := coretest.Do(r.path, wr(0, 1), nil, 0); !res.Good() {
			t.Errorf("nothing of one block: %v", res)
		}
		if res := coretest.Do(r.path, wr(0, 1), fill('c', 1)[:200], 0); !res.Is(sense.IllegalRequest, invalidFieldInIU) {
			t.Errorf("a part of a block: %v", res)
		}
		if !bytes.Equal(r.bytes(0, 1), fill('b', 1)) {
			t.Error("a part of a block was written")
		}
	}
	for name, cdb := range map[string][]byte{"CompareAndWrite": caw(0, 1), "WriteAtomic16": cdb16(0x9c, 0, 0, 2),
		"WriteSame10": cdb10(0x41, 0, 0, 1), "WriteSame16": cdb16(0x93, 0, 0, 1)} {
		for _, n := range []int{256, 512 * 4} {
			res := coretest.Do(r.path, cdb, make([]byte, n), 0)
			if !res.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
				t.Errorf("%s with %d bytes: %v", name, n, res)
			}
		}
	}
}

func TestStoreErrors(t *testing.T) {
	plain := errors.New("boom")
	cases := []struct {
		name string
		err  error
		w    bool
		key  sense.Key
		code sense.Code
		info uint64
	}{
		{"read", plain, false, sense.MediumError, sense.UnrecoveredReadError, 8},
		{"read_corrupt_later", &block.Error{Op: "read", Off: 10 * 512, Err: block.ErrCorrupt}, false,
			sense.MediumError, sense.UnrecoveredReadError, 10},
		{"write", plain, true, sense.MediumError, sense.WriteError, 8},
		{"no_space", &block.Error{Op: "write", Off: 9 * 512, Err: block.ErrNoSpace}, true,
			sense.DataProtect, sense.SpaceAllocationFailed, 9},
		{"read_only", block.ErrReadOnly, true, sense.DataProtect, sense.HardwareWriteProtected, 0},
		{"gone", block.ErrGone, false, sense.NotReady, sense.NotReadyBecomingReady, 0},
		{"range", block.ErrRange, false, sense.IllegalRequest, sense.LBAOutOfRange, 8},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.store.hook = fail(c.err)
			cdb, out := readers["Read10"](8, 4), []byte(nil)
			if c.w {
				cdb, out = writers["Write10"](8, 4), fill(1, 4)
			}
			e := r.bad(cdb, out, c.key, c.code)
			if e.Info != c.info {
				t.Errorf("information %d, want %d", e.Info, c.info)
			}
			r.store.hook = nil
		})
	}
}

func TestNoWait(t *testing.T) {
	r := newRig(t, nil)
	r.store.hook = func(_ string, _, _ int64, f block.Flags) error {
		if f&block.NoWait != 0 {
			return block.ErrWouldBlock
		}
		return nil
	}
	r.good(writers["Write10"](0, 1), fill(9, 1))
	if got := r.good(readers["Read10"](0, 1), nil); !bytes.Equal(got, fill(9, 1)) {
		t.Error("other data")
	}
	if n := r.unit.Stats().Blocked; n != 2 {
		t.Errorf("%d commands went to a worker, want 2", n)
	}
}

func TestFUA(t *testing.T) {
	r := newRig(t, nil)
	r.good(cdb10(0x2a, 0x18, 0, 1), fill(1, 1))
	if n := r.store.count(&r.store.fuas); n != 1 {
		t.Errorf("%d FUA writes, want 1", n)
	}
	r.good(writers["Write10"](0, 1), fill(1, 1))
	if n := r.store.count(&r.store.fuas); n != 1 {
		t.Error("a plain write was FUA")
	}
	r.good(cdb10(0x28, 0x18, 0, 1), nil)
	if n := r.store.count(&r.store.flushes); n != 1 {
		t.Errorf("FUA read: %d flushes, want 1", n)
	}
}

func TestWriteProtect(t *testing.T) {
	for name, change := range map[string]func(*Config, *testStore){
		"configured": func(c *Config, _ *testStore) { c.ReadOnly = true },
		"store":      func(_ *Config, s *testStore) { s.info.ReadOnly = true },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, change)
			for _, row := range r.unit.Rows() {
				if !row.Is(core.WritesMedium) {
					continue
				}
				cdb := cdbOf(row)
				r.bad(cdb, make([]byte, 512), sense.DataProtect, sense.WriteProtected)
			}
			if b := r.good([]byte{0x1a, 0, 0x3f, 0, 255, 0}, nil); b[2]&0x80 == 0 {
				t.Error("WP is not set")
			}
			r.good(readers["Read10"](0, 1), nil)
		})
	}
}

// cdbOf is row's CDB with all other fields zero.
func cdbOf(row *core.Row) []byte {
	cdb := make([]byte, len(row.Usage))
	cdb[0] = row.Code
	switch {
	case row.Action == core.NoAction:
	case row.Code == opVariable:
		cdb[7], cdb[9] = longCDB, byte(row.Action)
	default:
		cdb[1] = byte(row.Action)
	}
	return cdb
}

func TestBlockSizes(t *testing.T) {
	for _, size := range []uint32{512, 1024, 2048, 4096} {
		r := newRig(t, func(c *Config, _ *testStore) { c.BlockSize = size; c.PhysicalExponent = 3; c.LowestAligned = 1 })
		p := bytes.Repeat([]byte{3}, int(size))
		last := uint64(rigBlocks*512/size) - 1
		r.good(writers["Write16"](last, 1), p)
		if got := r.good(readers["Read10"](last, 1), nil); !bytes.Equal(got, p) {
			t.Errorf("%d: other data", size)
		}
		b := r.good([]byte{0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nil)
		if want := []byte{0, 0, byte(last >> 8), byte(last), 0, 0, byte(size >> 8), 0}; !bytes.Equal(b, want) {
			t.Errorf("READ CAPACITY(10): % x, want % x", b, want)
		}
		b = r.good(cdb16(0x9e, 0x10, 0, 32), nil)
		want := make([]byte, 32)
		want[6], want[7], want[10], want[13], want[14], want[15] = byte(last>>8), byte(last), byte(size>>8), 3, 0xc0, 1
		if !bytes.Equal(b, want) {
			t.Errorf("READ CAPACITY(16): % x, want % x", b, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config, *testStore){
		"block_size":     func(c *Config, _ *testStore) { c.BlockSize = 520 },
		"exponent":       func(c *Config, _ *testStore) { c.PhysicalExponent = 16 },
		"lowest_aligned": func(c *Config, _ *testStore) { c.LowestAligned = 0x4000 },
		"max_transfer":   func(c *Config, _ *testStore) { c.MaxTransfer = 512 },
		"empty":          func(_ *Config, s *testStore) { s.info.Size = 511 },
	} {
		s, c := newTestStore(rigBlocks*512), testConfig()
		change(&c, s)
		if _, err := New(s, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestResize(t *testing.T) {
	r := newRig(t, nil)
	r.bad(readers["Read10"](rigBlocks, 1), nil, sense.IllegalRequest, sense.LBAOutOfRange)
	if err := r.disk.Resize(2 * rigBlocks * 512); err != nil {
		t.Fatal(err)
	}
	r.bad(readers["Read10"](rigBlocks, 1), nil, sense.UnitAttention, sense.CapacityChanged)
	r.good(readers["Read10"](2*rigBlocks-1, 1), nil)
	if err := r.disk.Resize(rigBlocks * 512); err == nil {
		t.Error("the store shrank")
	}
	r.good(readers["Read10"](2*rigBlocks-1, 1), nil)
}
