package ssc

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

// settings are what MODE SELECT sets, as far as commands look at it.
type settings struct {
	bufferedMode  atomic.Uint32
	compress      atomic.Bool
	pews          atomic.Uint32 // PEWS, in units of 10^6 bytes
	appendOnly    atomic.Bool   // WRITE MODE 1h; ends when the medium is unloaded
	softwareWP    atomic.Bool   // SWP of the Device Configuration page
	associatedWP  atomic.Bool   // ASOCWP; ends when the medium is unloaded
	syncAtWarning atomic.Bool   // SEW
}

// defaultBufferedMode lets GOOD come before data is on the medium.
const defaultBufferedMode = 1

func (s *settings) pewsBytes() int64 { return int64(s.pews.Load()) * 1e6 }

// unloaded is told that the medium is gone, and what holds for it with it.
func (s *settings) unloaded() {
	s.appendOnly.Store(false)
	s.associatedWP.Store(false)
}

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
		SetHeader:  d.setHeader,
		NoPageZero: true,
		SelfTest:   d.selfTest,
		CanProtect: true,
		Imitation:  d.imitation(),
	}
}

const wp = 0x80 // of the DEVICE-SPECIFIC PARAMETER

// modeHeader is the mode parameter header and the block descriptor (SSC-5, 8.3).
func (d *Drive) modeHeader(c *core.Command, _ bool) spc.Header {
	h := spc.Header{Block: make([]byte, 8), Specific: byte(d.settings.bufferedMode.Load()) << 4}
	wire.PutU24(h.Block[5:], d.blockLen.Load())
	d.look(func(m *mount) {
		if m == nil {
			return
		}
		h.Block[0], h.MediumType = m.density(), d.mediumType(m.cart.Media(), m.info.WORM)
		if m.readOnly {
			h.Specific |= wp
		}
	})
	if d.WriteProtected(c) || d.settings.softwareWP.Load() || d.settings.associatedWP.Load() {
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

// setHeader takes BUFFERED MODE, the density and the block length of a MODE SELECT.
func (d *Drive) setHeader(c *core.Command, h spc.Header) (func(), error) {
	const (
		speed        = 0x0f // of the DEVICE-SPECIFIC PARAMETER: the default is all there is
		anyDensity   = 0x00
		sameDensity  = 0x7f
		maxBuffering = 1 // GOOD before the data is on the medium; 2 knows initiators apart
	)
	specific := 2 // where it lies in the short header
	if h.At == 8 {
		specific = 3
	}
	mode := uint32(h.Specific&^wp) >> 4
	switch {
	case h.Specific&speed != 0:
		return nil, sense.ParamBit(specific, 3)
	case mode > maxBuffering:
		return nil, sense.ParamBit(specific, 6)
	}
	block := d.blockLen.Load()
	if len(h.Block) > 0 {
		code := h.Block[0]
		if code != anyDensity && code != sameDensity && !d.knows(code) {
			return nil, sense.Param(h.At)
		}
		block = wire.U24(h.Block[5:])
		if block != 0 && d.checkLength(block) != nil {
			return nil, sense.Param(h.At + 5)
		}
	}
	if mode == d.settings.bufferedMode.Load() && block == d.blockLen.Load() {
		return nil, nil
	}
	return func() {
		d.settings.bufferedMode.Store(mode)
		d.blockLen.Store(block)
	}, nil
}

// knows says whether the loaded medium, or without one the drive, knows density code.
func (d *Drive) knows(code uint8) (ok bool) {
	d.look(func(m *mount) {
		if m != nil {
			ok = m.density() == code
			return
		}
		for _, e := range d.model.Densities {
			ok = ok || e.Code == code
		}
	})
	return ok
}

// modePages are the mode pages of a drive.
func (d *Drive) modePages() []spc.ModePage {
	return slices.Concat([]spc.ModePage{
		recoveryPage(),
		disconnectPage(),
		d.compressionPage(),
		d.configurationPage(),
		d.extensionPage(),
		d.partitionPage(),
		exceptionsPage(),
		d.mediumPage(),
	}, d.extraModePages())
}

// recoveryPage is Read-Write Error Recovery (SSC-5, 8.3.5): what the store below tries again, it
// does by itself.
func recoveryPage() spc.ModePage {
	return spc.ModePage{Default: []byte{0x01, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
}

// disconnectPage is Disconnect-Reconnect (SPC-6, 7.5.10), without limits.
func disconnectPage() spc.ModePage {
	page := make([]byte, 16)
	page[0], page[1] = 0x02, 14
	return spc.ModePage{Default: page}
}

// exceptionsPage is Informational Exceptions Control (SSC-5, 8.3.6): DEXCPT, they are reported by
// TapeAlert alone.
func exceptionsPage() spc.ModePage {
	return spc.ModePage{Default: []byte{0x1c, 10, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0}}
}

// compressionPage is Data Compression (SSC-5, 8.3.2).
func (d *Drive) compressionPage() spc.ModePage {
	const (
		dce       = 0x80 // byte 2: blocks are compressed
		dcc       = 0x40 // they can be
		dde       = 0x80 // byte 3: and expanded
		algorithm = 7    // last byte of COMPRESSION ALGORITHM
		expansion = 11   // last byte of DECOMPRESSION ALGORITHM
	)
	page := make([]byte, 16)
	page[0], page[1] = 0x0f, 14
	if !d.model.Compression {
		return spc.ModePage{Default: page}
	}
	page[2], page[3] = dce|dcc, dde
	page[algorithm], page[expansion] = ourAlgorithm, ourAlgorithm
	changeable := make([]byte, 16)
	changeable[2] = dce
	for i := 4; i <= algorithm; i++ {
		changeable[i] = 0xff
	}
	return spc.ModePage{Default: page, Changeable: changeable,
		Check: func(b []byte) error {
			// 0 is none, and drivers send it with DCE to say the default
			switch binary.BigEndian.Uint32(b[4:]) {
			case 0, ourAlgorithm, defaultAlgorithm:
				return nil
			}
			return sense.Param(4)
		},
		Apply: func(b []byte) { d.settings.compress.Store(b[2]&dce != 0) },
		Live: func(b []byte) {
			b[2] = dcc
			binary.BigEndian.PutUint32(b[4:], 0)
			if d.settings.compress.Load() {
				b[2] |= dce
				b[algorithm] = ourAlgorithm
			}
		}}
}

// Compression algorithms: what LTO drives call theirs, and an IBM one that stands for the
// drive's own (SSC-5, table 108).
const (
	ourAlgorithm     = 0x01
	defaultAlgorithm = 0xff
)

// configurationPage is Device Configuration (SSC-5, 8.3.3).
func (d *Drive) configurationPage() spc.ModePage {
	const (
		active      = 3 // ACTIVE PARTITION
		delay       = 6 // WRITE DELAY TIME, in tenths of a second
		positions   = 8
		lois        = 0x40 // logical object identifiers are supported
		atEnd       = 10
		eeg         = 0x10
		sew         = 0x08 // buffered data is recorded at early warning
		swp         = 0x04
		selectAlg   = 14 // SELECT DATA COMPRESSION ALGORITHM
		protections = 15
		asocwp      = 0x04
	)
	page := make([]byte, 16)
	page[0], page[1] = 0x10, 14
	binary.BigEndian.PutUint16(page[delay:], uint16(medium.SyncDelay/100e6))
	page[positions], page[atEnd] = lois, eeg|sew
	changeable := make([]byte, 16)
	changeable[atEnd] = sew | swp
	changeable[protections] = asocwp
	if d.model.Compression {
		page[selectAlg] = 1
		changeable[selectAlg] = 0xff
	}
	first := true // the page is applied when the device is attached, and Data Compression decides
	return spc.ModePage{Default: page, Changeable: changeable,
		Check: func(b []byte) error {
			loaded := false
			d.look(func(m *mount) { loaded = m != nil })
			switch {
			case b[selectAlg] > 1:
				return sense.Param(selectAlg)
			case b[protections]&asocwp != 0 && !loaded:
				return sense.ParamBit(protections, 2)
			}
			return nil
		},
		Apply: func(b []byte) {
			if !first && d.model.Compression {
				d.settings.compress.Store(b[selectAlg] != 0)
			}
			if !first {
				d.settings.associatedWP.Store(b[protections]&asocwp != 0)
			}
			first = false
			d.settings.softwareWP.Store(b[atEnd]&swp != 0)
			d.settings.syncAtWarning.Store(b[atEnd]&sew != 0)
		},
		Live: func(b []byte) {
			b[selectAlg], b[active] = 0, 0
			if d.settings.compress.Load() {
				b[selectAlg] = 1
			}
			b[protections] &^= asocwp
			if d.settings.associatedWP.Load() {
				b[protections] |= asocwp
			}
			d.look(func(m *mount) {
				if m != nil {
					b[active] = byte(m.partition)
				}
			})
		}}
}

// extensionPage is Device Configuration Extension (SSC-5, 8.3.8).
func (d *Drive) extensionPage() spc.ModePage {
	const (
		write      = 5 // WRITE MODE and SHORT ERASE MODE
		appendOnly = 0x10
		truncates  = 0x02 // a short erase makes the position the end of data
		pews       = 6
	)
	page := make([]byte, 32)
	page[0], page[1], page[3] = 0x50, 0x01, 28
	page[write] = truncates
	changeable := make([]byte, 32)
	changeable[pews], changeable[pews+1] = 0xff, 0xff
	if d.model.AppendOnly {
		changeable[write] = 0xf0
	}
	return spc.ModePage{Default: page, Changeable: changeable,
		Check: func(b []byte) error {
			loaded := false
			d.look(func(m *mount) { loaded = m != nil })
			switch {
			case b[write]&0xf0 > appendOnly:
				return sense.ParamBit(write, 7)
			case b[write]&0xf0 == 0 && d.settings.appendOnly.Load() && loaded: // it ends by UNLOAD
				return sense.ParamBit(write, 4)
			}
			return nil
		},
		Apply: func(b []byte) {
			d.settings.pews.Store(uint32(binary.BigEndian.Uint16(b[pews:])))
			loaded := false
			d.look(func(m *mount) { loaded = m != nil })
			if on := b[write]&0xf0 == appendOnly; on || !loaded { // no reset ends it, nor RTD
				d.settings.appendOnly.Store(on)
			}
		},
		Live: func(b []byte) {
			b[write] &^= 0xf0
			if d.settings.appendOnly.Load() {
				b[write] |= appendOnly
			}
		}}
}

// mediumPage is Medium Configuration (SSC-5, 8.3.7). A WORM medium here keeps labels and filemarks
// as it keeps all else.
func (d *Drive) mediumPage() spc.ModePage {
	const (
		wormm  = 0x01 // byte 2: the medium is WORM
		labels = 4    // WORM MODE LABEL RESTRICTIONS
		marks  = 5    // WORM MODE FILEMARKS RESTRICTIONS
	)
	page := make([]byte, 32)
	page[0], page[1] = 0x1d, 30
	return spc.ModePage{Default: page, Live: func(b []byte) {
		d.look(func(m *mount) {
			b[2], b[labels], b[marks] = 0, 0, 0
			if m != nil && m.info.WORM {
				b[2], b[labels], b[marks] = wormm, 0x01, 0x01
			}
		})
	}}
}
