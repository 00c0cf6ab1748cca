package text

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []Pair // nil: malformed
	}{
		{"empty", "", []Pair{}},
		{"one", "A=b\x00", []Pair{{"A", "b"}}},
		{"order", "B=2\x00A=1\x00", []Pair{{"B", "2"}, {"A", "1"}}},
		{"empty value", "SendTargets=\x00", []Pair{{"SendTargets", ""}}},
		{"equals sign in a value", "CHAP_N=a=b\x00", []Pair{{"CHAP_N", "a=b"}}},
		{"no last delimiter", "A=1\x00B=2", []Pair{{"A", "1"}, {"B", "2"}}},
		{"padding as text", "A=1\x00\x00\x00\x00B=2\x00\x00", []Pair{{"A", "1"}, {"B", "2"}}},
		{"every character of a key", "X#a-Z.0+9@x_=v\x00", []Pair{{"X#a-Z.0+9@x_", "v"}}},
		{"UTF-8", "InitiatorAlias=Größe\x00", []Pair{{"InitiatorAlias", "Größe"}}},
		{"longest key", strings.Repeat("K", MaxKey) + "=", []Pair{{strings.Repeat("K", MaxKey), ""}}},
		{"longest value", "K=" + strings.Repeat("v", MaxLargeValue), []Pair{{"K", strings.Repeat("v", MaxLargeValue)}}},

		{"no equals sign", "A\x00", nil},
		{"no key", "=b\x00", nil},
		{"twice", "A=1\x00B=2\x00A=1\x00", nil},
		{"space in a key", "A b=1\x00", nil},
		{"control character in a key", "A\x01=1\x00", nil},
		{"not UTF-8", "A=\xc3\x28\x00", nil},
		{"key too long", strings.Repeat("K", MaxKey+1) + "=", nil},
		{"value too long", "K=" + strings.Repeat("v", MaxLargeValue+1), nil},
		{"text too long", strings.Repeat("\x00", MaxText+1), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.in))
			if c.want == nil {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("%v, %v; want ErrFormat", got, err)
				}
				return
			}
			if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestParseMany(t *testing.T) {
	var b []byte
	for i := range MaxPairs {
		b = Append(b, fmt.Sprintf("K%d", i), "")
	}
	if pairs, err := Parse(b); err != nil || len(pairs) != MaxPairs {
		t.Errorf("%d pairs, %v", len(pairs), err)
	}
	if _, err := Parse(Append(b, "K", "")); !errors.Is(err, ErrFormat) {
		t.Errorf("one more: %v", err)
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		in    string
		bound uint64
		want  int64 // -1: bad
	}{
		{"0", 0, 0}, {"65535", 65535, 65535}, {"0x1F", 31, 31}, {"0X1f", 31, 31}, {"0010", 10, 10},
		{"1", 0, -1}, {"65536", 65535, -1}, {"0x20", 31, -1},
		{"", 9, -1}, {"0x", 9, -1}, {"-1", 9, -1}, {"+1", 9, -1}, {" 1", 9, -1}, {"1 ", 9, -1},
		{"1_0", 99, -1}, {"0x1_0", 99, -1}, {"0b1", 9, -1}, {"0o7", 9, -1}, {"1e3", 9999, -1},
		{"18446744073709551616", 1 << 63, -1},
	} {
		got, err := Number(c.in, c.bound)
		if (err == nil) != (c.want >= 0) || err == nil && got != uint64(c.want) {
			t.Errorf("Number(%q, %d) = %d, %v; want %d", c.in, c.bound, got, err, c.want)
		}
		if err != nil && !errors.Is(err, ErrValue) {
			t.Errorf("Number(%q): %v is no ErrValue", c.in, err)
		}
	}
}

func TestBinary(t *testing.T) {
	for _, c := range []struct{ in, want string }{ // want "": bad
		{"0x00ff", "\x00\xff"}, {"0XaBc", "\x0a\xbc"}, {"0x1", "\x01"},
		{"0bAQID", "\x01\x02\x03"}, {"0BAQI=", "\x01\x02"}, {"0bAQ==", "\x01"},
		{"0", "\x00"}, {"255", "\xff"}, {"256", "\x01\x00"}, {"000256", "\x01\x00"},
		{"", ""}, {"0x", ""}, {"0b", ""}, {"0xg", ""}, {"0bAQ", ""}, {"0bAQ=", ""}, {"0bAQI=\n", ""},
		{"0b\r\nAQID", ""}, {"0bAR==", ""}, {"0b-_-_", ""}, {"-1", ""}, {"1.5", ""}, {"ff", ""},
		{"0x010203040506070809", ""}, {"0bAQIDBAUGBwgJ", ""}, {"18446744073709551616", ""}, // 9 bytes
	} {
		got, err := Binary(c.in, 8)
		if string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Binary(%q) = %x, %v; want %x", c.in, got, err, c.want)
		}
		if err != nil && !errors.Is(err, ErrValue) {
			t.Errorf("Binary(%q): %v is no ErrValue", c.in, err)
		}
	}
}

// TestBinaryLongest: MaxBinary bytes pass in every encoding, and one more in none.
func TestBinaryLongest(t *testing.T) {
	for n, ok := range map[int]bool{MaxBinary: true, MaxBinary + 1: false} {
		b := bytes.Repeat([]byte{0xff}, n)
		for _, s := range []string{Hex(b), "0b" + base64.StdEncoding.EncodeToString(b), new(big.Int).SetBytes(b).String()} {
			if ok && len(s) > MaxLargeValue {
				t.Errorf("MaxLargeValue is %d, and %d bytes take %d", MaxLargeValue, n, len(s))
			}
			got, err := Binary(s, MaxBinary)
			if ok != (err == nil) || ok && !bytes.Equal(got, b) {
				t.Errorf("%d bytes as %.8s: %v", n, s, err)
			}
		}
	}
}
