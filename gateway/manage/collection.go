package manage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage/config"
)

// Collection is several devices that belong together, and that come and go together: an
// entry of a config.Collection that runs.
type Collection interface {
	// Members are the devices, named as config.Entry.Members, in that order.
	Members() []Member
	// Compare says in words what would change if the collection became what e says, and what
	// of it cannot be while it runs. It changes nothing.
	Compare(e *config.Entry, fault func(at config.Pos, format string, a ...any)) (changes []string)
	// Follow makes the collection what e says; Compare has found nothing against it. Members
	// come and go at the end of Members; the manager closes those that went when nothing maps them any
	// more. After an error everything is as it was, or a part of it has been done and another
	// Follow does the rest.
	Follow(ctx context.Context, e *config.Entry) error
	// Close ends the collection, whose members are closed already.
	Close() error
}

// Member is one device of a collection.
type Member struct {
	Name     string
	Kind     string        // what status shows as its handler
	Identity core.Identity // as initiators see it
	Handler  core.Handler
}

// CollectionConfig is what a collection is made of.
type CollectionConfig struct {
	Entry *config.Entry
	// Dir is a directory of the collection's own for what it must remember.
	Dir string
	Log *slog.Logger
}

// collection is one that runs.
type collection struct {
	entry config.Entry
	Collection
	units int // members, of the first on, that have a unit
}

type entryKey struct{ collection, name string }

func keyOf(e *config.Entry) entryKey { return entryKey{e.Collection, e.Name} }

func (k entryKey) String() string { return k.collection + " " + k.name }

// openCollection makes the collection of e and the units of its members.
func (mg *Manager) openCollection(e *config.Entry) (*collection, []*device, error) {
	if mg.o.OpenCollection == nil {
		return nil, nil, fmt.Errorf("%s: this server has none", e.Collection)
	}
	dir, err := mg.o.State.Sub("collections/" + e.Collection + "/" + e.Name)
	if err != nil {
		return nil, nil, err
	}
	c, err := mg.o.OpenCollection(CollectionConfig{Entry: e, Dir: dir, Log: mg.log.With(e.Collection, e.Name)})
	if err != nil {
		return nil, nil, err
	}
	col := &collection{entry: *e, Collection: c}
	devices, err := mg.openMembers(col)
	if err != nil {
		for _, d := range devices {
			err = errors.Join(err, d.unit.Close())
		}
		for _, m := range c.Members()[col.units:] {
			err = errors.Join(err, m.Handler.Close())
		}
		return nil, nil, errors.Join(err, c.Close())
	}
	return col, devices, nil
}

// openMembers makes units of the members of c that have none yet.
func (mg *Manager) openMembers(c *collection) (devices []*device, err error) {
	for _, m := range c.Members()[c.units:] {
		u, err := mg.newUnit(m.Name, m.Handler)
		if err != nil {
			return devices, fmt.Errorf("device %s: %w", m.Name, err)
		}
		c.units++
		devices = append(devices, &device{cfg: config.Device{Name: m.Name, Kind: m.Kind, At: c.entry.At}, id: m.Identity, unit: u, of: c})
	}
	return devices, nil
}

// closeCollection closes c, whose members are closed when done is.
func (mg *Manager) closeCollection(c *collection, done []<-chan struct{}) {
	closed := make(chan struct{})
	mg.closing[keyOf(&c.entry).String()] = closed
	go func() {
		defer close(closed)
		for _, d := range done {
			<-d
		}
		if err := c.Close(); err != nil {
			mg.log.Error("a removed "+c.entry.Collection+" did not close well", "name", c.entry.Name, "error", err)
		}
	}()
}

// isClosing reports whether the removed device or collection of that name still has commands.
func (mg *Manager) isClosing(name string) bool {
	done := mg.closing[name]
	if done == nil {
		return false
	}
	select {
	case <-done:
		delete(mg.closing, name)
		return false
	default:
		return true
	}
}

