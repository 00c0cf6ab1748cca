package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/handlers/file"
)

func TestOpen(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		have int64 // size of the file; -1: absent
		o    file.Options
		want int64  // size of the disk
		err  string // or a part of the error
	}{
		{"absent without a size", -1, file.Options{}, 0, "does not exist"},
		{"absent and read only", -1, file.Options{Size: mib, ReadOnly: true}, 0, "does not exist"},
		{"created", -1, file.Options{Size: mib}, mib, ""},
		{"created thick", -1, file.Options{Size: mib, Thick: true}, mib, ""},
		{"created direct", -1, file.Options{Size: mib, Direct: true}, mib, ""},
		{"size of the file", mib, file.Options{}, mib, ""},
		{"same size", mib, file.Options{Size: mib}, mib, ""},
		{"grown", mib, file.Options{Size: 3 * mib}, 3 * mib, ""},
		{"grown from empty", 0, file.Options{Size: 3 * mib}, 3 * mib, ""},
		{"empty", 0, file.Options{}, 0, "empty"},
		{"larger than the disk", 3 * mib, file.Options{Size: mib}, 0, "more than the disk's size"},
		{"read only", mib, file.Options{ReadOnly: true}, mib, ""},
		{"read only cannot grow", mib, file.Options{ReadOnly: true, Size: 2 * mib}, 0, "read only"},
		{"direct and odd", mib + 100, file.Options{Direct: true}, 0, "multiple of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t, onDisk)
			if c.have >= 0 {
				if err := os.WriteFile(path, make([]byte, c.have), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := file.Open(path, c.o)
			if c.err != "" {
				if err == nil {
					s.Close()
					t.Fatal("opened")
				}
				if !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), path) {
					t.Fatalf("%q does not speak of %q and of the path", err, c.err)
				}
				if _, err := os.Stat(path); c.have < 0 && err == nil {
					t.Error("a file was left behind")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, s)
			if got := s.Info().Size; got != c.want {
				t.Errorf("size %d, want %d", got, c.want)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Size() != c.want || fi.Mode().Perm() != 0o600 {
				t.Errorf("the file: %v, %v", fi, err)
			}
			if allocated := blocks(t, path) >= c.want; c.have < 0 && allocated != c.o.Thick {
				t.Errorf("%d bytes allocated, thick is %t", blocks(t, path), c.o.Thick)
			}
		})
	}
}

// blocks is how many bytes the file system has allocated for path.
func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestOpenNotAFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/null"} {
		if s, err := file.Open(path, file.Options{Size: 4096}); err == nil {
			s.Close()
			t.Errorf("opened %s", path)
		} else if !strings.Contains(err.Error(), "neither a regular file nor a block device") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := file.Open(filepath.Join(dir, "no", "disk"), file.Options{Size: 4096}); err == nil {
		t.Error("created a file in a directory that does not exist")
	}
}

func TestLock(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second file.Options
		ok            bool
	}{
		{"two writers", file.Options{}, file.Options{}, false},
		{"reader after writer", file.Options{}, file.Options{ReadOnly: true}, false},
		{"writer after reader", file.Options{ReadOnly: true}, file.Options{}, false},
		{"two readers", file.Options{ReadOnly: true}, file.Options{ReadOnly: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newPath(t, onDisk)
			mustClose(t, mustOpen(t, path, file.Options{Size: 1 << 20}))
			first := mustOpen(t, path, c.first)
			second, err := file.Open(path, c.second)
			if (err == nil) != c.ok {
				t.Fatalf("second Open: %v", err)
			}
			if err == nil {
				mustClose(t, second)
			} else if !strings.Contains(err.Error(), "in use") {
				t.Errorf("%v: does not say that it is in use", err)
			}
			// a failed attempt takes nothing from who has it
			if !c.first.ReadOnly {
				if err := first.WriteAt(make([]byte, 512), 0, 0); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, first)
			mustClose(t, mustOpen(t, path, c.second))
		})
	}
}

// TestSpace counts what the file system has allocated.
func TestSpace(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			const size = 8 << 20
			path := newPath(t, v.dir)
			o := v.o
			o.Size = size
			s := mustOpen(t, path, o)
			defer mustClose(t, s)
			check := func(when string, thin int64) {
				t.Helper()
				if err := s.Flush(); err != nil { // delayed allocation
					t.Fatal(err)
				}
				want := thin
				if o.Thick {
					want = size
				}
				if got := blocks(t, path); got < want || got > want+128<<10 {
					t.Errorf("%s: %d bytes allocated, want %d", when, got, want)
				}
			}
			check("at first", 0)
			if err := s.ReadAt(make([]byte, size), 0, 0); err != nil {
				t.Fatal(err)
			}
			check("after all was read", 0)
			for off := int64(0); off < size; off += 1 << 20 {
				if err := s.WriteAt(make([]byte, 1<<20), off, block.NoWait); err == block.ErrWouldBlock {
					err = s.WriteAt(make([]byte, 1<<20), off, 0)
					if err != nil {
						t.Fatal(err)
					}
				} else if err != nil {
					t.Fatal(err)
				}
			}
			check("after all was written", size)
			if err := s.Unmap(1<<20, 4<<20, 0); err != nil {
				t.Fatal(err)
			}
			check("after half was unmapped", size/2)
			if err := s.ReadAt(make([]byte, size), 0, 0); err != nil {
				t.Fatal(err)
			}
			check("after a hole was read", size/2)
			if err := s.Zero(0, size, 0); err != nil {
				t.Fatal(err)
			}
			check("after all was zeroed", size)
			if err := s.Zero(0, size, block.MayUnmap); err != nil {
				t.Fatal(err)
			}
			check("after all was zeroed, and could be unmapped", 0)
		})
	}
}
