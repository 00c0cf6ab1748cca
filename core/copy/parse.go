package copy

import (
	"encoding/binary"

	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

// Codes that only a copy manager uses.
const (
	unreachableTarget    sense.Code = 0x0804
	thirdPartyFailure    sense.Code = 0x0d01
	targetNotReachable   sense.Code = 0x0d02
	wrongTargetType      sense.Code = 0x0d03
	dataUnderrun         sense.Code = 0x0d04
	tooManyTargets       sense.Code = 0x2606
	unsupportedTarget    sense.Code = 0x2607
	tooManySegments      sense.Code = 0x2608
	unsupportedSegment   sense.Code = 0x2609
	unexpectedInexact    sense.Code = 0x260a
	inlineLengthExceeded sense.Code = 0x260b
	invalidOperation     sense.Code = 0x260c
	granularityViolation sense.Code = 0x260d
)

// Descriptor type codes (SPC-4, CSCD and segment descriptor type codes) and the lengths of descriptors.
const (
	typeBlock       = 0x02 // block device to block device
	typeBlockOffset = 0x0a // the same, in bytes
	typeIdentify    = 0xe4 // identification descriptor CSCD descriptor

	targetLen        = 32
	segmentLen       = 28
	segmentOffsetLen = 32
	segmentHeader    = 4 // bytes that DESCRIPTOR LENGTH leaves out

	lid1Header = 16
	lid4Header = 48
)

// ownID is the CSCD descriptor ID of the logical unit that received the command (SPC-4,
// CSCD descriptor IDs).
const ownID = 0xffff

// Values of LIST ID USAGE (SPC-4, LIST ID USAGE).
const (
	usageHold    = 0 // keep what the status commands return
	usageDiscard = 2 // not once it is finished
	usageNone    = 3 // no list identifier
)

// target is a CSCD descriptor: a logical unit by one of its designators.
type target struct {
	at       int // byte of the parameter list
	pdt      uint8
	codeSet  uint8
	kind     uint8 // DESIGNATOR TYPE
	id       []byte
	blockLen uint32 // 0: not said
}

// segment is a segment descriptor. The count is in blocks of the source, or of the
// destination with dc; or in bytes.
type segment struct {
	at             int
	src, dst       uint16
	srcLBA, dstLBA uint64
	count          uint64
	dc             bool
	inBytes        bool
	srcOff, dstOff uint16 // bytes, with inBytes
}

// list is the parameter list of an EXTENDED COPY.
type list struct {
	id       listID
	usage    uint8
	immed    bool
	targets  []target
	segments []segment
}

// invalid is an error of key ILLEGAL REQUEST that points into the parameter list.
func invalid(code sense.Code, at int) *sense.Error {
	e := sense.Param(at)
	e.Code = code
	return e
}

// parseLID1 takes the parameter list of EXTENDED COPY(LID1) apart (SPC-4). What it
// returns still refers to p.
func parseLID1(p []byte) (*list, error) {
	if len(p) < lid1Header {
		return nil, sense.ErrParamLength
	}
	l := &list{id: listID{id: uint32(p[0])}}
	if err := l.setUsage(p[1], 0); err != nil {
		return nil, err
	}
	targets := uint64(binary.BigEndian.Uint16(p[2:]))
	segments := uint64(binary.BigEndian.Uint32(p[8:]))
	inline := uint64(binary.BigEndian.Uint32(p[12:]))
	return l, l.parse(p, lid1Header, targets, segments, inline, [3]int{2, 8, 12})
}

// parseLID4 is parseLID1 for EXTENDED COPY(LID4) (SPC-4).
func parseLID4(p []byte) (*list, error) {
	const (
		immed       = 0x01
		gSense      = 0x02
		headerCSCD  = 32
		headerFF    = 0xff
		paramFormat = 0x01
	)
	if len(p) < lid4Header {
		return nil, sense.ErrParamLength
	}
	l := &list{id: listID{lid4: true, id: binary.BigEndian.Uint32(p[20:])}, immed: p[15]&immed != 0}
	switch {
	case p[0] != paramFormat:
		return nil, sense.Param(0)
	case binary.BigEndian.Uint16(p[2:]) != headerCSCD:
		return nil, sense.Param(2)
	case p[15]&gSense != 0:
		return nil, sense.ParamBit(15, 1)
	case p[16] != headerFF:
		return nil, sense.Param(16)
	}
	if err := l.setUsage(p[1], 20); err != nil {
		return nil, err
	}
	targets := uint64(binary.BigEndian.Uint16(p[42:]))
	segments := uint64(binary.BigEndian.Uint16(p[44:]))
	inline := uint64(binary.BigEndian.Uint16(p[46:]))
	return l, l.parse(p, lid4Header, targets, segments, inline, [3]int{42, 44, 46})
}

// setUsage takes byte 1. idAt is where the list identifier lies. STR and PRIORITY make no
// difference to disks.
func (l *list) setUsage(b byte, idAt int) error {
	switch l.usage = b >> 3 & 3; {
	case l.usage == 1:
		return sense.ParamBit(1, 4)
	case l.usage == usageNone && l.id.id != 0:
		return sense.Param(idAt)
	}
	return nil
}

// parse takes the descriptors, whose lists have the given lengths; fields are where the
// header says so.
func (l *list) parse(p []byte, header int, targets, segments, inline uint64, fields [3]int) error {
	switch {
	case targets+segments > maxListLen, uint64(len(p)-header) < targets+segments+inline:
		return sense.ErrParamLength
	case targets > maxTargets*targetLen:
		return invalid(tooManyTargets, fields[0])
	case targets%targetLen != 0:
		return sense.Param(fields[0])
	case inline > 0:
		return invalid(inlineLengthExceeded, fields[2])
	}
	at := header
	for end := header + int(targets); at < end; at += targetLen {
		t, err := parseTarget(p[at:at+targetLen], at)
		if err != nil {
			return err
		}
		l.targets = append(l.targets, t)
	}
	for end := at + int(segments); at < end; {
		if len(l.segments) == maxSegments {
			return invalid(tooManySegments, fields[1])
		}
		s, n, err := parseSegment(p[at:end], at)
		if err != nil {
			return err
		}
		l.segments = append(l.segments, s)
		at += n
	}
	return nil
}

// parseTarget takes a CSCD descriptor. LU ID TYPE, NUL and the relative port are ignored
// for this type (SPC-4).
func parseTarget(p []byte, at int) (target, error) {
	if p[0] != typeIdentify {
		return target{}, invalid(unsupportedTarget, at)
	}
	n := int(p[7])
	if n > maxDesignator {
		return target{}, sense.Param(at + 7)
	}
	if p[5]&0x30 != 0 {
		return target{}, sense.ParamBit(at+5, 5) // ASSOCIATION: not a logical unit's
	}
	return target{at: at, pdt: p[1] & 0x1f, codeSet: p[4] & 0x0f, kind: p[5] & 0x0f,
		id: p[8 : 8+n], blockLen: wire.U24(p[29:])}, nil
}

// parseSegment takes the segment descriptor that p begins with, and says how long it is.
func parseSegment(p []byte, at int) (s segment, n int, err error) {
	var want int
	switch p[0] {
	case typeBlock:
		want = segmentLen
	case typeBlockOffset:
		want = segmentOffsetLen
	default:
		return s, 0, invalid(unsupportedSegment, at)
	}
	if len(p) < want || int(binary.BigEndian.Uint16(p[2:])) != want-segmentHeader {
		return s, 0, sense.Param(at + 2)
	}
	s = segment{at: at, dc: p[1]&0x02 != 0,
		src: binary.BigEndian.Uint16(p[4:]), dst: binary.BigEndian.Uint16(p[6:]),
		srcLBA: binary.BigEndian.Uint64(p[12:]), dstLBA: binary.BigEndian.Uint64(p[20:])}
	if p[0] == typeBlock {
		s.count = uint64(binary.BigEndian.Uint16(p[10:]))
		return s, want, nil
	}
	s.inBytes = true
	s.count = uint64(binary.BigEndian.Uint32(p[8:]))
	s.srcOff, s.dstOff = binary.BigEndian.Uint16(p[28:]), binary.BigEndian.Uint16(p[30:])
	if s.count > maxSegmentLen {
		return s, 0, sense.Param(at + 8)
	}
	return s, want, nil
}
