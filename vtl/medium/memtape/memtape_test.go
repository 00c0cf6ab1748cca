package memtape_test

import (
	"errors"
	"testing"

	"github.com/targate/targate/vtl/carttest"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
)

func TestHook(t *testing.T) {
	tape := memtape.New(medium.Info{ID: "x"}, 1<<20)
	m, err := tape.Mount(false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tape.Mount(false); err == nil {
		t.Fatal("mounted twice")
	}
	for i := range uint64(4) {
		if err := m.Write(0, i, []byte("block"), medium.Recording{}); err != nil {
			t.Fatal(err)
		}
	}
	tape.Corrupt(0, 1)
	if _, err := m.Read(0, 1, make([]byte, 5), nil); !errors.Is(err, medium.ErrCorrupt) {
		t.Fatal(err)
	}
	tape.OnAccess(func(c memtape.Call) error {
		if c.Name == "Flush" {
			return &medium.Deferred{First: 2, Err: medium.ErrNoSpace}
		}
		return nil
	})
	var d *medium.Deferred
	if err := m.Flush(); !errors.As(err, &d) || !errors.Is(err, medium.ErrNoSpace) {
		t.Fatal(err)
	}
	if n := m.Partition(0).Objects; n != 2 {
		t.Fatalf("%d objects, the failure was of object 2", n)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m, err = tape.Mount(true); err != nil || m.Partition(0).Objects != 2 {
		t.Fatal(err)
	}
	if err := m.Write(0, 0, []byte("x"), medium.Recording{}); !errors.Is(err, medium.ErrReadOnly) {
		t.Fatal(err)
	}
}

func TestSuite(t *testing.T) {
	carttest.Run(t, carttest.Suite{New: func(_ *testing.T, worm bool, capacity int64) carttest.Tape {
		return memtape.New(medium.Info{ID: "x", WORM: worm}, capacity)
	}})
}
