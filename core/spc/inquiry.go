package spc

import (
	"encoding/binary"
	"fmt"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

// Fields of the standard INQUIRY data (SPC-6, table 149).
const (
	inquiryLen = 96      // all of the standard's own bytes
	maxInquiry = 5 + 255 // what ADDITIONAL LENGTH can say

	rmb        = 0x80 // byte 1
	normACA    = 0x20 // byte 3: NACA is obeyed
	hiSup      = 0x10 // byte 3: LUNs are hierarchical, REPORT LUNS says which
	dataFormat = 0x02 // byte 3
	tpgsShift  = 4    // byte 5
	threePC    = 0x08 // byte 5
	protect    = 0x01 // byte 5
	multiP     = 0x10 // byte 6
	cmdQue     = 0x02 // byte 7

	inquiryTail = 36 // vendor specific
	offVersions = 58 // version descriptors
	maxVersions = 8
)

// protocolISCSI is the PROTOCOL IDENTIFIER of iSCSI (SPC-6, table 480).
const protocolISCSI = 0x5

// checkIdentity refuses what would not fit the INQUIRY data or is not printable
// ASCII (SPC-6, 4.3.1).
func (d *Device) checkIdentity() error {
	id := d.cfg.Identity
	for _, f := range []struct {
		name, value string
		max         int
	}{
		{"vendor", id.Vendor, 8},
		{"product", id.Product, 16},
		{"revision", id.Revision, 4},
		{"serial", id.Serial, 252 - 8 - 16}, // with vendor and product in one designator of VPD page 83h
	} {
		if len(f.value) > f.max {
			return fmt.Errorf("%s %q is longer than %d characters", f.name, f.value, f.max)
		}
		for _, c := range []byte(f.value) {
			if c < 0x20 || c > 0x7e {
				return fmt.Errorf("%s %q is not printable ASCII", f.name, f.value)
			}
		}
	}
	if n := len(d.imitation.Tail); inquiryTail+n > maxInquiry {
		return fmt.Errorf("INQUIRY data of %d bytes: the length field counts up to %d", inquiryTail+n, maxInquiry)
	}
	return nil
}

// inquiry is INQUIRY (SPC-6, 6.7).
func (d *Device) inquiry(c *core.Command) error {
	if c.CDB[1]&1 != 0 {
		return d.vitalProductData(c)
	}
	if c.CDB[2] != 0 {
		return sense.FieldBit(2, 7) // a page code without EVPD
	}
	return c.Reply(d.standardInquiry(c))
}

func (d *Device) standardInquiry(c *core.Command) []byte {
	b := make([]byte, 8, inquiryLen)
	b[0] = byte(d.cfg.Type) // peripheral qualifier 000b: the core answers for the others
	if d.cfg.Removable {
		b[1] = rmb
	}
	b[2] = scsi.VersionSPC4
	if v := d.imitation.Version; v != 0 {
		b[2] = v
	}
	b[3] = normACA | hiSup | dataFormat
	b[5] = d.tpgs() & 3 << tpgsShift
	if d.cfg.ThirdPartyCopy != nil && d.cfg.ThirdPartyCopy() || d.hasVPD(pageThirdPartyCopy) {
		b[5] |= threePC
	}
	if d.cfg.Protection != nil {
		b[5] |= protect
	}
	b[6] = multiP
	b[7] = cmdQue
	b = wire.AppendPadded(b, d.cfg.Identity.Vendor, 8)
	b = wire.AppendPadded(b, d.cfg.Identity.Product, 16)
	b = wire.AppendPadded(b, d.cfg.Identity.Revision, 4)
	b = b[:inquiryLen] // made of zeros
	v := b[offVersions:offVersions]
	for _, code := range d.versions(c) {
		v = binary.BigEndian.AppendUint16(v, code)
	}
	if n := inquiryTail + len(d.imitation.Tail); n > len(b) {
		b = append(b, make([]byte, n-len(b))...)
	}
	copy(b[inquiryTail:], d.imitation.Tail)
	b[4] = byte(len(b) - 5)
	return b
}

// tpgs is the TPGS field.
func (d *Device) tpgs() uint8 {
	if d.cfg.TPGS != nil {
		return d.cfg.TPGS()
	}
	if a, ok := d.host.(core.AccessReporter); ok {
		return a.TPGS()
	}
	return 0
}

// versions are the version descriptors, in the order that SPC-6, 6.7.2 asks for:
// architecture, transport, primary commands, device type.
func (d *Device) versions(c *core.Command) []uint16 {
	v := []uint16{SAM5}
	if port := c.Path.Nexus().Target; port != nil && port.Protocol == protocolISCSI {
		v = append(v, ISCSI)
	}
	v = append(append(v, SPC4), d.cfg.Versions...)
	return v[:min(len(v), maxVersions)]
}
