package copy

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

// Parameter lists of the token commands (SBC-3, POPULATE TOKEN and WRITE USING TOKEN).
const (
	immedBit = 0x01 // byte 2 of both

	populateHeader = 16
	rtvBit         = 0x02 // byte 2: ROD TYPE is valid

	writeHeader = 536
	deleteBit   = 0x02 // byte 2: DEL_TKN
	writeToken  = 16   // where the token lies

	rangeLen = 16
)

// parseRanges takes the block device range descriptors of a list whose header has the
// given length and ends with their length.
func parseRanges(p []byte, header int) ([]span, error) {
	at := header - 2
	n := int(binary.BigEndian.Uint16(p[at:]))
	switch data := int(binary.BigEndian.Uint16(p)); {
	case data+2 > len(p):
		return nil, sense.ErrParamLength
	case n < rangeLen:
		return nil, sense.Param(at)
	case data+2 < header+n/rangeLen*rangeLen:
		return nil, sense.Param(0)
	case n/rangeLen > maxRanges:
		return nil, invalid(tooManySegments, at)
	}
	spans := make([]span, n/rangeLen)
	for i := range spans {
		b := p[header+i*rangeLen:]
		spans[i] = span{binary.BigEndian.Uint64(b), uint64(binary.BigEndian.Uint32(b[8:]))}
	}
	return spans, nil
}

// checkRanges finds what of spans does not fit m, and how many blocks they have. header is
// the length of what is in front of the descriptors.
func checkRanges(spans []span, m *medium, header int) (blocks uint64, err error) {
	for i, r := range spans {
		if !m.has(r.lba, r.blocks) {
			return 0, sense.ErrLBA.WithInfo(max(r.lba, m.blocks))
		}
		for _, o := range spans[:i] {
			if r.lba < o.lba+o.blocks && o.lba < r.lba+r.blocks {
				return 0, sense.Param(header + i*rangeLen)
			}
		}
		blocks += r.blocks
	}
	if blocks*m.blockSize > maxTokenBytes {
		return 0, sense.Param(header)
	}
	return blocks, nil
}

// populate is POPULATE TOKEN. No data moves, so it has always ended at once.
func (s *Service) populate(c *core.Command) error {
	if c.OutLen == 0 {
		return nil // no ranges, which is no error
	}
	if len(c.Out) != c.OutLen || len(c.Out) < populateHeader {
		return sense.ErrParamLength
	}
	p := c.Out
	timeout := binary.BigEndian.Uint32(p[4:])
	switch {
	case timeout > maxTimeout:
		return sense.Param(4)
	case timeout == 0:
		timeout = defaultTimeout
	}
	if p[2]&rtvBit != 0 && binary.BigEndian.Uint32(p[8:]) != rodOnReference {
		return sense.Param(8)
	}
	spans, err := parseRanges(p, populateHeader)
	if err != nil {
		return err
	}
	ctx, stop := follow(c)
	defer stop()
	if err := ready(ctx, c.Path); err != nil {
		return err
	}
	m, err := open(ctx, c.Path)
	if err != nil {
		return err
	}
	blocks, err := checkRanges(spans, m, populateHeader)
	if err != nil {
		return err
	}
	t := &token{unit: c.Path.Unit(), nexus: c.Path.Nexus().ID, blockSize: m.blockSize,
		spans: spans, blocks: blocks, timeout: time.Duration(timeout) * time.Second}
	t.describe(ctx, m)
	o := &operation{path: c.Path, id: lid4(c, 6), action: saPopulate, named: true, hold: true, unit: m.blockSize}
	if err := s.begin(o); err != nil {
		return err
	}
	return s.run(c, o, func() error {
		if err := s.m.tokens.add(t); err != nil {
			return err
		}
		o.bytes.Store(blocks * m.blockSize)
		o.token = t.raw[:]
		return nil
	})
}

// describe writes what a token says of the logical unit: a CSCD descriptor by the last
// designator that fits, and its geometry.
func (t *token) describe(ctx context.Context, m *medium) {
	for _, d := range designators(ctx, m.path) {
		if len(d) > maxDesignator+designatorHeader {
			continue
		}
		b := t.raw[tokenUnitAt : tokenUnitAt+targetLen]
		b[0], b[1] = typeIdentify, byte(m.path.Unit().Type())
		copy(b[4:], d)
		binary.BigEndian.PutUint32(b[28:], uint32(m.blockSize))
	}
	binary.BigEndian.PutUint32(t.raw[tokenTypeAt:], uint32(m.blockSize))
}

