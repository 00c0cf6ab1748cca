//go:build system

package crash

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"

	"github.com/targate/targate/test/initiator"
)

const (
	blockSize = 512
	blocks    = 2048 // of each writer
	maxWrite  = 512  // blocks of one write
	maxCAW    = 4
)

// writer writes to blocks of its own on LUN 0. Every kind of write must be found after a
// kill once it is acknowledged, SYNCHRONIZE CACHE or not.
type writer struct {
	first uint32 // LBA
	who   string
	rand  *rand.Rand
	s     *initiator.Session
	want  [blocks]uint64 // what each block holds, as fill takes it
	last  uint64

	pending *write
}

// write is a request in flight.
type write struct {
	at, n  int
	value  uint64
	atomic bool // all blocks or none
}

func newWriter(i int, r *rand.Rand) *writer {
	return &writer{first: uint32(i) * blocks, who: "writer" + string(rune('0'+i)), rand: r}
}

func (w *writer) open(ctx context.Context, portal string) (err error) {
	w.s, err = dial(ctx, portal, iqn0, w.who)
	return err
}

func (w *writer) close() {
	if w.s != nil {
		w.s.Close()
	}
}

// fill makes the bytes of block lba that value stands for; 0 is a block never written.
func fill(b []byte, lba uint32, value uint64) {
	if value == 0 {
		clear(b)
		return
	}
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], (value<<24|uint64(lba))*0x9e3779b97f4a7c15+uint64(i))
	}
}

func (w *writer) step(ctx context.Context) error {
	w.last++
	p := write{n: 1 + w.rand.IntN(maxWrite), value: w.last}
	kind := w.rand.IntN(5)
	if kind == 4 {
		p.n = 1 + w.rand.IntN(maxCAW)
	}
	p.at = w.rand.IntN(blocks - p.n + 1)
	p.atomic = kind >= 3
	lba := w.first + uint32(p.at)
	data := make([]byte, p.n*blockSize)
	for i := range p.n {
		fill(data[i*blockSize:][:blockSize], lba+uint32(i), p.value)
	}
	c := &initiator.Command{Out: data}
	switch kind {
	case 0, 1, 2: // WRITE(10), with FUA, with SYNCHRONIZE CACHE after it
		c.CDB = initiator.Write10(lba, uint16(p.n))
		if kind == 1 {
			c.CDB[1] = 0x08
		}
	case 3: // WRITE ATOMIC(16)
		c.CDB = make([]byte, 16)
		c.CDB[0] = 0x9c
		binary.BigEndian.PutUint64(c.CDB[2:], uint64(lba))
		binary.BigEndian.PutUint16(c.CDB[12:], uint16(p.n))
	case 4: // COMPARE AND WRITE
		c.CDB = make([]byte, 16)
		c.CDB[0] = 0x89
		binary.BigEndian.PutUint64(c.CDB[2:], uint64(lba))
		c.CDB[13] = uint8(p.n)
		c.Out = make([]byte, len(data), 2*len(data))
		for i := range p.n {
			fill(c.Out[i*blockSize:][:blockSize], lba+uint32(i), w.want[p.at+i])
		}
		c.Out = append(c.Out, data...)
	}
	w.pending = &p
	if _, err := do(ctx, w.s, c); err != nil {
		return err
	}
	w.pending = nil
	for i := range p.n {
		w.want[p.at+i] = p.value
	}
	if kind == 2 {
		sync := make([]byte, 10)
		sync[0] = 0x35
		_, err := do(ctx, w.s, &initiator.Command{CDB: sync})
		return err
	}
	return nil
}

func (w *writer) check(ctx context.Context) error {
	p := w.pending
	if p == nil {
		p = &write{}
	}
	old, after := 0, 0 // blocks of p
	want := make([]byte, blockSize)
	for at := 0; at < blocks; at += maxWrite {
		r, err := do(ctx, w.s, &initiator.Command{CDB: initiator.Read10(w.first+uint32(at), maxWrite), In: maxWrite * blockSize})
		if err != nil {
			return err
		}
		for i := at; i < at+maxWrite; i++ {
			got, lba := r.Data[(i-at)*blockSize:][:blockSize], w.first+uint32(i)
			fill(want, lba, w.want[i])
			inFlight := i >= p.at && i < p.at+p.n
			if bytes.Equal(got, want) {
				if inFlight {
					old++
				}
				continue
			}
			if inFlight {
				if fill(want, lba, p.value); bytes.Equal(got, want) {
					after++
					w.want[i] = p.value
					continue
				}
			}
			return faultf("block %d: what was written last (%d of %d) is not there; in flight: %+v; it holds %x...", lba, w.want[i], w.last, *p, got[:16])
		}
	}
	if p.atomic && old > 0 && after > 0 {
		return faultf("%+v was to be atomic: %d blocks are old, %d new", *p, old, after)
	}
	w.pending = nil
	return nil
}
