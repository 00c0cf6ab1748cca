//go:build system

package sam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// mediaCommand is a command that names blocks.
type mediaCommand struct {
	name string
	make func(lba uint64, n uint16) []byte
	out  int // blocks of Data-Out for each that the CDB names; -1: one in all
	in   bool
}

func with10(op, flags byte) func(uint64, uint16) []byte {
	return func(lba uint64, n uint16) []byte { return cdb10(op, flags, uint32(lba), n) }
}
func with12(op byte) func(uint64, uint16) []byte {
	return func(lba uint64, n uint16) []byte { return cdb12(op, 0, uint32(lba), uint32(n)) }
}
func with16(op, flags byte) func(uint64, uint16) []byte {
	return func(lba uint64, n uint16) []byte { return cdb16(op, flags, lba, uint32(n)) }
}
func with6(op byte) func(uint64, uint16) []byte {
	return func(lba uint64, n uint16) []byte {
		return []byte{op, byte(lba >> 16), byte(lba >> 8), byte(lba), byte(n), 0}
	}
}

var mediaCommands = []mediaCommand{
	{"READ(6)", with6(0x08), 0, true},
	{"READ(10)", with10(0x28, 0), 0, true},
	{"READ(12)", with12(0xa8), 0, true},
	{"READ(16)", with16(0x88, 0), 0, true},
	{"WRITE(6)", with6(0x0a), 1, false},
	{"WRITE(10)", with10(0x2a, 0), 1, false},
	{"WRITE(12)", with12(0xaa), 1, false},
	{"WRITE(16)", with16(0x8a, 0), 1, false},
	{"WRITE AND VERIFY(10)", with10(0x2e, 0), 1, false},
	{"WRITE AND VERIFY(12)", with12(0xae), 1, false},
	{"WRITE AND VERIFY(16)", with16(0x8e, 0), 1, false},
	{"VERIFY(10)", with10(0x2f, 0), 0, false},
	{"VERIFY(12)", with12(0xaf), 0, false},
	{"VERIFY(16)", with16(0x8f, 0), 0, false},
	{"PRE-FETCH(10)", with10(0x34, 0), 0, false},
	{"PRE-FETCH(16)", with16(0x90, 0), 0, false},
	{"SYNCHRONIZE CACHE(10)", with10(0x35, 0), 0, false},
	{"SYNCHRONIZE CACHE(16)", with16(0x91, 0), 0, false},
	{"WRITE SAME(10)", with10(0x41, 0), -1, false},
	{"WRITE SAME(16)", with16(0x93, 0), -1, false},
	{"ORWRITE(16)", with16(0x8b, 0), 1, false},
	{"COMPARE AND WRITE", func(lba uint64, n uint16) []byte { return caw(lba, byte(n)) }, 2, false},
	{"WRITE ATOMIC(16)", atomicWrite, 1, false},
}

func (m mediaCommand) command(lun uint16, lba uint64, n, blockSize int) *initiator.Command {
	c := &initiator.Command{LUN: lun, CDB: m.make(lba, uint16(n))}
	if m.in {
		c.In = n * blockSize
	}
	switch {
	case m.out < 0:
		c.Out = make([]byte, blockSize)
	case m.out > 0:
		c.Out = make([]byte, m.out*n*blockSize)
	}
	return c
}

