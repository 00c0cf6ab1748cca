package copy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// Commands of a visit.
const (
	opInquiry      = 0x12
	opRead16       = 0x88
	opWrite16      = 0x8a
	opWriteSame16  = 0x93
	opReadCapacity = 0x9e
)

// medium is a copy source or destination: a disk by one path of the nexus.
type medium struct {
	path      *core.Path
	blockSize uint64
	blocks    uint64
	// zeroFlags is byte 1 of the WRITE SAME(16) that zeros without Data-Out; 0: the
	// disk has none.
	zeroFlags byte
}

// open asks the disk at p for its geometry.
func open(ctx context.Context, p *core.Path) (*medium, error) {
	const (
		saReadCapacity = 0x10
		length         = 32
	)
	b := make([]byte, length)
	n, err := p.Visit(ctx, []byte{opReadCapacity, saReadCapacity, 13: length, 15: 0}, nil, b)
	if err != nil {
		return nil, err
	}
	m := &medium{path: p, blockSize: uint64(binary.BigEndian.Uint32(b[8:])), blocks: binary.BigEndian.Uint64(b) + 1}
	if n < 12 || m.blockSize == 0 || chunkLen%m.blockSize != 0 {
		return nil, sense.New(sense.IllegalRequest, wrongTargetType)
	}
	m.zeroFlags = zeroFlags(p.Unit())
	return m, nil
}

// Bits of byte 1 of WRITE SAME(16).
const (
	unmapBit = 0x08
	ndobBit  = 0x01 // no Data-Out
)

// zeroFlags finds how u zeros, and that it may deallocate where u can.
func zeroFlags(u *core.Unit) byte {
	for _, r := range u.Rows() {
		if r.Code == opWriteSame16 && r.Usage[1]&ndobBit != 0 {
			return r.Usage[1]&unmapBit | ndobBit
		}
	}
	return 0
}

// ready says what keeps the disk at p from being read or written (TEST UNIT READY).
func ready(ctx context.Context, p *core.Path) error {
	_, err := p.Visit(ctx, make([]byte, 6), nil, nil)
	return err
}

// sameUnit says whether two media are one.
func (m *medium) sameUnit(o *medium) bool { return m.path.Unit() == o.path.Unit() }

// has says whether [lba, lba+blocks) lies on the medium.
func (m *medium) has(lba, blocks uint64) bool { return blocks <= m.blocks && lba <= m.blocks-blocks }

func cdb16(code, flags byte, lba, blocks uint64) []byte {
	b := make([]byte, 16)
	b[0], b[1] = code, flags
	binary.BigEndian.PutUint64(b[2:], lba)
	binary.BigEndian.PutUint32(b[10:], uint32(blocks))
	return b
}

// read fills p from byte off, both whole blocks.
func (m *medium) read(ctx context.Context, p []byte, off uint64) error {
	n, err := m.path.Visit(ctx, cdb16(opRead16, 0, off/m.blockSize, uint64(len(p))/m.blockSize), nil, p)
	if err == nil && n != len(p) {
		err = sense.New(sense.HardwareError, sense.InternalTargetFailure)
	}
	return err
}

// zeros is what a disk without WRITE SAME is zeroed with, and what others are compared with.
var zeros [chunkLen]byte

// write stores p at byte off. A thin disk stays thin: it gets no blocks for zeros.
func (m *medium) write(ctx context.Context, p []byte, off uint64) error {
	if m.zeroFlags&unmapBit != 0 && bytes.Equal(p, zeros[:len(p)]) {
		return m.zero(ctx, off, uint64(len(p)))
	}
	_, err := m.path.Visit(ctx, cdb16(opWrite16, 0, off/m.blockSize, uint64(len(p))/m.blockSize), p, nil)
	return err
}

// zero makes n bytes at off read as zeros.
func (m *medium) zero(ctx context.Context, off, n uint64) error {
	_, err := m.path.Visit(ctx, cdb16(opWriteSame16, m.zeroFlags, off/m.blockSize, n/m.blockSize), nil, nil)
	return err
}

