//go:build !race && !invariants

// Under the race detector sync.Pool forgets buffers at random, to show misuse; the checkers of
// the seams allocate.

package conn

import (
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// TestAllocs: a READ and a WRITE of 4 KiB allocate nothing between socket and handler.
func TestAllocs(t *testing.T) {
	for _, tc := range []struct {
		name string
		op   byte
		flag byte
		data []byte
	}{
		{"READ", 0x28, pdu.CmdRead, nil},
		{"WRITE", 0x2a, pdu.CmdWrite, make([]byte, 4096)},
	} {
		for _, digests := range []bool{false, true} {
			p := params(digests)
			pool := buf.NewPool(8 << 20)
			s, d, notify := fixture(t, 1<<20, p, pool)
			d.inline = true
			c := &Conn{pool: pool, s: s, headerDigest: digests, dataDigest: digests,
				maxData: int(p.MaxRecvDataSegmentLength), now: new(atomic.Int64)}
			c.raw = discard{c}
			*notify = c.Notify
			sn := uint32(1)
			pdus := frame(scsiCommand(tc.op, 1, sn, 0, 8, pdu.Final|tc.flag), tc.data, digests)
			one := func() {
				h := pdu.View(pdus)
				h.SetCmdSN(pdu.Serial(sn))
				h.SetITT(sn)
				if digests {
					pdu.PutDigest(pdus[pdu.HeaderLen:], pdu.Digest(0, h[:]))
				}
				sn++
				c.acquire()
				c.feed(pdus)
				c.mu.Lock()
				if err := c.parse(); err != nil {
					t.Fatal(err)
				}
				c.finishBatch()
				c.release()
			}
			one()
			if n := testing.AllocsPerRun(2000, one); n != 0 {
				t.Errorf("%s, digests %v: %v allocations", tc.name, digests, n)
			}
			if got := s.Outstanding(); got != 0 {
				t.Errorf("%d commands are outstanding", got)
			}
		}
	}
}
