package copy

import (
	"encoding/binary"
	"math/bits"

	"github.com/targate/targate/core"
)

func lid1(c *core.Command) listID { return listID{id: uint32(c.CDB[2])} }

func lid4(c *core.Command, at int) listID {
	return listID{lid4: true, id: binary.BigEndian.Uint32(c.CDB[at:])}
}

// Values of COPY OPERATION STATUS (SPC-4, RECEIVE COPY STATUS). The first three are those
// of COPY MANAGER STATUS too.
const (
	inProgress   = 0x00 // LID1 only
	completed    = 0x01
	withErrors   = 0x02
	inForeground = 0x11
	inBackground = 0x12
	terminated   = 0x60
)

// Values of TRANSFER COUNT UNITS.
const (
	unitBytes     = 0x00
	unitMegabytes = 0x02
	unitBlocks    = 0xf1
)

// statusLID1 is RECEIVE COPY STATUS(LID1).
func (s *Service) statusLID1(c *core.Command) error {
	o, err := s.find(c, lid1(c))
	if err != nil {
		return err
	}
	b := make([]byte, 12)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	switch {
	case o.running():
		b[4] = inProgress
	case o.err == nil:
		b[4] = completed
	default:
		b[4] = withErrors
	}
	binary.BigEndian.PutUint16(b[5:], uint16(o.segments.Load()))
	count := o.bytes.Load()
	if bits.Len64(count) > 32 {
		b[7] = unitMegabytes
		count >>= 20
	}
	binary.BigEndian.PutUint32(b[8:], uint32(min(count, 0xffffffff)))
	if err := c.Reply(b); err != nil || b[4] == withErrors {
		return err // the details of a failure are still there to be asked for
	}
	s.reported(c, o, len(b))
	return nil
}

// failure is RECEIVE COPY FAILURE DETAILS(LID1): nothing when nothing failed.
func (s *Service) failure(c *core.Command) error {
	o, err := s.find(c, lid1(c))
	if err != nil {
		return err
	}
	if o.running() || o.err == nil {
		return c.Reply(make([]byte, 4))
	}
	status, data := o.outcome()
	b := make([]byte, 60, 60+len(data))
	b[56] = status
	binary.BigEndian.PutUint16(b[58:], uint16(len(data)))
	b = append(b, data...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if err := c.Reply(b); err != nil {
		return err
	}
	s.reported(c, o, len(b))
	return nil
}

// statusLID4 is RECEIVE COPY STATUS(LID4).
func (s *Service) statusLID4(c *core.Command) error {
	o, err := s.find(c, lid4(c, 2))
	if err != nil {
		return err
	}
	return s.reply(c, o, o.status())
}

// tokenInfo is RECEIVE ROD TOKEN INFORMATION: the status, and the token of a POPULATE
// TOKEN.
func (s *Service) tokenInfo(c *core.Command) error {
	o, err := s.find(c, lid4(c, 2))
	if err != nil {
		return err
	}
	b := o.status()
	if o.running() || o.token == nil {
		return s.reply(c, o, append(b, 0, 0, 0, 0))
	}
	b = binary.BigEndian.AppendUint32(b, 2+tokenLen) // ROD TOKEN DESCRIPTORS LENGTH
	b = append(b, 0, 0)                              // of one token
	return s.reply(c, o, append(b, o.token...))
}

func (s *Service) reply(c *core.Command, o *operation, b []byte) error {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if err := c.Reply(b); err != nil {
		return err
	}
	s.reported(c, o, len(b))
	return nil
}

// status is what RECEIVE COPY STATUS(LID4) and RECEIVE ROD TOKEN INFORMATION have in
// common. The caller fills in AVAILABLE DATA.
func (o *operation) status() []byte {
	const (
		again   = 1000       // milliseconds, ESTIMATED STATUS UPDATE DELAY
		unknown = 0xffffffff // no estimate
	)
	b := make([]byte, 32)
	b[4] = o.action
	binary.BigEndian.PutUint32(b[8:], unknown)
	switch {
	case o.running() && o.immed:
		b[5] = inBackground
		binary.BigEndian.PutUint32(b[8:], again)
	case o.running():
		b[5] = inForeground
		binary.BigEndian.PutUint32(b[8:], again)
	default:
		status, data := o.outcome()
		switch {
		case o.err == nil:
			b[5] = completed
		case o.err == error(errTerminated):
			b[5] = terminated
		default:
			b[5] = withErrors
		}
		b[12] = status
		b[13], b[14] = byte(len(data)), byte(len(data))
		b = append(b, data...)
	}
	binary.BigEndian.PutUint16(b[6:], uint16(o.visits.Load()))
	count := o.bytes.Load()
	b[15] = unitBytes
	if o.unit != 0 {
		b[15], count = unitBlocks, count/o.unit
	}
	binary.BigEndian.PutUint64(b[16:], count)
	binary.BigEndian.PutUint16(b[24:], uint16(o.segments.Load()))
	return b
}

// descriptorTypes are the type codes of the descriptors that we implement, in order.
var descriptorTypes = []byte{typeBlock, typeBlockOffset, typeIdentify}

// granularity is log2 of the block size of u: what segments are counted in.
func granularity(u *core.Unit) byte { return byte(bits.Len32(u.BlockSize()) - 1) }

// parameters is RECEIVE COPY OPERATING PARAMETERS.
func (s *Service) parameters(c *core.Command) error {
	const snlid = 0x01 // LIST ID USAGE 11b is supported
	b := make([]byte, 44)
	b[4] = snlid
	binary.BigEndian.PutUint16(b[8:], maxTargets)
	binary.BigEndian.PutUint16(b[10:], maxSegments)
	binary.BigEndian.PutUint32(b[12:], maxListLen)
	binary.BigEndian.PutUint32(b[16:], maxSegmentLen)
	// no inline data, no held data, no stream devices
	binary.BigEndian.PutUint16(b[34:], maxCopies)
	b[36] = maxNexusCopies
	b[37] = granularity(c.Path.Unit())
	b[43] = byte(len(descriptorTypes))
	b = append(b, descriptorTypes...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return c.Reply(b)
}
