package pool

import (
	"context"
	"errors"
	"time"

	"github.com/targate/targate/vtl/cartridge"
)

// sweepEvery is how often cartridges that lie in slots are looked at: none stays longer than that
// after its retention.
const sweepEvery = time.Hour

// SetRetention says how long older generations are kept from now on.
func (p *Pool) SetRetention(r cartridge.Retention) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retention = r
}

// prune lets generations of a mounted cartridge go that need not be kept any more.
func (p *Pool) prune(m *cartridge.Cartridge) {
	p.mu.Lock()
	r := p.retention
	p.mu.Unlock()
	if !due(m.Generations(), r, time.Now()) {
		return
	}
	info := m.Info()
	n, err := m.Prune(r)
	switch {
	case errors.Is(err, cartridge.ErrInUse): // somebody reads an older generation: next time
	case err != nil:
		p.cfg.Log.Warn("older generations of a cartridge cannot go", "barcode", info.Barcode, "error", err)
	case n.Generations > 0:
		p.cfg.Log.Info("older generations of a cartridge are gone", "barcode", info.Barcode, "generations", n.Generations, "files", n.Segments)
	}
}

// due reports whether r lets any generation go. all are in order, the last is the current one.
func due(all []cartridge.Generation, r cartridge.Retention, now time.Time) bool {
	old := all[:len(all)-1]
	return len(old) > r.Count && now.Sub(old[0].Ended) >= r.Age
}

// sweep prunes all cartridges that are not mounted, now and then.
func (p *Pool) sweep(ctx context.Context) {
	defer close(p.swept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.Sweep(ctx)
		}
	}
}

// Sweep lets generations go that need not be kept, of all cartridges that are not mounted. ctx ends
// it between two of them.
func (p *Pool) Sweep(ctx context.Context) {
	p.mu.Lock()
	ids := make([]string, 0, len(p.dirs))
	for id := range p.dirs {
		ids = append(ids, id)
	}
	r := p.retention
	p.mu.Unlock()
	for _, id := range ids {
		if ctx.Err() != nil {
			return
		}
		path := p.Path(id)
		if all, err := cartridge.Generations(path, p.cfg.Options); path == "" || err != nil || !due(all, r, time.Now()) {
			continue // what cannot be read tells so when it is mounted
		}
		p.sweepOne(id)
	}
}

// sweepOne prunes a cartridge, unless it is in use.
func (p *Pool) sweepOne(id string) {
	path, err := p.find(id)
	if err != nil {
		return
	}
	p.mount.Lock()
	defer p.mount.Unlock()
	m, err := cartridge.Open(path, p.cfg.Options)
	if errors.Is(err, cartridge.ErrInUse) {
		return // it is pruned when it is unloaded
	}
	if err == nil {
		p.prune(m)
		err = m.Close()
	}
	if err != nil {
		p.cfg.Log.Warn("a cartridge cannot be pruned", "path", path, "error", err)
	}
}

// mounted is a cartridge in use, which is pruned at the end.
type mounted struct {
	*cartridge.Cartridge
	pool     *Pool
	readOnly bool
}

// Close is medium.Medium's.
func (m *mounted) Close() error {
	if !m.readOnly {
		m.pool.prune(m.Cartridge)
	}
	return m.Cartridge.Close()
}
