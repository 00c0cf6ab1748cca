package file

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
)

// TestFlushErrorStays: the kernel tells of a lost page once.
func TestFlushErrorStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	s, err := Open(path, Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s.lose(unix.EIO)
	p := make([]byte, 512)
	for range 2 {
		if err := s.Flush(); !errors.Is(err, unix.EIO) {
			t.Errorf("Flush() = %v after one failed", err)
		}
		if err := s.WriteAt(p, 0, block.FUA); !errors.Is(err, unix.EIO) {
			t.Errorf("WriteAt(FUA) = %v after a flush failed", err)
		}
		if err := s.WriteAt(p, 0, 0); err != nil {
			t.Errorf("WriteAt() = %v: it promises nothing that was broken", err)
		}
	}
	if err := s.Close(); !errors.Is(err, unix.EIO) {
		t.Errorf("Close() = %v after a flush failed", err)
	}
	if s, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Errorf("Flush() = %v after reopening", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestClassOf(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.ENOSPC: block.ErrNoSpace, unix.EDQUOT: block.ErrNoSpace, unix.EFBIG: block.ErrNoSpace,
		unix.EROFS: block.ErrReadOnly, unix.EPERM: block.ErrReadOnly,
		unix.ENXIO: block.ErrGone, unix.ESTALE: block.ErrGone,
	} {
		if err := fail("write", 4096, errno); !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v, want %v", errno, err, want)
		}
	}
	err := fail("read", 4096, unix.EIO)
	for _, class := range []error{block.ErrNoSpace, block.ErrCorrupt, block.ErrReadOnly, block.ErrRange, block.ErrGone} {
		if errors.Is(err, class) {
			t.Errorf("EIO is a %v", class)
		}
	}
}

// TestLearn: what makes writes leave the caller's goroutine, and come back.
func TestLearn(t *testing.T) {
	slow := func(i *inline) bool { return i.slow.Load() > slowLimit }
	var i inline
	for range 10000 {
		i.learn(int64(5*time.Microsecond), 4096)
	}
	if slow(&i) {
		t.Error("slow after fast writes")
	}
	i.learn(int64(3*time.Millisecond), 4096)
	if slow(&i) {
		t.Error("slow after the thread was off its processor once")
	}
	for range 5 {
		i.learn(int64(3*time.Millisecond), 4096)
	}
	if !slow(&i) {
		t.Error("not slow after a run of slow writes")
	}
	fast := 0
	for ; slow(&i); fast++ {
		i.learn(int64(5*time.Microsecond), 4096)
	}
	if fast < 50 || fast > 2000 {
		t.Errorf("trusted again after %d fast writes", fast)
	}
	i = inline{}
	i.learn(int64(50*time.Millisecond), 4096)
	if !slow(&i) {
		t.Error("not slow after a stall")
	}
	i = inline{}
	for range 100 {
		i.learn(int64(2*time.Millisecond), 1<<20)
	}
	if slow(&i) {
		t.Error("1 MiB in 2 ms is not slow")
	}
}

// TestSlowWritesGoToWorkers: on a file system without RWF_NOWAIT for writes.
func TestSlowWritesGoToWorkers(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "disk"), Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.inline.plainWrite.Store(true)
	p := make([]byte, 4096)
	if s.info.NoWait == block.No {
		t.Skip("the file system of the test's directory never runs inline")
	}
	s.inline.slow.Store(0)
	if err := s.WriteAt(p, 0, block.NoWait); err != nil {
		t.Errorf("fast: %v", err)
	}
	s.inline.slow.Store(16 * slowLimit)
	if err := s.WriteAt(p, 0, block.NoWait); err != block.ErrWouldBlock {
		t.Errorf("slow: %v", err)
	}
	for n := 0; s.WriteAt(p, 0, block.NoWait) == block.ErrWouldBlock; n++ {
		if n > 100000 {
			t.Fatal("fast writes of workers do not bring it back")
		}
		if err := s.WriteAt(p, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPages checks the bits of a mapping against a slice of bools.
func TestPages(t *testing.T) {
	const pages = 300
	r := blocktest.Rand(t)
	m := &mapping{mem: make([]byte, pages<<12), shift: 12, have: make([]atomic.Uint64, pages/64+1)}
	var model [pages]bool
	for range 5000 {
		off := r.Int64N(pages << 12)
		n := 1 + r.Int64N(min(pages<<12-off, 100<<12))
		first, last := off>>12, (off+n-1)>>12
		switch r.IntN(3) {
		case 0:
			m.mark(off, n)
			for i := first; i <= last; i++ {
				model[i] = true
			}
		case 1:
			n = 1 + n/16
			m.forget(off, n)
			for i := first; i <= (off+n-1)>>12; i++ {
				model[i] = false
			}
		case 2:
			want := true
			for i := first; i <= last; i++ {
				want = want && model[i]
			}
			if got := m.exists(off, n); got != want {
				t.Fatalf("exists(%d, %d) = %t", off, n, got)
			}
		}
	}
	if m.exists(pages<<12-512, 1024) || m.exists(0, 0) {
		t.Error("a range beyond the end, or an empty one, exists")
	}
}

// TestForeignFault: a fault that is not the mapping's is not hidden.
func TestForeignFault(t *testing.T) {
	m := &mapping{mem: make([]byte, 4096), shift: 12, have: make([]atomic.Uint64, 1)}
	m.mark(0, 4096)
	foreign, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(foreign)
	defer func() {
		if recover() == nil {
			t.Error("a bad buffer was taken for a truncated file")
		}
	}()
	m.write(foreign, 0)
}

// TestDirectWide runs the suite as on a device whose direct I/O needs more than one
// logical block, so that the edges of writes are read first.
func TestDirectWide(t *testing.T) {
	blocktest.Run(t, blocktest.Suite{Open: func(tb testing.TB, size int64) block.Store {
		s, err := Open(filepath.Join(tb.TempDir(), "disk"), Options{Size: size, Direct: true})
		if err != nil {
			tb.Fatal(err)
		}
		s.direct.align = 8192
		return s
	}})
}