func testEdges(t *testing.T) {
	for _, m := range mediaCommands {
		run(t, m.name+" at the last block and beyond", func(t *testing.T) {
			h := login(t)
			for lun, size := range map[uint16]int{lunOther: 512, lun4K: 4096} {
				blocks, _, err := h.Capacity(h.ctx, lun)
				if err != nil {
					t.Fatal(err)
				}
				last := h.do(m.command(lun, blocks-1, 1, size))
				if last.Status != good && last.Status != 0x04 { // CONDITION MET of PRE-FETCH
					t.Errorf("the last block: %v", last.Err())
				}
				two := h.do(m.command(lun, blocks-1, 2, size))
				h.fails(two, illegal, lbaOutOfRange)
				h.fails(h.do(m.command(lun, blocks, 1, size)), illegal, lbaOutOfRange)
				if info, ok := information(two.Sense); !ok || info != blocks {
					t.Errorf("INFORMATION %d (%v), want %d", info, ok, blocks)
				}
			}
		})
	}
	for _, m := range mediaCommands {
		if cdb := m.make(0, 0); len(cdb) != 16 {
			continue
		}
		run(t, m.name+" at the end of the address space", func(t *testing.T) {
			h := login(t)
			for _, lba := range []uint64{1 << 63, 1<<64 - 1, 1 << 55, 1<<64 - 8} {
				h.fails(h.do(m.command(lunOther, lba, 2, 512)), illegal, lbaOutOfRange)
			}
		})
	}
	run(t, "READ(6) of zero blocks is 256", func(t *testing.T) {
		h := login(t)
		r := h.in(lunOther, []byte{0x08, 0, 0, 0, 0, 0}, 256*512)
		h.good(r)
		if len(r.Data) != 256*512 {
			t.Errorf("%d bytes", len(r.Data))
		}
	})
	run(t, "READ(10) of zero blocks beyond the end", func(t *testing.T) {
		h := login(t)
		blocks, _, err := h.Capacity(h.ctx, lunOther)
		if err != nil {
			t.Fatal(err)
		}
		h.good(h.none(lunOther, cdb10(0x28, 0, uint32(blocks), 0))) // the end itself is no error
		h.fails(h.none(lunOther, cdb10(0x28, 0, uint32(blocks)+1, 0)), illegal, lbaOutOfRange)
	})
	run(t, "READ CAPACITY(10) of a disk above 2 TiB blocks says so", func(t *testing.T) {
		h := login(t)
		r := h.in(lunNull, make10(0x25), 8)
		h.good(r)
		n, _, err := h.Capacity(h.ctx, lunNull)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(n-1, 1<<32-1); uint64(binary.BigEndian.Uint32(r.Data)) != want {
			t.Errorf("last block %x, want %x", r.Data[:4], want)
		}
	})
	run(t, "READ CAPACITY(10) and (16) agree", func(t *testing.T) {
		h := login(t)
		for _, lun := range []uint16{lunMem, lunFile, lun4K} {
			r := h.in(lun, make10(0x25), 8)
			h.good(r)
			n, size, err := h.Capacity(h.ctx, lun)
			if err != nil || uint64(binary.BigEndian.Uint32(r.Data))+1 != n || binary.BigEndian.Uint32(r.Data[4:]) != size {
				t.Errorf("LUN %d: %x, then %d x %d, %v", lun, r.Data, n, size, err)
			}
		}
	})
	run(t, "a transfer above MAXIMUM TRANSFER LENGTH", func(t *testing.T) {
		h := login(t)
		r := h.in(lunNull, inquiry(0xb0, 64), 64)
		h.good(r)
		most := binary.BigEndian.Uint32(r.Data[8:])
		if most == 0 {
			t.Fatal("no MAXIMUM TRANSFER LENGTH is reported")
		}
		h.fails(h.do(&initiator.Command{LUN: lunNull, CDB: cdb16(0x88, 0, 0, most+1), In: 512}), illegal, invalidCDB)
	})
}

// information is the INFORMATION field of fixed format sense data.
func information(sense []byte) (uint64, bool) {
	if len(sense) < 8 || sense[0]&0x80 == 0 {
		return 0, false
	}
	return uint64(binary.BigEndian.Uint32(sense[3:])), true
}

