package smc

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/library"
)

// Bits of the CDB of READ ELEMENT STATUS (SMC-3, 6.11).
const (
	volTag  = 0x10 // byte 1
	typeOf  = 0x0f // byte 1
	curData = 0x02 // byte 6
	dvcid   = 0x01 // byte 6
)

// Lengths of element status data (SMC-3, 6.11.2 to 6.11.4).
const (
	reportHeader  = 8
	pageHeader    = 8
	descriptor    = 12 // without volume tag and identifier
	volumeTag     = 36
	identifierLen = 4 // header of the identifier; there is one without DVCID, too
	volumeID      = 32
)

// Bits of an element descriptor.
const (
	inEnab = 0x20 // byte 2
	exEnab = 0x10
	access = 0x08
	except = 0x04
	impExp = 0x02
	full   = 0x01

	sValid = 0x80 // byte 9

	pVolTag = 0x80 // byte 1 of a page header
)

// Medium types of byte 9 (SMC-3, table 30).
const (
	dataMedium     = 1
	cleaningMedium = 2
	wormMedium     = 4
)

// query is which elements a command asks for.
type query struct {
	types  library.ElementType // AnyElement: all
	first  uint16
	most   int
	voltag bool
	dvcid  bool
	match  func(*library.Element) bool // nil: all
}

// page is the elements of one type that a query finds.
type page struct {
	library.Range
	first, count int // address and number of those found
	length       int // of a descriptor
	identifier   int // longest identifier
}

func (p *page) bytes() int { return pageHeader + p.count*p.length }

// readElementStatus is READ ELEMENT STATUS (SMC-3, 6.11). What it returns is always current, so
// that CURDATA asks for nothing.
func (ch *Changer) readElementStatus(c *core.Command) error {
	q, err := parseQuery(c)
	if err != nil {
		return err
	}
	q.dvcid = c.CDB[6]&dvcid != 0 || ch.model.AlwaysDVCID
	return ch.report(c, q, 0)
}

// parseQuery reads what READ ELEMENT STATUS and REQUEST VOLUME ELEMENT ADDRESS have in common.
func parseQuery(c *core.Command) (query, error) {
	q := query{types: library.ElementType(c.CDB[1] & typeOf), voltag: c.CDB[1]&volTag != 0,
		first: address(c, 2), most: int(address(c, 4))}
	if q.types > library.DataTransfer {
		return q, sense.FieldBit(1, 3)
	}
	return q, nil
}

// report returns the element status data of q. byte4 is that byte of the header.
func (ch *Changer) report(c *core.Command, q query, byte4 byte) (err error) {
	ch.lib.View(func(v library.View) {
		pages := ch.find(v, q)
		var in []byte
		if in, err = room(c, pages); err == nil {
			ch.write(in, v, q, pages, byte4)
		}
	})
	return err
}

// find counts what q asks for: the elements of the lowest addresses.
func (ch *Changer) find(v library.View, q query) []page {
	ranges := v.Ranges()
	list := ranges[:]
	slices.SortStableFunc(list, func(a, b library.Range) int { return cmp.Compare(a.First, b.First) })
	var pages []page
	left := q.most
	for _, r := range list {
		if q.types != library.AnyElement && r.Type != q.types {
			continue
		}
		if p := ch.findPage(v, q, r, left); p.count > 0 {
			pages = append(pages, p)
			left -= p.count
		}
	}
	return pages
}

// findPage counts what q asks for of one type, at most n.
func (ch *Changer) findPage(v library.View, q query, r library.Range, n int) page {
	p := page{Range: r, length: descriptor + identifierLen}
	if q.voltag {
		p.length += volumeTag
	}
	identifies := q.dvcid && r.Type == library.DataTransfer
	if q.match == nil && !identifies { // they need not be looked at
		skip := max(0, int(q.first)-int(r.First))
		p.first, p.count = int(r.First)+skip, max(0, min(n, r.Count-skip))
		return p
	}
	for e := range v.Elements(r.Type, q.first) {
		if q.match != nil && !q.match(e) {
			continue
		}
		if p.count == n {
			break
		}
		if p.count == 0 {
			p.first = int(e.Address)
		}
		p.count++
		if identifies {
			p.identifier = max(p.identifier, len(ch.identifier(e)))
		}
	}
	p.length += p.identifier
	return p
}

// room makes room for the pages, as far as the allocation length goes: a descriptor is
// returned whole or not at all, and what is counted is what there would be (SMC-3, 6.11.1).
func room(c *core.Command, pages []page) ([]byte, error) {
	total := reportHeader
	for i := range pages {
		total += pages[i].bytes()
	}
	if total > c.InLen {
		at := min(c.InLen, reportHeader)
		for i := range pages {
			p := &pages[i]
			if c.InLen < at+pageHeader {
				break
			}
			n := min(p.count, (c.InLen-at-pageHeader)/p.length)
			at += pageHeader + n*p.length
			if n < p.count {
				break
			}
		}
		total = at
	}
	c.InLen = total
	c.InMax = min(c.InMax, total)
	return c.Room()
}

