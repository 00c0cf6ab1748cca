// Package tape checks a tape library from the wire: SSC, SMC and the parts of SPC that
// programs for tapes rely on, through iSCSI.
//
// Most cases are lines of testdata/*.txt, which step.go reads: a name, and the steps of it.
// A step is a command in short, and what has to come of it:
//
//	w 1000            WRITE(6) of one block of 1000 bytes; x3 after it: three of them
//	r 1000 #2         READ(6) of 1000 bytes, and they are those of the second block that was written
//	r 500 -> ili info=-500
//
// Without an arrow a step must end in GOOD. The residual of iSCSI is checked for each READ: what was
// not transferred. The other cases are Go, in the files named after their subjects.
package tape
