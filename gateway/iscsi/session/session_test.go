package session

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/text"
)

const testBlock = 512

// device has 16 blocks, whose writes to LBA 8 and up are held
// on a worker until the test lets them go.
type device struct {
	mu    sync.Mutex
	data  [16 * testBlock]byte
	hold  [16]chan struct{} // by LBA
	begun chan struct{}     // one entry for each held command that runs

}

func row(code uint8, name string, dir scsi.Dir, gate core.Gate, length core.Rule) *core.Row {
	usage := make([]byte, 10)
	usage[0] = code
	for i := 2; i < 9; i++ {
		usage[i] = 0xff
	}
	return &core.Row{Code: code, Action: core.NoAction, Name: name, Dir: dir, Gate: gate, Len: length, Usage: string(usage)}
}

// bidirectional gives r a Data-In as long as its Data-Out.
func bidirectional(r *core.Row) *core.Row {
	r.LenIn = r.Len
	return r
}

func (d *device) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, BlockSize: func() uint32 { return testBlock },
		Rows: []*core.Row{
			row(0x28, "READ(10)", scsi.In, core.ReadsMedium|core.Inline, core.Blocks(7, 2)),
			row(0x2a, "WRITE(10)", scsi.Out, core.WritesMedium|core.Inline, core.Blocks(7, 2)),
			bidirectional(row(0x53, "XDWRITEREAD(10)", scsi.Both, core.WritesMedium|core.Inline, core.Blocks(7, 2))),
		}}
}
func (d *device) Attach(core.Host) error { return nil }
func (d *device) Close() error           { return nil }

func (d *device) Execute(c *core.Command) error {
	lba := int(c.CDB[5])
	if lba >= 8 && lba < 16 {
		if c.NoWait {
			return core.ErrWouldBlock
		}
		d.begun <- struct{}{}
		<-d.hold[lba]
	}
	if lba >= 16 {
		return sense.ErrLBA
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.Row.Dir == scsi.Out {
		copy(d.data[lba*testBlock:], c.Out)
		return nil
	}
	in, err := c.Room()
	copy(in, d.data[lba*testBlock:])
	if c.Row.Dir == scsi.Both { // the old data comes back
		copy(d.data[lba*testBlock:], c.Out)
	}
	if lba == 6 && err == nil { // data, and a status that cannot ride on it
		c.DataValid = true
		return sense.New(sense.RecoveredError, sense.NoAdditionalSense)
	}
	return err
}

// lab is a session under test, with what a connection would do for it.
type lab struct {
	t    *testing.T
	s    *Session
	dev  *device
	pool *buf.Pool
	unit *core.Unit
	cold bool // the hook of TARGET COLD RESET was called
	late *latePort
	wake chan struct{}
	err  error
}

func (l *lab) start(args []datadriven.CmdArg) {
	p := login.Defaults()
	p.ImmediateData, p.InitialR2T = true, false
	p.MaxRecvDataSegmentLength, p.MaxXmitDataSegmentLength = 8192, 8192
	window, limit := 8, int64(1<<20)
	discovery := false
	for _, a := range args {
		n, _ := strconv.Atoi(a.Vals[0])
		switch a.Key {
		case "immediate":
			p.ImmediateData = a.Vals[0] == "yes"
		case "initialr2t":
			p.InitialR2T = a.Vals[0] == "yes"
		case "maxxmit":
			p.MaxXmitDataSegmentLength = uint32(n)
		case "maxburst":
			p.MaxBurstLength = uint32(n)
		case "firstburst":
			p.FirstBurstLength = uint32(n)
		case "r2ts":
			p.MaxOutstandingR2T = uint16(n)
		case "window":
			window = n
		case "pool":
			limit = int64(n)
		case "level":
			p.ProtocolLevel = uint8(n)
		case "reporting":
			p.TaskReporting = login.FastAbort
		case "discovery":
			discovery = true
		case "digests":
			p.HeaderDigest, p.DataDigest = true, true
		default:
			l.t.Fatalf("unknown option %s", a.Key)
		}
	}
	l.pool = buf.NewPool(limit)
	l.dev = &device{begun: make(chan struct{}, 64)}
	for i := range l.dev.hold {
		l.dev.hold[i] = make(chan struct{})
	}
	u, err := core.NewUnit("disk", l.dev, core.UnitOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.unit = u
	nx := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.test:i"}, &core.TargetPort{})
	nx.SetLUNs(map[scsi.LUN]core.Mapping{0: {Unit: u}, 1: {Unit: u, ReadOnly: true}}, false)
	for _, p := range nx.Paths() { // the map is new, not changed
		drainUA(p)
	}
	wake := make(chan struct{}, 64) // of this session alone: a worker may still tell the one before
	l.wake = wake
	if discovery {
		nx = nil
	}
	l.s = New(Config{Params: p, Nexus: nx, Pool: l.pool, Window: window, Budget: 1 << 20,
		CmdSN: 1, StatSN: 100, Notify: func() { wake <- struct{}{} },
		Text: &text.Exchange{Answer: func(q []byte) ([]byte, error) {
			return append([]byte("Answer="), q...), nil
		}}, ColdReset: func() { l.cold = true }})
	if nx != nil {
		nx.Watch(l.s.Attention)
	}
	l.err = nil
}

// other is a task management function of another initiator.
func (l *lab) other(fn string) {
	nx := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.test:other"}, &core.TargetPort{})
	nx.SetLUNs(map[scsi.LUN]core.Mapping{0: {Unit: l.unit}}, false)
	done := func() {}
	switch fn {
	case "clear":
		nx.Path(0).ClearTaskSet(done)
	case "reset":
		nx.Path(0).Reset(done)
	}
	nx.Close()
	l.err = l.s.Drain()
}

// drain waits until there is something for Drain.
func (l *lab) drain() {
	for !l.s.HasDone() {
		<-l.wake
	}
	l.err = l.s.Drain()
}

// drainUA takes pending unit attentions as REQUEST SENSE does.
func drainUA(p *core.Path) {
	for range 4 {
		c := &core.Command{Path: p, Port: nullPort{}}
		c.SetCDB([]byte{0x03, 0, 0, 0, 18, 0})
		if err := c.Parse(); err != nil {
			panic(err)
		}
		c.EnterAndSubmit()
	}
}

// latePort keeps a task that has ended on a worker from the session until it is let go.
type latePort struct {
	*task
	ended, let chan struct{}
}

func (p *latePort) Done(c *core.Command) {
	close(p.ended)
	<-p.let
	c.Port = p.task
	p.task.Done(c)
}

// end lets the held command at lba end, unnoticed by the session.
func (l *lab) end(lba int) {
	for _, t := range l.s.tasks {
		if int(t.CDB[5]) == lba {
			l.late = &latePort{t, make(chan struct{}), make(chan struct{})}
			t.Port = l.late
		}
	}
	l.dev.hold[lba] <- struct{}{}
	<-l.late.ended
}

type nullPort struct{}

func (nullPort) Room(_ *core.Command, n int) []byte { return make([]byte, n) }
func (nullPort) Own(*core.Command) bool             { return true }
func (nullPort) Done(*core.Command)                 {}

// fields of one input line: "name k=v ...".
type line map[string]string

func (f line) num(k string, def uint32) uint32 {
	v, ok := f[k]
	if !ok {
		return def
	}
	n, err := strconv.ParseUint(v, 0, 32)
	if err != nil {
		panic(fmt.Sprintf("%s=%s: %v", k, v, err))
	}
	return uint32(n)
}

func parseLine(s string) (string, line) {
	w := strings.Fields(s)
	f := line{}
	for _, a := range w[1:] {
		k, v, _ := strings.Cut(a, "=")
		f[k] = v
	}
	return w[0], f
}

// pattern is n bytes that tell where they came from.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed
	}
	return b
}

