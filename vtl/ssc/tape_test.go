package ssc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/vtl/medium"
)

// script is a drive, its initiators, and cartridges with names. A line is a command, and what came
// of it: status and sense, the data that moved, the residual of the transport, the position.
//
// Blocks that it writes are filled with their number, which begins with 1, so that what is read has a name.
type script struct {
	tb     testing.TB
	drive  *Drive
	unit   *core.Unit
	paths  map[string]*core.Path
	carts  map[string]*cartridge
	blocks uint32
	motion *motion
}

// TestTape runs the files under testdata/tape. "new" begins with an empty drive, whose model can be
// given, and with things of it changed; "go" goes on.
func TestTape(t *testing.T) {
	datadriven.Walk(t, "testdata/tape", func(t *testing.T, path string) {
		var s *script
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" || s == nil {
				s = newTape(t, d)
			}
			s.tb = t
			var out strings.Builder
			for _, l := range strings.Split(strings.TrimSpace(d.Input), "\n") {
				if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
					fmt.Fprintf(&out, "%s: %s\n", l, s.line(l))
				}
			}
			return out.String()
		})
	})
}

func newTape(t *testing.T, d *datadriven.TestData) *script {
	s := &script{tb: t, paths: map[string]*core.Path{}, carts: map[string]*cartridge{}, motion: &motion{}}
	s.drive = newDrive(t, func(cfg *Config) {
		cfg.Motion = s.motion
		for _, a := range d.CmdArgs {
			switch a.Key {
			case "model":
				m, ok := models.Drive(a.Vals[0])
				if !ok {
					d.Fatalf(t, "no model %s", a.Vals[0])
				}
				own := *m
				cfg.Model = &own
			case "ew":
				n, err := strconv.ParseInt(a.Vals[0], 0, 64)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				cfg.Model.EarlyWarning = n
			case "granularity":
				cfg.Model.Granularity = 2
			case "max":
				cfg.Model.MaxBlock = medium.MaxBlock
			default:
				d.Fatalf(t, "what is %s", a.Key)
			}
		}
	})
	s.unit = coretest.NewUnit(t, s.drive, &coretest.State{})
	return s
}

// motion is a Motion that can be held, and fail.
type motion struct {
	hold chan struct{} // nil: nothing is held
	half chan struct{} // closed when a held move has begun
	kind *MoveKind     // nil: any
	fail error
}

func (m *motion) Still() bool { return m.hold == nil }

