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

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/wire"
	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
)

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
