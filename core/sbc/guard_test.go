package sbc

import (
	"math/rand/v2"
	"testing"
)

// slowGuard is the definition, bit by bit.
func slowGuard(p []byte) uint16 {
	crc := uint16(0)
	for _, b := range p {
		crc ^= uint16(b) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= guardPolynomial
			}
		}
	}
	return crc
}

// The vectors of SBC-4, table 26: CRC test cases for 32 bytes.
func TestGuardVectors(t *testing.T) {
	counting, falling := make([]byte, 32), make([]byte, 32)
	for i := range counting {
		counting[i], falling[i] = byte(i), byte(255-i)
	}
	ones := make([]byte, 32)
	for i := range ones {
		ones[i] = 0xff
	}
	for _, c := range []struct {
		name string
		p    []byte
		want uint16
	}{
		{"all_00", make([]byte, 32), 0x0000},
		{"all_ff", ones, 0xa293},
		{"counting_up", counting, 0x0224},
		{"ff_ff_then_00", append([]byte{0xff, 0xff}, make([]byte, 30)...), 0x21b8},
		{"counting_down_from_ff", falling, 0xa0b7},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := guard(c.p); got != c.want {
				t.Errorf("%04x, want %04x", got, c.want)
			}
		})
	}
}

func TestGuardLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		if got, want := guard(p), slowGuard(p); got != want {
			t.Fatalf("%d bytes: %04x, want %04x", n, got, want)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, n := range []int{512, 4096} {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(i * 7)
		}
		b.Run(map[int]string{512: "512", 4096: "4096"}[n], func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				guard(p)
			}
		})
		b.Run(map[int]string{512: "512_byte_by_byte", 4096: "4096_byte_by_byte"}[n], func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				crc := uint16(0)
				for _, x := range p {
					crc = crc<<8 ^ guardTable[0][byte(crc>>8)^x]
				}
			}
		})
	}
}
