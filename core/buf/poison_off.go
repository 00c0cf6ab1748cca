//go:build !invariants

package buf

const poison = false
