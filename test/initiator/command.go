package initiator

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Task attributes (RFC 7143, 11.3.1).
const (
	Untagged    = 0
	Simple      = 1
	Ordered     = 2
	HeadOfQueue = 3
	ACA         = 4
)

// Command is a SCSI command. In and Out are what the initiator expects, whatever
// the CDB says.
type Command struct {
	LUN       uint16
	CDB       []byte // 1 to 260 bytes
	In        int    // bytes to read
	Out       []byte // bytes to write
	Attr      uint8
	Immediate bool // the I bit: outside the CmdSN window
	// NoImmediateData sends everything on R2T or unsolicited even if immediate
	// data was agreed.
	NoImmediateData bool
	// HoldData leaves the R2Ts to the caller: NextR2T gives them, DataOut answers.
	HoldData bool
	// EDTL, when not 0, is the Expected Data Transfer Length instead of what In and
	// Out say; Out may be shorter or longer than it.
	EDTL uint32
}

// Result is the outcome of a command that the target carried out.
type Result struct {
	Response uint8 // iSCSI response, 0 is completed at target (RFC 7143, 11.4.3)
	Status   uint8 // SCSI status
	Data     []byte
	Sense    []byte // without the SenseLength field
	// Residual is the residual count, negative for an overflow.
	Residual int64
	// Segments counts the Data-In PDUs, R2Ts the Ready To Transfer PDUs.
	Segments, R2Ts int
}

// Key, ASC and ASCQ are those of the sense data in fixed or descriptor format.
func (r *Result) Key() uint8 {
	switch {
	case len(r.Sense) < 4:
		return 0
	case r.Sense[0]&0x7e == 0x72:
		return r.Sense[1] & 15
	}
	return r.Sense[2] & 15
}

// Code is ASC<<8 | ASCQ.
func (r *Result) Code() uint16 {
	switch {
	case len(r.Sense) >= 4 && r.Sense[0]&0x7e == 0x72:
		return binary.BigEndian.Uint16(r.Sense[2:])
	case len(r.Sense) >= 14:
		return binary.BigEndian.Uint16(r.Sense[12:])
	}
	return 0
}

// Err is nil for GOOD.
func (r *Result) Err() error {
	if r.Response == 0 && r.Status == 0 {
		return nil
	}
	return fmt.Errorf("response %#02x status %#02x sense %x code %04x", r.Response, r.Status, r.Key(), r.Code())
}

// Do carries out c and waits for its end.
func (s *Session) Do(ctx context.Context, c *Command) (*Result, error) {
	t, err := s.Start(c)
	if err != nil {
		return nil, err
	}
	if _, err := t.Wait(ctx); err != nil {
		return nil, err
	}
	return &t.res, nil
}

// Result is valid once Wait returned without an error.
func (t *Task) Result() *Result { return &t.res }

// Start sends c and its unsolicited data. Solicited data goes out by itself.
func (s *Session) Start(c *Command) (*Task, error) {
	p := new(PDU)
	p.BHS[0] = OpCommand
	if c.Immediate {
		p.BHS[0] |= Immediate
	}
	p.BHS[1] = Final | c.Attr&7
	p.PutLUN(c.LUN)
	copy(p.BHS[32:48], c.CDB)
	t := &Task{in: c.In, out: c.Out, r2t: make(chan *PDU, maxR2T)}
	if len(c.CDB) > 16 {
		p.AHS = appendExtendedCDB(p.AHS, c.CDB[16:])
	}
	edtl := c.In
	if c.In > 0 {
		p.BHS[1] |= 0x40
		t.res.Data = make([]byte, 0, min(c.In, 1<<20))
	}
	if len(c.Out) > 0 {
		p.BHS[1] |= 0x20
		edtl = len(c.Out)
		if c.In > 0 {
			p.AHS = appendReadLength(p.AHS, c.In)
		}
	}
	if c.EDTL != 0 {
		edtl = int(c.EDTL)
	}
	p.PutU32(20, uint32(edtl))

	first := min(s.Params.FirstBurst, len(c.Out))
	if s.Params.ImmediateData && !c.NoImmediateData {
		p.Data = c.Out[:min(first, s.Params.MaxXmit)]
	}
	sent := len(p.Data)
	var more func() error
	if !s.Params.InitialR2T && sent < first {
		p.BHS[1] &^= Final
		more = func() error { return t.dataOut(sent, first-sent, NoTag, p.BHS[8:16]) }
	}
	if err := s.start(p, t, more); err != nil {
		return nil, err
	}
	if len(c.Out) > 0 && !c.HoldData {
		go t.solicited(p.BHS[8:16])
	}
	return t, nil
}

