//go:build system

package tape

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// testAttention is who is told what (SAM-6, 5.14; vtl.md 4.8).
func testAttention(t *testing.T) {
	has := func(t *testing.T, codes []uint16, want uint16) {
		t.Helper()
		if !slices.Contains(codes, want) {
			t.Errorf("unit attentions %04x, want %04x among them", codes, want)
		}
	}
	run(t, "power on, for a new nexus", func(t *testing.T) {
		h := fresh(t, iqn)
		for lun := range uint16(drives + 1) {
			codes := h.attentions(lun)
			if len(codes) == 0 || codes[0]>>8 != 0x29 {
				t.Errorf("LUN %d: unit attentions %04x", lun, codes)
			}
		}
	})
	run(t, "a cartridge loaded by the changer: 28/00 for each nexus, through both targets", func(t *testing.T) {
		a, b, c := login(t), login(t), fresh(t, iqnAgain)
		c.attentions(lunDrive)
		a.insert(1, "")
		for _, h := range []*host{a, b, c} {
			h.attentions(lunDrive)
		}
		a.is(a.move(firstSlot, firstDrive), "good")
		for _, h := range []*host{a, b, c} {
			for range 2 {
				if codes := h.attentions(lunDrive); codes != nil {
					has(t, codes, 0x2800)
					break
				}
				h.ready()
			}
		}
		a.ready()
		a.at(0)
	})
	run(t, "a load by LOAD UNLOAD: 28/00 for the others", func(t *testing.T) {
		a, b := login(t), login(t)
		a.prepare("tiny")
		b.attentions(lunDrive)
		a.good(a.none(0x1b, 0, 0, 0, 0, 0))
		a.good(a.none(0x1b, 0, 0, 0, 1, 0))
		has(t, b.attentions(lunDrive), 0x2800)
		if codes := a.attentions(lunDrive); slices.Contains(codes, 0x2800) {
			t.Logf("the nexus that loaded it is told, too: %04x", codes)
		}
	})
	run(t, "mode parameters changed: 2A/01 for the others", func(t *testing.T) {
		a, b := login(t), login(t)
		a.prepare("tiny")
		b.attentions(lunDrive)
		a.good(a.setBlock(512))
		has(t, b.attentions(lunDrive), 0x2a01)
		if codes := a.attentions(lunDrive); codes != nil {
			t.Errorf("unit attentions %04x for the nexus that changed it", codes)
		}
		a.good(a.setBlock(0))
	})
	run(t, "a unit attention stands in the way once, and INQUIRY passes it", func(t *testing.T) {
		h := fresh(t, iqn)
		h.good(h.in([]byte{0x12, 0, 0, 0, 36, 0}, 36))
		h.good(h.do(&initiator.Command{LUN: lunDrive, CDB: []byte{0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, In: 256}))
		if r := h.none(1, 0, 0, 0, 0, 0); r.Key() != 6 {
			t.Errorf("%s, want a unit attention", outcome(r))
		}
	})
	run(t, "REQUEST SENSE takes it", func(t *testing.T) {
		h := fresh(t, iqn)
		r := h.good(h.in([]byte{3, 0, 0, 0, 252, 0}, 252))
		if r.Sense = r.Data; r.Data[0]&0x7f != 0x70 || r.Key() != 6 {
			t.Errorf("REQUEST SENSE gave %x", r.Data)
		}
	})
	run(t, "mailslot accessed, slots and drive named in LUN order: REPORT LUNS", func(t *testing.T) {
		h := login(t)
		luns, err := h.LUNs(h.ctx)
		if err != nil || !slices.Equal(luns, []uint16{0, 1, 2}) {
			t.Errorf("LUNs %v, %v", luns, err)
		}
	})
}

// testPipeline sends commands without waiting for the ones before.
func testPipeline(t *testing.T) {
	startRead := func(h *host, n int) *initiator.Task {
		t.Helper()
		task, err := h.Start(&initiator.Command{LUN: lunDrive, CDB: cdb6(0x08, 2, n), In: n, Attr: initiator.Simple})
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	wait := func(h *host, task *initiator.Task) *initiator.Result {
		t.Helper()
		if _, err := task.Wait(h.ctx); err != nil {
			t.Fatal(err)
		}
		return task.Result()
	}
	for _, depth := range []int{2, 4, 16} {
		run(t, fmt.Sprintf("uiscsi-tape: %d READs in flight across a filemark", depth), func(t *testing.T) {
			h := login(t)
			h.prepare("small")
			p := &player{t: t, a: h, blocks: [][]byte{nil}}
			const files, each = 5, 7
			for range files {
				for range each {
					h.good(h.out(cdb6(0x0a, 0, 3000), p.block(3000)))
				}
				h.good(h.none(cdb6(0x10, 0, 1)...))
			}
			h.good(h.none(1, 0, 0, 0, 0, 0))
			var queue []*initiator.Task
			for range depth {
				queue = append(queue, startRead(h, 4096))
			}
			block := 1
			for i := range files * (each + 1) {
				r := wait(h, queue[0])
				queue = append(queue[1:], startRead(h, 4096))
				if i%(each+1) == each {
					h.is(r, "fm info=4096 resid=4096")
					continue
				}
				h.is(r, "good resid=1096")
				if !bytes.Equal(r.Data, p.blocks[block]) {
					t.Fatalf("READ %d does not give block %d", i, block)
				}
				block++
			}
			for _, task := range queue {
				h.is(wait(h, task), "eod info=4096")
			}
		})
	}
	run(t, "WRITEs in flight keep their order", func(t *testing.T) {
		h := login(t)
		h.prepare("small")
		p := &player{t: t, a: h, blocks: [][]byte{nil}}
		var queue []*initiator.Task
		for i := range 40 {
			n := 1000 + i*1777%60000
			task, err := h.Start(&initiator.Command{LUN: lunDrive, CDB: cdb6(0x0a, 0, n), Out: p.block(n), Attr: initiator.Simple})
			if err != nil {
				t.Fatal(err)
			}
			queue = append(queue, task)
		}
		for _, task := range queue {
			h.is(wait(h, task), "good")
		}
		h.at(40)
		h.good(h.none(1, 0, 0, 0, 0, 0))
		for i := 1; i <= 40; i++ {
			r := h.good(h.in(cdb6(0x08, 2, 65536), 65536))
			if !bytes.Equal(r.Data, p.blocks[i]) {
				t.Fatalf("block %d is another", i)
			}
		}
	})
	run(t, "WRITE, WRITE FILEMARKS, REWIND, READ in flight at once", func(t *testing.T) {
		h := login(t)
		h.prepare("tiny")
		data := pattern(5000, 1)
		var queue []*initiator.Task
		for _, c := range []*initiator.Command{
			{CDB: cdb6(0x0a, 0, 5000), Out: data}, {CDB: cdb6(0x10, 0, 1)}, {CDB: []byte{1, 0, 0, 0, 0, 0}}, {CDB: cdb6(0x08, 0, 5000), In: 5000},
			{CDB: cdb6(0x08, 0, 5000), In: 5000},
		} {
			c.LUN, c.Attr = lunDrive, initiator.Simple
			task, err := h.Start(c)
			if err != nil {
				t.Fatal(err)
			}
			queue = append(queue, task)
		}
		for i, want := range []string{"good", "good", "good", "good", "fm info=5000"} {
			r := wait(h, queue[i])
			h.is(r, want)
			if i == 3 && !bytes.Equal(r.Data, data) {
				t.Error("the READ gives something else than was written")
			}
		}
	})
	run(t, "two drives at once", func(t *testing.T) {
		a, b := login(t), login(t)
		b.lun = lunOther
		a.prepare("tiny")
		b.insert(lunOther, "TG0006T8")
		b.ready()
		b.good(b.none(4, 0, 0, 0, 0, 0))
		done := make(chan string, 2)
		for _, h := range []*host{a, b} {
			go func() {
				for i := range 20 {
					n := 60000
					r, err := h.Do(h.ctx, &initiator.Command{LUN: h.lun, CDB: cdb6(0x0a, 0, n), Out: pattern(n, uint64(h.lun)<<32|uint64(i))})
					if err != nil || r.Status != 0 {
						done <- fmt.Sprintf("LUN %d: %v %v", h.lun, r, err)
						return
					}
				}
				done <- ""
			}()
		}
		for range 2 {
			if s := <-done; s != "" {
				t.Error(s)
			}
		}
		for _, h := range []*host{a, b} {
			h.good(h.none(1, 0, 0, 0, 0, 0))
			for i := range 20 {
				if r := h.good(h.in(cdb6(0x08, 0, 60000), 60000)); !bytes.Equal(r.Data, pattern(60000, uint64(h.lun)<<32|uint64(i))) {
					t.Fatalf("LUN %d: block %d is another", h.lun, i)
				}
			}
		}
		b.insert(lunOther, "")
	})
}

// testSizes writes and reads blocks of each size around each power of two.
func testSizes(t *testing.T) {
	for bit := range 25 {
		for _, off := range []int{-1, 0, 1} {
			n := 1<<bit + off
			if n < 1 || n > 1<<24-1 || off == 1 && bit < 2 || bit > 12 && bit < 24 && bit%4 != 0 {
				continue
			}
			run(t, fmt.Sprintf("a block of 2^%d%+d bytes", bit, off), func(t *testing.T) {
				h := login(t)
				h.prepare("big")
				data := pattern(n, uint64(n))
				h.is(h.out(cdb6(0x0a, 0, n), data), "good")
				h.is(h.out(cdb6(0x0a, 0, 1), []byte{7}), "good")
				h.good(h.none(1, 0, 0, 0, 0, 0))
				r := h.in(cdb6(0x08, 0, n), n)
				h.is(r, "good resid=0")
				if !bytes.Equal(r.Data, data) {
					t.Error("it does not come back")
				}
				h.at(1)
				if n < 1<<24-1 {
					h.good(h.none(1, 0, 0, 0, 0, 0))
					h.is(h.in(cdb6(0x08, 0, n+1), n+1), "ili info=1 resid=1")
				}
				if n > 1 {
					h.good(h.none(1, 0, 0, 0, 0, 0))
					h.is(h.in(cdb6(0x08, 0, n-1), n-1), "ili info=-1 resid=0")
					h.at(1)
				}
			})
		}
	}
	for _, n := range []int{1, 512, 4096, 65536, 1 << 20} {
		run(t, fmt.Sprintf("fixed blocks of %d bytes", n), func(t *testing.T) {
			h := login(t)
			h.prepare("big")
			h.good(h.setBlock(n))
			data := pattern(3*n, uint64(n))
			h.is(h.out(cdb6(0x0a, 1, 3), data), "good")
			h.at(3)
			h.good(h.none(1, 0, 0, 0, 0, 0))
			if r := h.good(h.in(cdb6(0x08, 1, 3), 3*n)); !bytes.Equal(r.Data, data) {
				t.Error("they do not come back")
			}
			h.good(h.setBlock(0))
		})
	}
}

// Persistent reservations (SPC-6, 5.14).
func prOut(h *host, action, kind byte, key, newKey uint64) *initiator.Result {
	p := make([]byte, 24)
	for i := range 8 {
		p[i], p[8+i] = byte(key>>(56-8*i)), byte(newKey>>(56-8*i))
	}
	return h.out([]byte{0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0}, p)
}

// reserveFor checks what a registrant and a stranger may do under a reservation of a.
func reserveFor(t *testing.T, a, b *host, do, undo func(h *host) *initiator.Result) {
	t.Helper()
	a.is(prOut(a, 6, 0, 0, 0xa), "good") // REGISTER AND IGNORE EXISTING KEY
	a.is(prOut(a, 1, 3, 0xa, 0), "good") // RESERVE, exclusive access: the type that LTFS uses
	t.Cleanup(func() { prOut(a, 3, 0, 0xa, 0) })
	b.is(do(b), "conflict")
	a.is(do(a), "good")
	a.is(undo(a), "good")
	b.is(prOut(b, 6, 0, 0, 0xb), "good")
	b.is(do(b), "conflict")
	b.is(prOut(b, 5, 3, 0xb, 0xa), "good") // PREEMPT AND ABORT
	b.is(do(b), "good")
	b.is(undo(b), "good")
	if r := a.none(0, 0, 0, 0, 0, 0); r.Key() != 6 {
		t.Errorf("%s for the nexus that lost its registration", outcome(r))
	}
	a.attentions(a.lun)
	a.is(do(a), "conflict")
	b.is(prOut(b, 3, 0, 0xb, 0), "good") // CLEAR
	a.attentions(a.lun)
	a.is(do(a), "good")
	a.is(undo(a), "good")
}

func testReservations(t *testing.T) {
	run(t, "LTFS: exclusive access of the drive, preempt and abort", func(t *testing.T) {
		a, b := login(t), login(t)
		a.prepare("tiny")
		b.attentions(lunDrive)
		a.good(a.out(cdb6(0x0a, 0, 100), pattern(100, 1)))
		reserveFor(t, a, b, func(h *host) *initiator.Result { return h.none(1, 0, 0, 0, 0, 0) },
			func(h *host) *initiator.Result { return h.none(cdb6(0x11, 3, 0)...) })
	})
	// What a stranger may do under write exclusive: no command that moves the tape (SSC-5, table 26).
	for _, c := range []struct {
		name string
		cdb  []byte
		want string
	}{
		{"TEST UNIT READY", make([]byte, 6), "good"},
		{"INQUIRY", []byte{0x12, 0, 0, 0, 0, 0}, "good"},
		{"REWIND", []byte{1, 0, 0, 0, 0, 0}, "conflict"},
		{"WRITE FILEMARKS(6)", cdb6(0x10, 0, 1), "conflict"},
		{"ERASE(6)", []byte{0x19, 0, 0, 0, 0, 0}, "conflict"},
		{"SPACE(6)", cdb6(0x11, 0, 1), "conflict"},
		{"LOAD UNLOAD", []byte{0x1b, 0, 0, 0, 0, 0}, "conflict"},
		{"FORMAT MEDIUM", []byte{4, 0, 0, 0, 0, 0}, "conflict"},
		{"RESERVE(6)", []byte{0x16, 0, 0, 0, 0, 0}, "conflict"},
	} {
		for _, kind := range []byte{1, 3} {
			run(t, fmt.Sprintf("%s of a stranger under type %d", c.name, kind), func(t *testing.T) {
				a, b := login(t), login(t)
				a.prepare("tiny")
				b.attentions(lunDrive)
				a.is(prOut(a, 6, 0, 0, 0xa), "good")
				t.Cleanup(func() { prOut(a, 3, 0, 0xa, 0) })
				a.is(prOut(a, 1, kind, 0xa, 0), "good")
				b.is(b.none(c.cdb...), c.want)
			})
		}
	}
}
