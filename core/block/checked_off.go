//go:build !invariants

package block

// Checked is s itself: what crosses the seam between a disk and its store is checked in
// builds with the tag invariants only.
func Checked(s Store, _ int64) Store { return s }
