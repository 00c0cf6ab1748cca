// Package contents says what is on a tape, without a drive: the files between its filemarks,
// and the labels that backup programs begin them with.
package contents

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/targate/targate/vtl/medium"
)

// File is what lies between two filemarks, or from a filemark to the end of data.
type File struct {
	Partition int    `json:"partition"`
	Number    uint64 `json:"file"` // how many filemarks are before it
	// First is the logical object number of its first block, Blocks how many there are.
	First  uint64 `json:"first"`
	Blocks uint64 `json:"blocks"`
	Bytes  int64  `json:"bytes"`
	// Shortest and Longest are the lengths of its blocks, in bytes.
	Shortest int `json:"shortest"`
	Longest  int `json:"longest"`
	// Encrypted: by the drive, and there was no key to look inside.
	Encrypted bool `json:"encrypted,omitempty"`
	// Labels are those of its first block and, while blocks are as short as labels of ANSI,
	// of those after it.
	Labels []Label `json:"labels,omitempty"`
}

// maxLabels bounds Labels: a label set has fewer.
const maxLabels = 16

// headLen is how much of a block is looked at for a label.
const headLen = 256 << 10

// List calls yield for each file of partition p, in order, until it returns an error, which
// List returns. A file without blocks, between two filemarks, is one too; after the last filemark
// there is a file only when blocks follow. key decrypts; it may be nil.
func List(ctx context.Context, m medium.Medium, p int, key *medium.Key, yield func(File) error) error {
	if p < 0 || p >= m.Partitions() {
		return fmt.Errorf("there is no partition %d; the tape has %d", p, m.Partitions())
	}
	s := m.Partition(p)
	first := uint64(0)
	for n := uint64(0); n <= s.Filemarks; n++ {
		end := s.Objects
		if n < s.Filemarks {
			var err error
			if end, err = m.Filemark(p, n); err != nil {
				return fmt.Errorf("partition %d, filemark %d: %w", p, n, err)
			}
		} else if first == end {
			break
		}
		f := File{Partition: p, Number: n, First: first, Blocks: end - first}
		if err := f.look(ctx, m, key); err != nil {
			return err
		}
		if err := yield(f); err != nil {
			return err
		}
		first = end + 1
	}
	return nil
}

// look fills in what the blocks of f say.
func (f *File) look(ctx context.Context, m medium.Medium, key *medium.Key) error {
	for i := range f.Blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := f.First + i
		o, err := m.Read(f.Partition, at, nil, nil)
		if err != nil {
			return fmt.Errorf("partition %d, object %d: %w", f.Partition, at, err)
		}
		f.Bytes += int64(o.Length)
		if i == 0 || o.Length < f.Shortest {
			f.Shortest = o.Length
		}
		f.Longest = max(f.Longest, o.Length)
		if i == 0 || i < maxLabels && o.Length == ansiLen && uint64(len(f.Labels)) == i {
			if err := f.label(m, at, o, key); err != nil {
				return err
			}
		}
	}
	return nil
}

// label looks for a label in the block at.
func (f *File) label(m medium.Medium, at uint64, o medium.Object, key *medium.Key) error {
	head := make([]byte, min(o.Length, headLen))
	_, err := m.Read(f.Partition, at, head, key)
	if errors.Is(err, medium.ErrKeyNeeded) || errors.Is(err, medium.ErrKeyWrong) {
		f.Encrypted = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("partition %d, object %d: %w", f.Partition, at, err)
	}
	if l, ok := Identify(head, o.Length); ok {
		f.Labels = append(f.Labels, l)
	}
	return nil
}

// ErrNoFile is Find's.
var ErrNoFile = errors.New("there is no such file on the tape")

// Find is file number n of partition p, without a look at its blocks: only Partition, Number,
// First and Blocks are set.
func Find(m medium.Medium, p int, n uint64) (File, error) {
	if p < 0 || p >= m.Partitions() {
		return File{}, fmt.Errorf("partition %d of %d: %w", p, m.Partitions(), ErrNoFile)
	}
	s := m.Partition(p)
	if n > s.Filemarks {
		return File{}, fmt.Errorf("file %d of %d: %w", n, s.Filemarks+1, ErrNoFile)
	}
	f := File{Partition: p, Number: n}
	var err error
	if n > 0 {
		if f.First, err = m.Filemark(p, n-1); err != nil {
			return File{}, err
		}
		f.First++
	}
	end := s.Objects
	if n < s.Filemarks {
		if end, err = m.Filemark(p, n); err != nil {
			return File{}, err
		}
	}
	f.Blocks = end - f.First
	return f, nil
}

// NewReader gives the blocks of f one after the other. The medium must stay mounted.
func NewReader(m medium.Medium, f File, key *medium.Key) io.Reader {
	return &reader{m: m, key: key, p: f.Partition, at: f.First, end: f.First + f.Blocks}
}

type reader struct {
	m       medium.Medium
	key     *medium.Key
	p       int
	at, end uint64
	buf     []byte
	left    []byte // of the block before at
}

func (r *reader) Read(b []byte) (int, error) {
	for len(r.left) == 0 {
		if r.at == r.end {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("partition %d, object %d: %w", r.p, r.at, err)
		}
		r.at++
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *reader) next() error {
	o, err := r.m.Read(r.p, r.at, r.buf, r.key)
	if err == nil && o.Length > len(r.buf) { // medium.MaxBlock at most
		r.buf = make([]byte, o.Length)
		o, err = r.m.Read(r.p, r.at, r.buf, r.key)
	}
	if err != nil {
		return err
	}
	r.left = r.buf[:o.Length]
	return nil
}
