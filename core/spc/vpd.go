package spc

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

// VPDPage is a page of vital product data.
type VPDPage struct {
	Code uint8
	// Append adds what follows the four bytes of the page header to dst. The page
	// length is filled in by the caller.
	Append func(dst []byte, c *core.Command) []byte
}

// setVPD joins the pages that every device has with those of its type.
func (d *Device) setVPD(own []VPDPage) error {
	standard := []VPDPage{
		{0x00, d.supportedVPD},
		{0x80, d.unitSerialNumber},
		{0x83, d.deviceIdentification},
		{0x86, d.extendedInquiry},
		{0x87, d.modePagePolicy},
		{0x88, d.scsiPorts},
	}
	standard = slices.DeleteFunc(standard, func(p VPDPage) bool { return slices.Contains(d.imitation.NoVPD, p.Code) })
	d.vpd = append(standard, own...)
	return d.sortVPD()
}

// addVPD adds the pages of the unit's services.
func (d *Device) addVPD(pages []core.VPDPage) error {
	for _, p := range pages {
		d.vpd = append(d.vpd, VPDPage(p))
	}
	return d.sortVPD()
}

func (d *Device) sortVPD() error {
	slices.SortFunc(d.vpd, func(a, b VPDPage) int { return cmp.Compare(a.Code, b.Code) })
	for i, p := range d.vpd {
		if i > 0 && d.vpd[i-1].Code == p.Code {
			return fmt.Errorf("VPD page %02Xh is declared twice", p.Code)
		}
	}
	return nil
}

// pageThirdPartyCopy is the VPD page that goes with the 3PC bit (SPC-6, 6.7.2).
const pageThirdPartyCopy = 0x8f

func (d *Device) hasVPD(code uint8) bool {
	return slices.ContainsFunc(d.vpd, func(p VPDPage) bool { return p.Code == code })
}

// vitalProductData is INQUIRY with EVPD (SPC-6, 7.7).
func (d *Device) vitalProductData(c *core.Command) error {
	code := c.CDB[2]
	i, ok := slices.BinarySearchFunc(d.vpd, code, func(p VPDPage, code uint8) int { return cmp.Compare(p.Code, code) })
	if !ok {
		return sense.FieldBit(2, 7)
	}
	b := d.vpd[i].Append([]byte{byte(d.cfg.Type), code, 0, 0}, c)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return c.Reply(b)
}

// supportedVPD is page 00h: the codes in ascending order (SPC-6, 7.7.17).
func (d *Device) supportedVPD(b []byte, _ *core.Command) []byte {
	for _, p := range d.vpd {
		b = append(b, p.Code)
	}
	return b
}

// unitSerialNumber is page 80h (SPC-6, 7.7.19).
func (d *Device) unitSerialNumber(b []byte, _ *core.Command) []byte {
	return append(b, d.cfg.Identity.Serial...)
}

// Designation descriptors (SPC-6, 7.7.6).
const (
	codeBinary = 0x1
	codeASCII  = 0x2
	codeUTF8   = 0x3

	assocUnit   = 0x00
	assocPort   = 0x10
	assocTarget = 0x20

	typeT10      = 0x1
	typeNAA      = 0x3
	typeRelative = 0x4
	typeGroup    = 0x5
	typeSCSIName = 0x8

	piv = 0x80 // the PROTOCOL IDENTIFIER is valid
)

func appendDesignator(b []byte, codeSet, assocType byte, value []byte) []byte {
	b = append(b, codeSet, assocType, 0, byte(len(value)))
	return append(b, value...)
}

// appendPortDesignator is appendDesignator for what belongs to port or its target.
func appendPortDesignator(b []byte, port *core.TargetPort, codeSet, assocType byte, value []byte) []byte {
	return appendDesignator(b, port.Protocol<<4|codeSet, piv|assocType, value)
}

// scsiName is s as a SCSI name string: ended by a zero and padded with zeros to a
// multiple of four (SPC-6, 7.7.6.11).
func scsiName(s string) []byte {
	return append([]byte(s), make([]byte, 4-len(s)%4)...)
}

// deviceIdentification is page 83h (SPC-6, 7.7.6): the same designators of the
// logical unit by every path, and those of the port that the command came by.
func (d *Device) deviceIdentification(b []byte, c *core.Command) []byte {
	id := &d.cfg.Identity
	t10 := wire.AppendPadded(nil, id.Vendor, 8)
	if d.imitation.ProductInT10 {
		t10 = wire.AppendPadded(t10, id.Product, 16)
	}
	t10 = append(t10, id.Serial...)
	b = appendDesignator(b, codeASCII, assocUnit|typeT10, t10)
	if id.NAA != [8]byte{} {
		b = appendDesignator(b, codeBinary, assocUnit|typeNAA, id.NAA[:])
	}
	port := c.Path.Nexus().Target
	if port == nil {
		return b
	}
	b = appendPortDesignator(b, port, codeBinary, assocPort|typeRelative,
		binary.BigEndian.AppendUint32(nil, uint32(port.Relative)))
	b = appendPortDesignator(b, port, codeBinary, assocPort|typeGroup,
		binary.BigEndian.AppendUint32(nil, uint32(port.Group)))
	b = appendPortDesignator(b, port, codeUTF8, assocPort|typeSCSIName, scsiName(port.Name))
	return appendPortDesignator(b, port, codeUTF8, assocTarget|typeSCSIName, scsiName(port.Target))
}

// Fields of page 86h (SPC-6, 7.7.7).
const (
	sptShift = 3 // byte 4

	headSup = 0x04 // byte 5
	ordSup  = 0x02
	simpSup = 0x01
	vSup    = 0x01 // byte 6
	luIClr  = 0x01 // byte 7: unit attentions of a LUN are cleared for one nexus only
	rtdSup  = 0x08 // byte 8: MODE SELECT obeys RTD
)

func (d *Device) extendedInquiry(b []byte, _ *core.Command) []byte {
	p := make([]byte, 64)
	if pi := d.cfg.Protection; pi != nil {
		p[4] = pi.SPT<<sptShift | pi.Checks
	}
	p[5] = headSup | ordSup | simpSup
	if d.cfg.VolatileCache {
		p[6] = vSup
	}
	p[7] = luIClr
	p[8] = rtdSup
	p[13] = sense.MaxLen
	return append(b, p[4:]...)
}

// modePagePolicy is page 87h (SPC-6, 7.7.10): each mode page has one copy for all.
func (d *Device) modePagePolicy(b []byte, _ *core.Command) []byte {
	const shared = 0x00
	for _, p := range d.pages {
		b = append(b, p.code(), p.sub(), shared, 0)
	}
	return b
}

// scsiPorts is page 88h (SPC-6, 7.7.15): the ports by which the unit is reached.
func (d *Device) scsiPorts(b []byte, _ *core.Command) []byte {
	ports := d.host.Ports()
	slices.SortFunc(ports, func(x, y *core.TargetPort) int { return cmp.Compare(x.Relative, y.Relative) })
	for _, port := range ports {
		b = binary.BigEndian.AppendUint16(append(b, 0, 0), port.Relative)
		b = append(b, 0, 0, 0, 0, 0, 0) // no initiator port TransportID
		b = append(b, 0, 0)             // length of the descriptors, below
		start := len(b)
		b = appendPortDesignator(b, port, codeUTF8, assocPort|typeSCSIName, scsiName(port.Name))
		binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	}
	return b
}
