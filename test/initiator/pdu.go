package initiator

import (
	"encoding/binary"
	"fmt"
)

// BHSLen is the length of a basic header segment (RFC 7143, 11.2.1).
const BHSLen = 48

// Opcodes (RFC 7143, 11.2.1.2). A request's immediate bit is not part of it.
const (
	OpNOPOut        = 0x00
	OpCommand       = 0x01
	OpTaskMgmt      = 0x02
	OpLogin         = 0x03
	OpText          = 0x04
	OpDataOut       = 0x05
	OpLogout        = 0x06
	OpNOPIn         = 0x20
	OpResponse      = 0x21
	OpTaskMgmtResp  = 0x22
	OpLoginResponse = 0x23
	OpTextResponse  = 0x24
	OpDataIn        = 0x25
	OpLogoutResp    = 0x26
	OpR2T           = 0x31
	OpAsync         = 0x32
	OpReject        = 0x3f
)

// Immediate is the I bit of byte 0; Final the F bit of byte 1.
const (
	Immediate = 0x40
	Final     = 0x80
)

// NoTag is the reserved value of an Initiator or Target Transfer Tag.
const NoTag = 0xffffffff

// PDU is one protocol data unit without its digests and padding. Send derives
// TotalAHSLength and DataSegmentLength from AHS and Data unless Raw is set.
type PDU struct {
	BHS  [BHSLen]byte
	AHS  []byte // whole AHS entries, each padded to four bytes
	Data []byte
	Raw  bool // Send takes the lengths in BHS as they are, however wrong
}

// Opcode is the operation code without the immediate bit.
func (p *PDU) Opcode() uint8 { return p.BHS[0] & 0x3f }

// Is reports whether all of bits are set in byte 1, the flags of most PDUs.
func (p *PDU) Is(bits uint8) bool { return p.BHS[1]&bits == bits }

// U16, U32 and PutU32 access a big-endian field at a byte offset of the BHS.
func (p *PDU) U16(off int) uint16       { return binary.BigEndian.Uint16(p.BHS[off:]) }
func (p *PDU) U32(off int) uint32       { return binary.BigEndian.Uint32(p.BHS[off:]) }
func (p *PDU) PutU32(off int, v uint32) { binary.BigEndian.PutUint32(p.BHS[off:], v) }

// ITT is the Initiator Task Tag, TTT the Target Transfer Tag (RFC 7143, 11.2.1.8
// and 11.7.4).
func (p *PDU) ITT() uint32 { return p.U32(16) }
func (p *PDU) TTT() uint32 { return p.U32(20) }

// StatSN, ExpCmdSN and MaxCmdSN are in every PDU of a target, StatSN only where
// the opcode gives it one.
func (p *PDU) StatSN() uint32   { return p.U32(24) }
func (p *PDU) ExpCmdSN() uint32 { return p.U32(28) }
func (p *PDU) MaxCmdSN() uint32 { return p.U32(32) }

// DataLen is the DataSegmentLength field.
func (p *PDU) DataLen() int {
	return int(p.BHS[5])<<16 | int(p.BHS[6])<<8 | int(p.BHS[7])
}

func (p *PDU) setLens() {
	n := len(p.Data)
	p.BHS[4] = uint8(len(p.AHS) / 4)
	p.BHS[5], p.BHS[6], p.BHS[7] = byte(n>>16), byte(n>>8), byte(n)
}

func (p *PDU) String() string {
	return fmt.Sprintf("PDU %#02x flags %#02x ITT %#x data %d", p.Opcode(), p.BHS[1], p.ITT(), p.DataLen())
}

// PutLUN encodes a single-level LUN into the LUN field: peripheral addressing
// below 256, flat space above (SAM-6, 4.7).
func (p *PDU) PutLUN(lun uint16) {
	v := uint64(lun) << 48
	if lun > 0xff {
		v |= 1 << 62
	}
	binary.BigEndian.PutUint64(p.BHS[8:], v)
}
