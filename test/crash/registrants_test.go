//go:build system

package crash

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/targate/targate/test/initiator"
)

// registrants are two initiators that register and reserve LUN 1 with APTPL, one request
// at a time.
type registrants struct {
	rand *rand.Rand
	s    [2]*initiator.Session
	want reservation
	key  uint64
	port uint16 // relative target port identifier, once one was seen

	pending *reservation
}

// reservation is the state of the logical unit.
type reservation struct {
	Keys   [2]uint64 // 0: not registered
	Holder int
	Type   uint8 // 0 when there is no reservation
}

// Holders other than an initiator.
const (
	nobody   = -1
	everyone = 2 // an all registrants type
)

// types that the test reserves with: all of SPC's.
var types = []uint8{1, 3, 5, 6, 7, 8}

func newRegistrants(r *rand.Rand) *registrants {
	return &registrants{rand: r, want: reservation{Holder: nobody}}
}

func (g *registrants) open(ctx context.Context, portal string) (err error) {
	for i := range g.s {
		if g.s[i], err = dial(ctx, portal, iqn0, fmt.Sprint("registrant", i)); err != nil {
			return err
		}
	}
	return nil
}

func (g *registrants) close() {
	for _, s := range g.s {
		if s != nil {
			s.Close()
		}
	}
}

// Service actions of PERSISTENT RESERVE OUT.
const (
	reserve        = 1
	release        = 2
	clearAll       = 3
	preempt        = 4
	registerIgnore = 6
)

func (g *registrants) step(ctx context.Context) error {
	i, next := g.rand.IntN(2), g.want
	j := 1 - i
	var action, kind uint8
	key, param := next.Keys[i], uint64(0)
	mine := next.Keys[i] != 0
	switch n := g.rand.IntN(10); {
	case mine && n < 4 && next.Holder == nobody:
		action, kind = reserve, types[g.rand.IntN(len(types))]
		next.Holder, next.Type = i, kind
		if kind >= 7 {
			next.Holder = everyone
		}
	case mine && n < 4 && (next.Holder == i || next.Holder == everyone):
		action, kind = release, next.Type
		next.Holder, next.Type = nobody, 0
	case mine && n < 5:
		action = clearAll
		next = reservation{Holder: nobody}
	case mine && n < 7 && next.Keys[j] != 0 && next.Holder != everyone:
		action, kind, param = preempt, types[g.rand.IntN(4)], next.Keys[j]
		next.Keys[j] = 0
		if next.Holder == j {
			next.Holder, next.Type = i, kind
		}
	case mine && n < 8:
		action = registerIgnore
		next.Keys[i] = 0
		if next.Holder == i || next.Keys[j] == 0 {
			next.Holder, next.Type = nobody, 0
		}
	default:
		g.key++
		action, key, param = registerIgnore, 0, g.key
		next.Keys[i] = g.key
	}
	cdb := []byte{0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0}
	p := make([]byte, 24)
	binary.BigEndian.PutUint64(p, key)
	binary.BigEndian.PutUint64(p[8:], param)
	if action == registerIgnore {
		p[20] = 1 // APTPL
	}
	g.pending = &next
	if _, err := do(ctx, g.s[i], &initiator.Command{LUN: 1, CDB: cdb, Out: p}); err != nil {
		if f, ok := err.(fault); ok {
			return faultf("initiator %d in %+v to %+v: %v", i, g.want, next, f)
		}
		return err
	}
	g.want, g.pending = next, nil
	return nil
}

// read asks READ FULL STATUS.
func (g *registrants) read(ctx context.Context) (reservation, error) {
	got := reservation{Holder: nobody}
	r, err := do(ctx, g.s[0], &initiator.Command{LUN: 1, In: 4096, CDB: []byte{0x5e, 3, 0, 0, 0, 0, 0, 16, 0, 0}})
	if err != nil {
		return got, err
	}
	if len(r.Data) < 8 || len(r.Data) != 8+int(binary.BigEndian.Uint32(r.Data[4:])) {
		return got, faultf("READ FULL STATUS gave %x", r.Data)
	}
	holders := 0
	for b := r.Data[8:]; len(b) > 0; {
		if len(b) < 24 || len(b) < 24+int(binary.BigEndian.Uint32(b[20:])) {
			return got, faultf("READ FULL STATUS gave %x", r.Data)
		}
		n := 24 + int(binary.BigEndian.Uint32(b[20:]))
		i, name := 0, string(b[24:n])
		if strings.Contains(name, "registrant1,") {
			i = 1
		} else if !strings.Contains(name, "registrant0,") {
			return got, faultf("a registrant %q", name)
		}
		if got.Keys[i] != 0 {
			return got, faultf("initiator %d is registered twice: %x", i, r.Data)
		}
		got.Keys[i] = binary.BigEndian.Uint64(b)
		if b[12]&1 != 0 {
			got.Holder, got.Type = i, b[13]
			holders++
		}
		port := binary.BigEndian.Uint16(b[18:])
		if g.port != 0 && port != g.port {
			return got, faultf("relative target port identifier %d, it was %d", port, g.port)
		}
		g.port, b = port, b[n:]
	}
	if got.Type >= 7 {
		got.Holder = everyone
	} else if holders > 1 {
		return got, faultf("%d holders of type %d", holders, got.Type)
	}
	return got, nil
}

func (g *registrants) check(ctx context.Context) error {
	got, err := g.read(ctx)
	switch {
	case err != nil:
		return err
	case g.pending != nil && got == *g.pending:
		g.want = got
	case got != g.want:
		return faultf("reservation %+v, acknowledged was %+v, in flight %+v", got, g.want, g.pending)
	}
	g.pending = nil
	return nil
}
