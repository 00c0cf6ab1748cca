package pr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// sharedStore is a Store of several gateways in one process.
type sharedStore struct {
	mu       sync.Mutex
	gateways []Gateway
	table    *Table
}

func (s *sharedStore) Durable() bool { return false }

func (s *sharedStore) Open(g Gateway) (*Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table == nil {
		s.table = &Table{}
	}
	s.gateways = append(s.gateways, g)
	return s.table, nil
}

func (s *sharedStore) Update(ctx context.Context, decide func(*Table) (*Change, error)) error {
	s.mu.Lock()
	c, err := decide(s.table)
	if err == nil && c != nil {
		s.table = c.Table
		for _, g := range s.gateways {
			g.Apply(c)
		}
	}
	s.mu.Unlock()
	if err != nil || c == nil {
		return err
	}
	for _, g := range s.gateways {
		select {
		case <-g.Abort(c):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// TestPersist: with APTPL the registrations and the reservation are there again at the
// first command after a loss of power, without it they are not (SPC-6, 5.14.5).
func TestPersist(t *testing.T) {
	for _, typ := range append([]Type{0}, allTypes...) {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			state := &coretest.State{}
			l := newLab(t, state)
			l.b.register(0, 2, 0)
			if _, err := state.Load(stateName); !errors.Is(err, fs.ErrNotExist) {
				t.Error("saved without APTPL")
			}
			l.a.register(0, 1, flagAPTPL)
			if typ != 0 {
				l.a.reserve(typ, 1)
			}
			before := l.service.Table()

			l = newLab(t, state)
			if l.c.do(writeMedium, nil).Good() != (typ == 0) {
				t.Errorf("a write of another with type %d", typ)
			}
			l.a.good(writeMedium, nil)
			after := *l.service.Table()
			if after.Generation != 0 {
				t.Errorf("PRGENERATION %d", after.Generation) // SPC-6, 6.17.2
			}
			after.Generation = before.Generation
			if !reflect.DeepEqual(&after, before) {
				t.Errorf("%+v, was %+v", after, *before)
			}

			l.b.register(2, 3, 0) // the last APTPL counts
			l = newLab(t, state)
			l.a.wantKeys()
			l.a.wantReservation(0, 0)
		})
	}
}

// TestReserveIsNotPersistent: RESERVE does not outlive a loss of power (SPC-2, 5.5.1).
func TestReserveIsNotPersistent(t *testing.T) {
	state := &coretest.State{}
	l := newLab(t, state)
	l.a.register(0, 1, flagAPTPL)
	l.a.good(out24(actClear, 0, 1, 0, 0))
	l.a.good(reserve6, nil)
	l = newLab(t, state)
	l.b.good(writeMedium, nil)
}

// hookState calls saving before it keeps a value.
type hookState struct {
	coretest.State
	saving func(value []byte)
}

func (s *hookState) Save(name string, value []byte) error {
	s.saving(value)
	return s.State.Save(name, value)
}

// TestSavedFirst: what a command changes is durable before any other command can see
// it, each change once.
func TestSavedFirst(t *testing.T) {
	state := &hookState{}
	var l *lab
	saves := 0
	state.saving = func(value []byte) {
		saves++
		if bytes.Equal(value, encode(l.service.Table())) {
			t.Errorf("save %d: already visible", saves)
		}
	}
	l = newLab(t, state)
	steps := []struct {
		h     *host
		cmd   func() ([]byte, []byte)
		saves int
	}{
		{l.a, func() ([]byte, []byte) { return out24(actRegister, 0, 0, 1, flagAPTPL) }, 1},
		{l.b, func() ([]byte, []byte) { return out24(actRegister, 0, 0, 2, flagAPTPL) }, 1},
		{l.b, func() ([]byte, []byte) { return out24(actRegister, 0, 2, 2, flagAPTPL) }, 0}, // nothing new
		{l.a, func() ([]byte, []byte) { return out24(actReserve, WriteExclusive, 1, 0, 0) }, 1},
		{l.a, func() ([]byte, []byte) { return out24(actReserve, WriteExclusive, 1, 0, 0) }, 0},
		{l.b, func() ([]byte, []byte) { return out24(actPreemptAbort, WriteExclusive, 2, 1, 0) }, 1},
		{l.b, func() ([]byte, []byte) { return outMove(2, 3, flagAPTPL, 1, initiator("c")) }, 1},
		{l.c, func() ([]byte, []byte) { return out24(actRelease, WriteExclusive, 3, 0, 0) }, 1},
		{l.c, func() ([]byte, []byte) { return out24(actClear, 0, 3, 0, 0) }, 1},
		{l.c, func() ([]byte, []byte) { return out24(actRegister, 0, 0, 4, 0) }, 1}, // APTPL ends
		{l.c, func() ([]byte, []byte) { return out24(actReserve, WriteExclusive, 4, 0, 0) }, 0},
	}
	for i, s := range steps {
		s.h.ua()
		saves = 0
		s.h.good(s.cmd())
		if saves != s.saves {
			t.Errorf("step %d: %d saves, want %d", i, saves, s.saves)
		}
	}
}

// TestSaveFails: the command ends with HARDWARE ERROR, nothing has changed, and the
// next one saves again.
func TestSaveFails(t *testing.T) {
	state := &coretest.State{}
	l := newLab(t, state)
	l.a.register(0, 1, flagAPTPL)
	l.b.register(0, 2, flagAPTPL)
	before := l.service.Table()
	state.FailSave(errors.New("no space"))
	for _, cmd := range []func() ([]byte, []byte){
		func() ([]byte, []byte) { return out24(actReserve, WriteExclusive, 1, 0, 0) },
		func() ([]byte, []byte) { return out24(actRegister, 0, 1, 0, flagAPTPL) },
		func() ([]byte, []byte) { return out24(actRegister, 0, 1, 1, 0) },
		func() ([]byte, []byte) { return out24(actPreemptAbort, 0, 1, 2, 0) },
		func() ([]byte, []byte) { return out24(actClear, 0, 1, 0, 0) },
	} {
		if r := l.a.do(cmd()); !r.Is(sense.HardwareError, sense.InternalTargetFailure) {
			t.Error(r)
		}
		if l.service.Table() != before {
			t.Fatal("the table changed")
		}
	}
	l.b.wantUA()
	l.b.good(writeMedium, nil)
	state.FailSave(nil)
	l.a.register(1, 1, flagAPTPL) // the same as before, but who knows what is saved
	l = newLab(t, state)
	l.a.wantKeys(1, 2)
}

// errCrash is the end of the world of a crashState.
var errCrash = errors.New("crash")

// crashState loses power in its nth Save: before the new value is in place, or after.
type crashState struct {
	coretest.State
	left    int
	after   bool
	crashed bool
}

func (s *crashState) Save(name string, value []byte) error {
	if s.crashed {
		return errCrash
	}
	if s.left--; s.left >= 0 {
		return s.State.Save(name, value)
	}
	s.crashed = true
	if s.after {
		if err := s.State.Save(name, value); err != nil {
			return err
		}
	}
	return errCrash
}

// TestCrash loses power at every Save of a random history. What comes back is the last
// acknowledged state or, if the command in flight had come far enough, the next one:
// never a mixture, never an older one.
func TestCrash(t *testing.T) {
	for seed := range uint64(3) {
		for n := 0; ; n++ {
			done := false
			for _, after := range []bool{false, true} {
				done = crash(t, seed, n, after)
			}
			if done {
				if n < 15 {
					t.Errorf("seed %d: only %d saves", seed, n)
				}
				break
			}
		}
	}
}

// crash runs the history of seed to its nth Save; true when there are fewer.
func crash(t *testing.T, seed uint64, n int, after bool) bool {
	t.Helper()
	state := &crashState{left: n, after: after}
	l := newLab(t, state)
	hosts := []*host{l.a, l.b, l.c, l.host("a", port2)}
	rnd := rand.New(rand.NewPCG(seed, 1))
	var acked []byte
	for range 300 {
		h := hosts[rnd.IntN(len(hosts))]
		h.ua()
		acked = encode(l.service.Table())
		h.do(randomCommand(rnd))
		if state.crashed {
			break
		}
	}
	if !state.crashed {
		return true
	}
	if now := encode(l.service.Table()); !bytes.Equal(now, acked) {
		t.Errorf("seed %d, save %d: a change that was not saved is there", seed, n)
	}
	back, err := core.NewUnit("back", &stub{}, core.UnitOptions{State: &state.State, Services: []core.Service{New(Options{})}})
	if err != nil {
		t.Errorf("seed %d, save %d: %v", seed, n, err)
		return false
	}
	if err := back.Close(); err != nil {
		t.Error(err)
	}
	table, err := NewStore(&state.State).Open(nil)
	if err != nil {
		t.Errorf("seed %d, save %d: %v", seed, n, err)
		return false
	}
	checkTable(t, table)
	if got := encode(table); !after && !bytes.Equal(got, acked) {
		t.Errorf("seed %d, save %d: came back as\n% x, acknowledged was\n% x", seed, n, got, acked)
	} else if after && bytes.Equal(got, acked) {
		t.Errorf("seed %d, save %d: the value in place did not come back", seed, n)
	}
	return false
}

// TestDamaged: a unit whose reservations cannot be read does not start.
func TestDamaged(t *testing.T) {
	whole := &Table{Persist: true, Type: WriteExclusive, Holder: Nexus{initiator("b"), 1},
		Registrants: []Registrant{registrant("a", 1, 1), registrant("b", 1, 2)}}
	b := encode(whole)
	if got, err := decode(b); err != nil || !reflect.DeepEqual(got, whole) {
		t.Fatalf("%+v, %v", got, err)
	}
	with := func(off int, v ...byte) []byte { return slices.Concat(b[:off], v, b[off+len(v):]) }
	twice := *whole
	twice.Registrants = []Registrant{registrant("b", 1, 1), registrant("b", 1, 2)}
	for name, value := range map[string][]byte{
		"empty":                {},
		"version":              with(0, 0, 2),
		"flags":                with(2, 2),
		"nothing persists":     with(2, 0),
		"type":                 with(3, 2),
		"holder without one":   with(3, 0),
		"holder of all":        with(3, byte(WriteExclusiveAll)),
		"no holder":            with(4, 0xff, 0xff),
		"holder out of range":  with(4, 0, 2),
		"nobody":               with(6, 0, 0)[:8],
		"too many":             with(6, 0xff, 0xff),
		"one more than is":     with(6, 0, 3),
		"key":                  with(8, 0, 0, 0, 0, 0, 0, 0, 0),
		"the same nexus twice": encode(&twice),
		"cut":                  b[:len(b)-1],
		"more":                 append(slices.Clone(b), 0),
	} {
		t.Run(name, func(t *testing.T) {
			state := &coretest.State{}
			if err := state.Save(stateName, value); err != nil {
				t.Fatal(err)
			}
			u, err := core.NewUnit("test", &stub{}, core.UnitOptions{State: state, Services: []core.Service{New(Options{})}})
			if err == nil {
				t.Errorf("% x is taken", value)
				_ = u.Close()
			}
		})
	}
}

// FuzzDecode: no saved value panics, and what is read is whole and encodes to itself.
func FuzzDecode(f *testing.F) {
	f.Add(encode(&Table{}))
	f.Add(encode(&Table{Persist: true, Type: ExclusiveAccessAll, Registrants: []Registrant{registrant("a", 1, 1)}}))
	f.Add(encode(&Table{Persist: true, Type: WriteExclusive, Holder: Nexus{initiator("b"), 1},
		Registrants: []Registrant{registrant("a", 1, 1), registrant("b", 1, 2)}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := decode(b)
		if err != nil {
			return
		}
		checkTable(t, table)
		if again := encode(table); !bytes.Equal(again, b) {
			t.Fatalf("% x came back as % x", b, again)
		}
	})
}
