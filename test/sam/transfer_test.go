//go:build system

package sam

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// request makes a request PDU without tag and numbers.
func request(op, flags byte) *initiator.PDU {
	p := new(initiator.PDU)
	p.BHS[0], p.BHS[1] = op, initiator.Final|flags
	return p
}

// commandPDU is a SCSI Command with tag and CmdSN, for hosts that number by hand.
func commandPDU(lun, flags byte, itt, sn uint32, edtl int, cdb []byte) *initiator.PDU {
	p := request(initiator.OpCommand, flags)
	p.BHS[9] = lun
	p.PutU32(16, itt)
	p.PutU32(20, uint32(edtl))
	p.PutU32(24, sn)
	copy(p.BHS[32:], cdb)
	return p
}

// wire is a connection in the full feature phase on which a case writes PDUs by hand.
type wire struct {
	*initiator.Conn
	*initiator.Params
	t *testing.T
}

func dial(t *testing.T, opts ...option) *wire {
	t.Helper()
	c, err := initiator.Connect(t.Context(), options(opts...).Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() }) // the server may have closed first
	p, err := initiator.Login(c, options(opts...))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{c, p, t}
	// LUN 0's unit attention, so that commands are carried out.
	w.send(commandPDU(0, 0x41, 0xfff0, p.CmdSN, 252, []byte{0x03, 0, 0, 0, 252, 0}))
	w.CmdSN++
	w.expect(initiator.OpDataIn)
	return w
}

