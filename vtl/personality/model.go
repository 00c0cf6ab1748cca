// Package personality knows the models that a library can be made of: each drive, changer and
// kind of cartridge is a data file, and users can add their own. Code asks what a model can
// do, never which model it is.
package personality

import "time"

// Media is a kind of cartridge, such as LTO-8.
type Media struct {
	Name     string // "LTO-8": what cartridges store
	Density  uint8  // DENSITY CODE of what is recorded on it in its own format
	Type     uint8  // MEDIUM TYPE of the mode parameter header
	WORMType uint8  // MEDIUM TYPE of its WORM version; 0: there is none
	Capacity int64  // native, in bytes
	// Suffix is the media identifier at the end of a barcode: "L8"; WORMSuffix that of its
	// WORM version: "LY".
	Suffix, WORMSuffix string
	Partitions         int // the most partitions
	Cleaning           bool
	Length             int // m
	Width              int // tenths of mm
	Wraps              int // for times of motion and RAO
	MAM                int // bytes of medium auxiliary memory; 0: none
	Vendor             string
}

// Density is an entry of REPORT DENSITY SUPPORT (SSC-5, 7.14).
type Density struct {
	Code                       uint8
	BitsPerMM                  uint32
	MediaWidth                 uint16 // tenths of mm
	Tracks                     uint16
	Capacity                   uint32 // units of 10^6 bytes
	Organization, Name, Detail string
}

// Support is what a drive can do with a kind of cartridge.
type Support struct {
	Media   string // name of a Media
	Write   bool
	WORM    bool  // its WORM version too
	Density uint8 // that the drive records on it
}

// Drive is a model of tape drive.
type Drive struct {
	Name                      string // "ibm-ult3580-td8"
	Description               string
	Vendor, Product, Revision string // of the standard INQUIRY data
	SerialPrefix              string
	SerialLength              int // characters of a serial number
	Version                   uint8
	// Vendor specific INQUIRY bytes from byte 36 on.
	InquiryTail []byte
	VPD         map[uint8][]byte // vendor specific pages, whole, without their 4-byte header
	Densities   []Density
	Supports    []Support
	MinBlock    uint32
	MaxBlock    uint32
	Granularity uint8
	Buffer      int64 // bytes of the drive's buffer
	// Features.
	Compression bool
	Encryption  bool
	// Protection: methods of logical block protection (SSC-5, 8.3.9): 1 Reed-Solomon, 2 CRC32C.
	Protection []uint8
	// CRCLittleEndian: CRC32C of logical block protection is stored least significant byte first.
	CRCLittleEndian bool
	Partitions      int
	AppendOnly      bool
	RAO             bool
	EarlyWarning    int64             // bytes before the end of a partition
	ModePages       map[string][]byte // "25" or "25/00": vendor specific pages, whole
	LogPages        []uint8           // of those that the drive has, which it shows; empty: all
	Timeouts        map[string]uint32 // seconds, by the name of the command row
	Timing          Timing
}

// Timing is how long motion takes.
type Timing struct {
	Load, Unload, Thread time.Duration
	Locate, Rewind       time.Duration // over the whole tape
	Rate                 int64         // native streaming rate, bytes per second
}

// Changer is a model of medium changer.
type Changer struct {
	Name                      string // "ibm-3573-tl"
	Description               string
	Vendor, Product, Revision string
	SerialPrefix              string
	SerialLength              int
	Version                   uint8
	InquiryTail               []byte
	VPD                       map[uint8][]byte // templates: see its data files
	// First element address of each element type.
	Picker, Slot, Mailslot, Drive     uint16
	Pickers                           int
	MaxSlots, MaxMailslots, MaxDrives int
	SerialSuffix                      string // behind the serial number in VPD pages 80h and 83h
	NoDeviceID                        bool   // VPD page 83h is not there
	AlwaysDVCID                       bool   // READ ELEMENT STATUS reports DVCID though it is not asked
	DVCIDSerialOnly                   bool   // its identifier is the serial number alone
	DVCIDLength                       int    // padded to; 0: as long as it is
	// UnloadBeforeMove: a cartridge cannot be taken out of a drive that has not unloaded it.
	UnloadBeforeMove bool
	BarcodeLength    int // characters that it reads
	Timing           MoveTiming
}

// MoveTiming is how long the robot takes.
type MoveTiming struct{ Move, Scan time.Duration }
