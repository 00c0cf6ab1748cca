package copy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// whole copies all of disk 0 to disk 1.
func (r *rig) whole(id byte) []byte {
	return list1(id, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}, [][]byte{blocks(0, 0, 1, 4096, 0, 0)})
}

// start begins a command and lets it run.
func (r *rig) start(lun int, cdb, out []byte) *coretest.Command {
	c := coretest.NewCommand(r.path(lun), cdb, out, coretest.AnyLength)
	c.Start()
	return c
}

// TestEnds ends a copy in the middle, in each way that there is. The copy waits in the
// first write to disk 1: nobody may be told that it has ended before that write has.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		// end begins to end the copy c, whose list identifier is 5. What it returns is
		// closed when the copy is said to have ended.
		end func(r *rig, c *coretest.Command, ended chan struct{})
		// want checks the outcome of c.
		want func(coretest.Result) bool
	}{
		{"ABORT TASK", func(_ *rig, c *coretest.Command, ended chan struct{}) {
			c.AbortTask(func(bool) { close(ended) })
		}, aborted},
		{"ABORT TASK SET of the destination", func(r *rig, _ *coretest.Command, ended chan struct{}) {
			r.path(1).AbortTaskSet(func() { close(ended) })
		}, thirdParty},
		{"LOGICAL UNIT RESET of the destination", func(r *rig, _ *coretest.Command, ended chan struct{}) {
			r.disks[1].unit.Reset(func() { close(ended) })
		}, thirdParty},
		{"LOGICAL UNIT RESET", func(r *rig, _ *coretest.Command, ended chan struct{}) {
			r.disks[0].unit.Reset(func() { close(ended) })
		}, aborted},
		{"COPY OPERATION ABORT", func(r *rig, _ *coretest.Command, ended chan struct{}) {
			abort := r.start(0, abortCDB(5), nil)
			within(r.t, "COPY OPERATION ABORT", r.operation(0, 5).ctx.Done())
			go func() {
				if res := abort.Wait(); !res.Good() {
					r.t.Errorf("COPY OPERATION ABORT: %v", res)
				}
				close(ended)
			}()
		}, func(res coretest.Result) bool { return res.Is(sense.CopyAborted, sense.NoAdditionalSense) }},
		{"the destination is closed", func(r *rig, _ *coretest.Command, ended chan struct{}) {
			go func() {
				r.disks[1].unit.Close()
				close(ended)
			}()
			for r.do(1, make([]byte, 6), nil).Good() { // TEST UNIT READY, until it is closing
				runtime.Gosched()
			}
		}, thirdParty},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor()
			r := newRig(t, shape{}, shape{hook: d.hook("write")})
			list := list4(5, 0, 0, [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()},
				[][]byte{blocks(0, 0, 1, 4096, 0, 0)})
			c := r.start(0, outCDB(saCopyLID4, len(list)), list)
			within(t, "the first write", d.arrived)
			ended := make(chan struct{})
			tt.end(r, c, ended)
			select {
			case <-ended:
				t.Error("the end was reported while a write was under way")
			default:
			}
			close(d.open)
			within(t, "the end", ended)
			within(t, "the end of the copy", c.Ended())
			if res := c.Wait(); !tt.want(res) {
				t.Errorf("the copy: %v", res)
			}
			r.want(1, 0, r.disks[0].bytes(0, chunkLen))
			if bytes.Equal(r.disks[1].bytes(chunkLen, chunkLen), r.disks[0].bytes(chunkLen, chunkLen)) {
				t.Error("the copy went on")
			}
		})
	}
}

func aborted(r coretest.Result) bool    { return r.Status == scsi.TaskAborted }
func thirdParty(r coretest.Result) bool { return r.Is(sense.CopyAborted, thirdPartyFailure) }

var errStore = errors.New("the medium is worn out")

// guard is a service that refuses writes once it is told to.
type guard struct{ closed atomic.Bool }

