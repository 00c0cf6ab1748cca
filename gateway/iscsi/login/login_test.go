package login

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/targate/targate/gateway/iscsi/text"
)

// TestDigest holds each algorithm against digests made by another implementation
// (Python's hashlib): identifier 2Ah, challenge 00h to 0Fh.
func TestDigest(t *testing.T) {
	want := map[int]string{
		5: "b8167bfd677ab6fe3289b17b36f11891",
		6: "7ee1c6a4c63f4aff3b43d06025fc548323c8f258",
		7: "e03889ce38455d4cfbb92efa4f1e8bf9b8ef26102937080035df7f081e2cdd61",
		8: "fe162e8f66d8349343311355677317f62f0164ea6df8ec596bdcd237c532ffc5",
	}
	challenge := make([]byte, 16)
	for i := range challenge {
		challenge[i] = byte(i)
	}
	for i := range algorithms {
		a := &algorithms[i]
		got := a.digest(0x2a, []byte("secret-of-joe"), challenge)
		if hex.EncodeToString(got) != want[a.number] {
			t.Errorf("algorithm %d: %x", a.number, got)
		}
		if len(got) != a.size {
			t.Errorf("algorithm %d: size is %d, digests have %d", a.number, a.size, len(got))
		}
		delete(want, a.number)
	}
	if len(want) > 0 {
		t.Errorf("not implemented: %v", want)
	}
}

