package file

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// errShort is a read that met the end of the file inside the disk.
var errShort = fmt.Errorf("%w: the file was cut short: %w", block.ErrCorrupt, io.ErrUnexpectedEOF)

// fail makes a block.Error with the class of errno.
func fail(op string, off int64, errno error) error {
	err := errno
	if class := classOf(errno); class != nil {
		err = fmt.Errorf("%w: %w", class, errno)
	}
	return &block.Error{Op: op, Off: off, Err: err}
}

// classOf is the class that errno belongs to, nil for a medium error.
func classOf(errno error) error {
	switch errno {
	case unix.ENOSPC, unix.EDQUOT, unix.EFBIG: // EFBIG: RLIMIT_FSIZE, or the file system's largest file
		return block.ErrNoSpace
	case unix.EROFS, unix.EACCES, unix.EPERM:
		return block.ErrReadOnly
	case unix.ENXIO, unix.ENODEV, unix.ESTALE, unix.ENOTCONN, unix.ETIMEDOUT: // unplugged; NFS, FUSE
		return block.ErrGone
	}
	return nil
}