// resolve finds the path of the nexus of own that leads to the logical unit t. Of
// several, own comes first, then one by which the initiator may write. nil: it sees none.
func resolve(ctx context.Context, own *core.Path, t *target) *core.Path {
	if identifies(ctx, own, t) {
		return own
	}
	var found *core.Path
	for _, p := range own.Nexus().Paths() {
		if p.Unit() == own.Unit() || found != nil && p.ReadOnly || !identifies(ctx, p, t) {
			continue
		}
		if !p.ReadOnly {
			return p
		}
		found = p
	}
	return found
}

// identifies says whether t has a designator of the logical unit at p.
func identifies(ctx context.Context, p *core.Path, t *target) bool {
	return slices.ContainsFunc(designators(ctx, p), func(d []byte) bool {
		return d[1]&0x0f == t.kind && d[0]&0x0f == t.codeSet && bytes.Equal(d[designatorHeader:], t.id)
	})
}

const (
	designatorHeader = 4
	maxDesignator    = 20 // that a CSCD descriptor has room for
)

// designators are the designation descriptors of the logical unit at p, from VPD page
// 83h; none when it cannot be asked.
func designators(ctx context.Context, p *core.Path) (list [][]byte) {
	const (
		evpd        = 0x01
		page        = 0x83
		header      = 4
		association = 0x30
	)
	b := make([]byte, 1024)
	n, err := p.Visit(ctx, []byte{opInquiry, evpd, page, byte(len(b) >> 8), byte(len(b)), 0}, nil, b)
	if err != nil || n < header {
		return nil
	}
	for b = b[header:n]; len(b) >= designatorHeader && len(b) >= designatorHeader+int(b[3]); {
		d := b[:designatorHeader+int(b[3])]
		b = b[len(d):]
		if d[1]&association == 0 {
			list = append(list, d)
		}
	}
	return list
}

// isDisk says whether p leads to what a copy can read and write.
func isDisk(p *core.Path) bool { return p.Unit().Type() == scsi.DirectAccess }

// failed is a visit that failed: which side, and how.
type failed struct {
	source bool
	err    error
}

func (f *failed) Error() string { return f.err.Error() }
func (f *failed) Unwrap() error { return f.err }

// cause is err for the log only: a status of a visit must not become that of the command.
func cause(err error) error { return errors.New(err.Error()) }

// move copies n bytes, of whole blocks of both. Ranges of one disk may overlap: the
// destination then holds what the source held before.
func (s *Service) move(o *operation, dst *medium, dstOff uint64, src *medium, srcOff, n uint64) error {
	backward := src.sameUnit(dst) && srcOff < dstOff && dstOff < srcOff+n
	buf := s.m.chunk()
	defer s.m.chunks.Put(buf)
	for done := uint64(0); done < n; {
		k := min(n-done, chunkLen)
		at := done
		if backward {
			at = n - done - k
		}
		if o.stopped() {
			return errTerminated
		}
		if err := src.read(o.ctx, buf[:k], srcOff+at); err != nil {
			return &failed{true, err}
		}
		if err := dst.write(o.ctx, buf[:k], dstOff+at); err != nil {
			return &failed{false, err}
		}
		o.visits.Add(2)
		o.bytes.Add(k)
		done += k
	}
	return nil
}

// clean zeros n bytes.
func clean(o *operation, dst *medium, off, n uint64) error {
	const stride = 0xffff // blocks, the MAXIMUM WRITE SAME LENGTH of every disk
	most := stride * dst.blockSize
	if dst.zeroFlags == 0 {
		most = chunkLen
	}
	for n > 0 {
		if o.stopped() {
			return errTerminated
		}
		k := min(n, most)
		var err error
		if dst.zeroFlags == 0 {
			err = dst.write(o.ctx, zeros[:k], off)
		} else {
			err = dst.zero(o.ctx, off, k)
		}
		if err != nil {
			return &failed{false, err}
		}
		o.visits.Add(1)
		o.bytes.Add(k)
		off, n = off+k, n-k
	}
	return nil
}
