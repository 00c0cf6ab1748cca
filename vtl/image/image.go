// Package image reads and writes the tape images of other programs: emulators, mainframe
// archives, mhvtl. An image is a sequence of objects, which Import puts on a medium and
// Export takes from one. A format is a row of a table; nothing else knows it.
package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/targate/targate/vtl/medium"
)

// Object is one logical object of an image. Data is the block, valid until the next call.
type Object struct {
	Kind      medium.Kind // Block or Filemark
	Partition int
	Data      []byte
	// Bad: the image says that the block was read with an error.
	Bad bool
}

// Reader reads an image. Next ends with io.EOF. Errors name where in the image they are.
type Reader interface {
	Next() (Object, error)
	// Offset is how many bytes of the image have been used, for progress.
	Offset() int64
	Close() error
}

// Writer makes an image. Close makes it complete and durable, and gives it its name; Abort
// leaves nothing. After one of them, neither does anything more.
type Writer interface {
	Block(b []byte) error
	Filemark() error
	// Partition begins the next partition; ErrPartitions when the format has but one.
	Partition() error
	Close() error
	Abort() error
}

// Format is a kind of image.
type Format struct {
	Name, Title string
	Extensions  []string // with the dot, lower case, the usual one first
	MaxBlock    int      // longest block that it can hold
	Directory   bool     // an image is a directory, not a file

	// likely says whether a file that begins with head, of size bytes, can be one. head has all
	// bytes of a file shorter than headLen.
	likely func(head []byte, size int64) bool
	open   func(path string) (Reader, error)
	create func(path string) (Writer, error)
}

// ErrPartitions is that of a Writer whose format has one partition only.
var ErrPartitions = errors.New("this format of image holds one partition")

// ErrUnknown is Detect's: no format, or several, fit.
var ErrUnknown = errors.New("format of the image not recognised")

// formats in the order in which Detect asks them: those that cannot be mistaken first.
var formats = []Format{mhvtlFormat, awsFormat, hetFormat, fakeTapeFormat, simhFormat, e11Format, tpcFormat}

// Formats are all formats.
func Formats() []Format { return append([]Format(nil), formats...) }

// Names are the names of all formats.
func Names() []string {
	var n []string
	for _, f := range formats {
		n = append(n, f.Name)
	}
	return n
}

// Find looks a format up by name.
func Find(name string) (Format, bool) {
	for _, f := range formats {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// headLen is how much of a file Detect looks at.
const headLen = 64 << 10

// Detect finds the format of the image at path from what it holds and, where that leaves a
// choice, from its name. The error wraps ErrUnknown, or is that of the file system.
func Detect(path string) (Format, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Format{}, err
	}
	if st.IsDir() {
		if _, err := os.Stat(mhvtlFile(path, "indx", 0)); err == nil {
			return mhvtlFormat, nil
		}
		return Format{}, fmt.Errorf("%s: %w: a directory without indx.0", path, ErrUnknown)
	}
	head, err := readHead(path)
	if err != nil {
		return Format{}, err
	}
	var fit []Format
	for _, f := range formats {
		if !f.Directory && f.likely(head, st.Size()) {
			fit = append(fit, f)
		}
	}
	lower := strings.ToLower(path)
	for _, f := range fit {
		for _, ext := range f.Extensions {
			if strings.HasSuffix(lower, ext) {
				return f, nil
			}
		}
	}
	if len(fit) == 0 {
		return Format{}, fmt.Errorf("%s: %w", path, ErrUnknown)
	}
	return fit[0], nil
}

func readHead(path string) (head []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head = make([]byte, headLen)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

// Open opens the image at path.
func (f Format) Open(path string) (Reader, error) { return f.open(path) }

// Create makes an image at path, where nothing may be yet.
func (f Format) Create(path string) (Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	return f.create(path)
}

// Size is how many bytes the image at path has in all, for progress.
func Size(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if !st.IsDir() {
		return st.Size(), nil
	}
	var n int64
	for p := range medium.MaxPartitions {
		if st, err := os.Stat(mhvtlFile(path, "indx", p)); err == nil {
			n += st.Size()
		}
	}
	return n, nil
}
