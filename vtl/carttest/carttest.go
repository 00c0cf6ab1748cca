// Package carttest is what any medium.Medium must do: a suite for the tests of one.
package carttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/targate/targate/vtl/medium"
)

// Tape is a cartridge under test.
type Tape interface {
	// Mount gives its contents until Close; what was recorded before is there.
	Mount(readOnly bool) (medium.Medium, error)
}

// Suite makes blank cartridges of one partition that hold capacity bytes.
type Suite struct {
	New func(t *testing.T, worm bool, capacity int64) Tape
}

// Run runs all.
func Run(t *testing.T, s Suite) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Suite)
	}{
		{"Blank", testBlank},
		{"Positions", testPositions},
		{"Arguments", testArguments},
		{"Overwrite", testOverwrite},
		{"Truncate", testTruncate},
		{"Filemarks", testFilemarks},
		{"BlockSizes", testBlockSizes},
		{"MaxBlock", testMaxBlock},
		{"ShortRead", testShortRead},
		{"Compression", testCompression},
		{"Encryption", testEncryption},
		{"Checksum", testChecksum},
		{"Attributes", testAttributes},
		{"Format", testFormat},
		{"SetCapacity", testSetCapacity},
		{"Full", testFull},
		{"WORM", testWORM},
		{"ReadOnly", testReadOnly},
		{"Closed", testClosed},
		{"Concurrent", testConcurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

const ample = 1 << 30

// Open mounts tape, until the test ends.
func Open(t testing.TB, tape Tape) medium.Medium {
	t.Helper()
	m, err := tape.Mount(false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (s Suite) open(t *testing.T) medium.Medium {
	t.Helper()
	return Open(t, s.New(t, false, ample))
}

// Data is n bytes that do not compress, the same for the same seed.
func Data(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n:n]
}

// Text is n bytes that compress well.
func Text(n int, seed uint64) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of block %d\n", i, seed)
	}
	return b.Bytes()[:n]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantIs(t *testing.T, err, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("%v, want %v", err, class)
	}
}

// wantRead reads object at and compares.
func wantRead(t *testing.T, m medium.Medium, p int, at uint64, want []byte) {
	t.Helper()
	dst := make([]byte, len(want)+10)
	o, err := m.Read(p, at, dst, nil)
	if err != nil || o.Kind != medium.Block || o.Length != len(want) || !bytes.Equal(dst[:len(want)], want) {
		t.Fatalf("object %d: %+v, %v; want a block of %d bytes", at, o, err, len(want))
	}
	if crc := crc32.Checksum(want, castagnoli); o.CRC != crc {
		t.Fatalf("object %d: CRC %08x, want %08x", at, o.CRC, crc)
	}
}

func wantKind(t *testing.T, m medium.Medium, p int, at uint64, k medium.Kind) {
	t.Helper()
	if o, err := m.Read(p, at, make([]byte, 16), nil); err != nil || o.Kind != k {
		t.Fatalf("object %d: %+v, %v; want kind %d", at, o, err, k)
	}
}

func wantMarks(t *testing.T, m medium.Medium, p int, object, want uint64) {
	t.Helper()
	if n, err := m.FilemarksBefore(p, object); err != nil || n != want {
		t.Fatalf("%d filemarks before %d, %v; want %d", n, object, err, want)
	}
}

func wantMark(t *testing.T, m medium.Medium, p int, n, want uint64) {
	t.Helper()
	if o, err := m.Filemark(p, n); err != nil || o != want {
		t.Fatalf("filemark %d is object %d, %v; want %d", n, o, err, want)
	}
}

func wantEnd(t *testing.T, m medium.Medium, p int, objects, marks uint64) {
	t.Helper()
	x := m.Partition(p)
	if x.Objects != objects || x.Filemarks != marks {
		t.Fatalf("%d objects and %d filemarks, want %d and %d", x.Objects, x.Filemarks, objects, marks)
	}
	wantKind(t, m, p, objects, medium.EndOfData)
	wantKind(t, m, p, objects+5, medium.EndOfData)
	wantMarks(t, m, p, objects, marks)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func testBlank(t *testing.T, s Suite) {
	m := s.open(t)
	if n := m.Partitions(); n != 1 {
		t.Fatalf("%d partitions", n)
	}
	if x := m.Partition(0); x != (medium.Partition{Capacity: ample}) {
		t.Fatalf("%+v", x)
	}
	wantEnd(t, m, 0, 0, 0)
	must(t, m.Flush())
	if _, err := m.Filemark(0, 0); err == nil {
		t.Fatal("a filemark on a blank tape")
	}
	if i := m.Info(); i.Generation != 0 || i.ReadOnly || i.WORM || i.ID == "" {
		t.Fatalf("%+v", i)
	}
}

// testPositions records files of blocks, and looks at each object from everywhere, before and
// after they are durable and after a new mount.
func testPositions(t *testing.T, s Suite) {
	tape := s.New(t, false, ample)
	m, err := tape.Mount(false)
	must(t, err)
	var at uint64
	var objects [][]byte
	for file := range 5 {
		for i := range 7 * file {
			b := Data(100*i+1, uint64(file))
			must(t, m.Write(0, at, b, medium.Recording{Compress: i%2 == 0}))
			objects = append(objects, b)
			at++
		}
		must(t, m.WriteFilemarks(0, at, uint64(file+1)))
		for range file + 1 {
			objects = append(objects, nil)
			at++
		}
	}
	look := func(m medium.Medium) {
		t.Helper()
		check(t, m, 0, objects)
		for i := len(objects) - 1; i >= 0; i-- { // READ REVERSE
			if objects[i] != nil {
				wantRead(t, m, 0, uint64(i), objects[i])
			}
		}
	}
	look(m)
	must(t, m.Flush())
	look(m)
	must(t, m.Close())
	if m, err = tape.Mount(false); err != nil {
		t.Fatal(err)
	}
	look(m)
	must(t, m.Close())
}

// check compares all of partition p with objects, of which nil is a filemark.
func check(t *testing.T, m medium.Medium, p int, objects [][]byte) {
	t.Helper()
	marks := uint64(0)
	for i, b := range objects {
		wantMarks(t, m, p, uint64(i), marks)
		if b == nil {
			wantKind(t, m, p, uint64(i), medium.Filemark)
			wantMark(t, m, p, marks, uint64(i))
			marks++
		} else {
			wantRead(t, m, p, uint64(i), b)
		}
	}
	wantEnd(t, m, p, uint64(len(objects)), marks)
}

func testArguments(t *testing.T, s Suite) {
	m := s.open(t)
	must(t, m.Write(0, 0, []byte("x"), medium.Recording{}))
	for name, err := range map[string]error{
		"an empty block":                 m.Write(0, 1, nil, medium.Recording{}),
		"a block that is too long":       m.Write(0, 1, make([]byte, medium.MaxBlock+1), medium.Recording{}),
		"a block behind the end":         m.Write(0, 2, []byte("x"), medium.Recording{}),
		"filemarks behind the end":       m.WriteFilemarks(0, 2, 1),
		"an end behind the end":          m.Truncate(0, 2),
		"a partition that is not there":  m.Write(1, 0, []byte("x"), medium.Recording{}),
		"no partitions":                  m.Format(nil),
		"five partitions":                m.Format(make([]int64, 5)),
		"partitions that are too large":  m.Format([]int64{ample, 1}),
		"a partition of negative length": m.Format([]int64{-1}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := m.FilemarksBefore(0, 2); err == nil {
		t.Error("filemarks before an object that is not there")
	}
	if _, err := m.Read(1, 0, nil, nil); err == nil {
		t.Error("a read of a partition that is not there")
	}
	check(t, m, 0, [][]byte{[]byte("x")})
	if g := m.Info().Generation; g != 0 {
		t.Errorf("generation %d", g)
	}
}

func testOverwrite(t *testing.T, s Suite) {
	m := s.open(t)
	var objects [][]byte
	record := func(at int, b []byte) {
		t.Helper()
		if b == nil {
			must(t, m.WriteFilemarks(0, uint64(at), 1))
		} else {
			must(t, m.Write(0, uint64(at), b, medium.Recording{}))
		}
		objects = append(objects[:at:at], b)
		check(t, m, 0, objects)
	}
	for i := range 20 {
		record(len(objects), Data(1000+i, 1))
		if i%3 == 0 {
			record(len(objects), nil)
		}
	}
	want := uint64(0)
	for _, at := range []int{15, 15, 16, 9, 0, 1, 0} {
		want++
		if at == len(objects) {
			want--
		}
		record(at, Data(500+at, 2))
		record(len(objects), nil)
		if g := m.Info().Generation; g != want {
			t.Fatalf("generation %d, want %d", g, want)
		}
	}
	want++
	record(0, nil)
	must(t, m.Flush())
	check(t, m, 0, objects)
	if g := m.Info().Generation; g != want {
		t.Fatalf("generation %d, want %d", g, want)
	}
}

func testTruncate(t *testing.T, s Suite) {
	m := s.open(t)
	var objects [][]byte
	for i := range uint64(30) {
		b := Text(3000, i)
		must(t, m.Write(0, i, b, medium.Recording{Compress: true}))
		objects = append(objects, b)
	}
	must(t, m.Truncate(0, 30))
	if g := m.Info().Generation; g != 0 {
		t.Fatalf("generation %d after nothing was erased", g)
	}
	for i, at := range []uint64{29, 10, 0} {
		must(t, m.Truncate(0, at))
		check(t, m, 0, objects[:at])
		if g := m.Info().Generation; g != uint64(i+1) {
			t.Fatalf("generation %d, want %d", g, i+1)
		}
	}
	if u := m.Partition(0).Used; u != 0 {
		t.Fatalf("%d bytes in use", u)
	}
}

func testFilemarks(t *testing.T, s Suite) {
	m := s.open(t)
	must(t, m.WriteFilemarks(0, 0, 0))
	wantEnd(t, m, 0, 0, 0)
	const n = 1 << 20
	must(t, m.WriteFilemarks(0, 0, n))
	must(t, m.Write(0, n, []byte("x"), medium.Recording{}))
	must(t, m.WriteFilemarks(0, n+1, n))
	for range 2 {
		wantEnd(t, m, 0, 2*n+1, 2*n)
		for _, k := range []uint64{0, 1, 1000, n - 1} {
			wantMark(t, m, 0, k, k)
			wantMark(t, m, 0, n+k, n+1+k)
			wantMarks(t, m, 0, k, k)
			wantMarks(t, m, 0, n+1+k, n+k)
			wantKind(t, m, 0, k, medium.Filemark)
		}
		wantRead(t, m, 0, n, []byte("x"))
		must(t, m.WriteFilemarks(0, 7, 0)) // nothing goes
		must(t, m.Flush())
	}
	must(t, m.WriteFilemarks(0, 5, 2))
	wantEnd(t, m, 0, 7, 7)
	if u := m.Partition(0).Used; u != 0 {
		t.Errorf("filemarks take %d bytes", u)
	}
}

func testBlockSizes(t *testing.T, s Suite) {
	m := s.open(t)
	var objects [][]byte
	record := func(n int, r medium.Recording) {
		if n < 1 || n > medium.MaxBlock {
			return
		}
		b := Data(n, uint64(len(objects)))
		must(t, m.Write(0, uint64(len(objects)), b, r))
		objects = append(objects, b)
	}
	for size := 1; size <= 1<<22; size *= 2 {
		for _, n := range []int{size - 1, size, size + 1} {
			record(n, medium.Recording{})
			record(n, medium.Recording{Compress: true})
		}
	}
	check(t, m, 0, objects)
	must(t, m.Flush())
	check(t, m, 0, objects)
}

func testMaxBlock(t *testing.T, s Suite) {
	m := s.open(t)
	a, b := Data(medium.MaxBlock, 1), Text(medium.MaxBlock, 2)
	key := &medium.Key{AES: [32]byte{1}}
	must(t, m.Write(0, 0, a, medium.Recording{}))
	must(t, m.Write(0, 1, b, medium.Recording{Compress: true}))
	must(t, m.Write(0, 2, a, medium.Recording{Key: key}))
	must(t, m.Flush())
	wantRead(t, m, 0, 0, a)
	wantRead(t, m, 0, 1, b)
	dst := make([]byte, len(a))
	if o, err := m.Read(0, 2, dst, key); err != nil || o.Length != len(a) || !bytes.Equal(dst, a) {
		t.Fatal(o, err)
	}
}

func testShortRead(t *testing.T, s Suite) {
	m := s.open(t)
	blocks := [][]byte{Data(100<<10, 1), Text(100<<10, 2), Data(100, 3)}
	for i, b := range blocks {
		must(t, m.Write(0, uint64(i), b, medium.Recording{Compress: i > 0}))
	}
	for range 2 {
		for i, b := range blocks {
			for _, n := range []int{0, 1, 99, 100, 4096} {
				dst := bytes.Repeat([]byte{0xEE}, n)
				o, err := m.Read(0, uint64(i), dst, nil)
				if err != nil || o.Kind != medium.Block || o.Length != len(b) || o.CRC != crc32.Checksum(b, castagnoli) {
					t.Fatalf("%d bytes of block %d: %+v, %v", n, i, o, err)
				}
				if k := min(n, len(b)); !bytes.Equal(dst[:k], b[:k]) || bytes.Contains(dst[k:], b[:1]) && b[0] != 0xEE {
					t.Fatalf("%d bytes of block %d are not its first", n, i)
				}
			}
		}
		must(t, m.Flush())
	}
}

func testCompression(t *testing.T, s Suite) {
	m := s.open(t)
	const n, size = 64, 32 << 10
	for i := range uint64(n) {
		must(t, m.Write(0, i, Text(size, i), medium.Recording{Compress: true}))
	}
	must(t, m.Flush())
	x := m.Partition(0)
	if x.Written != n*size || x.Stored == 0 || x.Stored > n*size/2 || x.Used != int64(x.Stored) {
		t.Fatalf("text of %d bytes: %+v", n*size, x)
	}
	for i := range uint64(n) {
		must(t, m.Write(0, n+i, Data(size, i), medium.Recording{Compress: i%2 == 0}))
	}
	must(t, m.Flush())
	if y := m.Partition(0); y.Written != 2*n*size || y.Stored < x.Stored+n*size || y.Stored > x.Stored+n*size+n*64 {
		t.Fatalf("then as much that does not compress: %+v", y)
	}
	must(t, m.Write(0, 0, []byte("x"), medium.Recording{}))
	must(t, m.Flush())
	if y := m.Partition(0); y.Written != 2*n*size+1 || y.Used != 1 {
		t.Fatalf("after an overwrite: %+v", y)
	}
}

func testEncryption(t *testing.T, s Suite) {
	tape := s.New(t, false, ample)
	m, err := tape.Mount(false)
	must(t, err)
	key := &medium.Key{AES: [32]byte{1, 2, 3}, UKAD: []byte("unauthenticated"), AKAD: []byte("authentic"), RawDecryptionDisabled: true}
	other := &medium.Key{AES: [32]byte{1, 2, 4}}
	blocks := [][]byte{Data(10, 1), Text(200<<10, 2), Data(100<<10, 3), Data(10, 4), Data(10, 5)}
	keys := []*medium.Key{key, key, key, other, nil}
	for i, b := range blocks {
		must(t, m.Write(0, uint64(i), b, medium.Recording{Key: keys[i], Compress: i == 1}))
	}
	look := func(m medium.Medium) {
		t.Helper()
		for i, b := range blocks {
			dst := make([]byte, len(b))
			o, err := m.Read(0, uint64(i), nil, nil)
			if err != nil || o.Kind != medium.Block || o.Length != len(b) || (o.Encryption != nil) != (keys[i] != nil) {
				t.Fatalf("block %d: %+v, %v", i, o, err)
			}
			if k := keys[i]; k != nil {
				e := o.Encryption
				if !bytes.Equal(e.UKAD, k.UKAD) || !bytes.Equal(e.AKAD, k.AKAD) || e.RawDecryptionDisabled != k.RawDecryptionDisabled {
					t.Fatalf("block %d: %+v", i, e)
				}
				o, err := m.Read(0, uint64(i), dst, nil)
				wantIs(t, err, medium.ErrKeyNeeded)
				if o.Length != len(b) {
					t.Fatalf("%+v beside an error", o)
				}
				wrong := &medium.Key{AES: [32]byte{9}, UKAD: k.UKAD, AKAD: k.AKAD}
				_, err = m.Read(0, uint64(i), dst, wrong)
				wantIs(t, err, medium.ErrKeyWrong)
			}
			copied := (*medium.Key)(nil)
			if keys[i] != nil {
				copied = &medium.Key{AES: keys[i].AES}
			}
			o, err = m.Read(0, uint64(i), dst, copied)
			if err != nil || !bytes.Equal(dst, b) || o.CRC != crc32.Checksum(b, castagnoli) {
				t.Fatalf("block %d: %+v, %v", i, o, err)
			}
		}
		if _, err := m.Read(0, 4, make([]byte, 10), key); err != nil {
			t.Fatalf("a key for a block that is not encrypted: %v", err)
		}
	}
	look(m)
	must(t, m.Flush())
	look(m)
	must(t, m.Close())
	m, err = tape.Mount(false)
	must(t, err)
	look(m)
	must(t, m.Close())
	if err := m.Write(0, 0, []byte("x"), medium.Recording{Key: &medium.Key{UKAD: make([]byte, 33)}}); err == nil {
		t.Error("33 bytes of UKAD")
	}
}

func testChecksum(t *testing.T, s Suite) {
	m := s.open(t)
	b := Data(1000, 1)
	must(t, m.Write(0, 0, b, medium.Recording{HasCRC: true, CRC: crc32.Checksum(b, castagnoli)}))
	must(t, m.Flush())
	wantRead(t, m, 0, 0, b)
}