// NextR2T waits for an R2T of a task with HoldData.
func (t *Task) NextR2T(ctx context.Context) (*PDU, error) {
	select {
	case p := <-t.r2t:
		return p, nil
	case <-t.done:
		return nil, fmt.Errorf("task %#x ended without another R2T: %w", t.ITT, t.err)
	case <-ctx.Done():
		return nil, fmt.Errorf("R2T of task %#x: %w", t.ITT, ctx.Err())
	}
}

// DataOut answers an R2T of a task with HoldData, in order and with a final PDU.
func (t *Task) DataOut(r2t *PDU) error {
	return t.dataOut(int(r2t.U32(40)), int(r2t.U32(44)), r2t.TTT(), r2t.BHS[8:16])
}

// Ended is closed when the task has its response, or will have none.
func (t *Task) Ended() <-chan struct{} { return t.done }

// appendExtendedCDB adds the bytes of a CDB after the sixteenth (RFC 7143,
// 11.2.2.3).
func appendExtendedCDB(ahs, rest []byte) []byte {
	n := len(rest) + 1
	ahs = append(ahs, byte(n>>8), byte(n), 1, 0)
	return append(append(ahs, rest...), make([]byte, pad(len(rest)))...)
}

// appendReadLength adds the Bidirectional Expected Read Data Length (RFC 7143,
// 11.2.2.4).
func appendReadLength(ahs []byte, n int) []byte {
	ahs = append(ahs, 0, 5, 2, 0)
	return binary.BigEndian.AppendUint32(ahs, uint32(n))
}

// solicited answers R2Ts until the task has ended.
func (t *Task) solicited(lun []byte) {
	for {
		select {
		case p := <-t.r2t:
			off, n := int(p.U32(40)), int(p.U32(44))
			err := fmt.Errorf("initiator: R2T for %d bytes at %d of %d", n, off, len(t.out))
			if off+n <= len(t.out) {
				err = t.dataOut(off, n, p.TTT(), lun)
			}
			if err != nil {
				t.s.fail(err)
				return
			}
		case <-t.done:
			return
		}
	}
}

// dataOut sends one sequence of Data-Out PDUs.
func (t *Task) dataOut(off, n int, ttt uint32, lun []byte) error {
	for sn, end := uint32(0), off+n; off < end; sn++ {
		p := new(PDU)
		p.BHS[0] = OpDataOut
		p.Data = t.out[off:min(end, off+t.s.Params.MaxXmit)]
		copy(p.BHS[8:16], lun)
		p.PutU32(16, t.ITT)
		p.PutU32(20, ttt)
		p.PutU32(28, t.s.ExpStatSN())
		p.PutU32(36, sn)
		p.PutU32(40, uint32(off))
		if off += len(p.Data); off == end {
			p.BHS[1] = Final
		}
		if err := t.s.Conn.Send(p); err != nil {
			return err
		}
	}
	return nil
}

// take handles a PDU of the task; last is its response.
func (t *Task) take(p *PDU, last bool) {
	switch p.Opcode() {
	case OpDataIn:
		t.dataIn(p)
		if last { // phase collapse: the status is in the Data-In
			t.res.Status = p.BHS[3]
			t.res.Residual = residual(p)
		}
	case OpResponse:
		t.res.Response, t.res.Status = p.BHS[2], p.BHS[3]
		t.res.Residual = residual(p)
		if len(p.Data) >= 2 {
			n := int(binary.BigEndian.Uint16(p.Data))
			t.res.Sense = p.Data[2:min(len(p.Data), 2+n)]
		}
	case OpReject:
		t.err = fmt.Errorf("initiator: request rejected, reason %#02x", p.BHS[2])
	}
	if last {
		t.final = p
		close(t.done)
	}
}

func (t *Task) dataIn(p *PDU) {
	off := int(p.U32(40))
	end := off + len(p.Data)
	if end > t.in {
		t.err = fmt.Errorf("initiator: Data-In up to byte %d of %d expected", end, t.in)
		return
	}
	if end > len(t.res.Data) {
		t.res.Data = append(t.res.Data, make([]byte, end-len(t.res.Data))...)
	}
	copy(t.res.Data[off:], p.Data)
	t.res.Segments++
}

// residual reads the U and O bits and the residual count.
func residual(p *PDU) int64 {
	n := int64(p.U32(44))
	switch {
	case p.Is(0x02):
		return n
	case p.Is(0x04):
		return -n
	}
	return 0
}
