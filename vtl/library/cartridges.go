package library

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/targate/targate/vtl/personality"
)

// CreateOptions say how Create makes cartridges.
type CreateOptions struct {
	// To is the place of the only cartridge. The zero Place is the first free slots that no
	// cartridge in a drive came from, and the vault for those that find none.
	To             Place
	WriteProtected bool
	// Media is the name of their kind; "" is what the media identifier says that ends the barcode,
	// which then decides WORM too.
	Media string
	WORM  bool
	// Capacity of each in bytes; 0: that of their kind.
	Capacity int64
}

// Create makes blank cartridges: of a barcode, or a range "TG0001L8-TG0010L8". All barcodes
// must be new. It returns those that it made, some of them when it fails.
func (l *Library) Create(ctx context.Context, barcodes string, o CreateOptions) (made []CartridgeStatus, err error) {
	list, err := Barcodes(barcodes)
	if err != nil {
		return nil, err
	}
	if o.To != (Place{}) && o.To != InVault && len(list) > 1 {
		return nil, fmt.Errorf("%w: %d cartridges at one place", ErrInvalid, len(list))
	}
	if err := l.allNew(list); err != nil {
		return nil, err
	}
	for some := range slices.Chunk(list, createAtOnce) { // in between, others have the robot
		err = l.asPeople(ctx, func() (e Event, err error) {
			if o.To != (Place{}) && o.To != InVault {
				if _, err := l.handPlace(o.To); err != nil {
					return e, err
				}
			}
			created, err := l.create(some, o)
			for _, c := range created {
				made = append(made, c.status())
				if e == (Event{}) {
					e = handEvent(c.rec.Place)
				}
			}
			if err != nil && e != (Event{}) {
				l.tell(e)
			}
			return e, err
		})
		if err != nil {
			break
		}
	}
	return made, err
}

// createAtOnce is how many cartridges are made while the robot waits, inParallel how many of them at a
// time: most of it is waiting for the disk.
const (
	createAtOnce = 256
	inParallel   = 8
)

// allNew refuses barcodes that there are.
func (l *Library) allNew(barcodes []string) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, b := range barcodes {
		if l.inv.byBarcode[b] != nil {
			return fmt.Errorf("%s: %w", b, ErrExists)
		}
	}
	return nil
}

// create makes blank cartridges. The robot is held, or nobody else has the library yet.
//
// The file knows of them before the pool does, so that one that a crash cut off either is made
// or never was.
func (l *Library) create(barcodes []string, o CreateOptions) ([]*cartridge, error) {
	if len(barcodes) == 0 {
		return nil, nil
	}
	list, err := l.blanks(barcodes, o)
	if err != nil {
		return nil, err
	}
	b := batch{cartridges: map[string]*cartridgeRecord{}}
	for _, c := range list {
		r := c.rec
		r.Doing = creating
		b.cartridges[c.id] = &r
	}
	if err := l.write(b); err != nil {
		return nil, err
	}
	stored, failed := l.fillPool(list, o.Capacity)
	ch := change{}
	for i, c := range list {
		if stored[i] {
			ch.edit(c)
		} else {
			ch[c] = nil
		}
	}
	if err := l.commit(ch); err != nil {
		return nil, errors.Join(failed, err, l.uncreate(list))
	}
	made := list[:0]
	for _, c := range list {
		if ch[c] != nil {
			made = append(made, c)
		}
	}
	return made, failed
}

// fillPool stores cartridges, and says which; after an error not all.
func (l *Library) fillPool(list []*cartridge, capacity int64) (stored []bool, err error) {
	stored = make([]bool, len(list))
	var (
		next atomic.Int64
		stop atomic.Bool
		mu   sync.Mutex // guards err
		wg   sync.WaitGroup
	)
	for range min(inParallel, len(list)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(list) && !stop.Load(); i = int(next.Add(1)) - 1 {
				c := list[i]
				if !c.media.Cleaning {
					e := l.cfg.Pool.Create(Stored{ID: c.id, Barcode: c.rec.Barcode, Media: c.media, WORM: c.rec.WORM,
						Capacity: capacity, Created: c.rec.Created})
					if e != nil {
						stop.Store(true)
						mu.Lock()
						err = cmp.Or(err, e)
						mu.Unlock()
						return
					}
				}
				stored[i] = true
			}
		})
	}
	wg.Wait()
	return stored, err
}

