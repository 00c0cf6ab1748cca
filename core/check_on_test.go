//go:build invariants

package core

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// rude breaks the rules of Handler.Execute.
type rude struct {
	execute func(*Command) error
}

func (r *rude) Profile() Profile {
	usage := func(code byte) string { return string([]byte{code, 0, 0, 0, 0xff, 0}) }
	return Profile{Rows: []*Row{
		{Code: 0x08, Action: NoAction, Name: "READ", Dir: scsi.In, Len: Bytes(4, 1), Usage: usage(0x08), Gate: Inline | ReadsMedium},
		{Code: 0x0a, Action: NoAction, Name: "WRITE", Dir: scsi.Out, Len: Bytes(4, 1), Usage: usage(0x0a), Gate: Inline | WritesMedium},
	}}
}
func (r *rude) Attach(Host) error        { return nil }
func (r *rude) Close() error             { return nil }
func (r *rude) Execute(c *Command) error { return r.execute(c) }

type plainPort struct{}

func (plainPort) Room(_ *Command, n int) []byte { return make([]byte, n) }
func (plainPort) Own(*Command) bool             { return true }
func (plainPort) Done(*Command)                 {}

// TestSeam: a handler that breaks a rule of the seam is caught at the seam.
func TestSeam(t *testing.T) {
	var kept []byte
	for _, c := range []struct {
		want string // in the panic; "" for none
		code byte
		do   func(*Command) error
	}{
		{"", 0x08, func(c *Command) error { return c.Reply([]byte("hello")) }},
		{"moves 8 bytes and has 0", 0x08, func(*Command) error { return nil }},
		{"outside of its room", 0x08, func(c *Command) error { c.In = make([]byte, 8); return nil }},
		{"InLen is 9, it was 8", 0x08, func(c *Command) error { c.InLen = 9; return nil }},
		{"InMax is 9, it was 8", 0x08, func(c *Command) error { c.InMax = 9; return nil }},
		{"DataValid without an error", 0x08, func(c *Command) error { c.DataValid = true; return c.Reply([]byte("hello")) }},
		{"has done something", 0x08, func(c *Command) error { c.Lent = [][]byte{{1}}; return ErrWouldBlock }},
		{"with 0 bytes of sense data", 0x0a, func(*Command) error { return sense.Status(scsi.CheckCondition) }},
		{"status GOOD of", 0x0a, func(*Command) error { return sense.Status(scsi.Good) }},
		{"OutLen was changed", 0x0a, func(c *Command) error { c.OutLen = 3; return nil }},
		{"", 0x0a, func(*Command) error { return errors.New("it broke") }},
		{"", 0x0a, func(c *Command) error { kept = c.Out; return nil }},
	} {
		t.Run(fmt.Sprintf("%02x/%s", c.code, c.want), func(t *testing.T) {
			u, err := NewUnit("rude", &rude{c.do}, UnitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			n := NewNexus(InitiatorPort{}, &TargetPort{})
			n.SetLUNs(map[scsi.LUN]Mapping{0: {Unit: u}}, true)
			n.Path(0).takeUA(true)
			cmd := &Command{Path: n.Path(0), Port: plainPort{}}
			cmd.SetCDB([]byte{c.code, 0, 0, 0, 8, 0})
			if err := cmd.Parse(); err != nil {
				t.Fatal(err)
			}
			if cmd.OutLen > 0 {
				cmd.Out = []byte("contents")
			}
			defer func() {
				got := recover()
				if got == nil && c.want == "" {
					return
				}
				if !strings.Contains(fmt.Sprint(got), c.want) || c.want == "" {
					t.Errorf("the panic is %v", got)
				}
			}()
			cmd.EnterAndSubmit()
		})
	}
	if len(kept) != 8 || kept[0] != 0xdb {
		t.Errorf("what a handler kept of its Data-Out is %q", kept)
	}
}
