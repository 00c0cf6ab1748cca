// Package conn owns the socket of an iSCSI connection: it frames PDUs for a session and
// sends what the session has to say. It takes no protocol decision.
//
// The shape is what makes it fast (docs/performance.md): one goroutine reads as much as
// there is, hands every complete PDU to the session, which answers what does not block
// right there, and sends all answers in one write when the input is used up. The
// goroutine sits in one call of RawConn.Read for the whole life of the connection: the
// callback is run again each time that the socket becomes readable.
//
// Whoever holds Conn.mu is the connection: the reader while it works through a batch, or a
// worker that brings a completion while the reader waits. Completions that arrive while it
// is held are drained by the holder before or after it lets go, so none is left behind and
// no worker waits.
package conn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/session"
)

const (
	// recvLen is the receive buffer: many PDUs arrive with one system call. recvMin is what
	// it is when the byte budget is used up: room for two of the largest PDUs that are
	// not placed elsewhere (placeMin and all headers).
	recvLen = 256 << 10
	recvMin = 32 << 10
	// placeMin is the data segment from which on, when it has not arrived wholly, the
	// rest is received where it belongs instead of through the receive buffer.
	placeMin = 8 << 10
	// flushSize is how much output is collected at most while input is waiting.
	flushSize = 256 << 10
	// maxAHS bounds the additional header segments (TotalAHSLength is one byte of words).
	maxAHS = 255 * 4
)

// Conn is a connection in the full feature phase.
type Conn struct {
	nc   *net.TCPConn
	raw  syscall.RawConn
	pool *buf.Pool
	s    *session.Session

	headerDigest, dataDigest bool
	maxData                  int // our MaxRecvDataSegmentLength

	// The receive side, touched by the reader alone.
	in   *buf.Buf
	r, w int     // in.B[r:w] has been received and not been parsed
	p    pdu.PDU // the PDU that next took; here, since Accept's argument escapes
	sink sink
	err  error

	mu     sync.Mutex // held by whoever works on s
	iov    []syscall.Iovec
	werr   error
	sendFn func(fd uintptr) bool

	lastRecv  atomic.Int64 // UnixNano of the housekeeper's clock
	sendSince atomic.Int64 // when the pending send began, 0: none
	now       *atomic.Int64
}

// sink is a data segment that is received past the receive buffer.
type sink struct {
	active bool
	head   [pdu.HeaderLen + maxAHS]byte
	p      pdu.PDU
	rest   []byte // what is still to be received
	drop   int    // bytes to throw away instead
}

// Options are what a connection needs besides its session.
type Options struct {
	Pool                     *buf.Pool
	HeaderDigest, DataDigest bool
	MaxData                  int // longest data segment that the peer may send
	// Now is a coarse clock that somebody else advances, for Tick.
	Now *atomic.Int64
}

// New makes a connection of an accepted socket that has logged in. Bytes that were
// received behind the last Login Request are given as rest.
func New(nc *net.TCPConn, s *session.Session, rest []byte, o Options) (*Conn, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &Conn{nc: nc, raw: raw, pool: o.Pool, s: s, headerDigest: o.HeaderDigest,
		dataDigest: o.DataDigest, maxData: o.MaxData, now: o.Now}
	c.sendFn = c.send
	c.lastRecv.Store(o.Now.Load())
	if len(rest) > 0 {
		c.acquire()
		c.w = copy(c.in.B, rest)
	}
	return c, nil
}

// Notify is the session's Notify function.
func (c *Conn) Notify() {
	if c.mu.TryLock() {
		c.finishBatch()
	}
}

// finishBatch drains completions, sends, and lets go of mu. Who failed to take mu in the
// meantime has left its completion in the session: look once more after letting go.
func (c *Conn) finishBatch() {
	for {
		err := c.s.Drain()
		c.flush()
		if err != nil && c.werr == nil {
			c.werr = err
		}
		if c.werr != nil {
			c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		}
		c.mu.Unlock()
		if !c.s.HasDone() || !c.mu.TryLock() {
			return
		}
	}
}

