package spc

import "github.com/targate/targate/core"

// op is a row of the primary commands.
type op struct {
	core.Row
	run  func(*Device, *core.Command) error
	when func(*Device) bool // nil: always
}

var table []op
