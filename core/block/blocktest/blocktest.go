// Package blocktest is the suite that every block.Store runs. A store's test file
// fills in a Suite and calls Run, Allocs and Bench; what only one store can do, such as the
// faults of its backing, it tests beside that.
package blocktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/targate/targate/core/block"
)

// Suite says how to make the store under test.
type Suite struct {
	// Open makes a store of size bytes, all of them deallocated. The suite closes it.
	Open func(tb testing.TB, size int64) block.Store
	// Reopen closes s and opens the same store again. nil: nothing survives Close.
	Reopen func(tb testing.TB, s block.Store) block.Store
	// Block is the smallest logical block, 512 when 0.
	Block int64
	// Forgets marks a store that keeps nothing and always reads zeros.
	Forgets bool
	// MaxAllocs is how many allocations one ReadAt or WriteAt of 4 KiB may make. What
	// runs inline makes none.
	MaxAllocs float64
}

// diskSize is what most tests use: not a multiple of any granularity above the block,
// so that the last granule is a partial one, and beyond one 32 MiB leaf of mem.
const diskSize = 40<<20 + 8192

// Run runs every test of the suite.
func Run(t *testing.T, s Suite) {
	if s.Block == 0 {
		s.Block = 512
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, Suite)
	}{
		{"Info", testInfo},
		{"Range", testRange},
		{"Fresh", testFresh},
		{"ReadAfterWrite", testReadAfterWrite},
		{"ZeroAndUnmap", testZeroAndUnmap},
		{"Extents", testExtents},
		{"Usage", testUsage},
		{"NoWait", testNoWait},
		{"FUA", testFUA},
		{"KeepsNoBuffer", testKeepsNoBuffer},
		{"Lend", testLend},
		{"LendOutlivesClose", testLendOutlivesClose},
		{"Resize", testResize},
		{"Reopen", testReopen},
		{"Random", testRandom},
		{"Concurrent", testConcurrent},
		{"ConcurrentResize", testConcurrentResize},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// open makes a store that is closed at the end of the test.
func (s Suite) open(tb testing.TB, size int64) block.Store {
	tb.Helper()
	st := s.Open(tb, size)
	if st.Info().Size != size {
		tb.Fatalf("Info().Size = %d, opened with %d", st.Info().Size, size)
	}
	tb.Cleanup(func() { closeStore(tb, st) })
	return st
}

func closeStore(tb testing.TB, st block.Store) {
	if err := st.Close(); err != nil {
		tb.Errorf("Close: %v", err)
	}
}

// want is what a store of this suite reads after p was written.
func (s Suite) want(p []byte) []byte {
	if s.Forgets {
		return make([]byte, len(p))
	}
	return p
}

// WantError checks that err is a *block.Error of op, of the given class, at an
// offset within [lo, hi).
func WantError(t *testing.T, err error, op string, class error, lo, hi int64) {
	t.Helper()
	var e *block.Error
	switch {
	case err == nil:
		t.Fatalf("%s succeeded, want %v", op, class)
	case class != nil && !errors.Is(err, class):
		t.Fatalf("%s: %v, want the class %q", op, err, class)
	case !errors.As(err, &e):
		t.Fatalf("%s: %v is no *block.Error", op, err)
	case e.Op != op || e.Off < lo || e.Off >= hi:
		t.Fatalf("error of %q at %d, want %q within [%d, %d): %v", e.Op, e.Off, op, lo, hi, err)
	}
}

// Rand is a source of chance whose seed is logged; TARGATE_SEED repeats a run.
func Rand(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if v := os.Getenv("TARGATE_SEED"); v != "" {
		n, err := strconv.ParseUint(v, 0, 64)
		if err != nil {
			tb.Fatalf("TARGATE_SEED: %v", err)
		}
		seed = n
	}
	tb.Logf("TARGATE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// fill makes p, whose length is a multiple of 8, unlike every other block: each 8
// bytes tell the offset and a salt, and none of them is zero.
func fill(p []byte, off int64, salt uint64) []byte {
	for i := 0; i < len(p); i += 8 {
		x := uint64(off+int64(i))*0x9e3779b97f4a7c15 + salt
		binary.LittleEndian.PutUint64(p[i:], x|0x0101010101010101)
	}
	return p
}

func mustRead(t testing.TB, st block.Store, off, n int64) []byte {
	t.Helper()
	p := bytes.Repeat([]byte{0xa5}, int(n))
	if err := st.ReadAt(p, off, 0); err != nil {
		t.Fatalf("ReadAt(%d bytes at %d): %v", n, off, err)
	}
	return p
}

func mustWrite(t testing.TB, st block.Store, p []byte, off int64) {
	t.Helper()
	if err := st.WriteAt(p, off, 0); err != nil {
		t.Fatalf("WriteAt(%d bytes at %d): %v", len(p), off, err)
	}
}

// same fails the test with the place of the first difference.
func same(t testing.TB, what string, off int64, got, want []byte) {
	t.Helper()
	if d := diff(got, want); d != "" {
		t.Fatalf("%s at %d, %d bytes: %s", what, off, len(want), d)
	}
}

func diff(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return fmt.Sprintf("differs from byte +%d on: % x, want % x", i,
				got[min(i, len(got)):min(i+8, len(got))], want[i:min(i+8, len(want))])
		}
	}
	return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
}
