// Package pdu gives iSCSI protocol data units names: views over the 48-byte basic
// header segment with the offsets of RFC 7143, chapter 11. It does no I/O.
package pdu

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
)

// HeaderLen is the length of a basic header segment.
const HeaderLen = 48

// DigestLen is the length of a header or data digest.
const DigestLen = 4

// NoTag is the reserved value of the task tags (RFC 7143, 11.2.1.8).
const NoTag = 0xffffffff

// Opcode is the code of a PDU without the immediate bit (RFC 7143, 11.2.1.2).
type Opcode uint8

// Opcodes of the initiator, then of the target.
const (
	NopOut       Opcode = 0x00
	SCSICommand  Opcode = 0x01
	TaskMgmt     Opcode = 0x02
	LoginRequest Opcode = 0x03
	TextRequest  Opcode = 0x04
	DataOut      Opcode = 0x05
	Logout       Opcode = 0x06
	SNACK        Opcode = 0x10

	NopIn          Opcode = 0x20
	SCSIResponse   Opcode = 0x21
	TaskMgmtResp   Opcode = 0x22
	LoginResponse  Opcode = 0x23
	TextResponse   Opcode = 0x24
	DataIn         Opcode = 0x25
	LogoutResponse Opcode = 0x26
	R2T            Opcode = 0x31
	Async          Opcode = 0x32
	Reject         Opcode = 0x3f
)

var opcodeNames = map[Opcode]string{
	NopOut: "NOP-Out", SCSICommand: "SCSI Command", TaskMgmt: "Task Management Function Request",
	LoginRequest: "Login Request", TextRequest: "Text Request", DataOut: "SCSI Data-Out",
	Logout: "Logout Request", SNACK: "SNACK Request",
	NopIn: "NOP-In", SCSIResponse: "SCSI Response", TaskMgmtResp: "Task Management Function Response",
	LoginResponse: "Login Response", TextResponse: "Text Response", DataIn: "SCSI Data-In",
	LogoutResponse: "Logout Response", R2T: "Ready To Transfer", Async: "Asynchronous Message",
	Reject: "Reject",
}

func (o Opcode) String() string {
	if n := opcodeNames[o]; n != "" {
		return n
	}
	return fmt.Sprintf("opcode %02xh", uint8(o))
}

// Flag bits of byte 1.
const (
	Final    = 0x80 // most PDUs
	Continue = 0x40 // C: login and text

	// SCSI Command.
	CmdRead  = 0x40
	CmdWrite = 0x20
	CmdAttr  = 0x07

	// SCSI Response and, but for the bidirectional ones, Data-In.
	BidiOverflow  = 0x10
	BidiUnderflow = 0x08
	Overflow      = 0x04
	Underflow     = 0x02
	HasStatus     = 0x01 // S of Data-In
)

// Reject reasons (RFC 7143, 11.17.1).
const (
	RejectDataDigest    = 0x02
	RejectSNACK         = 0x03
	RejectProtocol      = 0x04
	RejectNotSupported  = 0x05
	RejectImmediate     = 0x06
	RejectInProgress    = 0x07
	RejectInvalidACK    = 0x08
	RejectInvalidField  = 0x09
	RejectResources     = 0x0a
	RejectNegReset      = 0x0b
	RejectWaitingLogout = 0x0c
)

// Serial is a sequence number with the compare of RFC 1982, 32 bits.
type Serial uint32

// Before reports whether s is less than o.
func (s Serial) Before(o Serial) bool { return int32(s-o) < 0 }

// BHS is a basic header segment, a view over received or to be sent bytes.
type BHS [HeaderLen]byte

// View is the header at the start of b, which has at least HeaderLen bytes.
func View(b []byte) *BHS { return (*BHS)(b) }

