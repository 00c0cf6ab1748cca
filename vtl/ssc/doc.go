// Package ssc is a tape drive (SSC-5): a core.Handler over a medium.Medium.
//
// What a drive does is of two kinds. Commands to the medium, and whatever else moves the
// tape, hold the token Drive.tape, one at a time: the core hands them over in order of
// arrival (core.Serial), an immediate operation keeps the token after its status, and the robot
// takes it for Insert and Remove. The others (INQUIRY, MODE SENSE, LOG SENSE, REQUEST
// SENSE, TEST UNIT READY) run beside them. Drive.mu guards what both look at: who holds the
// token changes it under mu, and reads it without.
//
//	drive.go     the drive as a core.Handler, its state, how a command gets the tape
//	table.go     the rows, one table per group of commands, each in the file of its commands
//	robot.go     the side of the robot: Insert, Remove, Eject, State
//	load.go      loading and unloading
//	operation.go immediate operations, times of motion
//	position.go  where the tape stands: READ POSITION, LOCATE, REWIND; space.go
//	read.go, write.go, append.go, erase.go, format.go, verify.go
//	partition.go the Medium Partition page, and what FORMAT MEDIUM makes of it
//	modes.go     mode pages, header and block descriptor
//	errors.go    what errors of the medium are as sense data
//
// Lock order: Drive.tape, then Drive.mu, then the Medium.
package ssc
