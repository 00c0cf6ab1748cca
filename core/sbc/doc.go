// Package sbc is a direct-access block device (SBC-4): the block commands, carried
// out over a block.Store.
//
//	CDB -- row, lengths (core) --> LBA range check --> range lock --> store
//
// READ and WRITE make one call of the store and nothing else: no lock, no
// allocation. What must not mix with other writes of the same blocks (COMPARE AND
// WRITE, ORWRITE, WRITE ATOMIC, WRITE SAME, UNMAP, FORMAT UNIT, SANITIZE) takes a
// range lock, and only while one is held do writes look at more than two atomic
// counters.
//
// A command that the store cannot do has no row: no UNMAP without deallocation, no
// GET LBA STATUS without extents.
//
// What must survive a restart (docs/formats/disk.md): FORMAT UNIT and SANITIZE, which
// begin again, and the WRITE ATOMIC that a crash tears.
//
// Order: a hold of the range lock, then the journal's token; both may be kept over a
// call of the store. Disk.opMu and rangeLock.mu are leaves, and are not.
package sbc
