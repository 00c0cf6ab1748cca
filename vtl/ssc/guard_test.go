package ssc

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Codes of ECMA-319 and RFC 3720, which other implementations give too.
func TestGuard(t *testing.T) {
	digits := []byte("123456789")
	for _, c := range []struct {
		name  string
		g     guard
		block []byte
		want  string
	}{
		{"ReedSolomon/one", guard{method: guardReedSolomon}, []byte{1}, "38cf3801"},
		{"ReedSolomon/two", guard{method: guardReedSolomon}, []byte{0, 2}, "70837002"},
		{"ReedSolomon/after", guard{method: guardReedSolomon}, []byte{1, 0}, hexOf(0xcf380100 ^ reedSolomonTable[0x38])},
		{"CRC32C/little", guard{method: guardCRC32C, little: true}, digits, "839206e3"},
		{"CRC32C/big", guard{method: guardCRC32C}, digits, "e3069283"},
		{"CRC32C/zeros", guard{method: guardCRC32C, little: true}, make([]byte, 32), "aa36918a"},
		{"none", guard{}, digits, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, crc, _ := guard{}.check(c.block)
			data := c.g.append(bytes.Clone(c.block), c.block, crc)
			if got := hex.EncodeToString(data[len(c.block):]); got != c.want {
				t.Fatalf("%s, want %s", got, c.want)
			}
			block, _, ok := c.g.check(data)
			if !ok || !bytes.Equal(block, c.block) {
				t.Error("its own code is not right")
			}
			for i := range data[:len(data)-1] {
				if c.g.method == guardNone {
					break
				}
				bad := bytes.Clone(data)
				bad[i] ^= 0x10
				if _, _, ok := c.g.check(bad); ok {
					t.Errorf("byte %d may be wrong", i)
				}
			}
		})
	}
	if _, _, ok := (guard{method: guardCRC32C}).check([]byte{1, 2, 3}); ok {
		t.Error("three bytes have a code of four")
	}
}

func hexOf(v uint32) string {
	return hex.EncodeToString([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
