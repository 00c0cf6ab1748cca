// Package copy is third-party copy: the copy manager of SPC-4, 5.17. It carries out
// EXTENDED COPY, and the commands that populate and use ROD tokens, between any two
// logical units that the I_T nexus of the command sees.
//
//	EXTENDED COPY ----> parse ----> resolve ------> validate ---> move, segment by segment
//	WRITE USING TOKEN   descriptors designators     capacity,     READ(16) here,
//	                                to paths        block sizes   WRITE(16) there
//
// Every read and write of a copy is a visit (core.Path.Visit): a READ(16) or WRITE(16)
// that passes the gates of the unit that it goes to. So reservations, write protection,
// access states, capacity and the disk's own locks hold for a copy as for a command, at
// every chunk anew, and task management of either unit ends it safely: an initiator that
// is fenced off in the middle of a copy writes nothing more.
//
// What a copy holds in memory is one chunk, and the number of copies is bounded. Nothing
// survives a restart: list identifiers and tokens are unknown then.
//
// ROD tokens are of the type access upon reference (SPC-4, ROD types): a token stands for
// blocks, not for what they held when it was made. What is written to them between
// POPULATE TOKEN and WRITE USING TOKEN is what the latter copies.
//
// Lock order: Service.mu and tokens.mu are leaves.
package copy
