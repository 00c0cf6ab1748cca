package pr

import (
	"encoding/binary"
	"math/bits"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// params is the parameter list of PERSISTENT RESERVE OUT, with what the CDB says.
type params struct {
	action     uint8
	scope      uint8
	typ        Type
	key        uint64 // RESERVATION KEY
	serviceKey uint64 // SERVICE ACTION RESERVATION KEY

	specIPT bool // REGISTER: for the initiators of ids too
	allTGPT bool // REGISTER and AND IGNORE: through every target port
	aptpl   bool
	unreg   bool   // REGISTER AND MOVE: not for the old holder any more
	port    uint16 // REGISTER AND MOVE: the new holder's

	ids []transportID
}

// transportID is an initiator in the parameter list, and where it is.
type transportID struct {
	core.InitiatorPort
	off int
}

// Offsets and bits of the parameter lists (SPC-6, tables 232 and 236).
const (
	offServiceKey = 8
	offFlags      = 20
	bitSpecIPT    = 3
	bitAllTGPT    = 2
	bitAPTPL      = 0
	basicLen      = 24
	offIDs        = 28 // after the length of the list

	offMoveFlags = 17
	bitUnreg     = 1
	offMovePort  = 18
	offMoveIDLen = 20
	offMoveID    = 24

	maxList = offIDs + maxRegistrants*(idHeader+maxIDBody)
)

// parseOut reads a parameter list. cdbLen is its length by the CDB, list what was
// received of it.
func parseOut(cdb, list []byte, cdbLen int) (*params, error) {
	if len(list) != cdbLen || len(list) < basicLen || len(list) > maxList {
		return nil, sense.ErrParamLength
	}
	p := &params{
		action: cdb[1] & 0x1f, scope: cdb[2] >> 4, typ: Type(cdb[2] & 0x0f),
		key:        binary.BigEndian.Uint64(list),
		serviceKey: binary.BigEndian.Uint64(list[offServiceKey:]),
	}
	switch p.action {
	case actRegisterMove:
		return p, p.parseMove(list)
	case actRegister, actRegisterIgnore:
		return p, p.parseRegister(list)
	}
	if len(list) != basicLen { // SPEC_I_PT and its like are not of these actions
		return nil, sense.ErrParamLength
	}
	return p, nil
}

func (p *params) parseRegister(list []byte) error {
	flags := list[offFlags]
	if bad := flags &^ (1<<bitSpecIPT | 1<<bitAllTGPT | 1<<bitAPTPL); bad != 0 {
		return sense.ParamBit(offFlags, uint8(bits.Len8(bad)-1))
	}
	p.specIPT = flags&(1<<bitSpecIPT) != 0
	p.allTGPT = flags&(1<<bitAllTGPT) != 0
	p.aptpl = flags&(1<<bitAPTPL) != 0
	switch {
	case p.specIPT && p.action == actRegisterIgnore:
		return sense.ParamBit(offFlags, bitSpecIPT)
	case !p.specIPT && len(list) != basicLen, p.specIPT && len(list) < offIDs:
		return sense.ErrParamLength
	case !p.specIPT:
		return nil
	}
	n := binary.BigEndian.Uint32(list[offIDs-4:])
	if uint64(n) > uint64(len(list)-offIDs) {
		return sense.ErrParamLength
	}
	end := offIDs + int(n)
	for off := offIDs; off < end; {
		ip, size, err := parseTransportID(list[off:end])
		if err != nil {
			return sense.Param(off)
		}
		if len(p.ids) == maxRegistrants {
			return errRegistrants
		}
		p.ids = append(p.ids, transportID{ip, off})
		off += size
	}
	return nil
}

func (p *params) parseMove(list []byte) error {
	flags := list[offMoveFlags]
	if bad := flags &^ (1<<bitUnreg | 1<<bitAPTPL); bad != 0 {
		return sense.ParamBit(offMoveFlags, uint8(bits.Len8(bad)-1))
	}
	p.unreg = flags&(1<<bitUnreg) != 0
	p.aptpl = flags&(1<<bitAPTPL) != 0
	p.port = binary.BigEndian.Uint16(list[offMovePort:])
	n := binary.BigEndian.Uint32(list[offMoveIDLen:])
	if uint64(n) > uint64(len(list)-offMoveID) {
		return sense.ErrParamLength
	}
	ip, size, err := parseTransportID(list[offMoveID : offMoveID+int(n)])
	switch {
	case n == 0:
		return sense.Param(offMoveIDLen)
	case err != nil, ip.Session == "": // a device is no port (SPC-6, 7.6.4.7)
		return sense.Param(offMoveID)
	case size != int(n): // one, and no more
		return sense.Param(offMoveIDLen)
	}
	p.ids = []transportID{{ip, offMoveID}}
	return nil
}

// checkType is what service actions that make a reservation want of SCOPE and TYPE.
func (p *params) checkType() error {
	switch {
	case p.scope != 0: // LU_SCOPE; nothing else is left in SPC
		return sense.FieldBit(2, 7)
	case !p.typ.valid():
		return sense.FieldBit(2, 3)
	}
	return nil
}
