package pr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/targate/targate/core"
)

// Store holds the Table of one logical unit. Gateways that serve the unit together
// share one.
type Store interface {
	// Open gives the Table as it is now, and names the gateway that carries changes
	// out from now on. It is called once, before the first command of the unit.
	Open(Gateway) (*Table, error)
	// Update has decide make a Change of the newest Table, one at a time over all
	// gateways. What must outlive a loss of power is on stable storage before any
	// gateway applies the change. It returns when every gateway has done so and the
	// tasks that the change aborts have ended; the change stands even if ctx ends
	// before, whose error it returns then. A nil Change is nothing to do. An error of
	// decide is returned as it is. After any other error nothing was applied, but a
	// loss of power may bring either Table.
	Update(ctx context.Context, decide func(*Table) (*Change, error)) error
	// Durable tells whether a Table can outlive a loss of power (PTPL_C).
	Durable() bool
}

// Gateway is a Service as a Store sees it.
type Gateway interface {
	// Apply raises the unit attentions of the change, then makes its Table the one that
	// the gate knows. It is called for each change in their order, and does not block.
	Apply(*Change)
	// Abort aborts the tasks of Change.Abort, after Apply and not under the Store's
	// lock. The channel is closed when all have ended.
	Abort(*Change) <-chan struct{}
}

// local is the Store of a gateway that is alone: in memory, and in a core.State.
type local struct {
	state core.State // nil: nothing is durable

	mu      sync.Mutex // held while the table is saved, for one order of all changes
	gateway Gateway
	table   *Table
	saved   []byte // what State holds; nil after an error, when it may be old or new
}

// NewStore is a Store of one gateway. state may be nil: then nothing is durable.
func NewStore(state core.State) Store { return &local{state: state} }

func (l *local) Durable() bool { return l.state != nil }

func (l *local) Open(g Gateway) (*Table, error) {
	l.gateway, l.table, l.saved = g, &Table{}, encode(&Table{})
	if l.state == nil {
		return l.table, nil
	}
	b, err := l.state.Load(stateName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.table, nil
	case err != nil:
		return nil, fmt.Errorf("reservations: %w", err)
	}
	if l.table, err = decode(b); err != nil {
		return nil, fmt.Errorf("reservations: %w", err)
	}
	l.saved = b
	return l.table, nil
}

func (l *local) Update(ctx context.Context, decide func(*Table) (*Change, error)) error {
	c, err := l.change(decide)
	if err != nil || c == nil || len(c.Abort) == 0 {
		return err
	}
	select {
	case <-l.gateway.Abort(c):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *local) change(decide func(*Table) (*Change, error)) (*Change, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := decide(l.table)
	if err != nil || c == nil {
		return nil, err
	}
	if err := l.save(c.Table); err != nil {
		return nil, err
	}
	l.table = c.Table
	l.gateway.Apply(c)
	return c, nil
}

// save makes t durable, unless what is saved says the same.
func (l *local) save(t *Table) error {
	b := encode(t)
	if l.state == nil || bytes.Equal(b, l.saved) {
		return nil
	}
	l.saved = nil
	if err := l.state.Save(stateName, b); err != nil {
		return fmt.Errorf("save reservations: %w", err)
	}
	l.saved = b
	return nil
}
