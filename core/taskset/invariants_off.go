//go:build !invariants

package taskset

const invariants = false
