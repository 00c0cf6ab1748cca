package sbc

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// unmapList is a parameter list of UNMAP.
func unmapList(e ...extent) []byte {
	b := make([]byte, 8)
	for _, x := range e {
		b = binary.BigEndian.AppendUint64(b, x.lba)
		b = binary.BigEndian.AppendUint32(b, uint32(x.blocks))
		b = append(b, 0, 0, 0, 0)
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-8))
	return b
}

func unmapCDB(n int) []byte { return cdb10(0x42, 0, 0, uint16(n)) }

func TestUnmap(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write10"](0, 64), fill('a', 64))
	l := unmapList(extent{8, 16}, extent{40, 0}, extent{rigBlocks, 0}, extent{62, 2})
	r.good(unmapCDB(len(l)), l)
	want := slices.Concat(fill('a', 8), fill(0, 16), fill('a', 38), fill(0, 2))
	if !bytes.Equal(r.bytes(0, 64), want) {
		t.Error("other data")
	}
	r.good(unmapCDB(0), nil)
	r.good(unmapCDB(8), unmapList())

	bad := func(name string, l []byte, k sense.Key, c sense.Code) {
		t.Run(name, func(t *testing.T) {
			before := r.bytes(0, 64)
			r.bad(unmapCDB(len(l)), l, k, c)
			if !bytes.Equal(r.bytes(0, 64), before) {
				t.Error("something was unmapped")
			}
		})
	}
	bad("beyond_last_lba", unmapList(extent{0, 1}, extent{rigBlocks - 1, 2}), sense.IllegalRequest, sense.LBAOutOfRange)
	bad("far_beyond", unmapList(extent{0, 1}, extent{^uint64(0), 2}), sense.IllegalRequest, sense.LBAOutOfRange)
	bad("short_header", make([]byte, 7), sense.IllegalRequest, sense.ParameterListLengthError)
	l = unmapList(extent{0, 1}, extent{1, 1})
	bad("truncated", l[:len(l)-1], sense.IllegalRequest, sense.ParameterListLengthError)
}

func TestWriteSame(t *testing.T) {
	forms := map[string]func(flags byte, lba uint64, n uint32) []byte{
		"WriteSame10": func(f byte, l uint64, n uint32) []byte { return cdb10(0x41, f, uint32(l), uint16(n)) },
		"WriteSame16": func(f byte, l uint64, n uint32) []byte { return cdb16(0x93, f, l, n) },
	}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.good(f(0, 2, 1500), fill('a', 1))
			if !bytes.Equal(r.bytes(0, 1504), slices.Concat(fill(0, 2), fill('a', 1500), fill(0, 2))) {
				t.Error("other data")
			}
			r.store.calls = nil
			r.good(f(0, 8, 8), fill(0, 1))
			r.good(f(0x08, 16, 8), fill(0, 1))
			if want := []string{"zero 4096+4096", "unmap 8192+4096"}; !slices.Equal(r.store.calls, want) {
				t.Errorf("calls %q, want %q", r.store.calls, want)
			}
			if !bytes.Equal(r.bytes(7, 18), slices.Concat(fill('a', 1), fill(0, 16), fill('a', 1))) {
				t.Error("not zeroed")
			}
			// what would read as zeros is written instead
			r.good(f(0x08, 8, 8), fill('b', 1))
			if !bytes.Equal(r.bytes(8, 8), fill('b', 8)) {
				t.Error("UNMAP with data lost the data")
			}
			at := map[int]int{10: 7, 16: 10}[len(f(0, 0, 0))]
			r.field(f(0, 0, 0), fill('a', 1), at)
			if at == 10 {
				r.field(f(0, 0, maxWriteSame+1), fill('a', 1), at)
			}
			r.field(f(0x10, 0, 1), fill('a', 1), 1) // ANCHOR
			r.field(f(0x18, 0, 1), fill('a', 1), 1)
			r.bad(f(0, rigBlocks-1, 2), fill('a', 1), sense.IllegalRequest, sense.LBAOutOfRange)
		})
	}
	t.Run("WriteSame16/ndob", func(t *testing.T) {
		r := newRig(t, nil)
		r.good(writers["Write10"](0, 16), fill('a', 16))
		r.good(cdb16(0x93, 0x01, 0, 8), nil)
		r.good(cdb16(0x93, 0x09, 8, 8), nil)
		if !bytes.Equal(r.bytes(0, 16), fill(0, 16)) {
			t.Error("not zeroed")
		}
	})
}