// write fills in with element status data: as much as there is room for.
func (ch *Changer) write(in []byte, v library.View, q query, pages []page, byte4 byte) {
	var head [reportHeader]byte
	count, bytes := 0, 0
	for i := range pages {
		count += pages[i].count
		bytes += pages[i].bytes()
	}
	if count > 0 {
		binary.BigEndian.PutUint16(head[0:], uint16(pages[0].first))
	}
	binary.BigEndian.PutUint16(head[2:], uint16(count)) // at most FFFFh: addresses have 16 bits
	head[4] = byte4
	wire.PutU24(head[5:], uint32(bytes))
	in = in[copy(in, head[:]):]
	var b []byte
	for i := range pages {
		if len(in) == 0 {
			return
		}
		p := &pages[i]
		in = in[copy(in, p.header(q)):]
		n := p.count
		for e := range v.Elements(p.Type, uint16(p.first)) {
			if q.match != nil && !q.match(e) {
				continue
			}
			if n == 0 || len(in) == 0 {
				break
			}
			b = ch.appendDescriptor(b[:0], e, q, p)
			in = in[copy(in, b):]
			n--
		}
	}
}

func (p *page) header(q query) []byte {
	var b [pageHeader]byte
	b[0] = byte(p.Type)
	if q.voltag {
		b[1] = pVolTag
	}
	binary.BigEndian.PutUint16(b[2:], uint16(p.length))
	wire.PutU24(b[5:], uint32(p.count*p.length))
	return b[:]
}

// appendDescriptor adds the descriptor of e (SMC-3, 6.11.4 to 6.11.7).
//
// The SCSI bus address and LUN of a drive (ID VALID, LU VALID) are for parallel buses. The Linux ch
// driver looks the device up by them, and keeps a reference to it for ever.
func (ch *Changer) appendDescriptor(b []byte, e *library.Element, q query, p *page) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, e.Address)
	b = append(b, elementFlags(e), 0, e.Except.ASC(), e.Except.ASCQ(), 0, 0, 0, mediumType(e))
	if e.SourceValid {
		b[start+9] |= sValid
	}
	b = binary.BigEndian.AppendUint16(b, e.Source)
	if q.voltag {
		b = appendVolumeTag(b, e)
	}
	var id []byte
	if q.dvcid && e.Type == library.DataTransfer {
		id = ch.identifier(e)
	}
	if len(id) > 0 {
		b = append(b, asciiSet, ch.identifierType(), 0, byte(len(id)))
	} else {
		b = append(b, 0, 0, 0, 0)
	}
	b = append(b, id...)
	return append(b, make([]byte, p.length-(len(b)-start))...)
}

func elementFlags(e *library.Element) (f byte) {
	if e.Full {
		f |= full
	}
	if e.Except != 0 {
		f |= except
	}
	if e.Access && e.Type != library.MediumTransport {
		f |= access
	}
	if e.Type == library.ImportExport {
		f |= inEnab | exEnab
		if e.ByHand {
			f |= impExp
		}
	}
	return f
}

func mediumType(e *library.Element) byte {
	switch {
	case !e.Full:
		return 0
	case e.Media.Cleaning:
		return cleaningMedium
	case e.WORM:
		return wormMedium
	}
	return dataMedium
}

// appendVolumeTag adds the primary volume tag of e: zeros when there is no cartridge (SMC-3,
// 6.11.8).
func appendVolumeTag(b []byte, e *library.Element) []byte {
	if e.Barcode == "" {
		return append(b, make([]byte, volumeTag)...)
	}
	b = wire.AppendPadded(b, e.Barcode, volumeID)
	return append(b, 0, 0, 0, 0) // reserved, and no VOLUME SEQUENCE NUMBER
}

// Identifiers of drives: a T10 vendor ID designator (SPC-6, 7.7.6.4), or a serial number alone.
const (
	asciiSet   = 2
	typeSerial = 0
	typeT10    = 1
)

func (ch *Changer) identifierType() byte {
	if ch.model.DVCIDSerialOnly {
		return typeSerial
	}
	return typeT10
}

// identifier is what identifies the drive of e, by which backup software finds the drive's LUN: its
// serial number is that of VPD page 80h. It is empty when there is no drive.
func (ch *Changer) identifier(e *library.Element) []byte {
	if e.Drive == nil {
		return nil
	}
	id := &e.Drive.Identity
	var b []byte
	if !ch.model.DVCIDSerialOnly {
		b = wire.AppendPadded(b, id.Vendor, 8)
		b = wire.AppendPadded(b, id.Product, 16)
	}
	b = append(b, id.Serial...)
	if n := ch.model.DVCIDLength; n > len(b) {
		b = wire.AppendPadded(b, string(b), n)[len(b):]
	}
	return b[:min(len(b), 255)]
}