func testBlocks(t *testing.T) {
	for _, lun := range []uint16{lunMem, lunFile, lunHeld} {
		name := map[uint16]string{lunMem: "mem", lunFile: "file", lunHeld: "filtered"}[lun]
		run(t, "5.40 every WRITE is seen by every READ on "+name, func(t *testing.T) {
			h := login(t)
			for i, w := range mediaCommands {
				if w.out != 1 || w.name == "ORWRITE(16)" {
					continue
				}
				c := w.command(lun, free, 3, 512)
				c.Out = fill(3, byte(i+1))
				h.good(h.do(c))
				for _, r := range mediaCommands {
					if r.in {
						res := h.do(r.command(lun, free, 3, 512))
						h.good(res)
						if !bytes.Equal(res.Data, c.Out) {
							t.Errorf("%s does not see what %s wrote", r.name, w.name)
						}
					}
				}
			}
		})
		run(t, "5.2 COMPARE AND WRITE on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, free, 4, 1)
			h.good(h.out(lun, caw(free, 2), slices.Concat(fill(2, 1), fill(2, 2))))
			h.holds(lun, free, 2, 2)
			h.holds(lun, free+2, 2, 1)
			bad := fill(2, 2)
			bad[700] = 9
			r := h.out(lun, caw(free, 2), slices.Concat(bad, fill(2, 3)))
			h.fails(r, miscompare, 0x1d00)
			if at, ok := information(r.Sense); !ok || at != 700 {
				t.Errorf("INFORMATION %d (%v), want 700", at, ok)
			}
			h.holds(lun, free, 2, 2)
		})
		run(t, "5.17 ORWRITE on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, free, 2, 0x0f)
			h.good(h.out(lun, cdb16(0x8b, 0, free, 2), fill(2, 0x50)))
			h.holds(lun, free, 2, 0x5f)
		})
		run(t, "5.36 VERIFY compares on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, free, 2, 7)
			for _, m := range []func(uint64, uint16) []byte{with10(0x2f, 2), with16(0x8f, 2)} {
				h.good(h.out(lun, m(free, 2), fill(2, 7)))
				bad := fill(2, 7)
				bad[1023] = 0
				h.fails(h.out(lun, m(free, 2), bad), miscompare, 0x1d00)
			}
			h.good(h.out(lun, with16(0x8f, 6)(free, 2), fill(1, 7))) // BYTCHK 11b
		})
		run(t, "5.44 WRITE SAME on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, free, 10, 1)
			h.good(h.out(lun, cdb16(0x93, 0, free+1, 8), fill(1, 9)))
			h.holds(lun, free, 1, 1)
			h.holds(lun, free+1, 8, 9)
			h.holds(lun, free+9, 1, 1)
		})
		run(t, "5.40 FUA on "+name, func(t *testing.T) {
			h := login(t)
			h.good(h.out(lun, cdb10(0x2a, 8, free, 2), fill(2, 3)))
			r := h.in(lun, cdb10(0x28, 8, free, 2), 1024)
			h.good(r)
			if !bytes.Equal(r.Data, fill(2, 3)) {
				t.Error("what was written does not come back")
			}
		})
		run(t, "5.43 WRITE ATOMIC on "+name, func(t *testing.T) {
			h := login(t)
			h.good(h.out(lun, atomicWrite(free, 8), fill(8, 6)))
			h.holds(lun, free, 8, 6)
		})
	}
	run(t, "5.40 FUA reaches the store's medium", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		release()
		h.good(h.out(lunHeld, cdb10(0x2a, 8, free, 1), fill(1, 3)))
		tr.wait(t, ends("write", free, 1))
	})
	run(t, "5.2 a stuck COMPARE AND WRITE is not torn by a write", func(t *testing.T) {
		a, b := login(t), login(t)
		a.write(lunHeld, kept, 1, 1)
		tr, release := held(t, lunHeld)
		c := a.start(&initiator.Command{LUN: lunHeld, CDB: caw(kept, 1), Out: slices.Concat(fill(1, 1), fill(1, 2))})
		tr.wait(t, begins("read", kept, 1))
		w := b.startWrite(lunHeld, kept, 3, 1)
		b.isOpen(w, "a write to the same block")
		release()
		a.good(a.wait(c))
		b.good(b.wait(w))
		b.holds(lunHeld, kept, 1, 3)
		if tr.index(ends("write", kept, 1)) < 0 {
			t.Error("no write came to the store")
		}
	})
	run(t, "5.2 one of many COMPARE AND WRITE wins", func(t *testing.T) {
		h, other := login(t), login(t, to(iqnAgain))
		for round := range byte(8) {
			h.write(lunFile, free, 1, 100)
			var all []*initiator.Task
			for i := range byte(16) {
				from := []*host{h, other}[i%2]
				all = append(all, from.start(&initiator.Command{LUN: lunFile, CDB: caw(free, 1), Out: slices.Concat(fill(1, 100), fill(1, i))}))
			}
			winner, wins := byte(0), 0
			for i, task := range all {
				if r := h.wait(task); r.Status == good {
					winner, wins = byte(i), wins+1
				} else {
					h.fails(r, miscompare, 0x1d00)
				}
			}
			if wins != 1 {
				t.Fatalf("round %d: %d won", round, wins)
			}
			h.holds(lunFile, free, 1, winner)
		}
	})
	for _, cmd := range []string{"COMPARE AND WRITE", "WRITE ATOMIC(16)"} {
		run(t, "5 "+cmd+" above its maximum", func(t *testing.T) {
			h := login(t)
			r := h.in(lunOther, inquiry(0xb0, 64), 64)
			h.good(r)
			if cmd == "COMPARE AND WRITE" {
				if most := r.Data[5]; most < 255 {
					h.fails(h.out(lunOther, caw(0, most+1), make([]byte, 1024*(int(most)+1))), illegal, invalidCDB)
				} else if most == 0 {
					t.Error("no maximum is reported")
				}
				return
			}
			most := binary.BigEndian.Uint32(r.Data[44:])
			if most == 0 || most >= 65535 {
				t.Fatalf("MAXIMUM ATOMIC TRANSFER LENGTH %d", most)
			}
			h.fails(h.do(&initiator.Command{LUN: lunOther, CDB: atomicWrite(0, uint16(most+1)), Out: fill(1, 0)}), illegal, invalidCDB)
		})
	}
}

