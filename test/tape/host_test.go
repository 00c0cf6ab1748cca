//go:build system

package tape

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/initiator"
)

// host is an initiator port that is logged in.
type host struct {
	*initiator.Session
	t   *testing.T
	ctx context.Context
	lun uint16 // of the drive that commands of tapes go to
}

var lastName atomic.Int32

// fresh logs in under a new name, with every unit attention still there.
func fresh(t *testing.T, target string) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	s, err := initiator.Dial(ctx, initiator.Options{Addr: lab.Portal, TargetName: target,
		InitiatorName: fmt.Sprintf("iqn.2026-11.org.targate:t%d", lastName.Add(1))})
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	h := &host{Session: s, t: t, ctx: ctx, lun: lunDrive}
	t.Cleanup(func() {
		select {
		case <-s.Done():
		default:
			if s.Logout(ctx) != nil {
				s.Close()
			}
		}
	})
	return h
}

// login logs in and takes the unit attentions of every LUN.
func login(t *testing.T) *host {
	t.Helper()
	h := fresh(t, iqn)
	for lun := range uint16(drives + 1) {
		h.attentions(lun)
	}
	return h
}

// attentions takes the unit attentions of a LUN.
func (h *host) attentions(lun uint16) (codes []uint16) {
	h.t.Helper()
	for range 16 {
		r := h.do(&initiator.Command{LUN: lun, CDB: make([]byte, 6)})
		if r.Key() != 6 {
			return codes
		}
		codes = append(codes, r.Code())
	}
	h.t.Fatalf("unit attentions without end: %04x", codes)
	return nil
}

func (h *host) do(c *initiator.Command) *initiator.Result {
	h.t.Helper()
	r, err := h.Do(h.ctx, c)
	if err != nil {
		h.t.Fatalf("CDB %x: %v", c.CDB, err)
	}
	return r
}

// in, out and none send a CDB to the drive.
func (h *host) in(cdb []byte, n int) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: h.lun, CDB: cdb, In: n})
}

func (h *host) out(cdb, data []byte) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: h.lun, CDB: cdb, Out: data})
}

func (h *host) none(cdb ...byte) *initiator.Result {
	h.t.Helper()
	return h.do(&initiator.Command{LUN: h.lun, CDB: cdb})
}

// good ends the case unless r is GOOD.
func (h *host) good(r *initiator.Result) *initiator.Result {
	h.t.Helper()
	if r.Err() != nil {
		h.t.Fatalf("%s, want GOOD", outcome(r))
	}
	return r
}

// is checks an outcome in the words of steps: "good", "fm info=3", "5/2400".
func (h *host) is(r *initiator.Result, want string) {
	h.t.Helper()
	w, err := parseWant(want)
	if err != nil {
		h.t.Fatal(err)
	}
	if fault := w.check(r); fault != "" {
		h.t.Errorf("%s, want %s: %s", outcome(r), want, fault)
	}
}

// Bits of byte 2 of fixed format sense data.
const filemark, endOfMedium, incorrectLength = 0x80, 0x40, 0x20

// senseBits and information are those of fixed format sense data.
func senseBits(r *initiator.Result) byte {
	if len(r.Sense) < 3 {
		return 0
	}
	return r.Sense[2] & 0xe0
}

func information(r *initiator.Result) (int32, bool) {
	if len(r.Sense) < 7 || r.Sense[0]&0x80 == 0 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(r.Sense[3:])), true
}

// outcome describes r.
func outcome(r *initiator.Result) string {
	if r.Status == 0 && r.Response == 0 {
		return fmt.Sprintf("GOOD with %d bytes, residual %d", len(r.Data), r.Residual)
	}
	if r.Status != 2 || r.Response != 0 {
		return fmt.Sprintf("response %d, status %02x", r.Response, r.Status)
	}
	s := fmt.Sprintf("%x/%04x", r.Key(), r.Code())
	for bit, name := range map[byte]string{filemark: "FM", endOfMedium: "EOM", incorrectLength: "ILI"} {
		if senseBits(r)&bit != 0 {
			s += " " + name
		}
	}
	if n, ok := information(r); ok {
		s += fmt.Sprintf(" info=%d", n)
	}
	return s + fmt.Sprintf(" with %d bytes, residual %d", len(r.Data), r.Residual)
}

