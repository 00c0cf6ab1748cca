package pr

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// TestReadKeys is PrinReadKeys.Simple and .Truncate of iscsi-test-cu (SPC-6, 6.17.2).
func TestReadKeys(t *testing.T) {
	l := newLab(t, nil)
	want := func(n int, s string) {
		t.Helper()
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if d := l.c.good(inCDB(0, n), nil).Data; !bytes.Equal(d, b) {
			t.Errorf("% x, want % x", d, b)
		}
	}
	want(16384, "00000000 00000000")
	l.a.join(0x1122334455667788)
	l.b.join(2)
	want(16384, "00000002 00000010 1122334455667788 0000000000000002")
	want(8, "00000002 00000010")
	want(20, "00000002 00000010 1122334455667788 00000000")
	want(0, "")
}

// TestServiceActions is PrinServiceactionRange of iscsi-test-cu: 0 to 3 and no others.
func TestServiceActions(t *testing.T) {
	l := newLab(t, nil)
	for action := range byte(0x20) {
		r := l.a.do(inCDB(action, 0x100), nil)
		if action < 4 && !r.Good() || action >= 4 && !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
			t.Errorf("IN %#x: %v", action, r)
		}
		if r := l.a.do(out24(action, 0, 0, 0, 0)); action >= 8 && !r.Is(sense.IllegalRequest, sense.InvalidFieldInCDB) {
			t.Errorf("OUT %#x: %v", action, r)
		}
	}
}

// TestReportCapabilities is PrinReportCapabilities of iscsi-test-cu (SPC-6, 6.17.4).
func TestReportCapabilities(t *testing.T) {
	for _, tt := range []struct {
		state core.State
		flags byte
		want  string
	}{
		{nil, 0, "00081c90ea010000"},
		{&coretest.State{}, 0, "00081d90ea010000"},
		{&coretest.State{}, flagAPTPL, "00081d91ea010000"},
	} {
		l := newLab(t, tt.state)
		l.a.good(out24(actRegister, 0, 0, 1, tt.flags))
		if d := l.b.good(inCDB(2, 64), nil).Data; hex.EncodeToString(d) != tt.want {
			t.Errorf("%x, want %s", d, tt.want)
		}
		for _, typ := range allTypes {
			key := uint64(1)
			if typ.forAll() {
				key = 0
			}
			l.a.reserve(typ, 1)
			l.a.wantReservation(typ, key)
			l.a.good(out24(actRelease, typ, 1, 0, 0))
		}
	}
}

// TestReadReservation is the whole parameter data (SPC-6, 6.17.3).
func TestReadReservation(t *testing.T) {
	l := newLab(t, nil)
	l.a.join(0x77)
	l.a.reserve(ExclusiveAccessRegistrants, 0x77)
	if d := l.b.good(inCDB(1, 64), nil).Data; hex.EncodeToString(d) != "0000000100000010"+"0000000000000077"+"00000000"+"0006"+"0000" {
		t.Errorf("%x", d)
	}
}

// TestReadFullStatus is the whole parameter data (SPC-6, 6.17.5): registrants that are
// there and that are not, by two ports.
func TestReadFullStatus(t *testing.T) {
	for _, typ := range []Type{0, WriteExclusive, ExclusiveAccessAll} {
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.host("b", port2).join(2)
			l.a.join(1)
			l.b.Nexus().Close()
			if typ != 0 {
				l.a.reserve(typ, 1)
			}
			holder := [2]string{"0000", "0000"}
			switch {
			case typ.forAll():
				holder = [2]string{"0108", "0108"}
			case typ != 0:
				holder[1] = "0101"
			}
			id := func(name string) string {
				s := "iqn.2026-11.org.targate:" + name + ",i,0x00023d000001"
				return "4500002c" + hex.EncodeToString([]byte(s)) + strings.Repeat("00", 0x2c-len(s))
			}
			want := "00000002" + "00000090" +
				"0000000000000002" + "00000000" + holder[0] + "00000000" + "0002" + "00000030" + id("b") +
				"0000000000000001" + "00000000" + holder[1] + "00000000" + "0001" + "00000030" + id("a")
			if d := l.c.good(inCDB(3, 4096), nil).Data; hex.EncodeToString(d) != want {
				t.Errorf("\n%x, want\n%s", d, want)
			}
		})
	}
}

// TestReservedBits: every bit that the usage data leaves out is refused.
func TestReservedBits(t *testing.T) { coretest.CheckReservedBits(t, newLab(t, nil).a.Path) }

// TestICU is what iscsi-test-cu asks beyond the tests above: ProutRegister.Simple,
// ProutClear.Simple, ProutPreempt, ProutReserve.Simple and .OwnershipXX.
func TestICU(t *testing.T) {
	t.Run("ProutRegister", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.join(7).wantKeys(7)
		l.a.conflict(out24(actRegister, 0, 8, 9, 0))
		l.a.good(out24(actRegister, 0, 7, 0, 0))
		l.a.wantKeys()
	})
	t.Run("ProutClear", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.join(7)
		gen, _ := l.a.keys()
		l.a.reserve(ExclusiveAccess, 7)
		l.a.wantReservation(ExclusiveAccess, 7)
		l.a.good(out24(actClear, 0, 7, 0, 0))
		l.a.wantReservation(0, 0)
		if now, keys := l.a.keys(); now != gen+1 || len(keys) != 0 {
			t.Errorf("PRGENERATION %d, was %d; keys %v", now, gen, keys)
		}
	})
	t.Run("ProutPreempt", func(t *testing.T) {
		l := newLab(t, nil)
		l.a.join(1)
		l.a.good(out24(actClear, 0, 1, 0, 0))
		l.a.join(1)
		l.b.join(2)
		gen, _ := l.a.keys()
		l.b.good(out24(actPreempt, ExclusiveAccess, 2, 1, 0))
		l.a.ua()
		if now, keys := l.a.keys(); now != gen+1 || len(keys) != 1 || keys[0] != 2 {
			t.Errorf("PRGENERATION %d, was %d; keys %v", now, gen, keys)
		}
		l.b.good(out24(actRegister, 0, 2, 0, 0))
	})
	for _, typ := range allTypes {
		t.Run(fmt.Sprintf("ProutReserve.Ownership %d", typ), func(t *testing.T) {
			l := newLab(t, nil)
			l.a.join(1)
			l.b.join(2)
			l.a.reserve(typ, 1)
			l.a.good(out24(actRegister, 0, 1, 0, 0))
			if typ.forAll() {
				l.a.wantReservation(typ, 0)
				l.b.good(out24(actRelease, typ, 2, 0, 0))
			}
			l.a.wantReservation(0, 0)
			l.b.ua()
			l.b.good(out24(actRegister, 0, 2, 0, 0))
		})
	}
}
