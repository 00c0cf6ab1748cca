package file

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw system calls do not tell the scheduler that they begin and end. That saves a
// part of every short transfer; but their P stays with them for as long as they last,
// and the collector waits for it. So they are right only for what cannot block, and
// for no more than rawLimit.
//
// Random transfers within 256 MiB that are in memory, in nanoseconds (BenchmarkCalls,
// one of two shared cores, least of five runs):
//
//	                   512 B   4 KiB   64 KiB   256 KiB     1 MiB
//	ext4  pread          834     981     8633     33292    135381
//	ext4  raw, NOWAIT    857     876     8545     30902    120899
//	tmpfs pread          925    1162    11190     44088    174024
//	tmpfs raw            776     935    10265     41153    162529
//	tmpfs pwrite        1172    1273    14940     56518    233955
//	tmpfs raw            954    1350    14553     57016    219436
//
// Above 64 KiB the gain is lost in the copy, and the P would be held for longer than
// the 20 us after which the scheduler takes it away from a slow call.
//
// Precondition of all functions: fd stays open until they return.
const rawLimit = 64 << 10

// rawPread is pread(2). It is for files in memory.
func rawPread(fd int, p []byte, off int64) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_PREAD64, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return int(n), e
}

// rawPwrite is pwrite(2). It is for files in memory.
func rawPwrite(fd int, p []byte, off int64) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return int(n), e
}

// preadNow is preadv2(2) with RWF_NOWAIT: what is in the page cache, or EAGAIN.
func preadNow(fd int, p []byte, off int64) (int, unix.Errno) {
	return callNow(unix.SYS_PREADV2, fd, p, off)
}

// pwriteNow is pwritev2(2) with RWF_NOWAIT.
func pwriteNow(fd int, p []byte, off int64) (int, unix.Errno) {
	return callNow(unix.SYS_PWRITEV2, fd, p, off)
}

func callNow(call uintptr, fd int, p []byte, off int64) (int, unix.Errno) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	if len(p) > rawLimit {
		n, _, e := syscall.Syscall6(call, uintptr(fd),
			uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
		return int(n), e
	}
	n, _, e := syscall.RawSyscall6(call, uintptr(fd),
		uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	return int(n), e
}

// pwriteSync is pwritev2(2) with RWF_DSYNC. It is no raw call: it waits for the device.
func pwriteSync(fd int, p []byte, off int64) (int, unix.Errno) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	n, _, e := syscall.Syscall6(unix.SYS_PWRITEV2, uintptr(fd),
		uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_DSYNC)
	return int(n), e
}
