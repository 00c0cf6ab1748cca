package sbc

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

func TestVerify(t *testing.T) {
	forms := map[string]func(flags byte, lba uint64, n uint32) []byte{
		"Verify10": func(f byte, l uint64, n uint32) []byte { return cdb10(0x2f, f, uint32(l), uint16(n)) },
		"Verify12": func(f byte, l uint64, n uint32) []byte { return cdb12(0xaf, f, uint32(l), n) },
		"Verify16": func(f byte, l uint64, n uint32) []byte { return cdb16(0x8f, f, l, n) },
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.good(writers["Write10"](8, 1024), fill('a', 1024)) // more than the scratch buffer
			r.good(f(0x00, 8, 1024), nil)
			r.good(f(0x00, 0, rigBlocks), nil)
			r.good(f(0x02, 8, 1024), fill('a', 1024))
			r.good(f(0x06, 8, 1024), fill('a', 1))
			r.good(f(0x06, 8, 0), nil)

			p := fill('a', 1024)
			p[600*512+3] = 'b'
			e := r.bad(f(0x02, 8, 1024), p, sense.Miscompare, sense.MiscompareDuringVerify)
			if e.Info != 600*512+3 {
				t.Errorf("information %d, want %d", e.Info, 600*512+3)
			}
			r.bad(f(0x06, 8, 1025), fill('a', 1), sense.Miscompare, sense.MiscompareDuringVerify)
			r.field(f(0x04, 8, 1), nil, 1)
			r.bad(f(0x02, 8, 2), fill('a', 1), sense.IllegalRequest, invalidFieldInIU)
			r.store.hook = fail(block.ErrCorrupt)
			r.bad(f(0x00, 8, 1), nil, sense.MediumError, sense.UnrecoveredReadError)
			r.store.hook = nil
		})
	}
}

func TestWriteAndVerify(t *testing.T) {
	forms := map[string]func(flags byte, lba uint64, n uint32) []byte{
		"WriteAndVerify10": func(f byte, l uint64, n uint32) []byte { return cdb10(0x2e, f, uint32(l), uint16(n)) },
		"WriteAndVerify12": func(f byte, l uint64, n uint32) []byte { return cdb12(0xae, f, uint32(l), n) },
		"WriteAndVerify16": func(f byte, l uint64, n uint32) []byte { return cdb16(0x8e, f, l, n) },
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.good(f(0x00, 1, 2), fill('a', 2))
			r.good(f(0x12, 3, 2), fill('a', 2))
			if !bytes.Equal(r.bytes(0, 6), append(append(fill(0, 1), fill('a', 4)...), fill(0, 1)...)) {
				t.Error("other data")
			}
			if n := r.store.count(&r.store.fuas); n != 2 {
				t.Errorf("%d FUA writes, want 2", n)
			}
			r.field(f(0x06, 1, 1), fill('a', 1), 1)
		})
	}
	t.Run("the_medium_differs", func(t *testing.T) {
		r := newRig(t, nil)
		r.store.hook = func(op string, off, _ int64, _ block.Flags) error {
			if op == "read" {
				r.store.mu.Lock()
				r.store.data[off+700] ^= 1
				r.store.mu.Unlock()
			}
			return nil
		}
		e := r.bad(forms["WriteAndVerify10"](0x02, 1, 2), fill('a', 2), sense.Miscompare, sense.MiscompareDuringVerify)
		if e.Info != 700 {
			t.Errorf("information %d, want 700", e.Info)
		}
	})
}

func TestCompareAndWrite(t *testing.T) {
	r := newRig(t, nil)
	for _, n := range []int{1, 7, 255} {
		r.good(writers["Write16"](4, uint32(n)), fill('a', n))
		p := append(fill('a', n), fill('b', n)...)
		r.good(caw(4, byte(n)), p)
		if !bytes.Equal(r.bytes(4, n), fill('b', n)) {
			t.Errorf("%d blocks: not written", n)
		}
		p = append(fill('b', n), fill('c', n)...)
		p[n*512-27] = 'x'
		e := r.bad(caw(4, byte(n)), p, sense.Miscompare, sense.MiscompareDuringVerify)
		if e.Info != uint64(n*512-27) {
			t.Errorf("information %d, want %d", e.Info, n*512-27)
		}
		if !bytes.Equal(r.bytes(4, n), fill('b', n)) {
			t.Errorf("%d blocks: written in spite of a miscompare", n)
		}
	}
	r.good(caw(0, 0), nil)
	r.bad(caw(rigBlocks, 1), fill(0, 2), sense.IllegalRequest, sense.LBAOutOfRange)
	small := newRig(t, func(c *Config, _ *testStore) { c.MaxTransfer = 16 * 512 })
	small.good(caw(0, 8), fill(0, 16))
	small.field(caw(0, 9), fill(0, 18), 13)
}

