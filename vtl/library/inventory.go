package library

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/personality"
)

// cartridge is a cartridge of the inventory. All but its ID are guarded by Library.mu.
type cartridge struct {
	id      string
	rec     cartridgeRecord
	media   *personality.Media
	missing bool // its contents are not stored
}

// bay is where a drive is.
type bay struct {
	rec   driveRecord
	model *personality.Drive
	drive DriveHandler // nil: removed
	spec  DriveSpec
	held  *cartridge
}

// inventory is the copy in memory of what the inventory file says, by place and by name.
type inventory struct {
	library   libraryRecord
	bays      []*bay       // drive N at N-1
	slots     []*cartridge // slot N at N-1; nil: empty
	mailslots []*cartridge
	byID      map[string]*cartridge
	byBarcode map[string][]*cartridge // more than one only by hand: copies of a directory
	inVault   int
	missing   int
	full      [Drive + 1]int // places by kind
}

// at is where p keeps its cartridge, nil when there is no such place with room for one.
func (v *inventory) at(p Place) **cartridge {
	i := p.N - 1
	switch {
	case i < 0:
	case p.Kind == Slot && i < len(v.slots):
		return &v.slots[i]
	case p.Kind == Mailslot && i < len(v.mailslots):
		return &v.mailslots[i]
	case p.Kind == Drive && i < len(v.bays):
		return &v.bays[i].held
	}
	return nil
}

// occupant is the cartridge at p, which exists.
func (v *inventory) occupant(p Place) (*cartridge, error) {
	at := v.at(p)
	switch {
	case at == nil:
		return nil, fmt.Errorf("%v: %w", p, ErrNoElement)
	case *at == nil:
		return nil, fmt.Errorf("%v: %w", p, ErrEmpty)
	}
	return *at, nil
}

// find is the cartridge of a barcode, or of an ID.
func (v *inventory) find(name string) (*cartridge, error) {
	if list := v.byBarcode[name]; list != nil {
		return list[0], nil
	}
	if c := v.byID[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNoCartridge)
}

// free is the first empty place of kind k that no cartridge in a drive came from: there it goes
// back to. When all others are full, ok is false.
func (v *inventory) free(k Kind) (p Place, ok bool) {
	return v.freeFrom(Place{k, 1}, v.homes())
}

// homes are the places that cartridges in drives came from.
func (v *inventory) homes() map[Place]bool {
	homes := map[Place]bool{}
	for _, b := range v.bays {
		if b.held != nil {
			homes[b.held.rec.Home] = true
		}
	}
	return homes
}

// freeFrom is free from p on.
func (v *inventory) freeFrom(p Place, homes map[Place]bool) (Place, bool) {
	for at := v.at(p); at != nil; at = v.at(p) {
		if *at == nil && !homes[p] {
			return p, true
		}
		p.N++
	}
	return p, false
}

// change is new records of cartridges: nil for those that go. The keys are their IDs.
type change map[*cartridge]*cartridgeRecord

// edit begins the new record of c in the change.
func (ch change) edit(c *cartridge) *cartridgeRecord {
	if r := ch[c]; r != nil {
		return r
	}
	r := c.rec
	ch[c] = &r
	return &r
}

// apply makes the change in memory. Its new places are empty, or become so by it.
func (v *inventory) apply(ch change) {
	for c := range ch {
		v.forget(c)
	}
	for _, c := range slices.SortedFunc(maps.Keys(ch), func(a, b *cartridge) int { return strings.Compare(a.id, b.id) }) {
		if r := ch[c]; r != nil {
			c.rec = *r
			v.remember(c)
		}
	}
}

// forget takes c out of all indexes.
func (v *inventory) forget(c *cartridge) {
	if v.byID[c.id] != c {
		return
	}
	delete(v.byID, c.id)
	others := slices.DeleteFunc(v.byBarcode[c.rec.Barcode], func(o *cartridge) bool { return o == c })
	if v.byBarcode[c.rec.Barcode] = others; len(others) == 0 {
		delete(v.byBarcode, c.rec.Barcode)
	}
	if c.rec.Place == InVault {
		v.inVault--
	} else if at := v.at(c.rec.Place); at != nil && *at == c {
		*at = nil
		v.full[c.rec.Place.Kind]--
	}
	if c.missing {
		v.missing--
	}
}

// remember puts c into all indexes.
func (v *inventory) remember(c *cartridge) {
	v.byID[c.id] = c
	v.byBarcode[c.rec.Barcode] = append(v.byBarcode[c.rec.Barcode], c)
	if c.rec.Place == InVault {
		v.inVault++
	} else if at := v.at(c.rec.Place); at != nil {
		*at = c
		v.full[c.rec.Place.Kind]++
	}
	if c.missing {
		v.missing++
	}
}

// shell is a cartridge as a drive sees it (ssc.Cartridge): it does not change while it is in
// the drive.
type shell struct {
	pool      Pool
	id        string
	barcode   string
	media     *personality.Media
	worm      bool
	protected bool
	usesLeft  int
}

func (l *Library) shell(c *cartridge) *shell {
	return &shell{l.cfg.Pool, c.id, c.rec.Barcode, c.media, c.rec.WORM, c.rec.Protected, c.rec.UsesLeft}
}

func (s *shell) Barcode() string           { return s.barcode }
func (s *shell) Media() *personality.Media { return s.media }
func (s *shell) WORM() bool                { return s.worm }
func (s *shell) WriteProtected() bool      { return s.protected }

// errExpired is CLEANING VOLUME EXPIRED.
var errExpired = sense.New(sense.NotReady, 0x3013)

// Mount gives the contents. There are none of a cleaning cartridge, but an end of its life.
func (s *shell) Mount() (medium.Medium, error) {
	switch {
	case !s.media.Cleaning:
		return s.pool.Mount(s.id, s.protected)
	case s.usesLeft == 0:
		return nil, errExpired
	}
	return nil, nil
}
