package ssc

import (
	"slices"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

// FuzzCommand sends any CDB with any Data-Out to a drive with a tape in it: every command ends with a
// status that the standard knows, moves no more than it was allowed to, and leaves the position on the tape.
func FuzzCommand(f *testing.F) {
	d := newDrive(f, nil)
	c := newCartridge(f, "TG0001L8", 8<<20)
	if err := d.Insert(c); err != nil {
		f.Fatal(err)
	}
	p := coretest.NewPath(f, coretest.NewUnit(f, d, &coretest.State{}))
	for _, row := range p.Unit().Rows() {
		f.Add([]byte(row.Usage), make([]byte, 512), -1)
		cdb := make([]byte, len(row.Usage))
		cdb[0] = row.Code
		if row.Action >= 0 {
			cdb[1] = byte(row.Action)
		}
		f.Add(cdb, []byte{}, 512)
	}
	f.Add([]byte{0x0a, 0, 0, 2, 0, 0}, make([]byte, 512), 0)
	f.Add([]byte{0x11, 1, 0xff, 0xff, 0xff, 0}, []byte{}, 0)
	known := []scsi.Status{scsi.Good, scsi.CheckCondition, scsi.ConditionMet, scsi.Busy, scsi.ReservationConflict}
	f.Fuzz(func(t *testing.T, cdb, out []byte, expect int) {
		if len(cdb) == 0 || len(cdb) > 32 {
			return
		}
		if len(cdb) < 6 {
			cdb = append(cdb, make([]byte, 6)...)
		}
		expect = max(coretest.AnyLength, min(expect, 1<<20))
		defer p.ClearACA(func() {}) // that CHECK CONDITION with NACA left
		res := coretest.Do(p, cdb, out, expect)
		if !slices.Contains(known, res.Status) {
			t.Errorf("% x: %v", cdb, res)
		}
		if expect >= 0 && len(res.Data) > expect {
			t.Errorf("% x: %d bytes, expected %d", cdb, len(res.Data), expect)
		}
		d.tape <- struct{}{} // what it left behind is over
		d.release()
		loaded := false
		d.look(func(m *mount) {
			if loaded = m != nil; !loaded {
				return
			}
			if m.partition >= m.medium.Partitions() || m.object > m.medium.Partition(m.partition).Objects {
				t.Errorf("% x: object %d of partition %d", cdb, m.object, m.partition)
			}
		})
		if !loaded { // back in for the next
			coretest.Do(p, []byte{0x1b, 0, 0, 0, 1, 0}, nil, 0)
			coretest.TakeUA(p)
		}
	})
}
