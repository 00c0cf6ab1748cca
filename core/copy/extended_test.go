package copy

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// TestExtendedCopy copies between three disks in every direction, and compares all of
// all disks with what they should hold then.
func TestExtendedCopy(t *testing.T) {
	for i, tt := range []struct {
		name     string
		at       int // LUN that gets the command
		targets  []int
		segments [][]byte
		// what is copied, in bytes
		src, dst, from, to, n int
	}{
		{"from here", 0, []int{0, 1}, [][]byte{blocks(0, 0, 1, 100, 7, 300)}, 0, 1, 7 * 512, 300 * 512, 100 * 512},
		{"to here", 1, []int{0, 1}, [][]byte{blocks(0, 0, 1, 100, 7, 300)}, 0, 1, 7 * 512, 300 * 512, 100 * 512},
		{"elsewhere", 2, []int{0, 1}, [][]byte{blocks(0, 1, 0, 1, 4095, 0)}, 1, 0, 4095 * 512, 0, 512},
		{"within", 0, []int{0}, [][]byte{blocks(0, 0, 0, 2048, 0, 2048)}, 0, 0, 0, 1 << 20, 1 << 20},
		{"many chunks", 0, []int{0, 1}, [][]byte{blocks(0, 0, 1, 4096, 0, 0)}, 0, 1, 0, 0, 2 << 20},
		{"overlap, up", 0, []int{0}, [][]byte{blocks(0, 0, 0, 3000, 100, 101)}, 0, 0, 100 * 512, 101 * 512, 3000 * 512},
		{"overlap, down", 0, []int{0}, [][]byte{blocks(0, 0, 0, 3000, 101, 100)}, 0, 0, 101 * 512, 100 * 512, 3000 * 512},
		{"nothing", 0, []int{0, 1}, [][]byte{blocks(0, 0, 1, 0, 7, 8)}, 0, 1, 0, 0, 0},
		{"itself as source", 0, []int{1}, [][]byte{blocks(0, 0xffff, 0, 5, 1, 2)}, 0, 1, 512, 1024, 5 * 512},
		{"larger blocks", 0, []int{0, 2}, [][]byte{blocks(0, 0, 1, 16, 3, 5)}, 0, 2, 3 * 512, 5 * 4096, 16 * 512},
		{"smaller blocks", 0, []int{2, 0}, [][]byte{blocks(0, 0, 1, 2, 3, 5)}, 2, 0, 3 * 4096, 5 * 512, 2 * 4096},
		{"blocks of the destination", 0, []int{0, 2}, [][]byte{blocks(2, 0, 1, 2, 3, 5)}, 0, 2, 3 * 512, 5 * 4096, 2 * 4096},
		{"bytes", 0, []int{0, 1}, [][]byte{inBytes(0, 1, 1024, 3, 5, 512, 1536)}, 0, 1, 4 * 512, 8 * 512, 1024},
		{"segments", 0, []int{0, 1}, [][]byte{blocks(0, 0, 1, 10, 0, 20), blocks(0, 0, 1, 10, 10, 30)}, 0, 1, 0, 20 * 512, 20 * 512},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, shape{}, shape{}, shape{blockSize: 4096})
			var want [3][]byte
			for i, d := range r.disks {
				want[i] = d.bytes(0, diskBytes)
			}
			copy(want[tt.dst][tt.to:tt.to+tt.n], want[tt.src][tt.from:tt.from+tt.n])
			var targets [][]byte
			for _, lun := range tt.targets {
				target := (*disk).naaTarget
				if i%2 == 1 {
					target = (*disk).t10Target
				}
				targets = append(targets, target(r.disks[lun]))
			}
			if res := r.copy1(tt.at, list1(1, 0, targets, tt.segments)); !res.Good() {
				t.Fatal(res)
			}
			for i := range r.disks {
				r.want(i, 0, want[i])
			}
			st := r.good(tt.at, statusCDB1(saStatusLID1, 1), nil)
			if st[4] != completed || int(binary.BigEndian.Uint16(st[5:])) != len(tt.segments) ||
				st[7] != unitBytes || int(binary.BigEndian.Uint32(st[8:])) != tt.n {
				t.Errorf("status % x", st)
			}
		})
	}
}

// TestThin: zeros take no space on a thin disk.
func TestThin(t *testing.T) {
	written := 0
	r := newRig(t, shape{}, shape{hook: func(op string, _, n int64) error {
		if op == "write" {
			written += int(n)
		}
		return nil
	}})
	r.disks[0].Zero(chunkLen, 3*chunkLen, 0)
	if res := r.copy1(0, r.whole(1)); !res.Good() {
		t.Fatal(res)
	}
	r.want(1, 0, r.disks[0].bytes(0, diskBytes))
	if written != diskBytes-3*chunkLen {
		t.Errorf("%d bytes were written, want %d", written, diskBytes-3*chunkLen)
	}
}

