package sbc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// cached is a store whose writes a power cut may lose, in any order, until a Flush.
type cached struct {
	block.Store // of zeros: panics on what is not here

	mu      sync.Mutex
	stable  []byte
	now     []byte
	pending []pendingWrite
	onWrite func()
}

type pendingWrite struct {
	off int64
	p   []byte
}

func newCached(image []byte) *cached {
	return &cached{stable: slices.Clone(image), now: slices.Clone(image)}
}

func (s *cached) Info() block.Info {
	return block.Info{Size: int64(len(s.now)), Granularity: testGranularity, PhysicalBlock: 512,
		Unmap: block.Native, Volatile: true, NoWait: block.No, Align: 1}
}

func (s *cached) ReadAt(p []byte, off int64, _ block.Flags) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(p, s.now[off:])
	return nil
}

func (s *cached) WriteAt(p []byte, off int64, f block.Flags) error {
	if s.onWrite != nil {
		s.onWrite()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.now[off:], p)
	if f&block.FUA != 0 {
		copy(s.stable[off:], p)
		return nil
	}
	for len(p) > 0 { // torn at sectors
		n := min(len(p), int(512-off%512))
		s.pending = append(s.pending, pendingWrite{off, bytes.Clone(p[:n])})
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (s *cached) Unmap(off, n int64, f block.Flags) error { return s.WriteAt(make([]byte, n), off, f) }

func (s *cached) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	copy(s.stable, s.now)
	s.pending = nil
	return nil
}

func (s *cached) Close() error { return s.Flush() }

// cut is what a power cut leaves.
func (s *cached) cut(r *rand.Rand) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	image := slices.Clone(s.stable)
	for _, w := range s.pending {
		if r.IntN(2) == 0 {
			copy(image[w.off:], w.p)
		}
	}
	return image
}

func openCached(t *testing.T, data, dif *cached, kind uint8) (*Disk, *rig) {
	t.Helper()
	cfg := testConfig()
	cfg.Protection = &Protection{Store: dif, Type: kind}
	d, err := New(data, cfg)
	if err != nil {
		t.Fatal(err)
	}
	u := coretest.NewUnit(t, d, &coretest.State{})
	return d, &rig{t: t, disk: d, unit: u, path: coretest.NewPath(t, u)}
}

// TestDIFPowerCut: at any moment a power cut leaves blocks whose data and protection
// information fit, or that have none; and what was flushed still has its own.
func TestDIFPowerCut(t *testing.T) {
	const blocks = 64
	r := blocktest.Rand(t)
	for round := range 30 {
		kind := uint8(1 + round%3)
		data := newCached(make([]byte, blocks*512))
		dif := newCached(make([]byte, ProtectionSize(blocks*512, 512)))
		_, rg := openCached(t, data, dif, kind)
		var cutData, cutDIF []byte
		countdown := 1 + r.IntN(60)
		cut := func() {
			if countdown--; countdown == 0 {
				cutData, cutDIF = data.cut(r), dif.cut(r)
			}
		}
		data.onWrite, dif.onWrite = cut, cut

		history := make([][]byte, blocks) // values that a block may have, one byte each
		safe := make([]bool, blocks)      // flushed and not written since
		for i := range history {
			history[i] = []byte{0}
		}
		var atCut [][]byte
		var safeAtCut []bool
		for value := byte(1); cutData == nil && value < 200; value++ {
			lba, n := r.IntN(blocks-4), 1+r.IntN(4)
			for i := lba; i < lba+n; i++ {
				history[i] = append(history[i], value)
				safe[i] = false
			}
			atCut, safeAtCut = history, slices.Clone(safe)
			rg.good(cdb10(0x2a, 0, uint32(lba), uint16(n)), fill(value, n))
			if cutData == nil && r.IntN(4) == 0 {
				rg.good(cdb10(0x35, 0, 0, 0), nil)
				for i := range history {
					history[i] = history[i][len(history[i])-1:]
					safe[i] = true
				}
			}
		}
		if cutData == nil {
			continue
		}
		_, after := openCached(t, newCached(cutData), newCached(cutDIF), kind)
		for lba := range blocks {
			got := after.good(cdb10(0x28, 0, uint32(lba), 1), nil)
			if !slices.Contains(atCut[lba], got[0]) || !bytes.Equal(got, fill(got[0], 1)) {
				t.Fatalf("round %d: block %d has %02x, could have % x", round, lba, got[0], atCut[lba])
			}
			read := cdb10(0x28, 3<<5, uint32(lba), 1)
			if kind == 2 {
				read = tagged(0x09, 3<<5, uint64(lba), 1, 0, 0, 0)
			}
			v := getTuple(after.good(read, nil)[512:])
			if v != noCheck && v.guard != guard(got) || safeAtCut[lba] && got[0] != 0 && v == noCheck {
				t.Fatalf("round %d: block %d has %x, flushed before: %t", round, lba, v, safeAtCut[lba])
			}
		}
	}
}