// writeUsing is WRITE USING TOKEN.
func (s *Service) writeUsing(c *core.Command) error {
	if c.OutLen == 0 {
		return nil
	}
	if len(c.Out) != c.OutLen || len(c.Out) < writeHeader {
		return sense.ErrParamLength
	}
	p := c.Out
	spans, err := parseRanges(p, writeHeader)
	if err != nil {
		return err
	}
	ctx, stop := follow(c)
	defer stop()
	dst, err := open(ctx, c.Path)
	if err != nil {
		return err
	}
	blocks, err := checkRanges(spans, dst, writeHeader)
	if err != nil {
		return err
	}
	t, err := s.m.tokens.use(p[writeToken:writeToken+tokenLen], p[2]&deleteBit != 0)
	if err != nil {
		return err
	}
	skip := binary.BigEndian.Uint64(p[8:])
	src, err := t.source(ctx, dst, skip, blocks)
	if err != nil {
		s.m.tokens.done(t)
		return err
	}
	o := &operation{path: c.Path, id: lid4(c, 6), action: saWriteToken, named: true, hold: true,
		immed: p[2]&immedBit != 0, unit: dst.blockSize}
	if err := s.begin(o); err != nil {
		s.m.tokens.done(t)
		return err
	}
	return s.run(c, o, func() error {
		defer s.m.tokens.done(t)
		return tokenError(s.useToken(o, dst, spans, src, t, skip))
	})
}

// source opens the logical unit that t stands for, by a path of the nexus that writes to
// dst. skip is the OFFSET INTO ROD and blocks how many are wanted from there on. It is nil
// for a nil t.
func (t *token) source(ctx context.Context, dst *medium, skip, blocks uint64) (*medium, error) {
	if t == nil {
		return nil, nil
	}
	var p *core.Path
	for _, o := range dst.path.Nexus().Paths() {
		if o.Unit() == t.unit {
			p = o
		}
	}
	if p == nil {
		return nil, errUnauthorized
	}
	m, err := open(ctx, p)
	switch {
	case err != nil:
		return nil, sense.New(sense.CopyAborted, targetNotReachable).WithCause(cause(err))
	case m.blockSize != dst.blockSize || m.blockSize != t.blockSize:
		return nil, sense.New(sense.IllegalRequest, invalidOperation)
	case skip > t.blocks:
		return nil, sense.Param(8)
	case blocks > t.blocks-skip:
		return nil, sense.New(sense.CopyAborted, dataUnderrun)
	}
	return m, nil
}

// tokenError is how WRITE USING TOKEN ends when err ended it: an error of its own logical
// unit is as if it were a WRITE, one of the source is that of a third party.
func tokenError(err error) error {
	f, ok := err.(*failed)
	switch {
	case !ok:
		return err
	case f.source:
		return sense.New(sense.CopyAborted, thirdPartyFailure).WithCause(cause(f.err))
	default:
		return f.err
	}
}

// useToken writes what t stands for, from its block skip on, to spans; zeros if t is nil.
func (s *Service) useToken(o *operation, dst *medium, spans []span, src *medium, t *token, skip uint64) error {
	var from reader
	if t != nil {
		from.spans = slices.Clone(t.spans)
		from.skip(skip)
	}
	for _, r := range spans {
		for r.blocks > 0 {
			n := r.blocks
			var err error
			if t == nil {
				err = clean(o, dst, r.lba*dst.blockSize, n*dst.blockSize)
			} else {
				var lba uint64
				lba, n = from.run(n)
				err = s.move(o, dst, r.lba*dst.blockSize, src, lba*src.blockSize, n*src.blockSize)
			}
			if err != nil {
				return err
			}
			r.lba, r.blocks = r.lba+n, r.blocks-n
		}
		o.segments.Add(1)
	}
	return nil
}

// reader walks the blocks of a ROD in order. It changes its spans.
type reader struct{ spans []span }

// run takes at most n blocks that lie together, at least one: there are that many.
func (r *reader) run(n uint64) (lba, blocks uint64) {
	for r.spans[0].blocks == 0 {
		r.spans = r.spans[1:]
	}
	first := &r.spans[0]
	lba, blocks = first.lba, min(n, first.blocks)
	first.lba, first.blocks = lba+blocks, first.blocks-blocks
	return lba, blocks
}

// skip passes over n blocks.
func (r *reader) skip(n uint64) {
	for n > 0 {
		_, k := r.run(n)
		n -= k
	}
}