// build makes a PDU of one input line.
func build(name string, f line) *pdu.PDU {
	p := &pdu.PDU{BHS: &pdu.BHS{}}
	h := p.BHS
	op := map[string]pdu.Opcode{"nop": pdu.NopOut, "read": pdu.SCSICommand, "write": pdu.SCSICommand,
		"cdb": pdu.SCSICommand, "dataout": pdu.DataOut, "tmf": pdu.TaskMgmt, "logout": pdu.Logout,
		"text": pdu.TextRequest, "snack": pdu.SNACK, "opcode": pdu.Opcode(f.num("code", 0))}[name]
	h.SetOpcode(op)
	if _, ok := f["i"]; ok {
		h[0] |= 0x40
	}
	h.SetITT(f.num("itt", pdu.NoTag))
	h.SetTTT(f.num("ttt", pdu.NoTag))
	h.SetCmdSN(pdu.Serial(f.num("sn", 0)))
	h[9] = byte(f.num("lun", 0))
	flags := byte(pdu.Final)
	if f.num("final", 1) == 0 {
		flags = 0
	}
	var data []byte
	if v, ok := f["data"]; ok {
		data = []byte(v)
	}
	if n := f.num("len", 0); n > 0 {
		data = pattern(int(n), byte(f.num("fill", 0xaa)))
	}
	switch name {
	case "read", "write":
		blocks := f.num("blocks", 1)
		h.SetExpectedLen(f.num("edtl", blocks*testBlock))
		cdb := h.CDB()
		cdb[0] = map[string]byte{"read": 0x28, "write": 0x2a}[name]
		cdb[5], cdb[7], cdb[8] = byte(f.num("lba", 0)), byte(blocks>>8), byte(blocks)
		flags |= map[string]byte{"read": pdu.CmdRead, "write": pdu.CmdWrite}[name] | byte(f.num("attr", 1))
	case "cdb":
		b, err := hex.DecodeString(f["hex"])
		if err != nil {
			panic(err)
		}
		copy(h.CDB(), b)
		if p.AHS, err = hex.DecodeString(f["ahs"]); err != nil {
			panic(err)
		}
		h.SetExpectedLen(f.num("edtl", 0))
		flags |= byte(f.num("flags", pdu.CmdRead)) | 1
	case "dataout":
		h.SetDataSN(f.num("datasn", 0))
		h.SetBufferOffset(f.num("off", 0))
	case "tmf":
		flags |= byte(f.num("fn", 1))
		h.SetReferencedTag(f.num("rtt", pdu.NoTag))
		h.SetRefCmdSN(pdu.Serial(f.num("refsn", 0)))
	case "logout":
		flags |= byte(f.num("reason", 0))
		h[20], h[21] = 0, byte(f.num("cid", 0))
	case "text":
		if f.num("c", 0) == 1 {
			flags = pdu.Continue
		}
	}
	h.SetFlags(flags)
	h.SetDataLen(len(data))
	p.Data = data
	return p
}

