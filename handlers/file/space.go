package file

import (
	"golang.org/x/sys/unix"

	"github.com/targate/targate/core/block"
)

// zeroStep is the length of one write of zeros where the system has no better way.
const zeroStep = 1 << 20

var zeros = make([]byte, zeroStep)

// fallocate is fallocate(2), again when a signal came.
func (s *Store) fallocate(mode uint32, off, n int64) error {
	for {
		err := unix.Fallocate(s.fd, mode, off, n)
		if err != unix.EINTR {
			return err
		}
	}
}

// Zero makes the range read as zeros (block.Store). Without MayUnmap its blocks stay
// allocated, or become so.
func (s *Store) Zero(off, n int64, f block.Flags) error {
	if f&block.MayUnmap != 0 && s.thin {
		return s.wipe("zero", punch, off, n, f)
	}
	return s.wipe("zero", keep, off, n, f)
}

// Unmap punches a hole (block.Store). A disk that is not thin keeps its space and
// the range is zeroed.
func (s *Store) Unmap(off, n int64, f block.Flags) error {
	if s.thin {
		return s.wipe("unmap", punch, off, n, f)
	}
	return s.wipe("unmap", keep, off, n, f)
}

const (
	// punch is the fallocate mode that deallocates. On a block device the kernel
	// carries it out as a zeroing discard, or refuses; BLKDISCARD would promise no
	// zeros.
	punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	// keep is the mode that zeroes and leaves blocks allocated, or allocates them.
	keep = unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE
)

// wipe zeroes a range by fallocate with mode, and by writing zeros where that is not
// to be had. It may take long, so it never obeys NoWait.
func (s *Store) wipe(op string, mode uint32, off, n int64, f block.Flags) error {
	if err := block.CheckRange(op, off, n, s.size.Load()); err != nil {
		return err
	}
	switch {
	case s.info.ReadOnly:
		return &block.Error{Op: op, Off: off, Err: block.ErrReadOnly}
	case f&block.NoWait != 0:
		return block.ErrWouldBlock
	case n == 0:
		return nil
	}
	// fallocate on a device knows whole blocks of it only
	head := min(-off&(s.unit-1), n)
	tail := (off + n) & (s.unit - 1)
	if head+tail > n {
		head, tail = n, 0
	}
	if err := s.writeZeros(op, off, head); err != nil {
		return err
	}
	if mid := n - head - tail; mid > 0 {
		if m := s.inline.window.Load(); m != nil && mode == punch {
			m.forget(off+head, mid)
		}
		if s.direct != nil { // not between the read and the write of a neighbour's edge
			s.direct.edge.RLock()
		}
		err := s.fallocate(mode, off+head, mid)
		if s.direct != nil {
			s.direct.edge.RUnlock()
		}
		switch err {
		case nil:
		case unix.EOPNOTSUPP, unix.ENOSYS, unix.EINVAL:
			if err := s.writeZeros(op, off+head, mid); err != nil {
				return err
			}
		default:
			return fail(op, off+head, err)
		}
	}
	if err := s.writeZeros(op, off+n-tail, tail); err != nil {
		return err
	}
	if f&block.FUA != 0 {
		return s.Flush()
	}
	return nil
}

func (s *Store) writeZeros(op string, off, n int64) error {
	for n > 0 {
		k := min(n, zeroStep)
		if err := s.WriteAt(zeros[:k], off, 0); err != nil {
			if e, ok := err.(*block.Error); ok {
				e.Op = op
			}
			return err
		}
		off, n = off+k, n-k
	}
	return nil
}

// Extent asks the file system for the run that begins at off (block.Store). Runs are
// rounded to the granularity, data outwards, so that no logical block is in two.
func (s *Store) Extent(off, n int64) (block.Extent, error) {
	size := s.size.Load()
	if err := block.CheckRange("extent", off, n, size); err != nil {
		return block.Extent{}, err
	}
	e := block.Extent{Off: off, Len: n, Data: true}
	if s.info.Extents == block.No || n == 0 {
		return e, nil
	}
	g := s.info.Granularity
	data, err := unix.Seek(s.fd, off, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // no data up to the end
		e.Data = false
		return e, nil
	case err != nil:
		return block.Extent{}, fail("extent", off, err)
	}
	if end := data &^ (g - 1); end > off {
		e.Data = false
		e.Len = min(n, end-off)
		return e, nil
	}
	hole, err := unix.Seek(s.fd, data, unix.SEEK_HOLE)
	if err != nil {
		return block.Extent{}, fail("extent", off, err)
	}
	e.Len = min(n, (hole+g-1)&^(g-1)-off)
	return e, nil
}

// Usage is what the file takes of its file system (block.Accountant). A device is
// wholly the store's: what is below it does not say what it uses.
func (s *Store) Usage() (block.Usage, error) {
	size := s.size.Load()
	if s.dev {
		return block.Usage{Used: size}, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.fd, &st); err != nil {
		return block.Usage{}, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(s.fd, &fs); err != nil {
		return block.Usage{}, err
	}
	u := block.Usage{Used: st.Blocks * 512, Shared: true}
	u.Available = max(0, size-u.Used)
	if fs.Blocks > 0 { // otherwise a tmpfs without a limit
		u.Available = min(u.Available, int64(fs.Bavail)*fs.Bsize)
	}
	return u, nil
}