// uncreate removes from the pool what nobody will know of.
func (l *Library) uncreate(list []*cartridge) (err error) {
	for _, c := range list {
		if !c.media.Cleaning {
			err = errors.Join(err, l.cfg.Pool.Delete(c.id))
		}
	}
	return err
}

// blanks are new cartridges, which nobody knows yet, each with its place.
func (l *Library) blanks(barcodes []string, o CreateOptions) ([]*cartridge, error) {
	list := make([]*cartridge, 0, len(barcodes))
	seen := map[string]bool{}
	next, homes := Place{Slot, 1}, l.inv.homes()
	for _, barcode := range barcodes {
		if seen[barcode] || l.inv.byBarcode[barcode] != nil {
			return nil, fmt.Errorf("%s: %w", barcode, ErrExists)
		}
		seen[barcode] = true
		m, worm, err := l.kindOf(barcode, o)
		if err != nil {
			return nil, err
		}
		place := o.To
		if place == (Place{}) {
			var ok bool
			if place, ok = l.inv.freeFrom(next, homes); !ok {
				place = InVault
			}
			next = Place{Slot, max(next.N, place.N+1)}
		}
		id, err := newUUID()
		if err != nil {
			return nil, err
		}
		list = append(list, &cartridge{id: id, media: m, rec: cartridgeRecord{Barcode: barcode, Media: m.Name, WORM: worm,
			Protected: o.WriteProtected, Place: place, ByHand: true, UsesLeft: m.Uses, Created: time.Now().UTC()}})
	}
	return list, nil
}

// kindOf is the kind of a new cartridge.
func (l *Library) kindOf(barcode string, o CreateOptions) (m *personality.Media, worm bool, err error) {
	ok := false
	if o.Media != "" {
		m, ok = l.cfg.Models.Media(o.Media)
		worm = o.WORM
	} else {
		m, worm, ok = l.cfg.Models.ByBarcode(barcode)
	}
	switch {
	case !ok && o.Media != "":
		return nil, false, fmt.Errorf("%w: there is no kind of cartridge %q", ErrInvalid, o.Media)
	case !ok:
		return nil, false, fmt.Errorf("%s: %w", barcode, ErrNoMedia)
	case worm && m.WORMType == 0:
		return nil, false, fmt.Errorf("%s: %w", m.Name, ErrNoWORM)
	}
	return m, worm, nil
}

// newUUID is a random UUID (RFC 9562, 5.4).
func newUUID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), nil
}

// withShelved runs f with the robot, for a cartridge that is not in a drive.
func (l *Library) withShelved(ctx context.Context, barcode string, f func(*cartridge) (Event, error)) error {
	return l.asPeople(ctx, func() (Event, error) {
		c, err := l.inv.find(barcode)
		if err != nil {
			return Event{}, err
		}
		if c.rec.Place.Kind == Drive {
			return Event{}, fmt.Errorf("%s: %w", barcode, ErrInDrive)
		}
		return f(c)
	})
}

// Delete destroys a cartridge, which is not in a drive, with all its generations. One that is not
// blank, or whose contents are missing, takes force.
func (l *Library) Delete(ctx context.Context, barcode string, force bool) error {
	return l.withShelved(ctx, barcode, func(c *cartridge) (Event, error) {
		if !force {
			if err := l.mustBeBlank(c); err != nil {
				return Event{}, err
			}
		}
		mark := c.rec
		mark.Doing = deleting
		if err := l.write(batch{cartridges: map[string]*cartridgeRecord{c.id: &mark}}); err != nil {
			return Event{}, err
		}
		if !c.media.Cleaning {
			if err := l.cfg.Pool.Delete(c.id); err != nil {
				ch := change{}
				ch.edit(c)
				return Event{}, errors.Join(fmt.Errorf("%s: %w", barcode, err), l.commit(ch))
			}
		}
		was := c.rec.Place
		if err := l.commit(change{c: nil}); err != nil {
			// Its mark is durable, so that the next commit, or the next start, does it.
			l.log.Warn("a cartridge is deleted, and not yet in the inventory", "barcode", barcode, "err", err)
			l.mu.Lock()
			l.inv.apply(change{c: nil})
			l.mu.Unlock()
		}
		return handEvent(was), nil
	})
}