// Run reads until the connection ends and says why; nil after a logout.
func (c *Conn) Run() error {
	if c.w > 0 {
		c.mu.Lock()
		c.err = c.parse()
		c.finishBatch()
	}
	if c.err == nil {
		if err := c.raw.Read(c.step); c.err == nil {
			c.err = err
		}
	}
	c.mu.Lock()
	if c.werr != nil && (c.err == nil || errors.Is(c.err, os.ErrDeadlineExceeded)) {
		c.err = c.werr
	}
	c.mu.Unlock()
	c.abandon()
	if errors.Is(c.err, session.ErrClosed) {
		return nil
	}
	return c.err
}

// Session is what the connection carries PDUs for.
func (c *Conn) Session() *session.Session { return c.s }

// Close ends the connection from any goroutine.
func (c *Conn) Close() { c.nc.Close() }

// Do runs f with the session at rest, as when an administrator asks for a logout, and
// sends what it queued.
func (c *Conn) Do(f func(*session.Session)) {
	c.mu.Lock()
	f(c.s)
	c.finishBatch()
}

func (c *Conn) acquire() {
	if c.in == nil {
		if c.in = c.pool.Get(recvLen); c.in == nil {
			c.in = c.pool.Must(recvMin)
		}
		c.r, c.w = 0, 0
	}
}

// release gives the receive buffer back while there is nothing in it: a thousand idle
// sessions hold no memory.
func (c *Conn) release() {
	if c.in != nil && c.r == c.w {
		c.in.Free()
		c.in, c.r, c.w = nil, 0, 0
	}
}

// abandon gives up what was received and not parsed.
func (c *Conn) abandon() {
	if c.in != nil {
		c.in.Free()
		c.in = nil
	}
	if c.sink.active && c.sink.p.Buf != nil {
		c.sink.p.Buf.Free()
	}
	c.sink = sink{}
}

// step is run by RawConn.Read whenever the socket may be readable. It returns false to
// wait for more. A read that did not fill its room has emptied the socket, and the poller
// is edge triggered, so later data wakes us: there is no need to read again only to be
// told EAGAIN (epoll(7)). The end of the stream may hide behind that data, though, and
// makes no edge of its own. So the second read is left out only when something was sent:
// a peer that is gone answers that with a reset, which wakes us.
func (c *Conn) step(fd uintptr) bool {
	for {
		n, room, err := c.recv(fd)
		switch {
		case err == syscall.EAGAIN:
			c.release()
			return false
		case err == syscall.EINTR:
			continue
		case err != nil:
			c.err = os.NewSyscallError("recv", err)
			return true
		case n == 0:
			c.err = io.ErrUnexpectedEOF
			return true
		}
		c.lastRecv.Store(c.now.Load())
		at := latency.Now()
		c.mu.Lock()
		c.s.Received(at)
		if c.err = c.werr; c.err == nil {
			c.err = c.parse()
		}
		sent := c.s.Out().Size() > 0
		c.finishBatch()
		if c.err != nil {
			return true
		}
		if n < room && sent {
			c.release()
			return false
		}
	}
}

// parse hands every complete PDU of the receive buffer to the session. mu is held.
func (c *Conn) parse() error {
	defer c.compact() // recv always finds room
	if c.sink.active {
		if c.sink.drop > 0 || len(c.sink.rest) > 0 {
			return nil
		}
	}
	for {
		if c.sink.active {
			done, err := c.endSink()
			if err != nil || !done {
				return err
			}
		}
		more, err := c.next()
		if err != nil || !more {
			return err
		}
		if c.s.Out().Size() >= flushSize {
			c.flush()
			if c.werr != nil {
				return c.werr
			}
		}
	}
}

