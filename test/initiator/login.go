package initiator

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// Login stages (RFC 7143, 11.12.3).
const (
	SecurityStage    = 0
	OperationalStage = 1
	FullFeature      = 3
)

// Key is one key=value pair of login or text negotiation.
type Key struct{ Name, Value string }

// Options says how to log in. Addr and InitiatorName are needed; an empty
// TargetName makes a discovery session.
type Options struct {
	Addr          string // "host:port"
	InitiatorName string
	TargetName    string
	ISID          [6]byte // zero: 80 12 34 56 00 00, the random format
	TSIH          uint16  // not 0: join or reinstate
	CID           uint16
	CmdSN         uint32 // of the first command, when the session is there already; 0: 1
	CHAP          *CHAP  // nil: AuthMethod=None

	HeaderDigest, DataDigest string // list to offer, default "None"

	// Keys are offered in the operational stage. One with the name of a default
	// key (DefaultKeys) replaces it; an empty value drops it.
	Keys []Key

	// NotImmediate leaves the I bit of Login Requests clear, as some real
	// initiators do against RFC 7143, 11.12.
	NotImmediate bool

	// Timeout bounds the login, default 10 s.
	Timeout time.Duration
}

// DefaultKeys is what Login offers in the operational stage.
var DefaultKeys = []Key{
	{"HeaderDigest", "None"},
	{"DataDigest", "None"},
	{"MaxRecvDataSegmentLength", "262144"},
	{"MaxBurstLength", "1048576"},
	{"FirstBurstLength", "262144"},
	{"InitialR2T", "No"},
	{"ImmediateData", "Yes"},
	{"MaxOutstandingR2T", "8"},
	{"MaxConnections", "1"},
	{"DefaultTime2Wait", "2"},
	{"DefaultTime2Retain", "0"},
	{"DataPDUInOrder", "Yes"},
	{"DataSequenceInOrder", "Yes"},
	{"ErrorRecoveryLevel", "0"},
}

// sessionKeys may not be offered by a discovery session (RFC 7143, 13).
var sessionKeys = map[string]bool{"MaxBurstLength": true, "FirstBurstLength": true,
	"InitialR2T": true, "ImmediateData": true, "MaxOutstandingR2T": true, "MaxConnections": true,
	"DataPDUInOrder": true, "DataSequenceInOrder": true}

// Params is what a login agreed on. Lengths are in bytes.
type Params struct {
	HeaderDigest, DataDigest bool
	InitialR2T               bool
	ImmediateData            bool
	MaxXmit                  int // the target's MaxRecvDataSegmentLength
	FirstBurst, MaxBurst     int
	TSIH                     uint16
	CmdSN, ExpStatSN         uint32            // next to use
	MaxCmdSN                 uint32            // as the last Login Response had it
	Answers                  map[string]string // every key that the target sent
}

// LoginError is a Login Response with a status other than success.
type LoginError struct{ Class, Detail uint8 }

func (e *LoginError) Error() string {
	return fmt.Sprintf("login refused with status %02x/%02x", e.Class, e.Detail)
}

// Login takes c from the first Login Request to the full feature phase.
func Login(c *Conn, o Options) (*Params, error) {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	l := login{c: c, o: o, p: &Params{
		// The defaults of RFC 7143, 13, until an answer says otherwise.
		InitialR2T: true, ImmediateData: true,
		MaxXmit: 8192, FirstBurst: 65536, MaxBurst: 262144,
		CmdSN: max(o.CmdSN, 1), Answers: map[string]string{},
	}}
	if l.o.ISID == ([6]byte{}) {
		l.o.ISID = [6]byte{0x80, 0x12, 0x34, 0x56}
	}
	if err := l.run(); err != nil {
		return nil, err
	}
	if err := l.p.settle(); err != nil {
		return nil, err
	}
	c.HeaderDigest, c.DataDigest = l.p.HeaderDigest, l.p.DataDigest
	return l.p, c.SetDeadline(time.Time{})
}

type login struct {
	c *Conn
	o Options
	p *Params
}

func (l *login) run() error {
	keys := []Key{{"InitiatorName", l.o.InitiatorName}}
	if l.o.TargetName == "" {
		keys = append(keys, Key{"SessionType", "Discovery"})
	} else {
		keys = append(keys, Key{"SessionType", "Normal"}, Key{"TargetName", l.o.TargetName})
	}
	stage, err := SecurityStage, error(nil)
	if l.o.CHAP != nil {
		stage, err = l.chap(append(keys, Key{"AuthMethod", "CHAP"}))
	} else {
		stage, err = l.exchange(stage, OperationalStage, true, append(keys, Key{"AuthMethod", "None"}))
	}
	offers := l.offers()
	for round := 0; err == nil && stage != FullFeature; round++ {
		switch {
		case round == maxRounds:
			return fmt.Errorf("initiator: no end of the login after %d requests", round)
		case stage == SecurityStage:
			stage, err = l.exchange(stage, OperationalStage, true, nil)
		default:
			stage, err = l.exchange(stage, FullFeature, true, offers)
			offers = nil
		}
	}
	return err
}

