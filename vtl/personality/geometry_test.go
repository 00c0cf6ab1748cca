package personality

import (
	"testing"
	"time"
)

func TestTravelTime(t *testing.T) {
	m := &Media{Wraps: 4}
	timing := Timing{Locate: 100 * time.Second}
	for _, c := range []struct {
		name     string
		from, to float64
		want     time.Duration
	}{
		{"nowhere", 0.3, 0.3, 0},
		{"along the first wrap", 0, 0.125, 50 * time.Second},
		{"back on the first wrap", 0.125, 0, 51 * time.Second},
		{"to the same place on the second wrap", 0.125, 0.375, 1 * time.Second},
		{"to the end, which lies at the beginning", 0, 1, 1 * time.Second},
		{"to the middle of the last wrap", 0, 0.875, 51 * time.Second},
	} {
		if got := m.TravelTime(timing, c.from, c.to).Round(time.Millisecond); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if wrap, along := (&Media{Wraps: 1}).Track(1); wrap != 0 || along != 1 {
		t.Errorf("one wrap ends at %d, %v", wrap, along)
	}
}
