package spc

import (
	"slices"
	"sync"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
)

// Modes of READ BUFFER and WRITE BUFFER (SPC-6, 6.20 and 6.52).
const (
	modeData           = 0x02
	modeDescriptor     = 0x03
	modeEcho           = 0x0a
	modeEchoDescriptor = 0x0b
)

const (
	dataBufferLen = 64 << 10
	echoBufferLen = 4096
	// maxEchoes bounds the memory that initiators can make us keep; the nexus that
	// wrote longest ago loses its echo buffer.
	maxEchoes = 32
)

// buffers are the device's buffer memory: one data buffer for all, and an echo
// buffer for each I_T nexus that wrote one lately.
type buffers struct {
	mu     sync.Mutex // guards all of it
	data   []byte     // nil until written
	echoes []echo     // the latest write last
}

type echo struct {
	nexus uint32
	data  []byte
}

// setEcho keeps data as what nexus wrote.
func (b *buffers) setEcho(nexus uint32, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.echoes = slices.DeleteFunc(b.echoes, func(e echo) bool { return e.nexus == nexus })
	if len(b.echoes) == maxEchoes {
		b.echoes = slices.Delete(b.echoes, 0, 1)
	}
	b.echoes = append(b.echoes, echo{nexus, slices.Clone(data)})
}

// echoOf is what nexus wrote, nil when that is nothing or was dropped. It is not
// changed afterwards.
func (b *buffers) echoOf(nexus uint32) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.echoes {
		if e.nexus == nexus {
			return e.data
		}
	}
	return nil
}

func (b *buffers) writeData(off int, p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.data == nil {
		b.data = make([]byte, dataBufferLen)
	}
	copy(b.data[off:], p)
}

// readData is a copy of at most n bytes from off, zeros where nothing was written.
func (b *buffers) readData(off, n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := make([]byte, min(n, dataBufferLen-off))
	if b.data != nil {
		copy(p, b.data[off:])
	}
	return p
}

// bufferFields are the fields that the CDBs of both commands share.
func bufferFields(cdb []byte) (mode, id byte, off, length int) {
	return cdb[1] & 0x1f, cdb[2], int(wire.U24(cdb[3:])), int(wire.U24(cdb[6:]))
}

// writeBuffer is WRITE BUFFER. Microcode cannot be downloaded.
func (d *Device) writeBuffer(c *core.Command) error {
	mode, id, off, length := bufferFields(c.CDB)
	switch mode {
	case modeData:
		switch {
		case id != 0:
			return sense.FieldBit(2, 7)
		case off > dataBufferLen:
			return sense.FieldBit(3, 7)
		case length > dataBufferLen-off:
			return sense.FieldBit(6, 7)
		}
		if len(c.Out) > 0 {
			d.buffers.writeData(off, c.Out)
		}
	case modeEcho: // BUFFER ID and BUFFER OFFSET are ignored
		if length > echoBufferLen {
			return sense.FieldBit(6, 7)
		}
		if len(c.Out) > 0 {
			d.buffers.setEcho(c.Path.Nexus().ID, c.Out)
		}
	default:
		return sense.FieldBit(1, 4)
	}
	return nil
}

// readBuffer is READ BUFFER(10).
func (d *Device) readBuffer(c *core.Command) error {
	mode, id, off, length := bufferFields(c.CDB)
	switch mode {
	case modeData:
		switch {
		case id != 0:
			return sense.FieldBit(2, 7)
		case off > dataBufferLen:
			return sense.FieldBit(3, 7)
		}
		return c.Reply(d.buffers.readData(off, length))
	case modeDescriptor:
		b := make([]byte, 4) // all zeros: there is no such buffer
		if id == 0 {
			wire.PutU24(b[1:], dataBufferLen) // OFFSET BOUNDARY 0: any byte
		}
		return c.Reply(b)
	case modeEcho:
		b := d.buffers.echoOf(c.Path.Nexus().ID)
		if b == nil {
			return sense.New(sense.IllegalRequest, sense.CommandSequenceError)
		}
		return c.Reply(b)
	case modeEchoDescriptor:
		return c.Reply([]byte{0, 0, echoBufferLen >> 8, echoBufferLen & 0xff})
	}
	return sense.FieldBit(1, 4)
}
