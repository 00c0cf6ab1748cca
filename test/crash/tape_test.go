//go:build system

package crash

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/initiator"
)

const (
	iqnTape = "iqn.2026-11.org.targate:crash.tape"

	// The library of a 3573-TL: two drives, slots for all cartridges and more.
	tapeDrives, tapeCartridges, tapeSlots = 2, 6, 10
	firstDrive, firstSlot                 = 0x100, 0x1000

	tapeConfig = `
libraries:
  - name: lib0
    model: ibm-3573-tl
    path: ./tapes
    personalities: ./models
    drives: [` + daemon.TestDrive + `, ` + daemon.TestDrive + `]
    slots: 10
    cartridges: ["TG0001T8-TG0006T8"]
targets:
  - {iqn: "` + iqnTape + `", library: lib0}
`
	maxObjects  = 150 // of one cartridge; a longer one is overwritten
	minRecorded = 16  // bytes of a block: enough to tell whose they are
	maxRecorded = 30000
)

// TestKillTape kills the server of a tape library.
func TestKillTape(t *testing.T) {
	l := newLab(t, tapeConfig, tapeIdentities)
	if err := daemon.WriteTapeModels(l.dir); err != nil {
		t.Fatal(err)
	}
	r := newRobot()
	workers := []worker{r, newMover(r, rand.New(rand.NewPCG(*seed, 40)))}
	var recorders []*recorder
	for i := range tapeDrives {
		w := newRecorder(r, uint16(i+1), rand.New(rand.NewPCG(*seed, uint64(50+i))))
		recorders = append(recorders, w)
		workers = append(workers, w)
	}
	steps, inFlight := l.kill(workers)
	if t.Failed() {
		return
	}
	// At the end every cartridge is read, not only those that were in a drive.
	l.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*cycleLimit)
	defer cancel()
	for _, w := range workers {
		if err := w.open(ctx, l.portal); err != nil {
			t.Fatal(err)
		}
		defer w.close()
	}
	for _, w := range []worker{r, recorders[0], recorders[1]} {
		if err := w.check(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range r.tapes {
		if c == r.inDrive(2) {
			continue // checked
		}
		if c != r.inDrive(1) {
			if err := recorders[0].swap(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		if err := recorders[0].check(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range workers {
		w.close()
	}
	if err := l.run.Stop(); err != nil {
		t.Error(err)
	}
	fsck(t, l.dir)
	figure.Report(t, "crash-tape: %d kills, %d requests acknowledged, %d in flight: nothing lost, no cartridge unreadable or in two places", l.killed, steps, inFlight)
}

// fsck has the program read every cartridge and compare it with its checksums.
func fsck(t *testing.T, dir string) {
	t.Helper()
	bin, err := daemon.Binary()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"tape", "fsck", "--dir", filepath.Join(dir, "tapes")}
	for i := range tapeCartridges {
		args = append(args, fmt.Sprintf("TG%04dT8", i+1))
	}
	if out, err := daemon.Run(2*time.Minute, bin, args...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTapeModel checks what the model lets pass: a lost end, but nothing that was synchronized.
func TestTapeModel(t *testing.T) {
	block := func(n uint64) change { return change{at: int(n) - 1, add: object{n, 100}, tail: true} }
	objects := func(seeds ...uint64) (o []object) {
		for _, s := range seeds {
			o = append(o, object{s, 100})
		}
		return o
	}
	for _, c := range []struct {
		name  string
		found contents
		ok    bool
	}{
		{"all", contents{objects(1, 2, 3, 4), 0}, true},
		{"the last that was not synchronized is lost", contents{objects(1, 2, 3), 0}, true},
		{"all that was not synchronized is lost", contents{objects(1, 2), 0}, true},
		{"one that was synchronized is lost", contents{objects(1), 0}, false},
		{"one in the middle is lost", contents{objects(1, 2, 4), 0}, false},
		{"one too many", contents{objects(1, 2, 3, 4, 5), 0}, false},
		{"another label", contents{objects(1, 2), 7}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &tape{since: []change{block(1), block(2)}}
			m.sync()
			m.since = []change{block(3), block(4)}
			if err := m.settle(c.found); (err == nil) != c.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

// tapeIdentities is what INQUIRY says of the changer and the drives.
func tapeIdentities(ctx context.Context, portal string) (all []byte, err error) {
	s, err := dial(ctx, portal, iqnTape, "inquiry")
	if err != nil {
		return nil, err
	}
	defer s.Close()
	for lun := range uint16(tapeDrives + 1) {
		for _, cdb := range [][]byte{{0x12, 0, 0, 2, 0, 0}, {0x12, 1, 0x80, 2, 0, 0}, {0x12, 1, 0x83, 2, 0, 0}} {
			r, err := do(ctx, s, &initiator.Command{LUN: lun, CDB: cdb, In: 512})
			if err != nil {
				return nil, err
			}
			all = append(all, r.Data...)
		}
	}
	return all, nil
}

// object is what is recorded: a filemark, or a block of what the seed stands for.
type object struct {
	seed   uint64 // 0: a filemark
	length int
}

func (o object) data() []byte {
	b := make([]byte, o.length+8)
	for i := 0; i < o.length; i += 8 {
		binary.BigEndian.PutUint64(b[i:], o.seed*0x9e3779b97f4a7c15+uint64(i)*o.seed)
	}
	return b[:o.length]
}

// contents is what is on a cartridge: its objects, and the attribute 0803h, a label.
type contents struct {
	objects []object
	label   uint64
}

// change is one thing that a request does to contents.
type change struct {
	at    int    // objects from here on go
	add   object // when append
	tail  bool   // add is recorded at the end
	label uint64 // when not 0: the label
}

func (c contents) with(ch change) contents {
	if ch.label != 0 {
		return contents{c.objects, ch.label}
	}
	o := slices.Clone(c.objects[:min(ch.at, len(c.objects))])
	if ch.tail {
		o = append(o, ch.add)
	}
	return contents{o, c.label}
}

// tape is a cartridge as it may be: its contents when it was synchronized last, and what came after.
// What a kill leaves is one of the states in that sequence.
type tape struct {
	barcode string
	synced  contents
	since   []change
}

// now is the contents that reads must see.
func (c *tape) now() contents {
	s := c.synced
	for _, ch := range c.since {
		s = s.with(ch)
	}
	return s
}

// record is the recording of o as object number at. What it overwrites goes first: that can be all
// that a kill leaves of it, with the old end in an older generation.
func (c *tape) record(at int, o object) {
	if at < len(c.now().objects) {
		c.since = append(c.since, change{at: at})
	}
	c.since = append(c.since, change{at: at, add: o, tail: true})
}

func (c *tape) sync() { c.synced, c.since = c.now(), nil }

// settle finds which of the states is there.
func (c *tape) settle(found contents) error {
	s := c.synced
	for i := 0; ; i++ {
		if s.label == found.label && slices.Equal(s.objects, found.objects) {
			c.synced, c.since = found, nil
			return nil
		}
		if i == len(c.since) {
			return faultf("cartridge %s: %d objects and label %d are none of the states after %d objects and label %d that were synchronized; %d changes came later: %v\nfound        %v\nsynchronized %v",
				c.barcode, len(found.objects), found.label, len(c.synced.objects), c.synced.label, len(c.since), c.since, tail(found.objects), tail(c.synced.objects))
		}
		s = s.with(c.since[i])
	}
}

func tail(o []object) []object { return o[max(0, len(o)-8):] }

// recorder works with one drive.
type recorder struct {
	robot *robot
	lun   uint16
	rand  *rand.Rand
	s     *initiator.Session
	last  uint64 // seed
	at    int    // object of the next request, -1: not known
}

func newRecorder(r *robot, lun uint16, random *rand.Rand) *recorder {
	return &recorder{robot: r, lun: lun, rand: random, last: uint64(lun) << 32}
}

func (w *recorder) open(ctx context.Context, portal string) (err error) {
	w.s, err = dial(ctx, portal, iqnTape, fmt.Sprintf("recorder%d", w.lun))
	w.at = -1
	return err
}

func (w *recorder) close() {
	if w.s != nil {
		w.s.Close()
	}
}

func (w *recorder) do(ctx context.Context, cdb []byte, out []byte) error {
	_, err := do(ctx, w.s, &initiator.Command{LUN: w.lun, CDB: cdb, Out: out})
	return err
}

// ready waits until the cartridge in the drive is loaded.
func (w *recorder) ready(ctx context.Context) error {
	for {
		r, err := w.s.Do(ctx, &initiator.Command{LUN: w.lun, CDB: make([]byte, 6)})
		switch {
		case err != nil:
			return err
		case r.Status == 0:
			return nil
		case r.Key() == 6, r.Key() == 2 && r.Code() == 0x0401:
		case r.Key() == 2 && r.Code() == 0x3a00: // it was unloaded when the kill came
			if err := w.do(ctx, []byte{0x1b, 0, 0, 0, 1, 0}, nil); err != nil {
				return err
			}
		default:
			return faultf("TEST UNIT READY: %v", r.Err())
		}
	}
}

// check reads the whole cartridge that is in the drive.
func (w *recorder) check(ctx context.Context) error {
	c := w.robot.inDrive(w.lun)
	if c == nil {
		return nil
	}
	if err := w.ready(ctx); err != nil {
		return err
	}
	if err := w.do(ctx, []byte{1, 0, 0, 0, 0, 0}, nil); err != nil {
		return err
	}
	var found contents
	known := map[uint64]object{} // by the first 8 bytes
	note := func(o object) {
		if o.seed != 0 {
			known[binary.BigEndian.Uint64(append(o.data(), make([]byte, 8)...))] = o
		}
	}
	for _, o := range c.synced.objects {
		note(o)
	}
	for _, ch := range c.since {
		note(ch.add)
	}
	for {
		r, err := w.s.Do(ctx, &initiator.Command{LUN: w.lun, CDB: []byte{0x08, 2, 0, 0x80, 0, 0}, In: 32768})
		if err != nil {
			return err
		}
		if r.Status == 2 && r.Key() == 8 {
			break
		}
		if r.Status == 2 && r.Key() == 0 && r.Code() == 1 {
			found.objects = append(found.objects, object{})
			continue
		}
		if r.Err() != nil {
			return faultf("cartridge %s, object %d: %v", c.barcode, len(found.objects), r.Err())
		}
		o := known[binary.BigEndian.Uint64(append(slices.Clone(r.Data), make([]byte, 8)...))]
		if !bytes.Equal(o.data(), r.Data) {
			return faultf("cartridge %s, object %d: %d bytes that were never written to it", c.barcode, len(found.objects), len(r.Data))
		}
		found.objects = append(found.objects, o)
	}
	r, err := w.s.Do(ctx, &initiator.Command{LUN: w.lun, CDB: []byte{0x8c, 0, 0, 0, 0, 0, 0, 0, 8, 3, 0, 0, 1, 0, 0, 0}, In: 256})
	if err != nil {
		return err
	}
	if r.Status == 0 && len(r.Data) >= 17 && r.Data[4] == 8 && r.Data[5] == 3 {
		fmt.Sscan(string(bytes.TrimRight(r.Data[9:], "\x00 ")), &found.label)
	}
	w.at = len(found.objects)
	return c.settle(found)
}

// step is one request, or a change of cartridges.
func (w *recorder) step(ctx context.Context) error {
	c := w.robot.inDrive(w.lun)
	if c == nil {
		return w.swap(ctx, nil)
	}
	now := c.now()
	if w.at < 0 || w.at > len(now.objects) || w.at >= maxObjects {
		return w.locate(ctx, w.rand.IntN(len(now.objects)/2+1))
	}
	switch n := w.rand.IntN(100); {
	case n < 50:
		w.last++
		o := object{seed: w.last, length: minRecorded + w.rand.IntN(maxRecorded)}
		c.record(w.at, o)
		if err := w.do(ctx, []byte{0x0a, 0, 0, byte(o.length >> 8), byte(o.length), 0}, o.data()); err != nil {
			return err
		}
		w.at++
	case n < 70: // WRITE FILEMARKS, of which none is a flush
		return w.filemarks(ctx, c, w.rand.IntN(3), false)
	case n < 78:
		return w.filemarks(ctx, c, 1+w.rand.IntN(3), true)
	case n < 84:
		return w.locate(ctx, w.rand.IntN(len(now.objects)+1))
	case n < 88: // read what is there now
		r, err := w.s.Do(ctx, &initiator.Command{LUN: w.lun, CDB: []byte{0x08, 2, 0, 0x80, 0, 0}, In: 32768})
		if err != nil || r.Key() == 6 {
			return err
		}
		if w.at < len(now.objects) {
			if o := now.objects[w.at]; !bytes.Equal(r.Data, o.data()) || (o.seed == 0) != (r.Status == 2) {
				return faultf("cartridge %s: object %d is not what was written: %d bytes, %v", c.barcode, w.at, len(r.Data), r.Err())
			}
			w.at++
		} else if r.Key() != 8 {
			return faultf("cartridge %s: a read at the end of data: %v", c.barcode, r.Err())
		}
	case n < 92:
		w.last++
		c.since = append(c.since, change{label: w.last})
		v := append([]byte(fmt.Sprint(w.last)), make([]byte, 160)...)[:160]
		p := append([]byte{0, 0, 0, 165, 8, 3, 2, 0, 160}, v...)
		return w.do(ctx, []byte{0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(p)), 0, 0}, p)
	case n < 95: // ERASE
		c.since = append(c.since, change{at: w.at})
		if err := w.do(ctx, []byte{0x19, byte(w.rand.IntN(2)), 0, 0, 0, 0}, nil); err != nil {
			return err
		}
		c.sync()
	default:
		return w.swap(ctx, nil)
	}
	return nil
}

func (w *recorder) filemarks(ctx context.Context, c *tape, n int, immediate bool) error {
	cdb := []byte{0x10, 0, 0, 0, byte(n), 0}
	if immediate {
		cdb[1] = 1
	}
	for i := range n {
		c.record(w.at+i, object{})
	}
	if err := w.do(ctx, cdb, nil); err != nil {
		return err
	}
	if w.at += n; !immediate {
		c.sync()
	}
	return nil
}

func (w *recorder) locate(ctx context.Context, object int) error {
	if err := w.do(ctx, []byte{0x2b, 0, 0, 0, 0, byte(object >> 8), byte(object), 0, 0, 0}, nil); err != nil {
		return err
	}
	w.at = object
	return nil
}

// swap takes the cartridge home, which makes all of it durable, and loads another: next, or any.
func (w *recorder) swap(ctx context.Context, next *tape) error {
	w.at = -1
	if c := w.robot.inDrive(w.lun); c != nil {
		if err := w.do(ctx, []byte{0x1b, 0, 0, 0, 0, 0}, nil); err != nil {
			return err
		}
		c.sync()
		to, done := w.robot.reserve(nil, w.rand)
		if to == 0 {
			return faultf("no free slot")
		}
		err := w.robot.move(ctx, w.s, firstDrive+w.lun-1, to)
		done(err)
		if err != nil {
			return err
		}
	}
	from, done := w.robot.reserve(func(c *tape) bool { return next == nil || c == next }, w.rand)
	if from == 0 {
		return faultf("no cartridge in a slot")
	}
	err := w.robot.move(ctx, w.s, from, firstDrive+w.lun-1)
	done(err)
	if err == nil {
		err = w.ready(ctx)
	}
	if err != nil {
		return err
	}
	w.at = 0
	if c := w.robot.inDrive(w.lun); len(c.since) > 0 { // a kill came while it was taken home
		return w.check(ctx)
	}
	return nil
}

// waitShort is how long the robot's own worker rests between two looks at the inventory.
const waitShort = 5 * time.Millisecond
