//go:build invariants

package core

import (
	"fmt"
	"unsafe"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
)

// checks is what the checker knows of a Command.
type checks struct{ room []byte }

// run is Row.run with both sides of the seam to the handler checked, in builds with the
// tag invariants. Data-Out and CDB are copies while the handler has them, and mangled when it
// has returned: it keeps neither.
func (c *Command) run() error {
	c.checkHandOver()
	out, cdb, noWait := c.Out, c.CDB, c.NoWait
	inLen, inMax, outLen := c.InLen, c.InMax, c.OutLen
	c.checks.room = c.In
	c.Out, c.CDB = clone(out), clone(cdb)
	err := c.Row.run(c)
	buf.Mangle(c.Out)
	buf.Mangle(c.CDB)
	c.Out, c.CDB = out, cdb

	c.demand(c.OutLen == outLen, "OutLen was changed")
	c.demand(c.InLen >= 0 && c.InLen <= inLen, "InLen is %d, it was %d", c.InLen, inLen)
	c.demand(c.InMax >= 0 && c.InMax <= inMax, "InMax is %d, it was %d", c.InMax, inMax)
	if err == ErrWouldBlock { //nolint:errorlint // the sentinel itself
		c.demand(noWait, "would block, and was not asked")
		c.demand(c.Lent == nil && c.Release == nil && !c.DataValid, "would block, and has done something")
		return err
	}
	c.demand(within(c.In, c.checks.room), "Data-In lies outside of its room")
	c.demand(!c.DataValid || err != nil, "DataValid without an error")
	if err == nil || c.DataValid {
		there := len(c.In)
		for _, b := range c.Lent {
			there += len(b)
		}
		c.demand(c.Moved() <= there, "moves %d bytes and has %d", c.Moved(), there)
	}
	return err
}

// checkHandOver holds c against what the core promises a handler.
func (c *Command) checkHandOver() {
	c.demand(len(c.CDB) == len(c.Row.Usage), "a CDB of %d bytes", len(c.CDB))
	c.demand(len(c.Out) <= c.OutLen, "Data-Out of %d bytes, the CDB asks for %d", len(c.Out), c.OutLen)
	c.demand(c.InMax <= c.InLen, "InMax is %d, InLen %d", c.InMax, c.InLen)
	c.demand(c.Row.Dir != scsi.None || c.InLen == 0 && c.OutLen == 0, "data for a command without")
	c.demand(c.Lent == nil && c.Release == nil && c.SenseLen == 0, "left over from the command before")
}

// checkOutcome holds the outcome of c against err, which Execute returned.
func (c *Command) checkOutcome(err error) {
	c.demand((err == nil) == (c.Status == scsi.Good), "status %v of %v", c.Status, err)
	c.demand((c.Status == scsi.CheckCondition) == (c.SenseLen > 0), "status %v with %d bytes of sense data", c.Status, c.SenseLen)
}

func (c *Command) demand(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("core: %s of device %s: ", c.Row.Name, c.Path.unit.name) + fmt.Sprintf(format, args...))
	}
}

// checkRoom notes the room that a handler was given, n bytes.
func (c *Command) checkRoom(n int) {
	c.demand(c.In == nil || len(c.In) == n, "room of %d bytes, asked for %d", len(c.In), n)
	c.checks.room = c.In
}

func clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// within reports whether b is part of room.
func within(b, room []byte) bool {
	if len(b) == 0 {
		return true
	}
	from, base := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(unsafe.SliceData(room)))
	return from >= base && from+uintptr(len(b)) <= base+uintptr(len(room))
}
