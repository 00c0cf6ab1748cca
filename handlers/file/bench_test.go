package file

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// BenchmarkCalls compares the ways to read and write blocks that are in memory: the
// figures in raw.go and mapped.go are from here.
func BenchmarkCalls(b *testing.B) {
	for _, fs := range []string{"disk", "tmpfs"} {
		dir := b.TempDir()
		if fs == "tmpfs" {
			var err error
			if dir, err = os.MkdirTemp("/dev/shm", "targate-bench-"); err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
		}
		const size = 256 << 20
		s, err := Open(filepath.Join(dir, "disk"), Options{Size: size})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		p := make([]byte, 1<<20)
		for off := int64(0); off < size; off += 1 << 20 {
			if err := s.WriteAt(p, off, 0); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Flush(); err != nil {
			b.Fatal(err)
		}
		ways := []struct {
			name string
			do   func(p []byte, off int64) bool
		}{
			{"read/ordinary", func(p []byte, off int64) bool { n, _ := unix.Pread(s.fd, p, off); return n == len(p) }},
			{"read/raw", func(p []byte, off int64) bool { n, _ := rawPread(s.fd, p, off); return n == len(p) }},
			{"write/ordinary", func(p []byte, off int64) bool { n, _ := unix.Pwrite(s.fd, p, off); return n == len(p) }},
			{"write/raw", func(p []byte, off int64) bool { n, _ := rawPwrite(s.fd, p, off); return n == len(p) }},
		}
		if fs == "disk" {
			ways[1].do = func(p []byte, off int64) bool {
				v := unix.Iovec{Base: unsafe.SliceData(p)}
				v.SetLen(len(p))
				n, _, _ := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(s.fd),
					uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
				return int(n) == len(p)
			}
			ways = ways[:3] // a write to a disk may block
		}
		if m := s.inline.window.Load(); m != nil {
			ways = append(ways, ways[0], ways[0])
			ways[4].name, ways[4].do = "read/window", m.read
			ways[5].name, ways[5].do = "write/window", m.write
		}
		for _, n := range []int64{512, 4096, 64 << 10, 256 << 10, 1 << 20} {
			for _, w := range ways {
				b.Run(fmt.Sprintf("%s/%s/%d", fs, w.name, n), func(b *testing.B) {
					x := uint64(1)
					for b.Loop() {
						x = x*6364136223846793005 + 1442695040888963407
						if !w.do(p[:n], int64(x>>33)%(size/n)*n) {
							b.Fatal("failed")
						}
					}
				})
			}
		}
	}
}