// Collections are those that run, by the name of their entry, of one kind.
func (mg *Manager) Collections(kind string) map[string]Collection {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	m := map[string]Collection{}
	for key, c := range mg.collections {
		if key.collection == kind {
			m[key.name] = c.Collection
		}
	}
	return m
}

// compareEntries finds the collections that come, go or change.
func (p *plan) compareEntries() (faults config.Faults) {
	want := map[entryKey]bool{}
	for i := range p.m.Entries {
		e := &p.m.Entries[i]
		key := keyOf(e)
		want[key] = true
		c := p.mg.collections[key]
		for _, name := range e.Members {
			if d := p.mg.devices[name]; p.mg.isClosing(name) || d != nil && (c == nil || d.of != c) {
				faults = append(faults, p.m.Fault(e.At, "%s brings a device %s, and one of that name is there still; apply without it first", key, name))
			}
		}
		if c == nil {
			if p.mg.isClosing(key.String()) {
				faults = append(faults, p.m.Fault(e.At, "%s was removed and still has commands; try again later", key))
				continue
			}
			p.addEntries = append(p.addEntries, e)
			p.diff.add("add", e.Collection, e.Name, fmt.Sprintf("%d devices", len(e.Members)))
			continue
		}
		changes := c.Compare(e, func(at config.Pos, format string, a ...any) {
			faults = append(faults, p.m.Fault(at, "%s: %s", key, fmt.Sprintf(format, a...)))
		})
		if len(changes) > 0 {
			p.follow = append(p.follow, e)
		}
		for _, s := range changes {
			p.diff.add("change", e.Collection, e.Name, s)
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.mg.collections), compareKeys) {
		if c := p.mg.collections[key]; !want[key] {
			p.removeEntries = append(p.removeEntries, c)
			p.diff.add("remove", key.collection, key.name, "")
		}
	}
	return faults
}

func compareKeys(a, b entryKey) int {
	return cmp.Or(cmp.Compare(a.collection, b.collection), cmp.Compare(a.name, b.name))
}

// openEntries opens new collections.
func (p *plan) openEntries(ctx context.Context) (faults config.Faults, err error) {
	for _, e := range p.addEntries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, devices, err := p.mg.openCollection(e)
		if err != nil {
			faults = append(faults, describeEntry(p.m, e, err)...)
			continue
		}
		p.openedEntries = append(p.openedEntries, c)
		for _, d := range devices {
			p.opened[d.cfg.Name] = d
		}
	}
	return faults, nil
}

// followEntries makes collections that run what the model says. What is done stays done, as
// with a disk that has grown.
func (p *plan) followEntries(ctx context.Context) error {
	for _, e := range p.follow {
		c := p.mg.collections[keyOf(e)]
		if err := c.Follow(ctx, e); err != nil {
			return describeEntry(p.m, e, err)
		}
		c.entry = *e
		members := c.Members()
		c.units = min(c.units, len(members))
		for _, d := range p.mg.devices {
			if d.of == c && !slices.ContainsFunc(members, func(m Member) bool { return m.Name == d.cfg.Name }) {
				p.remove = append(p.remove, d)
			}
		}
		devices, err := p.mg.openMembers(c)
		for _, d := range devices {
			p.mg.devices[d.cfg.Name] = d
		}
		if err != nil {
			return describeEntry(p.m, e, err)
		}
	}
	return nil
}

// describeEntry is where a fault of opening e is shown. The program may know better places.
func describeEntry(m *config.Model, e *config.Entry, err error) config.Faults {
	var at *EntryError
	if errors.As(err, &at) {
		return config.Faults{m.Fault(at.At, "%s: %v", keyOf(e), at.Err)}
	}
	return config.Faults{m.Fault(e.At, "%s: %v", keyOf(e), err)}
}

// EntryError says which part of an entry an error is about.
type EntryError struct {
	At  config.Pos
	Err error
}

func (e *EntryError) Error() string { return e.Err.Error() }

// Unwrap is the error.
func (e *EntryError) Unwrap() error { return e.Err }
