package ssc

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
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

// hands are what is done to the drive otherwise than by a command.
var hands = map[string]func(s *script, p *core.Path, l line) string{
	"insert": func(s *script, _ *core.Path, l line) string {
		name := l.args[0]
		c := s.carts[name]
		if c == nil {
			size := 64 << 20
			if l.has("size") {
				size = l.num("size")
			}
			c = newCartridge(s.tb, name, int64(size))
			s.carts[name] = c
		}
		c.protected = l.has("protected")
		c.fail = nil
		switch {
		case l.has("gone"):
			c.fail = medium.ErrGone
		case l.has("corrupt"):
			c.fail = medium.ErrCorrupt
		}
		return result(s.drive.Insert(c))
	},
	"remove": func(s *script, _ *core.Path, _ line) string { return result(s.drive.Remove(context.Background())) },
	"eject":  func(s *script, _ *core.Path, _ line) string { return result(s.drive.Eject(context.Background())) },
	"state":  func(s *script, _ *core.Path, _ line) string { return fmt.Sprintf("%+v", s.drive.State()) },
	"attention": func(_ *script, p *core.Path, _ line) string {
		var list []string
		for _, c := range coretest.TakeUA(p) {
			list = append(list, fmt.Sprintf("%02X/%02X", c.ASC(), c.ASCQ()))
		}
		return "[" + strings.Join(list, " ") + "]"
	},
	"lose": func(_ *script, p *core.Path, _ line) string { // I_T NEXUS RESET
		done := make(chan struct{})
		p.Nexus().Reset(func() { close(done) })
		<-done
		return "done"
	},
	"reset": func(_ *script, p *core.Path, _ line) string {
		done := make(chan struct{})
		p.Reset(func() { close(done) })
		<-done
		return "done"
	},
	"settle": func(s *script, _ *core.Path, _ line) string { // the end of an immediate operation
		s.drive.tape <- struct{}{}
		s.drive.release()
		return "ok"
	},
	// What the mechanics do next: hold until let go, or jam.
	"hold": func(s *script, _ *core.Path, l line) string {
		s.motion.kind = nil
		if k := MoveClean; l.has("clean") {
			s.motion.kind = &k
		}
		s.motion.hold, s.motion.half = make(chan struct{}), make(chan struct{})
		return "ok"
	},
	"moving": func(s *script, _ *core.Path, _ line) string { <-s.motion.half; return "ok" },
	"let": func(s *script, _ *core.Path, _ line) string {
		h := s.motion.hold
		close(h)
		s.drive.tape <- struct{}{} // the end of what moves
		s.motion.hold = nil
		s.drive.release()
		return "ok"
	},
	"jam": func(s *script, _ *core.Path, l line) string {
		s.motion.fail = nil
		if !l.has("off") {
			s.motion.fail = sense.New(sense.HardwareError, loadEjectFailed)
		}
		return "ok"
	},
	// The medium: the next call of a name fails.
	"fail": func(s *script, _ *core.Path, l line) string {
		s.carts[l.args[0]].OnAccess(failure(l))
		return "ok"
	},
	"corrupt": func(s *script, _ *core.Path, l line) string {
		s.carts[l.args[0]].Corrupt(l.num("p"), uint64(l.num("")))
		return "ok"
	},
	"clean": func(s *script, _ *core.Path, l line) string {
		s.drive.RequireCleaning()
		return "ok"
	},
}

// failure makes the next call that l names fail once.
func failure(l line) memtape.Hook {
	errs := map[string]error{"full": medium.ErrFull, "nospace": medium.ErrNoSpace, "corrupt": medium.ErrCorrupt,
		"gone": medium.ErrGone, "readonly": medium.ErrReadOnly, "worm": medium.ErrWORM, "other": errors.New("a fault")}
	err := errs[l.args[2]]
	if l.has("first") {
		err = &medium.Deferred{Partition: l.num("p"), First: uint64(l.num("first")), Err: err}
	}
	done := false
	return func(c memtape.Call) error {
		if done || c.Name != l.args[1] {
			return nil
		}
		done = true
		return err
	}
}

func result(err error) string {
	var e *sense.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &e):
		return senseText(e)
	}
	return err.Error()
}

type builder = func(s *script, l line) (cdb, out []byte, in int)

