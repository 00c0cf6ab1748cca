package image

import (
	"encoding/binary"
)

// tpcFormat is that of TPC tape images: a length of two bytes, little endian, and the record,
// padded to an even length; the length 0 is a tape mark.
var tpcFormat = Format{
	Name: "tpc", Title: "TPC (.tpc)", Extensions: []string{".tpc"}, MaxBlock: 0xffff,
	likely: func(head []byte, size int64) bool {
		if size == 0 {
			return false
		}
		whole := size == int64(len(head))
		for b := head; ; {
			if len(b) < 2 {
				return !whole || len(b) == 0
			}
			n := int(binary.LittleEndian.Uint16(b))
			n += n & 1
			if len(b) < 2+n {
				return !whole
			}
			b = b[2+n:]
		}
	},
	open: func(path string) (Reader, error) {
		s, err := openSource(path)
		if err != nil {
			return nil, err
		}
		return &tpcReader{s}, nil
	},
	create: func(path string) (Writer, error) {
		s, err := createSink(path, 0xffff)
		if err != nil {
			return nil, err
		}
		return &tpcWriter{s}, nil
	},
}

type tpcReader struct{ *source }

func (r *tpcReader) Next() (Object, error) {
	var word [2]byte
	if err := r.full(word[:]); err != nil {
		return Object{}, err
	}
	n := int(binary.LittleEndian.Uint16(word[:]))
	if n == 0 {
		return filemark, nil
	}
	b := r.source.block(n + n&1)
	if err := r.rest(b); err != nil {
		return Object{}, err
	}
	return block(b[:n]), nil
}

type tpcWriter struct{ *sink }

func (w *tpcWriter) Block(b []byte) error {
	if err := w.check(b); err != nil {
		return err
	}
	return w.write(binary.LittleEndian.AppendUint16(nil, uint16(len(b))), b, make([]byte, len(b)&1))
}

func (w *tpcWriter) Filemark() error { return w.write([]byte{0, 0}) }
