package file_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/block/blocktest"
	"github.com/targate/targate/handlers/file"
)

// onDisk and onTmpfs make directories for files: the two behave differently.
func onDisk(tb testing.TB) string { return tb.TempDir() }

func onTmpfs(tb testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "targate-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newPath is a path that does not exist yet, in a directory of its own.
func newPath(tb testing.TB, dir func(testing.TB) string) string {
	return filepath.Join(dir(tb), "disk")
}

func mustOpen(tb testing.TB, path string, o file.Options) *file.Store {
	tb.Helper()
	s, err := file.Open(path, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustClose(tb testing.TB, s block.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func suite(dir func(testing.TB) string, o file.Options) blocktest.Suite {
	paths := map[block.Store]string{}
	return blocktest.Suite{
		Open: func(tb testing.TB, size int64) block.Store {
			o := o
			o.Size = size
			path := newPath(tb, dir)
			s := mustOpen(tb, path, o)
			paths[s] = path
			return s
		},
		Reopen: func(tb testing.TB, s block.Store) block.Store {
			mustClose(tb, s)
			again := mustOpen(tb, paths[s], o)
			paths[again] = paths[s]
			return again
		},
	}
}

var variants = []struct {
	name string
	dir  func(testing.TB) string
	o    file.Options
}{
	{"disk", onDisk, file.Options{}},
	{"disk thick", onDisk, file.Options{Thick: true}},
	{"disk direct", onDisk, file.Options{Direct: true}},
	{"tmpfs", onTmpfs, file.Options{}},
	{"tmpfs thick", onTmpfs, file.Options{Thick: true}},
}

func TestStore(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { blocktest.Run(t, suite(v.dir, v.o)) })
	}
}

func TestAllocs(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) { blocktest.Allocs(t, suite(v.dir, v.o)) })
	}
}

func BenchmarkStore(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name, func(b *testing.B) { blocktest.Bench(b, suite(v.dir, v.o)) })
	}
}

// loop makes a block device of size bytes over a sparse file.
func loop(tb testing.TB, size int64, args ...string) (device, backing string) {
	tb.Helper()
	backing = newPath(tb, onDisk)
	return loopOver(tb, backing, size, args...), backing
}

func loopOver(tb testing.TB, backing string, size int64, args ...string) (device string) {
	tb.Helper()
	if err := os.WriteFile(backing, nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Truncate(backing, size); err != nil {
		tb.Fatal(err)
	}
	out, err := exec.Command("losetup", append(args, "-f", "--show", backing)...).CombinedOutput()
	if err != nil {
		tb.Skipf("no loop devices here (needs root): %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	tb.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			tb.Errorf("losetup -d: %v: %s", err, out)
		}
	})
	return device
}

func TestBlockDevice(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		o    file.Options
	}{
		{"buffered", nil, file.Options{}},
		{"4096 byte sectors", []string{"-b", "4096"}, file.Options{}},
		{"direct", nil, file.Options{Direct: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := suite(onDisk, c.o)
			var path string
			s.Open = func(tb testing.TB, size int64) block.Store {
				path, _ = loop(tb, 72<<20, c.args...)
				o := c.o
				o.Size = size
				return mustOpen(tb, path, o)
			}
			s.Reopen = func(tb testing.TB, st block.Store) block.Store {
				o := c.o
				o.Size = st.Info().Size
				mustClose(tb, st)
				return mustOpen(tb, path, o)
			}
			blocktest.Run(t, s)
		})
	}
}

// TestBlockDeviceGrows: the device is larger than it was, as after lvextend.
func TestBlockDeviceGrows(t *testing.T) {
	path, backing := loop(t, 8<<20)
	s := mustOpen(t, path, file.Options{})
	defer mustClose(t, s)
	if got := s.Info().Size; got != 8<<20 {
		t.Fatalf("size %d, want that of the device", got)
	}
	if err := s.Resize(16 << 20); err == nil {
		t.Fatal("grew beyond the device")
	}
	if err := os.Truncate(backing, 16<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("losetup", "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := s.Probe(); got != 16<<20 || err != nil {
		t.Fatalf("Probe() = %d, %v", got, err)
	}
	if got := s.Info().Size; got != 8<<20 {
		t.Fatalf("size %d before Resize", got)
	}
	if err := s.Resize(16 << 20); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteAt(make([]byte, 4096), 16<<20-4096, 0); err != nil {
		t.Fatal(err)
	}
}

// TestBlockDeviceUnmap: what lies between the sectors at the edges is given back.
func TestBlockDeviceUnmap(t *testing.T) {
	path, backing := loop(t, 8<<20, "-b", "4096")
	s := mustOpen(t, path, file.Options{})
	defer mustClose(t, s)
	if err := s.WriteAt(make([]byte, 8<<20), 0, block.FUA); err != nil {
		t.Fatal(err)
	}
	if err := s.Unmap(512, 8<<20-1024, block.FUA); err != nil {
		t.Fatal(err)
	}
	if got := blocks(t, backing); got > 1<<20 {
		t.Errorf("%d bytes allocated after all but the edges was unmapped", got)
	}
}

func TestBlockDeviceInUse(t *testing.T) {
	path, _ := loop(t, 16<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", path).CombinedOutput(); err != nil {
		t.Skipf("no mkfs.ext4: %v: %s", err, out)
	}
	dir := t.TempDir()
	if err := unix.Mount(path, dir, "ext4", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer unix.Unmount(dir, 0)
	if s, err := file.Open(path, file.Options{}); err == nil {
		s.Close()
		t.Fatal("opened a mounted device")
	} else if !strings.Contains(err.Error(), "mounted") {
		t.Errorf("%v: does not say why", err)
	}
}
