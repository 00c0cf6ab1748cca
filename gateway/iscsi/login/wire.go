package login

import (
	"encoding/binary"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// Offsets of login PDUs (RFC 7143, 11.12 and 11.13).
const (
	offVersionMax      = 2
	offVersionMin      = 3 // Version-active in the response
	offISID            = 8
	offTSIH            = 14
	offCID             = 20
	offStatus          = 36
	transitBit         = 0x80
	continueBit        = 0x40
	stageShift         = 2
	stageMask     byte = 3
)

// ParseRequest reads a Login Request. The data is only borrowed.
func ParseRequest(h *pdu.BHS, data []byte) Request {
	q := Request{
		Transit: h.Flags()&transitBit != 0, Continue: h.Flags()&continueBit != 0,
		CSG: Stage(h.Flags() >> stageShift & stageMask), NSG: Stage(h.Flags() & stageMask),
		VersionMax: h[offVersionMax], VersionMin: h[offVersionMin],
		TSIH: binary.BigEndian.Uint16(h[offTSIH:]),
		ITT:  h.ITT(), CID: binary.BigEndian.Uint16(h[offCID:]),
		CmdSN: uint32(h.CmdSN()), ExpStatSN: uint32(h.ExpStatSN()),
		Data: data,
	}
	copy(q.ISID[:], h[offISID:])
	return q
}

// Append encodes a Login Response, padded.
func (r *Response) Append(dst []byte) []byte {
	var h pdu.BHS
	h.SetOpcode(pdu.LoginResponse)
	flags := byte(r.CSG)<<stageShift | byte(r.NSG)
	if r.Transit {
		flags |= transitBit
	}
	if r.Continue {
		flags |= continueBit
	}
	h.SetFlags(flags)
	h[offVersionMax], h[offVersionMin] = r.VersionMax, r.VersionActive
	copy(h[offISID:offTSIH], r.ISID[:])
	binary.BigEndian.PutUint16(h[offTSIH:], r.TSIH)
	h.SetITT(r.ITT)
	h.SetStatSN(pdu.Serial(r.StatSN))
	h.SetExpCmdSN(pdu.Serial(r.ExpCmdSN))
	h.SetMaxCmdSN(pdu.Serial(r.MaxCmdSN))
	binary.BigEndian.PutUint16(h[offStatus:], uint16(r.Status))
	h.SetDataLen(len(r.Data))
	dst = append(dst, h[:]...)
	dst = append(dst, r.Data...)
	return append(dst, make([]byte, pdu.Pad(len(r.Data)))...)
}
