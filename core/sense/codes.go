package sense

// Additional sense codes that the code refers to by name, in order. The comment is
// the name in asc.txt; a test keeps it so.
const (
	NoAdditionalSense           Code = 0x0000 // NO ADDITIONAL SENSE INFORMATION
	OperationInProgress         Code = 0x0016 // OPERATION IN PROGRESS
	LogicalUnitNotReady         Code = 0x0400 // LOGICAL UNIT NOT READY, CAUSE NOT REPORTABLE
	NotReadyBecomingReady       Code = 0x0401 // LOGICAL UNIT IS IN PROCESS OF BECOMING READY
	InitializingCommandRequired Code = 0x0402 // LOGICAL UNIT NOT READY, INITIALIZING COMMAND REQUIRED
	FormatInProgress            Code = 0x0404 // LOGICAL UNIT NOT READY, FORMAT IN PROGRESS
	SelfTestInProgress          Code = 0x0409 // LOGICAL UNIT NOT READY, SELF-TEST IN PROGRESS
	AsymmetricTransition        Code = 0x040a // LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION
	PortInStandby               Code = 0x040b // LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE
	PortUnavailable             Code = 0x040c // LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE
	LogicalUnitOffline          Code = 0x0412 // LOGICAL UNIT NOT READY, OFFLINE
	SanitizeInProgress          Code = 0x041b // LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS
	WriteError                  Code = 0x0c00 // WRITE ERROR
	UnexpectedUnsolicitedData   Code = 0x0c0c // WRITE ERROR - UNEXPECTED UNSOLICITED DATA
	NotEnoughUnsolicitedData    Code = 0x0c0d // WRITE ERROR - NOT ENOUGH UNSOLICITED DATA
	InvalidFieldInCIU           Code = 0x0e03 // INVALID FIELD IN COMMAND INFORMATION UNIT
	GuardCheckFailed            Code = 0x1001 // LOGICAL BLOCK GUARD CHECK FAILED
	ApplicationTagCheckFailed   Code = 0x1002 // LOGICAL BLOCK APPLICATION TAG CHECK FAILED
	ReferenceTagCheckFailed     Code = 0x1003 // LOGICAL BLOCK REFERENCE TAG CHECK FAILED
	UnrecoveredReadError        Code = 0x1100 // UNRECOVERED READ ERROR
	ParameterListLengthError    Code = 0x1a00 // PARAMETER LIST LENGTH ERROR
	MiscompareDuringVerify      Code = 0x1d00 // MISCOMPARE DURING VERIFY OPERATION
	InvalidOpcode               Code = 0x2000 // INVALID COMMAND OPERATION CODE
	LBAOutOfRange               Code = 0x2100 // LOGICAL BLOCK ADDRESS OUT OF RANGE
	InvalidFieldInCDB           Code = 0x2400 // INVALID FIELD IN CDB
	LogicalUnitNotSupported     Code = 0x2500 // LOGICAL UNIT NOT SUPPORTED
	InvalidFieldInParameterList Code = 0x2600 // INVALID FIELD IN PARAMETER LIST
	InvalidReleaseOfReservation Code = 0x2604 // INVALID RELEASE OF PERSISTENT RESERVATION
	WriteProtected              Code = 0x2700 // WRITE PROTECTED
	HardwareWriteProtected      Code = 0x2701 // HARDWARE WRITE PROTECTED
	SoftwareWriteProtected      Code = 0x2702 // LOGICAL UNIT SOFTWARE WRITE PROTECTED
	SpaceAllocationFailed       Code = 0x2707 // SPACE ALLOCATION FAILED WRITE PROTECT
	MediumMayHaveChanged        Code = 0x2800 // NOT READY TO READY CHANGE, MEDIUM MAY HAVE CHANGED
	PowerOnReset                Code = 0x2900 // POWER ON, RESET, OR BUS DEVICE RESET OCCURRED
	PowerOnOccurred             Code = 0x2901 // POWER ON OCCURRED
	BusDeviceReset              Code = 0x2903 // BUS DEVICE RESET FUNCTION OCCURRED
	NexusLoss                   Code = 0x2907 // I_T NEXUS LOSS OCCURRED
	ParametersChanged           Code = 0x2a00 // PARAMETERS CHANGED
	ModeParametersChanged       Code = 0x2a01 // MODE PARAMETERS CHANGED
	LogParametersChanged        Code = 0x2a02 // LOG PARAMETERS CHANGED
	ReservationsPreempted       Code = 0x2a03 // RESERVATIONS PREEMPTED
	ReservationsReleased        Code = 0x2a04 // RESERVATIONS RELEASED
	RegistrationsPreempted      Code = 0x2a05 // REGISTRATIONS PREEMPTED
	AsymmetricStateChanged      Code = 0x2a06 // ASYMMETRIC ACCESS STATE CHANGED
	ImplicitTransitionFailed    Code = 0x2a07 // IMPLICIT ASYMMETRIC ACCESS STATE TRANSITION FAILED
	CapacityChanged             Code = 0x2a09 // CAPACITY DATA HAS CHANGED
	CommandSequenceError        Code = 0x2c00 // COMMAND SEQUENCE ERROR
	PreviousBusy                Code = 0x2c07 // PREVIOUS BUSY STATUS
	PreviousTaskSetFull         Code = 0x2c08 // PREVIOUS TASK SET FULL STATUS
	PreviousReservationConflict Code = 0x2c09 // PREVIOUS RESERVATION CONFLICT STATUS
	CommandsClearedByInitiator  Code = 0x2f00 // COMMANDS CLEARED BY ANOTHER INITIATOR
	SanitizeCommandFailed       Code = 0x3103 // SANITIZE COMMAND FAILED
	ThinSoftThresholdReached    Code = 0x3807 // THIN PROVISIONING SOFT THRESHOLD REACHED
	SavingNotSupported          Code = 0x3900 // SAVING PARAMETERS NOT SUPPORTED
	MediumNotPresent            Code = 0x3a00 // MEDIUM NOT PRESENT
	FailedSelfTest              Code = 0x3e03 // LOGICAL UNIT FAILED SELF-TEST
	InquiryDataChanged          Code = 0x3f03 // INQUIRY DATA HAS CHANGED
	ReportedLUNsDataHasChanged  Code = 0x3f0e // REPORTED LUNS DATA HAS CHANGED
	MessageError                Code = 0x4300 // MESSAGE ERROR
	InternalTargetFailure       Code = 0x4400 // INTERNAL TARGET FAILURE
	ProtocolServiceCRCError     Code = 0x4705 // PROTOCOL SERVICE CRC ERROR
	InvalidMessageError         Code = 0x4900 // INVALID MESSAGE ERROR
	DataPhaseError              Code = 0x4b00 // DATA PHASE ERROR
	OverlappedCommands          Code = 0x4e00 // OVERLAPPED COMMANDS ATTEMPTED
	InsufficientResources       Code = 0x5503 // INSUFFICIENT RESOURCES
	InsufficientRegistrations   Code = 0x5504 // INSUFFICIENT REGISTRATION RESOURCES
	SetTargetPortGroupsFailed   Code = 0x670a // SET TARGET PORT GROUPS COMMAND FAILED
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
