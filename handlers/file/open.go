package file

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Options say how to open a file. The zero value: an existing file as it is, thin.
type Options struct {
	// Size of the disk in bytes. 0: that of the file or device. An absent file is
	// created with it, a smaller one grows to it, a larger one is refused. Of a
	// larger block device the first Size bytes are used.
	Size int64
	// Thick allocates all space at once and never gives it back.
	Thick    bool
	Direct   bool // O_DIRECT
	ReadOnly bool
}

// allocateStep bounds one fallocate: tmpfs undoes it when a signal comes, as the Go
// runtime sends them, so a long one might never end.
const allocateStep = 64 << 20

// mode of a file that Open creates: a disk is nobody else's to read.
const mode = 0o600

// Open opens path, creating it if need be, and locks it: another Open of it for
// writing, in this process or another, fails.
func Open(path string, o Options) (*Store, error) {
	ignoreFileSizeSignal()
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func open(path string, o Options) (_ *Store, err error) {
	fd, created, err := openOrCreate(path, o)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
			if created {
				os.Remove(path)
			}
		}
	}()
	if err := lock(fd, o.ReadOnly); err != nil {
		return nil, err
	}
	s := &Store{path: path, fd: fd, thin: !o.Thick}
	if err := s.probe(o); err != nil {
		return nil, err
	}
	if err := s.setSize(o, created); err != nil {
		return nil, err
	}
	if created {
		if err := syncDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// ignoreFileSizeSignal makes RLIMIT_FSIZE an error of the write that met it. By
// default the signal that comes with the error ends the process.
var ignoreFileSizeSignal = sync.OnceFunc(func() { signal.Ignore(unix.SIGXFSZ) })

func openOrCreate(path string, o Options) (fd int, created bool, err error) {
	flags := unix.O_CLOEXEC | unix.O_RDWR
	if o.ReadOnly {
		flags = unix.O_CLOEXEC | unix.O_RDONLY
	}
	if o.Direct {
		flags |= unix.O_DIRECT
	}
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	switch {
	case err == unix.ENOENT && o.ReadOnly:
		return -1, false, errors.New("the file does not exist, and a read-only disk is not created")
	case err == unix.ENOENT && o.Size == 0:
		return -1, false, errors.New("the file does not exist; with a size it would be created")
	case err == unix.ENOENT:
		fd, err = openEINTR(path, flags|unix.O_CREAT|unix.O_EXCL)
		if err != nil {
			return -1, false, fmt.Errorf("create: %w", err)
		}
		return fd, true, nil
	case err != nil:
		return -1, false, err
	case st.Mode&unix.S_IFMT == unix.S_IFBLK && !o.ReadOnly:
		flags |= unix.O_EXCL // EBUSY when it is mounted or part of something
	case st.Mode&unix.S_IFMT != unix.S_IFREG && st.Mode&unix.S_IFMT != unix.S_IFBLK:
		return -1, false, errors.New("neither a regular file nor a block device")
	}
	fd, err = openEINTR(path, flags)
	switch {
	case err == unix.EBUSY:
		err = fmt.Errorf("the device is mounted or used by something else: %w", err)
	case err == unix.EINVAL && o.Direct:
		err = fmt.Errorf("the file system does not offer direct I/O: %w", err)
	case err != nil:
		err = fmt.Errorf("open: %w", err)
	}
	return fd, false, err
}

func openEINTR(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// lock takes an open file description lock on the whole file. Unlike flock it is
// seen by QEMU, which uses the same kind; unlike the classic POSIX lock it also keeps
// two devices of this process apart, and closing another descriptor does not drop it.
func lock(fd int, readOnly bool) error {
	l := unix.Flock_t{Type: unix.F_WRLCK}
	if readOnly {
		l.Type = unix.F_RDLCK
	}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	if err == unix.EAGAIN || err == unix.EACCES {
		return errors.New("in use: another program, or another device of this one, has it open")
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setSize gives the file the size that o wants and, thick, all of its space.
func (s *Store) setSize(o Options, created bool) error {
	have, err := s.Probe()
	if err != nil {
		return err
	}
	want := o.Size
	if want == 0 {
		want = have
	}
	switch {
	case want == 0:
		return errors.New("the file is empty and no size is given")
	case want < have && !s.dev:
		return fmt.Errorf("the file has %d bytes, more than the disk's size of %d", have, want)
	case want > have && s.info.ReadOnly:
		return fmt.Errorf("the file has %d bytes, less than the disk's size of %d, and is read only", have, want)
	case created || want > have || !s.thin && !s.info.ReadOnly:
		if err := s.extend(have, want); err != nil {
			return err
		}
	}
	if s.direct != nil && want%s.direct.align != 0 {
		return fmt.Errorf("direct I/O here needs a size that is a multiple of %d bytes, not %d", s.direct.align, want)
	}
	if s.inline.memory && !s.info.ReadOnly {
		s.inline.show(s.fd, want)
	}
	s.size.Store(want)
	return nil
}

// extend makes the file want bytes long, durably.
func (s *Store) extend(have, want int64) error {
	if s.dev {
		if want > have {
			return fmt.Errorf("the device has %d bytes, less than the disk's size of %d", have, want)
		}
		return nil
	}
	if s.thin {
		if err := unix.Ftruncate(s.fd, want); err != nil {
			return fmt.Errorf("grow to %d bytes: %w", want, err)
		}
	} else {
		for off := int64(0); off < want; off += allocateStep {
			if err := s.fallocate(0, off, min(allocateStep, want-off)); err != nil {
				return fmt.Errorf("allocate %d bytes: %w", want, err)
			}
		}
	}
	return unix.Fsync(s.fd)
}

// Probe is the size of the file or device now (block.Prober).
func (s *Store) Probe() (int64, error) {
	n, err := unix.Seek(s.fd, 0, unix.SEEK_END) // also right for a block device
	if err != nil {
		return 0, fmt.Errorf("%s: size: %w", s.path, err)
	}
	return n, nil
}

// Resize grows the disk (block.Resizer). Thin, the new space is a hole.
func (s *Store) Resize(size int64) error {
	s.resize.Lock()
	defer s.resize.Unlock()
	if have := s.size.Load(); size < have {
		return fmt.Errorf("%s: a file disk does not shrink (from %d to %d bytes)", s.path, have, size)
	}
	if err := s.setSize(Options{Size: size}, false); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}