// maxRounds bounds the requests after the first, should a target never agree to
// move on.
const maxRounds = 8

// offers are the keys of the operational stage.
func (l *login) offers() []Key {
	override := map[string]string{}
	if l.o.HeaderDigest != "" {
		override["HeaderDigest"] = l.o.HeaderDigest
	}
	if l.o.DataDigest != "" {
		override["DataDigest"] = l.o.DataDigest
	}
	var own []Key
	for _, k := range l.o.Keys {
		override[k.Name] = k.Value
		own = append(own, k)
	}
	var keys []Key
	seen := map[string]bool{}
	for _, k := range DefaultKeys {
		if l.o.TargetName == "" && sessionKeys[k.Name] {
			continue
		}
		if v, ok := override[k.Name]; ok {
			k.Value = v
		}
		seen[k.Name] = true
		if k.Value != "" {
			keys = append(keys, k)
		}
	}
	for _, k := range own {
		if !seen[k.Name] && k.Value != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

// exchange sends one Login Request and takes the answer, over several Login
// Responses when the target sets the C bit. It gives the stage that follows: nsg only
// if the target agreed.
func (l *login) exchange(csg, nsg int, transit bool, keys []Key) (stage int, err error) {
	data := EncodeKeys(keys)
	for {
		q := l.request(csg, nsg, transit, data)
		if err := l.c.Send(q); err != nil {
			return 0, err
		}
		r, err := l.c.Recv()
		if err != nil {
			return 0, err
		}
		if r.Opcode() != OpLoginResponse {
			return 0, fmt.Errorf("initiator: %v instead of a Login Response", r)
		}
		if class, detail := r.BHS[36], r.BHS[37]; class != 0 {
			return 0, &LoginError{class, detail}
		}
		l.p.TSIH = r.U16(14)
		l.p.ExpStatSN = r.StatSN() + 1
		l.p.MaxCmdSN = r.MaxCmdSN()
		maps.Copy(l.p.Answers, DecodeKeys(r.Data))
		if r.Is(0x40) { // C: more text comes, ask with an empty request
			data, transit = nil, false
			continue
		}
		if r.Is(Final) { // the T bit
			return int(r.BHS[1] & 3), nil
		}
		return csg, nil
	}
}

func (l *login) request(csg, nsg int, transit bool, data []byte) *PDU {
	p := &PDU{Data: data}
	p.BHS[0] = OpLogin | Immediate
	if l.o.NotImmediate {
		p.BHS[0] = OpLogin
	}
	p.BHS[1] = uint8(csg << 2)
	if transit {
		p.BHS[1] |= Final | uint8(nsg)
	}
	copy(p.BHS[8:14], l.o.ISID[:])
	p.BHS[14], p.BHS[15] = byte(l.o.TSIH>>8), byte(l.o.TSIH)
	p.BHS[20], p.BHS[21] = byte(l.o.CID>>8), byte(l.o.CID)
	p.PutU32(24, l.p.CmdSN)
	p.PutU32(28, l.p.ExpStatSN)
	return p
}

// settle reads the answers into the fields of Params.
func (p *Params) settle() error {
	var err error
	number := func(name string, to *int) {
		v, ok := p.Answers[name]
		if !ok || v == "Irrelevant" {
			return
		}
		n, e := strconv.ParseUint(v, 0, 24)
		if e != nil {
			err = fmt.Errorf("initiator: the target answers %s=%s", name, v)
			return
		}
		*to = int(n)
	}
	number("MaxRecvDataSegmentLength", &p.MaxXmit)
	number("FirstBurstLength", &p.FirstBurst)
	number("MaxBurstLength", &p.MaxBurst)
	boolean := func(name string, to *bool) {
		if v, ok := p.Answers[name]; ok {
			*to = v == "Yes"
		}
	}
	boolean("InitialR2T", &p.InitialR2T)
	boolean("ImmediateData", &p.ImmediateData)
	p.HeaderDigest = p.Answers["HeaderDigest"] == "CRC32C"
	p.DataDigest = p.Answers["DataDigest"] == "CRC32C"
	return err
}

// EncodeKeys writes key=value pairs, each ended by a NUL (RFC 7143, 6.1).
func EncodeKeys(keys []Key) []byte {
	var b []byte
	for _, k := range keys {
		b = append(b, k.Name+"="+k.Value+"\x00"...)
	}
	return b
}

// DecodeKeys is the inverse of EncodeKeys; a repeated key keeps its last value.
func DecodeKeys(b []byte) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(string(b), "\x00") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			m[k] = v
		}
	}
	return m
}

// Dial connects, logs in and starts a Session.
func Dial(ctx context.Context, o Options) (*Session, error) {
	c, err := Connect(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	p, err := Login(c, o)
	if err != nil {
		return nil, fmt.Errorf("login to %s: %w", o.Addr, closeAfter(c, err))
	}
	return NewSession(c, p), nil
}

// closeAfter closes c after err and gives err back.
func closeAfter(c *Conn, err error) error {
	c.Close() // err is the story
	return err
}
