package sbc

import (
	"slices"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

func TestReservedBits(t *testing.T) {
	coretest.CheckReservedBits(t, newRig(t, nil).path)
	coretest.CheckReservedBits(t, newRig(t, func(_ *Config, s *testStore) { s.info.Unmap, s.info.Extents = 0, 0 }).path)
}

// FuzzCommand sends any CDB with any Data-Out: every command ends with a status that
// the standard knows, and moves no more than it was allowed to.
func FuzzCommand(f *testing.F) {
	r := newRig(f, nil)
	for _, row := range r.unit.Rows() {
		f.Add(cdbOf(row), []byte{}, 512)
		f.Add([]byte(row.Usage), make([]byte, 512), -1)
	}
	f.Add(unmapCDB(24), unmapList(extent{1, 2}), -1)
	f.Add(sanitize(saOverwrite, 5), overwriteList(1, []byte{1}), -1)
	known := []scsi.Status{scsi.Good, scsi.CheckCondition, scsi.ConditionMet, scsi.Busy}
	f.Fuzz(func(t *testing.T, cdb, out []byte, expect int) {
		if len(cdb) == 0 || len(cdb) > 32 {
			return
		}
		if len(cdb) < 6 {
			cdb = append(cdb, make([]byte, 6)...)
		}
		expect = max(coretest.AnyLength, min(expect, 1<<20))
		defer r.path.ClearACA(func() {}) // that CHECK CONDITION with NACA left
		res := coretest.Do(r.path, cdb, out, expect)
		if !slices.Contains(known, res.Status) {
			t.Errorf("% x: %v", cdb, res)
		}
		if expect >= 0 && len(res.Data) > expect {
			t.Errorf("% x: %d bytes, expected %d", cdb, len(res.Data), expect)
		}
	})
}
