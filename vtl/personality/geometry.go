package personality

import (
	"math"
	"time"
)

// Track is where a place of the recorded tape lies, from 0 at its beginning to 1 at its end: on which
// wrap, and how far from the beginning of the tape, as a share of its length. The head goes over the tape once for
// each wrap, there and back.
func (m *Media) Track(place float64) (wrap int, along float64) {
	n := max(1, m.Wraps)
	whole, rest := math.Modf(min(max(place, 0), 1) * float64(n))
	if int(whole) >= n { // the very end
		whole, rest = float64(n-1), 1
	}
	wrap = int(whole)
	if wrap%2 == 1 {
		rest = 1 - rest
	}
	return wrap, rest
}

// TravelTime is how long a drive with timing t takes from one place to another.
func (m *Media) TravelTime(t Timing, from, to float64) time.Duration {
	// To set the head on another wrap, or to stop and turn, takes as long as a hundredth of the tape.
	const turn = 0.01
	wa, a := m.Track(from)
	wb, b := m.Track(to)
	distance := math.Abs(a - b)
	if wa != wb || (b < a) != (wa%2 == 1) && a != b {
		distance += turn
	}
	return time.Duration(distance * float64(t.Locate))
}
