package cartridge

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
)

// The catalog repeats the summaries of sealed segments, so that a cartridge of many segments
// is opened by reading one file. All that is in it is durable, and in the segments.
const (
	catalogName   = "catalog"
	catalogMagic  = "TGTCATLG"
	catalogHeader = 16
	maxCatalog    = 1 << 30
)

func catalogHead() []byte {
	b := append([]byte(nil), catalogMagic...)
	b = le.AppendUint16(b, version)
	b = append(b, 0, 0)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendEntry(b []byte, s *segment) []byte {
	at := len(b)
	b = append(b, make([]byte, 8)...)
	b = s.summary(b)
	le.PutUint32(b[at:], uint32(len(b)-at-8))
	le.PutUint32(b[at+4:], crc32.Checksum(b[at+8:], castagnoli))
	return b
}

// readCatalog is what can be read of it: the segments tell what cannot.
func readCatalog(fsys FS, path string) (map[uint64]*segment, error) {
	f, err := fsys.Open(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	size, err := f.Size()
	if err != nil || size < catalogHeader || size > maxCatalog {
		return nil, err
	}
	all := map[uint64]*segment{}
	r := &reader{f: f, size: size}
	err = eachEntry(r, func(_ int64, s *segment) { all[s.number] = s })
	if err != nil && !unreadable(err) {
		return nil, err
	}
	return all, nil
}

// eachEntry calls do for each entry, up to the first that is not intact, which is an error.
func eachEntry(r *reader, do func(off int64, s *segment)) error {
	b, err := r.peek(0, catalogHeader)
	if err != nil {
		return err
	}
	if string(b) != string(catalogHead()) {
		return fmt.Errorf("%w: head of the catalog", errRecord)
	}
	for off := int64(catalogHeader); off < r.size; {
		b, err := r.peek(off, 8)
		if err != nil {
			return err
		}
		n, crc := int(le.Uint32(b)), le.Uint32(b[4:])
		if n > maxSummary {
			return fmt.Errorf("%w: an entry of %d bytes", errRecord, n)
		}
		if b, err = r.peek(off, 8+n); err != nil {
			return err
		}
		if got := crc32.Checksum(b[8:], castagnoli); got != crc {
			return fmt.Errorf("%w: CRC32C %08x, it says %08x", errRecord, got, crc)
		}
		s, err := parseSummary(b[8:])
		if err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
		do(off, s)
		off += int64(8 + n)
	}
	return nil
}
