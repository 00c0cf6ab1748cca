package cartridge

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/targate/targate/vtl/medium"
)

// frame is a group of objects that is not in the log yet.
type frame struct {
	content
	partition int
	raw       []byte // of its blocks
	compress  codec  // plain: not
	key       *medium.Key
	done      chan struct{} // it is in the log, or lost
	submitted bool
}

// read is the object number object of the tape.
func (f *frame) read(object uint64, dst []byte, key *medium.Key) (medium.Object, error) {
	o := f.describe(object - f.first)
	if o.Kind != medium.Block || len(dst) == 0 {
		return o, nil
	}
	if f.key != nil {
		if key == nil {
			return o, medium.ErrKeyNeeded
		}
		if key.AES != f.key.AES {
			return o, medium.ErrKeyWrong
		}
	}
	length, blocks, _, off := f.at(object - f.first)
	o.CRC = f.crcs[blocks]
	copy(dst, f.raw[off:off+length])
	return o, nil
}

// encoded is a frame as it will be in the log.
type encoded struct {
	header
	meta []byte
	body [][]byte
}

// encode compresses and encrypts.
func (f *frame) encode(id [16]byte) (*encoded, error) {
	e := &encoded{header: header{kind: frameRecord, partition: f.partition}}
	var text []byte
	if f.key != nil {
		for _, v := range f.crcs {
			text = le.AppendUint32(text, v)
		}
	}
	at := len(text)
	raw := f.raw
	if f.compress != plain && len(raw) > 0 {
		if b, ok := compress(text, raw, f.compress); ok {
			e.codec, text, raw = f.compress, b, nil
		}
	}
	c := f.content
	if f.key == nil {
		e.meta = c.appendTo(nil)
		e.body = [][]byte{text, raw}
		e.data = len(text) + len(raw)
		if e.codec != plain {
			e.dataCRC = crc32.Checksum(text, castagnoli)
		}
		return e, nil
	}
	if f.blocks == 0 {
		return nil, errors.New("filemarks are not encrypted")
	}
	if e.codec == plain {
		text = append(text[:at:at], raw...)
	}
	e.encrypted = true
	c.nonce = newNonce()
	e.meta = c.appendTo(nil)
	text, err := seal(f.key, c.nonce, text, authenticated(id, f.partition, e.codec, e.meta))
	if err != nil {
		return nil, err
	}
	e.body, e.data, e.dataCRC = [][]byte{text}, len(text), crc32.Checksum(text, castagnoli)
	return e, nil
}

// frameData reads the data of a frame, and decrypts and decompresses it. The checksums of
// blocks are not checked, but those of an encrypted frame are set in c.
func frameData(f File, h *header, c *content, meta []byte, s spot, id [16]byte, key *medium.Key) ([]byte, error) {
	if h.encrypted && key == nil {
		return nil, medium.ErrKeyNeeded
	}
	b := make([]byte, h.data)
	if err := readFull(f, b, s.off+int64(headerLen+h.meta)); err != nil {
		return nil, damage(s, err)
	}
	if h.codec != plain || h.encrypted {
		if got := crc32.Checksum(b, castagnoli); got != h.dataCRC {
			return nil, damage(s, fmt.Errorf("CRC32C of the data %08x, it says %08x", got, h.dataCRC))
		}
	}
	if h.encrypted {
		var err error
		if b, err = unseal(key, c.nonce, b, authenticated(id, h.partition, h.codec, meta)); err != nil {
			return nil, err
		}
		k := cursor{b: b}
		c.crcs = make([]uint32, c.blocks)
		for i := range c.crcs {
			c.crcs[i] = k.u32()
		}
		if b = k.b; k.bad {
			return nil, damage(s, errRecord)
		}
	}
	raw, err := decompress(nil, b, h.codec, c.raw)
	if err != nil {
		return nil, damage(s, err)
	}
	return raw, nil
}

// read is object n of the frame, whose checksum is verified.
func (x *cachedFrame) read(n uint64, dst []byte) (medium.Object, error) {
	o := x.describe(n)
	if o.Kind != medium.Block {
		return o, nil
	}
	length, blocks, _, off := x.at(n)
	o.CRC = x.crcs[blocks]
	block := x.raw[off : off+length]
	if got := crc32.Checksum(block, castagnoli); got != o.CRC {
		return o, fmt.Errorf("%w: block CRC32C %08x, it says %08x", medium.ErrCorrupt, got, o.CRC)
	}
	copy(dst, block)
	return o, nil
}
