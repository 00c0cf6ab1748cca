package session

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// arenaLen is the size of the buffer that headers and small payloads are built in.
// 32 answers of 4 KiB fit: at queue depth 32 a whole batch leaves as one contiguous
// write. docs/performance.md has the figures.
const (
	arenaLen = 256 << 10
	arenaMin = 16 << 10
)

// Out is what a session wants to send, in order: bytes of its arena, and slices
// that are owned by others until they have left. The connection takes the slices
// with Pending and reports progress with Sent.
type Out struct {
	pool  *buf.Pool
	arena *buf.Buf
	n     int // bytes of the arena in use
	start int // first byte of the arena that is not in vec yet
	vec   [][]byte
	first int // vec[:first] has been sent
	size  int // bytes in vec[first:]
	held  []holder

	headerDigest, dataDigest bool
}

// holder is memory to give back once all that was queued has left.
type holder struct {
	buf *buf.Buf
	rel core.Releaser
}

// take reserves n bytes at the end of the queue. They hold garbage.
func (o *Out) take(n int) []byte {
	if o.arena == nil || o.n+n > len(o.arena.B) {
		o.grow(n)
	}
	b := o.arena.B[o.n : o.n+n : o.n+n]
	o.n += n
	return b
}

// grow starts another arena. The full one is freed when it has been sent.
func (o *Out) grow(n int) {
	o.seal()
	if o.arena != nil {
		o.held = append(o.held, holder{buf: o.arena})
	}
	// A connection cannot speak without this buffer, so it gets one in any case: a small
	// one when the budget is used up.
	if o.arena = o.pool.Get(max(n, arenaLen)); o.arena == nil {
		o.arena = o.pool.Must(max(n, arenaMin))
	}
	o.n, o.start = 0, 0
}

// reserve makes sure that n bytes follow each other in the arena, and returns the
// mark of the first.
func (o *Out) reserve(n int) int {
	if !o.fits(n) || o.arena == nil {
		o.grow(n)
	}
	return o.n
}

// fits reports whether n more bytes lie in the present arena, without another one.
func (o *Out) fits(n int) bool {
	if o.arena == nil {
		return n <= arenaLen
	}
	return o.n+n <= len(o.arena.B)
}

// rewind takes back what was taken since mark (see reserve), when nothing else was
// queued in between.
func (o *Out) rewind(mark int) { o.n = mark }

// seal moves the arena's new bytes into vec.
func (o *Out) seal() {
	if o.n > o.start {
		o.vec = append(o.vec, o.arena.B[o.start:o.n:o.n])
		o.size += o.n - o.start
		o.start = o.n
	}
}

// ref queues bytes that someone else owns and that stay unchanged until sent.
func (o *Out) ref(b []byte) {
	o.seal()
	o.vec = append(o.vec, b)
	o.size += len(b)
}

// hold gives h back after all that is queued now has left.
func (o *Out) hold(h holder) { o.held = append(o.held, h) }

// header begins a PDU: 48 zero bytes, to be filled before the next call.
func (o *Out) header() *pdu.BHS {
	h := pdu.View(o.take(pdu.HeaderLen))
	*h = pdu.BHS{}
	return h
}

// endHeader adds the header digest, when negotiated, behind a finished header.
func (o *Out) endHeader(h *pdu.BHS) {
	if o.headerDigest {
		pdu.PutDigest(o.take(pdu.DigestLen), pdu.Digest(0, h[:]))
	}
}

// endData pads a data segment of n bytes and adds its digest. crc is the digest of
// those bytes, only looked at when data digests are on.
func (o *Out) endData(n int, crc uint32) {
	pad := pdu.Pad(n)
	if pad == 0 && !o.dataDigest {
		return
	}
	p := o.take(pad)
	clear(p)
	if o.dataDigest && n > 0 {
		crc = pdu.Digest(crc, p)
		pdu.PutDigest(o.take(pdu.DigestLen), crc)
	}
}

// small queues a whole PDU with a short data segment, which is copied.
func (o *Out) small(h *pdu.BHS, data []byte) {
	h.SetDataLen(len(data))
	o.endHeader(h)
	if len(data) == 0 {
		return
	}
	copy(o.take(len(data)), data)
	var crc uint32
	if o.dataDigest {
		crc = pdu.Digest(0, data)
	}
	o.endData(len(data), crc)
}

// Size is how many bytes wait to be sent.
func (o *Out) Size() int { return o.size + o.n - o.start }

// Pending are the slices to send next, in order.
func (o *Out) Pending() [][]byte {
	o.seal()
	return o.vec[o.first:]
}

// Sent tells that the first n bytes of Pending have left.
func (o *Out) Sent(n int) {
	o.size -= n
	for n > 0 {
		v := o.vec[o.first]
		if n < len(v) {
			o.vec[o.first] = v[n:]
			return
		}
		n -= len(v)
		o.vec[o.first] = nil
		o.first++
	}
	if o.first == len(o.vec) {
		o.vec, o.first = o.vec[:0], 0
		o.n, o.start = 0, 0
		o.releaseHeld()
	}
}

func (o *Out) releaseHeld() {
	for i, h := range o.held {
		if h.buf != nil {
			h.buf.Free()
		}
		if h.rel != nil {
			h.rel.Release()
		}
		o.held[i] = holder{}
	}
	o.held = o.held[:0]
}

// Idle gives the arena back while there is nothing to send.
func (o *Out) Idle() {
	if o.arena != nil && o.Size() == 0 && len(o.held) == 0 {
		o.arena.Free()
		o.arena = nil
		o.n, o.start = 0, 0
	}
}

// discard drops everything: the connection is gone.
func (o *Out) discard() {
	clear(o.vec)
	o.vec, o.first, o.size = o.vec[:0], 0, 0
	o.n, o.start = 0, 0
	o.releaseHeld()
	o.Idle()
}
