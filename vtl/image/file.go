package image

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/targate/targate/vtl/medium"
)

// source reads a file from front to back and knows where it is.
type source struct {
	f   *os.File
	r   *bufio.Reader
	off int64
	buf []byte
}

func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &source{f: f, r: bufio.NewReaderSize(f, 1<<20)}, nil
}

func (s *source) Offset() int64 { return s.off }
func (s *source) Close() error  { return s.f.Close() }

// full reads len(b) bytes. io.EOF: there are none at all; too few are a damaged image.
func (s *source) full(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.off += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return s.damaged("it ends within %d bytes", len(b))
	}
	return err
}

// rest is full where the image may not end.
func (s *source) rest(b []byte) error {
	err := s.full(b)
	if errors.Is(err, io.EOF) {
		return s.damaged("it ends where %d bytes follow", len(b))
	}
	return err
}

// block makes room for n bytes in the buffer that Object.Data lies in. The format has
// bounded n by medium.MaxBlock.
func (s *source) block(n int) []byte {
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

// damaged is the error of an image that contradicts itself.
func (s *source) damaged(format string, a ...any) error {
	return &DamagedError{Path: s.f.Name(), Offset: s.off, Text: fmt.Sprintf(format, a...)}
}

// DamagedError is that of an image that is cut off or contradicts itself: what was returned
// before is good.
type DamagedError struct {
	Path   string
	Offset int64 // in bytes, of the file
	Text   string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s: damaged at byte %d: %s", e.Path, e.Offset, e.Text)
}

// sink writes a file that appears under its name when it is complete.
type sink struct {
	f    *os.File
	w    *bufio.Writer
	path string
	max  int
	prev int // length of the chunk before, for formats that repeat it
	done bool
}

func createSink(path string, maxBlock int) (*sink, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, err
	}
	return &sink{f: f, w: bufio.NewWriterSize(f, 1<<20), path: path, max: maxBlock}, nil
}

// check refuses blocks that the format has no words for.
func (s *sink) check(b []byte) error {
	if len(b) == 0 || len(b) > s.max {
		return fmt.Errorf("%s: a block of %d bytes; this format holds 1 to %d", s.path, len(b), s.max)
	}
	return nil
}

func (s *sink) write(parts ...[]byte) error {
	for _, b := range parts {
		if _, err := s.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) Partition() error { return ErrPartitions }

// Close gives the file its name once all of it is on stable storage.
func (s *sink) Close() error {
	if s.done {
		return nil
	}
	s.done = true
	err := errors.Join(s.w.Flush(), s.f.Sync(), s.f.Chmod(0o644), s.f.Close())
	if err == nil {
		err = os.Link(s.f.Name(), s.path) // never over another file
	}
	err = errors.Join(err, os.Remove(s.f.Name()))
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// Abort leaves nothing behind. After Close it does nothing.
func (s *sink) Abort() error {
	if s.done {
		return nil
	}
	s.done = true
	return errors.Join(s.f.Close(), os.Remove(s.f.Name()))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func block(data []byte) Object { return Object{Kind: medium.Block, Data: data} }

var filemark = Object{Kind: medium.Filemark}
