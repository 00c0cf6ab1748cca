//go:build !invariants

package session

const invariants = false
