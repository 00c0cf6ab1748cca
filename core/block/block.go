// Package block is the interface between a disk's SCSI commands and what keeps its
// bytes. A store never sees a CDB.
package block

import (
	"errors"
	"fmt"
)

// Flags modify one call to a Store.
type Flags uint8

// Flags.
const (
	// NoWait asks the store not to block: it returns ErrWouldBlock and has done
	// nothing, or does the whole of the work.
	NoWait Flags = 1 << iota
	// FUA asks for stable storage before the call returns.
	FUA
	// MayUnmap lets Zero deallocate instead of writing zeros.
	MayUnmap
)

// ErrWouldBlock is the answer to NoWait.
var ErrWouldBlock = errors.New("would block")

// Classes of failure. A store wraps its own error with one of them where it can;
// all else counts as a medium error. Callers ask errors.Is, never match text.
var (
	ErrNoSpace  = errors.New("no space left in the store")         // ENOSPC, EDQUOT, thin pool full
	ErrCorrupt  = errors.New("stored data failed its check")       // checksum, torn record, a file cut short below us
	ErrReadOnly = errors.New("the store is read only")             // EROFS, EACCES
	ErrRange    = errors.New("beyond the end of the store")        // a bug above
	ErrGone     = errors.New("the store is not reachable for now") // backend down: worth a retry
)

// Error says at which byte of the store an operation failed.
type Error struct {
	Op  string // "read", "write", "flush", "zero", "unmap"
	Off int64  // first byte that failed, as far as the store knows
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d: %v", e.Op, e.Off, e.Err) }

// Unwrap gives the class and the cause.
func (e *Error) Unwrap() error { return e.Err }

// Support is how a store offers something.
type Support uint8

// Support levels. Emulated works but costs as much as the plain way.
const (
	No Support = iota
	Emulated
	Native
)

func (s Support) String() string { return [...]string{"no", "emulated", "native"}[s%3] }

// Info is what a store says of itself. It is asked once at attach; Size may grow
// later (see Resizer).
type Info struct {
	Size int64 // bytes
	// Granularity is the unit of deallocation and the best unit of I/O, in bytes: a
	// power of two, at least the logical block size. PhysicalBlock is the unit that
	// the store writes without reading first.
	Granularity   int64
	PhysicalBlock int64
	Unmap         Support // deallocates
	Extents       Support // knows what is deallocated
	Volatile      bool    // has a write cache: Flush means something (WCE)
	ReadOnly      bool
	Rotational    bool
	// NoWait is Native when ReadAt and WriteAt obey the flag. No: they always block,
	// and the disk never runs inline.
	NoWait Support
	// Align is the alignment of buffers, offsets and lengths that spares ReadAt and
	// WriteAt a copy (O_DIRECT), 1 when it makes no difference. They take any; offsets
	// and lengths are whole logical blocks.
	Align int
}

// CheckRange is what every method of a Store does first: nil when [off, off+n) lies
// within size bytes, otherwise an *Error with ErrRange.
func CheckRange(op string, off, n, size int64) error {
	if off >= 0 && n >= 0 && n <= size-off {
		return nil
	}
	return rangeError(op, off, n, size)
}

func rangeError(op string, off, n, size int64) error {
	return &Error{Op: op, Off: off, Err: fmt.Errorf("%w: %d bytes at %d of %d", ErrRange, n, off, size)}
}

// Extent is a run of blocks in one state.
type Extent struct {
	Off, Len int64
	// Data: holds data. Otherwise deallocated, and reads as zeros.
	Data bool
}

// Store keeps the blocks of one disk. Offsets and lengths are bytes and multiples of
// the disk's logical block size. All methods may be called concurrently; two calls
// that overlap are the caller's affair. A method returns nil only when all of it was
// done. What WriteAt, Zero and Unmap returned nil for is visible to every later ReadAt
// and survives a crash of this process; what Flush returned nil after, or was written with
// FUA, survives a power cut.
type Store interface {
	Info() Info
	// ReadAt fills p from off. Deallocated ranges read as zeros.
	ReadAt(p []byte, off int64, f Flags) error
	// WriteAt stores p at off. The store keeps no reference to p.
	WriteAt(p []byte, off int64, f Flags) error
	// Flush makes all that was done before it durable (fdatasync, and for new files
	// the directory).
	Flush() error
	// Zero makes [off, off+n) read as zeros.
	Zero(off, n int64, f Flags) error
	// Unmap deallocates what it can of [off, off+n). All of the range reads as
	// zeros afterwards (LBPRZ).
	Unmap(off, n int64, f Flags) error
	// Extent describes the run that begins at off, at most n long.
	Extent(off, n int64) (Extent, error)
	// Close releases the store. It flushes first.
	Close() error
}

// Lender is an optional interface of a Store that can show its own memory instead of
// filling a buffer.
type Lender interface {
	// Lend appends to dst the slices that hold [off, off+n), which stay unchanged
	// until release is called. ok false: read in the usual way.
	Lend(dst [][]byte, off, n int64) (slices [][]byte, release Releaser, ok bool)
}

// Releaser takes lent memory back.
type Releaser interface{ Release() }

// Resizer is an optional interface of a Store whose size can change while it is used.
type Resizer interface {
	// Resize makes the store size bytes long. Growth is deallocated space. A store
	// that cannot shrink says so.
	Resize(size int64) error
}

// Prober is an optional interface of a Store whose backing can grow by itself, such
// as a block device.
type Prober interface {
	// Probe is the size that the backing has now, which Resize would accept. Info
	// keeps the size that is served.
	Probe() (int64, error)
}

// Usage is what a store uses of the space below it, in bytes.
type Usage struct {
	Used      int64 // by this store
	Available int64 // that it could still take
	Shared    bool  // others draw on Available too
}

// Accountant is an optional interface of a Store that deallocates.
type Accountant interface {
	Usage() (Usage, error)
}
