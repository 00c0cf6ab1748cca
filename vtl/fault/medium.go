package fault

import (
	"context"

	"github.com/targate/targate/vtl/medium"
)

// Medium puts the Injector between a drive and what is mounted in it. When the medium is closed,
// what rules hold or delay goes on at once.
func (in *Injector) Medium(drive int, m medium.Medium) medium.Medium {
	f := &faulty{Medium: m, in: in, drive: drive, tape: m.Info().Barcode}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// faulty is a medium on which the rules of an Injector act.
type faulty struct {
	medium.Medium
	in     *Injector
	drive  int
	tape   string
	ctx    context.Context
	cancel context.CancelFunc
}

func (f *faulty) before(op Op, p int, object, n uint64) error {
	return f.in.before(f.ctx, call{op: op, drive: f.drive, tape: f.tape, partition: p, object: object, n: n})
}

func (f *faulty) Read(p int, object uint64, dst []byte, key *medium.Key) (medium.Object, error) {
	if len(dst) > 0 { // else the drive only looks where it is
		if err := f.before(OpRead, p, object, 1); err != nil {
			return medium.Object{}, err
		}
	}
	o, err := f.Medium.Read(p, object, dst, key)
	f.in.count(f.drive, min(o.Length, len(dst)))
	return o, err
}

func (f *faulty) Write(p int, at uint64, block []byte, r medium.Recording) error {
	if err := f.before(OpWrite, p, at, 1); err != nil {
		return err
	}
	f.in.count(f.drive, len(block))
	return f.Medium.Write(p, at, block, r)
}

func (f *faulty) WriteFilemarks(p int, at, n uint64) error {
	if err := f.before(OpFilemark, p, at, n); err != nil {
		return err
	}
	return f.Medium.WriteFilemarks(p, at, n)
}

func (f *faulty) Truncate(p int, at uint64) error {
	if err := f.before(OpErase, p, at, 1); err != nil {
		return err
	}
	return f.Medium.Truncate(p, at)
}

func (f *faulty) Format(sizes []int64) error {
	if err := f.before(OpFormat, 0, 0, 0); err != nil {
		return err
	}
	return f.Medium.Format(sizes)
}

func (f *faulty) Flush() error {
	if err := f.before(OpFlush, 0, 0, 0); err != nil {
		return err
	}
	return f.Medium.Flush()
}

func (f *faulty) SetAttributes(p int, a ...medium.Attribute) error {
	if err := f.before(OpAttribute, p, 0, 0); err != nil {
		return err
	}
	return f.Medium.SetAttributes(p, a...)
}

func (f *faulty) Close() error {
	f.cancel()
	return f.Medium.Close()
}
