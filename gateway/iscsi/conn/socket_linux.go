package conn

import (
	"os"
	"syscall"
	"unsafe"

	"github.com/targate/targate/core/latency"
)

// All system calls on the socket are raw: they do not tell the scheduler, which saves 50
// ns, and keeps the runtime's monitor thread asleep, which otherwise takes the processor
// away from calls over 20 us and costs 5 to 10% at 64 KiB and above. The socket is
// non-blocking and its buffer bounds the copy (some 50 us), so they never wait.

// recv reads what there is: into the sink, then into the receive buffer. n is the number
// of bytes, room what was asked for.
func (c *Conn) recv(fd uintptr) (n, room int, err error) {
	c.acquire()
	k := &c.sink
	if k.active && k.drop > 0 {
		return c.recvDropped(fd)
	}
	var iov [2]syscall.Iovec
	count := 0
	rest := 0
	if k.active && len(k.rest) > 0 {
		// the receive buffer is empty: beginSink took all of it
		iov[0].Base, iov[0].Len = unsafe.SliceData(k.rest), uint64(len(k.rest))
		rest = len(k.rest)
		count = 1
	}
	free := c.in.B[c.w:]
	if len(free) > 0 {
		iov[count].Base, iov[count].Len = unsafe.SliceData(free), uint64(len(free))
		count++
	}
	room = rest + len(free)
	if count == 1 {
		n, err = recv1(fd, iov[0].Base, int(iov[0].Len))
	} else {
		n, err = readv(fd, &iov, count)
	}
	if err != nil {
		return 0, room, err
	}
	if rest > 0 {
		took := min(n, rest)
		k.rest = k.rest[took:]
		c.w += n - took
	} else {
		c.w += n
	}
	return n, room, nil
}

// recvDropped throws the data of a sink without memory away, through the receive buffer.
func (c *Conn) recvDropped(fd uintptr) (n, room int, err error) {
	k := &c.sink
	c.r, c.w = 0, 0
	room = min(k.drop, len(c.in.B))
	n, err = recv1(fd, unsafe.SliceData(c.in.B), room)
	if err == nil {
		k.drop -= n
	}
	return n, room, err
}

func recv1(fd uintptr, p *byte, n int) (int, error) {
	r, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(p)), uintptr(n), syscall.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

func readv(fd uintptr, iov *[2]syscall.Iovec, n int) (int, error) {
	r, _, e := syscall.RawSyscall(syscall.SYS_READV, fd, uintptr(unsafe.Pointer(iov)), uintptr(n))
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}

// maxIovecs is what one writev takes (IOV_MAX is 1024).
const maxIovecs = 512

// flush sends all that the session has queued. mu is held; it waits for the peer when the
// socket is full.
func (c *Conn) flush() {
	o := c.s.Out()
	if o.Size() == 0 || c.werr != nil {
		return
	}
	if err := c.raw.Write(c.sendFn); err != nil && c.werr == nil {
		c.werr = err
	}
	c.sendSince.Store(0)
	if c.s.Measures() {
		c.s.Sent(latency.Now())
	}
	o.Idle()
}

// send is run by RawConn.Write until it has sent everything.
func (c *Conn) send(fd uintptr) bool {
	o := c.s.Out()
	for {
		vec := o.Pending()
		if len(vec) == 0 {
			return true
		}
		n, err := c.sendv(fd, vec)
		switch err {
		case nil:
			o.Sent(n)
		case syscall.EAGAIN:
			if c.sendSince.Load() == 0 {
				c.sendSince.Store(c.now.Load())
			}
			return false
		case syscall.EINTR:
		default:
			c.werr = os.NewSyscallError("send", err)
			return true
		}
	}
}

func (c *Conn) sendv(fd uintptr, vec [][]byte) (int, error) {
	if len(vec) == 1 {
		b := vec[0]
		r, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		if e != 0 {
			return 0, e
		}
		return int(r), nil
	}
	c.iov = c.iov[:0]
	for _, b := range vec[:min(len(vec), maxIovecs)] {
		c.iov = append(c.iov, syscall.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))})
	}
	msg := syscall.Msghdr{Iov: &c.iov[0], Iovlen: uint64(len(c.iov))}
	r, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&msg)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	clear(c.iov) // do not keep what was sent alive
	if e != 0 {
		return 0, e
	}
	return int(r), nil
}