func TestOrWrite(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write10"](3, 700), fill(0xa1, 700))
	r.good(cdb16(0x8b, 0x08, 3, 700), fill(0x1a, 700))
	if !bytes.Equal(r.bytes(2, 702), append(append(fill(0, 1), fill(0xbb, 700)...), fill(0, 1)...)) {
		t.Error("other data")
	}
	if n := r.store.count(&r.store.fuas); n != 1 {
		t.Errorf("%d FUA writes, want 1", n)
	}
	r.good(cdb16(0x8b, 0, 3, 0), nil)
}

func writeAtomic(lba uint64, n uint16) []byte {
	b := cdb16(0x9c, 0, lba, 0)
	binary.BigEndian.PutUint16(b[12:], n)
	return b
}

func TestWriteAtomic(t *testing.T) {
	r := newRig(t, func(c *Config, s *testStore) { *s = *newTestStore(4 << 20); c.MaxTransfer = 8 << 20 })
	r.good(writeAtomic(5, 2048), fill('a', 2048))
	if !bytes.Equal(r.bytes(5, 2048), fill('a', 2048)) {
		t.Error("other data")
	}
	r.field(writeAtomic(0, 2049), fill('a', 2049), 12)
	b := r.good([]byte{0x12, 1, 0xb0, 0, 64, 0}, nil)
	if n := binary.BigEndian.Uint32(b[44:]); n != 2048 {
		t.Errorf("MAXIMUM ATOMIC TRANSFER LENGTH is %d, want 2048", n)
	}
	b = writeAtomic(0, 1)
	b[11] = 1
	r.field(b, fill('a', 1), 11) // no boundaries
}

// Increments by COMPARE AND WRITE from many nexuses lose nothing.
func TestCompareAndWriteCounts(t *testing.T) {
	r := newRig(t, nil)
	const workers, rounds = 4, 50
	var wg sync.WaitGroup
	for range workers {
		p := coretest.NewPath(t, r.unit)
		wg.Go(func() {
			for range rounds {
				for {
					old := coretest.Do(p, cdb10(0x28, 0, 0, 1), nil, coretest.AnyLength).Data
					next := bytes.Clone(old)
					binary.BigEndian.PutUint64(next, binary.BigEndian.Uint64(old)+1)
					res := coretest.Do(p, caw(0, 1), append(old, next...), coretest.AnyLength)
					if res.Good() {
						break
					}
					if !res.Is(sense.Miscompare, sense.MiscompareDuringVerify) {
						t.Error(res)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := binary.BigEndian.Uint64(r.bytes(0, 1)); n != workers*rounds {
		t.Errorf("counted to %d, want %d", n, workers*rounds)
	}
}

// tearing makes writes of the store visible block by block, and reads likewise.
type tearing struct{ *testStore }

func (s tearing) WriteAt(p []byte, off int64, f block.Flags) error {
	for i := 0; i < len(p); i += 512 {
		if err := s.testStore.WriteAt(p[i:i+512], off+int64(i), f); err != nil {
			return err
		}
	}
	return nil
}

func (s tearing) ReadAt(p []byte, off int64, f block.Flags) error {
	for i := 0; i < len(p); i += 512 {
		if err := s.testStore.ReadAt(p[i:i+512], off+int64(i), f); err != nil {
			return err
		}
	}
	return nil
}

// No READ sees a part of a WRITE ATOMIC, and no WRITE gets into the middle of one.
func TestWriteAtomicIsNotSeenInPart(t *testing.T) {
	d, err := New(tearing{newTestStore(1 << 20)}, testConfig())
	if err != nil {
		t.Fatal(err)
	}
	u := coretest.NewUnit(t, d, nil)
	const blocks = 16
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 2 {
		p := coretest.NewPath(t, u)
		wg.Go(func() {
			for i := range 200 {
				out := fill(byte(2*i+g), blocks)
				if res := coretest.Do(p, writeAtomic(0, blocks), out, coretest.AnyLength); !res.Good() {
					t.Error(res)
				}
			}
			if g == 0 {
				close(stop)
			}
		})
	}
	p := coretest.NewPath(t, u)
	for done := false; !done; {
		select {
		case <-stop:
			done = true
		default:
		}
		res := coretest.Do(p, cdb16(0x88, 0, 0, blocks), nil, coretest.AnyLength)
		if res.Status != scsi.Good {
			t.Fatal(res)
		}
		if !bytes.Equal(res.Data, fill(res.Data[0], blocks)) {
			t.Fatal("a torn read")
		}
	}
	wg.Wait()
}
