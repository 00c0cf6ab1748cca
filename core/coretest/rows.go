package coretest

import (
	"fmt"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// CheckReservedBits sets each bit that the usage data of p's rows leaves out, one at a
// time, and expects INVALID FIELD IN CDB with a pointer to it (SPC-6, 4.4.2.4.2). It
// is the same for every device type.
func CheckReservedBits(t *testing.T, p *core.Path) {
	t.Helper()
	for _, r := range p.Unit().Rows() {
		name := r.Name
		if r.Action != core.NoAction {
			name = fmt.Sprintf("%s_%02Xh", r.Name, r.Action)
		}
		t.Run(name, func(t *testing.T) {
			for i := 1; i < min(len(r.Usage), 32); i++ {
				for bit := range 8 {
					if usage(r, i)&(1<<bit) == 0 {
						checkReserved(t, p, r, i, uint8(bit))
					}
				}
			}
		})
	}
}

// usage is byte i of r's usage data, with the service action's bits set.
func usage(r *core.Row, i int) byte {
	u := r.Usage[i]
	if r.Action != core.NoAction {
		switch {
		case r.Code == 0x7f && (i == 8 || i == 9):
			u = 0xff
		case r.Code != 0x7f && i == 1:
			u |= 0x1f
		}
	}
	return u
}

func checkReserved(t *testing.T, p *core.Path, r *core.Row, i int, bit uint8) {
	t.Helper()
	cdb := make([]byte, len(r.Usage))
	cdb[0] = r.Code
	if r.Action != core.NoAction {
		if r.Code == 0x7f {
			cdb[8], cdb[9] = byte(r.Action>>8), byte(r.Action)
		} else {
			cdb[1] = byte(r.Action)
		}
	}
	cdb[i] |= 1 << bit
	res := Do(p, cdb, nil, AnyLength)
	e := res.Sense
	if !res.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || !e.HasField || e.InData ||
		int(e.Field) != i || !e.HasBit || e.Bit != bit {
		t.Errorf("byte %d bit %d: %v", i, bit, res)
	}
}
