package conn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/buf"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/gateway/iscsi/login"
	"github.com/targate/targate/gateway/iscsi/pdu"
	"github.com/targate/targate/gateway/iscsi/session"
	"github.com/targate/targate/gateway/iscsi/text"
)

// ram is a disk of 512-byte blocks; every third command blocks.
type ram struct {
	mu     sync.Mutex
	data   []byte
	count  int
	inline bool // never block
}

func row(code uint8, name string, dir scsi.Dir, gate core.Gate) *core.Row {
	return &core.Row{Code: code, Action: core.NoAction, Name: name, Dir: dir, Gate: gate | core.Inline,
		Len: core.Blocks(7, 2), Usage: string([]byte{code, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0})}
}

func (d *ram) Profile() core.Profile {
	return core.Profile{Type: scsi.DirectAccess, BlockSize: func() uint32 { return 512 }, Rows: []*core.Row{
		row(0x28, "READ(10)", scsi.In, core.ReadsMedium), row(0x2a, "WRITE(10)", scsi.Out, core.WritesMedium)}}
}
func (d *ram) Attach(core.Host) error { return nil }
func (d *ram) Close() error           { return nil }

func (d *ram) Execute(c *core.Command) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count++; c.NoWait && !d.inline && d.count%3 == 0 {
		return core.ErrWouldBlock
	}
	off := int(binary.BigEndian.Uint32(c.CDB[2:])) * 512
	if off+max(c.OutLen, c.InLen) > len(d.data) {
		return sense.ErrLBA
	}
	if c.Row.Dir == scsi.Out {
		copy(d.data[off:], c.Out)
		return nil
	}
	in, err := c.Room()
	copy(in, d.data[off:])
	return err
}

