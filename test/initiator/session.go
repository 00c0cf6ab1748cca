package initiator

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrClosed is what a task gets when its session ended before its response.
var ErrClosed = errors.New("initiator: the session is closed")

// Session is a normal or discovery session in the full feature phase. Its methods
// may be called from many goroutines; one goroutine of its own reads.
type Session struct {
	Conn   *Conn
	Params *Params

	// OnAsync is called with each Asynchronous Message and each Reject that names
	// no task. It is set before the first command.
	OnAsync func(*PDU)

	send sync.Mutex // held from numbering a command to its last immediate byte

	mu        sync.Mutex
	window    *sync.Cond // MaxCmdSN moved, or err is set
	cmdSN     uint32
	maxCmdSN  uint32
	expStatSN uint32
	nextITT   uint32
	tasks     map[uint32]*Task
	err       error

	done chan struct{} // closed when the reader ends
}

// NewSession takes over c after a login.
func NewSession(c *Conn, p *Params) *Session {
	s := &Session{Conn: c, Params: p, cmdSN: p.CmdSN, maxCmdSN: p.MaxCmdSN, expStatSN: p.ExpStatSN,
		nextITT: 1, tasks: map[uint32]*Task{}, done: make(chan struct{})}
	s.window = sync.NewCond(&s.mu)
	go s.read()
	return s
}

// Task is a request that waits for its response.
type Task struct {
	ITT uint32

	s     *Session
	in    int // bytes expected
	out   []byte
	r2t   chan *PDU
	res   Result
	err   error
	final *PDU // the response
	done  chan struct{}
	sn    uint32 // CmdSN
}

// CmdSN is the number that the request was sent with.
func (t *Task) CmdSN() uint32 { return t.sn }

// maxR2T bounds the R2Ts of one task that wait to be answered; DefaultKeys allow 8.
const maxR2T = 64

// start registers a task, numbers p and sends it, followed by more. A request
// without the immediate bit waits for room in the CmdSN window.
func (s *Session) start(p *PDU, t *Task, more func() error) error {
	s.send.Lock()
	defer s.send.Unlock()
	immediate := p.BHS[0]&Immediate != 0
	s.mu.Lock()
	for s.err == nil && !immediate && int32(s.maxCmdSN-s.cmdSN) < 0 {
		s.window.Wait()
	}
	if s.err != nil {
		s.mu.Unlock()
		return s.err
	}
	t.s, t.done = s, make(chan struct{})
	if t.ITT == 0 { // else a request that goes on with an exchange
		t.ITT = s.nextITT
		s.nextITT++
		if s.nextITT == NoTag {
			s.nextITT = 1
		}
	}
	s.tasks[t.ITT] = t
	p.PutU32(16, t.ITT)
	p.PutU32(24, s.cmdSN)
	p.PutU32(28, s.expStatSN)
	t.sn = s.cmdSN
	if !immediate {
		s.cmdSN++
	}
	s.mu.Unlock()
	err := s.Conn.Send(p)
	if err == nil && more != nil {
		err = more()
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// CmdSN is the number that the next command will carry.
func (s *Session) CmdSN() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmdSN
}

// ExpStatSN is the StatSN that the target should use next.
func (s *Session) ExpStatSN() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expStatSN
}

// Window is how many commands may be sent now.
func (s *Session) Window() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(int32(s.maxCmdSN-s.cmdSN)) + 1
}

