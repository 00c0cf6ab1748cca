package spc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/targate/targate/core/wire"
)

// Saved mode pages (docs/formats/mode-pages.md): a version, and the pages as MODE
// SENSE would return them. The state store guards the value against corruption.
const (
	modesName    = "mode-pages"
	modesVersion = 1
)

// saveModes puts the saveable pages of values where they survive.
func (d *Device) saveModes(values [][]byte) error {
	b := binary.BigEndian.AppendUint16(nil, modesVersion)
	for i := range d.pages {
		if d.pages[i].saveable() {
			b = append(b, values[i]...)
		}
	}
	if err := d.host.State().Save(modesName, b); err != nil {
		return fmt.Errorf("save mode pages: %w", err)
	}
	return nil
}

// restoreModes makes the saved values current, as after a power on, and applies all
// pages.
func (d *Device) restoreModes() error {
	t := d.modes.Load()
	if state := d.host.State(); state != nil {
		b, err := state.Load(modesName)
		if err == nil {
			t, err = d.parseModes(b)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("saved mode pages: %w", err)
		}
		d.modes.Store(t)
	}
	for i := range d.pages {
		if apply := d.pages[i].Apply; apply != nil {
			apply(t.current[i])
		}
	}
	return nil
}

// Reset makes the saved values current again, as a reset of the logical unit does (SPC-6,
// 7.5.1). The unit attention of the reset tells everyone.
func (d *Device) Reset() {
	d.selecting.Lock()
	defer d.selecting.Unlock()
	old := d.modes.Load()
	before := d.live(old)
	d.modes.Store(&modeTable{current: old.saved, saved: old.saved})
	for i := range d.pages {
		if apply := d.pages[i].Apply; apply != nil && !bytes.Equal(before[i], old.saved[i]) {
			apply(old.saved[i])
		}
	}
}

// parseModes reads what saveModes wrote, perhaps by another version of this program:
// a page that is gone or has another length now is passed over, and bits that are
// not changeable any more keep their defaults.
func (d *Device) parseModes(b []byte) (*modeTable, error) {
	r := wire.NewReader(b)
	if v := r.U16(); !r.OK() || v != modesVersion {
		return nil, fmt.Errorf("version %d, this program knows %d", v, modesVersion)
	}
	t := d.modes.Load()
	values := slices.Clone(t.current)
	for r.Len() > 0 {
		rest := b[r.Off():]
		if len(rest) < 2 || len(rest) < headerLen(rest[0]) {
			return nil, errors.New("ends within a page")
		}
		page := r.Bytes(pageLen(rest))
		if page == nil {
			return nil, errors.New("ends within a page")
		}
		read := ModePage{Default: page}
		i := d.findMode(read.code(), read.sub())
		if i < 0 || len(d.pages[i].Default) != len(page) {
			continue
		}
		merged := d.pages[i].merge(page)
		if check := d.pages[i].Check; check != nil && check(merged) != nil {
			continue // its limits have changed since
		}
		values[i] = merged
	}
	return &modeTable{current: values, saved: values}, nil
}
