package sbc

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

func format(flags byte) []byte { return []byte{0x04, flags, 0, 0, 0, 0} }

func sanitize(sa byte, n uint16) []byte { return cdb10(0x48, sa, 0, n) }

// overwriteList is a parameter list of SANITIZE OVERWRITE.
func overwriteList(count byte, pattern []byte) []byte {
	return append([]byte{count, 0, byte(len(pattern) >> 8), byte(len(pattern))}, pattern...)
}

func TestFormatUnit(t *testing.T) {
	r := newRig(t, nil)
	dirty := func() { r.good(writers["Write10"](0, 64), fill('a', 64)) }
	clean := func(name string) {
		t.Helper()
		if !bytes.Equal(r.bytes(0, 64), fill(0, 64)) {
			t.Errorf("%s: the data is still there", name)
		}
	}
	dirty()
	r.good(format(0), nil)
	clean("plain")
	dirty()
	r.good(format(0x18), []byte{0, 0x80, 0, 0})
	clean("short header")
	dirty()
	r.good(format(0x30), make([]byte, 8))
	clean("long header")

	dirty()
	r.field(format(0x08), nil, 1)
	r.field(format(0x13), make([]byte, 4), 1)
	r.field(format(0x40), nil, 1)
	r.param(format(0x10), []byte{1, 0, 0, 0}, 0)
	r.param(format(0x10), []byte{0, 0x40, 0, 0}, 1)
	r.param(format(0x10), []byte{0, 0x88, 0, 0}, 1)
	r.param(format(0x10), []byte{0, 0, 0, 8}, 2)
	r.param(format(0x30), []byte{0, 0, 0, 1, 0, 0, 0, 0}, 3)
	r.param(format(0x30), []byte{0, 0, 0, 0, 0, 0, 0, 8}, 4)
	r.bad(format(0x10), []byte{0, 0}, sense.IllegalRequest, sense.ParameterListLengthError)
	if !bytes.Equal(r.bytes(0, 64), fill('a', 64)) {
		t.Error("a refused FORMAT UNIT changed the medium")
	}
}

func TestFormatWithoutUnmap(t *testing.T) {
	r := newRig(t, func(_ *Config, s *testStore) { s.info.Unmap = block.No })
	r.good(writers["Write10"](0, 64), fill('a', 64))
	r.good(format(0), nil)
	if !bytes.Equal(r.bytes(0, 64), fill(0, 64)) {
		t.Error("the data is still there")
	}
}

// A failed FORMAT UNIT leaves a medium that only another one mends.
func TestFormatFails(t *testing.T) {
	r := newRig(t, nil)
	r.store.hook = fail(block.ErrCorrupt)
	r.bad(format(0), nil, sense.MediumError, formatFailed)
	r.store.hook = nil
	r.bad(readers["Read10"](0, 1), nil, sense.MediumError, mediumFormatCorrupt)
	r.good([]byte{0x12, 0, 0, 0, 36, 0}, nil)
	r.good(format(0), nil)
	r.good(readers["Read10"](0, 1), nil)
}

func TestSanitizeOverwrite(t *testing.T) {
	r := newRig(t, nil)
	r.good(sanitize(saOverwrite, 516), overwriteList(1, fill(0xaa, 1)))
	if !bytes.Equal(r.bytes(0, rigBlocks), fill(0xaa, rigBlocks)) {
		t.Error("not overwritten")
	}
	r.good(sanitize(saOverwrite, 7), overwriteList(1, []byte{1, 2, 3}))
	b := r.bytes(rigBlocks-1, 1)
	if !bytes.Equal(b[:6], []byte{1, 2, 3, 1, 2, 3}) || b[510] != 1 || b[511] != 2 {
		t.Errorf("the pattern is not repeated in each block: % x", b)
	}
	r.store.calls = nil
	r.good(sanitize(saOverwrite, 5), overwriteList(0x83, []byte{0xf0}))
	if !bytes.Equal(r.bytes(0, rigBlocks), fill(0xf0, rigBlocks)) {
		t.Error("three passes with INVERT do not end with the pattern")
	}
	writes, flushes := 0, 0
	for _, c := range r.store.calls {
		switch c[:5] {
		case "write":
			writes++
		case "flush":
			flushes++
		}
	}
	if want := 3 * rigBlocks * 512 / scratchLen; writes != want || flushes != 3 {
		t.Errorf("%d writes and %d flushes, want %d and 3", writes, flushes, want)
	}

	for n := range uint16(5) {
		r.field(sanitize(saOverwrite, n), make([]byte, n), 7)
	}
	r.field(sanitize(saOverwrite, 517), make([]byte, 517), 7)
	r.param(sanitize(saOverwrite, 5), overwriteList(0, []byte{1}), 0)
	r.param(sanitize(saOverwrite, 5), overwriteList(0x21, []byte{1}), 0)
	r.param(sanitize(saOverwrite, 5), []byte{1, 1, 0, 1, 0}, 1)
	r.param(sanitize(saOverwrite, 5), []byte{1, 0, 0, 0, 0}, 2)
	r.param(sanitize(saOverwrite, 5), []byte{1, 0, 2, 4, 0}, 2)
	r.bad(sanitize(saOverwrite, 5), []byte{1, 0, 0, 2, 0}, sense.IllegalRequest, sense.ParameterListLengthError)
	r.bad(sanitize(saOverwrite, 5), []byte{1, 0, 0, 1}, sense.IllegalRequest, sense.ParameterListLengthError)
}

