// Package initiator is a small iSCSI initiator for tests. It shares no code with
// the target that it tests: it has its own reading of RFC 7143.
//
// There are three layers, each usable alone:
//
//	Conn     sends and receives whole PDUs, with digests; no protocol state
//	Login    takes a Conn to the full feature phase with any keys and CHAP
//	Session  numbers commands, answers R2Ts and NOPs, matches responses to tasks
//
// A test of odd behaviour writes PDUs on a Conn by hand; one that needs a
// working session calls Dial and then Do for each SCSI command.
package initiator
