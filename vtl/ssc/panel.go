package ssc

import (
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

var panelTable = []row{
	out(0x06, "LOAD DISPLAY", core.Bytes(4, 1), "\x06\x00\x00\x00\xff\x00", core.Inline, quick,
		(*Drive).loadDisplay).only(func(d *Drive) bool { return d.model.Display }),
	in(0x1c, "RECEIVE DIAGNOSTIC RESULTS", core.Bytes(3, 2), "\x1c\x01\xff\xff\xff\x00", core.Inline, quick, (*Drive).receiveDiagnostic),
}

// The parameter list of LOAD DISPLAY (StorageTek): a byte that says how, and two messages.
const (
	displayLen     = 17
	displayMessage = 8
)

// Display is what initiators let the panel of the drive show to people.
func (d *Drive) Display() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.display
}

// loadDisplay is LOAD DISPLAY: it sets Display.
func (d *Drive) loadDisplay(c *core.Command) error {
	const (
		second    = 0x10 // the second message
		alternate = 0x20 // both, one after the other
	)
	switch {
	case c.OutLen == 0:
		return nil
	case c.OutLen != displayLen || len(c.Out) < displayLen:
		return sense.ErrParamLength
	}
	line := func(at int) string {
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return ' '
			}
			return r
		}, string(c.Out[at:at+displayMessage])))
	}
	one, two := line(1), line(1+displayMessage)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case c.Out[0]&alternate != 0:
		d.display = strings.TrimSpace(one + " " + two)
	case c.Out[0]&second != 0:
		d.display = two
	default:
		d.display = one
	}
	return nil
}

// receiveDiagnostic is RECEIVE DIAGNOSTIC RESULTS (SPC-6, 6.30): the list of diagnostic pages, which is the only
// one there is.
func (d *Drive) receiveDiagnostic(c *core.Command) error {
	if c.CDB[2] != 0 { // without PCV it must not be there
		return sense.FieldBit(2, 7)
	}
	return c.Reply([]byte{0, 0, 0, 1, 0})
}

// selfTest is the default self-test of SEND DIAGNOSTIC: what is behind the position can be found, and what was
// recorded is durable.
func (d *Drive) selfTest(c *core.Command) error {
	if d.busy() != nil {
		return sense.Busy
	}
	return onTape(func(d *Drive, c *core.Command) error {
		m := d.mount
		if m == nil {
			return nil
		}
		if err := d.flush(); err != nil {
			return err
		}
		o, err := m.medium.Read(m.partition, m.object, nil, nil)
		if err != nil {
			return d.failed(err, false)
		}
		if o.Kind == medium.Block && o.Encryption == nil {
			if _, err := m.medium.Read(m.partition, m.object, d.room(o.Length), nil); err != nil {
				return d.failed(err, false)
			}
		}
		return nil
	})(d, c)
}
