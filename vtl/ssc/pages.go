package ssc

import "github.com/targate/targate/core/spc"

// vpdPages are the VPD pages of a drive beyond those of every device.
func (d *Drive) vpdPages() []spc.VPDPage { return nil }

// logPages are the log pages of a drive. They report Drive.stats, and what the loaded medium says of
// itself (Drive.look).
func (d *Drive) logPages() []spc.LogPage { return nil }
