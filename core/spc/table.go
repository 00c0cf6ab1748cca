package spc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
)

// op is a row of the primary commands.
type op struct {
	core.Row
	run  func(*Device, *core.Command) error
	when func(*Device) bool // nil: always
}

// Seconds after which an initiator may give a command up. Those that never leave
// memory are quick; saving mode pages and a self-test wait for storage.
const (
	quick = 10
	slow  = 60
)

// table is in order of operation code.
var table = []op{
	{Row: core.Row{Code: 0x12, Action: core.NoAction, Name: "INQUIRY",
		Dir: scsi.In, Len: core.Bytes(3, 2), Timeout: quick,
		Gate:  core.PastUA | core.PastReserve | core.InStandby | core.InUnavail | core.Inline | core.WhileBusy,
		Usage: "\x12\x01\xff\xff\xff\x00"}, run: (*Device).inquiry},
	{Row: core.Row{Code: 0x15, Action: core.NoAction, Name: "MODE SELECT(6)",
		Dir: scsi.Out, Len: core.Bytes(4, 1), Timeout: slow,
		Gate:  core.InStandby,
		Usage: "\x15\x13\x00\x00\xff\x00"}, run: (*Device).modeSelect6},
	{Row: core.Row{Code: 0x1a, Action: core.NoAction, Name: "MODE SENSE(6)",
		Dir: scsi.In, Len: core.Bytes(4, 1), Timeout: quick,
		Gate:  core.InStandby | core.Inline | core.WhileBusy,
		Usage: "\x1a\x08\xff\xff\xff\x00"}, run: (*Device).modeSense6},
	{Row: core.Row{Code: 0x1d, Action: core.NoAction, Name: "SEND DIAGNOSTIC",
		Timeout: slow,
		Gate:    core.InStandby,
		Usage:   "\x1d\x07\x00\x00\x00\x00"}, run: (*Device).sendDiagnostic, when: (*Device).hasSelfTest},
	{Row: core.Row{Code: 0x3b, Action: core.NoAction, Name: "WRITE BUFFER",
		Dir: scsi.Out, Len: core.Bytes(6, 3), Timeout: quick,
		Gate:  core.InStandby | core.Inline,
		Usage: "\x3b\x1f\xff\xff\xff\xff\xff\xff\xff\x00"}, run: (*Device).writeBuffer},
	{Row: core.Row{Code: 0x3c, Action: core.NoAction, Name: "READ BUFFER(10)",
		Dir: scsi.In, Len: core.Bytes(6, 3), Timeout: quick,
		Gate:  core.InStandby | core.Inline,
		Usage: "\x3c\x1f\xff\xff\xff\xff\xff\xff\xff\x00"}, run: (*Device).readBuffer},
	{Row: core.Row{Code: 0x4c, Action: core.NoAction, Name: "LOG SELECT",
		Timeout: quick,
		Gate:    core.InStandby,
		Usage:   "\x4c\x02\xff\xff\x00\x00\x00\x00\x00\x00"}, run: (*Device).logSelect, when: (*Device).canClearLogs},
	{Row: core.Row{Code: 0x4d, Action: core.NoAction, Name: "LOG SENSE",
		Dir: scsi.In, Len: core.Bytes(7, 2), Timeout: quick,
		Gate:  core.PastReserve | core.InStandby | core.WhileBusy,
		Usage: "\x4d\x00\xff\xff\x00\xff\xff\xff\xff\x00"}, run: (*Device).logSense},
	{Row: core.Row{Code: 0x55, Action: core.NoAction, Name: "MODE SELECT(10)",
		Dir: scsi.Out, Len: core.Bytes(7, 2), Timeout: slow,
		Gate:  core.InStandby,
		Usage: "\x55\x13\x00\x00\x00\x00\x00\xff\xff\x00"}, run: (*Device).modeSelect10},
	{Row: core.Row{Code: 0x5a, Action: core.NoAction, Name: "MODE SENSE(10)",
		Dir: scsi.In, Len: core.Bytes(7, 2), Timeout: quick,
		Gate:  core.InStandby | core.Inline | core.WhileBusy,
		Usage: "\x5a\x18\xff\xff\x00\x00\x00\xff\xff\x00"}, run: (*Device).modeSense10},
}