// mustBeBlank refuses a cartridge that may have contents.
func (l *Library) mustBeBlank(c *cartridge) error {
	switch {
	case c.media.Cleaning:
		return nil
	case c.missing:
		return fmt.Errorf("%s: %w", c.rec.Barcode, ErrMissing)
	}
	blank, err := l.cfg.Pool.Blank(c.id)
	if err == nil && !blank {
		err = ErrNotBlank
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.rec.Barcode, err)
	}
	return nil
}

// Label sticks another label on a cartridge that is not in a drive. A media identifier on it
// must be that of the cartridge.
func (l *Library) Label(ctx context.Context, barcode, label string) error {
	return l.withShelved(ctx, barcode, func(c *cartridge) (Event, error) {
		if err := l.checkLabel(c, label, c.rec.WORM); err != nil {
			return Event{}, err
		}
		ch := change{}
		if err := l.relabel(ch, c, label); err != nil {
			return Event{}, err
		}
		return handEvent(c.rec.Place), l.commit(ch)
	})
}

// checkLabel refuses a label that c cannot have.
func (l *Library) checkLabel(c *cartridge, label string, worm bool) error {
	if err := checkBarcode(label); err != nil {
		return err
	}
	if others := l.inv.byBarcode[label]; others != nil && others[0] != c {
		return fmt.Errorf("%s: %w", label, ErrExists)
	}
	if m, w, ok := l.cfg.Models.ByBarcode(label); ok && (m.Name != c.rec.Media || w != worm) {
		return fmt.Errorf("%w: label %s is that of another kind of cartridge: %s", ErrInvalid, label, m.Name)
	}
	return nil
}

// relabel gives c a barcode in its store, and in ch. A crash in between is made good at the
// start, since the store is right.
func (l *Library) relabel(ch change, c *cartridge, label string) error {
	if label == c.rec.Barcode {
		return nil
	}
	if !c.media.Cleaning {
		if c.missing {
			return fmt.Errorf("%s: %w", c.rec.Barcode, ErrMissing)
		}
		if err := l.cfg.Pool.Relabel(c.id, label); err != nil {
			return fmt.Errorf("%s: %w", c.rec.Barcode, err)
		}
	}
	ch.edit(c).Barcode = label
	return nil
}

// SetWriteProtected moves the tab of the shell of a cartridge that is not in a drive.
func (l *Library) SetWriteProtected(ctx context.Context, barcode string, on bool) error {
	return l.withShelved(ctx, barcode, func(c *cartridge) (Event, error) {
		ch := change{}
		ch.edit(c).Protected = on
		return Event{}, l.commit(ch)
	})
}

// SetWORM makes a blank cartridge that is not in a drive one that can be written only once.
// label is the barcode that it gets; "" is its barcode with the media identifier of WORM
// cartridges instead of the one it had.
func (l *Library) SetWORM(ctx context.Context, barcode, label string) error {
	return l.withShelved(ctx, barcode, func(c *cartridge) (Event, error) {
		if c.media.WORMType == 0 {
			return Event{}, fmt.Errorf("%s: %w", c.rec.Media, ErrNoWORM)
		}
		if label == "" {
			label = c.rec.Barcode
			if head, ok := strings.CutSuffix(label, c.media.Suffix); ok && c.media.Suffix != "" {
				label = head + c.media.WORMSuffix
			}
		}
		err := l.checkLabel(c, label, true)
		if err == nil {
			err = l.mustBeBlank(c)
		}
		if err != nil {
			return Event{}, err
		}
		ch := change{}
		if !c.rec.WORM {
			if err := l.cfg.Pool.SetWORM(c.id); err != nil {
				return Event{}, fmt.Errorf("%s: %w", barcode, err)
			}
			ch.edit(c).WORM = true
		}
		err = l.relabel(ch, c, label)
		return handEvent(c.rec.Place), errors.Join(err, l.commit(ch))
	})
}
