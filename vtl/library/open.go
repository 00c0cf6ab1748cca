package library

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/vtl/personality"
)

// Open opens the library of cfg, and makes what is not there yet. What the inventory file
// says of slots and drives stands, but for what has changed in cfg since the last Open or
// Configure. Cartridges that have no place any more are put into the vault.
func Open(cfg Config) (*Library, error) {
	l, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("library %s: %w", cfg.Name, err)
	}
	return l, nil
}

func open(cfg Config) (*Library, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Log = cfg.Log.With("library", cfg.Name)
	if err := checkGeometry(&cfg, cfg.Slots, cfg.Mailslots, len(cfg.Drives)); err != nil {
		return nil, err
	}
	st, err := openStore(cfg.Inventory)
	if err != nil {
		return nil, err
	}
	l := &Library{cfg: cfg, log: cfg.Log, store: st, robot: make(chan struct{}, 1),
		unsure: map[string]struct{}{}, unsureDrives: map[int]struct{}{}}
	if err := l.begin(); err != nil {
		return nil, errors.Join(err, l.closeDrives(), st.close())
	}
	return l, nil
}

// begin makes the inventory of what is saved, configured and stored.
func (l *Library) begin() error {
	all, err := l.store.load()
	if err != nil {
		return err
	}
	l.inv = inventory{byID: map[string]*cartridge{}, byBarcode: map[string][]*cartridge{}}
	fix := batch{drives: map[int]*driveRecord{}, cartridges: map[string]*cartridgeRecord{}}
	if err := l.beginLibrary(all, &fix); err != nil {
		return err
	}
	if err := l.beginDrives(all, &fix); err != nil {
		return err
	}
	l.inv.slots = make([]*cartridge, l.inv.library.Slots)
	l.inv.mailslots = make([]*cartridge, l.inv.library.Mailslots)
	l.beginCartridges(all, &fix)
	fix.library = &l.inv.library
	if err := l.store.commit(fix); err != nil {
		return err
	}
	if err := l.reconcile(); err != nil {
		return err
	}
	if err := l.createAbsent(l.cfg.Cartridges); err != nil {
		return err
	}
	for n, b := range l.inv.bays {
		if b.held == nil || b.drive == nil {
			continue
		}
		if err := b.drive.Insert(l.shell(b.held)); err != nil {
			return fmt.Errorf("drive %d: %w", n+1, err)
		}
	}
	return nil
}

// beginLibrary makes the library's own record.
func (l *Library) beginLibrary(all *saved, fix *batch) error {
	now := configured(&l.cfg)
	if all.library == nil {
		id, err := newIdentity(l.cfg.Model.Vendor, l.cfg.Model.Product, l.cfg.Model.Revision, l.cfg.Model.SerialPrefix, l.cfg.Model.SerialLength)
		if err != nil {
			return err
		}
		all.library = &libraryRecord{Version: formatVersion, Serial: id.Serial, NAA: hex.EncodeToString(id.NAA[:])}
	}
	r := *all.library
	if l.cfg.Serial != "" {
		r.Serial = l.cfg.Serial
	}
	if !r.Config.equal(now) {
		r.Slots, r.Mailslots = now.Slots, now.Mailslots
	}
	l.inv.library = r
	return nil
}

// beginDrives makes the drives: those of the configuration when it has changed, or else those
// that are saved.
func (l *Library) beginDrives(all *saved, fix *batch) error {
	now := configured(&l.cfg)
	want := map[int]driveRecord{}
	if l.inv.library.Config.equal(now) {
		want = all.drives
	} else {
		for i, d := range now.Drives {
			was, there := all.drives[i+1]
			if !there || was.Model != d.Model || d.Serial != "" && was.Serial != d.Serial {
				was = driveRecord{Model: d.Model, Serial: d.Serial}
			}
			was.Removed = false
			want[i+1] = was
		}
	}
	l.inv.library.Config = now
	for n := range all.drives {
		if _, stays := want[n]; !stays {
			fix.drives[n] = nil
		}
	}
	for n := 1; n <= len(want); n++ {
		r, ok := want[n]
		if !ok {
			return fmt.Errorf("there is no drive %d before drive %d", n, slices.Max(slices.Collect(maps.Keys(want))))
		}
		b, err := l.newBay(n, r, l.driveModel(r.Model))
		if err != nil {
			return err
		}
		l.inv.bays = append(l.inv.bays, b)
		fix.drives[n] = &b.rec
	}
	return checkGeometry(&l.cfg, l.inv.library.Slots, l.inv.library.Mailslots, len(l.inv.bays))
}

