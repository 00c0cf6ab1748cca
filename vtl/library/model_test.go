package library_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/targate/targate/core/block/blocktest"
	. "github.com/targate/targate/vtl/library"
)

// model is where each cartridge is: the simplest library that there is.
type model struct {
	at    map[string]Place // by barcode
	home  map[string]Place
	slots map[Kind]int
}

// modelOf is the model of l as it is.
func modelOf(l *Library) *model {
	s := l.Status()
	m := &model{at: map[string]Place{}, home: map[string]Place{},
		slots: map[Kind]int{Slot: s.Slots.Total, Mailslot: s.Mailslots.Total, Drive: s.Drives.Total}}
	for _, c := range l.Cartridges() {
		m.at[c.Barcode], m.home[c.Barcode] = c.Place, c.Home
	}
	return m
}

func (m *model) clone() *model {
	c := &model{at: map[string]Place{}, home: map[string]Place{}, slots: m.slots}
	for b, p := range m.at {
		c.at[b], c.home[b] = p, m.home[b]
	}
	return c
}

func (m *model) held(p Place) string {
	for b, at := range m.at {
		if at == p {
			return b
		}
	}
	return ""
}

func (m *model) inside(p Place) bool { return p.Kind != Vault && p.N >= 1 && p.N <= m.slots[p.Kind] }

func (m *model) put(b string, to Place) {
	if from := m.at[b]; from.Kind == Slot || from.Kind == Mailslot {
		m.home[b] = from
	}
	m.at[b] = to
}

// operation is what the test does next.
type operation struct {
	What     string
	A, B, C  Place
	Barcode  string
	Barcode2 string
}

// choose makes an operation, of which most can succeed.
func (m *model) choose(r *rand.Rand) operation {
	place := func() Place {
		k := []Kind{Slot, Slot, Slot, Mailslot, Drive}[r.IntN(5)]
		return Place{Kind: k, N: 1 + r.IntN(m.slots[k]+r.IntN(2))}
	}
	barcode := func() string { return fmt.Sprintf("TG%04dL8", 1+r.IntN(12)) }
	o := operation{A: place(), B: place(), C: place(), Barcode: barcode(), Barcode2: barcode()}
	o.What = []string{"move", "move", "move", "exchange", "exchange", "load", "unload", "export", "import", "create", "create", "delete", "label"}[r.IntN(13)]
	full := slices.DeleteFunc(slices.Sorted(maps.Keys(m.at)), func(b string) bool { return m.at[b] == InVault })
	likely := len(full) > 0 && r.IntN(4) > 0
	switch o.What {
	case "move":
		if likely { // from where there is something
			o.A = m.at[full[r.IntN(len(full))]]
		}
	case "exchange":
		if likely {
			o.A, o.B = m.at[full[r.IntN(len(full))]], m.at[full[r.IntN(len(full))]]
		}
		if r.IntN(2) == 0 {
			o.C = o.A
		}
	case "load", "unload":
		o.A = Place{Kind: Drive, N: 1 + r.IntN(m.slots[Drive])}
	}
	return o
}

// run carries o out in l.
func (o operation) run(l *Library) error {
	switch o.What {
	case "move":
		return l.Move(bg, o.A, o.B)
	case "exchange":
		return l.Exchange(bg, o.A, o.B, o.C)
	case "load":
		return l.Load(bg, o.Barcode, o.A.N)
	case "unload":
		_, err := l.Unload(bg, o.A.N, o.B)
		return err
	case "export":
		return l.Export(bg, o.Barcode)
	case "import":
		_, err := l.Import(bg, o.Barcode, o.A)
		return err
	case "create":
		_, err := l.Create(bg, o.Barcode, CreateOptions{To: o.A})
		return err
	case "delete":
		return l.Delete(bg, o.Barcode, true)
	case "label":
		return l.Label(bg, o.Barcode, o.Barcode2)
	}
	panic(o.What)
}

