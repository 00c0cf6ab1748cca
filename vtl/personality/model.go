// Package personality knows the models that a library can be made of: each drive, changer and
// kind of cartridge is a data file, and users can add their own. Code asks what a model can
// do, never which model it is. The keys of a file are the tags of the fields below.
package personality

import (
	"fmt"
	"time"
)

// Media is a kind of cartridge, such as LTO-8.
type Media struct {
	Name        string `yaml:"name"` // "LTO-8": what cartridges store
	Base        string `yaml:"base"` // the Media whose fields it begins with
	Description string `yaml:"description"`
	Density     uint8  `yaml:"density"`   // DENSITY CODE of what is recorded on it in its own format
	Type        uint8  `yaml:"type"`      // MEDIUM TYPE of the mode parameter header
	WORMType    uint8  `yaml:"worm_type"` // MEDIUM TYPE of its WORM version; 0: there is none
	Capacity    int64  `yaml:"capacity"`  // native, in bytes
	// Suffix is the media identifier at the end of a barcode: "L8"; WORMSuffix that of its
	// WORM version: "LY".
	Suffix     string `yaml:"suffix"`
	WORMSuffix string `yaml:"worm_suffix"`
	// Suffixes are others that it is known by, for Cleaning.
	Suffixes   []string `yaml:"suffixes"`
	Partitions int      `yaml:"partitions"` // the most partitions; 1 on WORM media always
	Cleaning   bool     `yaml:"cleaning"`
	Uses       int      `yaml:"uses"`   // of a cleaning cartridge
	Length     int      `yaml:"length"` // m
	Width      int      `yaml:"width"`  // tenths of mm
	Wraps      int      `yaml:"wraps"`  // end-to-end passes of the head; for times of motion and RAO
	MAM        int      `yaml:"mam"`    // bytes of medium auxiliary memory; 0: none
	Vendor     string   `yaml:"vendor"`
}

// Density is an entry of REPORT DENSITY SUPPORT (SSC-5, 7.14).
type Density struct {
	ID           string `yaml:"id"`   // how drives name it in data files: "U-832"
	Code         uint8  `yaml:"code"` // PRIMARY and SECONDARY DENSITY CODE
	BitsPerMM    uint32 `yaml:"bits_per_mm"`
	MediaWidth   uint16 `yaml:"width"` // tenths of mm
	Tracks       uint16 `yaml:"tracks"`
	Capacity     uint32 `yaml:"capacity"` // units of 10^6 bytes
	Organization string `yaml:"organization"`
	Name         string `yaml:"name"`
	Detail       string `yaml:"description"`
}

// Support is what a drive can do with a kind of cartridge.
type Support struct {
	Kind    *Media `yaml:"-"`     // that Media names
	Media   string `yaml:"media"` // name of a Media
	Write   bool   `yaml:"write"`
	WORM    bool   `yaml:"worm"`    // its WORM version too
	Density uint8  `yaml:"density"` // that the drive records on it; absent: Media.Density
}

// Drive is a model of tape drive.
type Drive struct {
	Name         string `yaml:"name"`     // "ibm-ult3580-td8"
	Base         string `yaml:"base"`     // the Drive whose fields it begins with
	Abstract     bool   `yaml:"abstract"` // it is a base only
	Description  string `yaml:"description"`
	Vendor       string `yaml:"vendor"` // of the standard INQUIRY data
	Product      string `yaml:"product"`
	Revision     string `yaml:"revision"`
	SerialPrefix string `yaml:"serial_prefix"`
	SerialLength int    `yaml:"serial_length"` // characters of a serial number, the prefix among them
	Version      uint8  `yaml:"version"`       // of the standard INQUIRY data: 3 SPC, 5 SPC-3, 6 SPC-4
	// InquiryTail are the vendor specific INQUIRY bytes from byte 36 on.
	InquiryTail Template `yaml:"inquiry_tail"`
	// VPD are vendor specific pages, whole, without their 4-byte header.
	VPD        map[uint8]Template `yaml:"vpd"`
	Densities  []Density          `yaml:"-"`         // those that DensityIDs name
	DensityIDs []string           `yaml:"densities"` // ids of each density that it reads or writes
	Supports   []Support          `yaml:"supports"`  // the kinds of cartridges; its own one first
	// PlainMediumType: MEDIUM TYPE is 00h, and 01h of WORM media, whatever cartridge it is (HP).
	PlainMediumType bool   `yaml:"plain_medium_type"`
	MinBlock        uint32 `yaml:"min_block"`   // bytes
	MaxBlock        uint32 `yaml:"max_block"`   // bytes
	Granularity     uint8  `yaml:"granularity"` // blocks have multiples of 2 to this power of bytes
	Buffer          int64  `yaml:"buffer"`      // bytes of the drive's buffer
	Compression     bool   `yaml:"compression"`
	Encryption      bool   `yaml:"encryption"`
	// Protection: methods of logical block protection (SSC-5, 8.3.9): 1 Reed-Solomon, 2 CRC32C.
	Protection []uint8 `yaml:"protection"`
	// CRCLittleEndian: CRC32C of logical block protection is stored least significant byte first.
	CRCLittleEndian bool  `yaml:"crc_little_endian"`
	Partitions      int   `yaml:"partitions"`    // the most that it makes
	AppendOnly      bool  `yaml:"append_only"`   // append-only mode, and ALLOW OVERWRITE
	RAO             bool  `yaml:"rao"`           // recommended access order
	Display         bool  `yaml:"display"`       // LOAD DISPLAY
	EarlyWarning    int64 `yaml:"early_warning"` // bytes before the end of a partition
	// ModePages are vendor specific pages, whole but for their header: "25" or "25/01".
	ModePages map[string]Bytes  `yaml:"mode_pages"`
	LogPages  []uint8           `yaml:"log_pages"` // of those that are implemented, which it has; empty: all that are not vendor specific
	Timeouts  map[string]uint32 `yaml:"timeouts"`  // seconds, by the name of the command row
	Timing    Timing            `yaml:"timing"`
}

