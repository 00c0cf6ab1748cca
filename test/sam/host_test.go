//go:build system

package sam

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/initiator"
)

// SCSI status codes (SAM-6, 5.3.1).
const (
	good      = 0x00
	checkCond = 0x02
	busy      = 0x08
	conflict  = 0x18
	setFull   = 0x28
	acaActive = 0x30
	aborted   = 0x40
)

// Sense keys (SPC-6, 4.4.8).
const (
	noSense       = 0x0
	notReady      = 0x2
	mediumError   = 0x3
	hardwareError = 0x4
	illegal       = 0x5
	attention     = 0x6
	protect       = 0x7
	abortedCmd    = 0xb
	miscompare    = 0xe
)

// Additional sense codes.
const (
	invalidOpcode  = 0x2000
	lbaOutOfRange  = 0x2100
	invalidCDB     = 0x2400
	noSuchLU       = 0x2500
	invalidParam   = 0x2600
	paramLength    = 0x1a00
	powerOn        = 0x2900
	powerOnOnly    = 0x2901
	busReset       = 0x2903
	modeChanged    = 0x2a01
	capacityChange = 0x2a09
	cleared        = 0x2f00
	lunsChanged    = 0x3f0e
	dataPhase      = 0x4b00
)

// host is an initiator port logged in to the server.
type host struct {
	*initiator.Session
	t    *testing.T
	name string
	ctx  context.Context

	mu    sync.Mutex
	async []*initiator.PDU
	woken chan struct{} // has one when async grew
}

var lastName atomic.Int32

// newName is an initiator name that no case had before.
func newName() string { return fmt.Sprintf("iqn.2026-11.org.targate:i%d", lastName.Add(1)) }

// option changes how a host logs in.
type option func(*initiator.Options)

func to(target string) option  { return func(o *initiator.Options) { o.TargetName = target } }
func at(portal string) option  { return func(o *initiator.Options) { o.Addr = portal } }
func named(name string) option { return func(o *initiator.Options) { o.InitiatorName = name } }
func isid(last byte) option {
	return func(o *initiator.Options) { o.ISID = [6]byte{0x80, 1, 2, 3, 0, last} }
}
func digests(h, d string) option {
	return func(o *initiator.Options) { o.HeaderDigest, o.DataDigest = h, d }
}
func keys(kv ...string) option {
	return func(o *initiator.Options) {
		for i := 0; i < len(kv); i += 2 {
			o.Keys = append(o.Keys, initiator.Key{Name: kv[i], Value: kv[i+1]})
		}
	}
}

func options(opts ...option) initiator.Options {
	o := initiator.Options{Addr: lab.Portal, InitiatorName: newName(), TargetName: iqn}
	for _, f := range opts {
		f(&o)
	}
	return o
}

// fresh logs in, with every unit attention still there.
func fresh(t *testing.T, opts ...option) *host {
	t.Helper()
	h, err := connect(t, opts...)
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return h
}

// later logs in on another goroutine: the server holds the login back.
func later(t *testing.T, opts ...option) (result func() *host, done <-chan struct{}) {
	var h *host
	var err error
	end := make(chan struct{})
	go func() {
		defer close(end)
		h, err = connect(t, opts...)
	}()
	return func() *host {
		t.Helper()
		<-end
		if err != nil {
			t.Fatalf("login: %v", err)
		}
		h.settle()
		return h
	}, end
}

