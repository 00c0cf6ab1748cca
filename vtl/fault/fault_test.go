package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
)

func parse(tb testing.TB, text string) *Scenario {
	tb.Helper()
	s, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// rig is an Injector with a scenario, and a tape in drive 1.
func rig(tb testing.TB, text string, o Options) (*Injector, medium.Medium) {
	tb.Helper()
	in := NewInjector(o)
	in.Set(parse(tb, text))
	m, err := memtape.New(medium.Info{Barcode: "TG0001L8", Type: "LTO-8"}, 1<<30).Mount(false)
	if err != nil {
		tb.Fatal(err)
	}
	return in, in.Medium(1, m)
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"break":                           "a rule begins with one of seed, fail, delay, hold, alert, clean, drop",
		"fail":                            `fail needs the key "class"`,
		"fail class=odd":                  `class "odd" is not one of medium, hardware`,
		"fail class=medium class=stuck":   `"class" is there twice`,
		"fail class=medium time=5s":       `fail has no key "time"`,
		"fail class=medium op=reed":       `op "reed" is not one of read, write`,
		"fail class=medium drive=0":       "drive is a number from 1 to",
		"fail class=medium partition=4":   "partition is a number from 0 to 3",
		"fail class=medium object=5..1":   "object is a logical object",
		"fail class=medium rate=1.5":      "rate is above 0 and at most 1",
		"fail class=medium rate=NaN":      "rate is above 0 and at most 1",
		"fail class=medium nth=0":         "nth is a number above zero",
		"fail class=medium after=9EiB":    "after is a size",
		"fail class=medium while=here":    "while is an absolute path",
		"fail class=medium tape=[":        "syntax error in pattern",
		"fail class=medium tape":          `"tape" is not key=value`,
		"delay time=-1s":                  "time is a duration",
		"alert flag=65":                   "flag is a number from 1 to 64",
		"seed value=x":                    "value is a number",
		"seed value=1 op=read":            `seed has no key "op"`,
		"clean # well\n\n; oops; drop x=": "line 3: \"oops\": a rule begins",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	var line *LineError
	if _, err := Parse("drop\nfail\nclean"); !errors.As(err, &line) || line.Line != 2 {
		t.Errorf("the line: %v", err)
	}
	for _, text := range []string{"", "# nothing\n", ";;\n"} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "faults.txt")
	if _, err := Load(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("drop\nfoo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.HasPrefix(err.Error(), file+": line 2: ") {
		t.Error(err)
	}
}

// TestChoice: which of ten reads of the objects 0 to 9 fail.
func TestChoice(t *testing.T) {
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys string
		want []int
	}{
		{"", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"op=read,write", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"op=write", nil},
		{"drive=1 tape=TG*L8 partition=0", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"drive=2", nil},
		{"tape=TG0002L8", nil},
		{"partition=1", nil},
		{"object=7", []int{7}},
		{"object=2..4", []int{2, 3, 4}},
		{"nth=3", []int{2}},
		{"every=3", []int{2, 5, 8}},
		{"every=3 nth=1", []int{0, 3, 6, 9}},
		{"every=2 nth=5", []int{4, 6, 8}},
		{"object=5..9 nth=2", []int{6}},
		{"times=2", []int{0, 1}},
		{"every=2 times=2", []int{1, 3}},
		{"after=4", []int{4, 5, 6, 7, 8, 9}}, // one byte each
		{"while=" + there, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"while=" + there + ".not", nil},
		{"rate=1", []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
	} {
		in, m := rig(t, "", Options{})
		for i := range uint64(10) {
			if err := m.Write(0, i, []byte{byte(i)}, medium.Recording{}); err != nil {
				t.Fatal(err)
			}
		}
		in.Set(parse(t, "fail class=medium "+c.keys))
		var failed []int
		for i := range 10 {
			if _, err := m.Read(0, uint64(i), make([]byte, 1), nil); err != nil {
				failed = append(failed, i)
			}
		}
		if !slices.Equal(failed, c.want) {
			t.Errorf("%s: %v, want %v", c.keys, failed, c.want)
		}
		if got := in.Rules(); len(got) != 1 || got[0].Applied != uint64(len(c.want)) || got[0].Hits < got[0].Applied {
			t.Errorf("%s: %+v", c.keys, got)
		}
	}
}

// TestSeed: chance is the same with the same seed, and another with another.
func TestSeed(t *testing.T) {
	run := func(seed int) string {
		_, m := rig(t, fmt.Sprintf("seed value=%d\nfail class=medium rate=0.3 op=write", seed), Options{})
		var b strings.Builder
		for range 100 {
			fmt.Fprint(&b, m.Write(0, 0, []byte{1}, medium.Recording{}) != nil, " ")
		}
		return b.String()
	}
	first := run(1)
	if again, other := run(1), run(2); first != again || first == other {
		t.Error("not by the seed")
	}
}

// TestClasses: each failure, of each operation; nothing of what failed was done.
func TestClasses(t *testing.T) {
	for _, c := range []struct {
		class string
		op    func(medium.Medium) error
		want  error
	}{
		{"medium", func(m medium.Medium) error { return m.Write(0, 0, []byte{1}, medium.Recording{}) }, sense.New(sense.MediumError, sense.WriteError)},
		{"medium", func(m medium.Medium) error { _, err := m.Read(0, 0, make([]byte, 1), nil); return err }, sense.New(sense.MediumError, sense.UnrecoveredReadError)},
		{"hardware", func(m medium.Medium) error { return m.WriteFilemarks(0, 0, 1) }, sense.New(sense.HardwareError, sense.InternalTargetFailure)},
		{"position", func(m medium.Medium) error { return m.Truncate(0, 0) }, sense.New(sense.MediumError, positioningError)},
		{"stuck", func(m medium.Medium) error { return m.Format([]int64{1 << 20}) }, sense.New(sense.MediumError, loadOrEjectFailed)},
		{"memory", func(m medium.Medium) error {
			return m.SetAttributes(0, medium.Attribute{ID: 0x0800, Value: []byte("x")})
		}, sense.New(sense.MediumError, memoryWriteError)},
		{"no-space", func(m medium.Medium) error { return m.Flush() }, medium.ErrNoSpace},
		{"gone", func(m medium.Medium) error { return m.Flush() }, medium.ErrGone},
	} {
		_, m := rig(t, "fail class="+c.class, Options{})
		if err := c.op(m); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.class, err, c.want)
		}
		if p := m.Partition(0); p.Objects > 0 || len(m.Attributes(0)) > 0 {
			t.Errorf("%s: something was done: %+v", c.class, p)
		}
	}
}

