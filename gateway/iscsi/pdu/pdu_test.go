package pdu

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestSerial(t *testing.T) {
	for _, c := range []struct {
		a, b   Serial
		before bool
	}{{1, 2, true}, {2, 1, false}, {7, 7, false}, {0xffffffff, 0, true}, {0, 0xffffffff, false}, {0x7fffffff, 0x80000000, true}} {
		if c.a.Before(c.b) != c.before {
			t.Errorf("%#x before %#x is not %v", c.a, c.b, c.before)
		}
	}
}

// TestDigest holds the CRC32C against the example of RFC 7143, appendix (RFC 3720, B.4).
func TestDigest(t *testing.T) {
	zeros := make([]byte, 32)
	var b [4]byte
	PutDigest(b[:], Digest(0, zeros))
	if got := hex.EncodeToString(b[:]); got != "aa36918a" {
		t.Errorf("the digest of 32 zeros is %s on the wire", got)
	}
	ones := bytes.Repeat([]byte{0xff}, 32)
	PutDigest(b[:], Digest(0, ones))
	if got := hex.EncodeToString(b[:]); got != "43aba862" {
		t.Errorf("the digest of 32 ff is %s on the wire", got)
	}
	if GetDigest(b[:]) != Digest(Digest(0, ones[:9]), ones[9:]) {
		t.Error("a digest in two steps differs")
	}
}

func TestPad(t *testing.T) {
	for n, want := range []int{0, 3, 2, 1, 0, 3} {
		if Pad(n) != want {
			t.Errorf("Pad(%d) = %d", n, Pad(n))
		}
	}
}

func TestAHS(t *testing.T) {
	first := bytes.Repeat([]byte{0x7f}, 16)
	for _, c := range []struct {
		name, ahs string
		cdb       int
		bidi      uint32
		bad       bool
	}{
		{"none", "", 16, 0, false},
		{"extended_cdb", "0011 01 00 000102030405060708090a0b0c0d0e0f", 32, 0, false},
		{"bidi", "0005 02 00 00001000", 16, 4096, false},
		{"both", "0005 02 00 00000200 0003 01 00 aabb 0000", 18, 512, false},
		{"length_0_of_a_cdb", "0000 01 00", 0, 0, true}, // LIO panicked on it
		{"length_1_of_a_cdb", "0001 01 00", 0, 0, true},
		{"beyond_the_segment", "0100 01 00 00000000", 0, 0, true},
		{"short", "0005 02", 0, 0, true},
		{"unknown_type", "0005 3f 00 00000000", 0, 0, true},
		{"bidi_of_another_length", "0004 02 00 000000 00", 0, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := hex.DecodeString(string(bytes.ReplaceAll([]byte(c.ahs), []byte(" "), nil)))
			if err != nil {
				t.Fatal(err)
			}
			cdb, bidi, err := ParseAHS(b, first[:16:16])
			if (err != nil) != c.bad {
				t.Fatalf("error %v", err)
			}
			if err == nil && (len(cdb) != c.cdb || bidi != c.bidi) {
				t.Fatalf("a CDB of %d bytes, bidirectional length %d", len(cdb), bidi)
			}
		})
	}
}

func FuzzAHS(f *testing.F) {
	f.Add([]byte{0, 5, 2, 0, 0, 0, 2, 0, 0, 3, 1, 0, 0xaa, 0xbb, 0, 0})
	f.Add([]byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), 255*4)]
		cdb, _, err := ParseAHS(b, make([]byte, 16))
		if err == nil && len(cdb) > 16+len(b) {
			t.Fatalf("a CDB of %d bytes out of %d", len(cdb), len(b))
		}
	})
}
