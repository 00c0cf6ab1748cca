package login

import (
	"crypto/rand"
	"io"
)

// Stage is a login stage; the values are those of the CSG and NSG fields.
type Stage uint8

// Login stages.
const (
	Security    Stage = 0
	Operational Stage = 1
	FullFeature Stage = 3
)

// Request is a Login Request (RFC 7143, 11.12), digests and padding removed.
type Request struct {
	Immediate         bool
	Transit, Continue bool
	CSG, NSG          Stage
	VersionMax        uint8
	VersionMin        uint8
	ISID              [6]byte
	TSIH              uint16
	ITT               uint32
	CID               uint16
	CmdSN, ExpStatSN  uint32
	Data              []byte // read during Step only
}

// Response is a Login Response (RFC 7143, 11.13).
type Response struct {
	Transit, Continue         bool
	CSG, NSG                  Stage
	VersionMax, VersionActive uint8
	ISID                      [6]byte

	// TSIH echoes the request. In the response that ends a login (Transit, NSG
	// FullFeature) the caller puts the TSIH of the session that it made.
	TSIH uint16

	ITT                        uint32
	StatSN, ExpCmdSN, MaxCmdSN uint32
	Status                     Status
	Data                       []byte // the machine's, valid until the next Step
}

// Directory is what a login must know of the targets.
type Directory interface {
	// Find gives the target that initiator may log in to by this connection. Both
	// names are normalized. The error is a *Refusal; any other becomes TargetError.
	Find(iqn, initiator string) (*Target, error)

	// DiscoveryAuth is the authentication of discovery sessions, nil for none.
	DiscoveryAuth() *Auth
}

// Target is what a login must know of one target. A login keeps it in its Result
// and never changes it.
type Target struct {
	Name, Alias string
	TPGT        uint16
	Auth        *Auth     // nil: none needed
	Redirect    *Redirect // not nil: this login goes elsewhere
	Keys        *Limits   // nil: those of Config
}

// Redirect sends an initiator to another address: "host[:port][,tpgt]", an IPv6
// host in brackets (RFC 7143, 13.8).
type Redirect struct {
	Address   string
	Permanent bool
}

// Auth is who may log in, and how we prove who we are when asked.
type Auth struct {
	Users  []Credential
	Mutual *Credential // nil: an initiator that wants to authenticate us is refused
}

// Credential is a CHAP name and its secret.
type Credential struct {
	Name   string
	Secret []byte
}

// Config is what a Machine is made from.
type Config struct {
	Directory Directory
	Limits    Limits
	Rand      io.Reader // identifiers and challenges; nil is crypto/rand
	Window    uint32    // commands that MaxCmdSN of our responses leaves room for, at least 1
}

// Machine is one login, from the first Login Request of a connection to the full
// feature phase or a refusal. Not safe for concurrent use.
type Machine struct {
	cfg    Config
	result *Result
}

// New makes the machine of one connection.
func New(cfg Config) *Machine {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Window = max(cfg.Window, 1)
	return &Machine{cfg: cfg}
}

// Result is what the login agreed on, nil until it reached the full feature
// phase.
func (m *Machine) Result() *Result { return m.result }

// Step answers one Login Request. When the error is not nil it is a *Refusal:
// the caller sends the response, which bears its status, and closes the
// connection. Once Result is not nil the session takes over.
func (m *Machine) Step(q Request) (Response, error) {
	return m.Refuse(q, Refuse(InitiatorError, "not served"))
}

// Refuse is the response to q that ends the login for a reason that the machine
// cannot know, such as a full session registry.
func (m *Machine) Refuse(q Request, err error) (Response, error) {
	return Response{}, err
}
