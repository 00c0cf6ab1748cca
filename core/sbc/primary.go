package sbc

import (
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/spc"
)

// primary is what a disk says of itself to the primary commands.
func (d *Disk) primary() spc.Config {
	return spc.Config{
		Type:          scsi.DirectAccess,
		Identity:      d.cfg.Identity,
		Versions:      []uint16{spc.SBC3},
		VolatileCache: d.info.Volatile,
		CanProtect:    true,
	}
}
