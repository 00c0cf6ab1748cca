// Package session is the full feature phase of an iSCSI session (RFC 7143): the
// CmdSN window, commands and their data phases, task management, NOP, text and
// logout. It has no socket, no clock and no goroutine: PDUs go into Accept, and what
// is to be sent collects in Out. So an exchange is a text file under testdata.
//
//	Accept(SCSI Command) -- all data there? -- yes --> run --> Data-In / Response
//	        |                                               \
//	        no: Enter the task set, R2T                       blocks: a worker; Done
//	        |                                                  queues it, Drain answers
//	Accept(Data-Out) -- last one --> Submit --> ...
//
// One goroutine at a time may call into a Session (the connection's lock); only
// task.Done and the notify function that it calls run elsewhere.
package session
