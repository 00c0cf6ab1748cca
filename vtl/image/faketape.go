package image

import (
	"fmt"
	"strconv"
)

// fakeTapeFormat is that of Fundamental Software's FLEX-ES: each block has 12 hexadecimal
// digits before it: the length of the block before, its own, and the exclusive or of both.
// The length 0 is a tape mark.
var fakeTapeFormat = Format{
	Name: "faketape", Title: "FLEX-ES FakeTape (.fkt)", Extensions: []string{".fkt", ".faketape"}, MaxBlock: 0xffff,
	likely: func(head []byte, _ int64) bool {
		prev, cur, ok := fakeHeader(head)
		return ok && prev == 0 && (cur > 0 || len(head) >= fakeHeaderLen)
	},
	open: func(path string) (Reader, error) {
		s, err := openSource(path)
		if err != nil {
			return nil, err
		}
		return &fakeReader{source: s}, nil
	},
	create: func(path string) (Writer, error) {
		s, err := createSink(path, 0xffff)
		if err != nil {
			return nil, err
		}
		return &fakeWriter{s}, nil
	},
}

const fakeHeaderLen = 12

// fakeHeader takes a header apart. ok is false when it is none.
func fakeHeader(b []byte) (prev, cur int, ok bool) {
	if len(b) < fakeHeaderLen {
		return 0, 0, false
	}
	var v [3]int
	for i := range v {
		n, err := strconv.ParseUint(string(b[4*i:4*i+4]), 16, 16)
		if err != nil {
			return 0, 0, false
		}
		v[i] = int(n)
	}
	return v[0], v[1], v[0]^v[1] == v[2]
}

type fakeReader struct {
	*source
	prev int
}

func (r *fakeReader) Next() (Object, error) {
	var h [fakeHeaderLen]byte
	if err := r.full(h[:]); err != nil {
		return Object{}, err
	}
	prev, cur, ok := fakeHeader(h[:])
	switch {
	case !ok:
		return Object{}, r.damaged("%q is no header", h[:])
	case prev != r.prev:
		return Object{}, r.damaged("a header names a block of %d bytes before it; there was one of %d", prev, r.prev)
	}
	r.prev = cur
	if cur == 0 {
		return filemark, nil
	}
	b := r.source.block(cur)
	if err := r.rest(b); err != nil {
		return Object{}, err
	}
	return block(b), nil
}

type fakeWriter struct{ *sink }

func (w *fakeWriter) header(n int) []byte {
	h := fmt.Appendf(nil, "%04X%04X%04X", w.prev, n, w.prev^n)
	w.prev = n
	return h
}

func (w *fakeWriter) Block(b []byte) error {
	if err := w.check(b); err != nil {
		return err
	}
	return w.write(w.header(len(b)), b)
}

func (w *fakeWriter) Filemark() error { return w.write(w.header(0)) }