func (g *guard) Attach(core.Host) error      { return nil }
func (g *guard) Rows() []*core.Row           { return nil }
func (g *guard) Execute(*core.Command) error { return nil }
func (g *guard) Lost(*core.Path)             {}
func (g *guard) Reset()                      {}
func (g *guard) Gate(c *core.Command) error {
	if g.closed.Load() && c.Row.Is(core.WritesMedium) {
		return sense.ReservationConflict
	}
	return nil
}

// TestGate: a reservation that comes in the middle of a copy ends it.
func TestGate(t *testing.T) {
	g := &guard{}
	var writes atomic.Int32
	r := newRig(t, shape{}, shape{services: []core.Service{g}, hook: func(op string, _, _ int64) error {
		if op == "write" && writes.Add(1) == 2 {
			g.closed.Store(true)
		}
		return nil
	}})
	if res := r.copy1(0, r.whole(1)); !thirdParty(res) {
		t.Errorf("EXTENDED COPY: %v", res)
	}
	if n := writes.Load(); n != 2 {
		t.Errorf("%d writes, want 2", n)
	}
	st := r.good(0, statusCDB1(saStatusLID1, 1), nil)
	if n := binary.BigEndian.Uint32(st[8:]); n != 2*chunkLen {
		t.Errorf("%d bytes copied, want %d", n, 2*chunkLen)
	}
}

// TestStoreFails: a store that fails ends the copy, on either side.
func TestStoreFails(t *testing.T) {
	for _, op := range []string{"read", "write"} {
		var calls atomic.Int32
		failing := shape{hook: func(o string, _, _ int64) error {
			if o == op && calls.Add(1) == 3 {
				return errStore
			}
			return nil
		}}
		r := newRig(t, failing, failing)
		if res := r.copy1(0, r.whole(1)); !thirdParty(res) {
			t.Errorf("%s: %v", op, res)
		}
		r.want(1, 0, r.disks[0].bytes(0, 2*chunkLen))
	}
}

// TestUnmapped: when the initiator no longer sees a disk, the copy ends.
func TestUnmapped(t *testing.T) {
	d := newDoor()
	r := newRig(t, shape{}, shape{hook: d.hook("write")})
	c := r.start(0, outCDB(saCopyLID1, len(r.whole(1))), r.whole(1))
	within(t, "the first write", d.arrived)
	m := mapping(r, -1)
	delete(m, 1)
	r.nexus.SetLUNs(m, false)
	close(d.open)
	within(t, "the copy", c.Ended())
	if res := c.Wait(); !thirdParty(res) {
		t.Error(res)
	}
	r.want(1, 0, r.disks[0].bytes(0, chunkLen))
	if bytes.Equal(r.disks[1].bytes(chunkLen, chunkLen), r.disks[0].bytes(chunkLen, chunkLen)) {
		t.Error("the copy went on")
	}
}

