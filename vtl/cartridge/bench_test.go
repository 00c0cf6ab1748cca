package cartridge_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/vtl/cartridge"
	"github.com/targate/targate/vtl/carttest"
	"github.com/targate/targate/vtl/medium"
)

const (
	benchBlock = 256 << 10
	benchTape  = 1024 // blocks
)

// halves is data of which half compresses away.
func halves(n int, seed uint64) []byte {
	b := carttest.Data(n, seed)
	for at := 0; at < n; at += 1024 {
		copy(b[at+512:min(at+1024, n)], bytes.Repeat([]byte{byte(at)}, 512))
	}
	return b
}

// cpu reports the processor time of the process for each operation, which a busy machine
// disturbs less than the time.
func cpu(b *testing.B) {
	var from, to unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &from)
	b.Cleanup(func() {
		_ = unix.Getrusage(unix.RUSAGE_SELF, &to)
		ns := to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano()
		b.ReportMetric(float64(ns)/1000/float64(b.N), "cpu-us/op")
	})
}

type benchCase struct {
	name string
	data func(int, uint64) []byte
	rec  medium.Recording
}

var benchCases = []benchCase{
	{"plain", carttest.Data, medium.Recording{}},
	{"incompressible", carttest.Data, medium.Recording{Compress: true}},
	{"2to1", halves, medium.Recording{Compress: true}},
	{"encrypted", carttest.Data, medium.Recording{Key: key}},
}

func (c benchCase) blocks() [][]byte {
	blocks := make([][]byte, 16)
	for i := range blocks {
		blocks[i] = c.data(benchBlock, uint64(i))
	}
	return blocks
}

// BenchmarkWrite streams blocks of 256 KiB onto new tapes of 256 MiB, without Flush; file is the same
// by pwrite into a file.
func BenchmarkWrite(b *testing.B) {
	b.Run("file", func(b *testing.B) {
		blocks := benchCases[0].blocks()
		b.SetBytes(benchBlock)
		cpu(b)
		var f *os.File
		for i := 0; b.Loop(); i++ {
			if i%benchTape == 0 {
				b.StopTimer()
				f = benchFile(b, f)
				b.StartTimer()
			}
			if _, err := f.WriteAt(blocks[i%len(blocks)], int64(i%benchTape)*benchBlock); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			blocks := c.blocks()
			b.SetBytes(benchBlock)
			cpu(b)
			var m medium.Medium
			dir := ""
			for i := 0; b.Loop(); i++ {
				if i%benchTape == 0 {
					b.StopTimer()
					if m != nil {
						closeBench(b, m, dir)
					}
					m, dir = benchMedium(b, i)
					b.StartTimer()
				}
				if err := m.Write(0, uint64(i%benchTape), blocks[i%len(blocks)], c.rec); err != nil {
					b.Fatal(err)
				}
			}
			closeBench(b, m, dir)
		})
	}
}

func benchFile(b *testing.B, old *os.File) *os.File {
	b.Helper()
	if old != nil {
		_ = old.Close()
		_ = os.Remove(old.Name())
	}
	f, err := os.CreateTemp(b.TempDir(), "")
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func benchMedium(b *testing.B, i int) (medium.Medium, string) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "tape")
	if _, err := cartridge.Create(dir, cartridge.Identity{Capacity: 1 << 40}, cartridge.Options{}); err != nil {
		b.Fatal(err)
	}
	m, err := cartridge.Open(dir, cartridge.Options{})
	if err != nil {
		b.Fatal(i, err)
	}
	return m, dir
}

func closeBench(b *testing.B, m medium.Medium, dir string) {
	b.Helper()
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead streams blocks of 256 KiB from a tape of 256 MiB in the page cache; file is the same by
// pread from a file.
func BenchmarkRead(b *testing.B) {
	b.Run("file", func(b *testing.B) {
		blocks := benchCases[0].blocks()
		f := benchFile(b, nil)
		for i := range benchTape {
			if _, err := f.WriteAt(blocks[i%len(blocks)], int64(i)*benchBlock); err != nil {
				b.Fatal(err)
			}
		}
		dst := make([]byte, benchBlock)
		b.SetBytes(benchBlock)
		cpu(b)
		for i := 0; b.Loop(); i++ {
			if _, err := f.ReadAt(dst, int64(i%benchTape)*benchBlock); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			blocks := c.blocks()
			m, dir := benchMedium(b, 0)
			for i := range benchTape {
				if err := m.Write(0, uint64(i), blocks[i%len(blocks)], c.rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := m.Flush(); err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, benchBlock)
			b.SetBytes(benchBlock)
			cpu(b)
			for i := 0; b.Loop(); i++ {
				if _, err := m.Read(0, uint64(i%benchTape), dst, c.rec.Key); err != nil {
					b.Fatal(err)
				}
			}
			closeBench(b, m, dir)
		})
	}
}

// BenchmarkLocate positions at random in a tape of 1,000,000 blocks: the filemarks before, and the
// block itself.
func BenchmarkLocate(b *testing.B) {
	const n = 1_000_000
	m, dir := benchMedium(b, 0)
	for i := range uint64(n) {
		var err error
		if i%1000 == 999 {
			err = m.WriteFilemarks(0, i, 1)
		} else {
			err = m.Write(0, i, carttest.Data(512+int(i%7), i%100), medium.Recording{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := m.Flush(); err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	dst := make([]byte, 1024)
	for b.Loop() {
		at := r.Uint64N(n)
		if _, err := m.FilemarksBefore(0, at); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Read(0, at, dst, nil); err != nil {
			b.Fatal(err)
		}
	}
	closeBench(b, m, dir)
}
