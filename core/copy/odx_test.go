package copy

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/targate/targate/core/coretest"
	"github.com/targate/targate/core/sense"
)

// TestToken copies with a token, as Windows does: POPULATE TOKEN, RECEIVE ROD TOKEN
// INFORMATION, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION.
func TestToken(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from     []span
		offset   uint64
		to       []span
		dst      int
		src, out []byte // source blocks in order, first the one that is copied
	}{
		{"one range", []span{{10, 20}}, 0, []span{{100, 20}}, 1, nil, nil},
		{"the same disk", []span{{10, 20}}, 0, []span{{100, 20}}, 0, nil, nil},
		{"overlap", []span{{10, 20}}, 0, []span{{15, 20}}, 0, nil, nil},
		{"offset", []span{{10, 20}}, 5, []span{{100, 15}}, 1, nil, nil},
		{"a part", []span{{10, 20}}, 3, []span{{100, 4}}, 1, nil, nil},
		{"ranges", []span{{10, 3}, {40, 1}, {0, 0}, {50, 6}}, 0, []span{{100, 2}, {200, 8}}, 1, nil, nil},
		{"ranges and offset", []span{{10, 3}, {40, 1}, {50, 6}}, 4, []span{{100, 2}, {200, 0}, {300, 4}}, 1, nil, nil},
		{"much", []span{{0, 2000}, {2048, 2000}}, 0, []span{{96, 4000}}, 1, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, shape{}, shape{})
			var rod []byte
			for _, s := range tt.from {
				rod = append(rod, r.disks[0].bytes(int(s.lba)*512, int(s.blocks)*512)...)
			}
			want := r.disks[tt.dst].bytes(0, diskBytes)
			rest, total := rod[tt.offset*512:], 0
			for _, s := range tt.to {
				n := int(s.blocks) * 512
				copy(want[s.lba*512:], rest[:n])
				rest, total = rest[n:], total+int(s.blocks)
			}
			token := r.token(0, 0, tt.from...)
			if got := binary.BigEndian.Uint64(token[tokenSizeAt+8:]); got != uint64(len(rod)) {
				t.Errorf("the token stands for %d bytes, want %d", got, len(rod))
			}
			if !bytes.Equal(token[tokenUnitAt+8:tokenUnitAt+16], r.disks[0].naa[:]) {
				t.Errorf("the token names another unit: % x", token[tokenUnitAt:tokenUnitAt+32])
			}
			if res := r.writeUsing(tt.dst, 2, writeList(0, tt.offset, token, tt.to...)); !res.Good() {
				t.Fatal(res)
			}
			r.want(tt.dst, 0, want)
			st := r.good(tt.dst, statusCDB(saTokenInfo, 2), nil)
			if len(st) != 36 || st[4] != saWriteToken || st[5] != completed || st[15] != unitBlocks ||
				binary.BigEndian.Uint64(st[16:]) != uint64(total) || binary.BigEndian.Uint32(st) != 32 {
				t.Errorf("RECEIVE ROD TOKEN INFORMATION % x", st)
			}
		})
	}
}

// TestOnReference: a token stands for the blocks, not for what they held.
func TestOnReference(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	token := r.token(0, 0, span{0, 1})
	if binary.BigEndian.Uint32(token) != rodOnReference {
		t.Errorf("ROD type % x", token[:4])
	}
	later := bytes.Repeat([]byte{7}, 512)
	r.good(0, []byte{0x2a, 8: 1, 9: 0}, later)
	if res := r.writeUsing(1, 1, writeList(0, 0, token, span{9, 1})); !res.Good() {
		t.Fatal(res)
	}
	r.want(1, 9*512, later)
}

// TestZeroToken zeros, with a token that nobody has to make.
func TestZeroToken(t *testing.T) {
	r := newRig(t, shape{})
	want := r.disks[0].bytes(0, diskBytes)
	clear(want[512 : 3*512])
	clear(want[100*512 : 4000*512])
	if res := r.writeUsing(0, 1, writeList(0, 0, zeroToken(), span{1, 2}, span{100, 3900})); !res.Good() {
		t.Fatal(res)
	}
	r.want(0, 0, want)
}

// TestZeroWithoutWriteSame zeros a disk that cannot do it by itself.
func TestZeroWithoutWriteSame(t *testing.T) {
	r := newRig(t, shape{})
	m := &medium{path: r.path(0), blockSize: 512, blocks: diskBytes / 512}
	o := &operation{ctx: t.Context()}
	want := r.disks[0].bytes(0, diskBytes)
	clear(want[512 : 512+chunkLen+1024])
	if err := clean(o, m, 512, chunkLen+1024); err != nil {
		t.Fatal(err)
	}
	r.want(0, 0, want)
	if n := o.bytes.Load(); n != chunkLen+1024 {
		t.Errorf("%d bytes done", n)
	}
}

