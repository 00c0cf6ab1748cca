// Package vtl is a virtual tape library: tape drives, a medium changer, and their
// cartridges, as handlers on the core. Neither core nor gateway knows what a tape is.
//
//	vtl/personality   one data file per model: identities, pages, element addresses, quirks
//	vtl/medium        what a drive and the contents of a cartridge say to each other
//	vtl/cartridge     the contents on disk: segments, generations, recovery
//	vtl/pool          a directory of cartridges, and how long their generations stay
//	vtl/ssc           the tape drive (SSC-5) over a medium
//	vtl/library       inventory: which cartridge is where, and how it moves
//	vtl/smc           the medium changer (SMC-3) over a library
//	vtl/fault         times of real mechanics, and faults on demand
//	vtl/image         tape images of other programs, in and out
//	vtl/contents      what is on a tape, without a drive
//
// Arrows: smc -> library -> ssc -> medium <- cartridge; personality is below all of them.
// Lock order: Library, then Drive, then Medium. None is held over a callback into a
// package above.
package vtl
