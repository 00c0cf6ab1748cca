package session

import (
	"math/rand/v2"

	"github.com/targate/targate/core/latency"
)

// Received tells when the PDUs that Accept gets from now on were received (latency.Now).
func (s *Session) Received(now int64) { s.received = now }

// clock begins the times of t and chooses which commands are measured even though they stay
// on this goroutine: one in latency.Every, at random gaps, since batches have a rhythm.
func (s *Session) clock(t *task) {
	t.Times.Received = s.received
	if s.skip == 0 {
		s.skip = rand.Uint32N(2*latency.Every - 1)
		t.Times.Weight = latency.Every
		return
	}
	s.skip--
}

// measured keeps what is known of t until its answer has left.
func (s *Session) measured(t *task) {
	if m, ok := t.Measured(); ok && s.received != 0 {
		s.sent = append(s.sent, m)
	}
}

// Measures reports whether Sent has something to do.
func (s *Session) Measures() bool { return len(s.sent) != 0 }

// Sent tells that all that was queued in Out has been sent at now.
func (s *Session) Sent(now int64) {
	for i := range s.sent {
		s.sent[i].Sent(now)
	}
	clear(s.sent)
	s.sent = s.sent[:0]
}
