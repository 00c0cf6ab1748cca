package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"

	"github.com/targate/targate/vtl/medium"
	"github.com/targate/targate/vtl/medium/memtape"
)

// mount is a blank tape of parts partitions.
func mount(tb testing.TB, parts int) medium.Medium {
	tb.Helper()
	m, err := memtape.New(medium.Info{Barcode: "TG0001L8", Type: "LTO-8"}, 1<<30).Mount(false)
	if err != nil {
		tb.Fatal(err)
	}
	if parts > 1 {
		if err := m.Format(slices.Repeat([]int64{1 << 28}, parts)); err != nil {
			tb.Fatal(err)
		}
	}
	return m
}

// record puts objects on partition p of m: a filemark for nil.
func record(tb testing.TB, m medium.Medium, p int, objects [][]byte) {
	tb.Helper()
	for i, b := range objects {
		var err error
		if b == nil {
			err = m.WriteFilemarks(p, uint64(i), 1)
		} else {
			err = m.Write(p, uint64(i), b, medium.Recording{})
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// contents are the objects of partition p.
func contents(tb testing.TB, m medium.Medium, p int) (objects [][]byte) {
	tb.Helper()
	for at := uint64(0); ; at++ {
		o, err := m.Read(p, at, nil, nil)
		buf := make([]byte, o.Length)
		if err == nil && o.Length > 0 {
			o, err = m.Read(p, at, buf, nil)
		}
		if err != nil {
			tb.Fatal(err)
		}
		switch o.Kind {
		case medium.EndOfData:
			return objects
		case medium.Filemark:
			objects = append(objects, nil)
		default:
			objects = append(objects, buf)
		}
	}
}

// random is a tape of blocks of odd and even, small and large sizes, with filemarks between.
func random(rng *rand.Rand, n, maxBlock int) (objects [][]byte) {
	for range n {
		switch rng.IntN(5) {
		case 0:
			objects = append(objects, nil)
		case 1:
			objects = append(objects, bytes.Repeat([]byte{byte(rng.Uint32())}, 1+rng.IntN(min(maxBlock, 200_000))))
		default:
			b := make([]byte, 1+rng.IntN(300))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			objects = append(objects, b)
		}
	}
	return objects
}

func TestRoundTrip(t *testing.T) {
	for _, f := range Formats() {
		t.Run(f.Name, func(t *testing.T) {
			for seed := range uint64(20) {
				rng := rand.New(rand.NewPCG(seed, 1))
				objects := random(rng, 1+rng.IntN(60), f.MaxBlock)
				from := mount(t, 1)
				record(t, from, 0, objects)
				path := filepath.Join(t.TempDir(), "tape"+append(f.Extensions, "")[0])
				w, err := f.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				out, err := Export(t.Context(), from, w, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				found, err := Detect(path)
				if err != nil || found.Name != f.Name {
					t.Fatalf("seed %d: recognised as %q, %v", seed, found.Name, err)
				}
				r, err := found.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				to := mount(t, 1)
				var used int64
				in, err := Import(t.Context(), to, r, true, func(n int64) { used = n })
				if err = errors.Join(err, r.Close()); err != nil {
					t.Fatal(err)
				}
				if in != out {
					t.Errorf("exported %+v, imported %+v", out, in)
				}
				if size, err := Size(path); err != nil || used != size {
					t.Errorf("progress ended at %d of %d, %v", used, size, err)
				}
				if got := contents(t, to, 0); !slices.EqualFunc(got, objects, bytes.Equal) {
					t.Fatalf("seed %d: other objects", seed)
				}
				if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(names) > 0 {
					t.Errorf("left behind: %q", names)
				}
			}
		})
	}
}

func TestPartitions(t *testing.T) {
	from := mount(t, 3)
	parts := [][][]byte{{{1}, nil}, {}, {{2, 3}, nil, {4}}}
	for p, objects := range parts {
		record(t, from, p, objects)
	}
	path := filepath.Join(t.TempDir(), "tape")
	w, err := mhvtlFormat.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Export(t.Context(), from, w, nil, nil); err != nil {
		t.Fatal(err)
	}
	r, err := mhvtlFormat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	// A tape that is divided already is taken as it is; one that is not cannot be divided
	// once something is on it.
	to := mount(t, 3)
	if _, err := Import(t.Context(), to, r, false, nil); err != nil {
		t.Fatal(err)
	}
	for p, want := range parts {
		if got := contents(t, to, p); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("partition %d: %v, want %v", p, got, want)
		}
	}
	if r, err = mhvtlFormat.Open(path); err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	if _, err := Import(t.Context(), mount(t, 1), r, false, nil); err == nil || !strings.Contains(err.Error(), "partitions") {
		t.Errorf("into one partition: %v", err)
	}
	w, err = simhFormat.Create(filepath.Join(t.TempDir(), "a.tap"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Export(t.Context(), from, w, nil, nil); !errors.Is(err, ErrPartitions) {
		t.Errorf("three partitions as SIMH: %v", err)
	}
}

// TestGolden: bytes as the other programs write them.
func TestGolden(t *testing.T) {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write([]byte("aaaa")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	bzip := unhex("425a6839314159265359881233a600000241004000200020002100820b177245385090881233a6")
	chunk := func(n, prev int, f1, f2 byte) []byte {
		return []byte{byte(n), byte(n >> 8), byte(prev), byte(prev >> 8), f1, f2}
	}
	for _, c := range []struct {
		name, format string
		bytes        []byte
		want         string // blocks in hex, M for a filemark, ! before a bad one
	}{
		{"simh: odd record, gap, mark, end", "simh", unhex("03000000 010203 00 03000000 feffffff 00000000 ffffffff 01000000"), "010203 M"},
		{"simh: bad record", "simh", unhex("02000080 aabb 02000080 00000000"), "!aabb M"},
		{"simh: private and description records", "simh", unhex("02000010 aabb 02000010 020000e0 6869 020000e0 78563472 00000000"), "M"},
		{"simh: no end of medium", "simh", unhex("02000000 aabb 02000000"), "aabb"},
		{"simh: half gap", "simh", unhex("fffffeff ffff 02000000 aabb 02000000"), "aabb"},
		{"e11: odd record", "e11", unhex("03000000 010203 03000000 00000000"), "010203 M"},
		{"tpc", "tpc", unhex("0300 010203 00 0000 0200 0405"), "010203 M 0405"},
		{"faketape", "faketape", []byte("000000030003abc000300000003000000010001d"), "616263 M 64"},
		{"aws: a block in two chunks", "aws", slices.Concat(chunk(2, 0, 0x80, 0), []byte{1, 2}, chunk(1, 2, 0x20, 0), []byte{3}, chunk(0, 1, 0x40, 0)), "010203 M"},
		{"het: zlib", "het", slices.Concat(chunk(packed.Len(), 0, 0xa1, 0), packed.Bytes()), "61616161"},
		{"het: bzip2", "het", slices.Concat(chunk(len(bzip), 0, 0xa2, 0), bzip), "61616161"},
		{"het: Bus-Tech", "het", slices.Concat(chunk(packed.Len(), 0, 0xa0, 0x80), packed.Bytes()), "61616161"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tape."+c.format)
			if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Detect(path)
			if err != nil || f.Name != c.format {
				t.Errorf("recognised as %q, %v", f.Name, err)
			}
			f, _ = Find(c.format)
			if got, err := read(f, path); err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// read lists the objects of an image in the words of TestGolden.
func read(f Format, path string) (string, error) {
	r, err := f.Open(path)
	if err != nil {
		return "", err
	}
	defer r.Close() //nolint:errcheck // only read
	var words []string
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(words, " "), nil
		}
		if err != nil {
			return strings.Join(words, " "), err
		}
		switch {
		case o.Kind == medium.Filemark:
			words = append(words, "M")
		case o.Bad:
			words = append(words, fmt.Sprintf("!%x", o.Data))
		default:
			words = append(words, fmt.Sprintf("%x", o.Data))
		}
	}
}

// TestDamaged: what was good before the damage is returned, then an error that says where.
func TestDamaged(t *testing.T) {
	for _, c := range []struct {
		name, format string
		bytes        []byte
		want         string
		at           int64
	}{
		{"simh: cut in a record", "simh", unhex("01000000 aa 00 01000000 05000000 0102"), "aa", 16},
		{"simh: lengths differ", "simh", unhex("02000000 aabb 03000000"), "", 10},
		{"simh: reserved class", "simh", unhex("00000000 02000090"), "M", 8},
		{"simh: longer than any block", "simh", unhex("00000001"), "", 4},
		{"tpc: cut in a record", "tpc", unhex("0000 0300 01"), "M", 5},
		{"faketape: no header", "faketape", []byte("000000010001a00010002000x"), "61", 25},
		{"faketape: check digits", "faketape", []byte("000000010002a"), "", 12},
		{"aws: previous length", "aws", unhex("0100 0000 a000 aa 0100 0200 a000 bb"), "aa", 13},
		{"aws: mark within a block", "aws", unhex("0100 0000 8000 aa 0000 0100 4000"), "", 13},
		{"aws: ends within a block", "aws", unhex("0100 0000 8000 aa"), "", 7},
		{"het: not zlib", "het", unhex("0200 0000 a100 aabb"), "", 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tape")
			if err := os.WriteFile(path, c.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			f, _ := Find(c.format)
			got, err := read(f, path)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || damaged.Offset != c.at || got != c.want {
				t.Errorf("%q, %v; want %q and damage at %d", got, err, c.want, c.at)
			}
		})
	}
}

// mhvtlDir makes a cartridge of mhvtl: an index of entries, and the data.
func mhvtlDir(tb testing.TB, data []byte, entries ...[]byte) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, b := range map[string][]byte{"data.0": data, "indx.0": slices.Concat(entries...)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func mhvtlEntry(typ, flags, number, size, stored, crc uint32, off uint64) []byte {
	e := make([]byte, mhvtlEntryLen)
	binary.LittleEndian.PutUint64(e, off)
	for i, v := range []uint32{typ, flags, number, size, stored, crc} {
		binary.LittleEndian.PutUint32(e[8+4*i:], v)
	}
	return e
}

// TestMHVTL: plain, zlib and LZO blocks, and what is wrong with each.
func TestMHVTL(t *testing.T) {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write([]byte("zlib")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	// LZO1X: a run of three literals, and the end of the stream.
	lzo := []byte{17 + 4, 'l', 'z', 'o', '1', 0x11, 0, 0}
	n := uint32(packed.Len())
	data := slices.Concat([]byte("plain"), packed.Bytes(), lzo)
	crc := func(s string) uint32 { return crc32.Checksum([]byte(s), castagnoli) }
	plain := mhvtlEntry(mhvtlData, mhvtlCRC, 0, 5, 5, crc("plain"), 0)
	z1 := mhvtlEntry(mhvtlData, mhvtlCRC|mhvtlZlib, 1, 4, n, crc("zlib"), 5)
	l2 := mhvtlEntry(mhvtlData, mhvtlCRC|mhvtlLZO|0x02, 2, 4, 8, crc("lzo1"), uint64(5+n))
	mark := mhvtlEntry(mhvtlFilemark, 0, 3, 0, 0, 0, 0)
	eod := mhvtlEntry(mhvtlEOD, 0, 4, 0, 0, 0, 0)
	if got, err := read(mhvtlFormat, mhvtlDir(t, data, plain, z1, l2, mark, eod)); err != nil || got != "706c61696e 7a6c6962 6c7a6f31 M" {
		t.Errorf("%q, %v", got, err)
	}
	for name, e := range map[string][]byte{
		"CRC":            mhvtlEntry(mhvtlData, mhvtlCRC, 0, 5, 5, 1, 0),
		"past the end":   mhvtlEntry(mhvtlData, 0, 0, 500, 500, 0, 0),
		"far away":       mhvtlEntry(mhvtlData, 0, 0, 5, 5, 0, 1<<63+7),
		"too long":       mhvtlEntry(mhvtlData, 0, 0, 1<<24, 5, 0, 0),
		"number":         mhvtlEntry(mhvtlData, mhvtlCRC, 7, 5, 5, crc("plain"), 0),
		"not zlib":       mhvtlEntry(mhvtlData, mhvtlZlib, 0, 5, 5, 0, 0),
		"not LZO":        mhvtlEntry(mhvtlData, mhvtlLZO, 0, 50, 5, 0, 0),
		"other length":   mhvtlEntry(mhvtlData, 0, 0, 6, 5, 0, 0),
		"type":           mhvtlEntry(99, 0, 0, 5, 5, 0, 0),
		"cut":            plain[:100],
		"two compressed": mhvtlEntry(mhvtlData, mhvtlLZO|mhvtlZlib, 0, 5, 5, 0, 0),
	} {
		got, err := read(mhvtlFormat, mhvtlDir(t, data, e))
		var damaged *DamagedError
		if !errors.As(err, &damaged) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken.tap")
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := simhFormat.Create(taken); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if _, err := Detect(taken); !errors.Is(err, ErrUnknown) {
		t.Errorf("text as an image: %v", err)
	}
	if _, err := Detect(dir); !errors.Is(err, ErrUnknown) {
		t.Errorf("a directory as an image: %v", err)
	}
	from := mount(t, 1)
	record(t, from, 0, [][]byte{make([]byte, 70_000)})
	path := filepath.Join(dir, "long.tpc")
	w, err := tpcFormat.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Export(t.Context(), from, w, nil, nil); err == nil || !strings.Contains(err.Error(), "70000") {
		t.Errorf("a long block as TPC: %v", err)
	}
	path = filepath.Join(dir, "one.tap")
	if err := os.WriteFile(path, unhex("01000000 aa 00 01000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := simhFormat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // only read
	if _, err := Import(t.Context(), from, r, false, nil); !errors.Is(err, ErrNotBlank) {
		t.Errorf("onto a tape that is not blank: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, mount(t, 1), r, false, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

// FuzzReaders: no image panics or returns a block that no tape has; what is read can be written
// again and read back the same.
func FuzzReaders(f *testing.F) {
	f.Add(uint8(0), unhex("03000000 010203 00 03000000 feffffff 00000000 ffffffff"))
	f.Add(uint8(1), unhex("03000000 010203 03000000 00000000"))
	f.Add(uint8(2), unhex("0300 010203 00 0000"))
	f.Add(uint8(3), []byte("000000030003abc000300000003"))
	f.Add(uint8(4), unhex("0200 0000 8000 0102 0100 0200 2000 03 0000 0100 4000"))
	f.Add(uint8(5), unhex("0c00 0000 a100 789c4b4c4c4c0400 03ce0185"))
	f.Add(uint8(6), mhvtlEntry(mhvtlData, mhvtlLZO, 0, 4, 8, 0, 0))
	f.Add(uint8(6), mhvtlEntry(mhvtlData, mhvtlZlib, 0, 4, 8, 0, 0))
	names := []string{"simh", "e11", "tpc", "faketape", "aws", "het", "mhvtl"}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		format, _ := Find(names[int(kind)%len(names)])
		dir, err := os.MkdirTemp("", "fuzz")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // only a test's
		path := filepath.Join(dir, "in")
		if format.Directory {
			path = dir
			if err := os.WriteFile(mhvtlFile(dir, "data", 0), []byte{17 + 4, 'l', 'z', 'o', '1', 0x11, 0, 0}, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(mhvtlFile(dir, "indx", 0), b, 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := format.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		to := mount(t, 1)
		_, err = Import(t.Context(), to, r, false, nil)
		if err2 := r.Close(); err2 != nil {
			t.Fatal(err2)
		}
		if err != nil {
			return
		}
		out := filepath.Join(dir, "out")
		w, err := format.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Export(t.Context(), to, w, nil, nil); err != nil {
			t.Fatal(err)
		}
		if r, err = format.Open(out); err != nil {
			t.Fatal(err)
		}
		again := mount(t, 1)
		if _, err := Import(t.Context(), again, r, false, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(contents(t, again, 0), contents(t, to, 0), bytes.Equal) {
			t.Error("another tape came back")
		}
	})
}
