// Package wire reads and writes big-endian fields of variable structures: VPD
// pages, mode pages, parameter lists. Fixed headers are views with named
// offsets in the packages that own them. It imports nothing of ours.
package wire

import "encoding/binary"

// Reader takes fields off the front of a buffer. A short buffer is remembered:
// read every field, then ask OK once.
type Reader struct {
	b     []byte
	off   int
	short bool
}

// NewReader reads from b, which the Reader only borrows.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

var zeros [8]byte

func (r *Reader) take(n int) []byte {
	if r.short || n < 0 || len(r.b)-r.off < n {
		r.short = true
		if n >= 0 && n <= len(zeros) {
			return zeros[:n]
		}
		return nil
	}
	r.off += n
	return r.b[r.off-n : r.off]
}

// U8 takes one byte; 0 after a short read, like all its siblings.
func (r *Reader) U8() uint8 { return r.take(1)[0] }

// U16 takes two bytes.
func (r *Reader) U16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }

// U24 takes three bytes.
func (r *Reader) U24() uint32 { return U24(r.take(3)) }

// U32 takes four bytes.
func (r *Reader) U32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }

// U64 takes eight bytes.
func (r *Reader) U64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

// Bytes takes n bytes, still part of the buffer; nil after a short read.
func (r *Reader) Bytes(n int) []byte {
	if b := r.take(n); !r.short {
		return b
	}
	return nil
}

// Skip passes over n bytes.
func (r *Reader) Skip(n int) { r.take(n) }

// Off is how many bytes were taken.
func (r *Reader) Off() int { return r.off }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.off }

// OK reports whether every field so far lay inside the buffer.
func (r *Reader) OK() bool { return !r.short }

// U24 decodes a three-byte big-endian number.
func U24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// PutU24 encodes the low three bytes of v.
func PutU24(b []byte, v uint32) { b[0], b[1], b[2] = byte(v>>16), byte(v>>8), byte(v) }

// AppendU24 appends the low three bytes of v.
func AppendU24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

// AppendPadded appends s cut or padded with spaces to n bytes, the form of
// ASCII fields in INQUIRY data (SPC-6, 4.3.1).
func AppendPadded(b []byte, s string, n int) []byte {
	for i := range n {
		c := byte(' ')
		if i < len(s) {
			c = s[i]
		}
		b = append(b, c)
	}
	return b
}
