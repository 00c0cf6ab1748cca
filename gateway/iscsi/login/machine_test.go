package login

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/gateway/iscsi/text"
)

// counter is a source of "random" bytes that a test can foresee: 1, 2, 3, ...
type counter byte

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		*c++
		p[i] = byte(*c)
	}
	return len(p), nil
}

const base = "iqn.2026-11.org.targate:"

var (
	joe = Credential{Name: "joe", Secret: []byte("secret-of-joe")}
	odd = Credential{Name: "0xcafe=", Secret: []byte("secret-of-odd")}
	us  = Credential{Name: "targate", Secret: []byte("our-own-secret")}
)

// directory is the world of the data files; each target is named after what is
// special about it.
type directory struct{ auth *Auth }

func (d *directory) DiscoveryAuth() *Auth { return d.auth }

func (d *directory) Find(iqn, initiator string) (*Target, error) {
	t := &Target{Name: iqn, TPGT: 1}
	switch strings.TrimPrefix(iqn, base) {
	case "disk":
		t.Alias = "Disk zero"
	case "oneway":
		t.Auth = &Auth{Users: []Credential{odd, joe}}
	case "mutual":
		t.Auth = &Auth{Users: []Credential{joe}, Mutual: &us}
	case "same":
		t.Auth = &Auth{Users: []Credential{joe}, Mutual: &Credential{Name: us.Name, Secret: joe.Secret}}
	case "moved":
		t.Redirect = &Redirect{Address: "[2001:db8::1]:3260"}
	case "gone":
		t.Redirect = &Redirect{Address: "192.0.2.1", Permanent: true}
	case "private":
		return nil, Refuse(AuthorizationFailure, "%s is not in a group", initiator)
	case "broken":
		return nil, errors.New("the state is unreadable")
	case "strict":
		l := DefaultLimits()
		l.HeaderDigest, l.ImmediateData, l.InitialR2T = []string{"CRC32C"}, false, true
		l.MaxBurstLength, l.FirstBurstLength = 65536, 8192
		t.Keys = &l
	case "fast":
		l := DefaultLimits()
		l.TaskReporting, l.ProtocolLevel = []string{"FastAbort", "RFC3720"}, 2
		t.Keys = &l
	default:
		return nil, Refuse(NotFound, "no target %s", iqn)
	}
	return t, nil
}

// sessionSeven is the only session that a login can go on with: TSIH 7, CID 1.
func sessionSeven(_, _ string, q *Request) (*Params, error) {
	switch {
	case q.TSIH != 7:
		return nil, Refuse(NoSession, "TSIH is %d", q.TSIH)
	case q.CID != 1:
		return nil, Refuse(TooManyConnections, "CID %d, the session has 1", q.CID)
	}
	p := Defaults()
	p.HeaderDigest, p.MaxXmitDataSegmentLength = true, 65536
	p.MaxBurstLength, p.ImmediateData, p.Time2Retain = 131072, false, 30
	return &p, nil
}

// client is one side of a data file: it makes requests and shows responses.
type client struct {
	m    *Machine
	last map[string]string // the keys of the responses so far
}

