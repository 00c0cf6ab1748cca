package manage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/core/alua"
)

// withALUA is base with target port groups.
func withALUA(explicit, implicit bool, groups ...string) string {
	return base + fmt.Sprintf("alua: {explicit: %v, implicit: %v, groups: [%s]}\n", explicit, implicit, strings.Join(groups, ", "))
}

// groups shows the target port groups: "1 standby preferred".
func (w *world) groups() []string {
	w.t.Helper()
	v, err := w.mg.ALUA()
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for _, g := range v.Groups {
		s := fmt.Sprintf("%d %v", g.Tag, g.State)
		if g.Preferred {
			s += " preferred"
		}
		list = append(list, s)
	}
	return list
}

func TestALUA(t *testing.T) {
	w := newWorld(t)
	one := withALUA(true, true, "{tag: 1, preferred: true}")
	w.apply(one)
	w.want("first", w.groups(), "1 active/optimized preferred")
	if bits := w.mg.devices["a"].unit.TPGS(); bits != 3 {
		t.Errorf("TPGS %d", bits)
	}

	two := withALUA(true, true, "{tag: 1, state: active/non-optimized}", "{tag: 2, state: standby}")
	w.want("changes", w.apply(two), "change target port group 1: active/non-optimized", "add target port group 2: standby")
	w.want("applied", w.groups(), "1 active/non-optimized", "2 standby")

	// What is set by other means stays: over an apply of the same file and a restart.
	if err := w.mg.SetALUA(t.Context(), 2, alua.Unavailable); err != nil {
		t.Fatal(err)
	}
	w.want("no changes", w.apply(two))
	w.want("set", w.groups(), "1 active/non-optimized", "2 unavailable")
	w.restart()
	w.apply(two)
	w.want("restarted", w.groups(), "1 active/non-optimized", "2 unavailable")

	if err := w.mg.SetALUA(t.Context(), 3, alua.Standby); !errors.Is(err, alua.ErrNoGroup) {
		t.Errorf("a group that is not: %v", err)
	}
	for text, want := range map[string]string{
		one:  "target port group 2 cannot go",
		base: "alua cannot come or go",
		strings.Replace(two, "explicit: true", "explicit: false", 1): "cannot change explicit or implicit",
	} {
		_, err := w.mg.Apply(t.Context(), w.parse(text))
		if c := (*Conflict)(nil); !errors.As(err, &c) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestALUAByInitiators refuses what administration may not do.
func TestALUAByInitiators(t *testing.T) {
	w := newWorld(t)
	w.apply(withALUA(true, false, "{tag: 1}"))
	if err := w.mg.SetALUA(t.Context(), 1, alua.Standby); !errors.Is(err, alua.ErrImplicit) {
		t.Error(err)
	}
	_, err := w.mg.Apply(t.Context(), w.parse(withALUA(true, false, "{tag: 1, state: standby}")))
	if c := (*Conflict)(nil); !errors.As(err, &c) || !strings.Contains(err.Error(), "for initiators") {
		t.Error(err)
	}
}

// TestALUAUndone begins with a configuration that fails, then with one without groups.
func TestALUAUndone(t *testing.T) {
	w := newWorld(t)
	w.failListen = "127.0.0.1:3260"
	if _, err := w.mg.Apply(t.Context(), w.parse(withALUA(true, true, "{tag: 1}"))); err == nil {
		t.Fatal("applied")
	}
	w.failListen = ""
	w.apply(base)
	if _, err := w.mg.ALUA(); !errors.Is(err, ErrNoALUA) {
		t.Error(err)
	}
	if bits := w.mg.devices["a"].unit.TPGS(); bits != 0 {
		t.Errorf("TPGS %d", bits)
	}
	if !slices.Contains(w.took(), "close a") {
		t.Error("the device of the first configuration is open")
	}
}