// moves makes the CDB of a READ or WRITE and its relatives: "read 512", "read fixed 3", and with p= or
// at= the 16-byte one.
func moves(short, long byte, l line, flags byte) []byte {
	flags |= l.bit("fixed", fixed) | l.bit("sili", sili) | l.bit("bytord", bytord)
	n := uint32(l.num(""))
	if l.has("at") || l.has("p") {
		cdb := make([]byte, 16)
		cdb[0], cdb[1], cdb[3] = long, flags, byte(l.num("p"))
		binary.BigEndian.PutUint64(cdb[4:], uint64(l.num("at")))
		wire.PutU24(cdb[12:], n)
		return cdb
	}
	cdb := make([]byte, 6)
	cdb[0], cdb[1] = short, flags
	wire.PutU24(cdb[2:], n)
	return cdb
}

func reads(short, long byte) builder {
	return func(s *script, l line) (cdb, out []byte, in int) {
		in = l.num("")
		if l.has("fixed") {
			in *= int(s.drive.blockLen.Load())
		}
		return moves(short, long, l, 0), nil, in
	}
}

// data are the blocks that "write 512" and "write fixed 3" send.
func (s *script) data(l line) (out []byte) {
	n := l.num("")
	if !l.has("fixed") {
		return s.block(n)
	}
	for range n {
		out = append(out, s.block(int(s.drive.blockLen.Load()))...)
	}
	return out
}

func plain(cdb ...byte) builder {
	return func(*script, line) ([]byte, []byte, int) { return bytes.Clone(cdb), nil, 0 }
}

