package copy

import (
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

func TestReservedBits(t *testing.T) {
	r := newRig(t, shape{})
	coretest.CheckReservedBits(t, r.path(0))
}

// TestOperatingParameters: the limits are those that hold, and leave room for one
// descriptor more than each maximum, so that it is refused by its number.
func TestOperatingParameters(t *testing.T) {
	r := newRig(t, shape{}, shape{blockSize: 4096})
	b := r.good(0, inCDB(saParameters, 1024), nil)
	if len(b) != 47 || binary.BigEndian.Uint32(b) != 43 || b[4] != 1 || b[43] != 3 || string(b[44:]) != "\x02\x0a\xe4" {
		t.Fatalf("% x", b)
	}
	targets, segments := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	length := int(binary.BigEndian.Uint32(b[12:]))
	if length < (targets+1)*targetLen+segmentLen || length < targetLen+(segments+1)*segmentLen {
		t.Errorf("%d bytes for %d targets and %d segments", length, targets, segments)
	}
	if b[37] != 9 {
		t.Errorf("data segment granularity 2^%d", b[37])
	}
	if b := r.good(1, inCDB(saParameters, 1024), nil); b[37] != 12 {
		t.Errorf("data segment granularity 2^%d of 4096 byte blocks", b[37])
	}
}

// TestPage takes VPD page 8Fh apart as an initiator does.
func TestPage(t *testing.T) {
	r := newRig(t, shape{blockSize: 4096})
	if inq := r.good(0, []byte{0x12, 0, 0, 0, 96, 0}, nil); inq[5]&0x08 == 0 {
		t.Error("3PC is 0")
	}
	b := r.good(0, []byte{0x12, 1, 0x8f, 4, 0, 0}, nil)
	if b[1] != 0x8f || int(binary.BigEndian.Uint16(b[2:])) != len(b)-4 {
		t.Fatalf("header % x", b[:4])
	}
	descs := map[uint16][]byte{}
	var order []uint16
	for b = b[4:]; len(b) > 0; {
		n := 4 + int(binary.BigEndian.Uint16(b[2:]))
		if len(b) < n || n%4 != 0 {
			t.Fatalf("descriptor % x", b)
		}
		code := binary.BigEndian.Uint16(b)
		order = append(order, code)
		descs[code] = b[4:n]
		b = b[n:]
	}
	for i := 1; i < len(order); i++ {
		if order[i] <= order[i-1] {
			t.Errorf("descriptors %04x are not in ascending order", order)
		}
	}
	if d := descs[descRODLimits]; binary.BigEndian.Uint64(d[16:]) != maxTokenBytes/4096 {
		t.Errorf("maximum token transfer size: %d blocks", binary.BigEndian.Uint64(d[16:]))
	}
	d := descs[descCommands]
	commands := map[byte]string{}
	for list := d[1 : 1+d[0]]; len(list) > 0; list = list[2+list[1]:] {
		commands[list[0]] = string(list[2 : 2+list[1]])
	}
	if commands[0x83] != "\x00\x01\x10\x11\x1c" || commands[0x84] != "\x00\x03\x04\x05\x07" {
		t.Errorf("commands %q", commands)
	}
	if d := descs[descTypes]; string(d[:4]) != "\x03\x02\x0a\xe4" {
		t.Errorf("descriptor types % x", d)
	}
	if d := descs[descRODTypes]; binary.BigEndian.Uint32(d[4:]) != rodOnReference || d[8] != 3 ||
		binary.BigEndian.Uint32(d[68:]) != rodZero || d[72] != 2 {
		t.Errorf("ROD types % x", d)
	}
	for code, n := range map[uint16]int{descRODLimits: 32, descParameters: 28, descIDs: 4, descFeatures: 92,
		descRODTypes: 132, descGeneral: 32} {
		if len(descs[code]) != n {
			t.Errorf("descriptor %04xh has %d bytes, want %d", code, len(descs[code]), n)
		}
	}
}

// FuzzLists gives the four commands with a parameter list anything at all. Whatever they
// do, they end, and with a status that can be explained.
func FuzzLists(f *testing.F) {
	r := newRig(f, shape{size: 64 << 10}, shape{size: 64 << 10})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].t10Target()}
	some := [][]byte{blocks(0, 0, 1, 8, 0, 8), inBytes(1, 0, 512, 0, 8, 512, 0)}
	f.Add(byte(0), list1(1, 0, two, some))
	f.Add(byte(1), list4(1, 0, 0, two, some))
	f.Add(byte(2), populateList(0, 0, 0, span{0, 8}, span{16, 8}))
	f.Add(byte(3), writeList(0, 3, zeroToken(), span{0, 8}, span{16, 8}))
	f.Add(byte(3), writeList(0, 3, r.token(0, 0, span{3, 8}), span{0, 8}))
	actions := []byte{saCopyLID1, saCopyLID4, saPopulate, saWriteToken}
	f.Fuzz(func(t *testing.T, which byte, list []byte) {
		action := actions[which%4]
		res := r.do(1, outCDB(action, len(list)), list)
		switch {
		case res.Good():
		case res.Status == scsi.Busy: // copies that earlier inputs began go on in the background
		case res.Sense == nil:
			t.Errorf("%v", res)
		case res.Sense.Key == sense.HardwareError:
			t.Errorf("%v", res)
		case res.Sense.HasField && res.Sense.InData && int(res.Sense.Field) >= len(list):
			t.Errorf("%v, of %d bytes", res, len(list))
		}
	})
}