// TestMachine runs the logins of testdata/login. Each file is a chapter of the RFC:
//
//	new [discovery-chap]      a new connection
//	login [flags=TC] [csg=0] [nsg=1] ...
//	KEY=VALUE                 {hex:SECRET} is the response to our challenge,
//	----                      {ours} our challenge, {fill:N:C} N times C
//	the response
func TestMachine(t *testing.T) {
	datadriven.Walk(t, "testdata/login", func(t *testing.T, path string) {
		c := &client{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				c.connect(d.HasArg("discovery-chap"))
				return ""
			case "login":
				return c.login(t, d)
			case "refuse":
				r, err := c.m.Refuse(c.m.first, Refuse(OutOfResources, "no session is free"))
				return show(r) + fmt.Sprintf("refused: %v\nresult: %v\n", err, c.m.Result())
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func (c *client) connect(discoveryCHAP bool) {
	d := &directory{}
	if discoveryCHAP {
		d.auth = &Auth{Users: []Credential{joe}}
	}
	c.m = New(Config{Directory: d, Limits: DefaultLimits(), Session: sessionSeven, Rand: new(counter), Window: 32})
	c.last = map[string]string{}
}

func (c *client) login(t *testing.T, d *datadriven.TestData) string {
	number := func(name string, def int) int {
		if d.HasArg(name) {
			d.ScanArgs(t, name, &def)
		}
		return def
	}
	flags := ""
	d.MaybeScanArgs(t, "flags", &flags)
	q := Request{Transit: strings.Contains(flags, "T"), Continue: strings.Contains(flags, "C"),
		CSG: Stage(number("csg", 0)), NSG: Stage(number("nsg", 0)),
		VersionMin: uint8(number("vmin", 0)), VersionMax: uint8(number("vmax", 0)),
		ISID: [6]byte{0x80, 5: byte(number("isid", 1))}, TSIH: uint16(number("tsih", 0)),
		ITT: uint32(number("itt", 7)), CID: uint16(number("cid", 1)),
		CmdSN: uint32(number("cmdsn", 100)), ExpStatSN: uint32(number("expstatsn", 500))}
	for line := range strings.Lines(d.Input) {
		line = c.expand(t, strings.TrimSuffix(line, "\n"))
		if raw, ok := strings.CutPrefix(line, "raw "); ok {
			s, err := strconv.Unquote(raw)
			if err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
			q.Data = append(q.Data, s...)
			continue
		}
		q.Data = append(append(q.Data, line...), 0)
	}
	r, err := c.m.Step(q)
	for _, p := range bytes.Split(r.Data, []byte{0}) {
		if k, v, ok := strings.Cut(string(p), "="); ok {
			c.last[k] = v
		}
	}
	out := show(r)
	if err != nil {
		out += fmt.Sprintf("refused: %v\n", err)
	}
	if res := c.m.Result(); res != nil {
		out += showResult(res)
	}
	return out
}

var macro = regexp.MustCompile(`\{([a-z0-9]+)(?::([^{}]*))?\}`)

func (c *client) expand(t *testing.T, line string) string {
	return macro.ReplaceAllStringFunc(line, func(s string) string {
		part := macro.FindStringSubmatch(s)
		switch part[1] {
		case "ours":
			return c.last["CHAP_C"]
		case "fill":
			n, s, _ := strings.Cut(part[2], ":")
			count, err := strconv.Atoi(n)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Repeat(s, count)
		case "keys": // as many pairs as named
			count, err := strconv.Atoi(part[2])
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for i := range count {
				fmt.Fprintf(&b, "X-org.targate.a-key-that-nobody-will-ever-understand-%d=\x00", i)
			}
			return b.String()
		}
		secret, err := strconv.Unquote(`"` + part[2] + `"`)
		if err != nil {
			t.Fatal(err)
		}
		r := c.response(t, secret)
		switch part[1] {
		case "hex":
			return text.Hex(r)
		case "b64":
			return "0b" + base64.StdEncoding.EncodeToString(r)
		case "dec":
			return new(big.Int).SetBytes(r).String()
		}
		t.Fatalf("unknown macro %s", s)
		return ""
	})
}

// response is what an initiator that knows secret answers to our challenge.
func (c *client) response(t *testing.T, secret string) []byte {
	id, err := strconv.Atoi(c.last["CHAP_I"])
	if err != nil {
		t.Fatal(err)
	}
	challenge, err := text.Binary(c.last["CHAP_C"], text.MaxBinary)
	if err != nil {
		t.Fatal(err)
	}
	for i := range algorithms {
		if strconv.Itoa(algorithms[i].number) == c.last["CHAP_A"] {
			return algorithms[i].digest(byte(id), []byte(secret), challenge)
		}
	}
	t.Fatalf("CHAP_A=%s", c.last["CHAP_A"])
	return nil
}

func show(r Response) string {
	var b strings.Builder
	flags := ""
	if r.Transit {
		flags += "T"
	}
	if r.Continue {
		flags += "C"
	}
	fmt.Fprintf(&b, "flags=%s csg=%d nsg=%d tsih=%d statsn=%d expcmdsn=%d maxcmdsn=%d status=%v\n",
		flags, r.CSG, r.NSG, r.TSIH, r.StatSN, r.ExpCmdSN, r.MaxCmdSN, r.Status)
	if len(r.Data) > 2000 {
		fmt.Fprintf(&b, "  (%d bytes of text)\n", len(r.Data))
		return b.String()
	}
	for _, p := range strings.Split(strings.TrimSuffix(string(r.Data), "\x00"), "\x00") {
		if p != "" {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	return b.String()
}

func showResult(r *Result) string {
	name := "none"
	if r.Target != nil {
		name = r.Target.Name
	}
	return fmt.Sprintf("result: %v target=%s initiator=%s alias=%q user=%q cid=%d expcmdsn=%d statsn=%d\n"+
		"  digests=%t,%t recv=%d xmit=%d burst=%d first=%d r2t=%d connections=%d initialr2t=%t immediate=%t\n"+
		"  wait=%d retain=%d erl=%d reporting=%v level=%d\n",
		r.SessionType, name, r.InitiatorName, r.InitiatorAlias, r.User, r.CID, r.ExpCmdSN, r.StatSN,
		r.HeaderDigest, r.DataDigest, r.MaxRecvDataSegmentLength, r.MaxXmitDataSegmentLength, r.MaxBurstLength,
		r.FirstBurstLength, r.MaxOutstandingR2T, r.MaxConnections, r.InitialR2T, r.ImmediateData,
		r.Time2Wait, r.Time2Retain, r.ErrorRecoveryLevel, r.TaskReporting, r.ProtocolLevel)
}
