package cartridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/targate/targate/vtl/medium"
)

// kind of a record.
type kind uint8

const (
	frameRecord kind = iota + 1
	attributesRecord
	generationRecord
	checkpointRecord
)

const (
	headerLen   = 40
	recordMagic = "TREC"
	// maxMeta and maxData bound what follows a header.
	maxMeta = 1 << 20
	maxData = medium.MaxBlock + maxFrameBlocks*4 + sealOverhead + maxFrameRaw
	// maxFrameRaw is when a frame is full, at the latest; the last block may go beyond it.
	maxFrameRaw = 16 << 20
	// maxFrameBlocks is how many blocks, and maxFrameRuns how many runs, a frame has at most.
	maxFrameBlocks = 16 << 10
	maxFrameRuns   = 32 << 10
)

// codec is how the data of a frame is compressed.
type codec uint8

const (
	plain codec = iota
	zstdCodec
	lz4Codec
)

// header is the head of a record.
type header struct {
	kind      kind
	codec     codec
	encrypted bool
	partition int
	meta      int // bytes behind the header
	data      int // and behind those
	dataCRC   uint32
	number    uint64 // of the record
	committed uint64 // records up to it were durable when this one was written
}

const encryptedFlag = 0x10

var errRecord = errors.New("not an intact record")

// appendTo appends header and meta.
func (h *header) appendTo(b []byte, salt uint64, meta []byte) []byte {
	at := len(b)
	b = append(b, recordMagic...)
	b = append(b, 0, 0, 0, 0, byte(h.kind), byte(h.codec), byte(h.partition), 0)
	if h.encrypted {
		b[at+9] |= encryptedFlag
	}
	b = le.AppendUint32(b, uint32(len(meta)))
	b = le.AppendUint32(b, uint32(h.data))
	b = le.AppendUint32(b, h.dataCRC)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, h.committed)
	b = append(b, meta...)
	le.PutUint32(b[at+4:], salted(salt, b[at+8:]))
	return b
}

// salted is the CRC32C of the salt of a segment and b.
func salted(salt uint64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(le.AppendUint64(nil, salt), castagnoli), castagnoli, b)
}

// parseHeader reads the first headerLen bytes of a record. Its checksum is of these and the
// meta: see check.
func parseHeader(b []byte) (header, error) {
	if len(b) < headerLen || string(b[:4]) != recordMagic {
		return header{}, fmt.Errorf("%w: no %q", errRecord, recordMagic)
	}
	h := header{
		kind: kind(b[8]), codec: codec(b[9] &^ encryptedFlag), encrypted: b[9]&encryptedFlag != 0, partition: int(b[10]),
		dataCRC: le.Uint32(b[20:]), number: le.Uint64(b[24:]), committed: le.Uint64(b[32:]),
	}
	meta, data := le.Uint32(b[12:]), le.Uint32(b[16:])
	if meta > maxMeta || data > maxData {
		return header{}, fmt.Errorf("%w: %d and %d bytes", errRecord, meta, data)
	}
	h.meta, h.data = int(meta), int(data)
	switch {
	case h.kind < frameRecord || h.kind > checkpointRecord, h.codec > lz4Codec, h.partition >= medium.MaxPartitions, b[11] != 0,
		h.kind != frameRecord && (h.codec != plain || h.encrypted || h.data != 0 || h.partition != 0), h.committed >= h.number:
		return header{}, fmt.Errorf("%w: fields that contradict each other", errRecord)
	}
	return h, nil
}

// check verifies the checksum over the header and meta in b.
func (h *header) check(b []byte, salt uint64) error {
	if got, want := salted(salt, b[8:headerLen+h.meta]), le.Uint32(b[4:]); got != want {
		return fmt.Errorf("%w: CRC32C %08x, it says %08x", errRecord, got, want)
	}
	return nil
}

func (h *header) length() int64 { return int64(headerLen + h.meta + h.data) }

// run is count objects that are alike: blocks of length bytes, or filemarks when that is 0.
type run struct {
	length int
	count  uint64
}

// content is what a frame says of its objects.
type content struct {
	first   uint64 // object number
	marks   uint64 // filemarks before it in the partition
	runs    []run
	objects uint64   // derived, as all below
	inner   uint64   // filemarks in it
	blocks  int      // blocks in it
	raw     int      // their bytes
	crcs    []uint32 // of each block; of an encrypted frame in its data
	nonce   []byte   // of an encrypted frame
	enc     *medium.Encryption
}

