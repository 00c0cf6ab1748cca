package core

import (
	"context"

	"github.com/targate/targate/core/sense"
)

// Visit carries out cdb on p's unit for work that does not come by p itself: the copy
// manager of another unit, on behalf of p's initiator. out is the Data-Out; the Data-In
// fills in, and n of its bytes were moved.
//
// The visit meets what a command of the initiator would meet: the LUN map, write
// protection, the services' gates, and the handler's own checks. It passes over unit
// attentions, which are for the initiator to see. While it lasts it is a task of p's
// nexus in the unit's task set, so task management and Unit.Close wait for its end; it
// waits for no task, so that two units that visit each other cannot block each other.
//
// err is what the handler returned, sense.ErrNoUnit when the LUN is mapped no more, or
// sense.TaskAborted when task management of the unit ended the visit. The handler is
// told when ctx ends.
func (p *Path) Visit(ctx context.Context, cdb, out, in []byte) (n int, err error) {
	u := p.unit
	c := &Command{Path: p, Port: &visitor{in}, Out: out, OutLen: len(out), InLen: len(in), InMax: len(in)}
	c.SetCDB(cdb)
	row, serr := u.table.Lookup(c.CDB)
	if serr != nil {
		return 0, serr
	}
	c.Row = row
	c.CDB = c.CDB[:len(row.Usage)]
	if p.nexus.Path(p.LUN) != p {
		return 0, sense.ErrNoUnit
	}
	c.bind()
	if !u.set.Join(&c.Task) {
		return 0, sense.ErrNoUnit
	}
	stop := context.AfterFunc(ctx, func() { c.TaskCancel(nil) })
	err = u.gates(c)
	if err == nil {
		err = c.run()
	}
	stop()
	if err == nil {
		n = c.collect(in)
	}
	if c.Release != nil {
		c.Release.Release()
	}
	if u.set.End(&c.Task) {
		return 0, sense.TaskAborted
	}
	p.stats.count(c)
	return n, err
}

// collect puts lent Data-In into in, where any other is already, and says how much it is.
func (c *Command) collect(in []byte) int {
	n := len(c.In)
	for _, b := range c.Lent {
		n += copy(in[n:], b)
	}
	return min(n, c.Moved())
}

// visitor is the transport of a visit.
type visitor struct{ in []byte }

func (v *visitor) Room(_ *Command, n int) []byte { return v.in[:min(n, len(v.in))] }
func (v *visitor) Own(*Command) bool             { return true }
func (v *visitor) Done(*Command)                 {}
