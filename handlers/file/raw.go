package file

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The raw calls do not tell the scheduler, which saves 8 to 25 % of a short read, but
// keep its P for as long as they last. They are right only for what cannot block.
//
// Precondition of all: fd is open until they return.

// rawPread is pread(2).
func rawPread(fd int, p []byte, off int64) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_PREAD64, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return int(n), e
}

// rawPwrite is pwrite(2).
func rawPwrite(fd int, p []byte, off int64) (int, unix.Errno) {
	n, _, e := syscall.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(off), 0, 0)
	return int(n), e
}

// preadNow is preadv2(2) with RWF_NOWAIT: what is in the page cache, or EAGAIN.
func preadNow(fd int, p []byte, off int64) (int, unix.Errno) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	n, _, e := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(fd),
		uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	return int(n), e
}

// pwriteNow is pwritev2(2) with RWF_NOWAIT.
func pwriteNow(fd int, p []byte, off int64) (int, unix.Errno) {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	n, _, e := syscall.RawSyscall6(unix.SYS_PWRITEV2, uintptr(fd),
		uintptr(unsafe.Pointer(&v)), 1, uintptr(off), 0, unix.RWF_NOWAIT)
	return int(n), e
}
