package ssc

import (
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core/coretest"
)

// What a drive counts from its first day on outlives the program.
func TestLifetime(t *testing.T) {
	state := &coretest.State{}
	for life := range uint64(3) {
		t.Run("", func(t *testing.T) {
			d := newDrive(t, nil)
			p := coretest.NewPath(t, coretest.NewUnit(t, d, state))
			for _, barcode := range []string{"TG0001L8", "CLN001L1"} {
				insert(t, d, barcode, 64, false)
				if err := d.Remove(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			coretest.TakeUA(p)
			r := coretest.Do(p, []byte{0x4d, 0, 0x54, 0, 0, 0, 0, 0x10, 0, 0}, nil, 4096)
			got := map[uint16]uint64{}
			for b := r.Data[4:]; len(b) > 0; b = b[4+int(b[3]):] {
				if b[3] == 8 {
					got[binary.BigEndian.Uint16(b)] = binary.BigEndian.Uint64(b[4:])
				}
			}
			if got[0x0000] != life+1 || got[0x0001] != life+1 || got[0x000c] != life+1 || got[0x000d] != 1 {
				t.Errorf("life %d: %v", life, got)
			}
		})
	}
}

func FuzzLifetime(f *testing.F) {
	f.Add(lifeCounts{1, 2, 3, 4}.encode())
	f.Add([]byte{0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeLifetime(b)
		if err == nil && string(c.encode()) != string(b) {
			t.Fatalf("%x became %x", b, c.encode())
		}
	})
}
