package config

import (
	"fmt"
	"strings"

	"github.com/targate/targate/core/scsi"
)

// Pos is where in the file something stands, both counted from 1.
type Pos struct {
	Line int `json:"line"`
	Col  int `json:"col"`
}

// Fault is one thing that is wrong.
type Fault struct {
	File string `json:"file"`
	Pos
	Message string `json:"message"`
}

func (f Fault) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message)
}

// Faults are all that is wrong with a file, in order of position.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Model is what the file says, checked, with defaults filled in and paths absolute.
type Model struct {
	File string // as the user named it
	Text []byte // the file itself

	StateDir   string
	StateDirAt Pos
	Memory     int64 // bytes
	MemoryAt   Pos
	ISCSI      ISCSI
	API        API
	ALUA       *ALUA // nil: all ports are active
	Devices    []Device
	Entries    []Entry // of all collections
	Targets    []Target
}

// Fault makes a fault of this file.
func (m *Model) Fault(at Pos, format string, a ...any) Fault {
	return Fault{File: m.File, Pos: at, Message: fmt.Sprintf(format, a...)}
}

// ISCSI is the iSCSI door.
type ISCSI struct {
	Portals   []Portal
	Sessions  int // the most at once; 0: as many as the protocol can tell apart
	Discovery *CHAP
	// Time2Wait and Time2Retain are offered to initiators, in seconds.
	Time2Wait, Time2Retain uint16
}

// Portal is an address to listen at.
type Portal struct {
	Listen   string // host:port
	Announce string // host:port, or empty
	Tag      uint16
	Redirect *Redirect // where those who log in by it are sent
	At       Pos
}

// API is where the control API listens.
type API struct {
	Listen      []Listen
	AllowRemote bool
	At          Pos
}

// Listen is one address of the API.
type Listen struct {
	Network string // "unix" or "tcp"
	Address string // absolute path, or host:port
	At      Pos
}

func (l Listen) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Address
	}
	return l.Address
}

// Device is one device. Values holds the keys of its kind that are present or have a
// default, in the Go types that Type names; ValuesAt those that are present.
type Device struct {
	Name     string
	Kind     string
	Values   map[string]any
	At       Pos
	ValuesAt map[string]Pos
}

// Target is what an initiator logs in to.
type Target struct {
	IQN         string // lower case
	Alias       string
	LUNs        []LUN
	HasLUNs     bool // luns is present, be it empty
	Groups      []Group
	CHAP        *CHAP
	MaxSessions int
	Portals     []string  // Portal.Listen of those by which it is there; nil: all
	PortalsAt   []Pos     // of each
	Redirect    *Redirect // where those who log in are sent
	At          Pos

	show []*Show // until check makes LUNs of it
}

// Redirect is where a target is now.
type Redirect struct {
	Address   string // "HOST:PORT"
	Permanent bool
	At        Pos
}

// LUN is one entry of a LUN map.
type LUN struct {
	LUN      scsi.LUN
	Device   string
	ReadOnly bool
	At       Pos
}

// Group is a LUN map for the initiators that its patterns name.
type Group struct {
	Name       string
	Initiators []string
	LUNs       []LUN
	At         Pos

	hasLUNs bool
	show    []*Show
}

// CHAP is who may log in and what the target proves.
type CHAP struct {
	Users  []Credential
	Mutual *Credential
	At     Pos
}

// Credential is a CHAP name and its secret.
type Credential struct {
	Name   string
	Secret []byte
	At     Pos

	sources int
}

// Type is the type of a key's value.
type Type string

// Types, with the Go type of values.
const (
	Size   Type = "size"    // int64, bytes
	Path   Type = "path"    // string, absolute
	Bool   Type = "bool"    // bool
	Int    Type = "int"     // int64
	String Type = "string"  // string
	Enum   Type = "enum"    // one of Key.Values: int64 if they all are numbers, else string
	List   Type = "list"    // []Item, of values of Key.Elem
	Map    Type = "mapping" // Mapping, of Key.Keys
)

// Kind is a value of the key handler, and the keys that it brings.
type Kind struct {
	Name string
	Doc  string
	Keys []Key
}

// Key is one key of a device, of an entry of a collection, or of a mapping in one.
type Key struct {
	Name     string
	Type     Type
	Values   []string // of an Enum
	Elem     *Key     // of a List: its Name is what an element is, as in "drive"
	Keys     []Key    // of a Map
	Short    string   // of a Map: the key that is meant when a plain value stands there
	Required bool
	Default  any // in the type's Go type; nil: an absent key has no value
	Doc      string
	Check    func(v any) error // what else is wrong with a value; nil: nothing
}
