package ssc

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/vtl/medium"
)

// Methods of logical block protection (SSC-5, 8.3.9).
const (
	guardNone        = 0
	guardReedSolomon = 1
	guardCRC32C      = 2

	guardLen = 4 // LOGICAL BLOCK PROTECTION INFORMATION LENGTH of both
)

// guard is the protection information behind each logical block that is transferred.
type guard struct {
	method uint8
	// little: CRC32C has its least significant byte first, as LTO-7 and later have it. The
	// Reed-Solomon code is big-endian.
	little bool
}

// size is how many bytes follow a block.
func (g guard) size() int {
	if g.method == guardNone {
		return 0
	}
	return guardLen
}

// append adds the protection information of block, whose CRC32C is crc, to dst.
func (g guard) append(dst, block []byte, crc uint32) []byte {
	switch {
	case g.method == guardReedSolomon:
		return binary.BigEndian.AppendUint32(dst, reedSolomon(block))
	case g.method == guardCRC32C && g.little:
		return binary.LittleEndian.AppendUint32(dst, crc)
	case g.method == guardCRC32C:
		return binary.BigEndian.AppendUint32(dst, crc)
	}
	return dst
}

// check takes the protection information off data, a block as it was transferred, and says
// whether it is right. crc is the CRC32C of block.
func (g guard) check(data []byte) (block []byte, crc uint32, ok bool) {
	n := len(data) - g.size()
	if n < 0 {
		return nil, 0, false
	}
	block = data[:n]
	crc = crc32.Checksum(block, castagnoli)
	switch {
	case g.method == guardReedSolomon:
		return block, crc, binary.BigEndian.Uint32(data[n:]) == reedSolomon(block)
	case g.method == guardCRC32C && g.little:
		return block, crc, binary.LittleEndian.Uint32(data[n:]) == crc
	case g.method == guardCRC32C:
		return block, crc, binary.BigEndian.Uint32(data[n:]) == crc
	}
	return block, crc, true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// reedSolomon is the Reed-Solomon code over GF(256) that ECMA-319 has for logical blocks: field
// polynomial x^8+x^4+x^3+x^2+1, generator polynomial x^4+38h x^3+CFh x^2+38h x+1. The register is
// zero at first.
func reedSolomon(block []byte) uint32 {
	var reg uint32
	for _, b := range block {
		reg = reg<<8 ^ reedSolomonTable[b^byte(reg>>24)]
	}
	return reg
}

var reedSolomonTable = func() (t [256]uint32) {
	mul := func(a, b uint8) (p uint8) {
		for ; b != 0; b >>= 1 {
			if b&1 != 0 {
				p ^= a
			}
			carry := a&0x80 != 0
			if a <<= 1; carry {
				a ^= 0x1d
			}
		}
		return p
	}
	for i := range t {
		b := uint8(i)
		t[i] = uint32(mul(b, 0x38))<<24 | uint32(mul(b, 0xcf))<<16 | uint32(mul(b, 0x38))<<8 | uint32(b)
	}
	return t
}()

// protection is the Control Data Protection mode page as commands see it: the method and its
// bits LBP_W and LBP_R, in one word.
type protection struct{ word atomic.Uint32 }

// Bits of byte 6 of the Control Data Protection mode page (SSC-5, 8.3.9).
const (
	lbpW = 0x80
	lbpR = 0x40
)

func (d *Drive) guardFor(bit uint32) guard {
	w := d.protect.word.Load()
	if w&bit == 0 {
		return guard{}
	}
	return guard{method: uint8(w >> 8), little: d.model.CRCLittleEndian}
}

// writeGuard is what follows each block of a WRITE and of a VERIFY that compares; readGuard that of
// a READ and of VERIFY with VBF.
func (d *Drive) writeGuard() guard { return d.guardFor(lbpW) }
func (d *Drive) readGuard() guard  { return d.guardFor(lbpR) }

// errGuard is how a WRITE ends whose block does not fit its protection information: nothing of the
// block is recorded.
var errGuard = sense.New(sense.HardwareError, sense.GuardCheckFailed)

// guarded is the rule of the length of r's data phase: with FIXED, protection information follows each
// block.
func (d *Drive) guarded(r core.Row) core.Rule {
	bit, plain := uint32(0), r.Len.Func
	switch r.Code {
	case 0x0a, 0x8a, 0x13, 0x8f: // WRITE, VERIFY
		bit = lbpW
	case 0x08, 0x88: // READ
		bit = lbpR
	default:
		return r.Len
	}
	rule := r.Len
	rule.Func = func(cdb []byte, block uint32) uint64 { return plain(cdb, block+uint32(d.guardFor(bit).size())) }
	return rule
}

// seal puts the protection information of o behind its block, which is the beginning of in. What does not
// fit into in does not go to the initiator.
func (g guard) seal(in []byte, o medium.Object) {
	if g.method == guardNone || len(in) <= o.Length {
		return
	}
	copy(in[o.Length:], g.append(nil, in[:o.Length], o.CRC))
}

// guardPage is the Control Data Protection mode page (SSC-5, 8.3.9).
func (d *Drive) guardPage() spc.ModePage {
	page := make([]byte, 32)
	copy(page, []byte{0x4a, 0xf0, 0x00, 0x1c})
	mask := make([]byte, len(page))
	mask[4], mask[5], mask[6] = 0xff, 0x3f, lbpW|lbpR
	return spc.ModePage{
		Default: page, Changeable: mask,
		Check: func(p []byte) error {
			switch method := p[4]; {
			case method == guardNone && p[5] != 0:
				return sense.ParamBit(5, 5)
			case method == guardNone && p[6]&(lbpW|lbpR) != 0:
				return sense.ParamBit(6, 7)
			case method != guardNone && !slices.Contains(d.model.Protection, method):
				return sense.ParamBit(4, 7)
			case method != guardNone && p[5] != guardLen:
				return sense.ParamBit(5, 5)
			}
			return nil
		},
		Apply: func(p []byte) { d.protect.word.Store(uint32(p[4])<<8 | uint32(p[6])) },
	}
}
