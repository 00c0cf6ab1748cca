package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zlib"

	"github.com/targate/targate/vtl/medium"
)

// mhvtlFormat is version 6 of mhvtl's cartridges, what it calls v2: for each partition N a file
// data.N of blocks without any framing, indx.N with an entry of 512 bytes for each block and
// filemark, and meta.N with the filemarks' numbers. All numbers are those of the machine that
// wrote them, which is little endian in practice. Exported directories lack the cartridge
// memory ("mam"), which mhvtl's mktape makes.
var mhvtlFormat = Format{
	Name: "mhvtl", Title: "mhvtl cartridge (directory)", MaxBlock: medium.MaxBlock, Directory: true,
	open:   openMHVTL,
	create: createMHVTL,
}

const (
	mhvtlEntryLen = 512

	mhvtlFilemark = 3
	mhvtlEOD      = 5
	mhvtlNoOp     = 8
	mhvtlData     = 11

	mhvtlZlib = 0x01
	mhvtlLZO  = 0x04
	mhvtlCRC  = 0x08
	// mhvtlEncrypted is 02h: the key stands beside a block that is not encrypted.
)

// Offsets in an entry.
const (
	mhvtlOffset    = 0  // of the block in data.N, 8 bytes
	mhvtlType      = 8  // 4 bytes each
	mhvtlFlags     = 12 //
	mhvtlNumber    = 16 // logical object number
	mhvtlSize      = 20 // of the block
	mhvtlStored    = 24 // as it lies in data.N
	mhvtlSum       = 28 // CRC32C of the block
	mhvtlPartition = 144
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func mhvtlFile(dir, name string, partition int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d", name, partition))
}

type mhvtlReader struct {
	dir       string
	partition int
	index     *source
	data      *os.File
	used      int64 // bytes of the indexes before this one
	number    uint32
	buf, out  []byte
}

func openMHVTL(dir string) (Reader, error) {
	r := &mhvtlReader{dir: dir}
	if err := r.next(); err != nil {
		return nil, err
	}
	return r, nil
}

// next opens the files of r.partition.
func (r *mhvtlReader) next() (err error) {
	if r.index, err = openSource(mhvtlFile(r.dir, "indx", r.partition)); err != nil {
		return err
	}
	if r.data, err = os.Open(mhvtlFile(r.dir, "data", r.partition)); err != nil {
		return errors.Join(err, r.index.Close())
	}
	r.number = 0
	return nil
}

func (r *mhvtlReader) Offset() int64 { return r.used + r.index.Offset() }
func (r *mhvtlReader) Close() error  { return errors.Join(r.index.Close(), r.data.Close()) }

func (r *mhvtlReader) Next() (Object, error) {
	var e [mhvtlEntryLen]byte
	for {
		err := r.index.full(e[:])
		if errors.Is(err, io.EOF) || err == nil && binary.LittleEndian.Uint32(e[mhvtlType:]) == mhvtlEOD {
			more, err := r.nextPartition()
			if err != nil {
				return Object{}, err
			}
			if !more {
				return Object{}, io.EOF
			}
			continue
		}
		if err != nil {
			return Object{}, err
		}
		switch typ := binary.LittleEndian.Uint32(e[mhvtlType:]); typ {
		case mhvtlNoOp:
			continue
		case mhvtlFilemark, mhvtlData:
			if n := binary.LittleEndian.Uint32(e[mhvtlNumber:]); n != r.number {
				return Object{}, r.index.damaged("object %d where %d follows", n, r.number)
			}
			r.number++
			if typ == mhvtlFilemark {
				return Object{Kind: medium.Filemark, Partition: r.partition}, nil
			}
			b, err := r.block(e[:])
			return Object{Kind: medium.Block, Partition: r.partition, Data: b}, err
		default:
			return Object{}, r.index.damaged("an entry of type %d", typ)
		}
	}
}

// nextPartition goes on to the next partition. more is false when there is none.
func (r *mhvtlReader) nextPartition() (more bool, err error) {
	if r.partition+1 == medium.MaxPartitions {
		return false, nil
	}
	if _, err := os.Stat(mhvtlFile(r.dir, "indx", r.partition+1)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	old := *r
	r.used += r.index.Offset()
	r.partition++
	if err := r.next(); err != nil {
		r.index, r.data = old.index, old.data
		return false, err
	}
	return true, errors.Join(old.index.Close(), old.data.Close())
}

// block reads and checks the block of the entry e.
func (r *mhvtlReader) block(e []byte) ([]byte, error) {
	size, stored := binary.LittleEndian.Uint32(e[mhvtlSize:]), binary.LittleEndian.Uint32(e[mhvtlStored:])
	flags := binary.LittleEndian.Uint32(e[mhvtlFlags:])
	// What does not compress is stored a little longer than it is.
	if size == 0 || size > medium.MaxBlock || stored > medium.MaxBlock+medium.MaxBlock/16+64 {
		return nil, r.index.damaged("a block of %d bytes, stored as %d", size, stored)
	}
	r.buf = slices.Grow(r.buf[:0], int(stored))[:stored]
	off, err := binary.LittleEndian.Uint64(e[mhvtlOffset:]), error(io.EOF)
	if off <= math.MaxInt64 {
		_, err = r.data.ReadAt(r.buf, int64(off))
	}
	if errors.Is(err, io.EOF) {
		err = r.index.damaged("object %d lies past the end of %s", r.number-1, filepath.Base(r.data.Name()))
	}
	if err != nil {
		return nil, err
	}
	b := r.buf
	switch {
	case flags&(mhvtlZlib|mhvtlLZO) == mhvtlZlib|mhvtlLZO:
		return nil, r.index.damaged("object %d is compressed in two ways", r.number-1)
	case flags&mhvtlZlib != 0:
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err == nil {
			r.out = slices.Grow(r.out[:0], int(size))[:size]
			_, err = io.ReadFull(z, r.out)
		}
		if err != nil {
			return nil, r.index.damaged("object %d does not decompress: %v", r.number-1, err)
		}
		b = r.out
	case flags&mhvtlLZO != 0:
		r.out = slices.Grow(r.out[:0], int(size))[:size]
		n, err := lzo.Decompress(b, r.out)
		if err != nil {
			return nil, r.index.damaged("object %d does not decompress: %v", r.number-1, err)
		}
		b = r.out[:n]
	}
	if len(b) != int(size) {
		return nil, r.index.damaged("object %d has %d bytes where %d were recorded", r.number-1, len(b), size)
	}
	if want := binary.LittleEndian.Uint32(e[mhvtlSum:]); flags&mhvtlCRC != 0 && crc32.Checksum(b, castagnoli) != want {
		return nil, r.index.damaged("object %d has another CRC than it was recorded with", r.number-1)
	}
	return b, nil
}

// mhvtlWriter writes into a directory that gets its name in the end.
type mhvtlWriter struct {
	tmp, dir    string
	partition   int
	data, index *sink
	marks       []uint32
	number      uint32
	off         uint64
	done        bool
}

func createMHVTL(dir string) (Writer, error) {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return nil, err
	}
	w := &mhvtlWriter{tmp: tmp, dir: dir}
	if err := w.begin(); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

func (w *mhvtlWriter) begin() (err error) {
	w.marks, w.number, w.off = nil, 0, 0
	if w.data, err = createSink(mhvtlFile(w.tmp, "data", w.partition), medium.MaxBlock); err != nil {
		return err
	}
	w.index, err = createSink(mhvtlFile(w.tmp, "indx", w.partition), medium.MaxBlock)
	return err
}

func (w *mhvtlWriter) entry(typ, flags uint32, size int, crc uint32) error {
	var e [mhvtlEntryLen]byte
	binary.LittleEndian.PutUint64(e[mhvtlOffset:], w.off)
	for at, v := range map[int]uint32{mhvtlType: typ, mhvtlFlags: flags, mhvtlNumber: w.number, mhvtlSize: uint32(size),
		mhvtlStored: uint32(size), mhvtlSum: crc, mhvtlPartition: uint32(w.partition)} {
		binary.LittleEndian.PutUint32(e[at:], v)
	}
	if w.number == 1<<32-1 {
		return fmt.Errorf("%s: more objects than this format can number", w.dir)
	}
	w.number++
	w.off += uint64(size)
	return w.index.write(e[:])
}

func (w *mhvtlWriter) Block(b []byte) error {
	if err := w.data.check(b); err != nil {
		return err
	}
	if err := w.data.write(b); err != nil {
		return err
	}
	return w.entry(mhvtlData, mhvtlCRC, len(b), crc32.Checksum(b, castagnoli))
}

func (w *mhvtlWriter) Filemark() error {
	w.marks = append(w.marks, w.number)
	return w.entry(mhvtlFilemark, 0, 0, 0)
}

// end writes the filemarks of a partition and completes its files.
func (w *mhvtlWriter) end() error {
	meta := make([]byte, mhvtlEntryLen, mhvtlEntryLen+4*len(w.marks))
	binary.LittleEndian.PutUint32(meta, uint32(len(w.marks)))
	for _, m := range w.marks {
		meta = binary.LittleEndian.AppendUint32(meta, m)
	}
	s, err := createSink(mhvtlFile(w.tmp, "meta", w.partition), 0)
	if err == nil {
		err = errors.Join(s.write(meta), s.Close())
	}
	return errors.Join(w.data.Close(), w.index.Close(), err)
}

func (w *mhvtlWriter) Partition() error {
	if w.partition+1 == medium.MaxPartitions {
		return ErrPartitions
	}
	if err := w.end(); err != nil {
		return err
	}
	w.partition++
	return w.begin()
}

func (w *mhvtlWriter) Close() error {
	if w.done {
		return nil
	}
	if err := w.end(); err != nil {
		return errors.Join(err, w.Abort())
	}
	w.done = true
	err := os.Chmod(w.tmp, 0o755)
	if err == nil {
		err = os.Rename(w.tmp, w.dir) // fails unless there is nothing, or an empty directory
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(w.tmp))
	}
	return syncDir(filepath.Dir(w.dir))
}

func (w *mhvtlWriter) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	var errs []error
	for _, s := range []*sink{w.data, w.index} {
		if s != nil {
			errs = append(errs, s.Abort())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(w.tmp))...)
}