// add appends an object to the runs.
func (c *content) add(length int, count uint64) {
	c.objects += count
	if length == 0 {
		c.inner += count
	} else {
		c.blocks += int(count)
		c.raw += length * int(count)
	}
	if n := len(c.runs); n > 0 && c.runs[n-1].length == length {
		c.runs[n-1].count += count
		return
	}
	c.runs = append(c.runs, run{length, count})
}

func (c *content) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, c.first)
	b = binary.AppendUvarint(b, c.marks)
	b = binary.AppendUvarint(b, uint64(len(c.runs)))
	for _, r := range c.runs {
		b = binary.AppendUvarint(b, uint64(r.length))
		b = binary.AppendUvarint(b, r.count)
	}
	if c.enc != nil {
		b = append(b, c.nonce...)
		b = appendBytes(b, c.enc.UKAD)
		b = appendBytes(b, c.enc.AKAD)
		if c.enc.RawDecryptionDisabled {
			return append(b, 1)
		}
		return append(b, 0)
	}
	for _, v := range c.crcs {
		b = le.AppendUint32(b, v)
	}
	return b
}

// maxRun is the most filemarks in one run: so that numbers of objects do not overflow.
const maxRun = 1 << 40

// parseContent reads the meta of a frame.
func parseContent(h *header, meta []byte) (*content, error) {
	k := &cursor{b: meta}
	c := &content{first: k.varint(), marks: k.varint()}
	n := k.count(maxFrameRuns)
	if c.marks > c.first || c.first > 1<<62 || n == 0 || n > len(meta) {
		k.bad = true
		n = 0
	}
	c.runs = make([]run, 0, n)
	for range n {
		r := run{k.count(medium.MaxBlock), k.varint()}
		most := uint64(maxRun)
		if r.length > 0 {
			most = uint64(min(maxFrameBlocks-c.blocks, (medium.MaxBlock+maxFrameRaw-c.raw)/r.length))
		}
		if last := len(c.runs) - 1; k.bad || r.count == 0 || r.count > most || (last >= 0 && c.runs[last].length == r.length) {
			return nil, fmt.Errorf("%w: objects of a frame", errRecord)
		}
		c.add(r.length, r.count)
	}
	if h.encrypted {
		c.nonce = k.bytes(nonceLen)
		c.enc = &medium.Encryption{UKAD: k.bytes(k.count(maxUKAD)), AKAD: k.bytes(k.count(maxAKAD))}
		switch k.u8() {
		case 0:
		case 1:
			c.enc.RawDecryptionDisabled = true
		default:
			k.bad = true
		}
	} else {
		c.crcs = make([]uint32, c.blocks)
		for i := range c.crcs {
			c.crcs[i] = k.u32()
		}
	}
	if !k.end() || (h.codec == plain && !h.encrypted && h.data != c.raw) || (c.blocks == 0 && h.data != 0) {
		return nil, fmt.Errorf("%w: meta of a frame", errRecord)
	}
	return c, nil
}

// used is what the data of the frame counts of the capacity.
func (h *header) used(c *content) int64 {
	if h.encrypted {
		return int64(max(0, h.data-4*c.blocks-sealOverhead))
	}
	return int64(h.data)
}

// at finds object n of the frame, counted from its first: its length (0 a filemark), how many
// blocks and filemarks precede it in the frame, and its offset in the blocks' bytes.
func (c *content) at(n uint64) (length, blocks int, marks uint64, offset int) {
	for _, r := range c.runs {
		k := min(n, r.count)
		if r.length == 0 {
			marks += k
		} else {
			blocks += int(k)
			offset += int(k) * r.length
		}
		if n < r.count {
			return r.length, blocks, marks, offset
		}
		n -= k
	}
	return 0, blocks, marks, offset
}

// mark is the place in the frame of the filemark that n others in it precede.
func (c *content) mark(n uint64) uint64 {
	var at uint64
	for _, r := range c.runs {
		if r.length == 0 {
			if n < r.count {
				return at + n
			}
			n -= r.count
		}
		at += r.count
	}
	return at
}