func (w *wire) send(p *initiator.PDU) {
	w.t.Helper()
	p.PutU32(28, w.ExpStatSN)
	if err := w.Send(p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) recv() *initiator.PDU {
	w.t.Helper()
	p, err := w.RecvWithin(limit)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// expect takes the next PDU, which has opcode op.
func (w *wire) expect(op byte) *initiator.PDU {
	w.t.Helper()
	p := w.recv()
	if p.Opcode() != op {
		w.t.Fatalf("got %v, want opcode %#02x", p, op)
	}
	switch {
	case op == initiator.OpR2T, op == initiator.OpDataIn && !p.Is(1), op == initiator.OpNOPIn && p.ITT() == initiator.NoTag:
	default:
		w.ExpStatSN = p.StatSN() + 1
	}
	return p
}

// alive sends a NOP-Out and takes its answer, which shows that the server took what came
// before.
func (w *wire) alive() *initiator.PDU {
	w.t.Helper()
	p := request(initiator.OpNOPOut, 0)
	p.BHS[0] |= initiator.Immediate
	p.PutU32(16, 0xabcd)
	p.PutU32(20, initiator.NoTag)
	p.PutU32(24, w.CmdSN)
	w.send(p)
	in := w.expect(initiator.OpNOPIn)
	if in.ITT() != 0xabcd {
		w.t.Fatalf("the answer to a NOP-Out has tag %#x", in.ITT())
	}
	return in
}

// ends checks that the server closes the connection, after a Reject of reason if that is
// not 0.
func (w *wire) ends(reason byte) {
	w.t.Helper()
	if reason != 0 {
		if p := w.expect(initiator.OpReject); p.BHS[2] != reason {
			w.t.Errorf("Reject reason %#02x, want %#02x", p.BHS[2], reason)
		}
	}
	for {
		p, err := w.RecvWithin(limit)
		if err == nil {
			w.t.Errorf("got %v, want the end of the connection", p)
			continue
		}
		var late interface{ Timeout() bool }
		if errors.As(err, &late) && late.Timeout() {
			w.t.Error("the server keeps the connection")
		}
		return
	}
}

func testNumbering(t *testing.T) {
	run(t, "4.2.2.1 commands in order move ExpCmdSN", func(t *testing.T) {
		w := dial(t)
		for i := range uint32(5) {
			w.send(commandPDU(0, 1, i, w.CmdSN, 0, tur))
			w.CmdSN++
			if p := w.expect(initiator.OpResponse); p.ExpCmdSN() != w.CmdSN || p.ITT() != i {
				t.Errorf("ExpCmdSN %d, want %d", p.ExpCmdSN(), w.CmdSN)
			}
		}
	})
	run(t, "4.2.2.1 an immediate command does not", func(t *testing.T) {
		w := dial(t)
		p := commandPDU(0, 1, 1, w.CmdSN, 0, tur)
		p.BHS[0] |= initiator.Immediate
		w.send(p)
		if r := w.expect(initiator.OpResponse); r.ExpCmdSN() != w.CmdSN {
			t.Errorf("ExpCmdSN %d, want %d", r.ExpCmdSN(), w.CmdSN)
		}
		w.send(commandPDU(0, 1, 2, w.CmdSN, 0, tur))
		w.expect(initiator.OpResponse)
	})
	for name, delta := range map[string]uint32{"one below": ^uint32(0), "two below": ^uint32(1), "half the circle below": 1 << 31, "far above": 100000} {
		run(t, "4.2.2.1 a CmdSN "+name+" is silently ignored", func(t *testing.T) {
			w := dial(t)
			w.send(commandPDU(0, 1, 1, w.CmdSN+delta, 0, tur))
			if p := w.alive(); p.ExpCmdSN() != w.CmdSN {
				t.Errorf("ExpCmdSN %d, want %d", p.ExpCmdSN(), w.CmdSN)
			}
		})
	}
	run(t, "4.2.2.1 a duplicate is ignored", func(t *testing.T) {
		w := dial(t)
		p := commandPDU(0, 1, 1, w.CmdSN, 0, tur)
		w.send(p)
		w.send(p)
		w.CmdSN++
		w.expect(initiator.OpResponse)
		w.alive()
	})
	run(t, "4.2.2.1 MaxCmdSN is the last number that is taken", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		all := []*initiator.Task{w}
		for h.Window() > 0 {
			all = append(all, h.startRead(lunHeld, kept, 1))
		}
		if len(all) < 16 {
			t.Errorf("the window is %d commands", len(all))
		}
		release()
		for _, r := range all {
			h.good(h.wait(r))
		}
	})
	run(t, "4.2.2.1 a command beyond MaxCmdSN is ignored", func(t *testing.T) {
		w := dial(t)
		p := w.alive()
		w.send(commandPDU(0, 1, 1, p.MaxCmdSN()+1, 0, tur))
		w.alive()
	})
	run(t, "11.4.8 ExpDataSN counts Data-In", func(t *testing.T) {
		w := dial(t, keys("MaxRecvDataSegmentLength", "512"))
		w.send(commandPDU(0, 0x41, 1, w.CmdSN, 8*512, []byte{0x5a, 0, 0x3f, 0xff, 0, 0, 0, 0x10, 0, 0}))
		n := uint32(0)
		for {
			p := w.recv()
			if p.Opcode() == initiator.OpDataIn {
				n++
				if p.Is(1) {
					return // the status came with the data, which has no ExpDataSN
				}
				continue
			}
			if p.Opcode() != initiator.OpResponse || p.U32(36) != n {
				t.Errorf("%v with ExpDataSN %d after %d Data-In", p, p.U32(36), n)
			}
			return
		}
	})
	run(t, "4.2.2.1 MaxCmdSN never goes back", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		var tasks []*initiator.Task
		for i := range 40 {
			tasks = append(tasks, h.startWrite(lunHeld, kept+i, 1, 1))
		}
		tr.wait(t, begins("write", kept, 1))
		before := h.Window()
		if err := h.Ping(h.ctx, nil); err != nil {
			t.Fatal(err)
		}
		if after := h.Window(); after < before {
			t.Errorf("room for %d commands, then %d", before, after)
		}
		release()
		last := uint32(0)
		for _, w := range tasks {
			if p := h.final(w); int32(p.MaxCmdSN()-last) > 0 {
				last = p.MaxCmdSN()
			}
		}
	})
	run(t, "4.2.2.2 StatSN counts responses one by one", func(t *testing.T) {
		w := dial(t)
		next := w.ExpStatSN
		for i := range uint32(8) {
			w.send(commandPDU(0, 1, i, w.CmdSN, 0, tur))
			w.CmdSN++
			p := w.expect(initiator.OpResponse)
			if p.StatSN() != next {
				t.Errorf("StatSN %d, want %d", p.StatSN(), next)
			}
			next++
		}
	})
	run(t, "4.2.2.3 R2TSN counts from zero", func(t *testing.T) {
		h := login(t, keys("InitialR2T", "Yes", "ImmediateData", "No", "MaxBurstLength", "512", "FirstBurstLength", "512", "MaxOutstandingR2T", "4"))
		task := h.start(&initiator.Command{CDB: write10(free, 8), Out: fill(8, 1), HoldData: true})
		for i := range uint32(8) {
			p, err := task.NextR2T(h.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if p.U32(36) != i || p.U32(40) != 512*i || p.U32(44) != 512 {
				t.Errorf("R2T %d has R2TSN %d, offset %d, length %d", i, p.U32(36), p.U32(40), p.U32(44))
			}
			if err := task.DataOut(p); err != nil {
				t.Fatal(err)
			}
		}
		h.good(h.wait(task))
	})
	run(t, "4.2.2.3 DataSN of Data-In counts from zero", func(t *testing.T) {
		w := dial(t, keys("MaxRecvDataSegmentLength", "512"))
		w.send(commandPDU(0, 0x41, 1, w.CmdSN, 8*512, read10(0, 8)))
		for i := range uint32(8) {
			p := w.expect(initiator.OpDataIn)
			if p.U32(36) != i || p.U32(40) != 512*i || len(p.Data) != 512 {
				t.Errorf("Data-In %d has DataSN %d, offset %d, %d bytes", i, p.U32(36), p.U32(40), len(p.Data))
			}
		}
	})
	run(t, "11.8.1 as many R2Ts as were agreed", func(t *testing.T) {
		for _, n := range []int{1, 3, 8} {
			h := login(t, keys("InitialR2T", "Yes", "ImmediateData", "No", "MaxBurstLength", "512", "FirstBurstLength", "512", "MaxOutstandingR2T", fmt.Sprint(n)))
			task := h.start(&initiator.Command{CDB: write10(free, 16), Out: fill(16, 1), HoldData: true})
			var all []*initiator.PDU
			for range n {
				p, err := task.NextR2T(h.ctx)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, p)
			}
			if err := h.Ping(h.ctx, nil); err != nil { // another R2T would have come by now
				t.Fatal(err)
			}
			if task.Result().R2Ts != n {
				t.Errorf("%d R2Ts outstanding, want %d", task.Result().R2Ts, n)
			}
			for got := n; len(all) > 0; all = all[1:] {
				if err := task.DataOut(all[0]); err != nil {
					t.Fatal(err)
				}
				if got == 16 {
					continue
				}
				p, err := task.NextR2T(h.ctx)
				if err != nil {
					t.Fatal(err)
				}
				got++
				all = append(all, p)
			}
			h.good(h.wait(task))
		}
	})
}

