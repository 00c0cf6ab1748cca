package pr

import (
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// TestAccess is what SPC-6, table 72, SBC-4, table 13, and SPC-2, table 10, allow: a
// holds the reservation, b is registered, c is not.
func TestAccess(t *testing.T) {
	commands := []struct {
		name string
		cdb  []byte
	}{
		{"TEST UNIT READY", testUnitReady}, {"LOG SENSE", logSense}, {"start", startUnit},
		{"stop", stopUnit}, {"MODE SENSE", modeSense},
		{"read", readMedium}, {"write", writeMedium}, {"both", readWrite},
	}
	const all, none = "yes yes yes yes yes yes yes yes", "yes yes yes no no no no no"
	const reads = "yes yes yes no no yes no no"
	tests := []struct {
		typ         Type
		b, c, alone string // as the commands above; alone: c while b is not registered
	}{
		{WriteExclusive, reads, reads, reads},
		{ExclusiveAccess, none, none, none},
		{WriteExclusiveRegistrants, all, reads, reads},
		{ExclusiveAccessRegistrants, all, none, none},
		{WriteExclusiveAll, all, reads, reads},
		{ExclusiveAccessAll, all, none, none},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			l.a.reserve(tt.typ, 1)
			check := func(h *host, who, want string) {
				t.Helper()
				for i, w := range strings.Fields(want) {
					if r := h.do(commands[i].cdb, nil); r.Good() != (w == "yes") {
						t.Errorf("%s: %s: %v, want %s", who, commands[i].name, r, w)
					}
				}
			}
			check(l.a, "holder", all)
			check(l.b, "registrant", tt.b)
			check(l.c, "other", tt.c)
			l.b.good(out24(actRegister, 0, 2, 0, 0))
			check(l.b, "former registrant", tt.alone)
			l.a.good(out24(actRelease, tt.typ, 1, 0, 0))
			check(l.c, "after release", all)
		})
	}
	t.Run("RESERVE", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.good(reserve6, nil)
		for _, c := range commands {
			l.a.good(c.cdb, nil)
			// SPC-2, table 10: TEST UNIT READY is not allowed, nor is START STOP UNIT
			if allowed := c.name == "LOG SENSE"; l.b.do(c.cdb, nil).Good() != allowed {
				t.Errorf("other: %s: want %v", c.name, allowed)
			}
		}
	})
}

// TestUAFirst: a unit attention is reported before a reservation conflict (SAM-6, 5.3.3),
// and by what passes all reservations too.
func TestUAFirst(t *testing.T) {
	l := newLab(t, nil)
	l.a.join(1)
	l.b.join(2)
	l.a.reserve(ExclusiveAccess, 1)
	l.a.good(out24(actPreempt, ExclusiveAccess, 1, 2, 0))
	if r := l.b.do(readMedium, nil); !r.Is(sense.UnitAttention, sense.RegistrationsPreempted) {
		t.Errorf("first command: %v", r)
	}
	l.b.conflict(readMedium, nil)
}

// TestGateFree: what is not reserved costs no allocation.
func TestGateFree(t *testing.T) {
	l := newLab(t, nil)
	c := coretest.NewCommand(l.a.Path, readMedium, nil, 0)
	if err := c.Parse(); err != nil {
		t.Fatal(err)
	}
	check := func(name string) {
		t.Helper()
		if n := testing.AllocsPerRun(100, func() {
			if err := l.service.Gate(c.Command); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	check("not reserved")
	l.a.join(1)
	l.a.reserve(ExclusiveAccessRegistrants, 1)
	check("reserved")
}

func BenchmarkGate(b *testing.B) {
	for _, typ := range []Type{0, ExclusiveAccess} {
		b.Run(fmt.Sprintf("type=%d", typ), func(b *testing.B) {
			l := newLab(b, nil)
			if typ != 0 {
				l.a.join(1)
				l.a.reserve(typ, 1)
			}
			c := coretest.NewCommand(l.a.Path, readMedium, nil, 0)
			if err := c.Parse(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.service.Gate(c.Command); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
