//go:build system

package tape

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/targate/targate/test/initiator"
)

// script is a case of a file in testdata: "name: step; step; ...". A line that begins with white
// space goes on with the case before it. "== clause" heads the cases that follow.
type script struct {
	family, name string
	steps        []string
}

func readScripts(t *testing.T, file string) (all []script) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	family := ""
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(" "+strings.TrimRight(line, "\n"), " //")
		line = strings.TrimPrefix(line, " ")
		switch {
		case strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, "== "):
			family = line[3:]
		default:
			var more string
			if line[0] == ' ' || line[0] == '\t' {
				more = line
			} else {
				name, rest, ok := strings.Cut(line, ": ")
				if !ok && !strings.HasSuffix(line, ":") {
					t.Fatalf("%s: no name in %q", file, line)
				}
				all = append(all, script{family: family, name: strings.TrimSuffix(name, ":")})
				more = rest
			}
			s := &all[len(all)-1]
			for step := range strings.SplitSeq(more, ";") {
				if step = strings.TrimSpace(step); step != "" {
					s.steps = append(s.steps, step)
				}
			}
		}
	}
	return all
}

// scripts runs the cases of a file.
func scripts(file string) func(t *testing.T) {
	return func(t *testing.T) {
		for _, s := range readScripts(t, file) {
			run(t, s.family+": "+s.name, func(t *testing.T) {
				p := &player{t: t, blocks: [][]byte{nil}, fixed: 0}
				steps := s.steps
				kind := "tiny"
				if f := strings.Fields(steps[0]); f[0] == "on" {
					kind, steps = f[1], steps[1:]
				}
				p.a = login(t)
				p.a.prepare(kind)
				for _, step := range steps {
					p.step(step)
					if t.Failed() {
						t.Fatalf("at step %q of %q", step, strings.Join(s.steps, "; "))
					}
				}
			})
		}
	}
}

// player carries out steps.
type player struct {
	t      *testing.T
	a, b   *host
	blocks [][]byte // that were written, from 1 on
	fixed  int      // block length of the mode parameters
	filled int      // blocks of the last fill
}

// step carries out one step: "[b.]VERB ARGUMENT... [xN] [#N] [-> OUTCOME]".
func (p *player) step(text string) {
	p.t.Helper()
	command, expected, _ := strings.Cut(text, "->")
	f := strings.Fields(command)
	h := p.a
	if rest, ok := strings.CutPrefix(f[0], "b."); ok {
		if p.b == nil {
			if rest == "fresh" {
				p.b = fresh(p.t, iqn)
				return
			}
			p.b = login(p.t)
		}
		f[0], h = rest, p.b
	}
	if expected = strings.TrimSpace(expected); expected == "" {
		expected = "good"
	}
	w, err := parseWant(expected)
	if err != nil {
		p.t.Fatal(err)
	}
	times, number := 1, 0
	var args []int
	var words []string
	for _, x := range f[1:] {
		switch n, err := strconv.ParseInt(x, 0, 64); {
		case err == nil:
			args = append(args, int(n))
		case x[0] == 'x' && len(x) > 1:
			times, _ = strconv.Atoi(x[1:])
		case x[0] == '#':
			number, _ = strconv.Atoi(x[1:])
		default:
			words = append(words, x)
		}
	}
	arg := func(i int) int {
		if i < len(args) {
			return args[i]
		}
		return 0
	}
	verb, ok := verbs[f[0]]
	if !ok {
		p.t.Fatalf("no verb %q", f[0])
	}
	for range times {
		r := verb(p, h, call{args: args, arg: arg, words: words, hex: f[1:], number: number, w: w})
		if r == nil {
			continue // it has checked for itself
		}
		if fault := w.check(r); fault != "" {
			p.t.Errorf("%q: %s, want %s: %s", text, outcome(r), expected, fault)
			return
		}
		if number > 0 {
			p.compare(text, r.Data, number)
		}
	}
}

// call is what a verb is called with.
type call struct {
	args   []int
	arg    func(int) int
	words  []string
	hex    []string
	number int
	w      want
}

func (c call) has(word string) bool {
	for _, w := range c.words {
		if w == word {
			return true
		}
	}
	return false
}