func testResiduals(t *testing.T) {
	h512 := func(n int) []byte { return fill(n, 5) }
	for _, c := range []struct {
		name     string
		cmd      initiator.Command
		status   uint8
		data     int
		residual int64
	}{
		{"read, exact", initiator.Command{CDB: read10(free, 2), In: 1024}, good, 1024, 0},
		{"read, underflow", initiator.Command{CDB: read10(free, 2), In: 4096}, good, 1024, 3072},
		{"read, overflow", initiator.Command{CDB: read10(free, 4), In: 1024}, good, 1024, -1024},
		{"read, overflow within a block", initiator.Command{CDB: read10(free, 2), In: 700}, good, 700, -324},
		{"read of nothing", initiator.Command{CDB: read10(free, 0), In: 512}, good, 0, 512},
		{"read without R", initiator.Command{CDB: read10(free, 2)}, good, 0, -1024},
		{"write, exact", initiator.Command{CDB: write10(free, 2), Out: h512(2)}, good, 0, 0},
		{"write, underflow", initiator.Command{CDB: write10(free, 2), Out: h512(4)}, good, 0, 1024},
		{"write of nothing", initiator.Command{CDB: write10(free, 0), Out: h512(1)}, good, 0, 512},
		{"write, overflow", initiator.Command{CDB: write10(free, 4), Out: h512(2)}, good, 0, -1024},
		{"no data, announced read", initiator.Command{CDB: tur, In: 512}, good, 0, 512},
		{"no data, announced write", initiator.Command{CDB: tur, Out: h512(1)}, good, 0, 512},
		{"INQUIRY, allocation above what there is", initiator.Command{CDB: inquiry(-1, 1000), In: 1000}, good, -1, 0},
		{"CHECK CONDITION of a read", initiator.Command{CDB: read10(1<<30, 1), In: 512}, checkCond, 0, 512},
		{"CHECK CONDITION of a write", initiator.Command{CDB: write10(1<<30, 1), Out: h512(1)}, checkCond, 0, 0},
	} {
		run(t, "11.4.5 "+c.name, func(t *testing.T) {
			for _, digest := range []string{"None", "CRC32C"} {
				h := login(t, digests(digest, digest))
				cmd := c.cmd
				r := h.do(&cmd)
				h.is(r, c.status)
				if c.data < 0 { // as much as there is
					h.residual(r, int64(cmd.In-len(r.Data)))
					continue
				}
				if len(r.Data) != c.data {
					t.Errorf("%d bytes, want %d", len(r.Data), c.data)
				}
				if c.status == good || c.cmd.In > 0 {
					h.residual(r, c.residual)
				}
			}
		})
	}
	run(t, "11.4.5 a write that announces too little writes whole blocks of it", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 4, 1)
		h.residual(h.out(lunMem, write10(free, 4), fill(2, 9)), -1024)
		h.holds(lunMem, free, 2, 9)
		h.holds(lunMem, free+2, 2, 1)
	})
	run(t, "11.4.5 a torn block is not written", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 2, 1)
		r := h.out(lunMem, write10(free, 2), fill(2, 9)[:700])
		h.is(r, checkCond)
		h.holds(lunMem, free, 2, 1)
	})
	run(t, "11.3 a write with more data than its CDB asks writes no more", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 4, 1)
		h.residual(h.out(lunMem, write10(free, 1), fill(4, 9)), 1536)
		h.holds(lunMem, free, 1, 9)
		h.holds(lunMem, free+1, 3, 1)
	})
}

