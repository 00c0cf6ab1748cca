package sbc

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

const disableWrite = 0x04

func xdWriteRead10(flags byte, lba uint32, n uint16) []byte { return cdb10(0x53, flags, lba, n) }

func xdWriteRead32(flags byte, lba uint64, n uint32) []byte { return cdb32(0x07, flags, lba, n) }

// cdb32 is a 32-byte command without expected tags.
func cdb32(action, flags byte, lba uint64, n uint32) []byte {
	b := make([]byte, 32)
	b[0], b[7], b[9], b[10] = opVariable, longCDB, action, flags
	binary.BigEndian.PutUint64(b[12:], lba)
	binary.BigEndian.PutUint32(b[28:], n)
	return b
}

// TestXDWriteRead: SBC-3, 5.58 and 5.59.
func TestXDWriteRead(t *testing.T) {
	rigs := map[string]func() *rig{
		"plain":  func() *rig { return newRig(t, nil) },
		"type_1": func() *rig { return newProtectedRig(t, 1, nil).rig },
		"type_2": func() *rig { return newProtectedRig(t, 2, nil).rig },
		"type_3": func() *rig { return newProtectedRig(t, 3, nil).rig },
	}
	for name, makeRig := range rigs {
		for size, cdb := range map[string]func(byte, uint64, uint32) []byte{
			"10": func(f byte, lba uint64, n uint32) []byte { return xdWriteRead10(f, uint32(lba), uint16(n)) },
			"32": xdWriteRead32,
		} {
			if name == "plain" && size == "32" {
				continue // has no 32-byte commands
			}
			t.Run(name+"/"+size, func(t *testing.T) {
				r := makeRig()
				r.good(cdb10(0x2a, 0, 5, 2), fill(0x0f, 2))
				if got := r.good(cdb(0, 5, 2), fill(0x3c, 2)); !bytes.Equal(got, fill(0x33, 2)) {
					t.Errorf("XOR data % x...", got[:min(4, len(got))])
				}
				if got := r.good(cdb(disableWrite, 5, 2), fill(0xff, 2)); !bytes.Equal(got, fill(0xc3, 2)) {
					t.Errorf("XOR data % x...", got[:min(4, len(got))])
				}
				if got := r.good(cdb10(0x28, 0, 5, 2), nil); !bytes.Equal(got, fill(0x3c, 2)) {
					t.Errorf("the medium has % x...", got[:4])
				}
				if got := r.good(cdb(0, 5, 0), nil); len(got) != 0 {
					t.Errorf("%d bytes of no blocks", len(got))
				}
				r.bad(cdb(0, rigBlocks, 1), fill(0, 1), sense.IllegalRequest, sense.LBAOutOfRange)
			})
		}
	}
}

// TestXDWriteReadPlain: commands of 32 bytes are for disks with protection information.
// libiscsi's test of REPORT SUPPORTED OPERATION CODES has no room for their usage data.
func TestXDWriteReadPlain(t *testing.T) {
	newRig(t, nil).bad(xdWriteRead32(0, 0, 1), fill(1, 1), sense.IllegalRequest, sense.InvalidOpcode)
}

// TestXDWriteReadResidual: the initiator has room for less Data-In, or sends less
// Data-Out than the CDB asks for.
func TestXDWriteReadResidual(t *testing.T) {
	r := newRig(t, nil)
	res := coretest.Do(r.path, xdWriteRead10(0, 0, 2), fill(9, 2), 700)
	if !res.Good() || !bytes.Equal(res.Data, fill(9, 2)[:700]) || res.InLen != 1024 {
		t.Errorf("%v, %d bytes of %d", res, len(res.Data), res.InLen)
	}
	if !bytes.Equal(r.bytes(0, 2), fill(9, 2)) {
		t.Error("not all was written")
	}
	res = coretest.Do(r.path, xdWriteRead10(0, 0, 2), fill(7, 1), 1024)
	if !res.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) || !bytes.Equal(r.bytes(0, 2), fill(9, 2)) {
		t.Errorf("half of the Data-Out: %v", res)
	}
	r.bad(xdWriteRead32(0, 0, 1), fill(1, 1), sense.IllegalRequest, sense.InvalidOpcode)
	protected := newProtectedRig(t, 1, nil)
	bad := xdWriteRead32(0, 0, 1)
	bad[7] = 0x10
	protected.field(bad, fill(1, 1), 7)
}