// fixture makes a session over a ram disk. notify is filled in by the caller.
func fixture(t testing.TB, size int, p login.Params, pool *buf.Pool) (*session.Session, *ram, *func()) {
	d := &ram{data: make([]byte, size)}
	u, err := core.NewUnit("ram", d, core.UnitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	nx := core.NewNexus(core.InitiatorPort{Name: "iqn.2026-11.test:i"}, &core.TargetPort{})
	nx.SetLUNs(map[scsi.LUN]core.Mapping{0: {Unit: u}}, false)
	notify := new(func())
	s := session.New(session.Config{Params: p, Nexus: nx, Pool: pool, Window: 64, Budget: 16 << 20,
		CmdSN: 1, StatSN: 1, Notify: func() { (*notify)() },
		Text: &text.Exchange{Answer: func([]byte) ([]byte, error) { return nil, nil }}})
	return s, d, notify
}

func params(digests bool) login.Params {
	p := login.Defaults()
	p.HeaderDigest, p.DataDigest = digests, digests
	p.InitialR2T = false
	p.MaxRecvDataSegmentLength, p.MaxXmitDataSegmentLength = 256<<10, 64<<10
	p.FirstBurstLength, p.MaxBurstLength = 256<<10, 512<<10
	p.MaxOutstandingR2T = 4
	return p
}

// frame encodes a PDU as an initiator sends it.
func frame(h *pdu.BHS, data []byte, digests bool) []byte {
	h.SetDataLen(len(data))
	b := append([]byte(nil), h[:]...)
	if digests {
		b = binary.LittleEndian.AppendUint32(b, pdu.Digest(0, h[:]))
	}
	if len(data) == 0 {
		return b
	}
	start := len(b)
	b = append(b, data...)
	b = append(b, make([]byte, pdu.Pad(len(data)))...)
	if digests {
		b = binary.LittleEndian.AppendUint32(b, pdu.Digest(0, b[start:]))
	}
	return b
}

func scsiCommand(op byte, itt, sn uint32, lba, blocks int, flags byte) *pdu.BHS {
	h := &pdu.BHS{}
	h.SetOpcode(pdu.SCSICommand)
	h.SetFlags(flags | 1)
	h.SetITT(itt)
	h.SetCmdSN(pdu.Serial(sn))
	h.SetExpectedLen(uint32(blocks * 512))
	c := h.CDB()
	c[0] = op
	binary.BigEndian.PutUint32(c[2:], uint32(lba))
	binary.BigEndian.PutUint16(c[7:], uint16(blocks))
	return h
}

// client is the other end of a connection: it reads PDUs and checks digests.
type client struct {
	t       *testing.T
	nc      net.Conn
	digests bool
	wait    func() error // for the server's end
}

func (c *client) read() (*pdu.BHS, []byte) {
	h := &pdu.BHS{}
	must := func(b []byte) {
		if _, err := io.ReadFull(c.nc, b); err != nil {
			c.t.Fatalf("read: %v; the server: %v", err, c.wait())
		}
	}
	must(h[:])
	var d [4]byte
	if c.digests {
		must(d[:])
		if pdu.GetDigest(d[:]) != pdu.Digest(0, h[:]) {
			c.t.Fatal("header digest")
		}
	}
	n := h.DataLen()
	data := make([]byte, n+pdu.Pad(n))
	must(data)
	if c.digests && n > 0 {
		must(d[:])
		if pdu.GetDigest(d[:]) != pdu.Digest(0, data) {
			c.t.Fatal("data digest")
		}
	}
	return h, data[:n]
}

// connect runs a Conn over loopback TCP. The returned function waits for its end.
func connect(t *testing.T, digests bool) (*client, *ram, *buf.Pool, func() error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := params(digests)
	pool := buf.NewPool(64 << 20)
	s, d, notify := fixture(t, 16<<20, p, pool)
	c, err := New(srv.(*net.TCPConn), s, nil, Options{Pool: pool, HeaderDigest: digests, DataDigest: digests,
		MaxData: int(p.MaxRecvDataSegmentLength), Now: new(atomic.Int64)})
	if err != nil {
		t.Fatal(err)
	}
	*notify = c.Notify
	end := make(chan error, 1)
	go func() {
		err := c.Run()
		srv.Close()
		<-c.Shut()
		end <- err
	}()
	wait := func() error { return <-end }
	return &client{t, nc, digests, wait}, d, pool, wait
}

// TestTransfers writes and reads back lengths around every limit, in pieces cut at random
// places, with and without digests. Some commands block and are answered by workers.
func TestTransfers(t *testing.T) {
	for _, digests := range []bool{false, true} {
		name := "plain"
		if digests {
			name = "digests"
		}
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 1))
			c, d, pool, wait := connect(t, digests)
			var unit bool
			sn, itt := uint32(1), uint32(1)
			send := func(b []byte) { // in pieces, so that the framing sees every kind of break
				for len(b) > 0 {
					n := min(len(b), 1+rnd.IntN(70000))
					if _, err := c.nc.Write(b[:n]); err != nil {
						t.Fatalf("%v: %v", err, wait())
					}
					b = b[n:]
				}
			}
			for _, blocks := range []int{1, 3, 15, 16, 17, 127, 128, 129, 255, 511, 512, 513, 1500, 4000} {
				want := make([]byte, blocks*512)
				for i := range want {
					want[i] = byte(rnd.Uint32())
				}
				lba := rnd.IntN(20000)
				for { // until the unit attention of the new nexus is past
					imm := min(len(want), rnd.IntN(256<<10)/512*512)
					h := scsiCommand(0x2a, itt, sn, lba, blocks, pdu.Final|pdu.CmdWrite)
					send(frame(h, want[:imm], digests))
					st := c.writeData(h.ITT(), want, rnd)
					itt, sn = itt+1, sn+1
					if st == scsi.Good {
						break
					}
					if unit {
						t.Fatalf("WRITE of %d blocks: %v", blocks, st)
					}
					unit = true
				}
				d.mu.Lock()
				if !bytes.Equal(d.data[lba*512:][:len(want)], want) {
					t.Fatalf("%d blocks were not stored as sent", blocks)
				}
				d.mu.Unlock()
				send(frame(scsiCommand(0x28, itt, sn, lba, blocks, pdu.Final|pdu.CmdRead), nil, digests))
				if got := c.readData(); !bytes.Equal(got, want) {
					t.Fatalf("%d blocks came back different", blocks)
				}
				itt, sn = itt+1, sn+1
			}
			h := &pdu.BHS{}
			h.SetOpcode(pdu.Logout)
			h.SetFlags(pdu.Final)
			h.SetITT(itt)
			h.SetCmdSN(pdu.Serial(sn))
			send(frame(h, nil, digests))
			if r, _ := c.read(); r.Opcode() != pdu.LogoutResponse {
				t.Fatalf("%v instead of a Logout Response", r.Opcode())
			}
			if err := wait(); err != nil {
				t.Fatal(err)
			}
			if n := pool.Used(); n != 0 {
				t.Fatalf("%d bytes are still on loan", n)
			}
		})
	}
}

// writeData serves R2Ts until the response.
func (c *client) writeData(itt uint32, want []byte, rnd *rand.Rand) scsi.Status {
	for {
		r, _ := c.read()
		switch r.Opcode() {
		case pdu.SCSIResponse:
			return r.Status()
		case pdu.R2T:
			off, end := int(r.BufferOffset()), int(r.BufferOffset()+r.DesiredLen())
			for sn := uint32(0); off < end; sn++ {
				n := min(end-off, 1+rnd.IntN(256<<10))
				h := &pdu.BHS{}
				h.SetOpcode(pdu.DataOut)
				if off+n == end {
					h.SetFlags(pdu.Final)
				}
				h.SetITT(itt)
				h.SetTTT(r.TTT())
				h.SetDataSN(sn)
				h.SetBufferOffset(uint32(off))
				if _, err := c.nc.Write(frame(h, want[off:off+n], c.digests)); err != nil {
					c.t.Fatal(err)
				}
				off += n
			}
		default:
			c.t.Fatalf("%v for a WRITE", r.Opcode())
		}
	}
}

// readData collects Data-In until the status.
func (c *client) readData() (got []byte) {
	for {
		r, data := c.read()
		if r.Opcode() != pdu.DataIn {
			c.t.Fatalf("%v for a READ: %v", r.Opcode(), r.Status())
		}
		if int(r.BufferOffset()) != len(got) {
			c.t.Fatalf("offset %d after %d bytes", r.BufferOffset(), len(got))
		}
		got = append(got, data...)
		if r.Flags()&pdu.HasStatus != 0 {
			return got
		}
	}
}