func (m *motion) Move(ctx context.Context, v Move, progress func(float64)) error {
	if m.fail != nil {
		return m.fail
	}
	if m.hold == nil || m.kind != nil && v.Kind != *m.kind {
		return nil
	}
	progress(0.5)
	close(m.half)
	select {
	case <-m.hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// path is that of initiator name.
func (s *script) path(name string) *core.Path {
	if s.paths[name] == nil {
		s.paths[name] = coretest.NewPath(s.tb, s.unit)
	}
	return s.paths[name]
}

// line carries out "[NEXUS>] verb words".
func (s *script) line(l string) string {
	nexus := "A"
	if n, rest, ok := strings.Cut(l, "> "); ok {
		nexus, l = n, rest
	}
	w := words(strings.Fields(l))
	p := s.path(nexus)
	if f := hands[w.verb]; f != nil {
		return f(s, p, w)
	}
	f := commands[w.verb]
	if f == nil {
		s.tb.Fatalf("what is %q", l)
	}
	cdb, out, in := f(s, w)
	if w.has("in") {
		in = w.num("in")
	}
	if w.has("out") { // the transport brings less than the CDB says
		out = out[:min(len(out), w.num("out"))]
	}
	if w.has("naca") {
		cdb[len(cdb)-1] |= scsi.NACA
	}
	text := s.run(p, cdb, out, in)
	if !w.has("immed") || w.verb == "mark" { // an immediate operation is somewhere between
		text += s.position()
	}
	return text
}

// run sends a command and says what came of it.
func (s *script) run(p *core.Path, cdb, out []byte, in int) string {
	c := coretest.NewCommand(p, cdb, out, in)
	r := c.Run()
	return s.outcome(c, r, out, in)
}

func (s *script) outcome(c *coretest.Command, r coretest.Result, out []byte, in int) string {
	var b strings.Builder
	b.WriteString(status(r))
	data := r.Data
	if r.Status == scsi.CheckCondition && c.DataValid && c.Moved() > 0 && c.In != nil {
		data = bytes.Clone(c.In[:c.Moved()])
	}
	if len(data) > 0 {
		b.WriteString(", " + show(c.CDB[0], data))
	}
	has := len(data) > 0
	n, expected := c.InLen, in
	if !r.Good() && !has {
		n = 0
	}
	if len(out) > 0 {
		n, expected = c.OutLen, len(out)
	}
	if c.Row == nil {
		n = 0
	}
	if expected > n && in != coretest.AnyLength {
		fmt.Fprintf(&b, ", residual %d", expected-n)
	} else if n > expected && in != coretest.AnyLength {
		fmt.Fprintf(&b, ", overflow %d", n-expected)
	}
	return b.String()
}

// status is the status and the sense data in short.
func status(r coretest.Result) string {
	e := r.Sense
	if e == nil {
		return r.Status.String()
	}
	return senseText(e)
}

func senseText(e *sense.Error) string {
	s := fmt.Sprintf("%02X/%02X/%02X", byte(e.Key), e.Code.ASC(), e.Code.ASCQ())
	if e.Deferred {
		s = "deferred " + s
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{e.Filemark, "FM"}, {e.EndOfMedium, "EOM"}, {e.ILI, "ILI"}} {
		if f.on {
			s += " " + f.name
		}
	}
	if e.HasInfo {
		n := int64(e.Info)
		if e.ILI {
			n = int64(int32(uint32(e.Info)))
		}
		s += fmt.Sprintf(" info %d", n)
	}
	if e.HasField {
		where := "byte"
		if e.InData {
			where = "list byte"
		}
		s += fmt.Sprintf(" %s %d", where, e.Field)
		if e.HasBit {
			s += fmt.Sprintf(" bit %d", e.Bit)
		}
	}
	if e.HasProgress {
		s += fmt.Sprintf(" progress %d", e.Progress)
	}
	return s
}

// show is Data-In: blocks by their numbers, other data in hexadecimal.
func show(code byte, data []byte) string {
	switch code {
	case 0x08, 0x88, 0x0f, 0x81:
		return names(data)
	case 0x03:
		e, err := sense.Parse(data)
		if err != nil {
			return err.Error()
		}
		return senseText(e)
	}
	var b strings.Builder
	for _, x := range data {
		if x == 0 { // what there is most of
			b.WriteByte('.')
		} else {
			fmt.Fprintf(&b, "%02x", x)
		}
	}
	return b.String()
}

// names are the runs of words of the same block, "#3*512", "~3*512" with the last byte first.
func names(data []byte) string {
	var list []string
	for len(data) > 0 {
		w := bytes.Clone(data[:min(len(data), 4)])
		n := 0
		for len(data)-n >= 4 && bytes.Equal(data[n:n+4], w) {
			n += 4
		}
		if rest := data[n:]; len(rest) < 4 && bytes.HasPrefix(w, rest) {
			n = len(data)
		}
		mark, name := "#", binary.BigEndian.Uint32(append(bytes.Clone(w), 0, 0, 0)[:4])
		if name >= 1<<24 {
			mark, name = "~", binary.LittleEndian.Uint32(append(bytes.Clone(w), 0, 0, 0)[:4])
		}
		list = append(list, fmt.Sprintf("%s%d*%d", mark, name, n))
		data = data[max(n, 1):]
	}
	return strings.Join(list, " ")
}

// block makes the next block of n bytes.
func (s *script) block(n int) []byte {
	s.blocks++
	b := make([]byte, 0, n+4)
	for len(b) < n {
		b = binary.BigEndian.AppendUint32(b, s.blocks)
	}
	return b[:n]
}

// position is where the tape stands.
func (s *script) position() string {
	at := ""
	s.drive.look(func(m *mount) {
		switch {
		case m == nil:
		case m.partition == 0:
			at = fmt.Sprintf(" @%d", m.object)
		default:
			at = fmt.Sprintf(" @%d:%d", m.partition, m.object)
		}
	})
	return at
}

// line words: a verb, and words that are numbers or flags or key=value.
type line struct {
	verb string
	args []string
	t    map[string]string
}

func words(f []string) line {
	l := line{verb: f[0], t: map[string]string{}}
	for _, a := range f[1:] {
		if k, v, ok := strings.Cut(a, "="); ok {
			l.t[k] = v
		} else {
			l.args = append(l.args, a)
			l.t[a] = ""
		}
	}
	return l
}

func (l line) has(word string) bool { _, ok := l.t[word]; return ok }

// num is the number of key, or of the first word that is one.
func (l line) num(key string) int {
	v := l.t[key]
	if key == "" {
		for _, a := range l.args {
			if strings.IndexAny(a, "-0123456789") == 0 {
				v = a
				break
			}
		}
	}
	if n, err := strconv.ParseInt(v, 0, 64); err == nil {
		return int(n)
	}
	n, err := strconv.ParseUint(v, 0, 64)
	if err != nil {
		return 0
	}
	return int(n)
}

// bit is mask when word is there.
func (l line) bit(word string, mask byte) byte {
	if l.has(word) {
		return mask
	}
	return 0
}
