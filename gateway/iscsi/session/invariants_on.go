//go:build invariants

package session

// invariants: what crosses the seam to the core is checked (task.check), and a breach is a
// panic where it was made.
const invariants = true
