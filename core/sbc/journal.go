package sbc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/block"
	"github.com/targate/targate/core/sense"
)

// Values that a disk keeps in its core.State (docs/formats/disk.md). An empty value
// is none.
const (
	operationName = "operation"
	journalName   = "write-atomic"

	recordVersion = 1
)

// load gives what follows the version of a value, nil when there is none.
func (d *Disk) load(name string) ([]byte, error) {
	s := d.host.State()
	if s == nil {
		return nil, nil
	}
	v, err := s.Load(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(v) == 0:
		return nil, nil
	case err != nil:
		return nil, err
	case len(v) < 2 || binary.BigEndian.Uint16(v) != recordVersion:
		return nil, fmt.Errorf("%s is not of version %d", name, recordVersion)
	}
	return v[2:], nil
}

// save keeps a value until forget; it is durable on return.
func (d *Disk) save(name string, parts ...[]byte) error {
	s := d.host.State()
	if s == nil {
		return nil
	}
	v := binary.BigEndian.AppendUint16(nil, recordVersion)
	for _, p := range parts {
		v = append(v, p...)
	}
	return s.Save(name, v)
}

func (d *Disk) forget(name string) error {
	s := d.host.State()
	if s == nil {
		return nil
	}
	return s.Save(name, nil)
}

// journaled carries out WRITE ATOMIC on a medium that outlives us: a crash or a power
// cut in the middle leaves the journal, from which replay makes it whole. One at a
// time, since there is one journal. The caller has an exclusive hold, so nothing
// later lies on the medium before the journal is empty again. write puts p, all of the
// data, to off with FUA.
func (d *Disk) journaled(c *core.Command, p []byte, off int64, write func() error) error {
	select {
	case d.journal <- struct{}{}:
	case <-c.Done():
		return aborted
	}
	defer func() { <-d.journal }()
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(off))
	if err := d.save(journalName, at[:], p); err != nil {
		return sense.Hardware(err)
	}
	werr := write()
	if err := d.emptyJournal(); err != nil {
		return err
	}
	return werr
}

// emptyJournal ends what the journal protected. While it cannot, every write is
// refused: replay would bring the old data back over it.
func (d *Disk) emptyJournal() error {
	if err := d.forget(journalName); err != nil {
		d.setState(stateJournal, 0)
		return sense.Hardware(fmt.Errorf("the journal of WRITE ATOMIC: %w", err))
	}
	d.setState(0, stateJournal)
	return nil
}

// mendJournal is emptyJournal for a write that found it undone.
func (d *Disk) mendJournal() error {
	select {
	case d.journal <- struct{}{}:
		defer func() { <-d.journal }()
		return d.emptyJournal()
	default: // a WRITE ATOMIC is about to
		return sense.Busy
	}
}

// replay does again the WRITE ATOMIC that a crash interrupted.
func (d *Disk) replay() error {
	r, err := d.load(journalName)
	if err != nil || r == nil {
		return err
	}
	if len(r) < 8 {
		return fmt.Errorf("%s is truncated", journalName)
	}
	off, p := int64(binary.BigEndian.Uint64(r)), r[8:]
	if err := block.CheckRange("write", off, int64(len(p)), int64(d.blocks.Load())<<d.shift); err != nil {
		return fmt.Errorf("%s: %w", journalName, err)
	}
	if (off|int64(len(p)))&int64(d.blockMask) != 0 {
		return fmt.Errorf("%s: %d bytes at %d are no whole blocks", journalName, len(p), off)
	}
	if err := d.store.WriteAt(p, off, block.FUA); err != nil {
		return fmt.Errorf("an interrupted WRITE ATOMIC: %w", err)
	}
	if d.pi != nil { // what it was is not in the journal
		if _, err := d.repair(uint64(off)>>d.shift, uint64(len(p))>>d.shift); err != nil {
			return fmt.Errorf("an interrupted WRITE ATOMIC: %w", err)
		}
		if err := d.flushStores(); err != nil {
			return err
		}
	}
	return d.emptyJournal()
}