// Timing is how long motion takes.
type Timing struct {
	Load   time.Duration `yaml:"load"`
	Unload time.Duration `yaml:"unload"`
	Thread time.Duration `yaml:"thread"`
	Locate time.Duration `yaml:"locate"` // over the whole tape
	Rewind time.Duration `yaml:"rewind"`
	Rate   int64         `yaml:"rate"` // native streaming rate, bytes per second
}

// Changer is a model of medium changer.
type Changer struct {
	Name         string             `yaml:"name"` // "ibm-3573-tl"
	Base         string             `yaml:"base"` // the Changer whose fields it begins with
	Abstract     bool               `yaml:"abstract"`
	Description  string             `yaml:"description"`
	Vendor       string             `yaml:"vendor"`
	Product      string             `yaml:"product"`
	Revision     string             `yaml:"revision"`
	SerialPrefix string             `yaml:"serial_prefix"`
	SerialLength int                `yaml:"serial_length"`
	Version      uint8              `yaml:"version"`
	InquiryTail  Template           `yaml:"inquiry_tail"`
	VPD          map[uint8]Template `yaml:"vpd"`
	// First element address of each element type.
	Picker       uint16 `yaml:"picker"`
	Slot         uint16 `yaml:"slot"`
	Mailslot     uint16 `yaml:"mailslot"`
	Drive        uint16 `yaml:"drive"`
	Pickers      int    `yaml:"pickers"`
	MaxSlots     int    `yaml:"max_slots"`
	MaxMailslots int    `yaml:"max_mailslots"`
	MaxDrives    int    `yaml:"max_drives"`
	// UnitSerial is what VPD page 80h holds, and page 83h behind the vendor; empty: the serial
	// number. {slot:4} is the first storage element address in hexadecimal digits.
	UnitSerial  Template `yaml:"unit_serial"`
	NoDeviceID  bool     `yaml:"no_device_id"` // VPD page 83h is not there
	AlwaysDVCID bool     `yaml:"always_dvcid"` // READ ELEMENT STATUS reports DVCID though it is not asked
	// DVCIDSerialOnly: its identifier is the serial number alone; DVCIDLength is what it is
	// padded to, 0: as long as it is.
	DVCIDSerialOnly bool `yaml:"dvcid_serial_only"`
	DVCIDLength     int  `yaml:"dvcid_length"`
	// UnloadBeforeMove: a cartridge cannot be taken out of a drive that has not unloaded it.
	UnloadBeforeMove bool       `yaml:"unload_before_move"`
	BarcodeLength    int        `yaml:"barcode_length"` // characters that it reads
	Timing           MoveTiming `yaml:"timing"`
}

// Serial is what VPD page 80h holds of a changer whose serial number is serial.
func (c *Changer) Serial(serial string) string {
	if len(c.UnitSerial) == 0 {
		return serial
	}
	return string(c.UnitSerial.Append(nil, Facts{Serial: serial, Vendor: c.Vendor, Product: c.Product,
		Revision: c.Revision, Slot: fmt.Sprintf("%04x", c.Slot)}))
}

// MoveTiming is how long the robot takes.
type MoveTiming struct {
	Move time.Duration `yaml:"move"`
	Scan time.Duration `yaml:"scan"`
}
