package cartridge

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cursor takes fields off the front of b. What is wrong is remembered: read every field, then
// ask ok once.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) bytes(n int) []byte {
	if c.bad || n < 0 || n > len(c.b) {
		c.bad = true
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) u8() uint8 {
	if v := c.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if v := c.bytes(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if v := c.bytes(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if v := c.bytes(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

// varint takes an unsigned LEB128 number in its shortest form, so that what is read has one
// encoding.
func (c *cursor) varint() uint64 {
	v, n := binary.Uvarint(c.b)
	if c.bad || n <= 0 || (n > 1 && c.b[n-1] == 0) {
		c.bad = true
		return 0
	}
	c.b = c.b[n:]
	return v
}

// number is a varint that fits an int64.
func (c *cursor) number() int64 {
	v := c.varint()
	if v > math.MaxInt64 {
		c.bad = true
		return 0
	}
	return int64(v)
}

// count is a varint of at most limit.
func (c *cursor) count(limit int) int {
	v := c.varint()
	if v > uint64(limit) {
		c.bad = true
		return 0
	}
	return int(v)
}

func (c *cursor) text(limit int) string { return string(c.bytes(c.count(limit))) }

// end reports whether all was well and nothing is left.
func (c *cursor) end() bool { return !c.bad && len(c.b) == 0 }

var le = binary.LittleEndian

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}