func TestSanitizeBlockErase(t *testing.T) {
	r := newRig(t, nil)
	r.good(writers["Write10"](0, 64), fill('a', 64))
	r.good(sanitize(saBlockErase, 0), nil)
	if b := r.good(cdb16(0x9e, 0x12, 0, 256), nil); !bytes.Equal(b[8:], []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0, 0, 0}) {
		t.Errorf("not all is deallocated: % x", b)
	}
	r.field(sanitize(saBlockErase, 8), make([]byte, 8), 8)
}

func TestSanitizeServiceActions(t *testing.T) {
	r := newRig(t, nil)
	for sa := range byte(32) {
		if !slices.Contains([]byte{saOverwrite, saBlockErase, saExit}, sa) {
			r.field(sanitize(sa, 0), nil, 1)
		}
	}
	r.good(sanitize(saExit, 0), nil)
	r.field(sanitize(saExit, 8), nil, 8)
}

// hold makes the store wait in the first call of op, and says when it is there.
func (r *rig) hold(op string) (entered <-chan struct{}, leave func()) {
	in, out := make(chan struct{}), make(chan struct{})
	first := true
	r.store.hook = func(o string, _, _ int64, _ block.Flags) error {
		if o == op && first {
			first = false
			close(in)
			<-out
		}
		return nil
	}
	return in, func() { close(out) }
}

// idle waits until no operation is under way.
func (r *rig) idle() {
	r.disk.opMu.Lock()
	op := r.disk.op
	r.disk.opMu.Unlock()
	if op != nil {
		<-op.ended
	}
}

func TestSanitizeInProgress(t *testing.T) {
	for name, immed := range map[string]byte{"waits": 0, "immediate": 0x80} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.good(writers["Write10"](0, 64), fill('a', 64))
			entered, leave := r.hold("unmap")
			c := coretest.NewCommand(r.path, sanitize(saBlockErase|immed, 0), nil, coretest.AnyLength)
			c.Start()
			<-entered
			if immed != 0 {
				if res := c.Wait(); !res.Good() {
					t.Fatal(res)
				}
			}
			busy := func(cdb []byte) {
				t.Helper()
				e := r.bad(cdb, nil, sense.NotReady, sense.SanitizeInProgress)
				if !e.HasProgress {
					t.Errorf("% x: no progress", cdb)
				}
			}
			busy([]byte{0, 0, 0, 0, 0, 0})
			busy(readers["Read16"](0, 1))
			busy([]byte{0x1b, 1, 0, 0, 0x12, 0})
			busy(sanitize(saBlockErase, 0))
			r.good([]byte{0x12, 0, 0, 0, 36, 0}, nil)
			if e := r.requestSense(); e.Code != sense.SanitizeInProgress || !e.HasProgress || e.Key != sense.NotReady {
				t.Errorf("REQUEST SENSE: %v", e)
			}
			if immed == 0 {
				// neither an abort nor a reset ends it
				reset := make(chan struct{})
				r.unit.Reset(func() { close(reset) })
				<-reset
				c.Wait()
				coretest.TakeUA(r.path)
				busy([]byte{0, 0, 0, 0, 0, 0})
			}
			leave()
			r.idle()
			r.good([]byte{0, 0, 0, 0, 0, 0}, nil)
			if !bytes.Equal(r.bytes(0, 64), fill(0, 64)) {
				t.Error("the data is still there")
			}
			if e := r.requestSense(); e.Key != sense.NoSense {
				t.Errorf("REQUEST SENSE afterwards: %v", e)
			}
		})
	}
}

func (r *rig) requestSense() *sense.Error {
	r.t.Helper()
	e, err := sense.Parse(r.good([]byte{0x03, 0, 0, 0, 252, 0}, nil))
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func TestSanitizeFails(t *testing.T) {
	const ause = 0x20
	for name, flags := range map[string]byte{"restricted": 0, "unrestricted": ause} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.store.hook = fail(errors.New("boom"))
			r.bad(sanitize(saBlockErase|flags, 0), nil, sense.MediumError, sense.SanitizeCommandFailed)
			r.store.hook = nil
			r.bad(readers["Read10"](0, 1), nil, sense.MediumError, sense.SanitizeCommandFailed)
			r.good([]byte{0x12, 0, 0, 0, 36, 0}, nil)
			if flags == 0 {
				r.field(sanitize(saExit, 0), nil, 1)
				r.good(sanitize(saBlockErase, 0), nil)
			} else {
				r.good(sanitize(saExit, 0), nil)
			}
			r.good(readers["Read10"](0, 1), nil)
		})
	}
}

