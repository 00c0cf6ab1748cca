package session

import (
	"fmt"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi/pdu"
)

// inlineMax is the largest Data-In that is built in the arena, behind its header. Above
// it a buffer of its own costs less than the space it takes from other answers.
const inlineMax = 64 << 10

// immediateExtra is how many commands marked for immediate delivery, which the window does
// not count, may be outstanding beyond it.
const immediateExtra = 8

// maxR2T bounds the R2Ts of one task that are outstanding, whatever was negotiated.
const maxR2T = 8

// task is one SCSI command of a session.
type task struct {
	core.Command
	s   *Session
	itt uint32
	// expected is the initiator's Expected Data Transfer Length, of the Data-Out when
	// bidirectional.
	expected uint32
	write    bool // the W bit
	read     bool

	inline bool // runs on the goroutine of Accept, and may use the arena
	mark   int  // where the arena stood before Room
	room   bool // In lies in the arena, behind its header

	// The data phase. Data-Out arrives in order, first unsolicited, then for each R2T.
	want      int  // bytes to receive into Out
	got       int  // bytes received, of want
	unsol     bool // unsolicited Data-Out PDUs follow
	unsolGot  int  // bytes of unsolicited data so far, immediate ones included
	dataSN    uint32
	asked     int // bytes that were asked for by R2Ts, or came unsolicited
	r2tSN     uint32
	r2ts      [maxR2T]r2t // outstanding, oldest first
	nR2T      int
	failed    bool // the outcome is set; only the data phase is left to swallow
	outstands bool // in Session.tasks
	managed   bool // a function of this session aborts it with others
	single    bool // ABORT TASK of this session aborts it
	lingers   bool // aborted, and its R2Ts are still to be answered
	recycled  bool // on the free list
	holds     int  // bytes of OutBuf that count in Session.held

	tmfs []*tmfResult // functions that are answered after this task
	next *task        // free list
}

// r2t is one outstanding Ready To Transfer.
type r2t struct {
	ttt      uint32
	off, end int
}

func (s *Session) newTask() *task {
	t := s.free
	if t == nil {
		t = &task{s: s}
		t.Port = t
		return t
	}
	s.free = t.next
	t.next = nil
	t.recycled = false
	return t
}

// recycle makes t ready for another command. Its buffers have been given away.
func (s *Session) recycle(t *task) {
	t.Reset()
	t.expected, t.write, t.read = 0, false, false
	t.inline, t.room = false, false
	t.want, t.got, t.asked, t.unsolGot = 0, 0, 0, 0
	t.unsol, t.failed, t.outstands = false, false, false
	t.managed, t.single, t.lingers = false, false, false
	t.dataSN, t.r2tSN, t.nR2T = 0, 0, 0
	t.tmfs = nil
	if invariants && t.recycled {
		panic("session: a task was recycled twice")
	}
	t.recycled = true
	t.next = s.free
	s.free = t
}

// Room gives the Data-In a place: in the arena behind a header that is filled later,
// when the task runs here and the answer is one small PDU; else a buffer (core.Port).
func (t *task) Room(_ *core.Command, n int) []byte {
	s := t.s
	if t.inline && n <= inlineMax && n <= int(s.params.MaxXmitDataSegmentLength) {
		need := pdu.HeaderLen + 2*pdu.DigestLen + n + 3
		if s.out.fits(need) || n <= inlineMax/16 {
			t.mark = s.out.reserve(need)
			t.room = true
			s.out.take(pdu.HeaderLen)
			if s.out.headerDigest {
				s.out.take(pdu.DigestLen)
			}
			return s.out.take(n)
		}
	}
	b := s.pool.Get(n)
	if b == nil {
		return nil
	}
	t.InBuf = b
	return b.B
}

// dropRoom takes a Room in the arena back.
func (t *task) dropRoom() {
	if t.room {
		t.s.out.rewind(t.mark)
		t.room = false
		t.In = nil
	}
}

// Own moves the Data-Out out of the receive buffer: the command is about to leave this
// goroutine (core.Port).
func (t *task) Own(*core.Command) bool {
	t.dropRoom()
	if t.InBuf != nil {
		t.InBuf.Free()
		t.InBuf, t.In = nil, nil
	}
	t.inline = false
	if len(t.Out) > 0 && t.OutBuf == nil {
		b := t.s.pool.Get(len(t.Out))
		if b == nil {
			return false
		}
		copy(b.B, t.Out)
		t.OutBuf, t.Out = b, b.B
	}
	return true
}

// Done queues a task that ended on another goroutine (core.Port).
func (t *task) Done(*core.Command) {
	s := t.s
	if invariants && t.recycled {
		panic("session: Done of a task that was recycled")
	}
	s.mu.Lock()
	s.done = append(s.done, t)
	s.ready.Add(1)
	s.mu.Unlock()
	s.cfg.Notify()
}

