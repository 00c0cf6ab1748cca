// Package fault stands between a tape drive and its cartridge, and makes tapes behave badly on
// demand: for trying what backup software does then. It also makes them as slow as real
// ones (Times).
//
// A scenario is rules, one on a line or separated by semicolons, each a verb and key=value pairs;
// what follows a # is a comment:
//
//	seed  value=42                      of all chance in the scenario, for the same faults again
//	fail  class=medium                  do nothing and fail
//	delay time=5s                       wait that long
//	hold  while=FILE                    wait for as long as FILE exists: a stuck drive
//	alert flag=20                       raise a TapeAlert flag
//	clean                               the drive asks to be cleaned
//	drop                                the sessions that see the drive end
//
// Classes of failure:
//
//	medium    a bad spot: UNRECOVERED READ ERROR, or WRITE ERROR (MEDIUM ERROR)
//	hardware  INTERNAL TARGET FAILURE (HARDWARE ERROR)
//	stuck     MEDIA LOAD OR EJECT FAILED (MEDIUM ERROR); of the robot, MECHANICAL POSITIONING ERROR
//	          (HARDWARE ERROR)
//	position  POSITIONING ERROR DETECTED BY READ OF MEDIUM (MEDIUM ERROR); of the robot, MECHANICAL
//	          POSITIONING OR CHANGER ERROR (HARDWARE ERROR)
//	memory    AUXILIARY MEMORY READ or WRITE ERROR (MEDIUM ERROR)
//	no-space  the storage of the cartridge is full
//	gone      the storage of the cartridge is gone
//
// Every rule but seed takes these keys too, and applies when all of them do:
//
//	op=read|write|filemark|flush|erase|format|attribute|load|unload|locate|rewind|clean
//	                  which operations, several with commas; all of these if absent
//	op=move|scan      of the robot: a cartridge is moved, barcodes are read
//	drive=2           of which drive, from 1 on; which drive a cartridge is moved from or to
//	tape=TG00*        with which cartridge: a barcode, * is any run of characters
//	partition=1       where on the tape
//	object=100..200   which logical objects, both ends included
//	after=10GiB       once the drive has moved that much data since the rule was set
//	while=FILE        only while FILE exists
//
// and these, which choose among the operations to which it applies:
//
//	nth=3             the third only
//	every=5           every fifth; with nth=3 the third, the eighth, ...
//	rate=0.001        one in a thousand, by chance
//	times=2           at most twice
//
// All rules that apply act, in the order in which they stand, up to the first that fails.
package fault
