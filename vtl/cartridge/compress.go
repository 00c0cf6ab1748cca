package cartridge

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression is an algorithm.
type Compression uint8

// Algorithms. What is recorded is read whichever is chosen.
const (
	Zstd Compression = iota // about 2 : 1 better than LZ4 on text, half as fast
	LZ4
)

func (c Compression) codec() codec {
	if c == LZ4 {
		return lz4Codec
	}
	return zstdCodec
}

// Compressors are shared by all cartridges: each has some MiB of tables.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
		if err != nil {
			panic(err) // the options are right
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxData), zstd.IgnoreChecksum(true))
		if err != nil {
			panic(err)
		}
		return d
	})
	lz4Compressors = sync.Pool{New: func() any { return new(lz4.Compressor) }}
)

// compress appends raw to dst, compressed; ok is false when that would not save a sixteenth.
func compress(dst, raw []byte, c codec) (_ []byte, ok bool) {
	if !compressible(raw) {
		return dst, false
	}
	limit := len(raw) - len(raw)/16
	switch c {
	case zstdCodec:
		dst = zstdEncoder().EncodeAll(raw, dst)
	case lz4Codec:
		at := len(dst)
		dst = append(dst, make([]byte, limit)...)
		z := lz4Compressors.Get().(*lz4.Compressor)
		n, err := z.CompressBlock(raw, dst[at:])
		lz4Compressors.Put(z)
		if err != nil || n == 0 {
			return dst[:at], false
		}
		return dst[:at+n], true
	}
	return dst, len(dst) < limit
}

const (
	probeSamples = 4
	probeLen     = 2 << 10
)

// compressible tries samples of b, which costs some microseconds.
func compressible(b []byte) bool {
	if len(b) <= 2*probeSamples*probeLen {
		return true
	}
	z := lz4Compressors.Get().(*lz4.Compressor)
	defer lz4Compressors.Put(z)
	var out [probeLen]byte
	saved := 0
	for i := range probeSamples {
		s := b[(len(b)-probeLen)/(probeSamples-1)*i:][:probeLen]
		if n, err := z.CompressBlock(s, out[:]); err == nil && n > 0 {
			saved += probeLen - n
		}
	}
	return saved > probeSamples*probeLen/32
}

// decompress returns data's n bytes, in dst when it has room.
func decompress(dst, data []byte, c codec, n int) ([]byte, error) {
	if cap(dst) < n {
		dst = make([]byte, 0, n)
	}
	var err error
	switch c {
	case plain:
		return data, lengthError(len(data), n)
	case zstdCodec:
		dst, err = zstdDecoder().DecodeAll(data, dst[:0])
	case lz4Codec:
		var k int
		dst = dst[:n]
		k, err = lz4.UncompressBlock(data, dst)
		dst = dst[:max(0, k)]
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	return dst, lengthError(len(dst), n)
}

func lengthError(got, want int) error {
	if got != want {
		return fmt.Errorf("%w: %d bytes of blocks where %d are due", errRecord, got, want)
	}
	return nil
}