// want carries o out in the model, or says why not.
func (o operation) want(m *model) error {
	at, known := m.at[o.Barcode]
	switch o.What {
	case "move":
		return m.move(o.A, o.B)
	case "load":
		if !known {
			return ErrNoCartridge
		}
		if at == InVault {
			return ErrOutside
		}
		return m.move(at, Place{Kind: Drive, N: o.A.N})
	case "unload":
		return m.move(Place{Kind: Drive, N: o.A.N}, o.B)
	case "exchange":
		return m.exchange(o.A, o.B, o.C)
	case "export":
		switch {
		case !known:
			return ErrNoCartridge
		case at == InVault:
			return ErrOutside
		case at.Kind == Drive:
			return ErrInDrive
		}
		m.at[o.Barcode], m.home[o.Barcode] = InVault, Place{}
	case "import":
		switch {
		case !known:
			return ErrNoCartridge
		case at != InVault:
			return ErrInside
		case !m.inside(o.A) || o.A.Kind == Drive:
			return ErrNoElement
		case m.held(o.A) != "":
			return ErrFull
		}
		m.at[o.Barcode], m.home[o.Barcode] = o.A, Place{}
	case "create":
		switch {
		case known:
			return ErrExists
		case !m.inside(o.A) || o.A.Kind == Drive:
			return ErrNoElement
		case m.held(o.A) != "":
			return ErrFull
		}
		m.at[o.Barcode], m.home[o.Barcode] = o.A, Place{}
	case "delete", "label":
		_, taken := m.at[o.Barcode2]
		switch {
		case !known:
			return ErrNoCartridge
		case at.Kind == Drive:
			return ErrInDrive
		case o.What == "label" && taken && o.Barcode != o.Barcode2:
			return ErrExists
		}
		home := m.home[o.Barcode]
		delete(m.at, o.Barcode)
		delete(m.home, o.Barcode)
		if o.What == "label" {
			m.at[o.Barcode2], m.home[o.Barcode2] = at, home
		}
	}
	return nil
}

func (m *model) move(from, to Place) error {
	b := m.held(from)
	switch {
	case !m.inside(from) || !m.inside(to):
		return ErrNoElement
	case b == "":
		return ErrEmpty
	case from == to:
		return nil
	case m.held(to) != "":
		return ErrFull
	}
	m.put(b, to)
	return nil
}

func (m *model) exchange(source, first, second Place) error {
	b, d := m.held(source), m.held(first)
	switch {
	case !m.inside(source) || !m.inside(first) || !m.inside(second):
		return ErrNoElement
	case b == "":
		return ErrEmpty
	case source == first:
		return m.move(first, second)
	case d == "":
		return ErrEmpty
	case second != source && m.held(second) != "":
		return ErrFull
	}
	m.put(b, first)
	m.put(d, second)
	return nil
}

// differs says how l differs from the model, "" when it does not.
func (m *model) differs(l *Library) string {
	list := l.Cartridges()
	if len(list) != len(m.at) {
		return fmt.Sprintf("%d cartridges, want %d", len(list), len(m.at))
	}
	for _, c := range list {
		if c.Place != m.at[c.Barcode] || c.Home != m.home[c.Barcode] {
			return fmt.Sprintf("%s is at %v, home %v, want %v, %v", c.Barcode, c.Place, c.Home, m.at[c.Barcode], m.home[c.Barcode])
		}
	}
	return ""
}

// Random operations do what they do in the simplest library, over restarts too.
func TestModel(t *testing.T) {
	rnd := blocktest.Rand(t)
	r := newRig(t, func(c *Config) {
		c.Cartridges = []Cartridges{{Barcodes: "TG0001L8-TG0008L8"}}
		c.Mailslots = 3
	})
	r.cfg.Cartridges = nil
	m := modelOf(r.Library)
	good := map[string]int{}
	for i := range 600 {
		o := m.choose(rnd)
		want := o.want(m)
		err := o.run(r.Library)
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Fatalf("%d: %+v: %v, want %v", i, o, err, want)
		}
		if err == nil {
			good[o.What]++
		}
		if d := m.differs(r.Library); d != "" {
			t.Fatalf("%d: %+v: %s", i, o, d)
		}
		if i%50 == 49 {
			r.check()
			r.reopen()
			if d := m.differs(r.Library); d != "" {
				t.Fatalf("after a restart: %s", d)
			}
		}
	}
	for _, what := range []string{"move", "exchange", "load", "unload", "export", "import", "create", "delete", "label"} {
		if good[what] == 0 {
			t.Errorf("no %s succeeded: %v", what, good)
		}
	}
}

// Whoever moves at the same time, all cartridges stay, each in one place.
func TestConcurrent(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Mailslots = 3 })
	r.Watch(func(Event) {})
	done := make(chan struct{})
	const workers = 4
	for w := range workers {
		rnd := rand.New(rand.NewPCG(uint64(w), 0))
		go func() {
			defer func() { done <- struct{}{} }()
			m := modelOf(r.Library)
			for range 60 {
				o := m.choose(rnd)
				if o.What == "create" || o.What == "delete" || o.What == "label" {
					continue
				}
				_ = o.run(r.Library) // what others did decides whether it can
				r.Status()
				r.Drives()
				r.View(func(v View) {
					for range v.Elements(DataTransfer, 0) {
					}
				})
			}
		}()
	}
	for range workers {
		<-done
	}
	r.check()
	if n := r.Status().Cartridges; n != 5 {
		t.Errorf("%d cartridges", n)
	}
}
