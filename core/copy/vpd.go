package copy

import (
	"encoding/binary"

	"github.com/targate/targate/core"
)

// VPDPages adds page 8Fh, third-party copy (core.Describer).
func (s *Service) VPDPages() []core.VPDPage {
	return []core.VPDPage{{Code: 0x8f, Append: appendPage}}
}

// Third-party copy descriptor types (SPC-4, third-party copy VPD page).
const (
	descRODLimits  = 0x0000 // block device ROD limits (SBC-3)
	descCommands   = 0x0001
	descParameters = 0x0004
	descTypes      = 0x0008
	descIDs        = 0x000c
	descFeatures   = 0x0106 // ROD token features
	descRODTypes   = 0x0108
	descGeneral    = 0x8001
)

// appendPage is VPD page 8Fh behind its header.
func appendPage(dst []byte, c *core.Command) []byte {
	blockSize := uint64(c.Path.Unit().BlockSize())

	b := make([]byte, 32)
	binary.BigEndian.PutUint16(b[6:], maxRanges)
	binary.BigEndian.PutUint32(b[8:], maxTimeout)
	binary.BigEndian.PutUint32(b[12:], defaultTimeout)
	binary.BigEndian.PutUint64(b[16:], maxTokenBytes/blockSize)
	binary.BigEndian.PutUint64(b[24:], optimalBytes/blockSize)
	dst = appendDescriptor(dst, descRODLimits, b)

	list := appendActions(appendActions(nil, opCopy), opReceive)
	dst = appendDescriptor(dst, descCommands, append([]byte{byte(len(list))}, list...))

	b = make([]byte, 28)
	binary.BigEndian.PutUint16(b[4:], maxTargets)
	binary.BigEndian.PutUint16(b[6:], maxSegments)
	binary.BigEndian.PutUint32(b[8:], maxListLen)
	dst = appendDescriptor(dst, descParameters, b)

	dst = appendDescriptor(dst, descTypes, append([]byte{byte(len(descriptorTypes))}, descriptorTypes...))
	dst = appendDescriptor(dst, descIDs, binary.BigEndian.AppendUint16([]byte{0, 2}, ownID))
	dst = appendDescriptor(dst, descFeatures, tokenFeatures(blockSize))
	dst = appendDescriptor(dst, descRODTypes, rodTypes())

	b = make([]byte, 32)
	binary.BigEndian.PutUint32(b, maxCopies)
	binary.BigEndian.PutUint32(b[4:], maxNexusCopies)
	binary.BigEndian.PutUint32(b[8:], maxSegmentLen)
	b[12] = granularity(c.Path.Unit())
	return appendDescriptor(dst, descGeneral, b)
}

// appendDescriptor adds a third-party copy descriptor, padded to a multiple of four.
func appendDescriptor(dst []byte, code uint16, body []byte) []byte {
	pad := -len(body) & 3
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)+pad))
	return append(append(dst, body...), make([]byte, pad)...)
}

// appendActions adds a command support descriptor: the service actions of code that
// table has.
func appendActions(dst []byte, code uint8) []byte {
	at := len(dst) + 1
	dst = append(dst, code, 0)
	for i := range table {
		if table[i].Code == code {
			dst = append(dst, byte(table[i].Action))
			dst[at]++
		}
	}
	return dst
}

// tokenFeatures is the body of the ROD token features descriptor, with the features of
// block devices.
func tokenFeatures(blockSize uint64) []byte {
	const typeLen = 48
	b := make([]byte, 44, 44+typeLen)
	// REMOTE TOKENS 0: only the tokens of this copy manager
	binary.BigEndian.PutUint32(b[12:], minTimeout)
	binary.BigEndian.PutUint32(b[16:], 0xffffffff) // a token that is used lives on
	binary.BigEndian.PutUint32(b[20:], maxTimeout)
	binary.BigEndian.PutUint16(b[42:], typeLen)
	f := make([]byte, typeLen) // type format 00h: block devices
	binary.BigEndian.PutUint16(f[2:], typeLen-4)
	binary.BigEndian.PutUint16(f[6:], uint16(chunkLen/blockSize))
	binary.BigEndian.PutUint64(f[8:], maxTokenBytes)
	binary.BigEndian.PutUint64(f[16:], optimalBytes)
	binary.BigEndian.PutUint64(f[24:], maxTokenBytes)
	binary.BigEndian.PutUint64(f[32:], optimalBytes)
	return append(b, f...)
}

// rodTypes is the body of the supported ROD types descriptor.
func rodTypes() []byte {
	const (
		typeLen  = 64
		tokenOut = 0x01 // POPULATE TOKEN makes it
		tokenIn  = 0x02 // WRITE USING TOKEN takes it
	)
	b := make([]byte, 4+2*typeLen)
	binary.BigEndian.PutUint16(b[2:], 2*typeLen)
	binary.BigEndian.PutUint32(b[4:], rodOnReference)
	b[8] = tokenOut | tokenIn
	binary.BigEndian.PutUint32(b[4+typeLen:], rodZero)
	b[8+typeLen] = tokenIn
	return b
}
