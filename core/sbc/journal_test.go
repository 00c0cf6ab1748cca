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

// A crash in the middle of WRITE ATOMIC is made good by the next start.
func TestWriteAtomicSurvivesCrash(t *testing.T) {
	state, atCrash := &coretest.State{}, &coretest.State{}
	r := newRigState(t, state, nil)
	r.good(writers["Write10"](0, 16), fill('a', 16))
	r.store.hook = func(op string, off, n int64, _ block.Flags) error {
		if op == "write" {
			v, err := state.Load(journalName)
			if err != nil {
				return err
			}
			return atCrash.Save(journalName, v)
		}
		return nil
	}
	r.good(writeAtomic(4, 8), fill('b', 8))
	want := slices.Concat(fill('a', 4), fill('b', 8), fill('a', 4))
	if v, err := state.Load(journalName); err != nil || len(v) != 0 {
		t.Errorf("the journal has %d bytes afterwards, %v", len(v), err)
	}

	torn := slices.Concat(fill('a', 4), fill('b', 3), fill('a', 9))
	crashed := newRigState(t, atCrash, func(_ *Config, s *testStore) { copy(s.data, torn) })
	if !bytes.Equal(crashed.bytes(0, 16), want) {
		t.Error("the write is still torn")
	}
	if n := crashed.store.count(&crashed.store.fuas); n != 1 {
		t.Error("the journal was emptied before the write was durable")
	}
	again := newRigState(t, atCrash, func(_ *Config, s *testStore) { copy(s.data, torn) })
	if !bytes.Equal(again.bytes(0, 16), torn) {
		t.Error("the journal was replayed twice")
	}
}

// A journal that cannot be emptied must not bring old data back later.
func TestJournalCannotBeEmptied(t *testing.T) {
	state := &coretest.State{}
	r := newRigState(t, state, nil)
	r.store.hook = func(op string, _, _ int64, _ block.Flags) error {
		if op == "write" {
			state.FailSave(errors.New("boom"))
		}
		return nil
	}
	r.bad(writeAtomic(0, 1), fill('b', 1), sense.HardwareError, sense.InternalTargetFailure)
	r.store.hook = nil
	r.bad(writers["Write10"](0, 1), fill('c', 1), sense.HardwareError, sense.InternalTargetFailure)
	r.bad(writeAtomic(0, 1), fill('c', 1), sense.HardwareError, sense.InternalTargetFailure)
	r.good(readers["Read10"](0, 1), nil)
	state.FailSave(nil)
	r.good(writers["Write10"](0, 1), fill('c', 1))
	if v, err := state.Load(journalName); err != nil || len(v) != 0 {
		t.Errorf("the journal has %d bytes, %v", len(v), err)
	}
}

func TestJournalCannotBeWritten(t *testing.T) {
	state := &coretest.State{}
	r := newRigState(t, state, nil)
	state.FailSave(errors.New("boom"))
	r.bad(writeAtomic(0, 1), fill('b', 1), sense.HardwareError, sense.InternalTargetFailure)
	r.good(writers["Write10"](8, 1), fill('c', 1))
	if !bytes.Equal(r.bytes(0, 1), fill(0, 1)) {
		t.Error("written without a journal")
	}
}

func TestBrokenJournal(t *testing.T) {
	for name, v := range map[string][]byte{"version": {0, 2}, "cut": {0, 1, 0, 0},
		"half_a_block":   append([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 7}, fill(1, 1)...),
		"beyond_the_end": append([]byte{0, 1, 0, 0, 0, 0, 0x7f, 0, 0, 0}, fill(1, 1)...)} {
		state := &coretest.State{}
		if err := state.Save(journalName, v); err != nil {
			t.Fatal(err)
		}
		d, err := New(newTestStore(1<<20), testConfig())
		if err != nil {
			t.Fatal(err)
		}
		d.host = stateHost{state: state}
		if err := d.replay(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
