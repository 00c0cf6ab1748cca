package sbc

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
	"github.com/targate/targate/core/spc"
)

// Protection makes a disk support protection information (SBC-4, 4.21).
type Protection struct {
	// Store keeps the protection information beside the disk's store
	// (docs/formats/dif.md). It has ProtectionSize bytes and belongs to the disk.
	Store block.Store
	// Type is the protection type of a Store that is new: 0 to 3. One that is not new
	// keeps its type, which FORMAT UNIT changes.
	Type uint8
}

// ProtectionSize is how many bytes of protection information a disk of size bytes has.
func ProtectionSize(size int64, blockSize uint32) int64 {
	return dataAt + size/int64(blockSize)*tupleLen
}

// protection is the protection information of a disk. What the store has is inverted,
// so that a hole reads as FFh, which is what a block that was never written has.
type protection struct {
	store block.Store
	kind  atomic.Uint32 // the protection type
	ato   atomic.Bool   // of the Control mode page
	dpicz atomic.Bool
	intents
}

func newProtection(cfg *Protection, data block.Info, blockSize uint32, readOnly bool) (*protection, error) {
	if cfg.Type > 3 {
		return nil, fmt.Errorf("the protection type is 0 to 3, not %d", cfg.Type)
	}
	info := cfg.Store.Info()
	if need := ProtectionSize(data.Size, blockSize); info.Size < need {
		return nil, fmt.Errorf("the store of protection information has %d bytes, less than %d", info.Size, need)
	}
	p := &protection{store: cfg.Store}
	h := header{kind: cfg.Type, blockShift: uint8(bits.TrailingZeros32(blockSize))}
	h.regionShift = regionShift(data.Size)
	if err := p.intents.load(cfg.Store, h, readOnly); err != nil {
		return nil, fmt.Errorf("protection information: %w", err)
	}
	p.logged = data.Volatile || info.Volatile
	p.kind.Store(uint32(p.head.kind))
	return p, nil
}

// primary is what the primary commands say of it.
func (p *protection) primary() *spc.Protection {
	const allTypes = 0x7 // SPT: types 1, 2 and 3
	return &spc.Protection{SPT: allTypes, Checks: 0x7, Apply: func(ato, dpicz bool) {
		p.ato.Store(ato)
		p.dpicz.Store(dpicz)
	}}
}

func invert(b []byte) {
	for i := range b {
		b[i] = ^b[i]
	}
}

// read fills b from the block at lba.
func (p *protection) read(b []byte, lba uint64) error {
	err := p.store.ReadAt(b, dataAt+int64(lba)*tupleLen, 0)
	invert(b)
	return err
}

// write stores b from the block at lba.
func (p *protection) write(b []byte, lba uint64, f block.Flags) error {
	invert(b)
	err := p.store.WriteAt(b, dataAt+int64(lba)*tupleLen, f)
	invert(b)
	return err
}

// reset makes blocks have noCheck.
func (p *protection) reset(lba, blocks uint64, f block.Flags) error {
	off, n := dataAt+int64(lba)*tupleLen, int64(blocks)*tupleLen
	if p.store.Info().Unmap != block.No {
		return p.store.Unmap(off, n, f)
	}
	return p.store.Zero(off, n, f)
}

// none says whether the run of blocks at lba, at most limit long, has noCheck for all
// that the store knows, and how long it is.
func (p *protection) none(lba, limit uint64) (none bool, blocks uint64, err error) {
	if p.store.Info().Extents == block.No {
		return false, limit, nil
	}
	e, err := p.store.Extent(dataAt+int64(lba)*tupleLen, int64(limit)*tupleLen)
	if err != nil {
		return false, 0, err
	}
	if e.Data { // a block of which the store has a part has protection information
		return false, min(limit, uint64(e.Len+tupleLen-1)/tupleLen), nil
	}
	if blocks = uint64(e.Len) / tupleLen; blocks == 0 {
		return false, 1, nil
	}
	return true, blocks, nil
}

// setKind makes kind the protection type, durably.
func (p *protection) setKind(kind uint8) error {
	if err := p.record(context.Background(), func(h *header) { h.kind = kind }); err != nil {
		return err
	}
	p.kind.Store(uint32(kind))
	return nil
}

// flushStores makes the stores durable; what it covers need not be looked at after a crash.
func (d *Disk) flushStores() error {
	if d.pi == nil {
		return d.store.Flush()
	}
	epoch := d.pi.beginFlush()
	if err := d.store.Flush(); err != nil {
		return err
	}
	if err := d.pi.store.Flush(); err != nil {
		return err
	}
	d.pi.flushed(epoch)
	return nil
}

// closeStores closes the stores. In the header nothing stays under way.
func (d *Disk) closeStores() error {
	if d.pi == nil {
		return d.store.Close()
	}
	err := d.flushStores()
	if err == nil {
		err = d.pi.settle()
	}
	if e := d.store.Close(); err == nil {
		err = e
	}
	if e := d.pi.store.Close(); err == nil {
		err = e
	}
	return err
}

