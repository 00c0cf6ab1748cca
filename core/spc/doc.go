// Package spc carries out the primary commands (SPC-6), those that every device type
// has: INQUIRY and its VPD pages, MODE SENSE and MODE SELECT, LOG SENSE and LOG
// SELECT, SEND DIAGNOSTIC, READ BUFFER and WRITE BUFFER. What differs between
// devices is data: a handler embeds a *Device that it made of its own VPD, mode and
// log pages, and joins Ops to its own rows.
//
// REQUEST SENSE, REPORT LUNS and the REPORT SUPPORTED commands are the core's; TEST
// UNIT READY is the device type's, since only it knows what ready means.
//
// Lock order: Device.selecting, Device.mu. The first is held while mode pages are
// saved, so that no two MODE SELECT commands save in another order than they
// publish; the second is a leaf.
package spc
