// Package scsi holds the words of SAM and SPC as types and constants: status
// codes, device types, task attributes, LUNs. It imports nothing of ours.
package scsi

import "fmt"

// Status is a SCSI status code (SAM-6, 5.3.1).
type Status uint8

// Status codes.
const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02
	ConditionMet        Status = 0x04
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	ACAActive           Status = 0x30
	TaskAborted         Status = 0x40
)

func (s Status) String() string {
	switch s {
	case Good:
		return "GOOD"
	case CheckCondition:
		return "CHECK CONDITION"
	case ConditionMet:
		return "CONDITION MET"
	case Busy:
		return "BUSY"
	case ReservationConflict:
		return "RESERVATION CONFLICT"
	case TaskSetFull:
		return "TASK SET FULL"
	case ACAActive:
		return "ACA ACTIVE"
	case TaskAborted:
		return "TASK ABORTED"
	}
	return fmt.Sprintf("status %#02x", uint8(s))
}

// DeviceType is the PERIPHERAL DEVICE TYPE field of INQUIRY (SPC-6, 6.7.2).
type DeviceType uint8

// Peripheral device types that targate emulates or answers for.
const (
	DirectAccess  DeviceType = 0x00
	Sequential    DeviceType = 0x01
	CDDVD         DeviceType = 0x05
	MediumChanger DeviceType = 0x08
	NoDevice      DeviceType = 0x1f
)

// Dir is the direction of a command's data phase, named from the initiator.
type Dir uint8

// Directions. Both is a bidirectional command.
const (
	None Dir = 0
	In   Dir = 1 // from the device server to the initiator (READ)
	Out  Dir = 2 // from the initiator to the device server (WRITE)
	Both Dir = In | Out
)

func (d Dir) String() string { return [...]string{"none", "in", "out", "both"}[d&3] }

// TaskAttr is a task attribute (SAM-6, 8.6).
type TaskAttr uint8

// Task attributes, in the coding of the iSCSI ATTR field (RFC 7143, 11.3.1).
const (
	Untagged    TaskAttr = 0
	Simple      TaskAttr = 1
	Ordered     TaskAttr = 2
	HeadOfQueue TaskAttr = 3
	ACA         TaskAttr = 4
)

// LBA is a logical block address.
type LBA uint64

// NACA is the bit of the CONTROL byte that asks for an auto contingent
// allegiance (SAM-6, 5.2).
const NACA = 0x04

// Version codes of the INQUIRY VERSION field.
const VersionSPC4 = 0x06