type fakeDrive struct {
	alerts []int
	clean  int
}

func (d *fakeDrive) RaiseAlert(n int) { d.alerts = append(d.alerts, n) }
func (d *fakeDrive) RequireCleaning() { d.clean++ }

// TestEffects: what does not fail, in the order of the rules, up to the first failure.
func TestEffects(t *testing.T) {
	var dropped []int
	in, m := rig(t, "alert flag=20; clean op=write\ndrop\nfail class=hardware op=flush; alert flag=3", Options{Drop: func(d int) { dropped = append(dropped, d) }})
	d := &fakeDrive{}
	in.Bind(1, d)
	if err := m.Write(0, 0, []byte{1}, medium.Recording{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(); err == nil {
		t.Error("no failure")
	}
	if !slices.Equal(d.alerts, []int{20, 3, 20}) || d.clean != 1 || !slices.Equal(dropped, []int{1, 1}) {
		t.Errorf("%+v, dropped %v", d, dropped)
	}
	in.Set(nil)
	if err := m.Flush(); err != nil || len(in.Rules()) > 0 {
		t.Errorf("after the scenario: %v", err)
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, m := rig(t, "delay time=3s op=write; delay time=2s nth=1", Options{})
		begin := time.Now()
		if err := m.Write(0, 0, []byte{1}, medium.Recording{}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("waited %v", d)
		}
	})
}

// TestHold: a hold ends with its file, or with the medium.
func TestHold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hold")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		_, m := rig(t, "hold while="+file, Options{})
		done := make(chan error)
		go func() { done <- m.Flush() }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("not held: %v", err)
		default:
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		go func() { done <- m.Flush() }()
		synctest.Wait()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err == nil {
			t.Error("held beyond the medium, and done")
		}
	})
}

// FuzzParse: no text panics, and a rule that was read means the same when it is read again.
func FuzzParse(f *testing.F) {
	f.Add("seed value=42\nfail class=medium op=read,write object=1..2 nth=3 every=2 times=1 rate=0.5 # comment\n")
	f.Add("hold while=/tmp/x; delay time=5ms drive=1 tape=TG*; alert flag=20 after=1GiB partition=1; clean; drop")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		for _, r := range s.rules {
			again, err := Parse(r.text)
			if err != nil || len(again.rules) != 1 {
				t.Fatalf("%q: %v", r.text, err)
			}
			if a, b := fmt.Sprintf("%+v", again.rules[0]), fmt.Sprintf("%+v", r); a != b {
				t.Errorf("%s\n%s", a, b)
			}
		}
	})
}
