package core_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// host is a handler that can be visited: one command lends, one replies, one writes, and
// one waits for its end.
type host struct {
	lent     []byte
	released bool
	wrote    []byte
	waiting  chan struct{} // closed when a command waits
}

const (
	visitLend, visitReply, visitWrite, visitWait = 0xc0, 0xc1, 0xc2, 0xc3 // vendor specific
)

func (h *host) Profile() core.Profile {
	row := func(code byte, dir scsi.Dir, gate core.Gate) *core.Row {
		r := &core.Row{Code: code, Action: core.NoAction, Name: "VISIT", Dir: dir, Gate: gate,
			Usage: string([]byte{code, 0, 0, 0, 0xff, 0, 0, 0, 0, 0}), Timeout: 1}
		if dir != scsi.None {
			r.Len = core.Bytes(4, 1)
		}
		return r
	}
	return core.Profile{Type: scsi.DirectAccess, Rows: []*core.Row{
		row(visitLend, scsi.In, core.ReadsMedium), row(visitReply, scsi.In, core.ReadsMedium),
		row(visitWrite, scsi.Out, core.WritesMedium), row(visitWait, scsi.None, 0),
	}}
}

func (h *host) Attach(core.Host) error { return nil }
func (h *host) Close() error           { return nil }
func (h *host) Release()               { h.released = true }

func (h *host) Execute(c *core.Command) error {
	switch c.CDB[0] {
	case visitLend:
		c.Lent = append(c.LentRoom(), h.lent[:3], h.lent[3:])
		c.Release = h
	case visitReply:
		return c.Reply([]byte("reply"))
	case visitWrite:
		h.wrote = bytes.Clone(c.Out)
	case visitWait:
		close(h.waiting)
		<-c.Done()
		return errors.New("given up")
	}
	return nil
}

func newHost(t *testing.T) (*host, *core.Path) {
	h := &host{lent: []byte("lent data"), waiting: make(chan struct{})}
	return h, coretest.NewPath(t, coretest.NewUnit(t, h, nil))
}

func cdb10(code byte) []byte { return []byte{code, 9: 0} }

// TestVisitMoves: data goes both ways, whoever has made room for it.
func TestVisitMoves(t *testing.T) {
	h, p := newHost(t)
	p.Raise(sense.New(sense.UnitAttention, sense.CapacityChanged))
	in := make([]byte, 9)
	if n, err := p.Visit(t.Context(), cdb10(visitLend), nil, in); err != nil || n != 9 || string(in) != "lent data" || !h.released {
		t.Errorf("lent: %d %v %q, released %v", n, err, in, h.released)
	}
	if n, err := p.Visit(t.Context(), cdb10(visitLend), nil, in[:4]); err != nil || n != 4 {
		t.Errorf("lent to less room: %d %v", n, err)
	}
	if n, err := p.Visit(t.Context(), cdb10(visitReply), nil, in); err != nil || n != 5 || string(in[:5]) != "reply" {
		t.Errorf("reply: %d %v %q", n, err, in)
	}
	if _, err := p.Visit(t.Context(), cdb10(visitWrite), []byte("out"), nil); err != nil || string(h.wrote) != "out" {
		t.Errorf("write: %v %q", err, h.wrote)
	}
	if uas := coretest.TakeUA(p); len(uas) != 1 {
		t.Errorf("unit attentions %v, want the one that waited", uas)
	}
	if s := p.Stats(); s.Reads < 3 || s.Writes != 1 {
		t.Errorf("counted: %+v", s)
	}
}

// TestVisitRefused: a visit gets no further than a command of the initiator.
func TestVisitRefused(t *testing.T) {
	h, p := newHost(t)
	if _, err := p.Visit(t.Context(), cdb10(0x5f), nil, nil); !errors.Is(err, sense.ErrInvalidOpcode) {
		t.Errorf("unknown command: %v", err)
	}
	ro := coretest.NewPathAt(t, coretest.Target, core.Mapping{Unit: p.Unit(), ReadOnly: true})
	if _, err := ro.Visit(t.Context(), cdb10(visitWrite), []byte("out"), nil); !errors.Is(err, sense.ErrWriteProtected) || h.wrote != nil {
		t.Errorf("read-only mapping: %v", err)
	}
	ro.Nexus().Close()
	if _, err := ro.Visit(t.Context(), cdb10(visitReply), nil, make([]byte, 5)); !errors.Is(err, sense.ErrNoUnit) {
		t.Errorf("unmapped: %v", err)
	}
	p.Unit().Close()
	if _, err := p.Visit(t.Context(), cdb10(visitReply), nil, make([]byte, 5)); !errors.Is(err, sense.ErrNoUnit) {
		t.Errorf("closed: %v", err)
	}
}

// TestVisitEnds: task management waits for a visit, and its caller can end it.
func TestVisitEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(p *core.Path, cancel func(), ended func())
		want error
	}{
		{"task management", func(p *core.Path, _, ended func()) { p.AbortTaskSet(ended) }, sense.TaskAborted},
		{"the caller", func(_ *core.Path, cancel, ended func()) { cancel(); ended() }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, p := newHost(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() {
				_, err := p.Visit(ctx, cdb10(visitWait), nil, nil)
				result <- err
			}()
			<-h.waiting
			ended := make(chan struct{})
			tt.end(p, cancel, func() { close(ended) })
			<-ended
			err := <-result
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if n := p.Unit().Tasks().Len(); n != 0 {
				t.Errorf("%d tasks are left", n)
			}
		})
	}
}
