//go:build !invariants

package taskset

const invariants = false

// unlock gives up the lock.
func (s *Set) unlock() { s.mu.Unlock() }