// output prints and forgets what waits to be sent.
func (l *lab) output() string {
	var b []byte
	o := l.s.Out()
	for _, v := range o.Pending() {
		b = append(b, v...)
	}
	o.Sent(len(b))
	var out strings.Builder
	for len(b) > 0 {
		h := pdu.View(b)
		fmt.Fprintf(&out, "%v", h.Opcode())
		n := pdu.HeaderLen
		if l.s.params.HeaderDigest {
			if pdu.GetDigest(b[n:]) != pdu.Digest(0, b[:n]) {
				fmt.Fprintf(&out, " BAD HEADER DIGEST")
			}
			n += 4
		}
		data := b[n : n+h.DataLen()]
		end := n + len(data) + pdu.Pad(len(data))
		if l.s.params.DataDigest && len(data) > 0 {
			if pdu.GetDigest(b[end:]) != pdu.Digest(0, b[n:end]) {
				fmt.Fprintf(&out, " BAD DATA DIGEST")
			}
			end += 4
		}
		b = b[end:]
		show(&out, h, data)
		out.WriteByte('\n')
	}
	if l.cold {
		out.WriteString("the other sessions end\n")
		l.cold = false
	}
	if l.err != nil {
		fmt.Fprintf(&out, "error: %v\n", l.err)
		l.err = nil
	}
	return out.String()
}

func show(w *strings.Builder, h *pdu.BHS, data []byte) {
	if h.Final() {
		w.WriteString(" F")
	}
	if h.ITT() != pdu.NoTag {
		fmt.Fprintf(w, " itt=%d", h.ITT())
	}
	switch h.Opcode() {
	case pdu.DataIn:
		fmt.Fprintf(w, " sn=%d off=%d", h.DataSN(), h.BufferOffset())
		if h.Flags()&pdu.HasStatus != 0 {
			fmt.Fprintf(w, " S %v statsn=%d", h.Status(), h.StatSN())
			residuals(w, h)
		}
	case pdu.SCSIResponse:
		fmt.Fprintf(w, " %v statsn=%d", h.Status(), h.StatSN())
		if n := h.DataSN(); n != 0 {
			fmt.Fprintf(w, " expdatasn=%d", n)
		}
		residuals(w, h)
		if len(data) > 0 {
			e, err := sense.Parse(data[2:])
			fmt.Fprintf(w, " sense=[%v]", e)
			if err != nil {
				fmt.Fprintf(w, " BAD SENSE %v", err)
			}
			data = nil
		}
	case pdu.R2T:
		fmt.Fprintf(w, " ttt=%d r2tsn=%d off=%d len=%d", h.TTT(), h.DataSN(), h.BufferOffset(), h.DesiredLen())
	case pdu.Reject:
		fmt.Fprintf(w, " reason=%#02x of=%v statsn=%d", h.Response(), pdu.View(data).Opcode(), h.StatSN())
		data = nil
	case pdu.TextResponse:
		if h.TTT() != pdu.NoTag {
			fmt.Fprintf(w, " ttt=%d", h.TTT())
		}
		fmt.Fprintf(w, " statsn=%d text=%q", h.StatSN(), data)
		data = nil
	case pdu.NopIn:
		if h.TTT() != pdu.NoTag {
			fmt.Fprintf(w, " ttt=%d", h.TTT())
		}
		fmt.Fprintf(w, " statsn=%d", h.StatSN())
	case pdu.Async:
		fmt.Fprintf(w, " lun=%d event=%d params=%v statsn=%d", h.LUN(), h[36],
			[]byte(h[38:44]), h.StatSN())
		if len(data) > 0 {
			e, err := sense.Parse(data[2:])
			fmt.Fprintf(w, " sense=[%v]", e)
			if err != nil || int(data[0])<<8|int(data[1]) != len(data)-2 {
				fmt.Fprintf(w, " BAD SENSE %v", err)
			}
			data = nil
		}
	case pdu.TaskMgmtResp:
		fmt.Fprintf(w, " response=%d statsn=%d", h.Response(), h.StatSN())
		if info := h[8:11]; info[0] != 0 {
			fmt.Fprintf(w, " info=%x", info)
		}
	default:
		fmt.Fprintf(w, " response=%d statsn=%d", h.Response(), h.StatSN())
	}
	fmt.Fprintf(w, " exp=%d max=%d", h.ExpCmdSN(), h.MaxCmdSN())
	if len(data) > 0 {
		w.WriteString(" data=" + runs(data))
	}
}

