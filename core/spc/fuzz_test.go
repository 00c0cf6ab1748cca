package spc_test

import (
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
)

// FuzzCommand: whatever the CDB and the data, a command ends with GOOD or CHECK
// CONDITION, and moves no more than was asked for.
func FuzzCommand(f *testing.F) {
	_, p := attach(f, &coretest.State{})
	for _, row := range p.Unit().Rows() {
		f.Add([]byte(row.Usage), make([]byte, 64), uint16(255))
		cdb := make([]byte, len(row.Usage))
		cdb[0] = row.Code
		f.Add(cdb, []byte{}, uint16(0))
	}
	f.Fuzz(func(t *testing.T, cdb, out []byte, room uint16) {
		if len(cdb) == 0 {
			return
		}
		defer p.ClearACA(func() {}) // that CHECK CONDITION with NACA left
		r := coretest.Do(p, append(cdb, make([]byte, 16)...)[:max(16, len(cdb))], out, int(room))
		if r.Status != scsi.Good && r.Status != scsi.CheckCondition {
			t.Fatal(r)
		}
		if len(r.Data) > int(room) {
			t.Fatalf("moved %d bytes into %d", len(r.Data), room)
		}
	})
}
