package sbc

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/spc"
)

// primary is what a disk says of itself to the primary commands.
func (d *Disk) primary() spc.Config {
	cfg := spc.Config{
		Type:          scsi.DirectAccess,
		Identity:      d.cfg.Identity,
		Versions:      []uint16{spc.SBC3},
		VPD:           d.vpdPages(),
		Modes:         d.modePages(),
		Logs:          d.logPages(),
		Header:        d.modeHeader,
		SelfTest:      d.selfTest,
		CanProtect:    true,
		VolatileCache: d.info.Volatile,
	}
	if d.pi != nil {
		cfg.Protection = d.pi.primary()
	}
	return cfg
}

// selfTest reads the first and the last block.
func (d *Disk) selfTest(c *core.Command) error {
	last := int64(d.blocks.Load()-1) << d.shift
	for _, off := range []int64{0, last} {
		if err := d.scan(c, off, int64(d.cfg.BlockSize), func([]byte) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// modeHeader is the DEVICE-SPECIFIC PARAMETER and the block descriptor (SBC-4, 6.4.1
// and 6.4.2).
func (d *Disk) modeHeader(c *core.Command, long bool) spc.Header {
	const (
		wp     = 0x80
		dpoFUA = 0x10
	)
	h := spc.Header{Specific: dpoFUA}
	if d.state.Load()&stateReadOnly != 0 || d.WriteProtected(c) {
		h.Specific |= wp
	}
	blocks := d.blocks.Load()
	if long {
		h.Block = binary.BigEndian.AppendUint64(nil, blocks)
		h.Block = append(h.Block, 0, 0, 0, 0)
	} else {
		h.Block = binary.BigEndian.AppendUint32(nil, uint32(min(blocks, 0xffffffff)))
	}
	h.Block = binary.BigEndian.AppendUint32(h.Block, d.cfg.BlockSize) // fits 24 bits
	return h
}

// modePages are the mode pages of a disk.
func (d *Disk) modePages() []spc.ModePage {
	// Read-Write Error Recovery: no retries and no reallocation of ours; what the
	// store does it does below us (SBC-4, 6.4.8).
	recovery := make([]byte, 12)
	recovery[0], recovery[1] = 0x01, 0x0a

	// Informational Exceptions Control: DEXCPT, there are none to report.
	exceptions := make([]byte, 12)
	exceptions[0], exceptions[1], exceptions[2] = 0x1c, 0x0a, 0x08

	return []spc.ModePage{
		{Default: recovery},
		d.cachingPage(),
		{Default: exceptions},
	}
}

// cachingPage is Caching (SBC-4, 6.4.5): WCE says whether the store's cache may hold
// what GOOD was returned for. Without a volatile cache there is nothing to choose.
func (d *Disk) cachingPage() spc.ModePage {
	const wce = 0x04
	page := make([]byte, 20)
	page[0], page[1] = 0x08, 0x12
	if !d.info.Volatile {
		return spc.ModePage{Default: page}
	}
	page[2] = wce
	changeable := make([]byte, len(page))
	changeable[2] = wce
	return spc.ModePage{Default: page, Changeable: changeable, Apply: func(p []byte) {
		through := p[2]&wce == 0
		if was := d.writeThrough.Swap(through); through && !was {
			// what the cache holds now has been promised to be stable too
			if err := d.flushStores(); err != nil {
				d.log.Error("cannot flush the cache that was turned off", "device", d.host.Name(), "err", err)
			}
		}
	}}
}

// vpdPages are the VPD pages of a disk.
func (d *Disk) vpdPages() []spc.VPDPage {
	pages := []spc.VPDPage{
		{Code: 0xb0, Append: d.blockLimits},
		{Code: 0xb1, Append: d.characteristics},
	}
	if d.canUnmap() {
		pages = append(pages, spc.VPDPage{Code: 0xb2, Append: d.provisioning})
	}
	return pages
}

// blockLimits is VPD page B0h (SBC-4, 6.6.4). Its bytes are numbered from the page
// header on, which the caller makes.
func (d *Disk) blockLimits(dst []byte, _ *core.Command) []byte {
	const (
		wsnz = 0x01
		// optimalTransfer is where larger commands stop being faster.
		optimalTransfer = 1 << 20
	)
	b := make([]byte, 64)
	put32 := func(at int, v uint64) { binary.BigEndian.PutUint32(b[at:], uint32(min(v, 0xffffffff))) }
	bytes := func(n int64) uint64 { return uint64(n) >> d.shift }
	granularity := max(1, bytes(d.info.Granularity))

	b[4] = wsnz
	most := d.maxBlocks()
	b[5] = byte(min(255, most/2))
	binary.BigEndian.PutUint16(b[6:], uint16(min(granularity, 0xffff)))
	put32(8, most)
	put32(12, min(bytes(optimalTransfer), most))
	// 16: MAXIMUM PREFETCH LENGTH, no limit
	if d.canUnmap() {
		const ugaValid = 1 << 31
		put32(20, 0xffffffff)
		put32(24, maxUnmapDescriptors)
		put32(28, granularity)
		put32(32, ugaValid) // aligned to LBA 0
	}
	binary.BigEndian.PutUint64(b[36:], maxWriteSame)
	put32(44, bytes(int64(d.maxAtomic())))
	put32(48, 1) // ATOMIC ALIGNMENT
	put32(52, 1) // ATOMIC TRANSFER LENGTH GRANULARITY
	return append(dst, b[4:]...)
}

// characteristics is VPD page B1h (SBC-4, 6.6.2).
func (d *Disk) characteristics(dst []byte, _ *core.Command) []byte {
	const (
		notRotating = 0x0001
		wabereq     = 0x40 // 01b: after BLOCK ERASE, blocks that are not written can be read
	)
	b := make([]byte, 64)
	switch {
	case d.cfg.RotationRate != 0:
		binary.BigEndian.PutUint16(b[4:], d.cfg.RotationRate)
	case !d.info.Rotational:
		binary.BigEndian.PutUint16(b[4:], notRotating)
	}
	if d.canUnmap() {
		b[7] = wabereq
	}
	return append(dst, b[4:]...)
}

// thresholdSet is the unit in which the log page counts provisioned space, in bytes.
const thresholdSet = 1 << 20

// provisioning is VPD page B2h (SBC-4, 6.6.6): thin, deallocated blocks read as zeros.
func (d *Disk) provisioning(dst []byte, _ *core.Command) []byte {
	const (
		lbpu    = 0x80
		lbpws   = 0x40
		lbpws10 = 0x20
		lbprz   = 0x04
		thin    = 0x02
	)
	exponent := byte(0)
	if d.accountant != nil {
		exponent = byte(20 - d.shift) // thresholdSet
	}
	return append(dst, exponent, lbpu|lbpws|lbpws10|lbprz, thin, 0)
}
