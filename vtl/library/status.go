package library

import "time"

// Status is a library as people see it.
type Status struct {
	Name     string `json:"name"`
	Model    string `json:"model"`
	Vendor   string `json:"vendor"`
	Product  string `json:"product"`
	Revision string `json:"revision"`
	Serial   string `json:"serial"`

	Drives       Count `json:"drives"`
	Slots        Count `json:"slots"`
	Mailslots    Count `json:"mailslots"`
	Cartridges   int   `json:"cartridges"` // all, the vault's among them
	InVault      int   `json:"in_vault"`
	Missing      int   `json:"missing"`   // cartridges whose contents are not stored any more
	Prevented    bool  `json:"prevented"` // an initiator prevents that people open the mailslots
	MailslotOpen bool  `json:"mailslot_open"`

	// Since the library was made:
	Moves         uint64 `json:"moves"`          // of cartridges by the robot
	Exchanges     uint64 `json:"exchanges"`      // of two cartridges at once
	Scans         uint64 `json:"scans"`          // of elements, for INITIALIZE ELEMENT STATUS
	DoorOpens     uint64 `json:"door_opens"`     // by people who reached into slots
	MailslotOpens uint64 `json:"mailslot_opens"` // and mailslots
}

// Count is how many places there are, and how many of them hold a cartridge.
type Count struct {
	Total int `json:"total"`
	Full  int `json:"full"`
}

// DriveStatus is a drive as people see it.
type DriveStatus struct {
	Number    int    `json:"number"` // from 1
	Name      string `json:"name"`   // of the device: "lib0-drive1"
	Address   uint16 `json:"address"`
	Model     string `json:"model"`
	Vendor    string `json:"vendor"`
	Product   string `json:"product"`
	Serial    string `json:"serial"`
	Removed   bool   `json:"removed,omitempty"`   // the bay is empty
	Barcode   string `json:"barcode,omitempty"`   // of the cartridge in it
	Home      Place  `json:"home,omitzero"`       // where the cartridge came from, when that is known
	Loaded    bool   `json:"loaded"`              // commands reach the medium
	Busy      bool   `json:"busy"`                // loading, unloading, or in motion
	Prevented bool   `json:"prevented,omitempty"` // an initiator prevents removal
	Cleaning  bool   `json:"cleaning,omitempty"`  // asks for a cleaning cartridge
}

// SlotStatus is a slot or mailslot as people see it.
type SlotStatus struct {
	Place   Place  `json:"place"`
	Address uint16 `json:"address"`
	Barcode string `json:"barcode,omitempty"` // of the cartridge in it
}

// CartridgeStatus is a cartridge as people see it.
type CartridgeStatus struct {
	ID             string `json:"id"` // for life
	Barcode        string `json:"barcode"`
	Media          string `json:"media"` // the name of a personality.Media
	WORM           bool   `json:"worm"`
	WriteProtected bool   `json:"write_protected"` // the tab of its shell
	Cleaning       bool   `json:"cleaning,omitempty"`
	UsesLeft       int    `json:"uses_left,omitempty"` // of a cleaning cartridge
	Place          Place  `json:"place"`
	Home           Place  `json:"home,omitzero"`     // the slot that it was taken from last, when it is known
	Missing        bool   `json:"missing,omitempty"` // its contents are not stored any more

	Moves   uint64    `json:"moves"`
	Loads   uint64    `json:"loads"` // into drives
	Imports uint64    `json:"imports"`
	Exports uint64    `json:"exports"`
	Created time.Time `json:"created"`
	Moved   time.Time `json:"moved,omitzero"` // zero: never
}
