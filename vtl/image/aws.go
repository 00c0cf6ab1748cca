package image

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zlib"

	"github.com/targate/targate/vtl/medium"
)

// Chunk headers of AWSTAPE and HET: current length and previous length, little endian, then
// two bytes of flags. A block is the chunks from BOR to EOR; HET compresses it whole before it
// is cut into chunks.
const (
	awsHeaderLen = 6
	awsMaxChunk  = 0xffff

	awsBOR  = 0x80 // flags 1: beginning of a block
	awsMark = 0x40 // a tape mark, without data
	awsEOR  = 0x20 // end of a block
	hetZlib = 0x01
	hetBzip = 0x02

	hetBusTech = 0x80 // flags 2: compressed with zlib by Bus-Tech
)

var awsFormat = Format{
	Name: "aws", Title: "AWSTAPE (.aws)", Extensions: []string{".aws", ".awstape"}, MaxBlock: medium.MaxBlock,
	likely: func(head []byte, size int64) bool { return awsLikely(head, size, false) },
	open:   openAWS,
	create: func(path string) (Writer, error) { return createAWS(path, false) },
}

var hetFormat = Format{
	Name: "het", Title: "Hercules emulated tape (.het)", Extensions: []string{".het"}, MaxBlock: medium.MaxBlock,
	likely: func(head []byte, size int64) bool { return awsLikely(head, size, true) },
	open:   openAWS,
	create: func(path string) (Writer, error) { return createAWS(path, true) },
}

// awsLikely follows the chunks of head: each says how long the one before was. Only HET
// compresses; without that the two are one format, and the name of the file decides.
func awsLikely(head []byte, size int64, het bool) bool {
	if size < awsHeaderLen {
		return false
	}
	whole := size == int64(len(head))
	prev, within, compressed := 0, false, false
	for b := head; ; {
		if len(b) < awsHeaderLen {
			return (!whole || len(b) == 0) && (het || !compressed)
		}
		n, p := int(binary.LittleEndian.Uint16(b)), int(binary.LittleEndian.Uint16(b[2:]))
		f1, f2 := b[4], b[5]
		if p != prev || f1&^(awsBOR|awsMark|awsEOR|hetZlib|hetBzip) != 0 || f2&^hetBusTech != 0 ||
			(f1&awsMark != 0) != (n == 0) || f1&awsMark != 0 && within || f1&awsMark == 0 && (f1&awsBOR == 0) != within {
			return false
		}
		compressed = compressed || f1&(hetZlib|hetBzip) != 0 || f2 != 0
		within = f1&(awsMark|awsEOR) == 0
		prev = n
		if len(b) < awsHeaderLen+n {
			return !whole && (het || !compressed)
		}
		b = b[awsHeaderLen+n:]
	}
}

type awsReader struct {
	*source
	prev  int
	plain []byte // a block after decompression
}

func openAWS(path string) (Reader, error) {
	s, err := openSource(path)
	if err != nil {
		return nil, err
	}
	return &awsReader{source: s}, nil
}

func (r *awsReader) Next() (Object, error) {
	n := 0
	for first := true; ; first = false {
		var h [awsHeaderLen]byte
		err := r.full(h[:])
		if err != nil {
			if errors.Is(err, io.EOF) && !first {
				return Object{}, r.damaged("it ends within a block")
			}
			return Object{}, err
		}
		length, prev := int(binary.LittleEndian.Uint16(h[:])), int(binary.LittleEndian.Uint16(h[2:]))
		f1, f2 := h[4], h[5]
		switch {
		case prev != r.prev:
			return Object{}, r.damaged("a chunk names one of %d bytes before it; there was one of %d", prev, r.prev)
		case f1&awsMark != 0:
			if length != 0 || !first {
				return Object{}, r.damaged("a tape mark within a block, or with data")
			}
			r.prev = 0
			return filemark, nil
		case first != (f1&awsBOR != 0):
			return Object{}, r.damaged("flags %02Xh of chunk: where blocks begin is not clear", f1)
		case n+length > medium.MaxBlock:
			return Object{}, r.damaged("a block of more than %d bytes", medium.MaxBlock)
		}
		r.prev = length
		r.buf = append(r.buf[:n], make([]byte, length)...)
		if err := r.rest(r.buf[n:]); err != nil {
			return Object{}, err
		}
		n += length
		if f1&awsEOR == 0 {
			continue
		}
		data := r.buf[:n]
		if f1&(hetZlib|hetBzip) != 0 || f2&hetBusTech != 0 {
			if data, err = r.expand(data, f1&hetBzip != 0); err != nil {
				return Object{}, err
			}
		}
		if len(data) == 0 {
			return Object{}, r.damaged("a block without data")
		}
		return block(data), nil
	}
}

// expand decompresses a block.
func (r *awsReader) expand(b []byte, bzip bool) ([]byte, error) {
	var src io.Reader
	if bzip {
		src = bzip2.NewReader(bytes.NewReader(b))
	} else {
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, r.damaged("a compressed block: %v", err)
		}
		src = z
	}
	w := bytes.NewBuffer(r.plain[:0])
	_, err := io.Copy(w, io.LimitReader(src, medium.MaxBlock+1))
	r.plain = w.Bytes()
	switch {
	case err != nil:
		return nil, r.damaged("a compressed block: %v", err)
	case w.Len() > medium.MaxBlock:
		return nil, r.damaged("a block of more than %d bytes", medium.MaxBlock)
	}
	return r.plain, nil
}

type awsWriter struct {
	*sink
	z      *zlib.Writer // nil: AWSTAPE
	packed bytes.Buffer
}

func createAWS(path string, het bool) (Writer, error) {
	s, err := createSink(path, medium.MaxBlock)
	if err != nil {
		return nil, err
	}
	w := &awsWriter{sink: s}
	if het {
		w.z = zlib.NewWriter(&w.packed)
	}
	return w, nil
}

func (w *awsWriter) Block(b []byte) error {
	if err := w.check(b); err != nil {
		return err
	}
	var flag byte
	if w.z != nil {
		w.packed.Reset()
		w.z.Reset(&w.packed)
		_, err := w.z.Write(b)
		if err = errors.Join(err, w.z.Close()); err != nil {
			return err
		}
		if w.packed.Len() < len(b) {
			b, flag = w.packed.Bytes(), hetZlib
		}
	}
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), awsMaxChunk)
		f := flag
		if first {
			f |= awsBOR
		}
		if n == len(b) {
			f |= awsEOR
		}
		if err := w.write(w.header(n, f), b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (w *awsWriter) header(n int, flags byte) []byte {
	h := binary.LittleEndian.AppendUint16(nil, uint16(n))
	h = binary.LittleEndian.AppendUint16(h, uint16(w.prev))
	w.prev = n
	return append(h, flags, 0)
}

func (w *awsWriter) Filemark() error { return w.write(w.header(0, awsMark)) }