// TestInProgress: the status of a copy under way, its list identifier, and its end by its
// initiator, in the background.
func TestInProgress(t *testing.T) {
	d := newDoor()
	r := newRig(t, shape{}, shape{hook: d.hook("write")})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
	l := list4(3, 0, 1, two, [][]byte{blocks(0, 0, 1, 4096, 0, 0)})
	if res := r.copy4(0, l); !res.Good() {
		t.Fatal(res)
	}
	within(t, "the first write", d.arrived)
	st := r.good(0, statusCDB(saStatusLID4, 3), nil)
	if st[5] != inBackground || binary.BigEndian.Uint64(st[16:]) != 0 {
		t.Errorf("status % x", st)
	}
	if res := r.copy4(0, l); !res.Is(sense.IllegalRequest, sense.OperationInProgress) {
		t.Errorf("the same identifier: %v", res)
	}
	if e := r.bad(0, abortCDB(4), nil, sense.IllegalRequest, sense.InvalidFieldInCDB); e.Field != 2 {
		t.Error(e)
	}
	abort := r.start(0, abortCDB(3), nil)
	within(t, "COPY OPERATION ABORT", r.operation(0, 3).ctx.Done())
	select {
	case <-abort.Ended():
		t.Error("COPY OPERATION ABORT ended before the write")
	default:
	}
	close(d.open)
	within(t, "COPY OPERATION ABORT", abort.Ended())
	if res := abort.Wait(); !res.Good() {
		t.Error(res)
	}
	st = r.good(0, statusCDB(saStatusLID4, 3), nil)
	if st[5] != terminated || st[12] != byte(scsi.CheckCondition) || int(st[13]) != len(st)-32 {
		t.Errorf("status % x", st)
	}
	r.bad(0, abortCDB(3), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	if res := r.copy4(0, l); !res.Good() {
		t.Errorf("the identifier again: %v", res)
	}
}

// TestLost: what a nexus began in the background ends with it, and with a reset.
func TestLost(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*rig)
	}{
		{"nexus", func(r *rig) { r.nexus.Close() }},
		{"reset", func(r *rig) { r.disks[0].unit.Reset(func() {}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDoor()
			r := newRig(t, shape{}, shape{hook: d.hook("write")})
			two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
			l := list4(3, 0, 1, two, [][]byte{blocks(0, 0, 1, 4096, 0, 0)})
			if res := r.copy4(0, l); !res.Good() {
				t.Fatal(res)
			}
			within(t, "the first write", d.arrived)
			tt.end(r)
			close(d.open)
			for range maxCopies { // as many as there are: none is in use
				r.m.slots <- struct{}{}
			}
			if bytes.Equal(r.disks[1].bytes(chunkLen, chunkLen), r.disks[0].bytes(chunkLen, chunkLen)) {
				t.Error("the copy went on")
			}
		})
	}
}

// TestBounds: one nexus may not begin more than its share, finished operations are
// forgotten, and chunks are as many as copies.
func TestBounds(t *testing.T) {
	d := newDoor()
	r := newRig(t, shape{}, shape{hook: d.hook("write")})
	two := [][]byte{r.disks[0].naaTarget(), r.disks[1].naaTarget()}
	list := func(id int) []byte { return list4(uint32(id), 0, 1, two, [][]byte{blocks(0, 0, 1, 1, 0, 0)}) }
	for id := range maxNexusCopies {
		if res := r.copy4(0, list(id)); !res.Good() {
			t.Fatal(res)
		}
	}
	if res := r.copy4(0, list(99)); res.Status != scsi.Busy {
		t.Errorf("one more: %v", res)
	}
	if res := r.copy4(1, list(99)); !res.Good() {
		t.Errorf("one more at another unit: %v", res)
	}
	close(d.open)
	for range maxCopies {
		r.m.slots <- struct{}{}
	}
	for range maxCopies {
		<-r.m.slots
	}
	for id := range maxRecords + 5 {
		l := list4(uint32(1000+id), 0, 0, two, [][]byte{blocks(0, 0, 1, 1, 0, 0)})
		if res := r.copy4(0, l); !res.Good() {
			t.Fatal(res)
		}
	}
	r.bad(0, statusCDB(saStatusLID4, 1004), nil, sense.IllegalRequest, sense.InvalidFieldInCDB)
	r.good(0, statusCDB(saStatusLID4, 1005), nil)
}

// TestCross copies between two disks both ways at once, with commands that keep their
// order in both: no circle of waiting comes about.
func TestCross(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	back := list1(2, 0, [][]byte{r.disks[1].naaTarget(), r.disks[0].naaTarget()}, [][]byte{blocks(0, 0, 1, 4096, 0, 0)})
	there := r.whole(1)
	for range 5 {
		var all []*coretest.Command
		all = append(all, r.start(0, outCDB(saCopyLID1, len(there)), there), r.start(1, outCDB(saCopyLID1, len(back)), back))
		for lun := range 2 {
			c := coretest.NewCommand(r.path(lun), make([]byte, 6), nil, 0) // TEST UNIT READY
			c.Attr = taskset.Ordered
			c.Start()
			all = append(all, c)
		}
		for _, c := range all {
			within(t, "a command", c.Ended())
			if res := c.Wait(); !res.Good() {
				t.Error(res)
			}
		}
	}
}
