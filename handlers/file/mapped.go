package file

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a window on a file in tmpfs, by which blocks that exist are copied
// without a system call. In nanoseconds, beside the best call (raw.go has the rest):
//
//	               512 B   4 KiB   64 KiB   256 KiB     1 MiB
//	read, call       776     935    10265     41153    162529
//	read, window     199     353     5334     21337     81973
//	write, call      954    1273    14553     56518    219436
//	write, window    161     564     5766     22388     87808
//
// Its dangers, and what is done about them:
//   - A page that a copy faults in cannot block: it is in memory. (With swap it
//     might not be, so then nothing is mapped: see inline.)
//   - The file is cut short below us: the copy gets SIGBUS, which becomes a Go panic
//     that guard takes; the caller goes on by read or write, which say what is wrong.
//   - A fault in a hole would allocate a page, for a read too. So only pages that are
//     known to exist are touched. What is known may be out of date while an Unmap
//     runs at the same time; the page that comes back is one of zeros, and
//     costs memory until the next Unmap.
//   - tmpfs is full: as no new page is touched, no copy needs one. Where one does by
//     the race above, it is a SIGBUS again, then ENOSPC from write.
//
// The pages are not lent (block.Lender). What is lent must not change until it is
// released, but a shared mapping shows every later write, so that a READ would
// return, or send with the wrong digest, data of a WRITE that began after it had
// ended. Writers could wait for loans to end; then an initiator that does not
// read from its socket would stop every other one. The copy is the smaller evil: to
// lend saves 0.3 us of a 4 KiB read at most (mem: 45 ns against 434), less what the
// socket then pays for data that no cache holds.
//
// Files on a disk are not mapped: a fault would wait for the disk with the P held, no
// error of a write-back would reach the one who wrote, and ENOSPC would be a SIGBUS.
type mapping struct {
	mem   []byte
	shift uint
	// have has a bit per page that exists. Lost updates cost time, not data.
	have []atomic.Uint64
}

// maxMapped bounds the address space and the bits (1 bit per page) of one file.
const maxMapped = 8 << 40

// maxRuns bounds the search for pages at the start, a microsecond each.
const maxRuns = 64 << 10

// newMapping maps size bytes of fd. nil: it cannot be done, and is not needed.
func newMapping(fd int, size int64, old *mapping) *mapping {
	if size > maxMapped {
		return nil
	}
	mem, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	m := &mapping{mem: mem}
	for 1<<m.shift < unix.Getpagesize() {
		m.shift++
	}
	m.have = make([]atomic.Uint64, size>>m.shift/64+1)
	if old != nil {
		for i := range old.have {
			m.have[i].Store(old.have[i].Load())
		}
		return m
	}
	off := int64(0)
	for range maxRuns {
		data, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if err != nil || data >= size {
			break
		}
		if off, err = unix.Seek(fd, data, unix.SEEK_HOLE); err != nil {
			break
		}
		off = min(off, size)
		m.mark(data, off-data)
	}
	return m
}

// pages gives the pages of a range that is not empty: from first up to last.
func (m *mapping) pages(off, n int64) (first, last uint64) {
	return uint64(off) >> m.shift, uint64(off+n-1) >> m.shift
}

// mask has the bits of word w that stand for pages first to last.
func mask(w, first, last uint64) uint64 {
	b := ^uint64(0)
	if w == first/64 {
		b <<= first % 64
	}
	if w == last/64 {
		b &= ^uint64(0) >> (63 - last%64)
	}
	return b
}

// exists reports whether all pages of a range are known to exist.
func (m *mapping) exists(off, n int64) bool {
	if n == 0 || off+n > int64(len(m.mem)) {
		return false
	}
	first, last := m.pages(off, n)
	for w := first / 64; w <= last/64; w++ {
		if b := mask(w, first, last); m.have[w].Load()&b != b {
			return false
		}
	}
	return true
}

// mark notes that all pages of a range exist, since they were written.
func (m *mapping) mark(off, n int64) {
	if n == 0 || off+n > int64(len(m.mem)) {
		return
	}
	first, last := m.pages(off, n)
	for w := first / 64; w <= last/64; w++ {
		if b := mask(w, first, last); m.have[w].Load()&b != b {
			m.have[w].Or(b)
		}
	}
}

// forget notes that pages of a range are about to go.
func (m *mapping) forget(off, n int64) {
	if n == 0 || off+n > int64(len(m.mem)) {
		return
	}
	first, last := m.pages(off, n)
	for w := first / 64; w <= last/64; w++ {
		m.have[w].And(^mask(w, first, last))
	}
}

// read fills p, or is false and has left it undefined.
func (m *mapping) read(p []byte, off int64) (ok bool) {
	if !m.exists(off, int64(len(p))) {
		return false
	}
	defer m.guard(debug.SetPanicOnFault(true))
	copy(p, m.mem[off:])
	return true
}

// write stores p, or is false and has stored none or some of it.
func (m *mapping) write(p []byte, off int64) (ok bool) {
	if !m.exists(off, int64(len(p))) {
		return false
	}
	defer m.guard(debug.SetPanicOnFault(true))
	copy(m.mem[off:], p)
	return true
}

// guard is deferred. It takes a panic over a fault in the mapping, so that the
// function which deferred it returns false.
func (m *mapping) guard(old bool) {
	debug.SetPanicOnFault(old)
	switch x := recover().(type) {
	case nil:
	case interface {
		runtime.Error
		Addr() uintptr
	}:
		base := uintptr(unsafe.Pointer(unsafe.SliceData(m.mem)))
		if x.Addr()-base >= uintptr(len(m.mem)) {
			panic(x)
		}
	default:
		panic(x)
	}
}

func (m *mapping) close() { unix.Munmap(m.mem) }
