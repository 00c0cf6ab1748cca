package ssc

import (
	"testing"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/vtl/medium"
)

// effortless is a medium that does nothing at once, so that what is measured is the drive.
type effortless struct{ medium.Medium }

const effortlessBlock = 256 << 10

func (effortless) Write(int, uint64, []byte, medium.Recording) error { return nil }
func (effortless) PromptRead(int, uint64) bool                       { return true }
func (effortless) PromptWrite(int, uint64, int) bool                 { return true }

func (effortless) Read(_ int, _ uint64, _ []byte, _ *medium.Key) (medium.Object, error) {
	return medium.Object{Kind: medium.Block, Length: effortlessBlock}, nil
}

func (effortless) Partition(int) medium.Partition {
	return medium.Partition{Objects: 1, Capacity: 1 << 40}
}

// fixedPort gives the same room every time.
type fixedPort struct {
	core.Port
	b []byte
}

func (p *fixedPort) Room(_ *core.Command, n int) []byte { return p.b[:n] }

// hotCommand is a command ready to Execute inline, and what makes it so again.
func hotCommand(tb testing.TB, code byte) (*Drive, *core.Command, func()) {
	tb.Helper()
	d := newDrive(tb, nil)
	if err := d.Insert(newCartridge(tb, "TG0001L8", 1<<20)); err != nil {
		tb.Fatal(err)
	}
	c := &core.Command{Path: coretest.NewPath(tb, coretest.NewUnit(tb, d, &coretest.State{})), Port: &fixedPort{b: make([]byte, effortlessBlock)}}
	d.mu.Lock()
	d.mount.medium = effortless{d.mount.medium}
	d.mount.usage.changed, d.mount.object = true, 1
	d.mu.Unlock()
	c.SetCDB([]byte{code, 0, effortlessBlock >> 16, effortlessBlock >> 8 & 0xff, effortlessBlock & 0xff, 0})
	if err := c.Parse(); err != nil {
		tb.Fatal(err)
	}
	c.NoWait = true
	c.Out = make([]byte, c.OutLen)
	return d, c, func() {
		c.In = nil
		d.mount.object = 1 // where a WRITE appends
	}
}

var hot = []struct {
	name string
	code byte
}{{"Read", 0x08}, {"Write", 0x0a}}

func BenchmarkExecute(b *testing.B) {
	for _, h := range hot {
		b.Run(h.name, func(b *testing.B) {
			d, c, again := hotCommand(b, h.code)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Execute(c); err != nil {
					b.Fatal(err)
				}
				again()
			}
		})
	}
}
