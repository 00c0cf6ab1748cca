package spc

import (
	"github.com/targate/targate/core"
)

// LogPage is a log page.
type LogPage struct {
	Code, Sub uint8
	// Params gives the log parameters as they are now, in any order.
	Params func(c *core.Command) []LogParam
	// Clear sets the counters of the page to their defaults (LOG SELECT with PCR).
	// nil: the page has none that can be cleared.
	Clear func()
}

// LogParam is a log parameter (SPC-6, 7.3.2.2).
type LogParam struct {
	Code   uint16
	Format LogFormat
	Value  []byte
}

// LogFormat is the FORMAT AND LINKING field of a log parameter.
type LogFormat uint8

// Formats.
const (
	Counter    LogFormat = 0 // bounded data counter
	ASCIIList  LogFormat = 1
	Unbounded  LogFormat = 2 // unbounded data counter
	BinaryList LogFormat = 3
)

func (d *Device) setLogs([]LogPage) error { return nil }
