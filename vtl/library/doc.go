// Package library is the inventory of a tape library and its robot: which cartridge is where,
// how it gets elsewhere, and what is kept of that over a restart. The medium changer (smc) and
// the people who administer it (the control socket) ask the same Library.
//
// A Place is a drive, slot or mailslot, numbered from 1, or the vault: the shelf outside of
// the library, where there is room for all cartridges. What the standards call element
// addresses are the model's, and made of Places in elements.go alone.
//
// # What survives
//
// The inventory is one bbolt file (docs/formats/inventory.md). Each cartridge has one record,
// with its one place in it, so that no crash leaves it in two places or in none; whatever
// changes place changes it in one transaction, which is durable before anyone is told. Memory
// holds a copy, by place and by barcode, made at the start. The order of a move is: take the
// cartridge out of a drive (its data become durable), commit, put it into the other drive. A
// cartridge that the inventory has in a drive is put into it again at the start.
//
// What a cartridge is (barcode, kind, WORM) its own store knows; the inventory keeps a copy,
// and the cartridge is right when they differ. A stored cartridge that the inventory does not
// know goes to the vault; one that the inventory knows and is not stored stays where it is, as
// an exception.
//
// Lock order: robot, Library.mu, then the locks of a drive. The robot is held over I/O and
// calls into drives, mu never.
package library
