package ssc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium/memtape"
)

func readCDB(n int) []byte  { return []byte{0x08, 0, byte(n >> 16), byte(n >> 8), byte(n), 0} }
func writeCDB(n int) []byte { return []byte{0x0a, 0, byte(n >> 16), byte(n >> 8), byte(n), 0} }

func tape(t *testing.T, motion Motion) (*Drive, *cartridge, *core.Unit) {
	t.Helper()
	d := newDrive(t, func(c *Config) { c.Motion = motion })
	c := newCartridge(t, "TG0001L8", 64<<20)
	if err := d.Insert(c); err != nil {
		t.Fatal(err)
	}
	return d, c, coretest.NewUnit(t, d, &coretest.State{})
}

func good(t *testing.T, p *core.Path, cdb, out []byte) {
	t.Helper()
	if r := coretest.Do(p, cdb, out, coretest.AnyLength); !r.Good() {
		t.Fatalf("% x: %v", cdb, r)
	}
}

// Two READs in flight across a filemark: the first ends there, the second has the data behind it. All
// commands in flight are carried out in the order in which they were sent.
func TestReadsInFlight(t *testing.T) {
	_, c, u := tape(t, nil)
	p := coretest.NewPath(t, u)
	const blocks = 50
	for i := range blocks {
		good(t, p, writeCDB(4), binary.BigEndian.AppendUint32(nil, uint32(i)))
		good(t, p, []byte{0x10, 0, 0, 0, 1, 0}, nil)
	}
	good(t, p, []byte{0x01, 0, 0, 0, 0, 0}, nil)
	var mu sync.Mutex
	running := 0
	c.OnAccess(func(call memtape.Call) error { // one at a time
		if call.Name != "Read" {
			return nil
		}
		if !mu.TryLock() {
			running++
		} else {
			mu.Unlock()
		}
		return nil
	})
	var sent []*coretest.Command
	for range 2 * blocks {
		cmd := coretest.NewCommand(p, readCDB(4), nil, 4)
		cmd.Start()
		sent = append(sent, cmd)
	}
	for i, cmd := range sent {
		r := cmd.Wait()
		if i%2 == 0 {
			if want := binary.BigEndian.AppendUint32(nil, uint32(i/2)); !r.Good() || !bytes.Equal(r.Data, want) {
				t.Errorf("READ %d: %v, % x", i, r, r.Data)
			}
		} else if r.Sense == nil || !r.Sense.Filemark {
			t.Errorf("READ %d: %v, want a filemark", i, r)
		}
	}
	if running > 0 {
		t.Errorf("%d reads at the same time", running)
	}
}

// Commands of several nexuses are carried out one at a time, those of each in order.
func TestNexusesInFlight(t *testing.T) {
	_, _, u := tape(t, nil)
	const nexuses, each = 4, 40
	var wg sync.WaitGroup
	for n := range nexuses {
		p := coretest.NewPath(t, u)
		wg.Go(func() {
			var sent []*coretest.Command
			for i := range each {
				cmd := coretest.NewCommand(p, writeCDB(8), binary.BigEndian.AppendUint64(nil, uint64(n)<<32|uint64(i)), 0)
				cmd.Start()
				sent = append(sent, cmd)
			}
			for _, cmd := range sent {
				if r := cmd.Wait(); !r.Good() {
					t.Errorf("WRITE: %v", r)
				}
			}
		})
	}
	wg.Wait()
	p := coretest.NewPath(t, u)
	good(t, p, []byte{0x01, 0, 0, 0, 0, 0}, nil)
	var next [nexuses]uint32
	for range nexuses * each {
		r := coretest.Do(p, readCDB(8), nil, 8)
		if len(r.Data) != 8 {
			t.Fatalf("READ: %v", r)
		}
		n, i := binary.BigEndian.Uint32(r.Data), binary.BigEndian.Uint32(r.Data[4:])
		if i != next[n] {
			t.Fatalf("nexus %d: block %d, want %d", n, i, next[n])
		}
		next[n]++
	}
}

// A command that waits for the tape while the robot changes the cartridge does not reach the new one
// before its initiator was told.
func TestChangeUnderCommand(t *testing.T) {
	d, _, u := tape(t, nil)
	p := coretest.NewPath(t, u)
	d.tape <- struct{}{} // the robot has it
	cmd := coretest.NewCommand(p, writeCDB(4), make([]byte, 4), 0)
	cmd.Start()
	if err := d.carryOut(context.Background(), d.unloading(false)); err != nil {
		t.Fatal(err)
	}
	d.mu.Lock()
	next := newCartridge(t, "TG0002L8", 1<<20)
	d.cart = next
	d.mu.Unlock()
	if err := d.carryOut(context.Background(), d.loading(nil)); err != nil {
		t.Fatal(err)
	}
	d.release()
	// NOT READY when it came to the tape while that was busy
	if r := cmd.Wait(); !r.Is(sense.UnitAttention, sense.MediumMayHaveChanged) && r.Sense.Key != sense.NotReady {
		t.Errorf("WRITE: %v", r)
	}
	d.look(func(m *mount) {
		if n := m.medium.Partition(0).Objects; n != 0 {
			t.Errorf("%d blocks on the new cartridge", n)
		}
	})
}

// Task management while the mechanics move: a command that waits ends at once, one that moves is
// ended with the motion, and the drive goes on.
func TestAbort(t *testing.T) {
	m := &motion{}
	_, _, u := tape(t, m)
	p, other := coretest.NewPath(t, u), coretest.NewPath(t, u)
	good(t, p, writeCDB(4), make([]byte, 4))
	m.hold, m.half = make(chan struct{}), make(chan struct{})
	rewind := coretest.NewCommand(p, []byte{0x01, 0, 0, 0, 0, 0}, nil, 0)
	rewind.Start()
	<-m.half
	waiting := coretest.NewCommand(p, writeCDB(4), make([]byte, 4), 0)
	waiting.Start()
	if r := coretest.Do(other, make([]byte, 6), nil, 0); !r.Good() { // beside it
		t.Errorf("TEST UNIT READY: %v", r)
	}
	done := make(chan bool, 2)
	waiting.AbortTask(func(found bool) { done <- found })
	if !<-done {
		t.Error("the command that waits was not there")
	}
	rewind.AbortTask(func(found bool) { done <- found })
	if !<-done {
		t.Error("the command that moves was not there")
	}
	for _, c := range []*coretest.Command{rewind, waiting} {
		if r := c.Wait(); r.Status != scsi.TaskAborted {
			t.Errorf("aborted: %v", r)
		}
	}
	m.hold = nil
	good(t, p, []byte{0x01, 0, 0, 0, 0, 0}, nil)
	if r := coretest.Do(p, readCDB(4), nil, 4); !r.Good() || len(r.Data) != 4 {
		t.Errorf("READ: %v", r)
	}
	if r := coretest.Do(p, readCDB(4), nil, 4); r.Sense == nil || r.Sense.Code != endOfData {
		t.Errorf("the aborted WRITE was carried out: %v", r)
	}
}

// Close while the mechanics move ends the motion; the robot's wait ends with its context.
func TestWaits(t *testing.T) {
	m := &motion{}
	d, _, _ := tape(t, m)
	m.hold, m.half = make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	ejected := make(chan error)
	go func() { ejected <- d.Eject(context.Background()) }()
	<-m.half
	waits := make(chan error)
	go func() { waits <- d.Remove(ctx) }()
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("Remove: %v", err)
	}
	close(m.hold)
	if err := <-ejected; err != nil {
		t.Errorf("Eject: %v", err)
	}
}