func (h *BHS) u32(off int) uint32      { return binary.BigEndian.Uint32(h[off:]) }
func (h *BHS) put32(off int, v uint32) { binary.BigEndian.PutUint32(h[off:], v) }
func (h *BHS) Opcode() Opcode          { return Opcode(h[0] & 0x3f) }
func (h *BHS) SetOpcode(o Opcode)      { h[0] = byte(o) }
func (h *BHS) Immediate() bool         { return h[0]&0x40 != 0 }
func (h *BHS) Final() bool             { return h[1]&Final != 0 }
func (h *BHS) Flags() byte             { return h[1] }
func (h *BHS) SetFlags(f byte)         { h[1] = f }
func (h *BHS) AHSLen() int             { return int(h[4]) * 4 }
func (h *BHS) DataLen() int            { return int(h[5])<<16 | int(h[6])<<8 | int(h[7]) }
func (h *BHS) SetDataLen(n int)        { h[5], h[6], h[7] = byte(n>>16), byte(n>>8), byte(n) }
func (h *BHS) LUN() scsi.LUN           { return scsi.ParseLUN(h[8:16]) }
func (h *BHS) LUNBytes() []byte        { return h[8:16] }
func (h *BHS) ITT() uint32             { return h.u32(16) }
func (h *BHS) SetITT(v uint32)         { h.put32(16, v) }
func (h *BHS) TTT() uint32             { return h.u32(20) }
func (h *BHS) SetTTT(v uint32)         { h.put32(20, v) }
func (h *BHS) CmdSN() Serial           { return Serial(h.u32(24)) }
func (h *BHS) SetCmdSN(v Serial)       { h.put32(24, uint32(v)) }
func (h *BHS) ExpStatSN() Serial       { return Serial(h.u32(28)) }
func (h *BHS) SetExpStatSN(v Serial)   { h.put32(28, uint32(v)) }
func (h *BHS) StatSN() Serial          { return Serial(h.u32(24)) }
func (h *BHS) SetStatSN(v Serial)      { h.put32(24, uint32(v)) }
func (h *BHS) ExpCmdSN() Serial        { return Serial(h.u32(28)) }
func (h *BHS) SetExpCmdSN(v Serial)    { h.put32(28, uint32(v)) }
func (h *BHS) MaxCmdSN() Serial        { return Serial(h.u32(32)) }
func (h *BHS) SetMaxCmdSN(v Serial)    { h.put32(32, uint32(v)) }

// Task Attribute of a SCSI Command.
func (h *BHS) Attr() scsi.TaskAttr { return scsi.TaskAttr(h[1] & CmdAttr) }

// ExpectedLen is the Expected Data Transfer Length of a SCSI Command.
func (h *BHS) ExpectedLen() uint32     { return h.u32(20) }
func (h *BHS) SetExpectedLen(n uint32) { h.put32(20, n) }

// CDB is the first 16 bytes of the command descriptor block.
func (h *BHS) CDB() []byte { return h[32:48] }

// DataSN is the number of a Data-In or Data-Out PDU; R2TSN lies at the same place.
func (h *BHS) DataSN() uint32           { return h.u32(36) }
func (h *BHS) SetDataSN(v uint32)       { h.put32(36, v) }
func (h *BHS) BufferOffset() uint32     { return h.u32(40) }
func (h *BHS) SetBufferOffset(v uint32) { h.put32(40, v) }

// SetExpDataSN writes how many Data-In and R2T PDUs came before a SCSI Response.
func (h *BHS) SetExpDataSN(v uint32) { h.put32(36, v) }

// Residual of a SCSI Response or Data-In.
func (h *BHS) Residual() uint32         { return h.u32(44) }
func (h *BHS) SetResidual(v uint32)     { h.put32(44, v) }
func (h *BHS) SetBidiResidual(v uint32) { h.put32(40, v) }

// DesiredLen is the Desired Data Transfer Length of an R2T.
func (h *BHS) DesiredLen() uint32     { return h.u32(44) }
func (h *BHS) SetDesiredLen(v uint32) { h.put32(44, v) }

