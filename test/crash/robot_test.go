//go:build system

package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/targate/targate/test/initiator"
)

// robot is the model of where the cartridges are, and a worker that compares it with the changer.
type robot struct {
	s *initiator.Session

	mu       sync.Mutex
	tapes    map[string]*tape
	at       map[uint16]*tape // by element
	reserved map[uint16]bool  // slots that some worker is about to use
	moving   []motion         // not acknowledged
}

type motion struct {
	tape     *tape
	from, to uint16
}

func newRobot() *robot {
	r := &robot{tapes: map[string]*tape{}, at: map[uint16]*tape{}, reserved: map[uint16]bool{}}
	for i := range tapeCartridges {
		c := &tape{barcode: fmt.Sprintf("TG%04dT8", i+1)}
		r.tapes[c.barcode], r.at[uint16(firstSlot+i)] = c, c
	}
	return r
}

func (r *robot) inDrive(lun uint16) *tape {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at[firstDrive+lun-1]
}

// reserve chooses a slot with a cartridge, or a free one for nil, that nobody else uses until done.
func (r *robot) reserve(full func(*tape) bool, random *rand.Rand) (slot uint16, done func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range random.Perm(tapeSlots) {
		n := uint16(firstSlot + i)
		if c := r.at[n]; !r.reserved[n] && (c == nil && full == nil || c != nil && full != nil && full(c)) {
			r.reserved[n] = true
			return n, func(err error) {
				if err == nil { // else check settles it
					r.mu.Lock()
					delete(r.reserved, n)
					r.mu.Unlock()
				}
			}
		}
	}
	return 0, nil
}

// move is MOVE MEDIUM.
func (r *robot) move(ctx context.Context, s *initiator.Session, from, to uint16) error {
	r.mu.Lock()
	m := motion{r.at[from], from, to}
	r.moving = append(r.moving, m)
	r.mu.Unlock()
	_, err := do(ctx, s, &initiator.Command{CDB: []byte{0xa5, 0, 0, 0, byte(from >> 8), byte(from), byte(to >> 8), byte(to), 0, 0, 0, 0}})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.moving {
		if r.moving[i] == m {
			r.moving = append(r.moving[:i], r.moving[i+1:]...)
			break
		}
	}
	delete(r.at, from)
	r.at[to] = m.tape
	return nil
}

func (r *robot) open(ctx context.Context, portal string) (err error) {
	r.s, err = dial(ctx, portal, iqnTape, "robot")
	return err
}

func (r *robot) close() {
	if r.s != nil {
		r.s.Close()
	}
}

// inventory is READ ELEMENT STATUS of all: the barcodes by element.
func (r *robot) inventory(ctx context.Context) (map[uint16]string, error) {
	a, err := do(ctx, r.s, &initiator.Command{CDB: []byte{0xb8, 0x10, 0, 0, 0xff, 0xff, 0, 0, 0x40, 0, 0, 0}, In: 0x4000})
	if err != nil {
		return nil, err
	}
	all := map[uint16]string{}
	for b := a.Data[min(8, len(a.Data)):]; len(b) >= 8; {
		size, n := int(binary.BigEndian.Uint16(b[2:])), int(b[5])<<16|int(b[6])<<8|int(b[7])
		if size < 48 || len(b) < 8+n {
			return nil, faultf("READ ELEMENT STATUS: a page of %d bytes, descriptors of %d", n, size)
		}
		for d := b[8 : 8+n]; len(d) >= size; d = d[size:] {
			if d[2]&1 != 0 {
				all[binary.BigEndian.Uint16(d)] = strings.TrimRight(string(d[12:44]), " \x00")
			}
		}
		b = b[8+n:]
	}
	return all, nil
}

// check finds every cartridge at its place, once, or at one of two if it was moving.
func (r *robot) check(ctx context.Context) error {
	found, err := r.inventory(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	places := map[string]uint16{}
	for element, barcode := range found {
		if other, twice := places[barcode]; twice {
			return faultf("cartridge %s is at %04x and at %04x", barcode, element, other)
		}
		places[barcode] = element
	}
	for _, c := range r.tapes {
		is, ok := places[c.barcode]
		if !ok {
			return faultf("cartridge %s is nowhere", c.barcode)
		}
		var was uint16
		for element, t := range r.at {
			if t == c {
				was = element
			}
		}
		moved := false
		for _, m := range r.moving {
			moved = moved || m.tape == c && m.to == is
		}
		if is != was && !moved {
			return faultf("cartridge %s is at %04x; it was put to %04x", c.barcode, is, was)
		}
	}
	clear(r.at)
	clear(r.reserved)
	r.moving = nil
	for barcode, element := range places {
		c := r.tapes[barcode]
		if c == nil {
			return faultf("there is a cartridge %q at %04x that was never made", barcode, element)
		}
		r.at[element] = c
	}
	return nil
}

// step reads the inventory again and again: it is whole at any time.
func (r *robot) step(ctx context.Context) error {
	found, err := r.inventory(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for element, barcode := range found {
		if seen[barcode] {
			return faultf("cartridge %s is at %04x and elsewhere", barcode, element)
		}
		seen[barcode] = true
	}
	wait(r.s.Done(), waitShort)
	return nil
}

// mover moves cartridges from slot to slot.
type mover struct {
	robot *robot
	rand  *rand.Rand
	s     *initiator.Session
}

func newMover(r *robot, random *rand.Rand) *mover { return &mover{robot: r, rand: random} }

func (m *mover) open(ctx context.Context, portal string) (err error) {
	m.s, err = dial(ctx, portal, iqnTape, "mover")
	return err
}

func (m *mover) close() {
	if m.s != nil {
		m.s.Close()
	}
}

func (m *mover) check(context.Context) error { return nil } // the robot does

func (m *mover) step(ctx context.Context) error {
	from, doneFrom := m.robot.reserve(func(*tape) bool { return true }, m.rand)
	if from == 0 {
		return nil
	}
	to, doneTo := m.robot.reserve(nil, m.rand)
	if to == 0 {
		doneFrom(nil)
		return nil
	}
	err := m.robot.move(ctx, m.s, from, to)
	doneFrom(err)
	doneTo(err)
	return err
}
