package cartridge

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/targate/targate/vtl/medium"
)

// Identity is what a cartridge is for life, but for its barcode.
type Identity struct {
	ID       string // a UUID in lower case; made by Create when it is empty
	Barcode  string
	Type     string // of medium
	Serial   string
	WORM     bool
	Capacity int64 // native, in bytes
	// SegmentSize is how long a segment becomes, in bytes; Create sets it from Options when 0.
	SegmentSize int64
	Created     time.Time
}

const (
	identityName  = "cartridge"
	identityMagic = "TGTCARTR"
	newSuffix     = ".new"
	identityHead  = 20
	maxText       = 255
	// Bounds of the size of a segment.
	MinSegment     = 64 << 10
	MaxSegment     = 1 << 30
	DefaultSegment = 256 << 20
)

// newUUID is a random UUID (RFC 9562, 5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func parseUUID(s string) (id [16]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(s) != 36 || len(b) != 16 || fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]) != s {
		return id, fmt.Errorf("%q is not a UUID in lower case", s)
	}
	return [16]byte(b), nil
}

func (i *Identity) check() error {
	if _, err := parseUUID(i.ID); err != nil {
		return err
	}
	for _, s := range []string{i.Barcode, i.Type, i.Serial} {
		if len(s) > maxText {
			return fmt.Errorf("a text of %d bytes; %d is the most", len(s), maxText)
		}
	}
	if i.Capacity <= 0 || i.SegmentSize < MinSegment || i.SegmentSize > MaxSegment {
		return fmt.Errorf("capacity %d, segments of %d bytes, where %d to %d can be", i.Capacity, i.SegmentSize, MinSegment, MaxSegment)
	}
	return nil
}

func (i *Identity) encode() []byte {
	var p []byte
	for _, s := range []string{i.ID, i.Barcode, i.Type, i.Serial} {
		p = appendText(p, s)
	}
	p = append(p, 0)
	if i.WORM {
		p[len(p)-1] = 1
	}
	p = binary.AppendUvarint(p, uint64(i.Capacity))
	p = binary.AppendUvarint(p, uint64(i.SegmentSize))
	p = le.AppendUint64(p, uint64(i.Created.UnixNano()))
	b := append([]byte(nil), identityMagic...)
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, uint32(len(p)))
	b = le.AppendUint32(b, crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, p))
	return append(b, p...)
}

var errIdentity = errors.New("not the identity of a cartridge")

func decodeIdentity(b []byte) (*Identity, error) {
	if len(b) < identityHead || string(b[:8]) != identityMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", errIdentity, identityMagic)
	}
	if n := le.Uint32(b[12:]); uint64(n) != uint64(len(b)-identityHead) {
		return nil, fmt.Errorf("%w: it says %d bytes and has %d", errIdentity, n, len(b)-identityHead)
	}
	if got, want := crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[identityHead:]), le.Uint32(b[16:]); got != want {
		return nil, fmt.Errorf("%w: CRC32C %08x, it says %08x", errIdentity, got, want)
	}
	if v := le.Uint16(b[8:]); v != version {
		return nil, fmt.Errorf("cartridge of version %d; this program knows %d", v, version)
	}
	c := &cursor{b: b[identityHead:]}
	i := &Identity{ID: c.text(maxText), Barcode: c.text(maxText), Type: c.text(maxText), Serial: c.text(maxText)}
	worm := c.u8()
	i.WORM, i.Capacity, i.SegmentSize = worm == 1, c.number(), c.number()
	i.Created = time.Unix(0, int64(c.u64())).UTC()
	if !c.end() || worm > 1 || i.check() != nil {
		return nil, fmt.Errorf("%w: fields that contradict each other", errIdentity)
	}
	return i, nil
}

// readIdentity reads that of the cartridge in dir.
func readIdentity(fsys FS, dir string) (*Identity, error) {
	path := filepath.Join(dir, identityName)
	f, err := fsys.Open(path, false)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, identityHead+8*maxText))
	if err := readFull(f, b, 0); err != nil {
		return nil, err
	}
	i, err := decodeIdentity(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return i, nil
}

// replaceFile makes b the contents of the file name in dir: the old ones, or these, never
// anything else.
func replaceFile(fsys FS, dir, name string, b []byte) error {
	path := filepath.Join(dir, name)
	if err := fsys.Remove(path + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(path + newSuffix)
	if err != nil {
		return err
	}
	err = f.WriteV([][]byte{b}, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(path+newSuffix, path); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// Read is the identity of the cartridge in dir, which may be in use.
func Read(dir string, o Options) (Identity, error) {
	i, err := readIdentity(o.files(), dir)
	if err != nil {
		return Identity{}, err
	}
	return *i, nil
}

// Relabel changes the barcode of the cartridge in dir, which must not be in use. It is
// durable when it returns.
func Relabel(dir, barcode string, o Options) error {
	lock, err := o.files().Lock(filepath.Join(dir, lockName), false)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // nothing was written to it
	i, err := readIdentity(o.files(), dir)
	if err != nil {
		return err
	}
	i.Barcode = barcode
	if err := i.check(); err != nil {
		return err
	}
	return replaceFile(o.files(), dir, identityName, i.encode())
}

// Create makes a blank cartridge in the directory dir, which must not exist. It is durable
// when it returns; until then there is none, or one without identity, which Create makes
// again.
func Create(dir string, i Identity, o Options) (Identity, error) {
	fsys := o.files()
	if i.ID == "" {
		i.ID = newUUID()
	}
	if i.SegmentSize == 0 {
		i.SegmentSize = DefaultSegment
	}
	if i.Created.IsZero() {
		i.Created = o.now()
	}
	i.Created = i.Created.Truncate(0).UTC()
	if err := i.check(); err != nil {
		return i, err
	}
	id, err := parseUUID(i.ID)
	if err != nil {
		return i, err
	}
	if err := fsys.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return i, err
	}
	if _, err := readIdentity(fsys, dir); !errors.Is(err, fs.ErrNotExist) {
		return i, fmt.Errorf("%s: %w", dir, errors.Join(fs.ErrExist, err))
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName), false)
	if err != nil {
		return i, err
	}
	defer lock.Close() //nolint:errcheck // nothing was written to it
	s := &segment{number: 1, first: 1, salt: randomSalt()}
	k := checkpoint{purpose: atStart, state: state{limit: i.Capacity, n: 1}}
	k.state.parts[0].capacity = i.Capacity
	path := filepath.Join(dir, segmentName(1))
	if err := fsys.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return i, err
	}
	f, err := fsys.Create(path)
	if err != nil {
		return i, err
	}
	// The purpose of a clean end lets the first user go on in this segment.
	k.purpose = atClose
	h := header{kind: checkpointRecord, number: 1}
	err = f.WriteV([][]byte{h.appendTo(appendSegmentHeader(nil, s, id), s.salt, k.appendTo(nil))}, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return i, err
	}
	if err := replaceFile(fsys, dir, identityName, i.encode()); err != nil {
		return i, err
	}
	return i, fsys.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// Info is what medium.Info says of it.
func (i *Identity) info() medium.Info {
	return medium.Info{ID: i.ID, Barcode: i.Barcode, Type: i.Type, Serial: i.Serial, WORM: i.WORM}
}

// part is how many of the n stored bytes of a frame its first num of den bytes take, rounded
// up.
func part(n int64, num, den int) int64 {
	if den == 0 {
		return 0
	}
	return (n*int64(num) + int64(den) - 1) / int64(den)
}