// TestDIFCorruption: what changes after the disk was closed, or in a region that was not
// being written, is corruption and is told.
func TestDIFCorruption(t *testing.T) {
	data, dif := newCached(make([]byte, 64*512)), newCached(make([]byte, ProtectionSize(64*512, 512)))
	d, r := openCached(t, data, dif, 1)
	r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
	if err := d.closeStores(); err != nil {
		t.Fatal(err)
	}
	image := slices.Clone(data.stable)
	image[3*512+7] ^= 0x10
	_, after := openCached(t, newCached(image), newCached(dif.stable), 1)
	after.good(cdb10(0x28, 0, 0, 3), nil)
	e := after.bad(cdb10(0x28, 0, 0, 8), nil, sense.AbortedCommand, sense.GuardCheckFailed)
	if e.Info != 3 {
		t.Errorf("information %d, want 3", e.Info)
	}
}

// TestDIFMarks: a mark is there before a block changes, goes when the disk is closed, and
// before that when its region was not written for two flushes.
func TestDIFMarks(t *testing.T) {
	data, dif := newCached(make([]byte, 64*512)), newCached(make([]byte, ProtectionSize(64*512, 512)))
	d, r := openCached(t, data, dif, 1)
	marked := func() bool {
		t.Helper()
		n := intents{}
		if err := n.load(newCached(dif.stable), header{blockShift: 9}, true); err != nil {
			t.Fatal(err)
		}
		return n.unclean()
	}
	if marked() {
		t.Error("a fresh store is marked")
	}
	data.onWrite = func() {
		if !marked() {
			t.Error("a block changes without a mark")
		}
	}
	r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
	sequence := d.pi.head.sequence
	for range 5 {
		r.good(cdb10(0x35, 0, 0, 0), nil)
		r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
	}
	if d.pi.head.sequence != sequence {
		t.Error("the header of a region in use is written again and again")
	}
	for range 3 {
		r.good(cdb10(0x35, 0, 0, 0), nil)
	}
	if err := d.pi.record(t.Context(), func(*header) {}); err != nil || marked() {
		t.Errorf("a region that nobody writes stays marked, %v", err)
	}
	r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
	if !marked() {
		t.Error("not marked")
	}
	if err := d.closeStores(); err != nil || marked() {
		t.Errorf("a closed disk is marked, %v", err)
	}
}