// TestBadInput: what ends a connection, and that it gives back all it held.
func TestBadInput(t *testing.T) {
	huge := scsiCommand(0x2a, 1, 1, 0, 1, pdu.Final|pdu.CmdWrite)
	for _, tc := range []struct {
		name    string
		digests bool
		bytes   []byte
	}{
		{"header_digest", true, append(frame(scsiCommand(0x28, 1, 1, 0, 1, pdu.Final|pdu.CmdRead), nil, false), 1, 2, 3, 4)},
		{"data_digest", true, flipLast(frame(scsiCommand(0x2a, 1, 1, 0, 1, pdu.Final|pdu.CmdWrite), make([]byte, 512), true))},
		{"data_digest_placed", true, flipLast(frame(scsiCommand(0x2a, 1, 1, 0, 400, pdu.Final|pdu.CmdWrite), make([]byte, 400*512), true))},
		{"too_long", false, func() []byte { huge.SetDataLen(1<<24 - 1); return huge[:] }()},
		{"half_a_header", false, make([]byte, 17)},
		{"half_a_command", false, frame(scsiCommand(0x2a, 1, 1, 0, 400, pdu.Final|pdu.CmdWrite), make([]byte, 400*512), false)[:100000]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _, pool, wait := connect(t, tc.digests)
			if _, err := c.nc.Write(tc.bytes); err != nil {
				t.Fatal(err)
			}
			c.nc.(*net.TCPConn).CloseWrite()
			if err := wait(); err == nil {
				t.Fatal("the connection ended in good order")
			}
			if n := pool.Used(); n != 0 {
				t.Fatalf("%d bytes are still on loan", n)
			}
		})
	}
}

func flipLast(b []byte) []byte {
	b[len(b)-1] ^= 0xff
	return b
}

// discard is a socket that takes everything.
type discard struct{ c *Conn }

func (d discard) Control(func(uintptr)) error { return errors.ErrUnsupported }
func (d discard) Read(func(uintptr) bool) error {
	return errors.ErrUnsupported
}
func (d discard) Write(func(uintptr) bool) error {
	o := d.c.s.Out()
	for len(o.Pending()) > 0 {
		o.Sent(len(o.Pending()[0]))
	}
	return nil
}

// FuzzFraming feeds arbitrary bytes in arbitrary pieces: no panic, no memory kept.
func FuzzFraming(f *testing.F) {
	f.Add(frame(scsiCommand(0x28, 1, 1, 0, 1, pdu.Final|pdu.CmdRead), nil, false), uint16(7), false)
	f.Add(frame(scsiCommand(0x2a, 1, 1, 0, 400, pdu.Final|pdu.CmdWrite), make([]byte, 400*512), true), uint16(1000), true)
	var two []byte
	two = append(two, frame(scsiCommand(0x2a, 1, 1, 0, 4, pdu.CmdWrite), make([]byte, 512), false)...)
	out := &pdu.BHS{}
	out.SetOpcode(pdu.DataOut)
	out.SetFlags(pdu.Final)
	out.SetITT(1)
	out.SetTTT(pdu.NoTag)
	out.SetBufferOffset(512)
	two = append(two, frame(out, make([]byte, 1536), false)...)
	f.Add(two, uint16(61), false)
	for op := range byte(0x40) {
		h := scsiCommand(0, uint32(op), 1, 0, 0, pdu.Final)
		h.SetOpcode(pdu.Opcode(op))
		f.Add(frame(h, []byte("k=v\x00"), false), uint16(100), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16, digests bool) {
		pool := buf.NewPool(8 << 20)
		p := params(digests)
		s, _, notify := fixture(t, 1<<20, p, pool)
		c := &Conn{pool: pool, s: s, headerDigest: digests, dataDigest: digests,
			maxData: int(p.MaxRecvDataSegmentLength), now: new(atomic.Int64)}
		c.raw = discard{c}
		*notify = c.Notify
		c.mu.Lock()
		for len(in) > 0 && c.err == nil {
			c.acquire()
			n := c.feed(in[:min(len(in), int(step)+1)])
			if n == 0 {
				t.Fatal("no room to receive")
			}
			in = in[n:]
			c.err = c.parse()
			c.flush()
		}
		c.mu.Unlock()
		c.abandon()
		<-c.Shut()
		if n := pool.Used(); n != 0 {
			t.Fatalf("%d bytes are still on loan", n)
		}
	})
}

// feed does with b what recv does with what a socket has.
func (c *Conn) feed(b []byte) int {
	k := &c.sink
	switch {
	case k.active && k.drop > 0:
		n := min(len(b), k.drop)
		c.r, c.w = 0, 0
		k.drop -= n
		return n
	case k.active && len(k.rest) > 0:
		n := copy(k.rest, b)
		k.rest = k.rest[n:]
		return n
	}
	n := copy(c.in.B[c.w:], b)
	c.w += n
	return n
}