func testDataOut(t *testing.T) {
	yes := map[bool]string{true: "Yes", false: "No"}
	for _, initialR2T := range []bool{false, true} {
		for _, immediate := range []bool{false, true} {
			for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 200} {
				run(t, fmt.Sprintf("11.7 InitialR2T=%s ImmediateData=%s %d blocks", yes[initialR2T], yes[immediate], n), func(t *testing.T) {
					// FirstBurstLength 16 blocks, MaxBurstLength 32.
					h := login(t, keys("InitialR2T", yes[initialR2T], "ImmediateData", yes[immediate],
						"FirstBurstLength", "8192", "MaxBurstLength", "16384", "MaxOutstandingR2T", "3"))
					data := make([]byte, 512*n)
					for i := range data {
						data[i] = byte(i>>9) ^ byte(i*7)
					}
					h.good(h.out(lunFile, write10(free, n), data))
					r := h.in(lunFile, read10(free, n), len(data))
					h.good(r)
					if !bytes.Equal(r.Data, data) {
						t.Error("what was written does not come back")
					}
				})
			}
		}
	}
	// A write of 16 blocks by hand, with FirstBurstLength 4096 and MaxBurstLength 8192.
	begin := func(t *testing.T, kv ...string) *wire {
		w := dial(t, keys(append([]string{"FirstBurstLength", "4096", "MaxBurstLength", "8192"}, kv...)...))
		return w
	}
	dataOut := func(itt, ttt, sn uint32, off int, data []byte, final bool) *initiator.PDU {
		p := request(initiator.OpDataOut, 0)
		if !final {
			p.BHS[1] = 0
		}
		p.PutU32(16, itt)
		p.PutU32(20, ttt)
		p.PutU32(36, sn)
		p.PutU32(40, uint32(off))
		p.Data = data
		return p
	}
	const flagW, flagR = 0x20, 0x40
	run(t, "11.7 solicited data in pieces of any size", func(t *testing.T) {
		w := begin(t, "InitialR2T", "Yes", "ImmediateData", "No")
		w.send(commandPDU(0, flagW|1, 5, w.CmdSN, 4096, write10(free, 8)))
		r := w.expect(initiator.OpR2T)
		data := make([]byte, 4096)
		off := 0
		for i, n := range []int{1, 3, 508, 512, 1000, 4, 2068} {
			w.send(dataOut(5, r.TTT(), uint32(i), off, data[off:off+n], off+n == 4096))
			off += n
		}
		if p := w.expect(initiator.OpResponse); p.BHS[3] != good {
			t.Errorf("status %#02x", p.BHS[3])
		}
	})
	for _, c := range []struct {
		name string
		kv   []string
		sent func(w *wire)
	}{
		{"immediate data of FirstBurstLength", nil, func(w *wire) {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 4096, write10(free, 8))
			p.Data = make([]byte, 4096)
			w.send(p)
		}},
		{"immediate then unsolicited data up to FirstBurstLength", []string{"InitialR2T", "No"}, func(w *wire) {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 4096, write10(free, 8))
			p.BHS[1] &^= initiator.Final
			p.Data = make([]byte, 1024)
			w.send(p)
			w.send(dataOut(5, initiator.NoTag, 0, 1024, make([]byte, 3000), false))
			w.send(dataOut(5, initiator.NoTag, 1, 4024, make([]byte, 72), true))
		}},
		{"unsolicited data without immediate", []string{"InitialR2T", "No", "ImmediateData", "No"}, func(w *wire) {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 4096, write10(free, 8))
			p.BHS[1] &^= initiator.Final
			w.send(p)
			w.send(dataOut(5, initiator.NoTag, 0, 0, make([]byte, 4096), true))
		}},
	} {
		run(t, "11.7 "+c.name, func(t *testing.T) {
			w := begin(t, c.kv...)
			c.sent(w)
			if p := w.expect(initiator.OpResponse); p.BHS[3] != good {
				t.Errorf("status %#02x", p.BHS[3])
			}
		})
	}
	for _, c := range []struct {
		name string
		kv   []string
		pdu  func(w *wire) *initiator.PDU
	}{
		{"immediate data one byte above FirstBurstLength", nil, func(w *wire) *initiator.PDU {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 8192, write10(free, 16))
			p.Data = make([]byte, 4097)
			return p
		}},
		{"immediate data that was not agreed", []string{"ImmediateData", "No"}, func(w *wire) *initiator.PDU {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 512, write10(free, 1))
			p.Data = make([]byte, 512)
			return p
		}},
		{"immediate data above what is announced", nil, func(w *wire) *initiator.PDU {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 512, write10(free, 1))
			p.Data = make([]byte, 516)
			return p
		}},
		{"immediate data with a read", nil, func(w *wire) *initiator.PDU {
			p := commandPDU(0, flagR|1, 5, w.CmdSN, 512, read10(free, 1))
			p.Data = make([]byte, 512)
			return p
		}},
		{"unsolicited data with InitialR2T", []string{"InitialR2T", "Yes"}, func(w *wire) *initiator.PDU {
			p := commandPDU(0, flagW|1, 5, w.CmdSN, 8192, write10(free, 16))
			p.BHS[1] &^= initiator.Final
			return p
		}},
	} {
		run(t, "11.17.1 "+c.name+" is a protocol error", func(t *testing.T) {
			w := begin(t, c.kv...)
			w.send(c.pdu(w))
			w.ends(0x04)
		})
	}
	for _, c := range []struct {
		name string
		bad  func(w *wire, r2t *initiator.PDU) []*initiator.PDU
	}{
		{"a wrong DataSN", func(_ *wire, r *initiator.PDU) []*initiator.PDU {
			return []*initiator.PDU{dataOut(5, r.TTT(), 1, 0, make([]byte, 4096), true)}
		}},
		{"a wrong buffer offset", func(_ *wire, r *initiator.PDU) []*initiator.PDU {
			return []*initiator.PDU{dataOut(5, r.TTT(), 0, 512, make([]byte, 3584), true)}
		}},
		{"a byte too many", func(_ *wire, r *initiator.PDU) []*initiator.PDU {
			return []*initiator.PDU{dataOut(5, r.TTT(), 0, 0, make([]byte, 4097), true)}
		}},
		{"F before the end", func(_ *wire, r *initiator.PDU) []*initiator.PDU {
			return []*initiator.PDU{dataOut(5, r.TTT(), 0, 0, make([]byte, 512), true)}
		}},
		{"another target transfer tag", func(_ *wire, r *initiator.PDU) []*initiator.PDU {
			return []*initiator.PDU{dataOut(5, r.TTT()+77, 0, 0, make([]byte, 4096), true)}
		}},
	} {
		run(t, "11.7 "+c.name+" writes nothing", func(t *testing.T) {
			h := login(t)
			h.write(lunMem, free, 8, 0x42)
			w := begin(t, "InitialR2T", "Yes", "ImmediateData", "No")
			w.send(commandPDU(0, flagW|1, 5, w.CmdSN, 4096, write10(free, 8)))
			r := w.expect(initiator.OpR2T)
			for _, p := range c.bad(w, r) {
				w.send(p)
			}
			// CHECK CONDITION, a Reject or the end of the connection are all allowed; a
			// GOOD status is not.
			p, err := w.RecvWithin(limit)
			var late interface{ Timeout() bool }
			switch {
			case err != nil && errors.As(err, &late) && late.Timeout():
				t.Error("no answer and no end of the connection")
			case err == nil && p.Opcode() == initiator.OpResponse && p.BHS[3] == good:
				t.Error("the write ended with GOOD")
			}
			h.holds(lunMem, free, 8, 0x42)
		})
	}
	run(t, "11.5.1 Data-Out of an aborted task is discarded", func(t *testing.T) {
		h := login(t, onR2T)
		task := h.start(&initiator.Command{CDB: write10(free, 8), Out: fill(8, 1), HoldData: true})
		r, err := task.NextR2T(h.ctx)
		if err != nil {
			t.Fatal(err)
		}
		h.write(lunMem, free, 8, 0x42)
		h.tmf(initiator.AbortTask, 0, task, initiator.FunctionComplete)
		if err := task.DataOut(r); err != nil {
			t.Fatal(err)
		}
		h.Forget(task)
		h.holds(lunMem, free, 8, 0x42)
	})
	run(t, "11.7 Data-Out of no task is discarded or rejected", func(t *testing.T) {
		w := begin(t)
		w.send(dataOut(0x1234, 9, 0, 0, make([]byte, 512), true))
		w.alive()
	})
}