// TestNoList: a parameter list of no bytes is no error, and leaves no list identifier.
func TestNoList(t *testing.T) {
	r := newRig(t, shape{})
	for _, action := range []byte{saCopyLID1, saCopyLID4, saPopulate, saWriteToken} {
		r.good(0, outCDB(action, 0), nil)
	}
	r.bad(0, statusCDB1(saStatusLID1, 0), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
}

// set changes bytes of a list.
func set(list []byte, at int, b ...byte) []byte {
	list = bytes.Clone(list)
	copy(list[at:], b)
	return list
}

// TestMalformed: each fault is found with its code, and a pointer to its byte where there
// is one; nothing is copied.
func TestMalformed(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	before := r.disks[1].bytes(0, diskBytes)
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
	one := [][]byte{blocks(0, 0, 1, 8, 0, 0)}
	l1, l4 := list1(1, 0, two, one), list4(1, 0, 0, two, one)
	many := func(b []byte, n int) (list [][]byte) {
		for range n {
			list = append(list, b)
		}
		return list
	}
	const none = -1
	for _, tt := range []struct {
		name string
		list []byte
		lid4 bool
		code sense.Code
		at   int // byte of the parameter list
	}{
		{"header cut", l1[:15], false, sense.ParameterListLengthError, none},
		{"target cut", l1[:16+31], false, sense.ParameterListLengthError, none},
		{"segment cut", l1[:len(l1)-1], false, sense.ParameterListLengthError, none},
		{"descriptors beyond the maximum", list1(1, 0, many(two[0], maxTargets+1), many(one[0], 73)), false, sense.ParameterListLengthError, none},
		{"LIST ID USAGE", set(l1, 1, 0x08), false, sense.InvalidFieldInParameterList, 1},
		{"identifier that is not used", set(l1, 1, 0x18), false, sense.InvalidFieldInParameterList, 0},
		{"targets", list1(1, 0, many(two[0], maxTargets+1), one), false, tooManyTargets, 2},
		{"part of a target", set(l1, 2, 0, 63), false, sense.InvalidFieldInParameterList, 2},
		{"segments", list1(1, 0, two, many(one[0], maxSegments+1)), false, tooManySegments, 8},
		{"inline data", append(set(l1, 15, 4), 1, 2, 3, 4), false, inlineLengthExceeded, 12},
		{"target type", set(l1, 16+32, 0xe0), false, unsupportedTarget, 16 + 32},
		{"designator length", set(l1, 16+7, 21), false, sense.InvalidFieldInParameterList, 16 + 7},
		{"designator of a port", set(l1, 16+5, 0x13), false, sense.InvalidFieldInParameterList, 16 + 5},
		{"segment type", set(l1, 16+64, 0x03), false, unsupportedSegment, 16 + 64},
		{"segment length", set(l1, 16+64+3, 0x17), false, sense.InvalidFieldInParameterList, 16 + 64 + 2},
		{"segment beyond its list", set(l1, 11, 27), false, sense.InvalidFieldInParameterList, 16 + 64 + 2},
		{"segment of too many bytes", list1(1, 0, two, [][]byte{inBytes(0, 1, maxSegmentLen+1, 0, 0, 0, 0)}), false, sense.InvalidFieldInParameterList, 16 + 64 + 8},

		{"LID4 header cut", l4[:47], true, sense.ParameterListLengthError, none},
		{"LID4 segment cut", l4[:len(l4)-1], true, sense.ParameterListLengthError, none},
		{"list format", set(l4, 0, 0), true, sense.InvalidFieldInParameterList, 0},
		{"header length", set(l4, 3, 31), true, sense.InvalidFieldInParameterList, 2},
		{"G_SENSE", set(l4, 15, 2), true, sense.InvalidFieldInParameterList, 15},
		{"header type", set(l4, 16, 0), true, sense.InvalidFieldInParameterList, 16},
		{"LID4 identifier that is not used", set(l4, 1, 0x18), true, sense.InvalidFieldInParameterList, 20},
		{"LID4 targets", list4(1, 0, 0, many(two[0], maxTargets+1), one), true, tooManyTargets, 42},
		{"LID4 segments", list4(1, 0, 0, two, many(one[0], maxSegments+1)), true, tooManySegments, 44},
		{"LID4 inline data", append(set(l4, 47, 1), 1), true, inlineLengthExceeded, 46},
		{"LID4 segment type", set(l4, 48+64, 0xbf), true, unsupportedSegment, 48 + 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			action := byte(saCopyLID1)
			if tt.lid4 {
				action = saCopyLID4
			}
			e := r.bad(0, outCDB(action, len(tt.list)), tt.list, sense.IllegalRequest, tt.code)
			if e.HasField != (tt.at != none) || e.HasField && (!e.InData || int(e.Field) != tt.at) {
				t.Errorf("%v, want byte %d", e, tt.at)
			}
		})
	}
	r.want(1, 0, before)
	r.bad(0, statusCDB1(saStatusLID1, 1), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
}

// TestShortTransfer: the transport moved less than the CDB says.
func TestShortTransfer(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	l := list1(1, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}, [][]byte{blocks(0, 0, 1, 8, 0, 0)})
	r.bad(0, outCDB(saCopyLID1, len(l)+4), l, sense.IllegalRequest, sense.ParameterListLengthError)
}

