package ssc

// overwrite is what ALLOW OVERWRITE has permitted, in append-only mode, until the position changes.
type overwrite uint8

const (
	overwriteNone overwrite = iota
	overwriteHere
	overwriteFormat
)
