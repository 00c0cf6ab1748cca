//go:build system

package sam

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// loginPDU is a Login Request by hand.
func loginPDU(csg, nsg byte, transit bool, kv ...string) *initiator.PDU {
	p := new(initiator.PDU)
	p.BHS[0] = initiator.OpLogin | initiator.Immediate
	p.BHS[1] = csg << 2
	if transit {
		p.BHS[1] |= initiator.Final | nsg
	}
	copy(p.BHS[8:], []byte{0x80, 9, 9, 9, 0, 1})
	p.PutU32(24, 1)
	var all []initiator.Key
	for i := 0; i < len(kv); i += 2 {
		all = append(all, initiator.Key{Name: kv[i], Value: kv[i+1]})
	}
	p.Data = initiator.EncodeKeys(all)
	return p
}

// firstLogin sends one Login Request on a new connection.
func firstLogin(t *testing.T, p *initiator.PDU) (*wire, *initiator.PDU) {
	t.Helper()
	c, err := initiator.Connect(t.Context(), lab.Portal)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) // the server may have closed first
	w := &wire{c, new(initiator.Params), t}
	w.send(p)
	return w, w.expect(initiator.OpLoginResponse)
}

func names(more ...string) []string {
	return append([]string{"InitiatorName", newName(), "TargetName", iqn, "SessionType", "Normal"}, more...)
}