// scsiCommand begins a task (RFC 7143, 11.3).
func (s *Session) scsiCommand(p *pdu.PDU) error {
	ok, err := s.number(p)
	if !ok {
		freeData(p)
		return err
	}
	if p.Immediate() && len(s.tasks) >= s.cfg.Window+immediateExtra {
		s.reject(p, pdu.RejectImmediate) // RFC 7143, 4.2.2.1
		return nil
	}
	if s.nexus == nil || s.closing {
		s.reject(p, pdu.RejectProtocol) // a discovery session carries no commands
		return nil
	}
	if len(s.tasks) != 0 && s.tasks[p.ITT()] != nil {
		s.reject(p, pdu.RejectInProgress)
		return nil
	}
	t := s.newTask()
	t.itt, t.Tag = p.ITT(), uint64(p.ITT())
	s.clock(t)
	t.expected = p.ExpectedLen()
	t.write, t.read = p.Flags()&pdu.CmdWrite != 0, p.Flags()&pdu.CmdRead != 0
	t.Path = s.nexus.Path(p.LUN())
	t.HasExpected = true
	t.ExpectedIn, t.ExpectedOut = 0, 0
	switch {
	case t.write: // of a bidirectional command, whose Data-In length comes in an AHS
		t.ExpectedOut = t.expected
	case t.read:
		t.ExpectedIn = t.expected
	}
	t.SetCDB(p.CDB())
	if len(p.AHS) > 0 {
		if err := t.extend(p); err != nil {
			s.reject(p, pdu.RejectInvalidField)
			s.recycle(t)
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
	}
	var okAttr bool
	t.Attr, okAttr = attr(p.Attr())
	if err := t.checkData(p); err != nil {
		s.reject(p, pdu.RejectProtocol)
		s.recycle(t)
		return err
	}
	switch err := t.Parse(); {
	case err != nil:
		t.fail(err)
	case !okAttr:
		t.fail(sense.New(sense.IllegalRequest, sense.InvalidMessageError))
	case p.Dropped:
		t.fail(sense.TaskSetFull)
	}
	return s.receive(t, p)
}

// extend reads the additional header segments: CDBs over 16 bytes, and the Data-In
// length of a bidirectional command.
func (t *task) extend(p *pdu.PDU) error {
	cdb, bidi, err := pdu.ParseAHS(p.AHS, append(make([]byte, 0, 64), p.CDB()...))
	if err != nil {
		return err
	}
	if len(cdb) > 16 {
		t.SetCDB(cdb)
	}
	if t.read && t.write {
		t.ExpectedIn, t.ExpectedOut = bidi, t.expected
	}
	return nil
}

// checkData refuses data segments that were not negotiated (RFC 7143, 11.3, 13.11 and 13.14).
func (t *task) checkData(p *pdu.PDU) error {
	n := p.DataLen()
	switch {
	case n > 0 && !t.write:
		return fmt.Errorf("%w: data in a command without W", ErrProtocol)
	case n > 0 && !t.s.params.ImmediateData:
		return fmt.Errorf("%w: immediate data, not negotiated", ErrProtocol)
	case n > int(t.s.params.FirstBurstLength):
		return fmt.Errorf("%w: %d bytes of immediate data, FirstBurstLength is %d", ErrProtocol, n, t.s.params.FirstBurstLength)
	case uint32(n) > t.expected:
		return fmt.Errorf("%w: %d bytes of immediate data, %d expected", ErrProtocol, n, t.expected)
	case !p.Final() && (!t.write || t.s.params.InitialR2T):
		return fmt.Errorf("%w: unsolicited data announced, not negotiated", ErrProtocol)
	}
	return nil
}

// fail sets the outcome of a task that will not run; its data phase is swallowed.
func (t *task) fail(err error) {
	t.Fail(err)
	t.failed = true
}

// receive takes the immediate data, then runs the task or begins its data phase.
func (s *Session) receive(t *task, p *pdu.PDU) error {
	if t.write {
		t.want = min(int(t.ExpectedOut), t.OutLen)
		t.unsol = !p.Final()
	}
	t.unsolGot = len(p.Data)
	if t.failed {
		freeData(p)
		if t.unsol {
			s.add(t)
			return nil
		}
		s.respond(t)
		s.recycle(t)
		return nil
	}
	if len(p.Data) >= t.want && !t.unsol { // all there: the hot path
		t.got = t.want
		t.Out, t.OutBuf = p.Data[:t.want], p.Buf
		t.inline = true
		if t.EnterAndSubmit() {
			s.respond(t)
			s.recycle(t)
		} else {
			s.add(t)
		}
		return nil
	}
	return s.collect(t, p)
}

// collect gives a task with more Data-Out to come its buffer and its place in the
// task set, and asks for the data.
func (s *Session) collect(t *task, p *pdu.PDU) error {
	b := s.pool.Get(t.want)
	if b == nil {
		freeData(p)
		t.fail(sense.TaskSetFull)
		if t.unsol {
			s.add(t)
			return nil
		}
		s.respond(t)
		s.recycle(t)
		return nil
	}
	t.OutBuf, t.Out = b, b.B
	t.got = copy(b.B, p.Data)
	freeData(p)
	t.asked = t.got
	s.add(t)
	t.holds = len(b.B)
	s.held += int64(t.holds)
	if err := t.Enter(); err != nil {
		s.dropBuffers(t)
		t.fail(err)
		if !t.unsol {
			s.finish(t)
		}
		return nil
	}
	if !t.unsol {
		s.ask(t)
	}
	return nil
}

func (s *Session) add(t *task) {
	s.tasks[t.itt] = t
	t.outstands = true
}

// ask sends as many R2Ts as were negotiated (RFC 7143, 11.8).
func (s *Session) ask(t *task) {
	limit := min(int(s.params.MaxOutstandingR2T), maxR2T)
	for t.nR2T < limit && t.asked < t.want {
		n := min(t.want-t.asked, int(s.params.MaxBurstLength))
		r := &t.r2ts[t.nR2T]
		*r = r2t{ttt: s.newTTT(), off: t.asked, end: t.asked + n}
		t.nR2T++
		h := s.out.header()
		h.SetOpcode(pdu.R2T)
		h.SetFlags(pdu.Final)
		t.Path.LUN.Put(h.LUNBytes())
		h.SetITT(t.itt)
		h.SetTTT(r.ttt)
		s.windows(h)
		h.SetDataSN(t.r2tSN)
		h.SetBufferOffset(uint32(t.asked))
		h.SetDesiredLen(uint32(n))
		s.out.endHeader(h)
		t.r2tSN++
		t.asked += n
	}
}

// Place says where the data segment of a PDU that is still arriving may be received:
// inside its task's buffer, or in a buffer of its own, which goes into the PDU. It is nil
// when there is no memory; the connection then drops the data. The place stays valid until
// the PDU is given to Accept or the session is closed, even when the task is aborted.
func (s *Session) Place(p *pdu.PDU) (data []byte) {
	n := p.DataLen()
	if p.Opcode() == pdu.DataOut {
		if t := s.tasks[p.ITT()]; t != nil && !t.failed && t.checkDataOut(p, n) == nil && t.got+n <= t.want {
			p.Placed = true
			s.placing = t
			return t.Out[t.got : t.got+n]
		}
	}
	if p.Buf = s.pool.Get(n); p.Buf == nil {
		p.Dropped = true
		return nil
	}
	return p.Buf.B
}

// checkDataOut checks p against the sequence that t is in (RFC 7143, 11.7).
func (t *task) checkDataOut(p *pdu.PDU, n int) error {
	off := int(p.BufferOffset())
	switch {
	case p.DataSN() != t.dataSN:
		return fmt.Errorf("DataSN %d, expected %d", p.DataSN(), t.dataSN)
	case t.unsol:
		if p.TTT() != pdu.NoTag {
			return fmt.Errorf("solicited data before the end of the unsolicited")
		}
		if t.unsolGot+n > int(t.s.params.FirstBurstLength) {
			return fmt.Errorf("unsolicited data beyond FirstBurstLength")
		}
		if off != t.unsolGot {
			return fmt.Errorf("buffer offset %d, expected %d", off, t.unsolGot)
		}
	case t.nR2T == 0 || p.TTT() != t.r2ts[0].ttt:
		return fmt.Errorf("no R2T with target transfer tag %#x", p.TTT())
	case off != t.r2ts[0].off || off+n > t.r2ts[0].end:
		return fmt.Errorf("bytes %d to %d, asked for %d to %d", off, off+n, t.r2ts[0].off, t.r2ts[0].end)
	case p.Final() != (off+n == t.r2ts[0].end):
		return fmt.Errorf("the F bit at byte %d of a sequence that ends at %d", off+n, t.r2ts[0].end)
	}
	return nil
}

// dataOut takes one Data-Out PDU in.
func (s *Session) dataOut(p *pdu.PDU) error {
	s.placed()
	t := s.tasks[p.ITT()]
	if t == nil {
		if kept, err := s.keepData(p); kept {
			return err
		}
		freeData(p) // of a task that was aborted: discarded (RFC 7143, 11.5.1)
		return nil
	}
	if !t.unsol && t.nR2T == 0 {
		// Nobody asked for it: the task has all its data, or wants none, and may be running.
		freeData(p)
		return nil
	}
	n := p.DataLen()
	if !t.failed {
		err := t.checkDataOut(p, n)
		if err == nil && p.Dropped {
			err = sense.TaskSetFull
		}
		if err != nil && !s.breakData(t, err) { // aborted meanwhile: Done will finish it
			freeData(p)
			t.endSequence(p)
			return nil
		}
	}
	if t.failed {
		freeData(p)
		s.swallow(t, p)
		return nil
	}
	if room := t.want - t.got; room > 0 && !p.Placed {
		copy(t.Out[t.got:], p.Data[:min(n, room)])
	}
	t.got = min(t.got+n, t.want)
	freeData(p)
	t.dataSN++
	switch {
	case t.unsol:
		t.unsolGot += n
		t.asked = t.got
		if p.Final() {
			t.unsol, t.dataSN = false, 0
		}
	default:
		t.r2ts[0].off += n
		t.endSequence(p)
	}
	if t.unsol {
		return nil
	}
	if t.got < t.want {
		s.ask(t)
		return nil
	}
	s.submit(t)
	return nil
}

// endSequence ends the sequence that p is the last of: the unsolicited data, or the answer
// to the oldest R2T.
func (t *task) endSequence(p *pdu.PDU) {
	if !p.Final() {
		return
	}
	if t.unsol {
		t.unsol = false
	} else {
		copy(t.r2ts[:], t.r2ts[1:t.nR2T])
		t.nR2T--
	}
	t.dataSN = 0
}

// breakData ends a task whose data phase went wrong: CHECK CONDITION once the
// initiator has sent what it was asked for. False: it was aborted meanwhile.
//
// Preconditions: the data phase is not over, so the task does not run.
func (s *Session) breakData(t *task, err error) bool {
	if !t.Leave() {
		return false
	}
	if _, ok := err.(sense.Status); !ok { //nolint:errorlint // made three lines above
		err = &sense.Error{Key: sense.AbortedCommand, Code: sense.DataPhaseError, Cause: err}
	}
	s.dropBuffers(t)
	t.fail(err)
	return true
}

// swallow counts a failed task's data phase down and answers at its end.
func (s *Session) swallow(t *task, p *pdu.PDU) {
	if p.Final() {
		if t.unsol {
			t.unsol = false
		} else if t.nR2T > 0 {
			t.nR2T--
		}
	}
	if !t.unsol && t.nR2T == 0 {
		s.finish(t)
	}
}

// submit runs a task whose data has all arrived.
func (s *Session) submit(t *task) {
	t.inline = true
	if t.Submit() {
		s.finish(t)
		return
	}
	t.inline = false
}

// finish answers an outstanding task and forgets it.
func (s *Session) finish(t *task) {
	if t.managed && t.Status == scsi.TaskAborted && s.linger(t) {
		return
	}
	if t.outstands {
		delete(s.tasks, t.itt)
		t.outstands = false
	}
	s.unhold(t)
	if t.Status == scsi.TaskAborted {
		s.terminated(t)
	}
	if s.closed || t.Status == scsi.TaskAborted && !t.TellAborted {
		s.dropBuffers(t)
	} else {
		s.respond(t)
	}
	if t.lingers {
		s.lingering--
	}
	tmfs := t.tmfs
	s.recycle(t)
	s.finished(tmfs)
}

// give takes back a task whose Data-Out will never be complete. A task that was
// aborted meanwhile comes by Done.
func (s *Session) give(t *task) {
	if t.failed || t.Leave() {
		t.Status = scsi.TaskAborted
		s.finish(t)
	}
}

func (s *Session) unhold(t *task) {
	s.held -= int64(t.holds)
	t.holds = 0
}

// dropBuffers frees all that a task holds, without an answer.
func (s *Session) dropBuffers(t *task) {
	s.unhold(t)
	t.dropRoom()
	if t.Release != nil {
		t.Release.Release()
		t.Release, t.Lent = nil, nil
	}
	s.freeOut(t)
	if t.InBuf != nil {
		t.InBuf.Free()
		t.InBuf = nil
	}
}

// freeOut gives t's Data-Out buffer back, or keeps it for as long as the connection may
// still be receiving into it.
func (s *Session) freeOut(t *task) {
	switch {
	case t.OutBuf == nil:
	case s.placing == t:
		s.orphan, s.placing = t.OutBuf, nil
	default:
		t.OutBuf.Free()
	}
	t.OutBuf = nil
}

// placed ends what Place began.
func (s *Session) placed() {
	s.placing = nil
	if s.orphan != nil {
		s.orphan.Free()
		s.orphan = nil
	}
}
