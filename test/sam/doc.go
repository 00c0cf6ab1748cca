// Package sam is a conformance suite of this project's own, against the wire: what SAM,
// SPC, SBC and iSCSI demand of a target and libiscsi's tool does not try. One server of
// the real program serves disks in memory, in a file and nowhere; test/initiator talks to
// it. Each case has the clause that it is about in its name: SAM is SAM-6, SPC is SPC-6,
// SBC is SBC-4, a bare number is an RFC.
//
// Disks whose name ends in "held" have a filter that tells when a call to the store begins
// and keeps it for as long as a file exists, so what a case observes is the medium itself.
//
// The tests have the build tag system; `make conformance-sam` runs them.
package sam
