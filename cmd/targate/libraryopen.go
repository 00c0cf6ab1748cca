package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/library"
	"github.com/targate/targate/vtl/personality"
	"github.com/targate/targate/vtl/pool"
	"github.com/targate/targate/vtl/smc"
)

// tapeLibrary is an entry of libraries that runs: a manage.Collection.
type tapeLibrary struct {
	lib     *library.Library
	pool    *pool.Pool
	models  *personality.Set
	changer core.Handler

	mechanics *mechanics
	path      string
	dir       string // of its state
	log       *slog.Logger

	mu    sync.Mutex // guards entry
	entry *config.Entry
}

// openLibrary opens an entry of libraries. drop ends the sessions that see a device.
func openLibrary(c manage.CollectionConfig, drop func(device string)) (manage.Collection, error) {
	e := c.Entry
	set, err := models(e)
	if err != nil {
		return nil, err
	}
	l := &tapeLibrary{models: set, path: e.Values["path"].(string), dir: c.Dir, log: c.Log, entry: e}
	if l.mechanics, err = newMechanics(e, drop, c.Log); err != nil {
		return nil, &manage.EntryError{At: e.Where("faults"), Err: err}
	}
	if l.pool, err = pool.Open(poolConfig(e, set, c.Log)); err != nil {
		return nil, &manage.EntryError{At: e.Where("path"), Err: err}
	}
	if l.lib, err = library.Open(l.config(e)); err != nil {
		return nil, errors.Join(err, l.pool.Close())
	}
	l.changer, err = smc.New(l.lib, c.Log)
	if err != nil {
		for _, d := range l.lib.Drives() {
			if h := l.lib.Drive(d.Number); h != nil {
				err = errors.Join(err, h.Close())
			}
		}
		return nil, errors.Join(err, l.lib.Close(), l.pool.Close())
	}
	return l, nil
}

// config is e as the library is opened, or configured, with it.
func (l *tapeLibrary) config(e *config.Entry) library.Config {
	c := libraryConfig(e, l.models)
	c.Inventory, c.Pool, c.Log = inventoryFile(l.dir), l.pool, l.log
	c.NewDrive = func(s library.DriveSpec) (library.DriveHandler, error) {
		return l.mechanics.newDrive(s)
	}
	c.Motion = l.mechanics.robot
	return c
}

// poolConfig is where and how the cartridges of e are stored.
func poolConfig(e *config.Entry, set *personality.Set, log *slog.Logger) pool.Config {
	c := pool.Config{Dir: e.Values["path"].(string), Models: set, Log: log}
	c.Retention = retention(e)
	c.SegmentSize, _ = e.Values["segment_size"].(int64)
	if e.Values["compression"] == "lz4" {
		c.Options.Compression = cartridge.LZ4
	}
	return c
}

// Members are the changer and the drives.
func (l *tapeLibrary) Members() []manage.Member {
	list := []manage.Member{{Name: l.lib.Name() + "-changer", Kind: "changer", Identity: l.lib.Identity(), Handler: l.changer}}
	for _, d := range l.lib.Drives() {
		if h := l.lib.Drive(d.Number); h != nil {
			list = append(list, manage.Member{Name: d.Name, Kind: "tape", Handler: h, Identity: h.(*slowDrive).identity})
		}
	}
	return list
}

// Compare says what changes with e.
func (l *tapeLibrary) Compare(e *config.Entry, fault func(config.Pos, string, ...any)) (changes []string) {
	l.mu.Lock()
	old := l.entry
	l.mu.Unlock()
	for _, key := range []string{"model", "serial", "path", "personalities", "compression", "segment_size", "timing"} {
		if !reflect.DeepEqual(old.Values[key], e.Values[key]) {
			fault(e.Where(key), "%s cannot change while the library exists; remove the library, apply, and add it again: its cartridges stay", key)
		}
	}
	was, is := libraryConfig(old, l.models), libraryConfig(e, l.models)
	for i := range min(len(was.Drives), len(is.Drives)) {
		a, b := was.Drives[i], is.Drives[i]
		if a.Model.Name != b.Model.Name || a.Serial != b.Serial && b.Serial != "" {
			fault(e.Values["drives"].([]config.Item)[i].At, "drive %d cannot become another while it exists; take out the last drives, apply, and add others", i+1)
		}
	}
	for i := len(is.Drives); i < len(was.Drives); i++ {
		if c, err := l.lib.At(library.Place{Kind: library.Drive, N: i + 1}); err == nil {
			fault(e.Where("drives"), "drive %d cannot go: cartridge %s is in it", i+1, c.Barcode)
		}
		changes = append(changes, fmt.Sprintf("drive %d removed", i+1))
	}
	for i := len(was.Drives); i < len(is.Drives); i++ {
		changes = append(changes, fmt.Sprintf("drive %d added, %s", i+1, is.Drives[i].Model.Name))
	}
	for _, x := range []struct {
		key     string
		kind    library.Kind
		was, is int
	}{{"slots", library.Slot, was.Slots, is.Slots}, {"mailslots", library.Mailslot, was.Mailslots, is.Mailslots}} {
		if x.was == x.is {
			continue
		}
		changes = append(changes, fmt.Sprintf("%s %d", x.key, x.is))
		for _, s := range l.lib.Slots(x.kind) {
			if s.Place.N > x.is && s.Barcode != "" {
				fault(e.Where(x.key), "%s cannot go: cartridge %s is in it", s.Place, s.Barcode)
				break
			}
		}
	}
	if a, b := retention(old), retention(e); a != b {
		changes = append(changes, fmt.Sprintf("retention %s, %d generations", b.Age, b.Count))
	}
	if !reflect.DeepEqual(old.Values["faults"], e.Values["faults"]) {
		changes = append(changes, "faults")
	}
	for _, c := range is.Cartridges {
		if !slices.ContainsFunc(was.Cartridges, func(o library.Cartridges) bool { return o.Barcodes == c.Barcodes }) {
			changes = append(changes, "cartridges "+c.Barcodes)
		}
	}
	return changes
}

// Follow makes the library what e says.
func (l *tapeLibrary) Follow(ctx context.Context, e *config.Entry) error {
	if err := l.lib.Configure(ctx, l.config(e)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !reflect.DeepEqual(l.entry.Values["faults"], e.Values["faults"]) {
		s, err := loadFaults(e)
		if err != nil {
			return &manage.EntryError{At: e.Where("faults"), Err: err}
		}
		l.mechanics.injector.Set(s)
	}
	l.pool.SetRetention(retention(e))
	l.entry = e
	return nil
}

// Close ends the library, whose changer and drives are closed.
func (l *tapeLibrary) Close() error { return errors.Join(l.lib.Close(), l.pool.Close()) }

// tapeLibraries are those that run.
func tapeLibraries(mg *manage.Manager) map[string]*tapeLibrary {
	all := map[string]*tapeLibrary{}
	for name, c := range mg.Collections(libraryNoun) {
		all[name] = c.(*tapeLibrary)
	}
	return all
}