// runs shows data as runs of equal bytes, or as text.
func runs(data []byte) string {
	if len(data) < 32 {
		return fmt.Sprintf("%q", data)
	}
	var parts []string
	for len(data) > 0 {
		n := 1
		for n < len(data) && data[n] == data[0] {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d*%02x", n, data[0]))
		data = data[n:]
	}
	return strings.Join(parts, ",")
}

func residuals(w *strings.Builder, h *pdu.BHS) {
	if h.Flags()&pdu.Overflow != 0 {
		fmt.Fprintf(w, " overflow=%d", h.Residual())
	}
	if h.Flags()&pdu.Underflow != 0 {
		fmt.Fprintf(w, " underflow=%d", h.Residual())
	}
	if h.Opcode() != pdu.SCSIResponse {
		return
	}
	if h.Flags()&pdu.BidiOverflow != 0 {
		fmt.Fprintf(w, " readoverflow=%d", binary.BigEndian.Uint32(h[40:]))
	}
	if h.Flags()&pdu.BidiUnderflow != 0 {
		fmt.Fprintf(w, " readunderflow=%d", binary.BigEndian.Uint32(h[40:]))
	}
}

// TestSession runs the exchanges of testdata: PDUs in, PDUs out.
//
//	new [option=value ...]   a fresh session: CmdSN 1, StatSN 100, window 8, a disk of
//	                         16 blocks of 512 at LUN 0, read only at LUN 1
//	send                     one PDU a line; what is queued comes out
//	running n=N              waits until N held commands run
//	let lba=N                lets the one at LBA N go and answers it
//	end lba=N                lets it go, and the session does not hear of its end yet
//	hear                     now it does, and answers it
//	ping                     the housekeeper's NOP-In
//	tick                     the housekeeper's clock
//	other fn=clear|reset     CLEAR TASK SET or LOGICAL UNIT RESET of another initiator
//	capacity                 the capacity of the disk changes, which LUN 1 knows
//	logout, drop             an administrator asks for it
//	close                    the connection is lost; prints what is still outstanding
func TestSession(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		l := &lab{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				l.start(d.CmdArgs)
				return ""
			case "send":
				for _, s := range strings.Split(strings.TrimSpace(d.Input), "\n") {
					name, f := parseLine(s)
					if err := l.s.Accept(build(name, f)); err != nil {
						l.err = err
						break
					}
				}
				return l.output()
			case "running":
				var n int
				d.ScanArgs(t, "n", &n)
				for range n {
					<-l.dev.begun
				}
				return l.output()
			case "let":
				var lba int
				d.ScanArgs(t, "lba", &lba)
				left := l.s.Outstanding() - 1
				l.dev.hold[lba] <- struct{}{}
				for l.s.Outstanding() > left && l.err == nil {
					<-l.wake
					l.err = l.s.Drain()
				}
				return l.output()
			case "end":
				var lba int
				d.ScanArgs(t, "lba", &lba)
				l.end(lba)
				return l.output()
			case "hear":
				close(l.late.let)
				l.drain()
				return l.output()
			case "ping":
				ok := l.s.Ping()
				return fmt.Sprintf("%v\n%s", ok, l.output())
			case "tick":
				l.s.Tick()
				return l.output()
			case "other":
				l.other(d.CmdArgs[0].Vals[0])
				return l.output()
			case "capacity":
				l.unit.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged), l.s.nexus.Path(1))
				l.drain()
				return l.output()
			case "logout":
				l.s.RequestLogout(5)
				l.drain()
				return l.output()
			case "drop":
				l.s.Drop()
				l.drain()
				return l.output()
			case "close":
				quiet := l.s.Close()
				var out strings.Builder
				select {
				case <-quiet:
					out.WriteString("quiet\n")
				default:
					fmt.Fprintf(&out, "waits for %d\n", l.s.Outstanding())
				}
				fmt.Fprintf(&out, "%d bytes on loan\n", l.pool.Used())
				return out.String()
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}
