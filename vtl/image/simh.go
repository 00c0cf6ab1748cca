package image

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/targate/targate/vtl/medium"
)

// Metadata words of SIMH's magnetic tape format (simh_magtape, rev. 2022): little endian;
// the class is the top nibble, the length of a record the low 28 bits.
const (
	simhClass   = 0xf0000000
	simhLength  = 0x0fffffff
	simhMark    = 0x00000000 // class 0 with length 0
	simhBad     = 0x80000000 // class 8: a record with an error
	simhDesc    = 0xe0000000 // class E: a description of the tape
	simhGap     = 0xfffffffe // erase gap
	simhEnd     = 0xffffffff // end of medium
	simhHalfFwd = 0xfffeffff // half gaps, met when read forwards
	simhHalfRev = 0xffff0000
)

var simhFormat = Format{
	Name: "simh", Title: "SIMH (.tap)", Extensions: []string{".tap", ".simh"}, MaxBlock: medium.MaxBlock,
	likely: func(head []byte, size int64) bool { return simhLikely(head, size, true) },
	open:   func(path string) (Reader, error) { return openSIMH(path, true) },
	create: func(path string) (Writer, error) { return createSIMH(path, true) },
}

// e11Format is that of Ersatz-11: SIMH's without the byte that makes records even.
var e11Format = Format{
	Name: "e11", Title: "Ersatz-11 (.tap, records are not padded)", Extensions: []string{".e11"}, MaxBlock: medium.MaxBlock,
	likely: func(head []byte, size int64) bool { return simhLikely(head, size, false) },
	open:   func(path string) (Reader, error) { return openSIMH(path, false) },
	create: func(path string) (Writer, error) { return createSIMH(path, false) },
}

// simhLikely follows the records of head: each length stands before and behind its record.
func simhLikely(head []byte, size int64, padded bool) bool {
	if size == 0 {
		return false
	}
	whole := size == int64(len(head))
	for b := head; ; {
		if len(b) < 4 {
			return !whole || len(b) == 0
		}
		w := binary.LittleEndian.Uint32(b)
		b = b[4:]
		switch w & simhClass {
		case 0, simhBad, simhDesc, 0x10000000, 0x20000000, 0x30000000, 0x40000000, 0x50000000, 0x60000000:
			n := int(w & simhLength)
			if w == simhMark {
				continue
			}
			if n > medium.MaxBlock {
				return false
			}
			at := n
			if padded {
				at += n & 1
			}
			if len(b) < at+4 {
				return !whole
			}
			if binary.LittleEndian.Uint32(b[at:]) != w {
				return false
			}
			b = b[at+4:]
		case simhClass:
			switch w {
			case simhEnd:
				return true
			case simhGap, simhHalfRev:
			case simhHalfFwd:
				b = b[min(2, len(b)):]
			default:
				return false
			}
		case 0x70000000: // private marker
		default:
			return false
		}
	}
}

type simhReader struct {
	*source
	padded bool
}

func openSIMH(path string, padded bool) (Reader, error) {
	s, err := openSource(path)
	if err != nil {
		return nil, err
	}
	return &simhReader{s, padded}, nil
}

func (r *simhReader) Next() (Object, error) {
	var word [4]byte
	for {
		if err := r.full(word[:]); err != nil {
			return Object{}, err
		}
		w := binary.LittleEndian.Uint32(word[:])
		switch w & simhClass {
		case 0:
			if w == simhMark {
				return filemark, nil
			}
			return r.record(w, false)
		case simhBad:
			return r.record(w, true)
		case 0x70000000: // private marker
		case simhClass:
			switch w {
			case simhEnd:
				return Object{}, io.EOF
			case simhGap, simhHalfRev:
			case simhHalfFwd: // a gap whose first half was overwritten: the next word begins in its middle
				if _, err := r.r.Discard(2); err != nil {
					return Object{}, r.damaged("it ends within a gap")
				}
				r.off += 2
			default:
				return Object{}, r.damaged("the reserved marker %08Xh", w)
			}
		case simhDesc, 0x10000000, 0x20000000, 0x30000000, 0x40000000, 0x50000000, 0x60000000:
			// what is not the tape's contents
			if _, err := r.record(w, false); err != nil {
				return Object{}, err
			}
		default:
			return Object{}, r.damaged("a record of the reserved class %Xh", w>>28)
		}
	}
}

// record reads the data behind the word w, and the word again.
func (r *simhReader) record(w uint32, bad bool) (Object, error) {
	n := int(w & simhLength)
	if n > medium.MaxBlock {
		return Object{}, r.damaged("a record of %d bytes; the longest block has %d", n, medium.MaxBlock)
	}
	pad := 0
	if r.padded {
		pad = n & 1
	}
	b := r.block(n + pad + 4)
	if err := r.rest(b); err != nil {
		return Object{}, err
	}
	if again := binary.LittleEndian.Uint32(b[n+pad:]); again != w {
		return Object{}, r.damaged("%08Xh before a record, %08Xh behind it", w, again)
	}
	if n == 0 { // an error record without data
		return Object{Kind: medium.Block, Bad: bad, Data: b[:0]}, nil
	}
	return Object{Kind: medium.Block, Data: b[:n], Bad: bad}, nil
}

type simhWriter struct {
	*sink
	padded bool
}

func createSIMH(path string, padded bool) (Writer, error) {
	s, err := createSink(path, medium.MaxBlock)
	if err != nil {
		return nil, err
	}
	return &simhWriter{s, padded}, nil
}

func (w *simhWriter) Block(b []byte) error {
	if err := w.check(b); err != nil {
		return err
	}
	word := binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
	var pad []byte
	if w.padded && len(b)&1 != 0 {
		pad = []byte{0}
	}
	return w.write(word, b, pad, word)
}

func (w *simhWriter) Filemark() error { return w.write([]byte{0, 0, 0, 0}) }

func (w *simhWriter) Close() error {
	if w.done {
		return nil
	}
	return errors.Join(w.write([]byte{0xff, 0xff, 0xff, 0xff}), w.sink.Close())
}
