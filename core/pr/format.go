package pr

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/targate/targate/core/wire"
)

// The saved table (docs/formats/reservations.md). The state store guards the value
// against corruption.
const (
	stateName    = "reservations"
	stateVersion = 1

	noHolder = 0xffff // HOLDER when none of the registrants does alone
)

// encode is what must outlive a loss of power: nothing of a Table without Persist.
func encode(t *Table) []byte {
	if !t.Persist {
		t = &Table{}
	}
	holder := uint16(noHolder)
	if i := t.find(t.Holder); t.Type != 0 && !t.Type.forAll() && i >= 0 {
		holder = uint16(i)
	}
	b := binary.BigEndian.AppendUint16(nil, stateVersion)
	flags := byte(0)
	if t.Persist {
		flags = 1
	}
	b = append(b, flags, byte(t.Type))
	b = binary.BigEndian.AppendUint16(b, holder)
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Registrants)))
	for _, r := range t.Registrants {
		b = binary.BigEndian.AppendUint64(b, r.Key)
		b = binary.BigEndian.AppendUint16(b, r.Port)
		b = appendString(b, r.Initiator.Name)
		b = appendString(b, r.Initiator.Session)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// decode reads what encode made, as after a power on. Whatever contradicts itself is
// an error: a unit that forgot its reservations would let everyone write.
func decode(b []byte) (*Table, error) {
	r := wire.NewReader(b)
	if v := r.U16(); !r.OK() || v != stateVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", v, stateVersion)
	}
	flags := r.U8()
	t := &Table{Persist: flags == 1, Type: Type(r.U8())}
	holder, count := r.U16(), int(r.U16())
	switch {
	case flags > 1:
		return nil, fmt.Errorf("flags %#x", flags)
	case t.Type != 0 && !t.Type.valid():
		return nil, fmt.Errorf("type %d", t.Type)
	case count > maxRegistrants:
		return nil, fmt.Errorf("%d registrants", count)
	case !t.Persist && (count > 0 || t.Type != 0), t.Type != 0 && count == 0:
		return nil, errors.New("a reservation of nobody")
	}
	for range count {
		reg := Registrant{Key: r.U64()}
		reg.Port = r.U16()
		reg.Initiator.Name = string(r.Bytes(int(r.U16())))
		reg.Initiator.Session = string(r.Bytes(int(r.U16())))
		switch {
		case !r.OK():
			return nil, errors.New("ends within a registrant")
		case reg.Key == 0 || t.find(reg.Nexus) >= 0:
			return nil, fmt.Errorf("registrant %v is there twice, or has no key", reg.Initiator)
		}
		t.Registrants = append(t.Registrants, reg)
	}
	if !r.OK() || r.Len() > 0 {
		return nil, errors.New("not as long as it says")
	}
	alone := t.Type != 0 && !t.Type.forAll()
	switch {
	case alone != (holder != noHolder), alone && int(holder) >= count:
		return nil, fmt.Errorf("holder %d of %d", holder, count)
	case alone:
		t.Holder = t.Registrants[holder].Nexus
	}
	return t, nil
}
