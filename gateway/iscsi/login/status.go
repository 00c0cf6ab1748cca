package login

import "fmt"

// Status is Status-Class << 8 | Status-Detail of a Login Response (RFC 7143,
// 11.13.5).
type Status uint16

// Statuses of a Login Response.
const (
	Success              Status = 0x0000
	MovedTemporarily     Status = 0x0101
	MovedPermanently     Status = 0x0102
	InitiatorError       Status = 0x0200
	AuthFailure          Status = 0x0201
	AuthorizationFailure Status = 0x0202
	NotFound             Status = 0x0203
	TargetRemoved        Status = 0x0204
	UnsupportedVersion   Status = 0x0205
	TooManyConnections   Status = 0x0206
	MissingParameter     Status = 0x0207
	CannotInclude        Status = 0x0208
	SessionTypeUnsup     Status = 0x0209
	NoSession            Status = 0x020a
	InvalidDuringLogin   Status = 0x020b
	TargetError          Status = 0x0300
	ServiceUnavailable   Status = 0x0301
	OutOfResources       Status = 0x0302
)

var statusNames = map[Status]string{
	Success:              "success",
	MovedTemporarily:     "target moved temporarily",
	MovedPermanently:     "target moved permanently",
	InitiatorError:       "initiator error",
	AuthFailure:          "authentication failure",
	AuthorizationFailure: "authorization failure",
	NotFound:             "target not found",
	TargetRemoved:        "target removed",
	UnsupportedVersion:   "unsupported version",
	TooManyConnections:   "too many connections",
	MissingParameter:     "missing parameter",
	CannotInclude:        "cannot include in session",
	SessionTypeUnsup:     "session type not supported",
	NoSession:            "session does not exist",
	InvalidDuringLogin:   "invalid during login",
	TargetError:          "target error",
	ServiceUnavailable:   "service unavailable",
	OutOfResources:       "out of resources",
}

// Class is the Status-Class: 0 success, 1 redirection, 2 initiator error, 3
// target error.
func (s Status) Class() uint8 { return uint8(s >> 8) }

// Detail is the Status-Detail.
func (s Status) Detail() uint8 { return uint8(s) }

func (s Status) String() string {
	if n, ok := statusNames[s]; ok {
		return fmt.Sprintf("%02x/%02x %s", s.Class(), s.Detail(), n)
	}
	return fmt.Sprintf("%02x/%02x", s.Class(), s.Detail())
}

// Refusal ends a login. Status goes to the initiator, Reason to our log only.
type Refusal struct {
	Status  Status
	Reason  string
	Address string // TargetAddress of a redirection: "host[:port][,tpgt]" (13.8)
}

func (r *Refusal) Error() string {
	if r.Reason == "" {
		return r.Status.String()
	}
	return r.Status.String() + ": " + r.Reason
}

// Refuse makes a *Refusal.
func Refuse(s Status, format string, args ...any) error {
	return &Refusal{Status: s, Reason: fmt.Sprintf(format, args...)}
}
