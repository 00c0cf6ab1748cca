package image

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/targate/targate/vtl/medium"
)

// Counts are what was copied.
type Counts struct {
	Blocks    uint64 `json:"blocks"`
	Filemarks uint64 `json:"filemarks"`
	Bytes     int64  `json:"bytes"`
	Bad       uint64 `json:"bad"` // blocks that the image marks as read with an error
}

// ErrNotBlank is Import's when something is recorded on the medium.
var ErrNotBlank = errors.New("the cartridge is not blank")

// Import records what r reads on a blank medium. When the image has more partitions than
// the medium, the medium is formatted with as many, of equal size. Blocks that the
// image marks as bad are recorded as they are, and counted; those without any data are left out.
// progress is told how many bytes of the image have been used. All that was recorded is durable
// when Import returns, also with an error.
func Import(ctx context.Context, m medium.Medium, r Reader, compress bool, progress func(used int64)) (Counts, error) {
	c := &copier{ctx: ctx, progress: progress}
	for p := range m.Partitions() {
		if m.Partition(p).Objects > 0 {
			return Counts{}, ErrNotBlank
		}
	}
	err := c.in(m, r, medium.Recording{Compress: compress})
	return c.Counts, errors.Join(err, m.Flush())
}

type copier struct {
	Counts
	ctx      context.Context
	progress func(int64)
	steps    int
}

// step is called for each object: it looks for the end of the context and reports now and then.
func (c *copier) step(n int64) error {
	if c.steps++; c.progress != nil && c.steps&0x3f == 0 {
		c.progress(n)
	}
	return c.ctx.Err()
}

func (c *copier) in(m medium.Medium, r Reader, how medium.Recording) error {
	at := make([]uint64, medium.MaxPartitions)
	for {
		o, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = c.step(r.Offset())
		}
		if err != nil {
			return err
		}
		p := o.Partition
		if p >= m.Partitions() {
			if err := c.divide(m, p+1, at); err != nil {
				return err
			}
		}
		switch {
		case o.Kind == medium.Filemark:
			err = m.WriteFilemarks(p, at[p], 1)
			c.Filemarks++
		case len(o.Data) == 0:
			c.Bad++
			continue
		default:
			err = m.Write(p, at[p], o.Data, how)
			c.Blocks++
			c.Bytes += int64(len(o.Data))
			if o.Bad {
				c.Bad++
			}
		}
		if err != nil {
			return fmt.Errorf("partition %d, object %d: %w", p, at[p], err)
		}
		at[p]++
	}
	if c.progress != nil {
		c.progress(r.Offset())
	}
	return nil
}

// divide formats m, which must still be blank, with n partitions.
func (c *copier) divide(m medium.Medium, n int, at []uint64) error {
	var size int64
	for p := range m.Partitions() {
		size += m.Partition(p).Capacity
		if at[p] > 0 {
			return fmt.Errorf("the image has %d partitions; format the cartridge with as many first", n)
		}
	}
	sizes := make([]int64, n)
	for i := range sizes {
		sizes[i] = size / int64(n)
	}
	return m.Format(sizes)
}

// Export writes all of m to w, and closes it; on an error there is no image. Encrypted blocks
// need key. progress is told how many bytes of blocks have been written.
func Export(ctx context.Context, m medium.Medium, w Writer, key *medium.Key, progress func(written int64)) (Counts, error) {
	c := &copier{ctx: ctx, progress: progress}
	err := c.out(m, w, key)
	if err == nil {
		err = w.Close()
	}
	return c.Counts, errors.Join(err, w.Abort())
}

func (c *copier) out(m medium.Medium, w Writer, key *medium.Key) error {
	buf := make([]byte, 1<<20)
	for p := range m.Partitions() {
		if p > 0 {
			if err := w.Partition(); err != nil {
				return err
			}
		}
		for at := uint64(0); ; at++ {
			if err := c.step(c.Bytes); err != nil {
				return err
			}
			o, err := m.Read(p, at, buf, key)
			if err == nil && o.Length > len(buf) { // medium.MaxBlock at most
				buf = make([]byte, o.Length)
				o, err = m.Read(p, at, buf, key)
			}
			if err == nil {
				switch o.Kind {
				case medium.Filemark:
					err = w.Filemark()
					c.Filemarks++
				case medium.Block:
					err = w.Block(buf[:o.Length])
					c.Blocks++
					c.Bytes += int64(o.Length)
				}
			}
			if err != nil {
				return fmt.Errorf("partition %d, object %d: %w", p, at, err)
			}
			if o.Kind == medium.EndOfData {
				break
			}
		}
	}
	if c.progress != nil {
		c.progress(c.Bytes)
	}
	return nil
}
