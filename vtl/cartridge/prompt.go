package cartridge

import "github.com/targate/targate/vtl/medium"

var _ medium.Prompter = (*Cartridge)(nil)

// PromptRead says whether a block is in memory (medium.Prompter): it waits to be written, or its frame
// was read for another.
func (m *Cartridge) PromptRead(p int, object uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.checkPartition(p) == nil && (object >= m.state.parts[p].objects || m.waiting(p, object) != nil)
}

// PromptWrite says whether a block can be recorded without waiting for those before it
// (medium.Prompter). What goes to the operating system is not waited for.
func (m *Cartridge) PromptWrite(p int, at uint64, n int) bool {
	if !m.wmu.TryLock() {
		return false
	}
	defer m.wmu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.usable() != nil || m.broken != nil || m.lost != nil || m.checkPartition(p) != nil {
		return false
	}
	x := &m.state.parts[p]
	return at == x.objects && int64(n) <= x.capacity-x.used && len(m.pending) < maxInFlight &&
		(len(m.pending) == 0 || m.pending[0].partition == p && m.incompressible <= 4)
}