// TestSegmentErrors: what is wrong with a segment ends the command with COPY ABORTED and
// its number, before anything is copied.
func TestSegmentErrors(t *testing.T) {
	r := newRig(t, shape{}, shape{}, shape{blockSize: 4096})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget(), r.disks[2].naaTarget()}
	before := r.disks[1].bytes(0, diskBytes)
	stranger := set(two[0], 8, 0x99)
	for _, tt := range []struct {
		name    string
		targets [][]byte
		segment []byte
		code    sense.Code
	}{
		{"source index", two, blocks(0, 3, 1, 1, 0, 0), unreachableTarget},
		{"destination index", two, blocks(0, 0, 3, 1, 0, 0), unreachableTarget},
		{"reserved index", two, blocks(0, 0, 0xc000, 1, 0, 0), unreachableTarget},
		{"unknown unit", [][]byte{two[0], two[1], stranger}, blocks(0, 2, 1, 1, 0, 0), unreachableTarget},
		{"device type", [][]byte{two[0], two[1], set(two[0], 1, 0x01)}, blocks(0, 2, 1, 1, 0, 0), wrongTargetType},
		{"block length", [][]byte{two[0], two[1], set(two[0], 30, 0x10, 0)}, blocks(0, 2, 1, 1, 0, 0), wrongTargetType},
		{"source beyond the end", two, blocks(0, 0, 1, 2, 4095, 0), targetNotReachable},
		{"destination beyond the end", two, blocks(0, 0, 1, 2, 0, 4095), targetNotReachable},
		{"LBA that wraps", two, blocks(0, 0, 1, 2, 0, 1<<64-1), targetNotReachable},
		{"LBA and offset that wrap", two, inBytes(0, 1, 512, 1<<64-1, 0, 1024, 0), targetNotReachable},
		{"half a block", two, blocks(0, 0, 2, 1, 0, 0), unexpectedInexact},
		{"bytes of a block", two, inBytes(0, 1, 511, 0, 0, 0, 0), granularityViolation},
		{"offset in a block", two, inBytes(0, 1, 512, 0, 0, 1, 0), granularityViolation},
		{"offset in a block of the destination", two, inBytes(0, 1, 512, 0, 0, 0, 3), granularityViolation},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := list1(1, 0, tt.targets, [][]byte{blocks(0, 0, 1, 1, 0, 0), tt.segment})
			e := r.bad(0, outCDB(saCopyLID1, len(l)), l, sense.CopyAborted, tt.code)
			if !e.HasCommand || e.Command != 1 {
				t.Errorf("COMMAND-SPECIFIC INFORMATION %d, want segment 1", e.Command)
			}
		})
	}
	r.want(1, 0, before)
}

// TestWriteProtected: no copy gets round the ways to protect a disk.
func TestWriteProtected(t *testing.T) {
	r := newRig(t, shape{}, shape{readOnly: true})
	l := list1(1, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}, [][]byte{blocks(0, 0, 1, 8, 0, 0)})
	before := r.disks[1].bytes(0, diskBytes)
	if res := r.copy1(0, l); !res.Is(sense.CopyAborted, thirdPartyFailure) {
		t.Errorf("read-only disk: %v", res)
	}
	r.want(1, 0, before)
	back := list1(1, 0, [][]byte{r.disks[1].naaTarget(), r.disks[0].naaTarget()}, [][]byte{blocks(0, 0, 1, 8, 0, 0)})
	if res := r.copy1(0, back); !res.Good() {
		t.Errorf("from a read-only disk: %v", res)
	}
	zero := writeList(0, 0, zeroToken(), span{0, 8})
	if res := r.writeUsing(1, 1, zero); !res.Is(sense.DataProtect, sense.WriteProtected) {
		t.Errorf("WRITE USING TOKEN: %v", res)
	}

	r = newRig(t, shape{}, shape{})
	r.nexus.SetLUNs(mapping(r, 1), false)
	coretest.TakeUA(r.path(0))
	if res := r.copy1(0, l); !res.Is(sense.CopyAborted, thirdPartyFailure) {
		t.Errorf("read-only mapping: %v", res)
	}
	full := mapping(r, 1)
	full[7] = mapping(r, -1)[1] // the same disk, which may be written here
	r.nexus.SetLUNs(full, false)
	coretest.TakeUA(r.path(0))
	if res := r.copy1(0, l); !res.Good() {
		t.Errorf("with another path that may write: %v", res)
	}
}

