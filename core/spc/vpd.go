package spc

import (
	"github.com/targate/targate/core"
)

// VPDPage is a page of vital product data.
type VPDPage struct {
	Code uint8
	// Append adds what follows the four bytes of the page header to dst. The length
	// is filled in by the caller.
	Append func(dst []byte, c *core.Command) []byte
}

func (d *Device) setVPD([]VPDPage) error { return nil }
