package ssc

import "sync/atomic"

// Stats counts what a drive did since it was made. The log pages report it; what concerns the
// contents of a cartridge is in medium.Partition.
type Stats struct {
	// Blocks and bytes, as the initiators see them.
	BlocksWritten, BytesWritten atomic.Uint64
	BlocksRead, BytesRead       atomic.Uint64
	FilemarksWritten            atomic.Uint64

	WriteErrors, ReadErrors atomic.Uint64 // that were not recovered

	Loads, Unloads   atomic.Uint64
	Cleanings        atomic.Uint64
	Locates, Rewinds atomic.Uint64 // LOCATE and SPACE; REWIND
	Erases, Formats  atomic.Uint64
	Flushes          atomic.Uint64 // of the medium, by whatever command
	Verified         atomic.Uint64 // blocks
	Overwrites       atomic.Uint64 // commands that recorded in front of existing data
	FailedLoads      atomic.Uint64
	EarlyWarnings    atomic.Uint64
	VolumeOverflows  atomic.Uint64
}