// A command over a large range notices its abort between two calls of the store.
func TestWriteSameAborted(t *testing.T) {
	r := newRig(t, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	r.store.hook = func(op string, off, _ int64, _ block.Flags) error {
		if op == "write" && off == 0 {
			close(entered)
			<-leave
		}
		return nil
	}
	c := coretest.NewCommand(r.path, cdb10(0x41, 0, 0, rigBlocks), fill('a', 1), coretest.AnyLength)
	c.Start()
	<-entered
	c.AbortTask(func(bool) {})
	close(leave)
	if res := c.Wait(); res.Status != scsi.TaskAborted {
		t.Errorf("%v, want TASK ABORTED", res)
	}
	if bytes.Equal(r.bytes(rigBlocks-1, 1), fill('a', 1)) {
		t.Error("it went on to the end")
	}
}

func TestGetLBAStatus(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write10"](8, 8), fill('a', 8))
	r.good(writers["Write10"](24, 16), fill('a', 16))
	status := func(lba uint64, alloc uint32) []byte { return r.good(cdb16(0x9e, 0x12, lba, alloc), nil) }
	desc := func(lba uint64, n uint32, s byte) []byte {
		b := binary.BigEndian.AppendUint64(nil, lba)
		return append(binary.BigEndian.AppendUint32(b, n), s, 0, 0, 0)
	}
	all := slices.Concat([]byte{0, 0, 0, 4 + 16*5, 0, 0, 0, 0}, desc(0, 8, 1), desc(8, 8, 0), desc(16, 8, 1),
		desc(24, 16, 0), desc(40, rigBlocks-40, 1))
	if b := status(0, 8+16*5); !bytes.Equal(b, all) {
		t.Errorf("% x", b)
	}
	if b := status(9, 24); !bytes.Equal(b, append([]byte{0, 0, 0, 20, 0, 0, 0, 0}, desc(9, 7, 0)...)) {
		t.Errorf("% x", b)
	}
	if b := status(9, 0); len(b) != 0 {
		t.Errorf("% x", b)
	}
	r.bad(cdb16(0x9e, 0x12, rigBlocks, 24), nil, sense.IllegalRequest, sense.LBAOutOfRange)
}

func TestCapabilities(t *testing.T) {
	has := func(r *rig, code uint8, act int16) bool {
		return slices.ContainsFunc(r.unit.Rows(), func(row *core.Row) bool { return row.Code == code && row.Action == act })
	}
	r := newRig(t, func(_ *Config, s *testStore) { s.info.Unmap, s.info.Extents = block.No, block.No })
	if has(r, 0x42, core.NoAction) || has(r, 0x9e, 0x12) || has(r, opSanitize, saBlockErase) {
		t.Error("a store without deallocation has its commands")
	}
	r.bad(unmapCDB(0), nil, sense.IllegalRequest, sense.InvalidOpcode)
	r.field(cdb10(0x41, 0x08, 0, 1), fill(0, 1), 1)
	if b := r.good(cdb16(0x9e, 0x10, 0, 32), nil); b[14] != 0 {
		t.Error("LBPME is set")
	}
	r.field([]byte{0x12, 1, 0xb2, 0, 64, 0}, nil, 2)
	if b := r.good([]byte{0x12, 1, 0xb0, 0, 64, 0}, nil); !bytes.Equal(b[20:36], make([]byte, 16)) {
		t.Errorf("unmap limits % x", b[20:36])
	}
	r.good(cdb10(0x41, 0, 0, 1), fill(0, 1))
}

func TestPreFetch(t *testing.T) {
	r := newRig(t, func(_ *Config, s *testStore) { *s = *newTestStore(maxPrefetch + 4096) })
	r.good(writers["Write10"](0, 8), fill('a', 8))
	for name, cdb := range map[string][]byte{"10": cdb10(0x34, 0, 0, 16), "16": cdb16(0x90, 0, 0, 16)} {
		r.store.calls = nil
		if res := r.do(cdb, nil); res.Status != scsi.ConditionMet {
			t.Errorf("%s: %v", name, res)
		}
		if !slices.Contains(r.store.calls, "read 0+4096") {
			t.Errorf("%s: calls %q", name, r.store.calls)
		}
	}
	if res := r.do(cdb10(0x34, 0, 0, 0), nil); res.Status != scsi.Good {
		t.Errorf("to the end: %v", res)
	}
	if res := r.do(cdb10(0x34, 0x02, 0, 16), nil); res.Status != scsi.ConditionMet {
		t.Errorf("immediate: %v", res)
	}
}

func TestSynchronizeCache(t *testing.T) {
	r := newRig(t, nil)
	for _, cdb := range [][]byte{cdb10(0x35, 0, 0, 0), cdb10(0x35, 0x02, 5, 7), cdb16(0x91, 0, 0, 0)} {
		before := r.store.count(&r.store.flushes)
		r.good(cdb, nil)
		if r.store.count(&r.store.flushes) != before+1 {
			t.Errorf("% x: no flush", cdb)
		}
	}
	r.store.hook = fail(block.ErrCorrupt)
	r.bad(cdb10(0x35, 0, 0, 0), nil, sense.MediumError, sense.WriteError)
	r.store.hook = nil
}
