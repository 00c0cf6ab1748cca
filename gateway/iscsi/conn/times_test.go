package conn

import (
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/session"
)

// TestLatency: the commands that are measured stand for all of them, whatever the depth of the
// batches, and those that go to a worker are measured every time.
func TestLatency(t *testing.T) {
	p := params(false)
	pool := buf.NewPool(8 << 20)
	s, d, notify := fixture(t, 1<<20, p, pool)
	d.inline = true
	path := s.Nexus().Path(0)
	c := &Conn{pool: pool, s: s, maxData: int(p.MaxRecvDataSegmentLength), now: new(atomic.Int64)}
	c.raw = discard{c}
	*notify = c.Notify
	sn := uint32(1)
	batch := func(depth int) {
		c.acquire()
		c.mu.Lock()
		s.Received(latency.Now())
		for range depth {
			c.feed(frame(scsiCommand(0x28, sn, sn, 0, 1, pdu.Final|pdu.CmdRead), nil, false))
			sn++
		}
		if err := c.parse(); err != nil {
			t.Fatal(err)
		}
		c.finishBatch()
	}
	const n = 32 * latency.Every * 30
	for range n / 32 {
		batch(32)
	}
	l := path.Latency()
	for _, st := range []latency.Stage{latency.Parse, latency.Execute, latency.Send, latency.Total} {
		// The gaps are uniform in 0 to 126: over 960 of them the mean is off by 10% in one
		// run of 10^5.
		if got := l[latency.Read][st].Count(); got < n*9/10 || got > n*11/10 {
			t.Errorf("%v: %d commands, there were %d", st, got, n)
		}
	}
	if l[latency.Read][latency.Data].Count() != 0 || l[latency.Read][latency.Wait].Count() != 0 ||
		l[latency.Write][latency.Total].Count() != 0 {
		t.Error("stages that no command went through are counted")
	}

	d.inline = false // every third goes to a worker
	before := path.Latency()[latency.Read][latency.Wait].Count()
	for range 20 {
		batch(3)
	}
	for left := 1; left > 0; {
		c.Do(func(s *session.Session) { left = s.Outstanding() })
	}
	got, want := path.Latency()[latency.Read][latency.Wait].Count()-before, path.Stats().Blocked
	if got != want || want == 0 {
		t.Errorf("%d commands waited for a worker, there were %d", got, want)
	}
	c.abandon()
	<-c.Shut()
}
