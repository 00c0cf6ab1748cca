//go:build !race && !invariants

// The checkers of the seams allocate.

package ssc

import "testing"

// A READ and a WRITE of a block allocate nothing in the drive.
func TestAllocs(t *testing.T) {
	for _, h := range hot {
		t.Run(h.name, func(t *testing.T) {
			d, c, again := hotCommand(t, h.code)
			if n := testing.AllocsPerRun(100, func() {
				if err := d.Execute(c); err != nil {
					t.Fatal(err)
				}
				again()
			}); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
