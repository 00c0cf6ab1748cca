package ssc

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/personality"
)

// On a tape of many wraps the recommended order takes much less time than that of the objects, and has the
// same segments.
func TestRecommendedOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	tr := tour{media: &personality.Media{Wraps: 280}, timing: personality.Timing{Locate: 100 * time.Second, Unload: 20 * time.Second},
		place: func(_ int, object uint64) float64 { return min(1, float64(object)/1e6) }}
	var list []segment
	for i := range 300 {
		begin := rnd.Uint64N(1e6 - 100)
		list = append(list, segment{name: [10]byte{byte(i), byte(i >> 8)}, begin: begin, end: begin + 1 + rnd.Uint64N(50)})
	}
	byObject := slices.Clone(list)
	slices.SortFunc(byObject, func(a, b segment) int { return int(a.begin) - int(b.begin) })
	got := tr.reorder(0, 0, list)
	slow, fast := tr.times(0, 0, byObject), tr.times(0, 0, got)
	t.Logf("%v in order of objects, %v as recommended", slow, fast)
	if fast > slow/2 {
		t.Errorf("%v in order of objects, %v as recommended", slow, fast)
	}
	if len(got) != len(list) {
		t.Fatalf("%d segments of %d", len(got), len(list))
	}
	names := map[[10]byte]bool{}
	for _, s := range got {
		names[s.name] = true
	}
	if len(names) != len(list) {
		t.Error("segments are lost")
	}
}

// Binding points stay where they are.
func TestBindingPoints(t *testing.T) {
	tr := tour{media: &personality.Media{Wraps: 4}, timing: personality.Timing{Locate: 100 * time.Second, Unload: 20 * time.Second},
		place: func(_ int, object uint64) float64 { return min(1, float64(object)/1000) }}
	list := []segment{{begin: 500, end: 500}, {begin: 900, end: 910}, {begin: 510, end: 520}, {begin: 0, end: 0}}
	got := tr.reorder(0, 0, list)
	tr.times(0, 0, got)
	if got[0].begin != 500 || got[1].begin != 510 || got[2].begin != 900 || !got[3].unloaded() {
		t.Errorf("%+v", got)
	}
	if got[3].locate < 20*time.Second {
		t.Errorf("the unloaded position is reached in %v", got[3].locate)
	}
}

func TestAccessOrderCommands(t *testing.T) {
	d := driveOf(t, "ibm-ult3580-td9")
	u := coretest.NewUnit(t, d, nil)
	insert(t, d, "TG0001L9", 64, false)
	p := coretest.NewPath(t, u)
	do := func(out []byte, cdb ...byte) coretest.Result { return coretest.Do(p, cdb, out, 1<<20) }
	receive := []byte{0xa3, 0x1d, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	if r := do(nil, receive...); !r.Is(sense.IllegalRequest, sense.CommandSequenceError) {
		t.Errorf("before a list: %v", r)
	}
	if r := do(nil, 0xa3, 0x9d, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0); !r.Good() || binary.BigEndian.Uint16(r.Data[4:]) != maxSegments {
		t.Errorf("limits: %v, % x", r, r.Data)
	}
	for range 100 {
		if r := do(make([]byte, 256<<10), 0x0a, 0, 4, 0, 0, 0); !r.Good() {
			t.Fatal(r)
		}
	}
	list := func(segments ...segment) []byte {
		b := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(segments)*segmentLen))
		for _, s := range segments {
			b = s.append(b)
		}
		return b
	}
	generate := func(b []byte) coretest.Result {
		return do(b, 0xa4, 0x1d, 2, 0, 0, 0, 0, 0, byte(len(b)>>8), byte(len(b)), 0, 0)
	}
	if r := generate(list(segment{begin: 50, end: 60}, segment{begin: 10, end: 20})); !r.Good() {
		t.Fatal(r)
	}
	r := do(nil, receive...)
	if !r.Good() || binary.BigEndian.Uint32(r.Data[4:]) != 2*segmentLen || len(r.Data) != orderHeader+2*segmentLen {
		t.Fatalf("%v, % x", r, r.Data)
	}
	got, err := parseSegments(r.Data)
	if err != nil || len(got) != 2 {
		t.Fatal(err, got)
	}
	if r := do(nil, 0xa3, 0x1d, 0, 0, 0, segmentLen, 0, 1, 0, 0, 0, 0); len(r.Data) != orderHeader+segmentLen {
		t.Errorf("the second one: %v, % x", r, r.Data)
	}
	for name, b := range map[string][]byte{
		"no such partition": list(segment{partition: 1, begin: 1, end: 2}),
		"no such object":    list(segment{begin: 1000, end: 1001}),
		"the end first":     list(segment{begin: 20, end: 10}),
	} {
		if r := generate(b); !r.Is(sense.IllegalRequest, sense.InvalidFieldInParameterList) {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r := generate(list(segment{begin: 1, end: 2})[:20]); !r.Is(sense.IllegalRequest, sense.ParameterListLengthError) {
		t.Errorf("cut: %v", r)
	}
}

// FuzzSegments: a list that is taken is the same when it is written again.
func FuzzSegments(f *testing.F) {
	f.Add(append([]byte{0, 0, 0, 0, 0, 0, 0, 32}, segment{begin: 1, end: 2}.append(nil)...))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseSegments(b)
		if err != nil {
			return
		}
		again := binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(list)*segmentLen))
		for _, s := range list {
			again = s.append(again)
		}
		second, err := parseSegments(again)
		if err != nil || !slices.Equal(list, second) {
			t.Fatalf("%v: %+v, %+v", err, list, second)
		}
	})
}
