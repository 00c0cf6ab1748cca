package initiator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"testing"
	"time"
)

// peer is the target's end of a connection, played by the test.
type peer struct {
	t *testing.T
	c *Conn
}

// pair gives a session with p as its parameters and the target's end of it.
func pair(t *testing.T, p Params) (*Session, peer) {
	t.Helper()
	a, b := net.Pipe()
	c, d := NewConn(a), NewConn(b)
	c.HeaderDigest, c.DataDigest = p.HeaderDigest, p.DataDigest
	d.HeaderDigest, d.DataDigest = p.HeaderDigest, p.DataDigest
	s := NewSession(c, &p)
	t.Cleanup(func() {
		d.Close()
		s.Close()
	})
	return s, peer{t, d}
}

func (p peer) recv(opcode uint8) *PDU {
	p.t.Helper()
	q, err := p.c.RecvWithin(5 * time.Second)
	if err != nil {
		p.t.Fatal(err)
	}
	if q.Opcode() != opcode {
		p.t.Fatalf("got %v, want opcode %#x", q, opcode)
	}
	return q
}

// send answers q with fields that every PDU of a target has.
func (p peer) send(q *PDU, opcode, flags uint8, statSN, maxCmdSN uint32, fill func(*PDU)) {
	p.t.Helper()
	r := new(PDU)
	r.BHS[0], r.BHS[1] = opcode, flags
	r.PutU32(16, q.ITT())
	r.PutU32(24, statSN)
	r.PutU32(32, maxCmdSN)
	if fill != nil {
		fill(r)
	}
	if err := p.c.Send(r); err != nil {
		p.t.Fatal(err)
	}
}

// do runs c in the background, as a test must play the target meanwhile.
func do(s *Session, c *Command) <-chan *Result {
	ch := make(chan *Result, 1)
	go func() {
		defer close(ch)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if r, err := s.Do(ctx, c); err == nil {
			ch <- r
		}
	}()
	return ch
}

func TestReadInPieces(t *testing.T) {
	for _, digests := range []bool{false, true} {
		s, p := pair(t, Params{CmdSN: 7, MaxCmdSN: 9, ExpStatSN: 3, HeaderDigest: digests, DataDigest: digests})
		got := do(s, &Command{LUN: 2, CDB: Read10(8, 1), In: 12})
		q := p.recv(OpCommand)
		if q.U32(24) != 7 || q.U32(28) != 3 || q.BHS[9] != 2 || q.U32(20) != 12 || !q.Is(0x40) {
			t.Errorf("the command is % x", q.BHS)
		}
		p.send(q, OpDataIn, 0, 0, 9, func(r *PDU) { r.Data = []byte("target") })
		p.send(q, OpDataIn, Final|0x01|0x02, 3, 9, func(r *PDU) { // S and U
			r.Data = []byte("gate")
			r.PutU32(40, 6)
			r.PutU32(44, 2)
		})
		r := <-got
		if r == nil || string(r.Data) != "targetgate" || r.Residual != 2 || r.Segments != 2 || r.Err() != nil {
			t.Errorf("digests %v: result %+v", digests, r)
		}
		if n := s.ExpStatSN(); n != 4 {
			t.Errorf("ExpStatSN is %d", n)
		}
	}
}

func TestWriteSolicited(t *testing.T) {
	s, p := pair(t, Params{MaxCmdSN: 9, MaxXmit: 8, FirstBurst: 16, ImmediateData: true})
	out := []byte("0123456789abcdefghijklmnopqrst") // 30 bytes: 8 immediate, 8 unsolicited, then R2Ts
	got := do(s, &Command{CDB: Write10(0, 1), Out: out})
	q := p.recv(OpCommand)
	if q.Is(Final) || string(q.Data) != "01234567" || q.U32(20) != 30 {
		t.Errorf("the command is %v % x", q, q.BHS)
	}
	d := p.recv(OpDataOut)
	if !d.Is(Final) || d.TTT() != NoTag || d.U32(40) != 8 || string(d.Data) != "89abcdef" {
		t.Errorf("unsolicited data is % x %q", d.BHS, d.Data)
	}
	p.send(q, OpR2T, Final, 0, 9, func(r *PDU) {
		r.PutU32(20, 77)
		r.PutU32(40, 16)
		r.PutU32(44, 14)
	})
	for i, want := range []string{"ghijklmn", "opqrst"} {
		d := p.recv(OpDataOut)
		if d.TTT() != 77 || d.U32(36) != uint32(i) || d.U32(40) != uint32(16+8*i) || string(d.Data) != want || d.Is(Final) != (i == 1) {
			t.Errorf("solicited data %d is % x %q", i, d.BHS, d.Data)
		}
	}
	p.send(q, OpResponse, Final, 0, 9, func(r *PDU) {
		r.BHS[3] = 2
		r.Data = append([]byte{0, 18, 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0}, 0, 0, 0, 0)
	})
	r := <-got
	if r == nil || r.R2Ts != 1 || r.Status != 2 || r.Key() != 5 || r.Code() != 0x2400 {
		t.Errorf("result %+v", r)
	}
}

