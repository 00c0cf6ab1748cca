package smc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/library"
)

// testUnitReady is TEST UNIT READY: whoever has the library can use it.
func (ch *Changer) testUnitReady(*core.Command) error { return nil }

// badAddress is INVALID ELEMENT ADDRESS, found at byte at of the CDB.
func badAddress(at int) error {
	e := sense.New(sense.IllegalRequest, invalidElement)
	e.Field, e.HasField = uint16(at), true
	return e
}

func address(c *core.Command, at int) uint16 { return binary.BigEndian.Uint16(c.CDB[at:]) }

// place is the place whose element address stands at byte at of c's CDB. A picker is none: it
// keeps nothing.
func (ch *Changer) place(c *core.Command, at int) (library.Place, error) {
	t, p := ch.lib.Find(address(c, at))
	if t == library.AnyElement || t == library.MediumTransport {
		return p, badAddress(at)
	}
	return p, nil
}

// picker checks the MEDIUM TRANSPORT ADDRESS: 0 stands for any (SMC-3, 6.6).
func (ch *Changer) picker(c *core.Command) error {
	const at = 2
	if a := address(c, at); a != 0 {
		if t, _ := ch.lib.Find(a); t != library.MediumTransport {
			return badAddress(at)
		}
	}
	return nil
}

// places are those at some bytes of c's CDB, after its picker.
func (ch *Changer) places(c *core.Command, at ...int) ([]library.Place, error) {
	if err := ch.picker(c); err != nil {
		return nil, err
	}
	list := make([]library.Place, len(at))
	for i, a := range at {
		var err error
		if list[i], err = ch.place(c, a); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// move is MOVE MEDIUM (SMC-3, 6.6). INVERT, for media of two sides, is refused as reserved.
func (ch *Changer) move(c *core.Command) error {
	p, err := ch.places(c, 4, 6)
	if err != nil {
		return err
	}
	return failed(ch.lib.Carry(c, p[0], p[1]))
}

// exchange is EXCHANGE MEDIUM (SMC-3, 6.2).
func (ch *Changer) exchange(c *core.Command) error {
	p, err := ch.places(c, 4, 6, 8)
	if err != nil {
		return err
	}
	return failed(ch.lib.Exchange(c, p[0], p[1], p[2]))
}

// position is POSITION TO ELEMENT (SMC-3, 6.8).
func (ch *Changer) position(c *core.Command) error {
	p, err := ch.places(c, 4)
	if err != nil {
		return err
	}
	return failed(ch.lib.Position(c, p[0]))
}

// rezero is REZERO UNIT (SCSI-2, 8.2.12 of other device types): the robot goes where it rests.
func (ch *Changer) rezero(c *core.Command) error {
	return failed(ch.lib.Position(c, library.Place{Kind: library.Slot, N: 1}))
}

// initialize is INITIALIZE ELEMENT STATUS (SMC-3, 6.4).
func (ch *Changer) initialize(c *core.Command) error { return ch.initializeSome(c, 0, 1<<16) }

// initializeRange is INITIALIZE ELEMENT STATUS WITH RANGE (SMC-3, 6.5), and what older changers have in
// its stead (E7h). FAST, and NBL of the latter, allow to leave the labels alone, which costs us
// nothing. Without RANGE it is INITIALIZE ELEMENT STATUS.
func (ch *Changer) initializeRange(c *core.Command) error {
	const ranged = 0x01
	if c.CDB[1]&ranged == 0 {
		return ch.initialize(c)
	}
	first, n := address(c, 2), int(address(c, 6))
	if t, _ := ch.lib.Find(first); t == library.AnyElement {
		return badAddress(2)
	}
	if n == 0 { // all from first on
		n = 1 << 16
	}
	return ch.initializeSome(c, first, n)
}

// initializeSome is an inventory of at most n elements from address first on.
func (ch *Changer) initializeSome(c *core.Command, first uint16, n int) error {
	found := 0
	for _, r := range ch.lib.Ranges() {
		from := max(int(first), int(r.First))
		if to := int(r.First) + r.Count; r.Type != library.MediumTransport && from < to {
			found += to - from
		}
	}
	return failed(ch.lib.Initialize(c, min(n, found)))
}

// openClose is OPEN/CLOSE IMPORT/EXPORT ELEMENT (SMC-3, 6.7): all mailslots have one door.
func (ch *Changer) openClose(c *core.Command) error {
	const open, shut = 0, 1
	if t, _ := ch.lib.Find(address(c, 2)); t != library.ImportExport {
		return badAddress(2)
	}
	action := c.CDB[4]
	if action > shut {
		return sense.FieldBit(4, 4)
	}
	return failed(ch.lib.OpenMailslots(c, action == open))
}

// preventAllow is PREVENT ALLOW MEDIUM REMOVAL (SPC-6, 6.17), for each I_T nexus: while any prevents,
// people cannot open the library.
func (ch *Changer) preventAllow(c *core.Command) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if id := c.Path.Nexus().ID; c.CDB[4]&1 != 0 {
		ch.prevents[id] = true
	} else {
		delete(ch.prevents, id)
	}
	ch.lib.SetPrevented(len(ch.prevents) > 0)
	return nil
}