// driveModel is the model of that name, one of the configuration first.
func (l *Library) driveModel(name string) *personality.Drive {
	for _, d := range l.cfg.Drives {
		if d.Model.Name == name {
			return d.Model
		}
	}
	m, _ := l.cfg.Models.Drive(name)
	return m
}

// newBay makes bay n, with its drive unless that is removed. A record without a serial number gets
// one.
func (l *Library) newBay(n int, r driveRecord, m *personality.Drive) (*bay, error) {
	if m == nil {
		return nil, fmt.Errorf("drive %d: there is no model %q", n, r.Model)
	}
	made, err := newIdentity(m.Vendor, m.Product, m.Revision, m.SerialPrefix, m.SerialLength)
	if err != nil {
		return nil, err
	}
	if r.Serial == "" {
		r.Serial = made.Serial
	}
	if r.NAA == "" {
		r.NAA = hex.EncodeToString(made.NAA[:])
	}
	b := &bay{rec: r, model: m}
	if r.Removed {
		return b, nil
	}
	id := made
	id.Serial = r.Serial
	if id.NAA, err = parseNAA(r.NAA); err != nil {
		return nil, fmt.Errorf("drive %d: %w", n, err)
	}
	b.spec = DriveSpec{Number: n, Name: fmt.Sprintf("%s-drive%d", l.cfg.Name, n), Model: m, Identity: id, Log: l.log}
	if b.drive, err = l.cfg.NewDrive(b.spec); err != nil {
		return nil, fmt.Errorf("drive %d: %w", n, err)
	}
	return b, nil
}

// newIdentity is who a new device of a model is: its serial number and NAA designator are
// random.
func newIdentity(vendor, product, revision, prefix string, length int) (core.Identity, error) {
	const digits = "0123456789ABCDEF"
	id := core.Identity{Vendor: vendor, Product: product, Revision: revision, Serial: prefix}
	for len(id.Serial) < length {
		d, err := rand.Int(rand.Reader, big.NewInt(int64(len(digits))))
		if err != nil {
			return id, err
		}
		id.Serial += digits[d.Int64() : d.Int64()+1]
	}
	if _, err := rand.Read(id.NAA[:]); err != nil {
		return id, err
	}
	id.NAA[0] = 0x30 | id.NAA[0]&0x0f // locally assigned (SPC-6, 7.7.6.6.5)
	return id, nil
}

func parseNAA(s string) (naa [8]byte, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(naa) {
		return naa, fmt.Errorf("%w: NAA %q", errDamaged, s)
	}
	return [8]byte(b), nil
}

// beginCartridges gives each saved cartridge its place in memory. One whose place is gone, or is
// that of another, goes home if it can, or else to the vault.
func (l *Library) beginCartridges(all *saved, fix *batch) {
	for _, id := range all.damaged {
		l.log.Error("the record of a cartridge is damaged; its contents will be found in the vault", "id", id)
		fix.cartridges[id] = nil
	}
	var homeless []*cartridge
	ids := slices.SortedFunc(maps.Keys(all.cartridges), func(a, b string) int {
		early := func(id string) int { // what perhaps never was takes no place from another
			if all.cartridges[id].Doing == creating {
				return 1
			}
			return 0
		}
		return cmp.Or(early(a)-early(b), strings.Compare(a, b))
	})
	for _, id := range ids {
		r := all.cartridges[id]
		c := &cartridge{id: id, rec: r, media: l.media(r.Media)}
		if at := l.inv.at(r.Place); r.Place != InVault && (at == nil || *at != nil || l.inv.removed(r.Place)) {
			homeless = append(homeless, c)
			continue
		}
		l.inv.remember(c)
	}
	for _, c := range homeless { // all others have their places now
		was := c.rec.Place
		c.rec.Place = InVault
		if at := l.inv.at(c.rec.Home); at != nil && *at == nil && !l.inv.removed(c.rec.Home) {
			c.rec.Place = c.rec.Home
		}
		l.log.Warn("the place of a cartridge is gone", "barcode", c.rec.Barcode, "was", was, "is", c.rec.Place)
		l.inv.remember(c)
		r := c.rec
		fix.cartridges[c.id] = &r
	}
}