// TestWindow holds a second command back until MaxCmdSN lets it go.
func TestWindow(t *testing.T) {
	s, p := pair(t, Params{CmdSN: 0xffffffff, MaxCmdSN: 0xffffffff})
	first := do(s, &Command{CDB: make([]byte, 6)})
	q := p.recv(OpCommand)
	second := do(s, &Command{CDB: make([]byte, 6)})
	if got, err := p.c.RecvWithin(20 * time.Millisecond); err == nil {
		t.Fatalf("%v came outside the window", got)
	}
	p.send(q, OpResponse, Final, 0, 0, nil) // the window moves over the wrap
	if r := <-first; r == nil {
		t.Fatal("no first result")
	}
	q = p.recv(OpCommand)
	if q.U32(24) != 0 {
		t.Errorf("CmdSN is %d", q.U32(24))
	}
	p.send(q, OpResponse, Final, 1, 0, nil)
	if r := <-second; r == nil {
		t.Fatal("no second result")
	}
}

func TestAnswersPing(t *testing.T) {
	s, p := pair(t, Params{CmdSN: 5, MaxCmdSN: 9})
	in := new(PDU)
	in.PutU32(16, NoTag)
	p.send(in, OpNOPIn, Final, 0, 9, func(r *PDU) { r.PutU32(20, 42); r.Data = []byte("there?") })
	q := p.recv(OpNOPOut)
	if q.TTT() != 42 || q.ITT() != NoTag || q.BHS[0]&Immediate == 0 || !bytes.Equal(q.Data, []byte("there?")) {
		t.Errorf("the answer is % x %q", q.BHS, q.Data)
	}
	if s.CmdSN() != 5 {
		t.Error("an answer took a command number")
	}
}

func TestBrokenDigest(t *testing.T) {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	c, d := NewConn(a), NewConn(b)
	d.DataDigest = true
	go func() {
		b := make([]byte, BHSLen+4+4) // data and a digest of zeros
		b[7] = 4
		c.Write(b)
	}()
	if _, err := d.RecvWithin(5 * time.Second); !errors.Is(err, ErrDigest) {
		t.Errorf("got %v", err)
	}
}

func TestLostConnectionEndsTasks(t *testing.T) {
	s, p := pair(t, Params{MaxCmdSN: 9})
	task := make(chan error, 1)
	go func() {
		_, err := s.Do(context.Background(), &Command{CDB: make([]byte, 6)})
		task <- err
	}()
	p.recv(OpCommand)
	p.c.Close()
	if err := <-task; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestExtendedCDB(t *testing.T) {
	s, p := pair(t, Params{MaxCmdSN: 9})
	cdb := make([]byte, 32)
	cdb[0], cdb[31] = 0x7f, 0xee
	do(s, &Command{CDB: cdb, In: 4})
	q := p.recv(OpCommand)
	want := append([]byte{0, 17, 1, 0}, cdb[16:]...)
	if !bytes.Equal(q.AHS, want) || q.BHS[32] != 0x7f {
		t.Errorf("AHS is % x, want % x", q.AHS, want)
	}
}

func TestCHAPVectors(t *testing.T) {
	// printf '\001secretsecret\000\001\002\003' | md5sum
	const want = "cd52a453f1dd4692442a6a1b33bec1a5"
	got, err := chapHash("5", 1, "secretsecret", []byte{0, 1, 2, 3})
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("got %x, %v, want %s", got, err, want)
	}
	for algorithm, size := range map[string]int{"5": 16, "6": 20, "7": 32, "8": 32} {
		if got, err := chapHash(algorithm, 1, "s", nil); err != nil || len(got) != size {
			t.Errorf("CHAP_A=%s: %d bytes, %v", algorithm, len(got), err)
		}
	}
	if _, err := chapHash("9", 1, "s", nil); err == nil {
		t.Error("an unknown algorithm is taken")
	}
	for _, s := range []string{"0x0102ff", "0X0102FF", "0bAQL/"} {
		if b, err := decodeBinary(s); err != nil || !bytes.Equal(b, []byte{1, 2, 255}) {
			t.Errorf("%s: % x, %v", s, b, err)
		}
	}
}