// Response and status bytes of a SCSI Response, and the like of other responses.
func (h *BHS) Response() byte            { return h[2] }
func (h *BHS) SetResponse(v byte)        { h[2] = v }
func (h *BHS) Status() scsi.Status       { return scsi.Status(h[3]) }
func (h *BHS) SetStatus(s scsi.Status)   { h[3] = byte(s) }
func (h *BHS) Function() byte            { return h[1] & 0x7f } // TMF function, Logout reason
func (h *BHS) ReferencedTag() uint32     { return h.u32(20) }
func (h *BHS) RefCmdSN() Serial          { return Serial(h.u32(32)) }
func (h *BHS) SetReferencedTag(v uint32) { h.put32(20, v) }
func (h *BHS) SetRefCmdSN(v Serial)      { h.put32(32, uint32(v)) }

// CID is the connection that a Logout Request names.
func (h *BHS) CID() uint16 { return binary.BigEndian.Uint16(h[20:]) }

// SetTimes writes Time2Wait and Time2Retain of a Logout Response, in seconds.
func (h *BHS) SetTimes(wait, retain uint16) {
	binary.BigEndian.PutUint16(h[40:], wait)
	binary.BigEndian.PutUint16(h[42:], retain)
}

// SetAsyncEvent writes the AsyncEvent of an Asynchronous Message and its parameters 1 to 3.
func (h *BHS) SetAsyncEvent(event byte, params [3]uint16) {
	h[36] = event
	for i, v := range params {
		binary.BigEndian.PutUint16(h[38+2*i:], v)
	}
}

// PDU is one received unit. The slices lie in the receiver's buffer and are valid
// until Accept returns, unless Buf is set: then Data lies in Buf, which the
// receiver of the PDU owns.
type PDU struct {
	*BHS
	AHS  []byte
	Data []byte
	Buf  *buf.Buf
	// Placed: Data was received right where Place said, inside a task's buffer.
	Placed bool
	// Dropped: there was no memory for the data, which is gone. Data is nil.
	Dropped bool
}

// Pad is the length of the padding behind n bytes (RFC 7143, 11.2.2).
func Pad(n int) int { return -n & 3 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digest is the CRC32C of b continued from crc, 0 at the start.
func Digest(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }

// PutDigest writes a digest in the byte order of the wire (RFC 7143, 13.1): the
// least significant byte first.
func PutDigest(b []byte, crc uint32) { binary.LittleEndian.PutUint32(b, crc) }

// GetDigest reads a digest.
func GetDigest(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// AHSType is the type of an additional header segment (RFC 7143, 11.2.2).
type AHSType uint8

// Additional header segments.
const (
	AHSExtendedCDB AHSType = 1
	AHSBidiReadLen AHSType = 2
	ahsHeaderLen           = 3
)

// ParseAHS finds the extended CDB and the expected bidirectional read length. The
// CDB is appended to cdb. An AHSLength that does not fit the segment is an error;
// so is an extended CDB shorter than its reserved byte.
func ParseAHS(ahs, cdb []byte) (newCDB []byte, bidi uint32, err error) {
	for len(ahs) > 0 {
		if len(ahs) < 4 {
			return nil, 0, fmt.Errorf("additional header segment of %d bytes", len(ahs))
		}
		n := int(binary.BigEndian.Uint16(ahs)) // excludes the two length bytes and the type
		typ := AHSType(ahs[2])
		total := ahsHeaderLen + n
		if total > len(ahs) {
			return nil, 0, fmt.Errorf("AHSLength %d in %d bytes", n, len(ahs))
		}
		body := ahs[ahsHeaderLen:total]
		switch typ {
		case AHSExtendedCDB: // one reserved byte, then the CDB from its byte 16 on
			if n < 2 {
				return nil, 0, fmt.Errorf("extended CDB with AHSLength %d", n)
			}
			cdb = append(cdb, body[1:]...)
		case AHSBidiReadLen: // one reserved byte, then the length
			if n != 5 {
				return nil, 0, fmt.Errorf("bidirectional read length with AHSLength %d", n)
			}
			bidi = binary.BigEndian.Uint32(body[1:])
		default:
			return nil, 0, fmt.Errorf("AHS type %d", typ)
		}
		ahs = ahs[min(len(ahs), total+Pad(total)):]
	}
	return cdb, bidi, nil
}
