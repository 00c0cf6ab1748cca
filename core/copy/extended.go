package copy

import (
	"context"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

func (s *Service) copyLID1(c *core.Command) error { return s.extended(c, parseLID1) }
func (s *Service) copyLID4(c *core.Command) error { return s.extended(c, parseLID4) }

// extended is EXTENDED COPY. All descriptors are validated before anything is copied.
func (s *Service) extended(c *core.Command, parse func([]byte) (*list, error)) error {
	if c.OutLen == 0 {
		return nil // no descriptors, which is no error (SPC-4, EXTENDED COPY)
	}
	if len(c.Out) != c.OutLen {
		return sense.ErrParamLength
	}
	l, err := parse(c.Out)
	if err != nil {
		return err
	}
	o := &operation{path: c.Path, id: l.id, action: c.CDB[1] & 0x1f, immed: l.immed,
		named: l.usage != usageNone, hold: l.usage == usageHold || l.immed}
	ctx, stop := follow(c)
	todo, err := l.plan(ctx, c.Path)
	stop()
	if err != nil {
		return err
	}
	if err := s.begin(o); err != nil {
		return err
	}
	return s.run(c, o, func() error {
		for i, m := range todo {
			if err := s.move(o, m.dst, m.dstOff, m.src, m.srcOff, m.n); err != nil {
				return copyAborted(i, err)
			}
			o.segments.Add(1)
		}
		return nil
	})
}

// copyAborted is how an EXTENDED COPY ends that failed in a segment: COMMAND-SPECIFIC
// INFORMATION has its number in the third and fourth byte (SPC-4, errors detected during
// processing of segment descriptors).
func copyAborted(segment int, err error) error {
	e := sense.New(sense.CopyAborted, thirdPartyFailure).WithCause(cause(err))
	if err == error(errTerminated) {
		return err
	}
	if s, ok := err.(*sense.Error); ok {
		e = s
	}
	e.Command, e.HasCommand = uint64(segment), true
	return e
}

// stretch is a segment descriptor with media and bytes.
type stretch struct {
	src, dst          *medium
	srcOff, dstOff, n uint64
}

// plan resolves and validates every segment.
func (l *list) plan(ctx context.Context, own *core.Path) ([]stretch, error) {
	media := map[uint16]*medium{}
	todo := make([]stretch, len(l.segments))
	for i := range l.segments {
		g := &l.segments[i]
		src, err := l.medium(ctx, own, g.src, media)
		if err != nil {
			return nil, copyAborted(i, err)
		}
		dst, err := l.medium(ctx, own, g.dst, media)
		if err != nil {
			return nil, copyAborted(i, err)
		}
		if todo[i], err = g.stretch(src, dst); err != nil {
			return nil, copyAborted(i, err)
		}
	}
	return todo, nil
}

// medium opens the target that a segment refers to by index.
func (l *list) medium(ctx context.Context, own *core.Path, index uint16, media map[uint16]*medium) (*medium, error) {
	if m := media[index]; m != nil {
		return m, nil
	}
	p := own
	var t *target
	if index != ownID {
		if int(index) >= len(l.targets) {
			return nil, sense.New(sense.CopyAborted, unreachableTarget)
		}
		t = &l.targets[index]
		if p = resolve(ctx, own, t); p == nil {
			return nil, sense.New(sense.CopyAborted, unreachableTarget)
		}
	}
	if !isDisk(p) || t != nil && t.pdt != uint8(p.Unit().Type()) {
		return nil, sense.New(sense.CopyAborted, wrongTargetType)
	}
	m, err := open(ctx, p)
	if err != nil {
		return nil, sense.New(sense.CopyAborted, targetNotReachable).WithCause(cause(err))
	}
	if t != nil && t.blockLen != 0 && uint64(t.blockLen) != m.blockSize {
		return nil, sense.New(sense.CopyAborted, wrongTargetType)
	}
	media[index] = m
	return m, nil
}

// stretch computes what the segment copies. Whole blocks of both sides are copied, since
// no residual data is held (CAT and PAD change nothing then).
func (g *segment) stretch(src, dst *medium) (stretch, error) {
	t := stretch{src: src, dst: dst}
	unit := uint64(1)
	switch {
	case g.inBytes:
	case g.dc:
		unit = dst.blockSize
	default:
		unit = src.blockSize
	}
	t.n = g.count * unit
	if g.inBytes && (t.n|uint64(g.srcOff))%src.blockSize|(t.n|uint64(g.dstOff))%dst.blockSize != 0 {
		return t, sense.New(sense.CopyAborted, granularityViolation)
	}
	if t.n%src.blockSize|t.n%dst.blockSize != 0 {
		return t, sense.New(sense.CopyAborted, unexpectedInexact)
	}
	srcLBA, dstLBA := g.srcLBA+uint64(g.srcOff)/src.blockSize, g.dstLBA+uint64(g.dstOff)/dst.blockSize
	if srcLBA < g.srcLBA || dstLBA < g.dstLBA ||
		!src.has(srcLBA, t.n/src.blockSize) || !dst.has(dstLBA, t.n/dst.blockSize) {
		return t, sense.New(sense.CopyAborted, targetNotReachable)
	}
	t.srcOff, t.dstOff = srcLBA*src.blockSize, dstLBA*dst.blockSize
	return t, nil
}