// What a restart interrupts is done all over again.
func TestSanitizeSurvivesRestart(t *testing.T) {
	state := &coretest.State{}
	r := newRigState(t, state, nil)
	entered, leave := r.hold("write")
	l := overwriteList(1, []byte{7})
	r.good(sanitize(saOverwrite|0x80, uint16(len(l))), l)
	<-entered
	closed := make(chan error)
	go func() { closed <- r.disk.Close() }()
	<-r.disk.ctx.Done()
	leave()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(r.bytes(0, rigBlocks), fill(7, rigBlocks)) {
		t.Fatal("it was not interrupted")
	}
	r = newRigState(t, state, nil)
	r.idle()
	if !bytes.Equal(r.bytes(0, rigBlocks), fill(7, rigBlocks)) {
		t.Error("it was not taken up again")
	}
	r = newRigState(t, state, nil)
	if r.disk.op != nil {
		t.Error("it was taken up although it had ended")
	}
}

func TestStateOfAnotherOperation(t *testing.T) {
	for name, v := range map[string][]byte{
		"short":   {0},
		"version": make([]byte, 18),
		"cut":     {0, 1, opFormat},
		"unknown": append([]byte{0, 1}, make([]byte, 16)...),
		"broken":  append(append([]byte{0, 1}, sanitize(saOverwrite, 9)...), 0, 0, 0, 0, 0, 0),
	} {
		state := &coretest.State{}
		if err := state.Save(operationName, v); err != nil {
			t.Fatal(err)
		}
		d, err := New(newTestStore(1<<20), testConfig())
		if err != nil {
			t.Fatal(err)
		}
		d.host = stateHost{state: state}
		if err := d.takeUp(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSaveFails(t *testing.T) {
	state := &coretest.State{}
	r := newRigState(t, state, nil)
	r.good(writers["Write10"](0, 1), fill('a', 1))
	state.FailSave(errors.New("boom"))
	r.bad(format(0), nil, sense.HardwareError, sense.InternalTargetFailure)
	if !bytes.Equal(r.bytes(0, 1), fill('a', 1)) {
		t.Error("it began although it could not be remembered")
	}
}

func TestStartStopUnit(t *testing.T) {
	r := newRig(t, nil)
	ss := func(b3, b4 byte) []byte { return []byte{0x1b, 0, 0, b3, b4, 0} }
	flushes := r.store.count(&r.store.flushes)
	r.good(ss(0, 0), nil)
	if r.store.count(&r.store.flushes) != flushes+1 {
		t.Error("stopped without a flush")
	}
	r.bad([]byte{0, 0, 0, 0, 0, 0}, nil, sense.NotReady, sense.InitializingCommandRequired)
	r.bad(readers["Read10"](0, 1), nil, sense.NotReady, sense.InitializingCommandRequired)
	r.bad(writers["Write10"](0, 1), fill(1, 1), sense.NotReady, sense.InitializingCommandRequired)
	r.good([]byte{0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nil)
	r.good(ss(0, 1), nil)
	r.good(readers["Read10"](0, 1), nil)
	r.good(ss(0, 0x04), nil) // NO_FLUSH
	if r.store.count(&r.store.flushes) != flushes+1 {
		t.Error("NO_FLUSH flushed")
	}
	r.good(ss(0, 0x10), nil) // ACTIVE
	r.good([]byte{0, 0, 0, 0, 0, 0}, nil)
	r.field(ss(0, 0x02), nil, 4)
	r.field(ss(0, 0x20), nil, 4)
	r.field(ss(1, 0x01), nil, 3)
	r.store.hook = fail(block.ErrCorrupt)
	r.bad(ss(0, 0), nil, sense.MediumError, sense.WriteError)
	r.store.hook = nil
	r.good([]byte{0, 0, 0, 0, 0, 0}, nil)
}

func TestReadDefectData(t *testing.T) {
	r := newRig(t, nil)
	b := cdb10(0x37, 0, 0, 32)
	b[2] = 0x1d
	if got := r.good(b, nil); !bytes.Equal(got, []byte{0, 0x1d, 0, 0}) {
		t.Errorf("% x", got)
	}
	b[2] = 6
	r.field(b, nil, 2)
	if got := r.good(cdb12(0xb7, 0x0b, 0, 32), nil); !bytes.Equal(got, []byte{0, 0x0b, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("% x", got)
	}
	r.field(cdb12(0xb7, 0x07, 0, 32), nil, 1)
}
