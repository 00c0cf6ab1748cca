// Package cartridge is the contents of tape cartridges on disk: a log in append-only segments,
// from which every generation of the tape can be read. docs/formats/cartridge.md gives the
// bytes, and says what is durable when.
//
// The way of a block: Write puts it into the open frame; a full frame is compressed and
// encrypted on a goroutine of its own, some at once, and written when the one before it is
// (process); Flush waits for them and has the committer of the pool sync the files. Large blocks that
// are not compressed are written by Write itself. A read looks the object up in the view
// (stretches, in memory), then in the table of the stretch (from the footer of its segment, cached),
// and reads the frame.
//
// Lock order: Cartridge.wmu (recording is a sequence; held over I/O), then Cartridge.mu, then
// those of the caches and the committer. mu is not held over I/O, but for entries of the
// catalog.
package cartridge
