package cartridge

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// TestXAES has the vectors of the C2SP specification.
func TestXAES(t *testing.T) {
	for _, c := range []struct {
		key       byte
		aad, want string
	}{
		{1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		k := medium.Key{AES: [32]byte(bytes.Repeat([]byte{c.key}, 32))}
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		b, err := seal(&k, nonce, []byte("XAES-256-GCM"), []byte(c.aad))
		if err != nil || hex.EncodeToString(b) != c.want {
			t.Fatalf("%x, %v; want %s", b, err, c.want)
		}
		if b, err = unseal(&k, nonce, b, []byte(c.aad)); err != nil || string(b) != "XAES-256-GCM" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

// TestNonces seals the same frame twice, as after a write that failed.
func TestNonces(t *testing.T) {
	f := &frame{raw: []byte("x"), key: &medium.Key{}}
	f.add(1, 1)
	f.crcs = []uint32{0}
	f.enc = &medium.Encryption{}
	a, err := f.encode([16]byte{})
	b, err2 := f.encode([16]byte{})
	if err != nil || err2 != nil || bytes.Equal(a.meta, b.meta) || bytes.Equal(a.body[0], b.body[0]) {
		t.Fatalf("%x %x, %v %v", a.meta, b.meta, err, err2)
	}
	if bytes.Contains(a.meta, le.AppendUint32(nil, crc32.Checksum([]byte("x"), castagnoli))) {
		t.Fatal("the checksum of a block is beside its frame")
	}
}

// TestBytes pins the bytes of docs/formats/cartridge.md.
func TestBytes(t *testing.T) {
	s := &segment{number: 2, first: 3, last: 4, salt: 0x0807060504030201, committed: 1, end: 300, begin: state{limit: 9, n: 1}}
	c := &content{first: 5, marks: 1}
	c.add(3, 2)
	c.add(0, 1)
	c.crcs = []uint32{0x11223344, 0x55667788}
	h := header{kind: frameRecord, partition: 1, data: 6, number: 4, committed: 2}
	s.add(&header{kind: frameRecord, meta: 10, data: 6, number: 4}, c, 250)
	for _, x := range []struct {
		name string
		got  []byte
		want string
	}{
		{"meta", c.appendTo(nil), "05" + "01" + "02" + "0302" + "0001" + "44332211" + "88776655"},
		{"record", h.appendTo(nil, s.salt, []byte{0xaa}), "54524543" + "42069c84" + "01000100" + "01000000" + "06000000" + "00000000" +
			"0400000000000000" + "0200000000000000" + "aa"},
		{"header", appendSegmentHeader(nil, s, [16]byte{0xee})[:headerCopy], "5447545345474d54" + "0100" + "0000" + "48000000" + "ee000000000000000000000000000000" +
			"0200000000000000" + "0300000000000000" + "0102030405060708" + "0100000000000000" + "00000000" + "7e86dcdb"},
		{"table", s.tables[0].appendTo(nil), "01000000" + "0500000000000000" + "0100000000000000" + "0000000000000000" + "fa000000" + "00000000" +
			"03" + "01" + "00" + "32" + "06"},
		{"summary", s.summary(nil), "02" + "0102030405060708" + "03" + "02" + "01" + "ac02" + "00000901" + "000000000000" +
			"01" + "00" + "04" + "05" + "03" + "01" + "01" + "00" + "06" + "00" + "00" + "00000000" + "00"},
		{"catalog", catalogHead(), "5447544341544c47" + "0100" + "0000" + "a795f9df"},
	} {
		if got := hex.EncodeToString(x.got); got != x.want {
			t.Errorf("%s:\n%s, want\n%s", x.name, got, x.want)
		}
	}
}

func testBeginning() beginning {
	g := beginning{why: RolledBack, partition: 1, from: 3, when: time.Unix(5, 6).UTC()}
	g.before = state{generation: 7, released: 2, limit: 1000, n: 2}
	g.before.parts[1] = partition{500, 10, 2, 300, 900, 800}
	g.after = state{generation: 8, released: 2, limit: 1000, n: 1}
	g.attrs = testAttributes()
	return g
}

func testAttributes() *attributes {
	a := new(attributes)
	a.set(0, medium.Attribute{ID: 0x800, Format: 1, Value: []byte("targate")})
	a.set(2, medium.Attribute{ID: 0x801, Format: 0, Value: []byte{1, 2}})
	return a
}

func testSegment() *segment {
	s := &segment{number: 2, first: 30, last: 29, salt: 99, committed: 17, end: segmentHeader, begin: state{limit: 1 << 40, n: 2}}
	for i := range 200 {
		c := &content{first: uint64(3 * i), marks: uint64(i)}
		c.add(1000, 2)
		c.add(0, 1)
		h := header{kind: frameRecord, partition: 0, meta: 20, data: 2000, number: s.last + 1}
		s.add(&h, c, s.end)
		s.last++
		s.end += h.length()
	}
	g := testBeginning()
	s.last++
	s.cut(s.last, g)
	s.end += 300
	s.footer() // places the tables
	s.sealed = true
	return s
}

func FuzzRecord(f *testing.F) {
	c := &content{first: 5, marks: 1}
	c.add(3, 2)
	c.add(0, 1)
	c.crcs = []uint32{1, 2}
	for _, h := range []header{
		{kind: frameRecord, partition: 1, data: 6, number: 4, committed: 2},
		{kind: frameRecord, codec: zstdCodec, data: 4, dataCRC: 5, number: 4},
	} {
		f.Add(h.appendTo(nil, 7, c.appendTo(nil)))
	}
	e := *c
	e.enc, e.nonce = &medium.Encryption{UKAD: []byte("u"), AKAD: []byte("a"), RawDecryptionDisabled: true}, make([]byte, nonceLen)
	h := header{kind: frameRecord, encrypted: true, data: 30, number: 9}
	f.Add(h.appendTo(nil, 7, e.appendTo(nil)))
	g := testBeginning()
	f.Add((&header{kind: generationRecord, number: 2}).appendTo(nil, 7, g.appendTo(nil)))
	k := checkpoint{purpose: atClose, state: g.before, attrs: *testAttributes()}
	f.Add((&header{kind: checkpointRecord, number: 2}).appendTo(nil, 7, k.appendTo(nil)))
	f.Add((&header{kind: attributesRecord, number: 2}).appendTo(nil, 7, appendChanges(nil, 1, []medium.Attribute{{ID: 3, Value: []byte("v")}, {ID: 4}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil || headerLen+h.meta > len(b) {
			return
		}
		meta := b[headerLen : headerLen+h.meta]
		var again []byte
		c := &cursor{b: meta}
		switch h.kind {
		case frameRecord:
			x, err := parseContent(&h, meta)
			if err != nil {
				return
			}
			if x.raw > maxData || x.blocks > maxFrameBlocks {
				t.Fatalf("%d bytes in %d blocks", x.raw, x.blocks)
			}
			for _, n := range []uint64{0, x.objects / 2, x.objects - 1, x.objects} {
				if _, blocks, marks, off := x.at(n); blocks > x.blocks || marks > x.inner || off > x.raw {
					t.Fatalf("object %d of %+v: %d %d %d", n, x, blocks, marks, off)
				}
			}
			again = x.appendTo(nil)
		case attributesRecord:
			all := c.changes()
			if !c.end() {
				return
			}
			again = le.AppendUint32(nil, 0)[:0]
			again = binary.AppendUvarint(again, uint64(len(all)))
			for _, a := range all {
				again = appendAttribute(again, a.partition, a.Attribute)
			}
		case generationRecord:
			g := c.beginning()
			if !c.end() {
				return
			}
			again = g.appendTo(nil)
		case checkpointRecord:
			k := c.checkpoint()
			if !c.end() {
				return
			}
			if again = k.appendTo(nil); len(again) != len(meta) {
				t.Fatalf("%x, read from %x", again, meta)
			}
			return // attributes may come in another order
		}
		if h.kind != generationRecord && !bytes.Equal(again, meta) {
			t.Fatalf("%x, read from %x", again, meta)
		}
		if x := h.appendTo(nil, 7, meta); !bytes.Equal(x[8:], b[8:headerLen+h.meta]) {
			t.Fatalf("%x, read from %x", x, b)
		}
	})
}

func FuzzSummary(f *testing.F) {
	f.Add(testSegment().summary(nil))
	f.Add((&segment{number: 1, first: 1, last: 1, end: segmentHeader + 60, begin: state{limit: 5, n: 1}}).summary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSummary(b)
		if err != nil {
			return
		}
		again, err := parseSummary(s.summary(nil))
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%+v, %v; read again from %+v", again, err, s)
		}
		v := replay([]*segment{s}, noLimit, nil)
		for p := range v {
			if !slices.IsSortedFunc(v[p], func(a, b piece) int { return cmpUint(a.stretch().first, b.stretch().first) }) {
				t.Fatalf("%+v", v[p])
			}
		}
	})
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func FuzzTable(f *testing.F) {
	s := testSegment()
	f.Add(s.tables[0].appendTo(nil), uint64(77))
	f.Add([]byte{0, 0, 0, 0}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		x, err := parseTable(b)
		if err != nil {
			return
		}
		if p, ok := x.object(n); ok && (n < p.first || n-p.first >= p.objects) {
			t.Fatalf("object %d in %+v", n, p)
		}
		if p, ok := x.mark(n); ok && (n < p.marks || n-p.marks >= p.inner) {
			t.Fatalf("filemark %d in %+v", n, p)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	i := Identity{ID: newUUID(), Barcode: "TG0001L8", Type: "LTO-8", Serial: "1", WORM: true, Capacity: 5, SegmentSize: MinSegment, Created: time.Unix(1, 2).UTC()}
	f.Add(i.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := decodeIdentity(b); err == nil && !bytes.Equal(i.encode()[identityHead:], b[identityHead:]) {
			t.Fatalf("%+v from %x", i, b)
		}
	})
}

// FuzzSegment reads files: a segment, with its log and footer.
func FuzzSegment(f *testing.F) {
	s := testSegment()
	b := appendSegmentHeader(nil, s, [16]byte{1})
	k := checkpoint{state: s.begin}
	b = append(b, (&header{kind: checkpointRecord, number: 30}).appendTo(nil, s.salt, k.appendTo(nil))...)
	c := &content{}
	c.add(3, 1)
	c.crcs = []uint32{crc32.Checksum([]byte("abc"), castagnoli)}
	b = append(b, (&header{kind: frameRecord, data: 3, number: 31, committed: 30}).appendTo(nil, s.salt, c.appendTo(nil))...)
	f.Add(append(b, "abc"...), false)
	f.Add(append(b, s.footer()...), true)
	f.Fuzz(func(t *testing.T, b []byte, durable bool) {
		file := memFile(b)
		h, _ := readSegmentHeader(file, 2, [16]byte{1})
		if h == nil {
			return
		}
		if x, ok, err := readFooter(file, h); err != nil || (ok && x.last+1 < x.first) {
			t.Fatalf("%+v, %v", x, err)
		}
		r, err := newReader(file, h)
		if err != nil {
			t.Fatal(err)
		}
		r.deep = true
		committed, err := r.committedIn()
		if err != nil {
			t.Fatal(err)
		}
		if !durable {
			committed = 0
		}
		if _, err := r.scan(noLimit, committed, func(int64, error) {}); err == nil && h.end > int64(len(b)) {
			t.Fatalf("the log ends at %d of %d", h.end, len(b))
		}
	})
}

// memFile is a file to read.
type memFile []byte

func (f memFile) ReadAt(b []byte, off int64) (int, error) { return bytes.NewReader(f).ReadAt(b, off) }
func (f memFile) ReadV(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.ReadAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
func (f memFile) WriteV([][]byte, int64) error { return fmt.Errorf("read only") }
func (f memFile) Truncate(int64) error         { return fmt.Errorf("read only") }
func (f memFile) Size() (int64, error)         { return int64(len(f)), nil }
func (f memFile) Sync() error                  { return nil }
func (f memFile) Close() error                 { return nil }
