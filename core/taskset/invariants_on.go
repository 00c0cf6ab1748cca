//go:build invariants

package taskset

// invariants: a transition that the drawing does not have is a panic.
const invariants = true