// next takes one PDU from the receive buffer. It is false when it is not complete.
func (c *Conn) next() (bool, error) {
	b := c.in.B[c.r:c.w]
	if len(b) < pdu.HeaderLen {
		return false, nil
	}
	p := &c.p
	*p = pdu.PDU{BHS: pdu.View(b)}
	n := pdu.HeaderLen + p.AHSLen()
	head := n
	if c.headerDigest {
		n += pdu.DigestLen
	}
	if len(b) < n {
		return false, nil
	}
	if c.headerDigest && pdu.GetDigest(b[head:]) != pdu.Digest(0, b[:head]) {
		return false, fmt.Errorf("%w: header digest error", session.ErrProtocol)
	}
	p.AHS = b[pdu.HeaderLen:head]
	size := p.DataLen()
	if size > c.maxData {
		return false, fmt.Errorf("%w: a data segment of %d bytes, MaxRecvDataSegmentLength is %d",
			session.ErrProtocol, size, c.maxData)
	}
	total := n
	if size > 0 {
		total += size + pdu.Pad(size)
		if c.dataDigest {
			total += pdu.DigestLen
		}
	}
	if len(b) < total {
		if size >= placeMin || total > len(c.in.B) {
			c.beginSink(p, b[:head], n)
			return true, nil
		}
		return false, nil
	}
	if size > 0 {
		p.Data = b[n : n+size : n+size]
		if c.dataDigest && pdu.GetDigest(b[total-pdu.DigestLen:]) != pdu.Digest(0, b[n:total-pdu.DigestLen]) {
			return false, c.s.DigestError(p)
		}
	}
	c.r += total
	return true, c.s.Accept(p)
}

// beginSink starts to receive the data segment of p, whose header is head and whose data
// begins at b[n], where the session wants it.
func (c *Conn) beginSink(p *pdu.PDU, head []byte, n int) {
	k := &c.sink
	copy(k.head[:], head)
	k.p = pdu.PDU{BHS: pdu.View(k.head[:]), AHS: k.head[pdu.HeaderLen:len(head)]}
	k.active = true
	have := c.in.B[c.r+n : c.w]
	size := k.p.DataLen()
	data := c.s.Place(&k.p)
	if data == nil {
		k.rest, k.drop = nil, size
		took := min(len(have), size)
		k.drop -= took
		c.r += n + took
		return
	}
	took := copy(data, have)
	k.p.Data, k.rest = data, data[took:]
	c.r += n + took
}

// endSink finishes the PDU in the sink when its data, and what follows it, is there.
func (c *Conn) endSink() (done bool, err error) {
	k := &c.sink
	if len(k.rest) > 0 || k.drop > 0 {
		// everything in the receive buffer went into the sink
		return false, nil
	}
	pad := pdu.Pad(k.p.DataLen())
	tail := pad
	if c.dataDigest {
		tail += pdu.DigestLen
	}
	if c.w-c.r < tail {
		return false, nil
	}
	b := c.in.B[c.r : c.r+tail]
	c.r += tail
	k.active, k.rest = false, nil
	if c.dataDigest && !k.p.Dropped {
		if pdu.GetDigest(b[pad:]) != pdu.Digest(pdu.Digest(0, k.p.Data), b[:pad]) {
			return false, c.s.DigestError(&k.p)
		}
	}
	return true, c.s.Accept(&k.p)
}

// compact moves an incomplete PDU to the front when the room behind it gets small.
func (c *Conn) compact() {
	if c.r == c.w {
		c.r, c.w = 0, 0
	} else if c.r > len(c.in.B)/2 {
		c.w = copy(c.in.B, c.in.B[c.r:c.w])
		c.r = 0
	}
}

// Idle reports how long nothing was received, and how long a send has been stuck.
func (c *Conn) Idle(now int64) (recv, send time.Duration) {
	if since := c.sendSince.Load(); since != 0 {
		send = time.Duration(now - since)
	}
	return time.Duration(now - c.lastRecv.Load()), send
}

// TryDo is Do when the session is at rest at this moment; otherwise nothing.
func (c *Conn) TryDo(f func(*session.Session)) {
	if c.mu.TryLock() {
		f(c.s)
		c.finishBatch()
	}
}

// Shut aborts what the session has outstanding, after Run has returned. The channel is
// closed when none of it runs any more.
func (c *Conn) Shut() <-chan struct{} {
	c.mu.Lock()
	quiet := c.s.Close()
	c.finishBatch()
	return quiet
}