// TestDIFHeader: torn, damaged and foreign headers.
func TestDIFHeader(t *testing.T) {
	size := ProtectionSize(64*512, 512)
	open := func(image []byte, blockSize uint32) (*protection, error) {
		s := newCached(make([]byte, size))
		copy(s.now, image)
		return newProtection(&Protection{Store: s, Type: 1}, block.Info{Size: 64 * 512}, blockSize, false)
	}
	old := header{kind: 2, blockShift: 9, regionShift: minRegion, sequence: 8}
	old.marks.set(7)
	young := old
	young.sequence, young.kind = 9, 3
	slots := func(a, b []byte) []byte { return append(slices.Clone(a), b...) }
	torn := slices.Clone(young.encode())
	clear(torn[2048:])
	foreign := young.encode()
	binary.BigEndian.PutUint16(foreign[8:], difVersion+1)
	sign(foreign)
	kind9 := young.encode()
	kind9[10] = 9
	sign(kind9)
	empty := make([]byte, slotLen)
	for _, c := range []struct {
		name      string
		image     []byte
		blockSize uint32
		kind      uint32 // 9: an error
	}{
		{"new", slots(empty, empty), 512, 1},
		{"first_torn", slots(empty, torn), 512, 1},
		{"younger_wins", slots(old.encode(), young.encode()), 512, 3},
		{"younger_first", slots(young.encode(), old.encode()), 512, 3},
		{"younger_torn", slots(old.encode(), torn), 512, 2},
		{"only_one", slots(empty, young.encode()), 512, 3},
		{"both_torn", slots(torn, torn), 512, 9},
		{"another_version", slots(old.encode(), foreign), 512, 9},
		{"another_type", slots(old.encode(), kind9), 512, 9},
		{"another_block_size", slots(old.encode(), young.encode()), 1024, 9},
		{"not_ours", slots(bytes.Repeat([]byte("x"), slotLen), bytes.Repeat([]byte("y"), slotLen)), 512, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := open(c.image, c.blockSize)
			if (err != nil) != (c.kind == 9) {
				t.Fatal(err)
			}
			if err == nil && p.kind.Load() != c.kind {
				t.Errorf("type %d, want %d", p.kind.Load(), c.kind)
			}
		})
	}
	if _, err := newProtection(&Protection{Store: newCached(make([]byte, size)), Type: 4}, block.Info{Size: 64 * 512}, 512, false); err == nil {
		t.Error("type 4 is taken")
	}
	if _, err := newProtection(&Protection{Store: newCached(make([]byte, size-1))}, block.Info{Size: 64 * 512}, 512, false); err == nil {
		t.Error("a store that is too short is taken")
	}
}

// sign makes the checksum of a slot right.
func sign(b []byte) { binary.BigEndian.PutUint32(b[slotLen-4:], crc32c(b[:slotLen-4])) }

func FuzzDIFHeader(f *testing.F) {
	h := header{kind: 1, blockShift: 9, regionShift: minRegion, sequence: 1}
	f.Add(h.encode()[:64])
	f.Fuzz(func(t *testing.T, b []byte) {
		slot := make([]byte, slotLen)
		copy(slot[:slotLen-4], b)
		sign(slot)
		if h, err := parseHeader(slot); err == nil {
			again, err := parseHeader(h.encode())
			if err != nil || again != h {
				t.Errorf("%+v becomes %+v, %v", h, again, err)
			}
		}
	})
}

// TestFormatProtection: FMTPINFO and PROTECTION FIELD USAGE (SBC-4, 5.5).
func TestFormatProtection(t *testing.T) {
	const illegalCDB, illegalParam = 8, 9
	for info := range byte(4) {
		for usage := range byte(8) {
			want := [4][8]int{
				{0, 9, 9, 9, 9, 9, 9, 9},
				{8, 8, 8, 8, 8, 8, 8, 8},
				{1, 9, 9, 9, 9, 9, 9, 9},
				{2, 3, 9, 9, 9, 9, 9, 9},
			}[info][usage]
			for from := range uint8(4) {
				t.Run(fmt.Sprintf("from_%d/%02b_%d", from, info, usage), func(t *testing.T) {
					r := newProtectedRig(t, from, nil)
					other := coretest.NewPath(t, r.unit)
					r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
					cdb, list := format(info<<6|fmtData), []byte{usage, 0, 0, 0}
					switch want {
					case illegalCDB:
						r.field(cdb, list, 1)
						return
					case illegalParam:
						r.param(cdb, list, 0)
						return
					}
					r.good(cdb, list)
					if got := r.disk.pi.kind.Load(); got != uint32(want) {
						t.Fatalf("type %d, want %d", got, want)
					}
					if !bytes.Equal(r.bytes(0, 8), fill(0, 8)) || r.tuples(0, 1)[0] != noCheck {
						t.Error("not empty")
					}
					ua := coretest.TakeUA(other)
					if changed := slices.Contains(ua, sense.CapacityChanged); changed != (int(from) != want) {
						t.Errorf("from type %d to %d: unit attentions %v", from, want, ua)
					}
					n := intents{}
					if err := n.load(r.dif, header{blockShift: 9}, true); err != nil || int(n.head.kind) != want {
						t.Errorf("the medium says type %d, %v", n.head.kind, err)
					}
				})
			}
		}
	}
	r := newProtectedRig(t, 0, nil)
	r.good(format(0x80), nil) // without a parameter list
	if got := r.disk.pi.kind.Load(); got != 1 {
		t.Errorf("type %d, want 1", got)
	}
	r.good(format(0), nil)
	if got := r.disk.pi.kind.Load(); got != 0 {
		t.Errorf("type %d, want 0", got)
	}
	r.param(format(fmtData|0x20|0x80), []byte{0, 0, 0, 1, 0, 0, 0, 0}, 3) // an interval of another length
	plain := newRig(t, nil)
	plain.field(format(0x80), nil, 1)
}

