package login

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/targate/targate/gateway/iscsi/pdu"
)

// TestParseRequest holds the offsets against a Login Request written out by hand
// (RFC 7143, 11.12).
func TestParseRequest(t *testing.T) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(`
		43 c7 02 01  00 00 00 03
		40 11 22 33  44 55 66 77
		01 02 03 04  ab cd 00 00
		00 00 00 64  00 00 00 05
		00000000 00000000 00000000 00000000`), ""))
	if err != nil {
		t.Fatal(err)
	}
	got := ParseRequest(pdu.View(b), []byte("A=b"))
	want := Request{Transit: true, Continue: true, CSG: Operational, NSG: FullFeature, VersionMax: 2, VersionMin: 1,
		ISID: [6]byte{0x40, 0x11, 0x22, 0x33, 0x44, 0x55}, TSIH: 0x6677, ITT: 0x01020304, CID: 0xabcd,
		CmdSN: 100, ExpStatSN: 5, Data: []byte("A=b")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestAppend does the same for a Login Response (RFC 7143, 11.13), with padding.
func TestAppend(t *testing.T) {
	r := Response{Transit: true, CSG: Operational, NSG: FullFeature, VersionMax: 2, VersionActive: 1,
		ISID: [6]byte{0x40, 0x11, 0x22, 0x33, 0x44, 0x55}, TSIH: 0x6677, ITT: 0x01020304,
		StatSN: 5, ExpCmdSN: 100, MaxCmdSN: 131, Status: AuthFailure, Data: []byte("A=b\x00C")}
	want := strings.Join(strings.Fields(`
		23 87 02 01  00 00 00 05
		40 11 22 33  44 55 66 77
		01 02 03 04  00 00 00 00
		00 00 00 05  00 00 00 64
		00 00 00 83  02 01 00 00
		00000000 00000000
		413d6200 43000000`), "")
	if got := hex.EncodeToString(r.Append(nil)); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	r = Response{Continue: true}
	if got := r.Append(nil); got[1] != 0x40 || len(got) != pdu.HeaderLen {
		t.Errorf("%x", got)
	}
}

// TestNoRandom: without random numbers nobody authenticates.
func TestNoRandom(t *testing.T) {
	m := New(Config{Directory: &directory{}, Limits: DefaultLimits(), Rand: iotest.ErrReader(errors.New("dry"))})
	first := "InitiatorName=iqn.1993-08.org.debian:01:abc\x00TargetName=" + base + "oneway\x00AuthMethod=CHAP\x00"
	if _, err := m.Step(Request{Data: []byte(first)}); err != nil {
		t.Fatal(err)
	}
	r, err := m.Step(Request{Data: []byte("CHAP_A=5\x00")})
	if err == nil || r.Status != TargetError {
		t.Errorf("%v, %v", r.Status, err)
	}
}