// commands are those with a verb of their own; "cdb 00 .. in=20" is any other.
var commands = map[string]builder{
	"cdb": func(s *script, l line) (cdb, out []byte, in int) {
		for _, a := range l.args {
			if a == "naca" {
				continue
			}
			b, err := hex.DecodeString(a)
			if err != nil {
				s.tb.Fatal(err)
			}
			cdb = append(cdb, b...)
		}
		if l.has("list") {
			b, err := hex.DecodeString(l.t["list"])
			if err != nil {
				s.tb.Fatal(err)
			}
			out = b
		}
		return cdb, out, 0
	},
	"ready":  plain(0x00, 0, 0, 0, 0, 0),
	"sense":  func(*script, line) ([]byte, []byte, int) { return []byte{3, 0, 0, 0, 18, 0}, nil, 18 },
	"rewind": func(_ *script, l line) ([]byte, []byte, int) { return []byte{1, l.bit("immed", 1), 0, 0, 0, 0}, nil, 0 },
	"limits": plainIn(6, 0x05, 0, 0, 0, 0, 0),
	"read":   reads(0x08, 0x88),
	"back":   reads(0x0f, 0x81),
	"write": func(s *script, l line) (cdb, out []byte, in int) {
		return moves(0x0a, 0x8a, l, 0), s.data(l), 0
	},
	"mark": func(_ *script, l line) (cdb, out []byte, in int) {
		return moves(0x10, 0x80, l, l.bit("immed", 1)), nil, 0
	},
	"verify": func(s *script, l line) (cdb, out []byte, in int) {
		if l.has("same") { // with the blocks from number same on
			s.blocks, out = uint32(l.num("same"))-1, nil
			out = s.data(l)
		}
		return moves(0x13, 0x8f, l, l.bit("same", bytcmp)|l.bit("immed", verifyImmed)|l.bit("marks", vbf)|l.bit("end", vte)), out, 0
	},
	"space": func(_ *script, l line) (cdb, out []byte, in int) {
		code := byte(0)
		for i, name := range []string{"blocks", "marks", "sequence", "eod", "setmarks"} {
			if l.has(name) {
				code = byte(i)
			}
		}
		n := l.num("")
		if l.has("16") {
			cdb = make([]byte, 16)
			cdb[0], cdb[1] = 0x91, code
			binary.BigEndian.PutUint64(cdb[4:], uint64(l.num("n")))
			return cdb, nil, 0
		}
		cdb = []byte{0x11, code, 0, 0, 0, 0}
		wire.PutU24(cdb[2:], uint32(n))
		return cdb, nil, 0
	},
	"locate10": func(_ *script, l line) (cdb, out []byte, in int) {
		cdb = make([]byte, 10)
		cdb[0], cdb[1], cdb[8] = 0x2b, l.bit("bt", 4)|l.bit("cp", 2)|l.bit("immed", 1), byte(l.num("cp"))
		binary.BigEndian.PutUint32(cdb[3:], uint32(l.num("")))
		return cdb, nil, 0
	},
	"locate": func(_ *script, l line) (cdb, out []byte, in int) {
		cdb = make([]byte, 16)
		dest := byte(0)
		switch {
		case l.has("file"):
			dest = 1
		case l.has("eod"):
			dest = 3
		case l.has("type"):
			dest = byte(l.num("type"))
		}
		cdb[0], cdb[1], cdb[3] = 0x92, dest<<3|l.bit("cp", 2)|l.bit("immed", 1), byte(l.num("cp"))
		binary.BigEndian.PutUint64(cdb[4:], uint64(l.num("")))
		return cdb, nil, 0
	},
	"position": func(_ *script, l line) (cdb, out []byte, in int) {
		cdb = make([]byte, 10)
		cdb[0], cdb[1], in = 0x34, byte(l.num("")), 20
		if cdb[1] >= 6 {
			in = 32
		}
		if cdb[1] == 8 {
			cdb[8] = 32
		}
		return cdb, nil, in
	},
	"erase": func(_ *script, l line) (cdb, out []byte, in int) {
		flags := l.bit("long", 1) | l.bit("immed", 2)
		if l.has("at") || l.has("p") {
			return moves(0, 0x93, l, flags), nil, 0
		}
		return []byte{0x19, flags, 0, 0, 0, 0}, nil, 0
	},
	"format": func(_ *script, l line) (cdb, out []byte, in int) {
		return []byte{0x04, l.bit("immed", 1), byte(l.num("")), 0, 0, 0}, nil, 0
	},
	"capacity": func(_ *script, l line) (cdb, out []byte, in int) {
		n := l.num("")
		return []byte{0x0b, l.bit("immed", 1), 0, byte(n >> 8), byte(n), 0}, nil, 0
	},
	"load": func(_ *script, l line) (cdb, out []byte, in int) {
		return []byte{0x1b, l.bit("immed", 1), 0, 0, 1 | l.bit("reten", 2) | l.bit("eot", 4) | l.bit("hold", 8), 0}, nil, 0
	},
	"unload": func(_ *script, l line) (cdb, out []byte, in int) {
		return []byte{0x1b, l.bit("immed", 1), 0, 0, l.bit("reten", 2) | l.bit("eot", 4) | l.bit("hold", 8), 0}, nil, 0
	},
	"prevent": plain(0x1e, 0, 0, 0, 1, 0),
	"allow":   plain(0x1e, 0, 0, 0, 0, 0),
	"overwrite": func(_ *script, l line) (cdb, out []byte, in int) {
		cdb = make([]byte, 16)
		cdb[0], cdb[2], cdb[3] = 0x82, byte(l.num("")), byte(l.num("p"))
		binary.BigEndian.PutUint64(cdb[4:], uint64(l.num("at")))
		return cdb, nil, 0
	},
	// MODE SENSE(6) of a page without block descriptor, or "sense6 0" with it.
	"page": func(_ *script, l line) (cdb, out []byte, in int) {
		code, err := strconv.ParseUint(l.args[0], 16, 8)
		if err != nil {
			return nil, nil, 0
		}
		return []byte{0x1a, 8 &^ l.bit("bd", 8), byte(code) | byte(l.num("pc"))<<6, byte(l.num("sub")), 255, 0}, nil, 255
	},
	// MODE SELECT(6): "set block=512 buffered=0 density=94 page=0f0e..".
	"set": func(s *script, l line) (cdb, out []byte, in int) {
		h := s.drive.modeHeader(&core.Command{Path: s.path("A")}, false)
		out = []byte{0, 0, h.Specific &^ wp, 0}
		if l.has("buffered") {
			out[2] = byte(l.num("buffered")) << 4
		}
		if l.has("speed") {
			out[2] |= byte(l.num("speed"))
		}
		if l.has("block") || l.has("density") {
			out[3] = 8
			out = append(out, byte(l.num("density")), 0, 0, 0, 0, 0, 0, 0)
			wire.PutU24(out[9:], uint32(l.num("block")))
		}
		if l.has("page") {
			b, err := hex.DecodeString(l.t["page"])
			if err != nil {
				s.tb.Fatal(err)
			}
			out = append(out, b...)
		}
		if l.has("code") { // a page as it is, with single bytes changed: "code=10 14=0"
			code, err := strconv.ParseUint(l.t["code"], 16, 8)
			if err != nil {
				s.tb.Fatal(err)
			}
			page := s.drive.Mode(byte(code), byte(l.num("sub")))
			for k, v := range l.t {
				if i, err := strconv.Atoi(k); err == nil && v != "" {
					n, err := strconv.ParseUint(v, 16, 8)
					if err != nil {
						s.tb.Fatal(err)
					}
					page[i] = byte(n)
				}
			}
			out = append(out, page...)
		}
		return []byte{0x15, 0x10 | l.bit("save", 1), 0, 0, byte(len(out)), 0}, out, 0
	},
}

func plainIn(in int, cdb ...byte) builder {
	return func(*script, line) ([]byte, []byte, int) { return bytes.Clone(cdb), nil, in }
}