func connect(t *testing.T, opts ...option) (*host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	o := options(opts...)
	c, err := initiator.Connect(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	p, err := initiator.Login(c, o)
	if err != nil {
		c.Close() // err is the story
		return nil, err
	}
	h := &host{t: t, name: o.InitiatorName, ctx: ctx, woken: make(chan struct{}, 1)}
	h.Session = initiator.NewSession(c, p)
	h.OnAsync = func(p *initiator.PDU) {
		h.mu.Lock()
		h.async = append(h.async, p)
		h.mu.Unlock()
		select {
		case h.woken <- struct{}{}:
		default: // the reader of responses never waits
		}
	}
	t.Cleanup(func() {
		select {
		case <-h.Done():
		default:
			// In good order, or the server would slow the next logins down.
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			if err := h.Logout(ctx); err != nil {
				t.Logf("logout: %v", err)
				h.Close()
			}
		}
	})
	return h, nil
}

// login logs in and clears the unit attentions of every LUN.
func login(t *testing.T, opts ...option) *host {
	t.Helper()
	h := fresh(t, opts...)
	h.settle()
	return h
}

// settle clears all unit attentions.
func (h *host) settle() {
	h.t.Helper()
	luns, err := h.LUNs(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, l := range luns {
		for range 16 {
			if r := h.sense(l); r.Code() == 0 || r.Code() == noSuchLU {
				break
			}
		}
	}
}

// sense is REQUEST SENSE; the sense data is in Sense as if it came by itself.
func (h *host) sense(lun uint16) *initiator.Result {
	h.t.Helper()
	r := h.in(lun, []byte{0x03, 0, 0, 0, 252, 0}, 252)
	h.good(r)
	r.Sense = r.Data
	return r
}

func (h *host) do(c *initiator.Command) *initiator.Result {
	h.t.Helper()
	r, err := h.Do(h.ctx, c)
	if err != nil {
		h.t.Fatalf("CDB %x: %v", c.CDB, err)
	}
	return r
}

func (h *host) start(c *initiator.Command) *initiator.Task {
	h.t.Helper()
	task, err := h.Start(c)
	if err != nil {
		h.t.Fatalf("CDB %x: %v", c.CDB, err)
	}
	return task
}

func (h *host) wait(task *initiator.Task) *initiator.Result {
	h.t.Helper()
	if _, err := task.Wait(h.ctx); err != nil {
		h.t.Fatal(err)
	}
	return task.Result()
}

// final is the response PDU of a task.
func (h *host) final(task *initiator.Task) *initiator.PDU {
	h.t.Helper()
	p, err := task.Wait(h.ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *host) in(lun uint16, cdb []byte, n int) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: lun, CDB: cdb, In: n})
}

func (h *host) out(lun uint16, cdb, data []byte) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: lun, CDB: cdb, Out: data})
}

func (h *host) none(lun uint16, cdb []byte) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: lun, CDB: cdb})
}

// tmf carries out a function and checks its response.
func (h *host) tmf(function uint8, lun uint16, task *initiator.Task, want uint8) {
	h.t.Helper()
	tag, sn := uint32(initiator.NoTag), uint32(0)
	if task != nil {
		tag, sn = task.ITT, task.CmdSN()
	}
	got, err := h.TMF(h.ctx, function, lun, tag, sn)
	if err != nil {
		h.t.Fatal(err)
	}
	if got != want {
		h.t.Errorf("function %d: response %d, want %d", function, got, want)
	}
}

func (h *host) good(r *initiator.Result) {
	h.t.Helper()
	if err := r.Err(); err != nil {
		h.t.Fatalf("not GOOD: %v", err)
	}
}

// fails checks that r is CHECK CONDITION with key and code.
func (h *host) fails(r *initiator.Result, key uint8, code uint16) {
	h.t.Helper()
	if r.Status != checkCond || r.Key() != key || r.Code() != code {
		h.t.Errorf("status %#02x sense %x/%04x, want CHECK CONDITION %x/%04x", r.Status, r.Key(), r.Code(), key, code)
	}
}

// is checks the status of r.
func (h *host) is(r *initiator.Result, status uint8) {
	h.t.Helper()
	if r.Status != status {
		h.t.Errorf("status %#02x (sense %x/%04x), want %#02x", r.Status, r.Key(), r.Code(), status)
	}
}

// residual checks the residual of r, negative for an overflow.
func (h *host) residual(r *initiator.Result, want int64) {
	h.t.Helper()
	if r.Residual != want {
		h.t.Errorf("residual %d, want %d", r.Residual, want)
	}
}

// write fills n blocks of 512 bytes at lba with b.
func (h *host) write(lun uint16, lba, n int, b byte) {
	h.t.Helper()
	h.good(h.out(lun, write10(lba, n), fill(n, b)))
}

// holds checks that n blocks of 512 bytes at lba are all b.
func (h *host) holds(lun uint16, lba, n int, b byte) {
	h.t.Helper()
	r := h.in(lun, read10(lba, n), 512*n)
	h.good(r)
	if !bytes.Equal(r.Data, fill(n, b)) {
		h.t.Errorf("blocks %d to %d are not all %#02x", lba, lba+n-1, b)
	}
}

func fill(n int, b byte) []byte { return bytes.Repeat([]byte{b}, 512*n) }

// attentions takes all unit attentions of a LUN by TEST UNIT READY.
func (h *host) attentions(lun uint16) []uint16 {
	h.t.Helper()
	var all []uint16
	for range 16 {
		r := h.none(lun, tur)
		if r.Status == good {
			return all
		}
		if r.Key() != attention {
			h.t.Fatalf("TEST UNIT READY: %v", r.Err())
		}
		all = append(all, r.Code())
	}
	h.t.Fatalf("unit attentions without end: %04x", all)
	return nil
}

// told checks the unit attentions of a LUN, in order.
func (h *host) told(lun uint16, want ...uint16) {
	h.t.Helper()
	if got := h.attentions(lun); !slices.Equal(got, want) {
		h.t.Errorf("unit attentions %04x, want %04x", got, want)
	}
}