func testProvisioning(t *testing.T) {
	unmap := func(h *host, lun uint16, pairs ...uint64) *initiator.Result {
		h.t.Helper()
		list := unmapList(pairs...)
		return h.out(lun, unmapCDB(len(list)), list)
	}
	for _, lun := range []uint16{lunMem, lunFile} {
		name := map[uint16]string{lunMem: "mem", lunFile: "file"}[lun]
		run(t, "5.35 UNMAP makes zeros on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, 1024, 512, 1)
			h.good(unmap(h, lun, 1024, 100, 1200, 8, 1300, 0))
			h.holds(lun, 1024, 100, 0)
			h.holds(lun, 1124, 76, 1)
			h.holds(lun, 1200, 8, 0)
			h.holds(lun, 1208, 328, 1)
		})
		run(t, "5.44 WRITE SAME with UNMAP makes zeros on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, 1024, 512, 1)
			h.good(h.out(lun, cdb16(0x93, 8, 1030, 300), fill(1, 0)))
			h.holds(lun, 1024, 6, 1)
			h.holds(lun, 1030, 300, 0)
			h.holds(lun, 1330, 200, 1)
		})
		run(t, "5.44 WRITE SAME with NDOB has no Data-Out on "+name, func(t *testing.T) {
			h := login(t)
			h.write(lun, 1024, 64, 1)
			h.good(h.none(lun, cdb16(0x93, 1, 1030, 30)))
			h.holds(lun, 1024, 6, 1)
			h.holds(lun, 1030, 30, 0)
			h.holds(lun, 1060, 4, 1)
		})
		run(t, "5.44 WRITE SAME with UNMAP of data that is not zero writes it on "+name, func(t *testing.T) {
			h := login(t)
			h.good(h.out(lun, cdb16(0x93, 8, 1030, 30), fill(1, 5)))
			h.holds(lun, 1030, 30, 5)
		})
		run(t, "5.6 GET LBA STATUS shows what is mapped on "+name, func(t *testing.T) {
			h := login(t)
			h.good(unmap(h, lun, 2048, 4096))
			h.write(lun, 4096, 128, 1)
			status := func(lba uint64) (n uint32, state byte) {
				r := h.in(lun, []byte{0x9e, 0x12, 0, 0, 0, 0, 0, 0, byte(lba >> 8), byte(lba), 0, 0, 1, 0, 0, 0}, 256)
				h.good(r)
				if len(r.Data) < 24 || binary.BigEndian.Uint64(r.Data[8:]) != lba {
					t.Fatalf("got %x", r.Data)
				}
				return binary.BigEndian.Uint32(r.Data[16:]), r.Data[20] & 15
			}
			if n, s := status(2048); s != 1 || n == 0 || n > 2048 {
				t.Errorf("at 2048: %d blocks in state %d, want deallocated", n, s)
			}
			if n, s := status(4096); s != 0 || n < 128 {
				t.Errorf("at 4096: %d blocks in state %d, want mapped", n, s)
			}
		})
	}
	run(t, "5.35 an empty UNMAP list", func(t *testing.T) {
		h := login(t)
		h.good(h.none(lunMem, unmapCDB(0)))
		h.good(unmap(h, lunMem))
	})
	run(t, "5.35 UNMAP beyond the end unmaps nothing", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 8, 1)
		h.fails(unmap(h, lunMem, free, 8, 1<<40, 1), illegal, lbaOutOfRange)
		h.holds(lunMem, free, 8, 1)
	})
	run(t, "5.35 a descriptor too many", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, inquiry(0xb0, 64), 64)
		h.good(r)
		most := binary.BigEndian.Uint32(r.Data[24:])
		if longest := uint32((65535 - 8) / 16); most >= longest { // no list can have more
			h.good(unmap(h, lunMem, make([]uint64, 2*longest)...))
			return
		}
		h.is(unmap(h, lunMem, make([]uint64, 2*(most+1))...), checkCond)
	})
	for _, n := range []int{1, 7} {
		run(t, fmt.Sprintf("5.35 a list of %d bytes", n), func(t *testing.T) {
			h := login(t)
			h.fails(h.out(lunMem, unmapCDB(n), make([]byte, n)), illegal, paramLength)
		})
	}
	run(t, "5.44 WRITE SAME of zero blocks with WSNZ", func(t *testing.T) {
		h := login(t)
		r := h.in(lunMem, inquiry(0xb0, 64), 64)
		h.good(r)
		same := h.out(lunMem, cdb16(0x93, 0, 0, 0), fill(1, 1))
		if r.Data[4]&1 != 0 {
			h.fails(same, illegal, invalidCDB)
		} else {
			h.is(same, good)
		}
	})
	run(t, "5.44 WRITE SAME above its maximum", func(t *testing.T) {
		h := login(t)
		r := h.in(lunNull, inquiry(0xb0, 64), 64)
		h.good(r)
		most := binary.BigEndian.Uint64(r.Data[36:])
		if most == 0 || most >= 1<<32-1 {
			t.Fatalf("MAXIMUM WRITE SAME LENGTH %d", most)
		}
		h.fails(h.out(lunNull, cdb16(0x93, 0, 0, uint32(most)+1), fill(1, 1)), illegal, invalidCDB)
	})
}

func testFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		cmd  initiator.Command
		key  uint8
		code uint16
		info uint64
	}{
		{"a read that fails", initiator.Command{CDB: read10(brokenRead-2, 8), In: 4096}, mediumError, 0x1100, brokenRead},
		{"a write that fails", initiator.Command{CDB: write10(brokenWrite-3, 8), Out: fill(8, 1)}, mediumError, 0x0c00, brokenWrite},
		{"no space", initiator.Command{CDB: write10(brokenFull, 1), Out: fill(1, 1)}, protect, 0x2707, brokenFull},
		{"VERIFY of a block that fails", initiator.Command{CDB: cdb10(0x2f, 0, brokenRead, 1)}, mediumError, 0x1100, brokenRead},
	} {
		run(t, c.name+" says where", func(t *testing.T) {
			h := login(t)
			h.write(lunBroken, brokenRead, 1, 1) // what is not mapped is not read
			cmd := c.cmd
			cmd.LUN = lunBroken
			r := h.do(&cmd)
			h.fails(r, c.key, c.code)
			if info, ok := information(r.Sense); !ok || info != c.info {
				t.Errorf("INFORMATION %d (%v), want %d", info, ok, c.info)
			}
			if len(r.Data) != 0 {
				t.Errorf("%d bytes came with the error", len(r.Data))
			}
		})
	}
	run(t, "a store that is gone is NOT READY", func(t *testing.T) {
		h := login(t)
		r := h.in(lunBroken, read10(brokenGone, 1), 512)
		h.is(r, checkCond)
		if r.Key() != notReady {
			t.Errorf("sense %x/%04x", r.Key(), r.Code())
		}
		h.good(h.in(lunBroken, read10(0, 1), 512))
	})
	run(t, "blocks beside a bad one work", func(t *testing.T) {
		h := login(t)
		h.write(lunBroken, brokenWrite-1, 1, 4)
		h.write(lunBroken, brokenWrite+1, 1, 4)
		h.holds(lunBroken, brokenRead+1, 1, 0)
	})
}
