// Package conformance runs real clients of others against targate: libiscsi's
// iscsi-test-cu and tools, QEMU's block layer, fio.
//
// iscsi-test-cu counts a test that it skips as passed. Here each skip must stand on
// the list skips.txt with its reason, and each entry of that list must still be
// skipped.
package conformance
