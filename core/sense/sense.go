// Package sense models CHECK CONDITION as Go errors and encodes them as fixed
// or descriptor format sense data (SPC-6, 4.4). Nobody else writes sense bytes.
package sense

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/targate/targate/core/scsi"
)

// Key is a SENSE KEY (SPC-6, 4.4.8).
type Key uint8

// Sense keys.
const (
	NoSense        Key = 0x0
	RecoveredError Key = 0x1
	NotReady       Key = 0x2
	MediumError    Key = 0x3
	HardwareError  Key = 0x4
	IllegalRequest Key = 0x5
	UnitAttention  Key = 0x6
	DataProtect    Key = 0x7
	BlankCheck     Key = 0x8
	VendorSpecific Key = 0x9
	CopyAborted    Key = 0xa
	AbortedCommand Key = 0xb
	VolumeOverflow Key = 0xd
	Miscompare     Key = 0xe
	Completed      Key = 0xf
)

var keyNames = [16]string{"NO SENSE", "RECOVERED ERROR", "NOT READY", "MEDIUM ERROR",
	"HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT", "BLANK CHECK",
	"VENDOR SPECIFIC", "COPY ABORTED", "ABORTED COMMAND", "RESERVED (Ch)", "VOLUME OVERFLOW",
	"MISCOMPARE", "COMPLETED"}

func (k Key) String() string { return keyNames[k&15] }

// Code is an additional sense code and its qualifier, ASC<<8 | ASCQ, as the
// T10 list prints it.
type Code uint16

// ASC is the additional sense code.
func (c Code) ASC() uint8 { return uint8(c >> 8) }

// ASCQ is the additional sense code qualifier.
func (c Code) ASCQ() uint8 { return uint8(c) }

// MaxLen is the longest sense data that any of our encoders makes.
const MaxLen = 252

// Error ends a command with CHECK CONDITION. A value that a package exports
// (ErrLBA and its like) is shared: copy before changing.
type Error struct {
	Key  Key
	Code Code

	Info    uint64 // INFORMATION, valid when HasInfo; with ILI in two's complement
	Command uint64 // COMMAND-SPECIFIC INFORMATION, valid when HasCommand

	// Field is the offending byte of the CDB, or of the parameter list when
	// InData; Bit its most significant offending bit, when HasBit.
	Field uint16
	Bit   uint8

	// Progress is n/65536 of an operation under way, when HasProgress
	// (SPC-6, 4.4.2.4.4).
	Progress uint16

	HasInfo, HasCommand, HasField, InData, HasBit, HasProgress bool

	// Filemark, EndOfMedium and ILI are outcomes of stream commands (SSC-5).
	Filemark, EndOfMedium, ILI bool

	Deferred bool  // response code 71h/73h: of an earlier command
	Cause    error // for our log; never sent
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%v %02Xh/%02Xh", e.Key, e.Code.ASC(), e.Code.ASCQ())
	if n := e.Code.Name(); n != "" {
		s += " " + n
	}
	if e.HasInfo {
		s += fmt.Sprintf(", information %d", e.Info)
	}
	if e.HasField {
		where := "CDB"
		if e.InData {
			where = "parameter list"
		}
		s += fmt.Sprintf(", %s byte %d", where, e.Field)
		if e.HasBit {
			s += fmt.Sprintf(" bit %d", e.Bit)
		}
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives the cause that our log shows.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches key and code only, so errors.Is(err, sense.ErrLBA) holds whatever
// INFORMATION err carries.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Key == e.Key && t.Code == e.Code
}

// Status ends a command with a status other than GOOD and CHECK CONDITION, which
// carries no sense data.
type Status scsi.Status

func (s Status) Error() string { return scsi.Status(s).String() }

// Statuses as errors.
const (
	Busy                = Status(scsi.Busy)
	ReservationConflict = Status(scsi.ReservationConflict)
	TaskSetFull         = Status(scsi.TaskSetFull)
	ACAActive           = Status(scsi.ACAActive)
	TaskAborted         = Status(scsi.TaskAborted)
	ConditionMet        = Status(scsi.ConditionMet)
)

// New is a plain error of key and code.
func New(k Key, c Code) *Error { return &Error{Key: k, Code: c} }

// WithInfo is a copy of e that carries INFORMATION.
func (e *Error) WithInfo(info uint64) *Error {
	c := *e
	c.Info, c.HasInfo = info, true
	return &c
}

// WithCause is a copy of e that names its cause for the log.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.Cause = err
	return &c
}

// Field is INVALID FIELD IN CDB with a pointer to a byte (SPC-6, 4.4.2.4.2).
func Field(off int) *Error {
	return &Error{Key: IllegalRequest, Code: InvalidFieldInCDB, Field: uint16(off), HasField: true}
}

// FieldBit is Field with the most significant offending bit.
func FieldBit(off int, bit uint8) *Error {
	e := Field(off)
	e.Bit, e.HasBit = bit, true
	return e
}

