// Package core is a SCSI target without a transport: the command, the logical unit
// around a handler, and what the standards demand of every device.
//
//	transport                      core                                handler
//	---------                      ----                                -------
//	session.Accept -- Parse -----> row, reserved bits, lengths
//	                  Enter -----> task set: Dormant or Enabled
//	   (data phase)
//	                  Submit ----> Running; gates (UA, write protect) --> Execute
//	   response  <-- true -------- status, sense <----------------------- error
//	   response  <-- Port.Done --- from a worker, when Execute would block
//
// Lock order: Nexus.mu, Unit.mu, Path.mu, taskset.Set.mu. None is held over a call
// to a handler or a Port.
package core
