package text

import (
	"bytes"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// FuzzParse: what is parsed can be written and parsed again, the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "A=b\x00", "SendTargets=All\x00", "A=1\x00\x00B=2", "A\x00", "=\x00", "A=1\x00A=1\x00",
		"InitiatorName=iqn.1993-08.org.debian:01:abc\x00SessionType=Discovery\x00AuthMethod=CHAP,None\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		pairs, err := Parse(data)
		if err != nil {
			return
		}
		if len(pairs) > MaxPairs {
			t.Fatalf("%d pairs", len(pairs))
		}
		var b []byte
		for _, p := range pairs {
			b = Append(b, p.Key, p.Value)
		}
		again, err := Parse(b)
		if err != nil || !reflect.DeepEqual(pairs, again) {
			t.Fatalf("%q, again %q, %v", pairs, again, err)
		}
	})
}

// FuzzBinary: what is decoded stays within its limit, and is the same number in
// hexadecimal.
func FuzzBinary(f *testing.F) {
	for _, s := range []string{"", "0", "0x", "0b", "0x00ff", "0xabc", "0bAQID", "0bAQ==", "0bAQ", "12345678901234567890123",
		"0x" + strings.Repeat("f", 2*MaxBinary), "0b\nAQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Binary(s, 32)
		if err != nil {
			return
		}
		if len(b) == 0 || len(b) > 32 {
			t.Fatalf("%q: %d bytes", s, len(b))
		}
		again, err := Binary(Hex(b), 32)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("%q: %x, again %x, %v", s, b, again, err)
		}
		again, err = Binary(new(big.Int).SetBytes(b).String(), 32)
		if err != nil || new(big.Int).SetBytes(b).Cmp(new(big.Int).SetBytes(again)) != 0 {
			t.Fatalf("%q: %x, again %x, %v", s, b, again, err)
		}
	})
}

// FuzzExchange: requests of flags, tag and text up to FFh never make the exchange
// hold more than it may, send more than the initiator takes, or lose its tags.
func FuzzExchange(f *testing.F) {
	f.Add([]byte("\x80\x00SendTargets=All\x00\xff\x80\x01\xff\x80\x01\xff\x80\x01\xff\x80\x01"))
	f.Add([]byte("\x40\x00SendTar\xff\x40\x01gets=\xff\x80\x01All"))
	f.Add([]byte("\x00\x00A=b\xff\x80\x01C=d"))
	f.Add([]byte("\xc0\x00A=b"))
	f.Add([]byte("\x80\x02A=b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 48
		x := &Exchange{Answer: answerer("").Answer}
		last := uint32(pdu.NoTag)
		for len(data) >= 2 {
			flags, tag := data[0], data[1]
			part, rest, _ := bytes.Cut(data[2:], []byte{0xff})
			data = rest
			q := Request{Final: flags&0x80 != 0, Continue: flags&0x40 != 0, ITT: 1, TTT: pdu.NoTag, Data: part}
			switch tag {
			case 0:
			case 1:
				q.TTT = last
			default:
				q.TTT = uint32(tag)
			}
			r, err := x.Step(q, limit)
			if err != nil {
				if x.in != nil || x.out != nil || x.open {
					t.Fatal("a rejected negotiation lives on")
				}
				continue
			}
			if len(r.Data) > limit || len(x.in) > MaxText {
				t.Fatalf("%d bytes out, %d held", len(r.Data), len(x.in))
			}
			if r.Final && (!q.Final || r.Continue) || r.Final != (r.TTT == pdu.NoTag) {
				t.Fatalf("%+v answers %+v", r, q)
			}
			last = r.TTT
		}
	})
}
