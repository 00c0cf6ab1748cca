package pr

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/targate/targate/core"
)

// TestTransportID: the bytes of both formats, and what is refused (SPC-6, 7.6.4.7).
func TestTransportID(t *testing.T) {
	text := func(s string) string { return hex.EncodeToString([]byte(s)) }
	good := []struct {
		name string
		hex  string
		want core.InitiatorPort
		own  bool // as we encode it
	}{
		{"port", "45000020" + text("iqn.1993-08:a,i,0x00023d000001") + "0000", core.InitiatorPort{Name: "iqn.1993-08:a", Session: "00023d000001"}, true},
		{"device", "05000014" + text("iqn.1993-08.org:a") + "000000", core.InitiatorPort{Name: "iqn.1993-08.org:a"}, true},
		{"short name", "05000014" + text("eui.0") + strings.Repeat("00", 15), core.InitiatorPort{Name: "eui.0"}, true},
		{"capitals, and an ISID without its zeros", "45000018" + text("IQN.X:A,I,0X23D0000AB") + "000000", core.InitiatorPort{Name: "iqn.x:a", Session: "00023d0000ab"}, false},
		{"more padding", "05000018" + text("iqn.1993-08.org:a") + "00000000000000", core.InitiatorPort{Name: "iqn.1993-08.org:a"}, false},
	}
	for _, tt := range good {
		t.Run(tt.name, func(t *testing.T) {
			b, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			ip, n, err := parseTransportID(append(b, 0xff, 0xff))
			if err != nil || n != len(b) || ip != tt.want {
				t.Errorf("%+v, %d, %v", ip, n, err)
			}
			if got := hex.EncodeToString(appendTransportID(nil, tt.want)); (got == tt.hex) != tt.own {
				t.Errorf("encoded %s", got)
			}
		})
	}
	for name, s := range map[string]string{
		"empty":                  "",
		"header only":            "450000",
		"cut":                    "05000014" + text("iqn.1993-08.org:a") + "0000",
		"another protocol":       "06000014" + text("iqn.1993-08.org:a") + "000000",
		"another format":         "85000014" + text("iqn.1993-08.org:a") + "000000",
		"reserved byte":          "05010014" + text("iqn.1993-08.org:a") + "000000",
		"too short":              "05000010" + text("iqn.1993-08:a") + "000000",
		"no multiple of 4":       "05000015" + text("iqn.1993-08.org:a") + "00000000",
		"no zero at the end":     "05000014" + text("iqn.1993-08.org:abcd"),
		"more behind the zero":   "05000014" + text("iqn.1993-08.org:a") + "006100",
		"port without an ISID":   "45000014" + text("iqn.1993-08.org:a") + "000000",
		"port with an empty one": "45000018" + text("iqn.1993-08.org:a,i,0x") + "0000",
		"ISID of 14 digits":      "45000020" + text("iqn.199-08:a,i,0x0000023d000001") + "00",
		"ISID that is no number": "45000020" + text("iqn.1993-08:a,i,0x00023d00000g") + "0000",
		"no name":                "45000014" + text(",i,0x00023d000001") + "000000",
		"a comma":                "05000014" + text("iqn,1993-08.org:a") + "000000",
		"a space":                "05000014" + text("iqn 1993-08.org:a") + "000000",
		"too long":               "05000104" + text(strings.Repeat("a", 0x103)) + "00",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(name, err)
		}
		if ip, _, err := parseTransportID(b); err == nil {
			t.Errorf("%s: %+v", name, ip)
		}
	}
	long := core.InitiatorPort{Name: strings.Repeat("n", maxNameLen), Session: "0123456789ab"}
	b := appendTransportID(nil, long)
	if ip, n, err := parseTransportID(b); err != nil || ip != long || n != len(b) || n != idHeader+maxIDBody {
		t.Errorf("the longest: %d of %d bytes, %v", n, len(b), err)
	}
}

// FuzzTransportID: what parses encodes to what parses to the same.
func FuzzTransportID(f *testing.F) {
	f.Add(appendTransportID(nil, initiator("a")))
	f.Add(appendTransportID(nil, core.InitiatorPort{Name: "eui.0"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ip, n, err := parseTransportID(b)
		if err != nil {
			return
		}
		if n > len(b) || len(ip.Name) > maxNameLen || ip.Session != "" && len(ip.Session) != isidLen {
			t.Fatalf("%+v of %d bytes", ip, n)
		}
		again := appendTransportID(nil, ip)
		if got, m, err := parseTransportID(again); err != nil || got != ip || m != len(again) {
			t.Fatalf("%+v came back as %+v, %v", ip, got, err)
		}
	})
}