// TestNotReady: a stopped disk makes no token, and is not written.
func TestNotReady(t *testing.T) {
	r := newRig(t, shape{}, shape{})
	token := r.token(0, 0, span{0, 8})
	stop := []byte{0x1b, 0, 0, 0, 0, 0}
	r.good(0, stop, nil)
	l := populateList(0, 0, 0, span{0, 8})
	r.bad(0, tokenCDB(saPopulate, 1, len(l)), l, sense.NotReady, sense.InitializingCommandRequired)
	if res := r.writeUsing(1, 1, writeList(0, 0, token, span{0, 8})); !thirdParty(res) {
		t.Errorf("a source that is stopped: %v", res)
	}
	r.good(1, stop, nil)
	w := writeList(0, 0, zeroToken(), span{0, 8})
	r.bad(1, tokenCDB(saWriteToken, 1, len(w)), w, sense.NotReady, sense.InitializingCommandRequired)
}

// TestBackgroundToken: WRITE USING TOKEN with IMMED ends at once and goes on.
func TestBackgroundToken(t *testing.T) {
	d := newDoor()
	r := newRig(t, shape{}, shape{hook: d.hook("write")})
	token := r.token(0, 0, span{0, 8})
	if res := r.writeUsing(1, 2, writeList(immedBit, 0, token, span{8, 8})); !res.Good() {
		t.Fatal(res)
	}
	within(t, "the write", d.arrived)
	if st := r.good(1, statusCDB(saTokenInfo, 2), nil); st[5] != inBackground || len(st) != 36 {
		t.Errorf("status % x", st)
	}
	close(d.open)
	for range maxCopies {
		r.m.slots <- struct{}{}
	}
	if st := r.good(1, statusCDB(saTokenInfo, 2), nil); st[5] != completed {
		t.Errorf("status % x", st)
	}
	r.want(1, 8*512, r.disks[0].bytes(0, 8*512))
}

// TestBadToken: every token that is not ours, or no longer.
func TestBadToken(t *testing.T) {
	r := newRig(t, shape{}, shape{}, shape{blockSize: 4096})
	now := time.Unix(1000, 0)
	r.m.tokens.now = func() time.Time { return now }
	token := r.token(0, 5, span{0, 8})
	use := func(lun int, flags byte, offset uint64, token []byte, spans ...span) coretest.Result {
		return r.writeUsing(lun, 1, writeList(flags, offset, token, spans...))
	}
	one := span{0, 1}
	for _, tt := range []struct {
		name string
		got  coretest.Result
		key  sense.Key
		code sense.Code
	}{
		{"type", use(1, 0, 0, set(token, 0, 0, 0x80, 0, 0), one), sense.IllegalRequest, 0x2301},
		{"length", use(1, 0, 0, set(token, 7, 0), one), sense.IllegalRequest, 0x230a},
		{"unknown", use(1, 0, 0, set(token, tokenIDAt, ^token[tokenIDAt]), one), sense.IllegalRequest, 0x2304},
		{"corrupt", use(1, 0, 0, set(token, 511, ^token[511]), one), sense.IllegalRequest, 0x2305},
		{"more than it stands for", use(1, 0, 0, token, span{0, 9}), sense.CopyAborted, dataUnderrun},
		{"more than is left", use(1, 0, 4, token, span{0, 5}), sense.CopyAborted, dataUnderrun},
		{"offset behind it", use(1, 0, 9, token, one), sense.IllegalRequest, sense.InvalidFieldInParameterList},
		{"another block size", use(2, 0, 0, token, one), sense.IllegalRequest, invalidOperation},
	} {
		if !tt.got.Is(tt.key, tt.code) {
			t.Errorf("%s: %v", tt.name, tt.got)
		}
	}

	all := r.nexus
	r.nexus = r.newNexus(1)
	if res := use(1, 0, 0, token, one); !res.Is(sense.IllegalRequest, 0x2615) {
		t.Errorf("a source that the nexus does not see: %v", res)
	}
	r.nexus = r.newNexus()
	if res := use(1, 0, 0, token, one); !res.Good() {
		t.Errorf("another nexus that sees the source: %v", res)
	}
	r.nexus = all

	now = now.Add(5 * time.Second)
	if res := use(1, 0, 0, token, one); !res.Good() {
		t.Errorf("at its timeout: %v", res)
	}
	now = now.Add(4 * time.Second)
	if res := use(1, 0, 0, token, one); !res.Good() {
		t.Errorf("the timeout begins anew: %v", res)
	}
	now = now.Add(6 * time.Second)
	if res := use(1, 0, 0, token, one); !res.Is(sense.IllegalRequest, 0x2307) {
		t.Errorf("after its timeout: %v", res)
	}

	token = r.token(0, 0, span{0, 8})
	if res := use(1, deleteBit, 0, token, one); !res.Good() {
		t.Errorf("DEL_TKN: %v", res)
	}
	if res := use(1, 0, 0, token, one); !res.Is(sense.IllegalRequest, 0x2309) {
		t.Errorf("after DEL_TKN: %v", res)
	}

	other := newRig(t, shape{}, shape{}) // a restart knows no token
	token = r.token(0, 0, span{0, 8})
	if res := other.writeUsing(1, 1, writeList(0, 0, token, one)); !res.Is(sense.IllegalRequest, 0x2304) {
		t.Errorf("token of another copy manager: %v", res)
	}
}

