package pr

import (
	"encoding/binary"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// read is the beginning of every PERSISTENT RESERVE IN: a RESERVE excludes them all,
// even those of its holder (SPC-2, 5.5.1).
func (s *Service) read() (*Table, error) {
	t := s.table.Load()
	if t.Reserved != nil {
		return nil, sense.ReservationConflict
	}
	return t, nil
}

// reply is the common header, PRGENERATION and ADDITIONAL LENGTH, before list.
func reply(c *core.Command, t *Table, list []byte) error {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 8+len(list)), t.Generation)
	b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
	return c.Reply(append(b, list...))
}

// readKeys is READ KEYS (SPC-6, 6.17.2): one key for each registered nexus.
func (s *Service) readKeys(c *core.Command) error {
	t, err := s.read()
	if err != nil {
		return err
	}
	var list []byte
	for _, r := range t.Registrants {
		list = binary.BigEndian.AppendUint64(list, r.Key)
	}
	return reply(c, t, list)
}

// readReservation is READ RESERVATION (SPC-6, 6.17.3). The key of a reservation that
// all registrants hold is zero.
func (s *Service) readReservation(c *core.Command) error {
	t, err := s.read()
	if err != nil {
		return err
	}
	if t.Type == 0 {
		return reply(c, t, nil)
	}
	var key uint64
	if !t.Type.forAll() {
		key = t.Registrants[t.find(t.Holder)].Key
	}
	list := binary.BigEndian.AppendUint64(nil, key)
	return reply(c, t, append(list, 0, 0, 0, 0, 0, byte(t.Type), 0, 0)) // SCOPE 0h: the logical unit
}

// Fields of REPORT CAPABILITIES (SPC-6, 6.17.4).
const (
	capCRH    = 0x10 // byte 2: RESERVE and RELEASE by SPC-6, 5.14.3
	capSIP    = 0x08 // SPEC_I_PT
	capATP    = 0x04 // ALL_TG_PT
	capPTPL   = 0x01 // APTPL
	capTMV    = 0x80 // byte 3: the type mask is valid
	capAllow  = 0x10 // ALLOW COMMANDS 001b: TEST UNIT READY passes; nothing said of others
	capPTPLOn = 0x01 // the last APTPL was 1
)

// reportCapabilities is REPORT CAPABILITIES.
func (s *Service) reportCapabilities(c *core.Command) error {
	t, err := s.read()
	if err != nil {
		return err
	}
	b := []byte{0, 8, capCRH | capSIP | capATP, capTMV | capAllow, 0, 0, 0, 0}
	if s.store.Durable() {
		b[2] |= capPTPL
	}
	if t.Persist {
		b[3] |= capPTPLOn
	}
	var mask uint16
	for _, bit := range types {
		mask |= bit
	}
	binary.BigEndian.PutUint16(b[4:], mask)
	return c.Reply(b)
}

// readFullStatus is READ FULL STATUS (SPC-6, 6.17.5). ALL_TG_PT is always zero: such a
// registration is one for each port.
func (s *Service) readFullStatus(c *core.Command) error {
	const rHolder = 0x01
	t, err := s.read()
	if err != nil {
		return err
	}
	var list []byte
	for _, r := range t.Registrants {
		list = binary.BigEndian.AppendUint64(list, r.Key)
		d := make([]byte, 16)
		if t.holds(r.Nexus) {
			d[4], d[5] = rHolder, byte(t.Type)
		}
		binary.BigEndian.PutUint16(d[10:], r.Port)
		list = append(list, d...)
		start := len(list)
		list = appendTransportID(list, r.Initiator)
		binary.BigEndian.PutUint32(list[start-4:], uint32(len(list)-start))
	}
	return reply(c, t, list)
}
