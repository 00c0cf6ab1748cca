// Package soak lets many sessions do a random mixture of everything against a few disks,
// and compares each block that is read with a model of the medium. Each session writes to
// blocks of its own, so that the model is exact: a block holds what was written last or,
// when a later write was aborted or its session lost, either of the two.
//
// The mixture has reads, writes of all kinds, copies, reservations, mode pages, task
// management up to TARGET COLD RESET, logouts, dropped and reinstated sessions. All the
// while the configuration changes: a LUN comes, shows another disk and goes with its device,
// a group takes sessions in and lets them go, a disk grows.
package soak