// Param is INVALID FIELD IN PARAMETER LIST with a pointer to a byte.
func Param(off int) *Error {
	return &Error{Key: IllegalRequest, Code: InvalidFieldInParameterList,
		Field: uint16(off), HasField: true, InData: true}
}

// ParamBit is Param with the most significant offending bit.
func ParamBit(off int, bit uint8) *Error {
	e := Param(off)
	e.Bit, e.HasBit = bit, true
	return e
}

// Medium reports a failed read of the store below us at lba.
func Medium(lba uint64, cause error) *Error {
	return &Error{Key: MediumError, Code: UnrecoveredReadError, Info: lba, HasInfo: true, Cause: cause}
}

// MediumWrite reports a failed write to the store below us at lba.
func MediumWrite(lba uint64, cause error) *Error {
	return &Error{Key: MediumError, Code: WriteError, Info: lba, HasInfo: true, Cause: cause}
}

// Hardware wraps an error that no clause names: INTERNAL TARGET FAILURE.
func Hardware(cause error) *Error {
	return &Error{Key: HardwareError, Code: InternalTargetFailure, Cause: cause}
}

// Of gives the sense that err stands for: itself, or HARDWARE ERROR around an
// error that is none of ours.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Hardware(err)
}

// Append encodes e behind dst: descriptor format when descriptor (D_SENSE of the
// Control mode page, or DESC of REQUEST SENSE), else fixed format. Fixed format
// cannot carry INFORMATION above 32 bits; then VALID stays 0 (SPC-6, 4.4.3).
func (e *Error) Append(dst []byte, descriptor bool) []byte {
	if descriptor {
		return e.appendDescriptor(dst)
	}
	return e.appendFixed(dst)
}

func (e *Error) flags() byte {
	var f byte
	if e.Filemark {
		f |= 0x80
	}
	if e.EndOfMedium {
		f |= 0x40
	}
	if e.ILI {
		f |= 0x20
	}
	return f
}

// fixedLen is the length of our fixed format sense data: the 18 bytes that
// initiators ask for.
const fixedLen = 18

func (e *Error) appendFixed(dst []byte) []byte {
	var b [fixedLen]byte
	b[0] = 0x70
	if e.Deferred {
		b[0] = 0x71
	}
	// a length that was too long for what was asked is a negative number of 64 or of 32 bits
	if e.HasInfo && (e.Info <= 0xffffffff || e.ILI && int64(e.Info) >= -1<<31 && int64(e.Info) < 0) {
		b[0] |= 0x80
		binary.BigEndian.PutUint32(b[3:], uint32(e.Info))
	}
	b[2] = e.flags() | byte(e.Key)
	b[7] = fixedLen - 8
	if e.HasCommand && e.Command <= 0xffffffff {
		binary.BigEndian.PutUint32(b[8:], uint32(e.Command))
	}
	b[12], b[13] = e.Code.ASC(), e.Code.ASCQ()
	e.putSKS(b[15:18])
	return append(dst, b[:]...)
}

// putSKS writes the sense key specific bytes; it leaves zeros when there are none.
func (e *Error) putSKS(b []byte) bool {
	switch {
	case e.HasField:
		b[0] = 0x80
		if !e.InData {
			b[0] |= 0x40
		}
		if e.HasBit {
			b[0] |= 0x08 | e.Bit&7
		}
		binary.BigEndian.PutUint16(b[1:], e.Field)
	case e.HasProgress:
		b[0] = 0x80
		binary.BigEndian.PutUint16(b[1:], e.Progress)
	default:
		return false
	}
	return true
}

// Types of sense data descriptors (SPC-6, table 28).
const (
	descInformation = 0x00
	descCommand     = 0x01
	descSKS         = 0x02
	descStream      = 0x04 // stream commands (SSC-5)
	descBlock       = 0x05 // block commands (SBC-4)
)

func (e *Error) appendDescriptor(dst []byte) []byte {
	start := len(dst)
	rc := byte(0x72)
	if e.Deferred {
		rc = 0x73
	}
	dst = append(dst, rc, byte(e.Key), e.Code.ASC(), e.Code.ASCQ(), 0, 0, 0, 0)
	if e.HasInfo {
		dst = append(dst, descInformation, 0x0a, 0x80, 0x00)
		dst = binary.BigEndian.AppendUint64(dst, e.Info)
	}
	if e.HasCommand {
		dst = append(dst, descCommand, 0x0a, 0x00, 0x00)
		dst = binary.BigEndian.AppendUint64(dst, e.Command)
	}
	var sks [3]byte
	if e.putSKS(sks[:]) {
		dst = append(dst, descSKS, 0x06, 0x00, 0x00, sks[0], sks[1], sks[2], 0x00)
	}
	if f := e.flags(); f&0xc0 != 0 || f&0x20 != 0 && e.Key != MediumError {
		// the one for stream commands, which also carries their ILI
		dst = append(dst, descStream, 0x02, 0x00, f)
	} else if f&0x20 != 0 {
		dst = append(dst, descBlock, 0x02, 0x00, f)
	}
	dst[start+7] = byte(len(dst) - start - 8)
	return dst
}