// TestUnseen: what the nexus does not see cannot be copied.
func TestUnseen(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	l := list1(1, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}, [][]byte{blocks(0, 1, 0, 8, 0, 0)})
	r.nexus = r.newNexus(0)
	if res := r.copy1(0, l); !res.Is(sense.CopyAborted, unreachableTarget) {
		t.Error(res)
	}
}

// TestFailureDetails: a failed copy is asked about in the order that initiators use.
func TestFailureDetails(t *testing.T) {
	r := newRig(t, shape{}, shape{readOnly: true})
	l := list1(9, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()},
		[][]byte{blocks(0, 0, 0, 1, 0, 1), blocks(0, 0, 1, 1, 0, 1)})
	if res := r.copy1(0, l); res.Status != scsi.CheckCondition {
		t.Fatal(res)
	}
	for range 2 { // the status is still there while the details are
		st := r.good(0, statusCDB1(saStatusLID1, 9), nil)
		if st[4] != withErrors || binary.BigEndian.Uint16(st[5:]) != 1 || binary.BigEndian.Uint32(st[8:]) != 512 {
			t.Fatalf("status % x", st)
		}
	}
	d := r.good(0, statusCDB1(saFailure, 9), nil)
	if len(d) < 60 || d[56] != byte(scsi.CheckCondition) || int(binary.BigEndian.Uint16(d[58:])) != len(d)-60 {
		t.Fatalf("details % x", d)
	}
	e, err := sense.Parse(d[60:])
	if err != nil || e.Key != sense.CopyAborted || e.Command != 1 {
		t.Fatalf("sense data %v %v", e, err)
	}
	r.bad(0, statusCDB1(saFailure, 9), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	r.bad(0, statusCDB1(saStatusLID1, 9), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
}

// TestListIDUsage: what is held after the end.
func TestListIDUsage(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
	one := [][]byte{blocks(0, 0, 1, 1, 0, 0)}
	r.copy1(0, list1(1, usageHold<<3, two, one))
	r.copy1(0, list1(2, usageDiscard<<3, two, one))
	r.copy1(0, list1(0, usageNone<<3, two, one))
	short := statusCDB1(saStatusLID1, 1)
	short[12], short[13] = 0, 4
	r.good(0, short, nil) // not all of it: still held
	if e := r.bad(0, statusCDB1(saStatusLID1, 2), nil, sense.IllegalRequest, sense.InvalidFieldInCDB); e.Field != 2 {
		t.Error(e)
	}
	r.bad(0, statusCDB1(saStatusLID1, 0), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	if d := r.good(0, statusCDB1(saFailure, 1), nil); len(d) != 4 {
		t.Errorf("details of success % x", d)
	}
	// the identifiers of other nexuses, of other units and of four bytes are others
	other := r.newNexus()
	if res := coretest.Do(other.Path(0), statusCDB1(saStatusLID1, 1), nil, 1024); !res.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
		t.Error(res)
	}
	r.bad(1, statusCDB1(saStatusLID1, 1), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	r.bad(0, statusCDB(saStatusLID4, 1), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	r.good(0, statusCDB1(saStatusLID1, 1), nil)
	r.bad(0, statusCDB1(saStatusLID1, 1), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
}

// TestLID4 copies in the foreground and in the background.
func TestLID4(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
	l := list4(0x01020304, 0, 0, two, [][]byte{blocks(0, 0, 1, 8, 0, 8)})
	if res := r.copy4(0, l); !res.Good() {
		t.Fatal(res)
	}
	r.want(1, 4096, r.disks[0].bytes(0, 4096))
	st := r.good(0, statusCDB(saStatusLID4, 0x01020304), nil)
	if len(st) != 32 || st[4] != saCopyLID4 || st[5] != completed || binary.BigEndian.Uint64(st[16:]) != 4096 ||
		binary.BigEndian.Uint16(st[24:]) != 1 {
		t.Errorf("status % x", st)
	}
	r.bad(0, statusCDB(saStatusLID4, 0x01020304), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
}
