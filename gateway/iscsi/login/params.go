package login

// SessionType is what a session is for (RFC 7143, 13.21).
type SessionType uint8

// Session types.
const (
	Normal SessionType = iota
	Discovery
)

func (t SessionType) String() string {
	if t == Discovery {
		return "Discovery"
	}
	return "Normal"
}

// TaskReporting is how the end of a multi-task abort is reported (RFC 7143, 13.23).
type TaskReporting uint8

// Values of TaskReporting.
const (
	RFC3720 TaskReporting = iota
	ResponseFence
	FastAbort
)

var taskReportings = []string{RFC3720: "RFC3720", ResponseFence: "ResponseFence", FastAbort: "FastAbort"}

func (t TaskReporting) String() string { return taskReportings[t] }

// Params is what a login agreed on. Lengths are in bytes, times in seconds.
type Params struct {
	HeaderDigest, DataDigest bool // CRC32C, else None

	MaxRecvDataSegmentLength uint32 // ours: the longest data segment that we take
	MaxXmitDataSegmentLength uint32 // the initiator's: the longest that we may send
	MaxBurstLength           uint32
	FirstBurstLength         uint32 // never above MaxBurstLength
	MaxOutstandingR2T        uint16
	MaxConnections           uint16

	InitialR2T, ImmediateData bool

	Time2Wait, Time2Retain uint16
	ErrorRecoveryLevel     uint8
	TaskReporting          TaskReporting
	ProtocolLevel          uint8 // iSCSIProtocolLevel: 0 none claimed, 1 RFC 7143, 2 RFC 7144
}

// Defaults are the values that hold for keys nobody offered (RFC 7143, chapter 13).
func Defaults() Params {
	return Params{
		MaxRecvDataSegmentLength: 8192,
		MaxXmitDataSegmentLength: 8192,
		MaxBurstLength:           262144,
		FirstBurstLength:         65536,
		MaxOutstandingR2T:        1,
		MaxConnections:           1,
		InitialR2T:               true,
		ImmediateData:            true,
		Time2Wait:                2,
		Time2Retain:              20,
	}
}

// Result is a login that reached the full feature phase.
type Result struct {
	Params

	SessionType      SessionType
	InitiatorName    string // normalized
	InitiatorAlias   string
	NodeArchitecture string  // X#NodeArchitecture, for the log
	TargetName       string  // normalized; a discovery session may have none
	Target           *Target // nil in a discovery session
	User             string  // CHAP_N of the initiator, "" when it did not authenticate

	ISID [6]byte
	TSIH uint16 // of the requests: 0, a new session; the registry makes ours
	CID  uint16

	ExpCmdSN uint32 // the CmdSN that the first command of the session bears
	StatSN   uint32 // the StatSN of the next response
}

// Limits is what we offer and accept: one value per negotiated key, with the
// units of Params. The result function of the key decides what becomes of it.
type Limits struct {
	MaxRecvDataSegmentLength uint32 // 512 to 2^24-1
	MaxBurstLength           uint32 // 512 to 2^24-1
	FirstBurstLength         uint32 // 512 to 2^24-1
	MaxOutstandingR2T        uint16 // 1 to 65535
	MaxConnections           uint16 // 1 to 65535
	InitialR2T               bool
	ImmediateData            bool
	DefaultTime2Wait         uint16 // 0 to 3600
	DefaultTime2Retain       uint16 // 0 to 3600
	ErrorRecoveryLevel       uint8  // 0 to 2
	ProtocolLevel            uint8  // 0 to 31

	// Values that we accept; the order of the initiator's list decides.
	HeaderDigest, DataDigest []string // of "CRC32C", "None"
	TaskReporting            []string // of "RFC3720", "ResponseFence", "FastAbort"
}

// DefaultLimits suit one connection per session without error recovery.
func DefaultLimits() Limits {
	return Limits{
		MaxRecvDataSegmentLength: 256 << 10,
		MaxBurstLength:           1 << 20,
		FirstBurstLength:         256 << 10,
		MaxOutstandingR2T:        8,
		MaxConnections:           1,
		InitialR2T:               false,
		ImmediateData:            true,
		DefaultTime2Wait:         2,
		DefaultTime2Retain:       0,
		ErrorRecoveryLevel:       0,
		ProtocolLevel:            2,
		HeaderDigest:             []string{"CRC32C", "None"},
		DataDigest:               []string{"CRC32C", "None"},
		TaskReporting:            taskReportings,
	}
}