func TestIdentifier(t *testing.T) {
	for s, want := range map[string]int{
		"0": 0, "255": 255, "007": 7, "0xfF": 255, "0X1": 1, "0b/w==": 255, "0BAA==": 0,
		"": -1, "256": -1, "0x100": -1, "0x": -1, "0b": -1, "0bAAE=": -1, "-1": -1, "+1": -1, "one": -1,
	} {
		got, err := identifier(s)
		if (err == nil) != (want >= 0) || err == nil && int(got) != want {
			t.Errorf("identifier(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}

// TestResponseShorter: an initiator may write its response as a number, whose
// leading zeros are gone.
func TestResponseShorter(t *testing.T) {
	alg := &algorithms[0]
	c := &chap{auth: &Auth{Users: []Credential{joe}}, alg: alg}
	for id := 0; ; id++ {
		if id == 1<<16 {
			t.Fatal("no digest begins with zero")
		}
		c.id, c.challenge = byte(id), []byte(fmt.Sprintf("challenge-%06d", id))
		d := alg.digest(c.id, joe.Secret, c.challenge)
		if d[0] != 0 {
			continue
		}
		if _, err := c.verify("joe", text.Hex(d[1:])); err != nil {
			t.Error(err)
		}
		if _, err := c.verify("joe", text.Hex(d[:15])); err == nil {
			t.Error("a truncated response is accepted")
		}
		return
	}
}

func TestNormalizeName(t *testing.T) {
	long := "iqn.2026-11.org.targate:" + strings.Repeat("x", MaxName-24)
	for in, want := range map[string]string{
		"iqn.2026-11.org.targate:demo":         "iqn.2026-11.org.targate:demo",
		"IQN.2026-11.Org.Targate:Demo:A":       "iqn.2026-11.org.targate:demo:a",
		"iqn.2026-11.org.targate":              "iqn.2026-11.org.targate",
		"iqn.2026-11.org.targate:":             "iqn.2026-11.org.targate:",
		"iqn.2008-11.org.linux-kvm:my_vm":      "iqn.2008-11.org.linux-kvm:my_vm",
		"iqn.2026-11.org.targate:ÄÖÜ":          "iqn.2026-11.org.targate:äöü",
		"eui.02004567A425678D":                 "eui.02004567a425678d",
		"naa.52004567BA64678D":                 "naa.52004567ba64678d",
		"naa.62004567BA64678D0123456789ABCDEF": "naa.62004567ba64678d0123456789abcdef",
		long:                                   long,

		"":                                    "",
		long + "x":                            "",
		"iqn":                                 "",
		"iqn.2026-11":                         "",
		"iqn.2026-11.":                        "",
		"iqn.2026-13.org.targate:demo":        "",
		"iqn.26-11.org.targate:demo":          "",
		"iqn.2026-11.:demo":                   "",
		"eui.02004567A425678":                 "",
		"eui.02004567A425678G":                "",
		"naa.52004567BA64678D0":               "",
		"wwn.52004567BA64678D":                "",
		"iqn.2026-11.org.targate:a b":         "",
		"iqn.2026-11.org.targate:a,b":         "",
		"iqn.2026-11.org.targate:a\x01":       "",
		"iqn.2026-11.org.targate:a\u00a0b":    "",
		"iqn.2026-11.org.targate:\xff":        "",
		"iqn.2026-11.org.targate:a\nb":        "",
		" iqn.2026-11.org.targate:demo":       "",
		"iqn.2026-11.org.targate:" + "\u200b": "",
	} {
		got, err := NormalizeName(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("NormalizeName(%q) = %q, %v; want %q", in, got, err, want)
		}
		if err != nil && !errors.Is(err, ErrName) {
			t.Errorf("NormalizeName(%q): %v is no ErrName", in, err)
		}
	}
}

// TestKeys holds the rows of the key table against themselves.
func TestKeys(t *testing.T) {
	limits, params := DefaultLimits(), Defaults()
	for i := range keys {
		k := &keys[i]
		if rows[k.name] != i {
			t.Errorf("%s has two rows", k.name)
		}
		if len(k.name) > text.MaxKey {
			t.Errorf("%s is too long", k.name)
		}
		if k.from == 0 || k.when == 0 {
			t.Errorf("%s: nobody may ever send it", k.name)
		}
		if k.irrelevant != nil && k.irrelevant(&Result{}) && k.irrelevant(&Result{SessionType: Discovery}) {
			continue
		}
		switch k.kind {
		case number, boolean:
			if k.result == nil || k.ours == nil || (k.get == nil) != (k.set == nil) {
				t.Fatalf("%s cannot be negotiated", k.name)
			}
			if _, ok := k.parse(k.show(k.ours(&limits, &params))); !ok {
				t.Errorf("%s: our own offer %d is illegal", k.name, k.ours(&limits, &params))
			}
		case list:
			if k.get == nil || k.set == nil {
				t.Fatalf("%s cannot be negotiated", k.name)
			}
			for _, v := range k.accept(&limits) {
				if !slices.Contains(k.values, v) {
					t.Errorf("%s: we accept %q, which is none of %q", k.name, v, k.values)
				}
			}
		case declared:
			if k.from&initiator != 0 && k.declare == nil {
				t.Errorf("%s: nobody takes what the initiator declares", k.name)
			}
		}
		if k.get != nil && k.set != nil { // what is set comes back, and the default is legal
			for v := range uint64(2) {
				v = max(v, k.lo)
				p := Defaults()
				if k.set(&p, v); k.get(&p) != v {
					t.Errorf("%s: set %d, got %d", k.name, v, k.get(&p))
				}
			}
			if k.kind == number && (k.get(&params) < k.lo || k.get(&params) > k.hi) {
				t.Errorf("%s: the default %d is illegal", k.name, k.get(&params))
			}
		}
	}
}

// TestRenegotiate is the keys of a Text Request in the full feature phase.
func TestRenegotiate(t *testing.T) {
	var xmit uint32
	f := Renegotiate(func(n uint32) { xmit = n })
	for _, c := range []struct{ key, value, answer string }{
		{"MaxRecvDataSegmentLength", "65536", ""}, // 13.12
		{"MaxRecvDataSegmentLength", "100", text.Reject},
		{"InitiatorAlias", "host", ""},                              // 13.7
		{"InitiatorAlias", strings.Repeat("x", 256), text.Reject},   // 6.1
		{"TargetAlias", "x", text.Reject},                           // 13.6: not the initiator's
		{"MaxBurstLength", "65536", text.Reject},                    // 13.13: leading only
		{"HeaderDigest", "CRC32C", text.Reject},                     // 13.1: initialization only
		{"InitiatorName", "iqn.2026-11.org.targate:i", text.Reject}, // 13.5
		{"AuthMethod", "None", text.Reject},                         // 12.1
		{"X-com.example.color", "red", text.NotUnderstood},          // 6.2
	} {
		v, ok := f(text.Pair{Key: c.key, Value: c.value})
		if v != c.answer || ok != (c.answer != "") {
			t.Errorf("%s=%.20s: %q, %t; want %q", c.key, c.value, v, ok, c.answer)
		}
	}
	if xmit != 65536 {
		t.Errorf("MaxRecvDataSegmentLength came to %d", xmit)
	}
}

// TestLimits is what bounds a login that never ends.
func TestLimits(t *testing.T) {
	first := "InitiatorName=iqn.1993-08.org.debian:01:abc\x00TargetName=" + base + "disk\x00"
	run := func(name, reason string, most int, next func(i int) Request) {
		t.Run(name, func(t *testing.T) {
			m := New(Config{Directory: &directory{}, Limits: DefaultLimits()})
			for i := range most {
				_, err := m.Step(next(i))
				var r *Refusal
				if errors.As(err, &r) {
					if r.Status != InitiatorError || !strings.Contains(r.Reason, reason) {
						t.Errorf("request %d: %v", i, err)
					}
					return
				}
			}
			t.Errorf("not refused after %d requests", most)
		})
	}
	run("steps", "no end", MaxSteps+1, func(i int) Request {
		if i == 0 {
			return Request{Data: []byte(first)}
		}
		return Request{}
	})
	run("empty continuations", "no end", MaxSteps+1, func(int) Request { return Request{Continue: true} })
	run("length", "longer than", text.MaxText/MaxData+1, func(int) Request {
		return Request{Continue: true, Data: []byte(strings.Repeat("a=b\x00", MaxData/4))}
	})
	run("keys", "keys", 1, func(int) Request {
		var b strings.Builder
		for i := range text.MaxPairs + 1 {
			fmt.Fprintf(&b, "K%d=\x00", i)
		}
		return Request{Data: []byte(b.String())}
	})
}

// TestRefuseFirst: a connection may be refused before its machine saw anything.
func TestRefuseFirst(t *testing.T) {
	m := New(Config{Directory: &directory{}, Limits: DefaultLimits()})
	q := Request{ITT: 5, CmdSN: 77, ExpStatSN: 9}
	r, err := m.Refuse(q, Refuse(TooManyConnections, "full"))
	if err == nil || r.Status != TooManyConnections || r.ITT != 5 || r.ExpCmdSN != 77 || r.StatSN != 9 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = m.Step(q); err == nil || r.Status != InvalidDuringLogin {
		t.Errorf("after the refusal: %+v, %v", r, err)
	}
}

// TestStatus: every status that we name has a class that the RFC knows.
func TestStatus(t *testing.T) {
	for s, n := range statusNames {
		if s.Class() > 3 || s.Class() == 0 && s != Success {
			t.Errorf("%s has class %d", n, s.Class())
		}
		if got, want := s.String(), fmt.Sprintf("%02x/%02x %s", s.Class(), s.Detail(), n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := Status(0x02ff).String(); got != "02/ff" {
		t.Error(got)
	}
}
