//go:build invariants

package buf

// poison mangles freed buffers, so that a use after Free shows in any test that
// looks at data.
const poison = true
