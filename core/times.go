package core

import "github.com/targate/targate/core/latency"

// leaves notes that c goes on elsewhere than on its transport's goroutine: it is measured.
func (c *Command) leaves() {
	t := &c.Times
	if t.Complete == 0 {
		t.Admitted = latency.Now()
	}
	t.Weight = 1
}

// Measurement is what is known of a command's times when its response is on the way. It
// outlives the command.
type Measurement struct {
	path  *Path
	class latency.Class
	times latency.Times
}

// Measured is the measurement of a command that has ended. It is false when there is none: the
// command was not chosen, was refused before it could start, or was aborted.
func (c *Command) Measured() (Measurement, bool) {
	if c.Times.Weight == 0 || c.Times.Executed == 0 {
		return Measurement{}, false
	}
	return Measurement{c.Path, c.class(), c.Times}, true
}

// Sent counts the measurement of a command whose response was given to the network at now.
func (m *Measurement) Sent(now int64) { m.path.times.Add(m.class, &m.times, now) }

// Latency is how long the commands of the path took.
func (p *Path) Latency() *latency.Snapshot {
	s := new(latency.Snapshot)
	p.times.Load(s)
	return s
}

// Latency is how long the unit's commands took, those of nexuses that are gone among them.
func (u *Unit) Latency() *latency.Snapshot {
	s := new(latency.Snapshot)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.past != nil {
		s.Add(u.past)
	}
	for p := range u.paths {
		p.times.Load(s)
	}
	return s
}

// ResetLatency forgets what Latency has to say, of the unit and of its paths.
func (u *Unit) ResetLatency() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.past = nil
	for p := range u.paths {
		p.times.Reset()
	}
}

// retire keeps what was counted of a path that goes. u.mu is held.
func (u *Unit) retire(p *Path) {
	if p.times.Empty() {
		return
	}
	if u.past == nil {
		u.past = new(latency.Snapshot)
	}
	p.times.Load(u.past)
}