// TestTokenLimit: tokens are bounded for each nexus, and room comes back when they expire.
func TestTokenLimit(t *testing.T) {
	r := newRig(t, shape{})
	now := time.Unix(1000, 0)
	r.m.tokens.now = func() time.Time { return now }
	l := populateList(0, 1, 0, span{0, 1})
	for range maxNexusTokens {
		r.good(0, tokenCDB(saPopulate, 1, len(l)), l)
	}
	r.bad(0, tokenCDB(saPopulate, 1, len(l)), l, sense.IllegalRequest, 0x550d)
	r.nexus = r.newNexus()
	r.good(0, tokenCDB(saPopulate, 1, len(l)), l)
	now = now.Add(2 * time.Second)
	for range maxNexusTokens {
		r.good(0, tokenCDB(saPopulate, 1, len(l)), l)
	}
	if n := len(r.m.tokens.known); n != maxNexusTokens {
		t.Errorf("%d tokens known", n)
	}
}

// TestMalformedTokens: faults of the lists of both token commands.
func TestMalformedTokens(t *testing.T) {
	r := newRig(t, shape{})
	before := r.disks[0].bytes(0, diskBytes)
	p := populateList(0, 0, 0, span{0, 8}, span{16, 8})
	w := writeList(0, 0, zeroToken(), span{0, 8}, span{16, 8})
	many := make([]span, maxRanges+1)
	const none = -1
	for _, tt := range []struct {
		name   string
		action byte
		list   []byte
		code   sense.Code
		at     int
	}{
		{"header cut", saPopulate, p[:15], sense.ParameterListLengthError, none},
		{"ranges cut", saPopulate, p[:len(p)-1], sense.ParameterListLengthError, none},
		{"data length", saPopulate, set(p, 1, 29), sense.InvalidFieldInParameterList, 0},
		{"no range", saPopulate, set(p, 14, 0, 15), sense.InvalidFieldInParameterList, 14},
		{"timeout", saPopulate, populateList(0, maxTimeout+1, 0, span{0, 8}), sense.InvalidFieldInParameterList, 4},
		{"ROD type", saPopulate, populateList(rtvBit, 0, 0x00800000, span{0, 8}), sense.InvalidFieldInParameterList, 8},
		{"ranges", saPopulate, populateList(0, 0, 0, many...), tooManySegments, 14},
		{"overlap", saPopulate, populateList(0, 0, 0, span{0, 8}, span{7, 8}), sense.InvalidFieldInParameterList, 16 + 16},
		{"beyond the end", saPopulate, populateList(0, 0, 0, span{4095, 2}), sense.LBAOutOfRange, none},
		{"write header cut", saWriteToken, w[:535], sense.ParameterListLengthError, none},
		{"write ranges cut", saWriteToken, w[:len(w)-1], sense.ParameterListLengthError, none},
		{"write data length", saWriteToken, set(w, 1, 0), sense.InvalidFieldInParameterList, 0},
		{"no range to write", saWriteToken, set(w, 534, 0, 0), sense.InvalidFieldInParameterList, 534},
		{"ranges to write", saWriteToken, writeList(0, 0, zeroToken(), many...), tooManySegments, 534},
		{"overlap of what is written", saWriteToken, writeList(0, 0, zeroToken(), span{7, 8}, span{0, 8}), sense.InvalidFieldInParameterList, 536 + 16},
		{"write beyond the end", saWriteToken, writeList(0, 0, zeroToken(), span{1 << 63, 1}), sense.LBAOutOfRange, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := r.bad(0, tokenCDB(tt.action, 1, len(tt.list)), tt.list, sense.IllegalRequest, tt.code)
			if e.HasField != (tt.at != none) || e.HasField && (!e.InData || int(e.Field) != tt.at) {
				t.Errorf("%v, want byte %d", e, tt.at)
			}
		})
	}
	r.want(0, 0, before)
	rtv := populateList(rtvBit, 0, rodOnReference, span{0, 8})
	r.good(0, tokenCDB(saPopulate, 1, len(rtv)), rtv)
}

// TestSourceFails: the source of a token that cannot be read is a third party.
func TestSourceFails(t *testing.T) {
	r := newRig(t, shape{hook: func(op string, off, _ int64) error {
		if op == "read" && off > 0 {
			return errStore
		}
		return nil
	}}, shape{})
	token := r.token(0, 0, span{1, 8})
	if res := r.writeUsing(1, 1, writeList(0, 0, token, span{0, 8})); !thirdParty(res) {
		t.Error(res)
	}
}