// TestSanitizeProtection: nothing is left of the protection information.
func TestSanitizeProtection(t *testing.T) {
	for _, do := range []func(r *rig){
		func(r *rig) { r.good(sanitize(saBlockErase, 0), nil) },
		func(r *rig) { r.good(sanitize(saOverwrite, 5), overwriteList(2, []byte{0x5a})) },
	} {
		r := newProtectedRig(t, 1, nil)
		r.good(cdb10(0x2a, 0, 0, 64), fill(1, 64))
		do(r.rig)
		if got := r.tuples(0, rigBlocks); slices.ContainsFunc(got, func(v tuple) bool { return v != noCheck }) {
			t.Error("there is protection information")
		}
		r.good(cdb10(0x2f, 1<<5, 0, 64), nil)
	}
}

// TestWriteAtomicProtectedCrash: the replay makes data and protection information fit.
func TestWriteAtomicProtectedCrash(t *testing.T) {
	state := &coretest.State{}
	if err := state.Save(journalName, slices.Concat([]byte{0, recordVersion}, []byte{0, 0, 0, 0, 0, 0, 8, 0}, fill('b', 4))); err != nil {
		t.Fatal(err)
	}
	before := newProtectedRig(t, 1, nil)
	before.good(cdb10(0x2a, 0, 0, 16), fill('a', 16))
	cfg := testConfig()
	cfg.Protection = &Protection{Store: before.dif}
	d, err := New(before.store, cfg)
	if err != nil {
		t.Fatal(err)
	}
	u := coretest.NewUnit(t, d, state)
	r := &rig{t: t, disk: d, unit: u, path: coretest.NewPath(t, u)}
	want := slices.Concat(fill('a', 4), fill('b', 4), fill('a', 8))
	if got := r.good(cdb10(0x28, 0, 0, 16), nil); !bytes.Equal(got, want) {
		t.Error("other data")
	}
}

// TestProtectedResize: protection information grows with the disk.
func TestProtectedResize(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	if err := r.disk.Resize(2 * rigBlocks * 512); err != nil {
		t.Fatal(err)
	}
	r.do([]byte{0, 0, 0, 0, 0, 0}, nil) // the unit attention
	r.good(cdb10(0x2a, 0, 2*rigBlocks-1, 1), fill(1, 1))
	r.good(cdb10(0x28, 1<<5, 2*rigBlocks-1, 1), nil)
}

// TestProtectionStoreFails: the error says the block, not an offset of the other store.
func TestProtectionStoreFails(t *testing.T) {
	r := newProtectedRig(t, 1, nil)
	r.good(cdb10(0x2a, 0, 0, 8), fill(1, 8))
	broken := hookError{&block.Error{Op: "read", Off: dataAt + 5*tupleLen, Err: block.ErrCorrupt}}
	r.dif.hook = func(string, int64, int64, block.Flags) error { return broken }
	if e := r.bad(cdb10(0x28, 0, 4, 2), nil, sense.MediumError, sense.UnrecoveredReadError); e.Info != 4 {
		t.Errorf("information %d, want 4", e.Info)
	}
	if e := r.bad(cdb10(0x2a, 0, 4, 2), fill(1, 2), sense.MediumError, sense.WriteError); e.Info != 4 {
		t.Errorf("information %d, want 4", e.Info)
	}
	r.dif.hook = fail(block.ErrNoSpace)
	r.bad(cdb10(0x2a, 0, 4, 2), fill(1, 2), sense.DataProtect, sense.SpaceAllocationFailed)
	r.dif.hook = nil
	r.good(cdb10(0x28, 0, 0, 8), nil)
}
