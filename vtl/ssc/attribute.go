package ssc

import (
	"encoding/binary"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
)

const auxiliaryMemoryFull sense.Code = 0x5506

// Service actions of READ ATTRIBUTE (SPC-6, table 145).
const (
	attrValues        = 0x00
	attrList          = 0x01
	attrVolumeList    = 0x02
	attrPartitionList = 0x03
	attrSupported     = 0x05
)

const readAttributeUsage = "\x00\x00\x00\xff\x00\xff\xff\xff\xff\xff\xff\xff\x01\x00"

var attributeTable = []row{
	in(0x8c, "READ ATTRIBUTE", core.Bytes(10, 4), "\x8c\x00"+readAttributeUsage, core.Serial, quick, onMedium((*Drive).attributeValues)).action(attrValues),
	in(0x8c, "READ ATTRIBUTE", core.Bytes(10, 4), "\x8c\x01"+readAttributeUsage, core.Serial, quick, onMedium((*Drive).attributeList)).action(attrList),
	in(0x8c, "READ ATTRIBUTE", core.Bytes(10, 4), "\x8c\x02"+readAttributeUsage, core.Serial, quick, onMedium((*Drive).volumeList)).action(attrVolumeList),
	in(0x8c, "READ ATTRIBUTE", core.Bytes(10, 4), "\x8c\x03"+readAttributeUsage, core.Serial, quick, onMedium((*Drive).partitionList)).action(attrPartitionList),
	in(0x8c, "READ ATTRIBUTE", core.Bytes(10, 4), "\x8c\x05"+readAttributeUsage, core.Serial, quick, onMedium((*Drive).supportedAttributes)).action(attrSupported),
	out(0x8d, "WRITE ATTRIBUTE", core.Bytes(10, 4), "\x8d\x01\x00\x00\x00\xff\x00\xff\x00\x00\xff\xff\xff\xff\x00\x00", writes, quick, onMedium((*Drive).writeAttribute)),
}

// attributePartition is the partition that a CDB names, whose only logical volume is 0.
func (d *Drive) attributePartition(cdb []byte) (int, error) {
	p := int(cdb[7])
	switch {
	case cdb[5] != 0:
		return 0, sense.FieldBit(5, 7)
	case p >= d.mount.medium.Partitions():
		return 0, sense.FieldBit(7, 7)
	}
	return p, nil
}

// attributeValues is READ ATTRIBUTE with ATTRIBUTE VALUES: all from FIRST ATTRIBUTE IDENTIFIER on,
// which must exist (LTFS takes INVALID FIELD IN CDB for the word that it does not).
func (d *Drive) attributeValues(c *core.Command) error {
	p, err := d.attributePartition(c.CDB)
	if err != nil {
		return err
	}
	list := d.attributes(p)
	first := binary.BigEndian.Uint16(c.CDB[8:])
	i := slices.IndexFunc(list, func(a attribute) bool { return a.ID == first })
	if i < 0 {
		return sense.FieldBit(8, 7)
	}
	b := make([]byte, 4)
	for _, a := range list[i:] {
		if a.ID == attrChange {
			d.mount.usage.changed = false // what is recorded from now on changes it again
		}
		b = a.append(b)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}

// attributeList is READ ATTRIBUTE with ATTRIBUTE LIST: the identifiers of those that exist.
func (d *Drive) attributeList(c *core.Command) error {
	p, err := d.attributePartition(c.CDB)
	if err != nil {
		return err
	}
	var ids []uint16
	for _, a := range d.attributes(p) {
		ids = append(ids, a.ID)
	}
	return replyAttributes(c, ids)
}

// supportedAttributes is READ ATTRIBUTE with SUPPORTED ATTRIBUTES: those that exist, and those that
// can be written.
func (d *Drive) supportedAttributes(c *core.Command) error {
	p, err := d.attributePartition(c.CDB)
	if err != nil {
		return err
	}
	var ids []uint16
	for _, a := range d.attributes(p) {
		ids = append(ids, a.ID)
	}
	for _, a := range hostAttributes {
		ids = append(ids, a.id)
	}
	slices.Sort(ids)
	return replyAttributes(c, slices.Compact(ids))
}

func replyAttributes(c *core.Command, ids []uint16) error {
	first := binary.BigEndian.Uint16(c.CDB[8:])
	b := make([]byte, 4)
	for _, id := range ids {
		if id >= first {
			b = binary.BigEndian.AppendUint16(b, id)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}

// volumeList is READ ATTRIBUTE with LOGICAL VOLUME LIST: there is one, 0.
func (d *Drive) volumeList(c *core.Command) error {
	return c.Reply([]byte{0, 2, 0, 1})
}

// partitionList is READ ATTRIBUTE with PARTITION LIST.
func (d *Drive) partitionList(c *core.Command) error {
	if c.CDB[5] != 0 {
		return sense.FieldBit(5, 7)
	}
	return c.Reply([]byte{0, 2, 0, byte(d.mount.medium.Partitions())})
}

// writeAttribute is WRITE ATTRIBUTE (SPC-6, 6.61): all attributes of the list, or none.
func (d *Drive) writeAttribute(c *core.Command) error {
	p, err := d.attributePartition(c.CDB)
	if err != nil {
		return err
	}
	m := d.mount
	if m.readOnly {
		return sense.New(sense.DataProtect, sense.WriteProtected)
	}
	if c.OutLen == 0 {
		return nil
	}
	list, err := parseAttributes(c.Out)
	if err != nil {
		return err
	}
	grow := 0
	for _, a := range list {
		if old, ok := m.medium.Attribute(p, a.ID); ok {
			grow -= attrHeader + len(old.Value)
		}
		if len(a.Value) > 0 {
			grow += attrHeader + len(a.Value)
		}
	}
	if grow > 0 && m.hostBytes()+grow > m.cart.Media().MAM {
		return sense.New(sense.IllegalRequest, auxiliaryMemoryFull)
	}
	if err := m.medium.SetAttributes(p, list...); err != nil {
		return d.failed(err, true)
	}
	m.dirty = true
	if c.CDB[1]&1 == 0 {
		return nil
	}
	return d.flush() // WTC: through to the medium
}

// parseAttributes reads the parameter list of WRITE ATTRIBUTE. An attribute that stands there twice
// counts as it stands last.
func parseAttributes(b []byte) ([]medium.Attribute, error) {
	if len(b) < 4 {
		return nil, sense.ErrParamLength
	}
	// PARAMETER DATA LENGTH does not count itself (SPC-6, 6.61), but LTFS counts it: the list ends
	// where it or the data ends.
	end := len(b)
	if n := uint64(binary.BigEndian.Uint32(b)); n+4 < uint64(end) {
		end = int(n) + 4
	}
	var list []medium.Attribute
	for r := wire.NewReader(b[4:end]); r.Len() > 0; {
		at := 4 + r.Off()
		id, flags, size := r.U16(), r.U8(), int(r.U16())
		value := r.Bytes(size)
		if !r.OK() {
			return nil, sense.ErrParamLength
		}
		host, ok := findHostAttribute(id)
		switch {
		case !ok:
			return nil, sense.ParamBit(at, 7)
		case size != 0 && (size < host.min || size > host.max):
			return nil, sense.ParamBit(at+3, 7)
		}
		list = slices.DeleteFunc(list, func(a medium.Attribute) bool { return a.ID == id })
		format := host.format // whatever flags say: some clients write text as ASCII
		if id >= attrVendorFirst {
			format = flags & 3
		}
		list = append(list, medium.Attribute{ID: id, Format: format, Value: slices.Clone(value)})
	}
	return list, nil
}