func testLogin(t *testing.T) {
	status := func(t *testing.T, p *initiator.PDU, class, detail byte) {
		t.Helper()
		if p.BHS[36] != class || p.BHS[37] != detail {
			t.Errorf("status %02x/%02x, want %02x/%02x", p.BHS[36], p.BHS[37], class, detail)
		}
	}
	for _, c := range []struct {
		name          string
		pdu           func() *initiator.PDU
		class, detail byte
	}{
		{"11.13.5 no such target", func() *initiator.PDU {
			return loginPDU(1, 3, true, "InitiatorName", newName(), "TargetName", iqn+"-none", "SessionType", "Normal")
		}, 2, 3},
		{"11.13.5 an initiator that no group names", func() *initiator.PDU {
			return loginPDU(1, 3, true, "InitiatorName", newName(), "TargetName", iqnNobody, "SessionType", "Normal")
		}, 2, 2},
		{"11.13.5 no InitiatorName", func() *initiator.PDU {
			return loginPDU(1, 3, true, "TargetName", iqn, "SessionType", "Normal")
		}, 2, 7},
		{"11.13.5 no TargetName", func() *initiator.PDU {
			return loginPDU(1, 3, true, "InitiatorName", newName(), "SessionType", "Normal")
		}, 2, 7},
		{"11.13.5 an unknown SessionType", func() *initiator.PDU {
			return loginPDU(1, 3, true, "InitiatorName", newName(), "TargetName", iqn, "SessionType", "Other")
		}, 2, 9},
		{"11.12.4 a version that we do not speak", func() *initiator.PDU {
			p := loginPDU(1, 3, true, names()...)
			p.BHS[2], p.BHS[3] = 9, 8
			return p
		}, 2, 5},
		{"11.13.5 a TSIH that is not there", func() *initiator.PDU {
			p := loginPDU(1, 3, true, names()...)
			p.BHS[14], p.BHS[15] = 0xab, 0xcd
			return p
		}, 2, 0x0a},
		{"6.3 a transition backwards", func() *initiator.PDU { return loginPDU(1, 0, true, names()...) }, 2, 0x0b},
		{"6.3 a transition to the same stage", func() *initiator.PDU { return loginPDU(1, 1, true, names()...) }, 2, 0x0b},
		{"6.3 a stage that is reserved", func() *initiator.PDU { return loginPDU(2, 3, true, names()...) }, 2, 0x0b},
		{"6.3 full feature as the first stage", func() *initiator.PDU { return loginPDU(3, 3, true, names()...) }, 2, 0x0b},
		{"6.1 text that is no text", func() *initiator.PDU {
			p := loginPDU(1, 3, true)
			p.Data = []byte("InitiatorName\x00=\x00")
			return p
		}, 2, 0},
		{"13.4 an InitiatorName that is no name", func() *initiator.PDU {
			return loginPDU(1, 3, true, "InitiatorName", "joe in the kitchen", "TargetName", iqn, "SessionType", "Normal")
		}, 2, 0},
		{"6.2 a key that comes twice", func() *initiator.PDU {
			return loginPDU(1, 3, true, names("MaxBurstLength", "8192", "MaxBurstLength", "4096")...)
		}, 2, 0},
	} {
		run(t, c.name, func(t *testing.T) {
			_, p := firstLogin(t, c.pdu())
			if p.BHS[36] != c.class || p.BHS[37] != c.detail && !(c.detail == 0x0b && p.BHS[37] == 0) {
				t.Errorf("status %02x/%02x, want %02x/%02x", p.BHS[36], p.BHS[37], c.class, c.detail)
			}
		})
	}
	run(t, "6.3 straight to full feature", func(t *testing.T) {
		w, p := firstLogin(t, loginPDU(1, 3, true, names("HeaderDigest", "None", "DataDigest", "None", "ImmediateData", "Yes", "MaxBurstLength", "65536", "FirstBurstLength", "4096")...))
		status(t, p, 0, 0)
		if p.BHS[1]&0x83 != 0x83 || p.U16(14) == 0 {
			t.Errorf("flags %#02x, TSIH %d", p.BHS[1], p.U16(14))
		}
		w.CmdSN = 1
		w.alive()
	})
	run(t, "6.3 one key in each request", func(t *testing.T) {
		w, p := firstLogin(t, loginPDU(1, 3, false, names()...))
		status(t, p, 0, 0)
		for _, kv := range [][2]string{{"HeaderDigest", "None"}, {"DataDigest", "None"}, {"MaxBurstLength", "65536"}, {"FirstBurstLength", "512"}, {"ImmediateData", "No"}} {
			w.send(loginPDU(1, 3, false, kv[0], kv[1]))
			p := w.expect(initiator.OpLoginResponse)
			status(t, p, 0, 0)
			if !strings.Contains(string(p.Data), kv[0]+"="+kv[1]+"\x00") {
				t.Errorf("%s=%s: answer %q", kv[0], kv[1], text(p.Data))
			}
		}
		w.send(loginPDU(1, 3, true))
		p = w.expect(initiator.OpLoginResponse)
		status(t, p, 0, 0)
		if p.BHS[1]&0x83 != 0x83 {
			t.Errorf("flags %#02x", p.BHS[1])
		}
	})
	run(t, "6.1 a key cut in two by the C bit", func(t *testing.T) {
		whole := loginPDU(1, 3, false, names("MaxBurstLength", "65536")...)
		a, b := *whole, *whole
		a.Data, b.Data = whole.Data[:len(whole.Data)-9], whole.Data[len(whole.Data)-9:]
		a.BHS[1] |= 0x40
		w, p := firstLogin(t, &a)
		status(t, p, 0, 0)
		if len(p.Data) != 0 {
			t.Errorf("an answer to half of the text: %q", text(p.Data))
		}
		w.send(&b)
		if p := w.expect(initiator.OpLoginResponse); !strings.Contains(string(p.Data), "MaxBurstLength=65536\x00") {
			t.Errorf("answer %q", text(p.Data))
		}
	})
	run(t, "11.12 a login without the immediate bit", func(t *testing.T) {
		h := login(t, func(o *initiator.Options) { o.NotImmediate = true })
		h.good(h.none(lunMem, tur))
	})
	run(t, "4.2.7 a name in upper case", func(t *testing.T) {
		h := login(t, to(strings.ToUpper(iqn)))
		h.good(h.none(lunMem, tur))
	})
	run(t, "13.9 TargetPortalGroupTag", func(t *testing.T) {
		for portal, want := range map[string]string{lab.Portal: "1", lab.second: "2"} {
			h := login(t, at(portal))
			if got := h.Params.Answers["TargetPortalGroupTag"]; got != want {
				t.Errorf("%s: tag %q, want %s", portal, got, want)
			}
		}
	})
	run(t, "11.12 another PDU in place of a login", func(t *testing.T) {
		c, err := initiator.Connect(t.Context(), lab.Portal)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w := &wire{c, new(initiator.Params), t}
		w.send(commandPDU(0, 1, 1, 1, 0, tur))
		for {
			p, err := c.RecvWithin(limit)
			if err != nil {
				break
			}
			if p.Opcode() == initiator.OpResponse {
				t.Error("a command was carried out without a login")
			}
		}
	})
	run(t, "4.2.4 another PDU in the middle of a login", func(t *testing.T) {
		w, _ := firstLogin(t, loginPDU(1, 3, false, names()...))
		w.send(commandPDU(0, 1, 1, 1, 0, tur))
		p := w.expect(initiator.OpLoginResponse)
		status(t, p, 2, 0x0b)
	})
	run(t, "11.13.5 a session above max_sessions", func(t *testing.T) {
		a, b := login(t, to(iqnTwo)), login(t, to(iqnTwo))
		refused(t, 3, 2, to(iqnTwo))
		a.good(a.none(0, tur))
		b.good(b.none(0, tur))
	})
	run(t, "11.13.5 room again after a logout", func(t *testing.T) {
		a, _ := login(t, to(iqnTwo)), login(t, to(iqnTwo))
		if err := a.Logout(a.ctx); err != nil {
			t.Fatal(err)
		}
		c := login(t, to(iqnTwo))
		c.good(c.none(0, tur))
	})
	run(t, "6.3.4 sessions of one name with several ISIDs", func(t *testing.T) {
		name := newName()
		a, b := login(t, named(name), isid(1)), login(t, named(name), isid(2))
		a.good(a.none(0, tur))
		b.good(b.none(0, tur))
		if a.Params.TSIH == b.Params.TSIH {
			t.Errorf("both have TSIH %d", a.Params.TSIH)
		}
	})
}

