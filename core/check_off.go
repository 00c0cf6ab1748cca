//go:build !invariants

package core

type checks struct{}

func (c *Command) run() error       { return c.Row.run(c) }
func (*Command) checkRoom(int)      {}
func (*Command) checkOutcome(error) {}
