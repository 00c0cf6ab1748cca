//go:build !invariants

package core

//lint:ignore U1000 it has fields under the tag
type checks struct{}

func (c *Command) run() error       { return c.Row.run(c) }
func (*Command) checkRoom(int)      {}
func (*Command) checkOutcome(error) {}