func testKeys(t *testing.T) {
	// What the server answers to an offer; "" is no answer.
	for _, c := range []struct{ key, offer, answer string }{
		{"HeaderDigest", "None", "None"},
		{"HeaderDigest", "CRC32C", "CRC32C"},
		{"HeaderDigest", "CRC32C,None", "CRC32C"},
		{"HeaderDigest", "None,CRC32C", "None"},
		{"DataDigest", "CRC32C,None", "CRC32C"},
		{"DataDigest", "X-1,None", "None"},
		{"MaxConnections", "8", "1"},
		{"MaxConnections", "0", "Reject"},
		{"MaxConnections", "65536", "Reject"},
		{"InitialR2T", "Yes", "Yes"},
		{"InitialR2T", "No", "No"},
		{"InitialR2T", "Maybe", "Reject"},
		{"ImmediateData", "Yes", "Yes"},
		{"ImmediateData", "No", "No"},
		{"MaxBurstLength", "512", "512"},
		{"MaxBurstLength", "0x2000", "8192"},
		{"MaxBurstLength", "262144", "262144"},
		{"FirstBurstLength", "512", "512"},
		{"DefaultTime2Wait", "0", "?"},
		{"DefaultTime2Wait", "3600", "3600"},
		{"DefaultTime2Wait", "3601", "Reject"},
		{"DefaultTime2Retain", "0", "0"},
		{"MaxOutstandingR2T", "1", "1"},
		{"MaxOutstandingR2T", "0", "Reject"},
		{"DataPDUInOrder", "Yes", "Yes"},
		{"DataPDUInOrder", "No", "Yes"},
		{"DataSequenceInOrder", "No", "Yes"},
		{"ErrorRecoveryLevel", "2", "0"},
		{"ErrorRecoveryLevel", "3", "Reject"},
		{"iSCSIProtocolLevel", "2", "?"},
		{"TaskReporting", "RFC3720", "RFC3720"},
		{"IFMarker", "Yes", "No"},
		{"OFMarker", "Yes", "No"},
		{"X-org.example.key", "1", "NotUnderstood"},
		{"NoSuchKey", "1", "NotUnderstood"},
		{"InitiatorAlias", "me", ""},
		{"TargetAlias", "you", "Reject"},
	} {
		run(t, c.key+"="+c.offer, func(t *testing.T) {
			_, p := firstLogin(t, loginPDU(1, 3, false, names(c.key, c.offer)...))
			if p.BHS[36] != 0 {
				if c.answer == "Reject" && p.BHS[36] == 2 {
					return // refusing the login is the stricter form
				}
				t.Fatalf("status %02x/%02x", p.BHS[36], p.BHS[37])
			}
			got, ok := initiator.DecodeKeys(p.Data)[c.key]
			if c.answer == "?" {
				if !ok {
					t.Errorf("no answer in %q", text(p.Data))
				}
			} else if got != c.answer {
				t.Errorf("answer %q, want %q; all: %q", got, c.answer, text(p.Data))
			}
		})
	}
	for _, v := range []string{"511", "0", "16777216", "-1", "many"} {
		run(t, "MaxRecvDataSegmentLength="+v+" is refused", func(t *testing.T) {
			_, p := firstLogin(t, loginPDU(1, 3, false, names("MaxRecvDataSegmentLength", v)...))
			if p.BHS[36] == 0 && !strings.Contains(string(p.Data), "Reject") {
				t.Errorf("status %02x/%02x, answer %q", p.BHS[36], p.BHS[37], text(p.Data))
			}
		})
	}
	for _, most := range []int{512, 1024, 65536} {
		run(t, fmt.Sprintf("MaxRecvDataSegmentLength=%d bounds each Data-In", most), func(t *testing.T) {
			w := dial(t, keys("MaxRecvDataSegmentLength", fmt.Sprint(most)))
			w.send(commandPDU(0, 0x41, 1, w.CmdSN, 128*512, read10(0, 128)))
			w.CmdSN++
			for got := 0; got < 128*512; {
				p := w.expect(initiator.OpDataIn)
				if len(p.Data) > most || len(p.Data) == 0 {
					t.Fatalf("a data segment of %d bytes", len(p.Data))
				}
				got += len(p.Data)
			}
		})
	}
	run(t, "MaxBurstLength ends each sequence of Data-In", func(t *testing.T) {
		w := dial(t, keys("MaxRecvDataSegmentLength", "512", "MaxBurstLength", "2048", "FirstBurstLength", "512"))
		w.send(commandPDU(0, 0x41, 1, w.CmdSN, 16*512, read10(0, 16)))
		for i := range 16 {
			p := w.expect(initiator.OpDataIn)
			if i%4 == 3 != p.Is(initiator.Final) {
				t.Errorf("Data-In %d: F is %v", i, p.Is(initiator.Final))
			}
		}
	})
	run(t, "session keys in a discovery session are Irrelevant", func(t *testing.T) {
		_, p := firstLogin(t, loginPDU(1, 3, false, "InitiatorName", newName(), "SessionType", "Discovery", "MaxBurstLength", "65536", "InitialR2T", "No"))
		got := initiator.DecodeKeys(p.Data)
		if got["MaxBurstLength"] != "Irrelevant" || got["InitialR2T"] != "Irrelevant" {
			t.Errorf("answer %q", text(p.Data))
		}
	})
}

