package alua

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/targate/targate/core/wire"
)

// Saved states (docs/formats/target-port-groups.md).
const (
	savedName    = "target-port-groups"
	savedVersion = 1
	preferred    = 0x80 // with the state, as in the descriptor of REPORT TARGET PORT GROUPS
)

// save puts the groups as they would be, with next, where they survive. The caller
// holds change, so groups does not change.
func (g *Groups) save(next map[uint16]Group) error {
	if g.cfg.Saved == nil {
		return nil
	}
	b := binary.BigEndian.AppendUint16(nil, savedVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(g.groups)))
	for _, c := range g.groups {
		n, ok := next[c.ID]
		if !ok {
			n = *c
		}
		b = binary.BigEndian.AppendUint16(b, n.ID)
		b = append(b, n.flags(), 0)
	}
	if err := g.cfg.Saved.Save(savedName, b); err != nil {
		return fmt.Errorf("save target port groups: %w", err)
	}
	return nil
}

// flags are the PREF bit and the state.
func (c *Group) flags() byte {
	if c.Preferred {
		return preferred | byte(c.State)
	}
	return byte(c.State)
}

// restore takes up what was saved. Groups that are not defined any more are passed
// over.
func (g *Groups) restore() error {
	if g.cfg.Saved == nil {
		return nil
	}
	b, err := g.cfg.Saved.Load(savedName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = g.parse(b)
	}
	if err != nil {
		return fmt.Errorf("saved target port groups: %w", err)
	}
	return nil
}

func (g *Groups) parse(b []byte) error {
	r := wire.NewReader(b)
	if v := r.U16(); !r.OK() || v != savedVersion {
		return fmt.Errorf("version %d, this program knows %d", v, savedVersion)
	}
	for range int(r.U16()) {
		id, flags := r.U16(), r.U8()
		r.Skip(1)
		if !r.OK() {
			break
		}
		state := State(flags &^ preferred)
		if !state.settable() {
			return fmt.Errorf("group %d: %w: %v", id, ErrState, state)
		}
		if c := g.find(id); c != nil {
			c.State, c.Preferred = state, flags&preferred != 0
		}
	}
	if !r.OK() || r.Len() > 0 {
		return errors.New("of another length than they say")
	}
	return nil
}
