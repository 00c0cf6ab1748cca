//go:build system

package crash

import (
	"context"
	"math/rand/v2"

	"github.com/targate/targate/test/initiator"
)

// modes saves mode pages of LUN 2, the Caching and the Control page by one MODE SELECT.
type modes struct {
	rand *rand.Rand
	s    *initiator.Session
	want settings

	pending *settings
	known   bool // want is what the disk has, not what this test believes at first
}

// settings are the bits that the test changes.
type settings struct{ WCE, DSense, QAM, TAS bool }

func newModes(r *rand.Rand) *modes { return &modes{rand: r} }

func (m *modes) open(ctx context.Context, portal string) (err error) {
	m.s, err = dial(ctx, portal, iqn0, "modes")
	return err
}

func (m *modes) close() {
	if m.s != nil {
		m.s.Close()
	}
}

func bit(b bool, mask byte) byte {
	if b {
		return mask
	}
	return 0
}

func (m *modes) step(ctx context.Context) error {
	set := func() bool { return m.rand.IntN(2) == 1 }
	next := settings{set(), set(), set(), set()}
	pages := make([]byte, 8, 64) // the header of MODE SELECT(10), no block descriptor
	for page := range 2 {
		now, err := m.sense(ctx, 0, []byte{0x08, 0x0a}[page])
		if err != nil {
			return err
		}
		now[0] &^= 0x80 // PS
		if page == 0 {
			now[2] = now[2]&^0x04 | bit(next.WCE, 0x04)
		} else {
			now[2] = now[2]&^0x04 | bit(next.DSense, 0x04)
			now[3] = now[3]&^0xf0 | bit(next.QAM, 0x10)
			now[5] = now[5]&^0x40 | bit(next.TAS, 0x40)
		}
		pages = append(pages, now...)
	}
	m.pending = &next
	cdb := []byte{0x55, 0x11, 0, 0, 0, 0, 0, 0, byte(len(pages)), 0} // PF, SP
	if _, err := do(ctx, m.s, &initiator.Command{LUN: 2, CDB: cdb, Out: pages}); err != nil {
		return err
	}
	m.want, m.pending = next, nil
	return nil
}

// sense gives a page; control is 0 for the current values, 3 for the saved ones.
func (m *modes) sense(ctx context.Context, control, page byte) ([]byte, error) {
	r, err := do(ctx, m.s, &initiator.Command{LUN: 2, In: 255, CDB: []byte{0x5a, 0x08, control<<6 | page, 0, 0, 0, 0, 0, 255, 0}})
	if err != nil {
		return nil, err
	}
	if len(r.Data) < 16 || r.Data[8]&0x3f != page || len(r.Data) < 10+int(r.Data[9]) {
		return nil, faultf("MODE SENSE of page %02xh gave %x", page, r.Data)
	}
	return r.Data[8 : 10+int(r.Data[9])], nil
}

func (m *modes) check(ctx context.Context) error {
	for _, control := range []byte{0, 3} {
		caching, err := m.sense(ctx, control, 0x08)
		if err != nil {
			return err
		}
		c, err := m.sense(ctx, control, 0x0a)
		if err != nil {
			return err
		}
		got := settings{caching[2]&0x04 != 0, c[2]&0x04 != 0, c[3]>>4 == 1, c[5]&0x40 != 0}
		switch {
		case !m.known, m.pending != nil && got == *m.pending:
			m.want, m.known, m.pending = got, true, nil
		case got == m.want:
			m.pending = nil
		default:
			return faultf("mode pages (PC %d): %+v, saved was %+v, in flight %+v", control, got, m.want, m.pending)
		}
	}
	return nil
}
