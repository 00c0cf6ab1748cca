package sense

// Additional sense codes that the code refers to by name. Names are the T10
// list's (www.t10.org/lists/asc-num.txt).
const (
	NoAdditionalSense           Code = 0x0000
	OperationInProgress         Code = 0x0016
	NotReadyBecomingReady       Code = 0x0401
	InitializingCommandRequired Code = 0x0402
	FormatInProgress            Code = 0x0404
	SanitizeInProgress          Code = 0x041b
	LogicalUnitNotReady         Code = 0x0400
	WriteError                  Code = 0x0c00
	InvalidFieldInCDB           Code = 0x2400
	InvalidFieldInParameterList Code = 0x2600
	ParameterListLengthError    Code = 0x1a00
	InvalidOpcode               Code = 0x2000
	LBAOutOfRange               Code = 0x2100
	LogicalUnitNotSupported     Code = 0x2500
	WriteProtected              Code = 0x2700
	HardwareWriteProtected      Code = 0x2701
	SoftwareWriteProtected      Code = 0x2702
	SpaceAllocationFailed       Code = 0x2707
	MediumMayHaveChanged        Code = 0x2800
	PowerOnReset                Code = 0x2900
	PowerOnOccurred             Code = 0x2901
	BusDeviceReset              Code = 0x2903
	NexusLoss                   Code = 0x2907
	ParametersChanged           Code = 0x2a00
	ModeParametersChanged       Code = 0x2a01
	LogParametersChanged        Code = 0x2a02
	ReservationsPreempted       Code = 0x2a03
	ReservationsReleased        Code = 0x2a04
	RegistrationsPreempted      Code = 0x2a05
	AsymmetricStateChanged      Code = 0x2a06
	CapacityChanged             Code = 0x2a09
	CommandSequenceError        Code = 0x2c00
	CommandsClearedByInitiator  Code = 0x2f00
	SavingNotSupported          Code = 0x3900
	MediumNotPresent            Code = 0x3a00
	InquiryDataChanged          Code = 0x3f03
	ReportedLUNsDataHasChanged  Code = 0x3f0e
	InternalTargetFailure       Code = 0x4400
	UnrecoveredReadError        Code = 0x1100
	MiscompareDuringVerify      Code = 0x1d00
	SanitizeCommandFailed       Code = 0x3103
	ThinSoftThresholdReached    Code = 0x3807
	InsufficientResources       Code = 0x5503
	DataPhaseError              Code = 0x4b00
	OverlappedCommands          Code = 0x4e00
	ProtocolServiceCRCError     Code = 0x4705
	UnexpectedUnsolicitedData   Code = 0x0c0c
	NotEnoughUnsolicitedData    Code = 0x0c0d
	GuardCheckFailed            Code = 0x1001
	ApplicationTagCheckFailed   Code = 0x1002
	ReferenceTagCheckFailed     Code = 0x1003
	InvalidReleaseOfReservation Code = 0x2604
	MessageError                Code = 0x4300
	MaintenanceInProgress       Code = 0x0409
)

// Errors that carry nothing but key and code: shared, never changed.
var (
	ErrInvalidOpcode  = New(IllegalRequest, InvalidOpcode)
	ErrInvalidField   = New(IllegalRequest, InvalidFieldInCDB)
	ErrLBA            = New(IllegalRequest, LBAOutOfRange)
	ErrParamLength    = New(IllegalRequest, ParameterListLengthError)
	ErrNoUnit         = New(IllegalRequest, LogicalUnitNotSupported)
	ErrWriteProtected = New(DataProtect, WriteProtected)
	ErrSoftwareWP     = New(DataProtect, SoftwareWriteProtected)
	ErrNoSpace        = New(DataProtect, SpaceAllocationFailed)
	ErrResources      = New(IllegalRequest, InsufficientResources)
	ErrSaving         = New(IllegalRequest, SavingNotSupported)
)

// Name is the T10 name of the code, "" for one that the table does not hold.
func (c Code) Name() string { return names[c] }

var names = map[Code]string{}
