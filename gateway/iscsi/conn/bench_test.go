package conn

import (
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// BenchmarkBatch carries out 32 commands of 4 KiB that came with one read, from their bytes to
// those of the answers, without a socket. Figures are of one command.
func BenchmarkBatch(b *testing.B) {
	const depth = 32
	for _, bc := range []struct {
		name string
		op   byte
		flag byte
		data []byte
	}{
		{"READ", 0x28, pdu.CmdRead, nil},
		{"WRITE", 0x2a, pdu.CmdWrite, make([]byte, 4096)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			p := params(false)
			pool := buf.NewPool(8 << 20)
			s, d, notify := fixture(b, 1<<20, p, pool)
			d.inline = true
			c := &Conn{pool: pool, s: s, maxData: int(p.MaxRecvDataSegmentLength), now: new(atomic.Int64)}
			c.raw = discard{c}
			*notify = c.Notify
			one := frame(scsiCommand(bc.op, 1, 1, 0, 8, pdu.Final|bc.flag), bc.data, false)
			var batch []byte
			for range depth {
				batch = append(batch, one...)
			}
			sn := uint32(1)
			b.ReportAllocs()
			for b.Loop() {
				h := pdu.View(batch[(sn-1)%depth*uint32(len(one)):])
				h.SetCmdSN(pdu.Serial(sn))
				h.SetITT(sn)
				if sn++; sn%depth != 1 {
					continue
				}
				c.acquire()
				c.mu.Lock()
				s.Received(latency.Now())
				for rest := batch; len(rest) > 0; {
					rest = rest[c.feed(rest):]
					if err := c.parse(); err != nil {
						b.Fatal(err)
					}
				}
				c.finishBatch()
				c.release()
			}
		})
	}
}
