package cartridge

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// FS is the file system below cartridges, in steps at which a test can cut it. Paths are those
// of the os package.
type FS interface {
	Mkdir(path string) error
	// Create makes a file that does not exist yet; Open opens one, for writing too when write.
	Create(path string) (File, error)
	Open(path string, write bool) (File, error)
	Rename(from, to string) error
	Remove(path string) error
	// List is the names in a directory, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// Lock takes the advisory lock of the file path, which is made when it is not there;
	// ErrInUse when another holds it. It ends with Close, or with the process.
	Lock(path string, shared bool) (io.Closer, error)
}

// File is an open file. Its methods are safe for concurrent use.
type File interface {
	io.ReaderAt
	// ReadV fills bufs, one behind the other, from offset off on: all, or an error.
	ReadV(bufs [][]byte, off int64) error
	// WriteV writes bufs, one behind the other: all, or an error.
	WriteV(bufs [][]byte, off int64) error
	Truncate(size int64) error
	Size() (int64, error)
	// Sync makes the contents durable (fdatasync). After an error, what was written since the
	// last success may or may not be there, and a later success says nothing about it.
	Sync() error
	Close() error
}

// ErrInUse means that another user has the cartridge.
var ErrInUse = errors.New("the cartridge is in use")

// OS is the file system of the operating system.
type OS struct{}

// Mkdir implements FS.
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

// Create implements FS.
func (OS) Create(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Open implements FS.
func (OS) Open(path string, write bool) (File, error) {
	mode := os.O_RDONLY
	if write {
		mode = os.O_RDWR
	}
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.Remove(path) }

// List implements FS.
func (OS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

// SyncDir implements FS.
func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock implements FS.
func (OS) Lock(path string, shared bool) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), err)
	}
	return f, nil
}

type osFile struct{ *os.File }

// ReadV implements File.
func (f osFile) ReadV(bufs [][]byte, off int64) error {
	return f.vector(bufs, off, unix.Preadv, io.ErrUnexpectedEOF)
}

// WriteV implements File.
func (f osFile) WriteV(bufs [][]byte, off int64) error {
	return f.vector(bufs, off, unix.Pwritev, io.ErrShortWrite)
}

// vector moves all of bufs by call, which may move less. A call that moves nothing is short.
func (f osFile) vector(bufs [][]byte, off int64, call func(int, [][]byte, int64) (int, error), short error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = c.Control(func(fd uintptr) {
		left := slices.Clone(bufs)
		for len(left) > 0 {
			if len(left[0]) == 0 {
				left = left[1:]
				continue
			}
			n, err := call(int(fd), left, off)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err == nil && n <= 0 {
				err = short
			}
			if err != nil {
				result = &os.PathError{Op: "vector I/O", Path: f.Name(), Err: err}
				return
			}
			off += int64(n)
			for n > 0 {
				k := min(n, len(left[0]))
				n -= k
				if left[0] = left[0][k:]; len(left[0]) == 0 {
					left = left[1:]
				}
			}
		}
	})
	return errors.Join(err, result)
}

// Size implements File.
func (f osFile) Size() (int64, error) {
	i, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

// Sync implements File.
func (f osFile) Sync() error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = c.Control(func(fd uintptr) {
		for {
			if result = unix.Fdatasync(int(fd)); !errors.Is(result, unix.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, result)
}
