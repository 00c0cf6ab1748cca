package file_test

import (
	"os"
	"path/filepath"
	"testing"

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

func suite(dir func(testing.TB) string, o file.Options) blocktest.Suite {
	paths := map[block.Store]string{}
	open := func(tb testing.TB, path string, size int64) block.Store {
		o := o
		o.Size = size
		s, err := file.Open(path, o)
		if err != nil {
			tb.Fatal(err)
		}
		paths[s] = path
		return s
	}
	return blocktest.Suite{
		Open: func(tb testing.TB, size int64) block.Store {
			return open(tb, filepath.Join(dir(tb), "disk"), size)
		},
		Reopen: func(tb testing.TB, s block.Store) block.Store {
			if err := s.Close(); err != nil {
				tb.Fatal(err)
			}
			return open(tb, paths[s], 0)
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

func BenchmarkStore(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name, func(b *testing.B) { blocktest.Bench(b, suite(v.dir, v.o)) })
	}
}
