package initiator

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"sync"
	"time"
)

// maxSegment bounds what Recv allocates for a data segment. It is above every
// MaxRecvDataSegmentLength that this package declares.
const maxSegment = 1<<24 - 1

// ErrDigest is a received PDU whose CRC32C does not match.
var ErrDigest = errors.New("initiator: digest mismatch")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Conn carries PDUs over one TCP connection. Send may be called from many
// goroutines, Recv from one.
type Conn struct {
	net.Conn

	// HeaderDigest and DataDigest switch CRC32C on; Login sets them when the
	// full feature phase begins.
	HeaderDigest, DataDigest bool

	r   *bufio.Reader
	wmu sync.Mutex // whole PDUs only
}

// Connect opens a TCP connection to addr ("host:port").
func Connect(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewConn(c), nil
}

// NewConn wraps an open connection.
func NewConn(c net.Conn) *Conn { return &Conn{Conn: c, r: bufio.NewReaderSize(c, 128<<10)} }

// Send writes p whole: header, AHS, digests, data and padding.
func (c *Conn) Send(p *PDU) error {
	if !p.Raw {
		p.setLens()
	}
	b := make([]byte, 0, BHSLen+len(p.AHS)+len(p.Data)+12)
	b = append(append(b, p.BHS[:]...), p.AHS...)
	if c.HeaderDigest {
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	}
	if n := len(p.Data); n > 0 {
		start := len(b)
		b = append(b, p.Data...)
		b = append(b, make([]byte, pad(n))...)
		if c.DataDigest {
			b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
		}
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.Write(b)
	return err
}

// Recv reads the next PDU. An error is final: the stream is out of step.
func (c *Conn) Recv() (*PDU, error) {
	p := new(PDU)
	if _, err := io.ReadFull(c.r, p.BHS[:]); err != nil {
		return nil, err
	}
	if n := int(p.BHS[4]) * 4; n > 0 {
		p.AHS = make([]byte, n)
		if _, err := io.ReadFull(c.r, p.AHS); err != nil {
			return nil, err
		}
	}
	if c.HeaderDigest {
		sum := crc32.Update(crc32.Checksum(p.BHS[:], castagnoli), castagnoli, p.AHS)
		if err := c.digest(sum); err != nil {
			return nil, fmt.Errorf("header of %v: %w", p, err)
		}
	}
	n := p.DataLen()
	if n == 0 {
		return p, nil
	}
	if n > maxSegment {
		return nil, fmt.Errorf("initiator: data segment of %d bytes", n)
	}
	b := make([]byte, n+pad(n))
	if _, err := io.ReadFull(c.r, b); err != nil {
		return nil, err
	}
	p.Data = b[:n]
	if c.DataDigest {
		if err := c.digest(crc32.Checksum(b, castagnoli)); err != nil {
			return nil, fmt.Errorf("data of %v: %w", p, err)
		}
	}
	return p, nil
}

// RecvWithin is Recv with a limit of time.
func (c *Conn) RecvWithin(d time.Duration) (*PDU, error) {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return nil, err
	}
	defer c.SetReadDeadline(time.Time{}) // the next Recv tells
	return c.Recv()
}

func (c *Conn) digest(want uint32) error {
	var b [4]byte
	if _, err := io.ReadFull(c.r, b[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b[:]) != want {
		return ErrDigest
	}
	return nil
}

// pad is how many bytes follow n to fill a four-byte word (RFC 7143, 11.2.3).
func pad(n int) int { return -n & 3 }