// compare checks that got begins with block n, and the blocks after it.
func (p *player) compare(text string, got []byte, n int) {
	p.t.Helper()
	for rest := got; len(rest) > 0; n++ {
		if n >= len(p.blocks) {
			p.t.Errorf("%q: %d bytes more than was written", text, len(rest))
			return
		}
		k := min(len(rest), len(p.blocks[n]))
		if !bytes.Equal(rest[:k], p.blocks[n][:k]) {
			p.t.Errorf("%q: not the data of block %d", text, n)
			return
		}
		rest = rest[k:]
		if k < len(p.blocks[n]) {
			return
		}
	}
	if len(got) == 0 {
		p.t.Errorf("%q: no data", text)
	}
}

// pattern is data that does not compress, of block number n.
func pattern(length int, n uint64) []byte {
	b := make([]byte, length+8)
	x := n*0x9e3779b97f4a7c15 + 1
	for i := 0; i < length; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b[:length]
}

// block makes the data of the next block.
func (p *player) block(length int) []byte {
	b := pattern(length, uint64(len(p.blocks)))
	p.blocks = append(p.blocks, b)
	return b
}

// cdb6 has a length or count in bytes 2 to 4, of 24 bits in two's complement.
func cdb6(op, flags byte, n int) []byte {
	return []byte{op, flags, byte(n >> 16), byte(n >> 8), byte(n), 0}
}

type verb func(p *player, h *host, c call) *initiator.Result

// read checks the residual that belongs to what was transferred.
func read(p *player, h *host, cdb []byte, n int) *initiator.Result {
	p.t.Helper()
	r := h.in(cdb, n)
	if r.Residual != int64(n-len(r.Data)) {
		p.t.Errorf("CDB %x: %d of %d bytes and a residual of %d", cdb, len(r.Data), n, r.Residual)
	}
	return r
}

