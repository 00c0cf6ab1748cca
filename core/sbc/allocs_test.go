//go:build !invariants

// The checker of the seam to the store allocates.

package sbc

import "testing"

func TestNoAllocations(t *testing.T) {
	for _, h := range hot {
		d, c, again := hotCommand(t, h.store(), h.cdb)
		n := testing.AllocsPerRun(100, func() {
			if err := d.Execute(c); err != nil {
				t.Fatal(err)
			}
			again()
		})
		if n != 0 {
			t.Errorf("%s: %v allocations, want 0", h.name, n)
		}
	}
}