func (s *Session) read() {
	defer close(s.done)
	for {
		p, err := s.Conn.Recv()
		if err == nil {
			err = s.take(p)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// take handles one PDU of the target.
func (s *Session) take(p *PDU) error {
	op := p.Opcode()
	s.mu.Lock()
	// MaxCmdSN only moves forward (RFC 7143, 4.2.2.1).
	if int32(p.MaxCmdSN()-s.maxCmdSN) > 0 {
		s.maxCmdSN = p.MaxCmdSN()
		s.window.Broadcast()
	}
	itt := p.ITT()
	if op == OpReject && len(p.Data) >= BHSLen {
		// The header in error is the data; its task will see no other answer.
		itt = uint32(p.Data[16])<<24 | uint32(p.Data[17])<<16 | uint32(p.Data[18])<<8 | uint32(p.Data[19])
	}
	t := s.tasks[itt]
	last := true // p ends t
	switch op {
	case OpDataIn:
		last = p.Is(0x01)
	case OpR2T:
		last = false
	case OpNOPIn:
		if itt == NoTag {
			last = false
		}
	}
	numbered := last || op == OpAsync
	if numbered && p.StatSN() == s.expStatSN {
		s.expStatSN++
	}
	if t != nil && last {
		delete(s.tasks, itt)
	}
	s.mu.Unlock()

	switch {
	case op == OpNOPIn && itt == NoTag:
		if p.TTT() != NoTag {
			go s.answerNOP(p)
		}
	case t == nil:
		if op != OpAsync && op != OpReject {
			return fmt.Errorf("initiator: %v belongs to no task", p)
		}
		if s.OnAsync != nil {
			s.OnAsync(p)
		}
	case op == OpR2T:
		t.res.R2Ts++
		select {
		case t.r2t <- p:
		default:
			return fmt.Errorf("initiator: %v is one R2T too many", p)
		}
	default:
		t.take(p, last)
	}
	return nil
}

// answerNOP is on a goroutine of its own: the reader never waits for the
// target to read.
func (s *Session) answerNOP(in *PDU) {
	p := &PDU{Data: in.Data}
	p.BHS[0], p.BHS[1] = OpNOPOut|Immediate, Final
	copy(p.BHS[8:16], in.BHS[8:16])
	p.PutU32(16, NoTag)
	p.PutU32(20, in.TTT())
	p.PutU32(24, s.CmdSN())
	p.PutU32(28, s.ExpStatSN())
	s.Conn.Send(p) // the reader sees a broken connection
}

// fail ends the session; the error is an ErrClosed with the first cause.
func (s *Session) fail(err error) error {
	s.mu.Lock()
	if s.err == nil {
		s.err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	err = s.err
	tasks := s.tasks
	s.tasks = map[uint32]*Task{}
	s.window.Broadcast()
	s.mu.Unlock()
	s.Conn.Close() // already failed
	for _, t := range tasks {
		t.err = err
		close(t.done)
	}
	return err
}

// Done is closed when the connection has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Close drops the connection without a logout and waits for the reader.
func (s *Session) Close() error {
	err := s.Conn.Close()
	<-s.done
	return err
}

// Wait gives the response PDU of t.
func (t *Task) Wait(ctx context.Context) (*PDU, error) {
	select {
	case <-t.done:
		return t.final, t.err
	case <-ctx.Done():
		return nil, fmt.Errorf("task %#x: %w", t.ITT, ctx.Err())
	}
}

// Logout ends the session in order (reason 0, close the session) and closes the
// connection.
func (s *Session) Logout(ctx context.Context) error {
	p := new(PDU)
	p.BHS[0], p.BHS[1] = OpLogout|Immediate, Final
	t := new(Task)
	if err := s.start(p, t, nil); err != nil {
		return err
	}
	r, err := t.Wait(ctx)
	if err != nil {
		return err
	}
	s.Close() // the target may have closed first
	if r.Opcode() != OpLogoutResp || r.BHS[2] != 0 {
		return fmt.Errorf("initiator: logout answered by %v, response %d", r, r.BHS[2])
	}
	return nil
}

// Ping sends a NOP-Out with data and checks that the same data comes back.
func (s *Session) Ping(ctx context.Context, data []byte) error {
	p := &PDU{Data: data}
	p.BHS[0], p.BHS[1] = OpNOPOut|Immediate, Final
	p.PutU32(20, NoTag)
	t := new(Task)
	if err := s.start(p, t, nil); err != nil {
		return err
	}
	r, err := t.Wait(ctx)
	if err != nil {
		return err
	}
	if r.Opcode() != OpNOPIn || string(r.Data) != string(data) {
		return fmt.Errorf("initiator: NOP-Out answered by %v", r)
	}
	return nil
}

// Text sends keys in a Text Request and collects the answer, however many
// Text Responses it takes.
func (s *Session) Text(ctx context.Context, keys []Key) (*Result, error) {
	data, ttt := EncodeKeys(keys), uint32(NoTag)
	var all []byte
	var itt uint32 // one for the whole exchange (RFC 7143, 11.10.3)
	for {
		p := &PDU{Data: data}
		p.BHS[0], p.BHS[1] = OpText|Immediate, Final
		p.PutU32(20, ttt)
		t := &Task{ITT: itt}
		if err := s.start(p, t, nil); err != nil {
			return nil, err
		}
		itt = t.ITT
		r, err := t.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if r.Opcode() != OpTextResponse {
			return nil, fmt.Errorf("initiator: Text Request answered by %v, reason %#02x", r, r.BHS[2])
		}
		all = append(all, r.Data...)
		if ttt = r.TTT(); ttt == NoTag {
			return &Result{Data: all}, nil
		}
		data = nil
	}
}
