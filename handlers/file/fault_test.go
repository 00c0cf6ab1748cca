package file_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/handlers/file"
)

// TestTruncatedBelow: somebody cuts the file while it is served. What is gone is
// an error, never zeros.
func TestTruncatedBelow(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			path := newPath(t, v.dir)
			o := v.o
			o.Size = 1 << 20
			s := mustOpen(t, path, o)
			defer mustClose(t, s)
			data := bytes.Repeat([]byte{7}, 1<<20)
			if err := s.WriteAt(data, 0, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 64<<10); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 64<<10)
			for _, off := range []int64{64 << 10, 512 << 10, 32 << 10} {
				if err := s.ReadAt(p, off, block.NoWait); err != block.ErrWouldBlock {
					t.Errorf("ReadAt(NoWait) at %d: %v", off, err)
				}
				err := s.ReadAt(p, off, 0)
				blocktest.WantError(t, err, "read", block.ErrCorrupt, max(off, 64<<10), off+64<<10)
			}
			if err := s.ReadAt(p, 0, 0); err != nil || !bytes.Equal(p, data[:len(p)]) {
				t.Errorf("what is left: %v", err)
			}
		})
	}
}

// tiny mounts a file system of size bytes.
func tiny(t *testing.T, size string) func(testing.TB) string {
	dir := t.TempDir()
	if err := unix.Mount("targate-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small tmpfs here (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return func(testing.TB) string { return dir }
}

func TestNoSpace(t *testing.T) {
	dir := tiny(t, "1m")
	if _, err := file.Open(newPath(t, dir), file.Options{Size: 4 << 20, Thick: true}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("allocated 4 MiB of 1: %v", err)
	}
	if _, err := os.Stat(newPath(t, dir)); err == nil {
		t.Fatal("a file was left behind")
	}
	s := mustOpen(t, newPath(t, dir), file.Options{Size: 4 << 20})
	defer mustClose(t, s)
	p := bytes.Repeat([]byte{1}, 64<<10)
	var off int64
	var err error
	for err == nil {
		off += int64(len(p))
		if err = s.WriteAt(p, off, block.NoWait); err == block.ErrWouldBlock {
			err = s.WriteAt(p, off, 0)
		}
	}
	blocktest.WantError(t, err, "write", block.ErrNoSpace, off, off+int64(len(p)))
	if err := s.WriteAt(p, 64<<10, block.NoWait); err != nil {
		t.Errorf("overwriting what exists needs no space: %v", err)
	}
	if err := s.Unmap(64<<10, 128<<10, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteAt(p, off, 0); err != nil {
		t.Errorf("after an unmap made room: %v", err)
	}
}

// TestFileSizeLimit: RLIMIT_FSIZE is an error, not the end of the process.
func TestFileSizeLimit(t *testing.T) {
	for _, dir := range []func(testing.TB) string{onDisk, onTmpfs} {
		limitFileSize(t, mustOpen(t, newPath(t, dir), file.Options{Size: 4 << 20}))
	}
}

func limitFileSize(t *testing.T, s *file.Store) {
	defer mustClose(t, s)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
	p := make([]byte, 64<<10)
	// the system call writes the first half and says so
	for _, f := range []block.Flags{block.NoWait, 0, block.FUA} {
		err := s.WriteAt(p, 1<<20-32<<10, f)
		if f == block.NoWait && err == block.ErrWouldBlock {
			continue
		}
		blocktest.WantError(t, err, "write", block.ErrNoSpace, 1<<20, 1<<20+1)
	}
	if err := s.Flush(); err != nil {
		t.Errorf("a write that was refused is no lost one: %v", err)
	}
}

func TestReadOnly(t *testing.T) {
	path := newPath(t, onDisk)
	mustClose(t, mustOpen(t, path, file.Options{Size: 1 << 20}))
	s := mustOpen(t, path, file.Options{ReadOnly: true})
	defer mustClose(t, s)
	if i := s.Info(); !i.ReadOnly || i.Unmap != block.No {
		t.Errorf("%+v", i)
	}
	p := make([]byte, 4096)
	for _, f := range []block.Flags{0, block.NoWait, block.FUA} {
		blocktest.WantError(t, s.WriteAt(p, 0, f), "write", block.ErrReadOnly, 0, 1)
		blocktest.WantError(t, s.Zero(0, 4096, f), "zero", block.ErrReadOnly, 0, 1)
		blocktest.WantError(t, s.Unmap(0, 4096, f), "unmap", block.ErrReadOnly, 0, 1)
	}
	if err := s.ReadAt(p, 0, 0); err != nil {
		t.Error(err)
	}
	if err := s.Flush(); err != nil {
		t.Error(err)
	}
}

// TestLostWrites: the device fails when the page cache is written back, long after
// the writes were answered. Only Flush can tell, and it goes on telling.
func TestLostWrites(t *testing.T) {
	dir := tiny(t, "1m")
	device := loopOver(t, newPath(t, dir), 8<<20) // a device that has 1 MiB in truth
	s := mustOpen(t, device, file.Options{})
	p := bytes.Repeat([]byte{1}, 64<<10)
	for off := int64(0); off < 8<<20; off += int64(len(p)) {
		if err := s.WriteAt(p, off, 0); err != nil {
			t.Fatal(err) // the page cache takes it
		}
	}
	for i := range 3 {
		if err := s.Flush(); err == nil {
			t.Errorf("Flush %d succeeded, but writes were lost", i)
		}
	}
	if err := s.WriteAt(p[:4096], 0, block.FUA); err == nil {
		t.Error("WriteAt(FUA) succeeded after writes were lost")
	}
	if err := s.Close(); err == nil {
		t.Error("Close succeeded after writes were lost")
	}
}

// TestColdRead: a block that is not in the page cache is not waited for.
func TestColdRead(t *testing.T) {
	path := newPath(t, onDisk)
	s := mustOpen(t, path, file.Options{Size: 1 << 20})
	defer mustClose(t, s)
	if s.Info().NoWait == block.No {
		t.Skip("the file system of the test's directory has no RWF_NOWAIT")
	}
	p := bytes.Repeat([]byte{3}, 64<<10)
	if err := s.WriteAt(p, 0, block.FUA); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4096)
	if err := s.ReadAt(got, 0, block.NoWait); err != block.ErrWouldBlock {
		t.Fatalf("ReadAt(NoWait) of a cold block: %v", err)
	}
	if err := s.ReadAt(got, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.ReadAt(got, 0, block.NoWait); err != nil || !bytes.Equal(got, p[:4096]) {
		t.Fatalf("ReadAt(NoWait) of a warm block: %v", err)
	}
}
