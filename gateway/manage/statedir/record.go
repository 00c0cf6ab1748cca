package statedir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Kind says what the payload of a record is.
type Kind uint16

// Kinds of record.
const (
	Identity Kind = 1 // JSON: who a device is
	Ports    Kind = 2 // JSON: relative target port identifiers
	Saved    Kind = 3 // bytes of the device's handler, for example a mode page
)

const (
	magic     = "TGTSTATE"
	version   = 1
	headerLen = 20
	// MaxPayload bounds a record.
	MaxPayload = 16 << 20
)

// ErrCorrupt means that a record is not what was written.
var ErrCorrupt = errors.New("not an intact state record")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode makes a record of payload.
func encode(k Kind, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("a state record of %d bytes; %d is the most", len(payload), MaxPayload)
	}
	b := make([]byte, 0, headerLen+len(payload))
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, uint16(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, payload)
	b = binary.BigEndian.AppendUint32(b, crc)
	return append(b, payload...), nil
}

// decode is the payload of the record b, which must be of kind k.
func decode(k Kind, b []byte) ([]byte, error) {
	if len(b) < headerLen || string(b[:8]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrCorrupt, magic)
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != version {
		return nil, fmt.Errorf("state record of version %d; this program knows %d", v, version)
	}
	payload := b[headerLen:]
	if n := binary.BigEndian.Uint32(b[12:]); uint64(n) != uint64(len(payload)) {
		return nil, fmt.Errorf("%w: it says %d bytes and has %d", ErrCorrupt, n, len(payload))
	}
	crc := crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, payload)
	if want := binary.BigEndian.Uint32(b[16:]); crc != want {
		return nil, fmt.Errorf("%w: CRC32C %08x, it says %08x", ErrCorrupt, crc, want)
	}
	if got := Kind(binary.BigEndian.Uint16(b[10:])); got != k {
		return nil, fmt.Errorf("%w: it is of kind %d, not %d", ErrCorrupt, got, k)
	}
	return payload, nil
}
