package alua

import (
	"context"
	"fmt"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/taskset"
)

// Set puts a group into state s, and returns when that is in effect and saved: an
// implicit transition. It waits for another transition, and for the commands that run
// through the group, until ctx or Config.Timeout ends. Then, or when the state cannot be saved, the state
// is as before and initiators get IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED.
func (g *Groups) Set(ctx context.Context, id uint16, s State) error {
	return g.implicit(ctx, id, func(c *Group) { c.State = s })
}

// SetPreferred sets the PREF bit of a group, as Set does its state.
func (g *Groups) SetPreferred(ctx context.Context, id uint16, on bool) error {
	return g.implicit(ctx, id, func(c *Group) { c.Preferred = on })
}

func (g *Groups) implicit(ctx context.Context, id uint16, edit func(*Group)) error {
	if !g.cfg.Implicit {
		return ErrImplicit
	}
	g.change.Lock()
	defer g.change.Unlock()
	c := g.find(id)
	if c == nil {
		return fmt.Errorf("%w: %d", ErrNoGroup, id)
	}
	next := *c
	edit(&next)
	if !next.State.settable() {
		return fmt.Errorf("%w: %v", ErrState, next.State)
	}
	next.Changed = Implicitly
	err := g.transit(ctx, map[uint16]Group{id: next}, nil)
	if err != nil {
		g.raise(sense.ImplicitTransitionFailed, nil)
	}
	return err
}

// transit brings the groups of next about. by is the SET TARGET PORT GROUPS command
// that asks for it, or nil. The caller holds change.
func (g *Groups) transit(ctx context.Context, next map[uint16]Group, by *core.Command) error {
	for id, n := range next {
		c := g.find(id)
		if c.State == n.State && c.Preferred == n.Preferred {
			delete(next, id)
		}
	}
	if len(next) == 0 {
		return nil
	}
	g.begin(next)
	err := g.drain(ctx, by)
	if err == nil {
		err = g.save(next)
	}
	g.finish(next, err == nil)
	if err != nil {
		return err
	}
	var except *core.Path
	if by != nil {
		except = by.Path
	}
	g.raise(sense.AsymmetricStateChanged, except)
	return nil
}

// begin refuses new commands through the groups whose state changes.
func (g *Groups) begin(next map[uint16]Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, n := range next {
		if g.find(id).State != n.State {
			g.moving[id] = true
		}
	}
	g.publish()
}

// finish puts next into effect, or leaves all as it was.
func (g *Groups) finish(next map[uint16]Group, good bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if good {
		for id, n := range next {
			*g.find(id) = n
		}
	}
	clear(g.moving)
	g.publish()
}

// drain waits for the commands that run through the groups that change, but not for by.
// What has passed Gate runs already, and what comes to Gate now is refused.
func (g *Groups) drain(ctx context.Context, by *core.Command) error {
	closed := g.closed.Load()
	if closed == nil {
		return nil // only PREF changes
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	for _, s := range g.attached() {
		quiet := make(chan struct{})
		s.unit.Tasks().Await(func(t *taskset.Task) bool {
			c, ok := t.Owner.(*core.Command)
			return ok && c != by && (*closed)[groupOf(c.Path)] == Transitioning
		}, func() { close(quiet) })
		select {
		case <-quiet:
		case <-ctx.Done():
			return fmt.Errorf("commands of device %s still run: %w", s.unit.Name(), ctx.Err())
		}
	}
	return nil
}

// raise establishes a unit attention on every path of every unit but except.
func (g *Groups) raise(code sense.Code, except *core.Path) {
	ua := sense.New(sense.UnitAttention, code)
	for _, s := range g.attached() {
		s.unit.Raise(ua, except)
	}
}