// soonGood repeats c while it ends with status: a lost nexus is gone a moment after its
// Logout Response.
func (h *host) soonGood(c *initiator.Command, status uint8) {
	h.t.Helper()
	for {
		r := h.do(c)
		if r.Status != status {
			h.good(r)
			return
		}
	}
}

// hits repeats TEST UNIT READY until a unit attention comes, which is code and the only one.
func (h *host) hits(lun uint16, code uint16) {
	h.t.Helper()
	for {
		switch got := h.attentions(lun); {
		case len(got) == 0 && h.ctx.Err() == nil:
		case len(got) == 1 && got[0] == code:
			return
		default:
			h.t.Fatalf("unit attentions %04x, want %04x", got, code)
		}
	}
}

// refused checks that a login ends with status class and detail.
func refused(t *testing.T, class, detail uint8, opts ...option) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s, err := initiator.Dial(ctx, options(opts...))
	if err == nil {
		s.Logout(ctx)
		t.Fatal("the login was not refused")
	}
	var e *initiator.LoginError
	if !errors.As(err, &e) || e.Class != class || e.Detail != detail {
		t.Errorf("got %v, want status %02x/%02x", err, class, detail)
	}
}

// CDBs.
var (
	tur = make([]byte, 6)
)

func read10(lba, n int) []byte  { return initiator.Read10(uint32(lba), uint16(n)) }
func write10(lba, n int) []byte { return initiator.Write10(uint32(lba), uint16(n)) }

// cdb10, cdb12 and cdb16 have an LBA at byte 2 and a length at the end.
func cdb10(op, flags byte, lba uint32, n uint16) []byte {
	b := make([]byte, 10)
	b[0], b[1] = op, flags
	binary.BigEndian.PutUint32(b[2:], lba)
	binary.BigEndian.PutUint16(b[7:], n)
	return b
}

func cdb12(op, flags byte, lba, n uint32) []byte {
	b := make([]byte, 12)
	b[0], b[1] = op, flags
	binary.BigEndian.PutUint32(b[2:], lba)
	binary.BigEndian.PutUint32(b[6:], n)
	return b
}

func cdb16(op, flags byte, lba uint64, n uint32) []byte {
	b := make([]byte, 16)
	b[0], b[1] = op, flags
	binary.BigEndian.PutUint64(b[2:], lba)
	binary.BigEndian.PutUint32(b[10:], n)
	return b
}

// inquiry asks for a VPD page, or for the standard data with page < 0.
func inquiry(page, length int) []byte {
	if page < 0 {
		return []byte{0x12, 0, 0, byte(length >> 8), byte(length), 0}
	}
	return []byte{0x12, 1, byte(page), byte(length >> 8), byte(length), 0}
}

// modeSense10 asks for a mode page; pc is 0 current, 1 changeable, 2 default, 3 saved.
func modeSense10(pc, page, sub byte, n int) []byte {
	return []byte{0x5a, 0x08, pc<<6 | page, sub, 0, 0, 0, byte(n >> 8), byte(n), 0}
}

// modePage reads a mode page without header and block descriptor.
func (h *host) modePage(lun uint16, pc, page, sub byte) []byte {
	h.t.Helper()
	r := h.in(lun, modeSense10(pc, page, sub, 1024), 1024)
	h.good(r)
	if len(r.Data) < 8 {
		h.t.Fatalf("MODE SENSE(10) gave %d bytes", len(r.Data))
	}
	return r.Data[8+int(binary.BigEndian.Uint16(r.Data[6:])):]
}

// setMode writes a mode page, which is given as MODE SENSE gave it.
func (h *host) setMode(lun uint16, page []byte) *initiator.Result {
	h.t.Helper()
	p := slices.Clone(page)
	p[0] &^= 0x80 // PS is reserved here
	data := append(make([]byte, 8), p...)
	return h.out(lun, []byte{0x55, 0x10, 0, 0, 0, 0, 0, byte(len(data) >> 8), byte(len(data)), 0}, data)
}

// control changes bytes of the Control mode page for the rest of the case.
func (h *host) control(lun uint16, change func(page []byte)) {
	h.t.Helper()
	was := h.modePage(lun, 0, 0x0a, 0)
	page := slices.Clone(was)
	change(page)
	h.good(h.setMode(lun, page))
	h.t.Cleanup(func() {
		h := fresh(h.t)
		h.settle()
		if r := h.setMode(lun, was); r.Status != good {
			h.t.Errorf("the Control mode page cannot be put back: %v", r.Err())
		}
	})
}

// text joins the keys of a text answer for messages.
func text(b []byte) string {
	return strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
}