// repair resets the protection information of the blocks in [lba, lba+blocks) whose
// guard does not fit: a write of theirs was torn. It returns how many there were.
func (d *Disk) repair(lba, blocks uint64) (torn uint64, err error) {
	data, pi := d.scratch.get(), d.scratch.get()
	defer d.scratch.put(data)
	defer d.scratch.put(pi)
	bs := uint64(d.cfg.BlockSize)
	for blocks > 0 {
		none, n, err := d.pi.none(lba, blocks)
		if err != nil {
			return torn, err
		}
		if !none {
			n = min(n, scratchLen/bs)
			b, t := data[:n*bs], pi[:n*tupleLen]
			if err := d.store.ReadAt(b, int64(lba)*int64(bs), 0); err != nil {
				return torn, err
			}
			if err := d.pi.read(t, lba); err != nil {
				return torn, err
			}
			found := uint64(0)
			for i := range n {
				if v := getTuple(t[i*tupleLen:]); v != noCheck && v.guard != guard(b[i*bs:][:bs]) {
					noCheck.put(t[i*tupleLen:])
					found++
				}
			}
			if found > 0 {
				if err := d.pi.write(t, lba, 0); err != nil {
					return torn, err
				}
				torn += found
			}
		}
		lba, blocks = lba+n, blocks-n
	}
	return torn, nil
}

// mend repairs what was being written when the disk was not closed.
func (d *Disk) mend() error {
	if d.pi == nil || d.pi.kind.Load() == 0 || !d.pi.unclean() {
		return nil
	}
	if d.state.Load()&stateReadOnly != 0 {
		return fmt.Errorf("protection information: the disk was not closed; open it once for writing")
	}
	d.log.Info("comparing protection information with the data that was being written")
	var torn uint64
	size := d.blocks.Load()
	step := uint64(1) << d.pi.shift >> d.shift
	for lba := uint64(0); lba < size; lba += step {
		if !d.pi.suspect(lba / step) {
			continue
		}
		n, err := d.repair(lba, min(step, size-lba))
		if err != nil {
			return fmt.Errorf("protection information: %w", err)
		}
		torn += n
	}
	if torn > 0 {
		d.log.Warn("writes were torn: their blocks have no protection information now", "blocks", torn)
	}
	if err := d.flushStores(); err != nil {
		return err
	}
	return d.pi.settle()
}

// piError is storeError for the store of protection information.
func (d *Disk) piError(err error, lba uint64, write bool) error {
	if err == nil {
		return nil
	}
	return d.storeError(fmt.Errorf("protection information: %w", nowhere(err)), int64(lba<<d.shift), write)
}

// nowhere is err without the offset, which is not one of the disk.
func nowhere(err error) error {
	var at *block.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// without carries out f, which takes [off, off+n) from the medium, and takes its
// protection information too.
func (d *Disk) without(off, n int64, flags block.Flags, f func(off, n int64, flags block.Flags) error) error {
	if d.pi == nil || d.pi.kind.Load() == 0 {
		return f(off, n, flags)
	}
	defer d.pi.leave(off, n)
	if err := d.pi.enter(d.ctx, off, n); err != nil {
		return nowhere(err)
	}
	if err := f(off, n, flags); err != nil {
		return err
	}
	if err := d.pi.reset(uint64(off)>>d.shift, uint64(n)>>d.shift, flags); err != nil {
		return nowhere(err)
	}
	return nil
}

// overwriteProtection writes pattern over all protection information.
func (d *Disk) overwriteProtection(pattern []byte) error {
	if d.pi == nil {
		return nil
	}
	end := ProtectionSize(int64(d.blocks.Load()<<d.shift), d.cfg.BlockSize)
	for off := int64(dataAt); off < end; {
		p := pattern[:min(int64(len(pattern)), end-off)]
		if err := d.pi.store.WriteAt(p, off, 0); err != nil {
			return nowhere(err)
		}
		off += int64(len(p))
		if d.ctx.Err() != nil {
			return d.ctx.Err()
		}
	}
	return d.pi.store.Flush()
}

// forgetProtection resets the protection information of the whole medium.
func (d *Disk) forgetProtection() error {
	if d.pi == nil {
		return nil
	}
	return d.pi.reset(0, d.blocks.Load(), 0)
}

// resizeProtection makes room for the protection information of a disk of size bytes.
func (d *Disk) resizeProtection(size int64) error {
	if d.pi == nil {
		return nil
	}
	need := ProtectionSize(size, d.cfg.BlockSize)
	if d.pi.store.Info().Size >= need {
		return nil
	}
	r, ok := d.pi.store.(block.Resizer)
	if !ok {
		return errors.New("the store of protection information cannot be resized")
	}
	return r.Resize(need)
}

// protectionFailed ends a command whose protection information does not fit: the sense
// key is ABORTED COMMAND, and INFORMATION the block.
func protectionFailed(c sense.Code, lba uint64) error {
	return sense.New(sense.AbortedCommand, c).WithInfo(lba)
}