// want is what has to come of a command.
type want struct {
	status   uint8
	key      uint8
	code     uint16
	bits     byte
	info     int32
	hasInfo  bool
	noInfo   bool
	resid    int64
	hasResid bool
	anyBits  bool
}

// wants are outcomes with a name.
var wants = map[string]want{
	"good":      {},
	"fm":        {status: 2, key: 0, code: 0x0001, bits: filemark},
	"ew":        {status: 2, key: 0, code: 0x0002, bits: endOfMedium},
	"pew":       {status: 2, key: 0, code: 0x0007, bits: endOfMedium},
	"bop":       {status: 2, key: 0, code: 0x0004, bits: endOfMedium},
	"eod":       {status: 2, key: 8, code: 0x0005},
	"ili":       {status: 2, key: 0, code: 0x0000, bits: incorrectLength},
	"overflow":  {status: 2, key: 0xd, code: 0x0002, bits: endOfMedium},
	"wp":        {status: 2, key: 7, code: 0x2700},
	"worm":      {status: 2, key: 7, code: 0x300c},
	"opcode":    {status: 2, key: 5, code: 0x2000},
	"cdb":       {status: 2, key: 5, code: 0x2400},
	"parm":      {status: 2, key: 5, code: 0x2600},
	"length":    {status: 2, key: 5, code: 0x1a00},
	"sequence":  {status: 2, key: 5, code: 0x2c00},
	"nomedium":  {status: 2, key: 2, code: 0x3a00},
	"element":   {status: 2, key: 5, code: 0x2101},
	"full":      {status: 2, key: 5, code: 0x3b0d},
	"empty":     {status: 2, key: 5, code: 0x3b0e},
	"prevented": {status: 2, key: 5, code: 0x5303},
	"locked":    {status: 2, key: 5, code: 0x5302},
	"conflict":  {status: 0x18},
}

// parseWant reads "NAME" or "KEY/CODE", then of FM, EOM, ILI, info=N, noinfo, resid=N.
func parseWant(s string) (want, error) {
	f := strings.Fields(s)
	if len(f) == 0 {
		return want{}, fmt.Errorf("no outcome in %q", s)
	}
	w, ok := wants[f[0]]
	if !ok {
		w = want{status: 2}
		if _, err := fmt.Sscanf(f[0], "%x/%x", &w.key, &w.code); err != nil {
			return w, fmt.Errorf("outcome %q: %w", s, err)
		}
	}
	for _, x := range f[1:] {
		var err error
		switch {
		case x == "FM":
			w.bits |= filemark
		case x == "EOM":
			w.bits |= endOfMedium
		case x == "ILI":
			w.bits |= incorrectLength
		case x == "anybits":
			w.anyBits = true
		case x == "noinfo":
			w.noInfo = true
		case strings.HasPrefix(x, "info="):
			w.hasInfo = true
			_, err = fmt.Sscan(x[5:], &w.info)
		case strings.HasPrefix(x, "resid="):
			w.hasResid = true
			_, err = fmt.Sscan(x[6:], &w.resid)
		default:
			err = fmt.Errorf("what is %q?", x)
		}
		if err != nil {
			return w, fmt.Errorf("outcome %q: %w", s, err)
		}
	}
	return w, nil
}

// check gives what is wrong with r, "" for nothing.
func (w want) check(r *initiator.Result) string {
	info, valid := information(r)
	switch {
	case r.Response != 0 || r.Status != w.status:
		return fmt.Sprintf("status %02x", r.Status)
	case w.status == 2 && (r.Key() != w.key || r.Code() != w.code):
		return "the sense"
	case !w.anyBits && senseBits(r) != w.bits:
		return "the bits of the sense"
	case w.hasInfo && (!valid || info != w.info):
		return fmt.Sprintf("INFORMATION %d (%v)", info, valid)
	case w.noInfo && valid:
		return fmt.Sprintf("INFORMATION %d", info)
	case w.hasResid && r.Residual != w.resid:
		return fmt.Sprintf("residual %d", r.Residual)
	}
	return ""
}