func testHeaders(t *testing.T) {
	run(t, "11.2.2.3 a CDB of 32 bytes", func(t *testing.T) {
		h := login(t)
		cdb := make([]byte, 32)
		cdb[0], cdb[7] = 0x7f, 24
		binary.BigEndian.PutUint16(cdb[8:], 0x1234)
		r := h.none(lunMem, cdb)
		h.is(r, checkCond)
		if r.Key() != illegal || r.Code() != invalidCDB && r.Code() != invalidOpcode {
			t.Errorf("sense %x/%04x", r.Key(), r.Code())
		}
		h.good(h.none(lunMem, tur))
	})
	run(t, "11.2.2.3 a CDB of 260 bytes", func(t *testing.T) {
		h := login(t)
		cdb := make([]byte, 260)
		cdb[0], cdb[7] = 0x7f, 252
		h.is(h.none(lunMem, cdb), checkCond)
		h.good(h.none(lunMem, tur))
	})
	run(t, "11.2.2.3 an extended CDB that is not needed", func(t *testing.T) {
		h := login(t)
		h.good(h.none(lunMem, make([]byte, 20)))
	})
	for _, c := range []struct {
		name string
		ahs  []byte
	}{
		{"of an unknown type", []byte{0, 1, 9, 0}},
		{"longer than the header says", []byte{0xff, 0xff, 1, 0}},
		{"with length zero", []byte{0, 0, 1, 0}},
	} {
		run(t, "11.2.2 an additional header segment "+c.name, func(t *testing.T) {
			w := dial(t)
			p := commandPDU(0, 1, 5, w.CmdSN, 0, tur)
			p.AHS = c.ahs
			w.send(p)
			if r, err := w.RecvWithin(limit); err == nil && r.Opcode() != initiator.OpReject && r.Opcode() != initiator.OpResponse {
				t.Errorf("got %v", r)
			}
		})
	}
	run(t, "11.2.1.8 a tag in use is rejected", func(t *testing.T) {
		h := login(t)
		tr, release := held(t, lunHeld)
		w := h.startWrite(lunHeld, kept, 1, 1)
		tr.wait(t, begins("write", kept, 1))
		p := commandPDU(0, 1, w.ITT, h.CmdSN(), 0, tur)
		p.BHS[0] |= initiator.Immediate
		p.PutU32(28, h.ExpStatSN())
		if err := h.Conn.Send(p); err != nil {
			t.Fatal(err)
		}
		_, err := w.Wait(h.ctx) // the Reject names the tag, and so ends the task here
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte("0x07")) {
			t.Errorf("got %v, want a Reject with reason 07h", err)
		}
		release()
		tr.wait(t, ends("write", kept, 1))
		h.Close()
	})
	run(t, "11.2.1 padding of each length", func(t *testing.T) {
		for _, d := range []string{"None", "CRC32C"} {
			h := login(t, digests(d, d))
			for n := range 9 {
				if err := h.Ping(h.ctx, bytes.Repeat([]byte{7}, n)); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func testDigests(t *testing.T) {
	for _, hd := range []string{"None", "CRC32C"} {
		for _, dd := range []string{"None", "CRC32C"} {
			run(t, "13.1 HeaderDigest="+hd+" DataDigest="+dd, func(t *testing.T) {
				h := login(t, digests(hd, dd))
				if h.Params.HeaderDigest != (hd == "CRC32C") || h.Params.DataDigest != (dd == "CRC32C") {
					t.Errorf("agreed on %v and %v", h.Params.HeaderDigest, h.Params.DataDigest)
				}
				for _, n := range []int{1, 7, 300} {
					h.write(lunFile, free, n, byte(n))
					h.holds(lunFile, free, n, byte(n))
				}
				h.good(h.in(lunMem, inquiry(0x83, 251), 251)) // an odd length
			})
		}
	}
	run(t, "7.7 a wrong header digest ends the connection", func(t *testing.T) {
		w := dial(t, digests("CRC32C", "None"))
		w.Conn.HeaderDigest = false // so the digest of what we send is missing
		p := commandPDU(0, 1, 5, w.CmdSN, 0, tur)
		w.send(p)
		w.send(p) // the server takes its first four bytes for the digest
		w.Conn.HeaderDigest = true
		w.ends(0)
	})
	run(t, "7.8 a wrong data digest is rejected and writes nothing", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 1, 0x42)
		w := dial(t, digests("None", "CRC32C"))
		p := commandPDU(0, 0x21, 5, w.CmdSN, 512, write10(free, 1))
		p.Data = append(fill(1, 9), 1, 2, 3, 4) // the digest by hand, wrong
		p.Raw = true
		p.BHS[6] = 2
		w.Conn.DataDigest = false
		w.send(p)
		w.Conn.DataDigest = true
		w.ends(0x02)
		h.holds(lunMem, free, 1, 0x42)
	})
	run(t, "7.8 a wrong digest of solicited data", func(t *testing.T) {
		h := login(t)
		h.write(lunMem, free, 1, 0x42)
		w := dial(t, digests("None", "CRC32C"), onR2T)
		w.send(commandPDU(0, 0x21, 5, w.CmdSN, 512, write10(free, 1)))
		r := w.expect(initiator.OpR2T)
		p := request(initiator.OpDataOut, 0)
		p.PutU32(16, 5)
		p.PutU32(20, r.TTT())
		p.Data = slices.Concat(fill(1, 9), []byte{1, 2, 3, 4})
		p.Raw = true
		p.BHS[6] = 2
		w.Conn.DataDigest = false
		w.send(p)
		w.Conn.DataDigest = true
		w.ends(0x02)
		h.holds(lunMem, free, 1, 0x42)
	})
}
