package file

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// probe asks once for all that is fixed while the file is open.
func (s *Store) probe(o Options) error {
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return err
	}
	s.dev = st.Mode&unix.S_IFMT == unix.S_IFBLK
	s.unit = 1
	s.info = block.Info{
		Granularity:   max(4096, powerOfTwo(st.Blksize)),
		PhysicalBlock: 4096, // the page that a smaller write would have to read first
		ReadOnly:      o.ReadOnly,
		Align:         1,
	}
	disk := st.Dev
	if s.dev {
		disk = st.Rdev
		n, err := unix.IoctlGetInt(s.fd, unix.BLKSSZGET)
		if err != nil {
			return fmt.Errorf("logical block size: %w", err)
		}
		s.unit = int64(n)
		s.info.Granularity = max(4096, powerOfTwo(queue(disk, "discard_granularity")))
	}
	s.info.Rotational = queue(disk, "rotational") == 1
	if s.thin && s.canPunch(disk) {
		s.info.Unmap = block.Native
		if !s.dev { // the kernel does not know what a device deallocated
			s.info.Extents = block.Native
		}
	}
	tmpfs := !s.dev && onTmpfs(s.fd)
	s.info.Volatile = !tmpfs // nothing there is more stable than the cache
	if o.Direct {
		align, err := directAlign(s.fd)
		if err != nil {
			return err
		}
		s.direct = newDirect(align)
		s.info.Align = int(align)
		s.info.PhysicalBlock = max(s.info.PhysicalBlock, align)
		return nil
	}
	s.info.NoWait = s.inline.probe(s.fd, tmpfs)
	return nil
}

// canPunch finds out whether holes can be punched. Where they cannot, Unmap writes
// zeros, and the disk does not claim to be thin.
func (s *Store) canPunch(disk uint64) bool {
	switch {
	case s.info.ReadOnly:
		return false
	case s.dev:
		return queue(disk, "discard_max_bytes") > 0 && queue(disk, "write_zeroes_max_bytes") > 0
	}
	end, err := s.Probe()
	if err != nil {
		return false
	}
	return s.fallocate(punch, end, 4096) == nil // behind the end there is nothing to lose
}

// onTmpfs reports whether a file is memory (linux/magic.h).
func onTmpfs(fd int) bool {
	const magic = 0x01021994
	var fs unix.Statfs_t
	return unix.Fstatfs(fd, &fs) == nil && fs.Type == magic
}

// directAlign is what O_DIRECT needs of buffers and offsets. Kernels before 6.1 do
// not say; then it is what every device is content with.
func directAlign(fd int) (int64, error) {
	var x unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &x)
	if err != nil || x.Mask&unix.STATX_DIOALIGN == 0 {
		return 4096, nil
	}
	if x.Dio_offset_align == 0 {
		return 0, errors.New("the file system does not offer direct I/O for this file")
	}
	return int64(max(x.Dio_offset_align, x.Dio_mem_align)), nil
}

// queue reads an attribute of the request queue of a block device, 0 if it has none.
// A partition has its disk's queue.
func queue(dev uint64, attr string) int64 {
	for _, dir := range [...]string{"queue", "../queue"} {
		b, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/%s/%s", unix.Major(dev), unix.Minor(dev), dir, attr))
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}

// powerOfTwo is the smallest power of two that is at least n.
func powerOfTwo(n int64) int64 {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len64(uint64(n-1))
}
