package login

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/targate/targate/gateway/iscsi/text"
)

// FuzzMachine feeds a machine whole logins. The input is requests, each a byte of
// flags as in byte 1 of the PDU, a byte that names a deviation, and text up to the
// byte FFh, which no text holds. It must end in a result or a refusal, and keep
// its promises on the way.
func FuzzMachine(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m := New(Config{Directory: &directory{auth: &Auth{Users: []Credential{joe}, Mutual: &us}},
			Limits: DefaultLimits(), Rand: new(counter), Window: 1})
		wantStat := uint32(500)
		for steps := 0; len(data) >= 2; steps++ {
			flags, odd := data[0], data[1]
			part, rest, _ := strings.Cut(string(data[2:]), "\xff")
			data = []byte(rest)
			q := Request{Transit: flags&0x80 != 0, Continue: flags&0x40 != 0,
				CSG: Stage(flags >> 2 & 3), NSG: Stage(flags & 3), ExpStatSN: 500, Data: []byte(part)}
			switch odd {
			case 1:
				q.VersionMin = 1
			case 2:
				q.TSIH = 1
			case 3:
				q.ISID[0] = 1
			}
			r, err := m.Step(q)
			if r.StatSN != wantStat {
				t.Fatalf("StatSN is %d, want %d", r.StatSN, wantStat)
			}
			wantStat++
			if len(r.Data) > MaxData || len(m.in) > text.MaxText {
				t.Fatalf("%d bytes out, %d held", len(r.Data), len(m.in))
			}
			if r.Transit && (!q.Transit || r.Continue || r.NSG != q.NSG) {
				t.Fatalf("%+v answers %+v", r, q)
			}
			if err != nil {
				var refusal *Refusal
				if !errors.As(err, &refusal) || r.Status == Success || m.Result() != nil {
					t.Fatalf("%v with %v", err, r.Status)
				}
				return
			}
			if r.Status != Success {
				t.Fatalf("%v without an error", r.Status)
			}
			if res := m.Result(); res != nil {
				checkResult(t, res)
				return
			}
			if steps > MaxSteps {
				t.Fatal("no end")
			}
		}
	})
}

// checkResult is what holds for every login that ends well.
func checkResult(t *testing.T, r *Result) {
	if r.InitiatorName == "" || (r.SessionType == Normal) != (r.Target != nil) {
		t.Fatalf("%+v", r)
	}
	needs := r.SessionType == Discovery || r.Target.Auth != nil
	if needs && r.User == "" {
		t.Fatalf("no authentication: %+v", r)
	}
	if r.FirstBurstLength > r.MaxBurstLength || r.MaxBurstLength < minLength || r.FirstBurstLength < minLength ||
		r.MaxXmitDataSegmentLength < minLength || r.MaxXmitDataSegmentLength > maxLength ||
		r.MaxOutstandingR2T < 1 || r.MaxConnections != 1 || r.ErrorRecoveryLevel != 0 {
		t.Fatalf("%+v", r.Params)
	}
	if r.Target != nil && r.Target.Keys != nil && r.Target.Keys.MaxBurstLength < r.MaxBurstLength {
		t.Fatalf("above our limit: %+v", r.Params)
	}
}

// seed makes the corpus of FuzzMachine from the logins of testdata/login.
func seed(f *testing.F) {
	files, err := filepath.Glob("testdata/login/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no data files: %v", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		b = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAll(b, nil)
		for login := range strings.SplitSeq(string(b), "\nnew\n----\n") {
			var in []byte
			for block := range strings.SplitSeq(login, "\n\n") {
				request, _, _ := strings.Cut(block, "\n----")
				head, body, _ := strings.Cut(strings.TrimSpace(request), "\n")
				if !strings.HasPrefix(head, "login") {
					continue
				}
				flags := byte(0)
				for word, bits := range map[string]byte{"csg=1": 4, "nsg=1": 1, "nsg=3": 3, "flags=T": 0x80, "flags=C": 0x40} {
					if strings.Contains(head, word) {
						flags |= bits
					}
				}
				if len(in) > 0 {
					in = append(in, 0xff)
				}
				in = append(in, flags, 0)
				in = append(in, strings.ReplaceAll(body, "\n", "\x00")...)
			}
			f.Add(in)
		}
	}
	// A login with CHAP, whose challenge the counter makes foreseeable.
	one := "InitiatorName=iqn.1993-08.org.debian:01:abc\x00TargetName=" + base + "mutual\x00AuthMethod=CHAP\x00"
	r := algorithms[0].digest(1, joe.Secret, []byte{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17})
	f.Add([]byte("\x00\x00" + one + "\xff\x00\x00CHAP_A=5\x00\xff\x83\x00CHAP_N=joe\x00CHAP_R=" + text.Hex(r) +
		"\x00CHAP_I=1\x00CHAP_C=0bMDEyMzQ1Njc4OWFiY2RlZg==\x00"))
}
