package sense

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of Parse.
var (
	ErrShort    = errors.New("sense data ends within a field")
	ErrResponse = errors.New("unknown response code")
)

// Parse decodes sense data of either format, as Append makes it and as other
// devices send it. Descriptors and bits that Error has no place for are passed over.
// An ErrShort or ErrResponse comes with no Error.
func Parse(b []byte) (*Error, error) {
	if len(b) == 0 {
		return nil, ErrShort
	}
	switch rc := b[0] & 0x7f; rc {
	case 0x70, 0x71:
		return parseFixed(b)
	case 0x72, 0x73:
		return parseDescriptor(b)
	default:
		return nil, fmt.Errorf("%w %#02x", ErrResponse, rc)
	}
}

// parseFixed needs 8 bytes; what lies behind ADDITIONAL SENSE LENGTH or the end of
// b reads as zero (SPC-6, 4.4.3).
func parseFixed(b []byte) (*Error, error) {
	if len(b) < 8 {
		return nil, ErrShort
	}
	var f [fixedLen]byte
	copy(f[:], b[:min(len(b), 8+int(b[7]))])
	e := &Error{Deferred: f[0]&0x7f == 0x71, Key: Key(f[2] & 0x0f)}
	e.setFlags(f[2])
	if f[0]&0x80 != 0 {
		e.Info, e.HasInfo = uint64(binary.BigEndian.Uint32(f[3:])), true
	}
	if c := binary.BigEndian.Uint32(f[8:]); c != 0 {
		e.Command, e.HasCommand = uint64(c), true
	}
	e.Code = Code(binary.BigEndian.Uint16(f[12:]))
	e.setSKS(f[15:])
	return e, nil
}

func parseDescriptor(b []byte) (*Error, error) {
	if len(b) < 8 {
		return nil, ErrShort
	}
	e := &Error{Deferred: b[0]&0x7f == 0x73, Key: Key(b[1] & 0x0f), Code: Code(binary.BigEndian.Uint16(b[2:]))}
	rest := b[8:]
	if n := int(b[7]); n < len(rest) {
		rest = rest[:n]
	} else if n > len(rest) {
		return nil, ErrShort
	}
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return nil, ErrShort
		}
		d := rest[:2+int(rest[1])]
		rest = rest[len(d):]
		switch {
		case d[0] == descInformation && len(d) == 12:
			if d[2]&0x80 != 0 {
				e.Info, e.HasInfo = binary.BigEndian.Uint64(d[4:]), true
			}
		case d[0] == descCommand && len(d) == 12:
			e.Command, e.HasCommand = binary.BigEndian.Uint64(d[4:]), true
		case d[0] == descSKS && len(d) == 8:
			e.setSKS(d[4:])
		case (d[0] == descStream || d[0] == descBlock) && len(d) == 4:
			e.setFlags(d[3])
		}
	}
	return e, nil
}

func (e *Error) setFlags(f byte) {
	e.Filemark, e.EndOfMedium, e.ILI = f&0x80 != 0, f&0x40 != 0, f&0x20 != 0
}

// setSKS reads the sense key specific bytes, whose meaning the sense key gives
// (SPC-6, table 35).
func (e *Error) setSKS(b []byte) {
	if b[0]&0x80 == 0 {
		return
	}
	v := binary.BigEndian.Uint16(b[1:])
	switch e.Key {
	case IllegalRequest:
		e.Field, e.HasField = v, true
		e.InData = b[0]&0x40 == 0
		if b[0]&0x08 != 0 {
			e.Bit, e.HasBit = b[0]&7, true
		}
	case NoSense, NotReady:
		e.Progress, e.HasProgress = v, true
	}
}