func flag1(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

var verbs map[string]verb

func init() {
	verbs = map[string]verb{
		// Blocks. "sili" suppresses the incorrect length indication.
		"w": func(p *player, h *host, c call) *initiator.Result {
			return h.out(cdb6(0x0a, 0, c.arg(0)), p.block(c.arg(0)))
		},
		"w16": func(p *player, h *host, c call) *initiator.Result { // WRITE(16): partition, object, length
			return h.out(cdb16(0x8a, 0, byte(c.arg(0)), uint64(c.arg(1)), c.arg(2)), p.block(c.arg(2)))
		},
		"wf": func(p *player, h *host, c call) *initiator.Result {
			var data []byte
			for range c.arg(0) {
				data = append(data, p.block(p.fixed)...)
			}
			return h.out(cdb6(0x0a, 1, c.arg(0)), data)
		},
		"w0":  func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x0a, 0, 0)...) },
		"wf0": func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x0a, 1, 0)...) },
		"fill": func(p *player, h *host, c call) *initiator.Result { // blocks until one does not end in GOOD
			for p.filled = 0; ; p.filled++ {
				if r := h.out(cdb6(0x0a, 0, c.arg(0)), p.block(c.arg(0))); r.Status != 0 {
					return r
				}
			}
		},
		"rest": func(p *player, h *host, c call) *initiator.Result { // blocks after early warning, until none fits
			for p.filled = 0; ; p.filled++ {
				r := h.out(cdb6(0x0a, 0, c.arg(0)), p.block(c.arg(0)))
				if ew := wants["ew"]; ew.check(r) != "" {
					return r
				}
			}
		},
		"filled": func(p *player, h *host, c call) *initiator.Result { // least, most
			if p.filled < c.arg(0) || p.filled > c.arg(1) {
				p.t.Errorf("%d blocks, want %d to %d", p.filled, c.arg(0), c.arg(1))
			}
			return nil
		},
		"r": func(p *player, h *host, c call) *initiator.Result {
			return read(p, h, cdb6(0x08, flag1(c.has("sili"), 2), c.arg(0)), c.arg(0))
		},
		"r16": func(p *player, h *host, c call) *initiator.Result { // partition, object, length
			return read(p, h, cdb16(0x88, flag1(c.has("sili"), 2), byte(c.arg(0)), uint64(c.arg(1)), c.arg(2)), c.arg(2))
		},
		"rf": func(p *player, h *host, c call) *initiator.Result {
			return read(p, h, cdb6(0x08, 1|flag1(c.has("sili"), 2), c.arg(0)), c.arg(0)*p.fixed)
		},
		// READ REVERSE(6), with BYTORD but for "reversed".
		"rr": func(p *player, h *host, c call) *initiator.Result {
			return read(p, h, cdb6(0x0f, flag1(c.has("sili"), 2)|flag1(!c.has("reversed"), 4), c.arg(0)), c.arg(0))
		},
		"rrf": func(p *player, h *host, c call) *initiator.Result {
			return read(p, h, cdb6(0x0f, 1|4, c.arg(0)), c.arg(0)*p.fixed)
		},
		// VERIFY(6): bytes or, with "f", blocks; "fm" is VBF: filemarks.
		"v": func(p *player, h *host, c call) *initiator.Result {
			return h.none(cdb6(0x13, flag1(c.has("f"), 1)|flag1(c.has("fm"), 8)|flag1(c.has("imm"), 4), c.arg(0))...)
		},
		"fm":    func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x10, 0, count(c))...) },
		"flush": func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x10, 0, 0)...) },
		"fmi":   func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x10, 1, count(c))...) },
		"sm":    func(p *player, h *host, c call) *initiator.Result { return h.none(cdb6(0x10, 2, count(c))...) },

		// Motion.
		"rew": func(p *player, h *host, c call) *initiator.Result {
			return h.none(1, flag1(c.has("imm"), 1), 0, 0, 0, 0)
		},
		"sp": func(p *player, h *host, c call) *initiator.Result {
			return h.none(cdb6(0x11, byte(c.arg(0)), c.arg(1))...)
		},
		"sp16": func(p *player, h *host, c call) *initiator.Result {
			return h.none(cdb16(0x91, byte(c.arg(0)), 0, uint64(c.arg(1)), 0)...)
		},
		"lo": func(p *player, h *host, c call) *initiator.Result { // object, and with "cp" a partition
			n := c.arg(0)
			return h.none(0x2b, flag1(c.has("cp"), 2)|flag1(c.has("bt"), 4), 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), 0, byte(c.arg(1)), 0)
		},
		"lo16": func(p *player, h *host, c call) *initiator.Result { // type, number, and with "cp" a partition
			b := make([]byte, 16)
			b[0], b[1], b[3] = 0x92, byte(c.arg(0))<<3|flag1(c.has("cp"), 2)|flag1(c.has("imm"), 1), byte(c.arg(2))
			binary.BigEndian.PutUint64(b[4:], uint64(c.arg(1)))
			return h.none(b...)
		},
		"erase": func(p *player, h *host, c call) *initiator.Result {
			return h.none(0x19, flag1(c.has("long"), 1)|flag1(c.has("imm"), 2), 0, 0, 0, 0)
		},
		"load":   func(p *player, h *host, c call) *initiator.Result { return h.none(0x1b, 0, 0, 0, 1, 0) },
		"unload": func(p *player, h *host, c call) *initiator.Result { return h.none(0x1b, 0, 0, 0, 0, 0) },
		"hold":   func(p *player, h *host, c call) *initiator.Result { return h.none(0x1b, 0, 0, 0, 9, 0) },
		"tur":    func(p *player, h *host, c call) *initiator.Result { return h.none(0, 0, 0, 0, 0, 0) },

		"prevent": func(p *player, h *host, c call) *initiator.Result { return h.none(0x1e, 0, 0, 0, byte(c.arg(0)), 0) },
		"reserve": func(p *player, h *host, c call) *initiator.Result { return h.none(0x16, 0, 0, 0, 0, 0) },
		"release": func(p *player, h *host, c call) *initiator.Result { return h.none(0x17, 0, 0, 0, 0, 0) },

		// Positions, by all forms of READ POSITION.
		"at":   func(p *player, h *host, c call) *initiator.Result { h.at(c.arg(0)); return nil },
		"file": func(p *player, h *host, c call) *initiator.Result { h.file(c.arg(0)); return nil },
		"part": func(p *player, h *host, c call) *initiator.Result { h.partition(c.arg(0)); return nil },
		"bop?": func(p *player, h *host, c call) *initiator.Result { h.edge(0x80, c.arg(0) == 1); return nil },
		"eop?": func(p *player, h *host, c call) *initiator.Result { h.edge(0x40, c.arg(0) == 1); return nil },

		// Mode parameters, by which the rest of the case goes.
		"setblk": func(p *player, h *host, c call) *initiator.Result {
			r := h.setBlock(c.arg(0))
			if r.Status == 0 {
				p.fixed = c.arg(0)
			}
			return r
		},
		"compress": func(p *player, h *host, c call) *initiator.Result { h.compress(c.arg(0) == 1); return nil },
		"mode": func(p *player, h *host, c call) *initiator.Result { // PAGE[/SUBPAGE] OFFSET MASK VALUE
			var page, sub int
			if _, err := fmt.Sscanf(c.hex[0], "%x/%x", &page, &sub); err != nil {
				fmt.Sscanf(c.hex[0], "%x", &page)
			}
			n := numbers(p.t, c.hex[1:])
			return h.changeMode(byte(page), byte(sub), func(b []byte) { b[n[0]] = b[n[0]]&^byte(n[1]) | byte(n[2]) })
		},
		"overwrite": func(p *player, h *host, c call) *initiator.Result { // ALLOW OVERWRITE: mode, partition, object
			b := cdb16(0x82, 0, byte(c.arg(1)), uint64(c.arg(2)), 0)
			b[2] = byte(c.arg(0))
			return h.none(b...)
		},
		"format": func(p *player, h *host, c call) *initiator.Result { return h.none(4, 0, byte(c.arg(0)), 0, 0, 0) },
		"setcap": func(p *player, h *host, c call) *initiator.Result {
			return h.none(0x0b, 0, 0, byte(c.arg(0)>>8), byte(c.arg(0)), 0)
		},
		// partitions N: page 11h for N partitions, and FORMAT MEDIUM.
		"partitions": func(p *player, h *host, c call) *initiator.Result { h.partitions(c.arg(0)); return nil },

		// The changer. Elements are s1, d1, m1 and p1.
		"move": func(p *player, h *host, c call) *initiator.Result {
			return h.move(element(p.t, c.hex[0]), element(p.t, c.hex[1]))
		},
		"exchange": func(p *player, h *host, c call) *initiator.Result {
			return h.exchange(element(p.t, c.hex[0]), element(p.t, c.hex[1]), element(p.t, c.hex[2]))
		},
		"position": func(p *player, h *host, c call) *initiator.Result {
			return h.changer(0x2b, 0, 0, 1, hi(element(p.t, c.hex[0])), lo(element(p.t, c.hex[0])), 0, 0, 0, 0)
		},
		"lock": func(p *player, h *host, c call) *initiator.Result { return h.changer(0x1e, 0, 0, 0, byte(c.arg(0)), 0) },
		"holds": func(p *player, h *host, c call) *initiator.Result { // element, "-" or barcode
			if got := h.elements()[element(p.t, c.hex[0])]; got.barcode != strings.TrimPrefix(c.hex[1], "-") {
				p.t.Errorf("%s holds %q, want %q", c.hex[0], got.barcode, c.hex[1])
			}
			return nil
		},
		// Any CDB in hexadecimal, to the drive or with "ch" to the changer: in=N, out=HEX.
		"cdb": func(p *player, h *host, c call) *initiator.Result {
			cmd := &initiator.Command{LUN: h.lun}
			for _, x := range c.hex {
				switch {
				case x == "ch":
					cmd.LUN = lunChanger
				case strings.HasPrefix(x, "in="):
					fmt.Sscan(x[3:], &cmd.In)
				case strings.HasPrefix(x, "out="):
					cmd.Out, _ = hex.DecodeString(x[4:])
				default:
					b, err := hex.DecodeString(x)
					if err != nil {
						p.t.Fatalf("%q: %v", x, err)
					}
					cmd.CDB = append(cmd.CDB, b...)
				}
			}
			return h.do(cmd)
		},
		// attn CODE...: the unit attentions that wait at the drive are these.
		"attn": func(p *player, h *host, c call) *initiator.Result {
			var want []string
			for _, x := range c.hex {
				if x != "none" {
					want = append(want, x)
				}
			}
			var got []string
			for _, code := range h.attentions(h.lun) {
				got = append(got, fmt.Sprintf("%04x", code))
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				p.t.Errorf("unit attentions %v, want %v", got, want)
			}
			return nil
		},
	}
}

func count(c call) int {
	if len(c.args) == 0 {
		return 1
	}
	return c.args[0]
}

func numbers(t *testing.T, f []string) (n []int) {
	t.Helper()
	for _, x := range f {
		v, err := strconv.ParseInt(x, 0, 32)
		if err != nil {
			t.Fatal(err)
		}
		n = append(n, int(v))
	}
	return n
}

// cdb16 has flags in byte 1, a partition in byte 3, a number in bytes 4 to 11, and a length in 12 to 14.
func cdb16(op, flags, partition byte, n uint64, length int) []byte {
	b := make([]byte, 16)
	b[0], b[1], b[3] = op, flags, partition
	binary.BigEndian.PutUint64(b[4:], n)
	b[12], b[13], b[14] = byte(length>>16), byte(length>>8), byte(length)
	return b
}

func hi(n uint16) byte { return byte(n >> 8) }
func lo(n uint16) byte { return byte(n) }
