//go:build system

package sam

import (
	"slices"
	"testing"
)

func testRemap(t *testing.T) {
	group := named("iqn.2026-11.org.targate:group-a7")
	back := func(t *testing.T) { t.Cleanup(func() { firstModel.apply(t) }) }
	run(t, "SPC-6.33 an added LUN is told of and works at once", func(t *testing.T) {
		h := login(t, to(iqnGroups), group)
		back(t)
		m := firstModel
		m.groupA = "{0: other, 3: mem, 5: file, 300: nothing}"
		m.apply(t)
		h.told(0, lunsChanged)
		if got, err := h.LUNs(h.ctx); err != nil || !slices.Equal(got, []uint16{0, 3, 5, 300}) {
			t.Errorf("LUNs %v, %v", got, err)
		}
		h.settle()
		h.good(h.none(5, tur))
	})
	run(t, "SPC-6.33 REPORT LUNS clears the news on every LUN", func(t *testing.T) {
		h := login(t, to(iqnGroups), group)
		back(t)
		m := firstModel
		m.groupA = "{0: other, 3: mem, 5: file, 300: nothing}"
		m.apply(t)
		if _, err := h.LUNs(h.ctx); err != nil {
			t.Fatal(err)
		}
		h.told(0)
		h.told(3)
	})
	run(t, "SAM-5.11 a removed LUN is gone at once", func(t *testing.T) {
		h := login(t, to(iqnGroups), group)
		back(t)
		m := firstModel
		m.groupA = "{0: other, 300: nothing}"
		m.apply(t)
		h.fails(h.none(3, tur), illegal, noSuchLU)
		h.told(0, lunsChanged)
		h.told(300, lunsChanged)
	})
	run(t, "a session whose map stays feels nothing", func(t *testing.T) {
		h := login(t)
		back(t)
		m := firstModel
		m.groupA = "{0: other}"
		m.apply(t)
		h.told(lunMem)
		h.told(lunOther)
	})
	run(t, "a LUN that becomes read only refuses writes", func(t *testing.T) {
		h := login(t, to(iqnGroups), group)
		back(t)
		h.write(3, free, 1, 1)
		m := firstModel
		m.groupA = "{0: other, 3: {device: mem, read_only: true}, 300: nothing}"
		m.apply(t)
		h.settle()
		h.fails(h.out(3, write10(free, 1), fill(1, 2)), protect, 0x2700)
		h.holds(3, free, 1, 1)
	})
	run(t, "a session whose group changes sees the other map", func(t *testing.T) {
		h := login(t, to(iqnGroups), named("iqn.2026-11.org.targate:joins"))
		back(t)
		m := firstModel
		m.whoA = "iqn.*:joins"
		m.apply(t)
		if got, err := h.LUNs(h.ctx); err != nil || !slices.Equal(got, []uint16{0, 3, 300}) {
			t.Errorf("LUNs %v, %v", got, err)
		}
	})
	run(t, "SBC-4.5 growth is told of and usable at once", func(t *testing.T) {
		a, b := login(t, to(iqnGroups)), login(t, to(iqnGroups))
		before, _, err := a.Capacity(a.ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		m := firstModel
		m.grows = "6MiB" // for good: a disk does not shrink
		firstModel = m
		m.apply(t)
		for _, h := range []*host{a, b} {
			h.told(0, capacityChange)
			if after, _, err := h.Capacity(h.ctx, 0); err != nil || after != before+4096 {
				t.Errorf("%d blocks, then %d, %v", before, after, err)
			}
		}
		a.write(0, int(before), 1, 8)
		b.holds(0, int(before), 1, 8)
		b.holds(0, int(before)+1, 1, 0)
	})
}