// removed reports whether p is a bay without a drive.
func (v *inventory) removed(p Place) bool {
	return p.Kind == Drive && p.N > 0 && p.N <= len(v.bays) && v.bays[p.N-1].drive == nil
}

// media is the kind of cartridge of that name. One that no data file knows any more is a kind
// that no drive supports.
func (l *Library) media(name string) *personality.Media {
	if m, ok := l.cfg.Models.Media(name); ok {
		return m
	}
	return &personality.Media{Name: name}
}

// configured is what of cfg can be changed in other ways, too.
func configured(cfg *Config) geometry {
	g := geometry{Slots: cfg.Slots, Mailslots: cfg.Mailslots}
	for _, d := range cfg.Drives {
		g.Drives = append(g.Drives, driveGeometry{d.Model.Name, d.Serial})
	}
	return g
}

func (g geometry) equal(o geometry) bool {
	return g.Slots == o.Slots && g.Mailslots == o.Mailslots && slices.Equal(g.Drives, o.Drives)
}

// reconcile compares the inventory with what the pool stores, and finishes what a crash cut off.
func (l *Library) reconcile() error {
	list, err := l.cfg.Pool.List()
	if err != nil {
		return fmt.Errorf("cartridges: %w", err)
	}
	stored := make(map[string]*Stored, len(list))
	for i := range list {
		stored[list[i].ID] = &list[i]
	}
	ch := change{}
	for _, c := range l.inv.byID {
		s := stored[c.id]
		switch {
		case c.rec.Doing == creating && s == nil && !c.media.Cleaning:
			ch[c] = nil
		case c.rec.Doing == deleting:
			if err := l.cfg.Pool.Delete(c.id); err != nil {
				return fmt.Errorf("%s: %w", c.rec.Barcode, err)
			}
			ch[c] = nil
		default:
			l.compare(ch, c, s)
		}
	}
	for id, s := range stored {
		if l.inv.byID[id] != nil {
			continue
		}
		l.log.Warn("a cartridge that the inventory does not know is in the vault now", "barcode", s.Barcode, "id", id)
		c := &cartridge{id: id, media: s.Media}
		ch[c] = &cartridgeRecord{Barcode: s.Barcode, Media: s.Media.Name, WORM: s.WORM, Place: InVault, Created: s.Created}
	}
	return l.commit(ch)
}

// compare updates what the inventory says of c by what is stored, s; nil is nothing.
func (l *Library) compare(ch change, c *cartridge, s *Stored) {
	if c.rec.Doing == creating {
		ch.edit(c).Doing = ""
	}
	missing := s == nil && !c.media.Cleaning
	if missing != c.missing {
		if missing {
			l.log.Error("the contents of a cartridge are missing", "barcode", c.rec.Barcode, "id", c.id, "place", c.rec.Place)
		} else {
			l.log.Info("the contents of a cartridge are there again", "barcode", c.rec.Barcode, "id", c.id)
		}
		ch.edit(c)
		l.mu.Lock()
		l.inv.forget(c)
		c.missing = missing
		l.inv.remember(c)
		l.mu.Unlock()
	}
	if s == nil || s.Barcode == c.rec.Barcode && s.Media.Name == c.rec.Media && s.WORM == c.rec.WORM {
		return
	}
	r := ch.edit(c)
	r.Barcode, r.Media, r.WORM = s.Barcode, s.Media.Name, s.WORM
	l.mu.Lock()
	c.media = s.Media
	l.mu.Unlock()
}

// createAbsent makes the cartridges of a configuration that are not there.
func (l *Library) createAbsent(ranges []Cartridges) error {
	for _, s := range ranges {
		list, err := Barcodes(strings.TrimSpace(s.Barcodes))
		if err != nil {
			return err
		}
		var absent []string
		for _, b := range list {
			if l.inv.byBarcode[b] == nil {
				absent = append(absent, b)
			}
		}
		if _, err := l.create(absent, CreateOptions{Capacity: s.Capacity}); err != nil {
			return err
		}
	}
	return nil
}
