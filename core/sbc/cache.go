package sbc

import (
	"github.com/targate/targate/core"
	"github.com/targate/targate/core/sense"
)

func (d *Disk) syncCache10(c *core.Command) error { return d.syncCache(c, lba32(c), blocks10(c.CDB)) }
func (d *Disk) syncCache16(c *core.Command) error { return d.syncCache(c, lba64(c), blocks16(c.CDB)) }

// syncCache is SYNCHRONIZE CACHE (SBC-4, 5.33). The store flushes as a whole. IMMED
// lets the status come before the end; ours comes after it, so that a failure is
// reported to the command that asked.
func (d *Disk) syncCache(_ *core.Command, lba, blocks uint64) error {
	if err := d.inRange(lba, blocks); err != nil {
		return err
	}
	return d.flush()
}

func (d *Disk) flush() error { return d.storeError(d.flushStores(), 0, true) }

const (
	// maxPrefetch is how many bytes one PRE-FETCH brings into the cache below us.
	maxPrefetch = 16 << 20
	// maxWarm is how many of them read on after their status was sent.
	maxWarm = 4
)

func (d *Disk) prefetch10(c *core.Command) error { return d.prefetch(c, lba32(c), blocks10(c.CDB)) }
func (d *Disk) prefetch16(c *core.Command) error { return d.prefetch(c, lba64(c), blocks16(c.CDB)) }

// prefetch is PRE-FETCH (SBC-4, 5.12): it reads, so that the store's cache holds the
// blocks. CONDITION MET says that all of them fit; GOOD that only the first do.
func (d *Disk) prefetch(c *core.Command, lba, blocks uint64) error {
	const immed = 0x02
	if err := d.inRange(lba, blocks); err != nil {
		return err
	}
	if blocks == 0 {
		blocks = d.blocks.Load() - min(lba, d.blocks.Load())
	}
	off, n := int64(lba<<d.shift), int64(blocks<<d.shift)
	fits := n <= maxPrefetch
	n = min(n, maxPrefetch)
	if c.CDB[1]&immed == 0 || !d.warmLater(off, n) {
		if err := d.readable(c, off, n); err != nil {
			return err
		}
	}
	if fits {
		return sense.ConditionMet
	}
	return nil
}

// warmLater reads in the background. False: too many do so already.
func (d *Disk) warmLater(off, n int64) bool {
	select {
	case d.warmer <- struct{}{}:
	default:
		return false
	}
	d.work.Go(func() {
		d.warm(off, n)
		<-d.warmer
	})
	return true
}

// warm is the reading of a PRE-FETCH that has ended. Errors do not matter: the READ
// that follows meets them.
func (d *Disk) warm(off, n int64) {
	buf := d.scratch.get()
	defer d.scratch.put(buf)
	for n > 0 && d.ctx.Err() == nil {
		p := buf[:min(n, scratchLen)]
		if d.store.ReadAt(p, off, 0) != nil {
			return
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
}
