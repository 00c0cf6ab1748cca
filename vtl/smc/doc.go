// Package smc is a medium changer (SMC-3): a core.Handler over a library. The library knows which
// cartridge is where and moves it; this package is CDBs, element addresses and sense data.
//
// Reservations, unit attentions and asymmetric access are the core's. RESERVE and RELEASE of
// single elements, which SMC-3 made obsolete, are not supported.
//
// Lock order: Changer.mu, then those of the library. The library calls back with no lock held.
package smc
