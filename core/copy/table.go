package copy

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/ops"
	"github.com/targate/targate/core/scsi"
)

// Opcodes and service actions (SPC-4, third-party copy commands).
const (
	opCopy    = 0x83 // THIRD-PARTY COPY OUT
	opReceive = 0x84 // THIRD-PARTY COPY IN

	saCopyLID1   = 0x00
	saCopyLID4   = 0x01
	saPopulate   = 0x10
	saWriteToken = 0x11
	saAbort      = 0x1c

	saStatusLID1 = 0x00
	saParameters = 0x03
	saFailure    = 0x04
	saStatusLID4 = 0x05
	saTokenInfo  = 0x07
)

// Recommended timeouts in seconds.
const (
	quick  = 10
	short  = 60
	copies = 3600
)

type op = ops.Op[*Service]

func out(action int16, name, usage string, gate core.Gate, timeout uint32, run func(*Service, *core.Command) error) op {
	return op{Row: core.Row{Code: opCopy, Action: action, Name: name, Dir: scsi.Out, Len: core.Bytes(10, 4),
		Gate: gate, Usage: usage, Timeout: timeout}, Run: run}
}

func in(action int16, name, usage string, run func(*Service, *core.Command) error) op {
	return op{Row: core.Row{Code: opReceive, Action: action, Name: name, Dir: scsi.In, Len: core.Bytes(10, 4),
		Gate: core.Inline, Usage: usage, Timeout: quick}, Run: run}
}

// Usage data. The group number of the token commands is taken and means nothing to us.
const (
	usageList  = "\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"
	usageToken = "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\x3f\x00"
	usageLID1  = "\xff\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"
	usageLID4  = "\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00"
)

var table = []op{
	out(saCopyLID1, "EXTENDED COPY(LID1)", "\x83\x00"+usageList, 0, copies, (*Service).copyLID1),
	out(saCopyLID4, "EXTENDED COPY(LID4)", "\x83\x01"+usageList, 0, copies, (*Service).copyLID4),
	out(saPopulate, "POPULATE TOKEN", "\x83\x10"+usageToken, core.ReadsMedium, short, (*Service).populate),
	out(saWriteToken, "WRITE USING TOKEN", "\x83\x11"+usageToken, core.WritesMedium, copies, (*Service).writeUsing),
	{Row: core.Row{Code: opCopy, Action: saAbort, Name: "COPY OPERATION ABORT",
		Usage: "\x83\x1c\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", Timeout: short}, Run: (*Service).abort},
	in(saStatusLID1, "RECEIVE COPY STATUS(LID1)", "\x84\x00"+usageLID1, (*Service).statusLID1),
	in(saParameters, "RECEIVE COPY OPERATING PARAMETERS", "\x84\x03"+usageList, (*Service).parameters),
	in(saFailure, "RECEIVE COPY FAILURE DETAILS(LID1)", "\x84\x04"+usageLID1, (*Service).failure),
	in(saStatusLID4, "RECEIVE COPY STATUS(LID4)", "\x84\x05"+usageLID4, (*Service).statusLID4),
	in(saTokenInfo, "RECEIVE ROD TOKEN INFORMATION", "\x84\x07"+usageLID4, (*Service).tokenInfo),
}