func testCHAP(t *testing.T) {
	chap := func(c initiator.CHAP) option { return func(o *initiator.Options) { o.CHAP = &c } }
	for _, a := range []string{"5", "6", "7", "8", "99,7", "8,5"} {
		run(t, "one-way, CHAP_A="+a, func(t *testing.T) {
			h := login(t, to(iqnChap), chap(initiator.CHAP{Name: user, Secret: userSecret, Algorithms: a}))
			h.good(h.none(0, tur))
		})
		run(t, "mutual, CHAP_A="+a, func(t *testing.T) {
			h := login(t, to(iqnChap), chap(initiator.CHAP{Name: user, Secret: userSecret, TargetName: target, TargetSecret: targetSecret, Algorithms: a}))
			h.good(h.none(0, tur))
		})
	}
	run(t, "a wrong secret", func(t *testing.T) {
		refused(t, 2, 1, to(iqnChap), chap(initiator.CHAP{Name: user, Secret: "not-the-secret-1"}))
	})
	run(t, "an unknown user", func(t *testing.T) {
		refused(t, 2, 1, to(iqnChap), chap(initiator.CHAP{Name: "nobody", Secret: userSecret}))
	})
	run(t, "no algorithm in common", func(t *testing.T) {
		refused(t, 2, 1, to(iqnChap), chap(initiator.CHAP{Name: user, Secret: userSecret, Algorithms: "99,100"}))
	})
	run(t, "AuthMethod=None", func(t *testing.T) { refused(t, 2, 1, to(iqnChap)) })
	run(t, "a target that proves with another secret", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := initiator.Dial(ctx, options(to(iqnChap), chap(initiator.CHAP{Name: user, Secret: userSecret, TargetName: target, TargetSecret: "another-secret-3"})))
		if err == nil {
			t.Error("the initiator took a wrong proof")
		}
	})
	run(t, "the security stage left out", func(t *testing.T) {
		_, p := firstLogin(t, loginPDU(1, 3, true, "InitiatorName", newName(), "TargetName", iqnChap, "SessionType", "Normal"))
		if p.BHS[36] != 2 || p.BHS[37] != 1 {
			t.Errorf("status %02x/%02x, want 02/01", p.BHS[36], p.BHS[37])
		}
	})
	run(t, "our own challenge sent back", func(t *testing.T) {
		w, _ := firstLogin(t, loginPDU(0, 1, false, "InitiatorName", newName(), "TargetName", iqnChap, "SessionType", "Normal", "AuthMethod", "CHAP"))
		w.send(loginPDU(0, 1, false, "CHAP_A", "5"))
		p := w.expect(initiator.OpLoginResponse)
		k := initiator.DecodeKeys(p.Data)
		w.send(loginPDU(0, 1, true, "CHAP_N", user, "CHAP_R", "0x00112233445566778899aabbccddeeff", "CHAP_I", k["CHAP_I"], "CHAP_C", k["CHAP_C"]))
		if p := w.expect(initiator.OpLoginResponse); p.BHS[36] != 2 || p.BHS[37] != 1 {
			t.Errorf("status %02x/%02x, want 02/01", p.BHS[36], p.BHS[37])
		}
	})
	run(t, "a challenge differs each time", func(t *testing.T) {
		seen := map[string]bool{}
		for range 3 {
			w, _ := firstLogin(t, loginPDU(0, 1, false, "InitiatorName", newName(), "TargetName", iqnChap, "SessionType", "Normal", "AuthMethod", "CHAP"))
			w.send(loginPDU(0, 1, false, "CHAP_A", "5"))
			seen[initiator.DecodeKeys(w.expect(initiator.OpLoginResponse).Data)["CHAP_C"]] = true
		}
		if len(seen) != 3 {
			t.Errorf("challenges %v", seen)
		}
	})
}
