package ssc

import (
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/core/wire"
)

// settings are what MODE SELECT sets, as far as commands look at it.
type settings struct {
	bufferedMode atomic.Uint32
	compress     atomic.Bool
	pews         atomic.Uint32 // PEWS, in units of 10^6 bytes
	appendOnly   atomic.Bool   // WRITE MODE 1h; ends when the medium is unloaded
}

const defaultBufferedMode = 1

func (s *settings) pewsBytes() int64 { return int64(s.pews.Load()) * 1e6 }

// loaded and unloaded are told of the medium.
func (s *settings) loaded()   {}
func (s *settings) unloaded() { s.appendOnly.Store(false) }

// primary is what a drive says of itself to the primary commands.
func (d *Drive) primary() spc.Config {
	return spc.Config{
		Type:       scsi.Sequential,
		Identity:   d.cfg.Identity,
		Removable:  true,
		Versions:   []uint16{spc.SSC4},
		VPD:        d.vpdPages(),
		Modes:      d.modePages(),
		Logs:       d.logPages(),
		Header:     d.modeHeader,
		CanProtect: true,
	}
}

// modePages are the mode pages of a drive, one list per file.
func (d *Drive) modePages() []spc.ModePage {
	var list []spc.ModePage
	if len(d.model.Protection) > 0 {
		list = append(list, d.guardPage())
	}
	return list
}

// modeHeader is the mode parameter header and the block descriptor (SSC-5, 8.3).
func (d *Drive) modeHeader(c *core.Command, _ bool) spc.Header {
	const wp = 0x80
	h := spc.Header{Block: make([]byte, 8), Specific: byte(d.settings.bufferedMode.Load()) << 4}
	wire.PutU24(h.Block[5:], d.blockLen.Load())
	d.look(func(m *mount) {
		if m == nil {
			return
		}
		media := m.cart.Media()
		h.Block[0] = m.density()
		h.MediumType = media.Type
		if d.model.PlainMediumType {
			h.MediumType = 0
		}
		if m.cart.WORM() {
			h.MediumType = media.WORMType
			if d.model.PlainMediumType {
				h.MediumType = 1
			}
		}
		if m.readOnly {
			h.Specific |= wp
		}
	})
	if d.WriteProtected(c) {
		h.Specific |= wp
	}
	return h
}

// density is the DENSITY CODE of what is recorded on m.
func (m *mount) density() uint8 {
	if m.support.Density != 0 {
		return m.support.Density
	}
	return m.cart.Media().Density
}
