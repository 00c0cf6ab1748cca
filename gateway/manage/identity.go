package manage

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage/statedir"
)

// identityRecord is the payload of docs/formats/state.md, kind 1.
type identityRecord struct {
	Serial string `json:"serial"`
	NAA    string `json:"naa"`
}

// identity is who the device called name is: as the state directory says, or new.
func identity(state *statedir.Dir, name string) (core.Identity, error) {
	id := core.Identity{Vendor: "TARGATE"}
	file := deviceDir(name) + "/identity"
	b, err := state.Load(statedir.Identity, file)
	if err == nil {
		var rec identityRecord
		if err := json.Unmarshal(b, &rec); err != nil {
			return id, fmt.Errorf("identity of device %s: %w", name, err)
		}
		naa, err := hex.DecodeString(rec.NAA)
		if err != nil || len(naa) != len(id.NAA) || rec.Serial == "" {
			return id, fmt.Errorf("identity of device %s: serial %q, NAA %q", name, rec.Serial, rec.NAA)
		}
		id.Serial, id.NAA = rec.Serial, [8]byte(naa)
		return id, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	if _, err := rand.Read(id.NAA[:]); err != nil {
		return id, fmt.Errorf("identity of device %s: %w", name, err)
	}
	id.NAA[0] = 0x30 | id.NAA[0]&0x0f // locally assigned (SPC-6, 7.8.6.6.5)
	id.Serial = hex.EncodeToString(id.NAA[:])
	b, err = json.Marshal(identityRecord{Serial: id.Serial, NAA: id.Serial})
	if err != nil {
		return id, fmt.Errorf("identity of device %s: %w", name, err)
	}
	return id, state.Save(statedir.Identity, file, b)
}

// savedValues is the core.State of one device.
type savedValues struct {
	dir    *statedir.Dir
	prefix string
}

func (s savedValues) Load(name string) ([]byte, error) {
	return s.dir.Load(statedir.Saved, s.prefix+name)
}

func (s savedValues) Save(name string, value []byte) error {
	return s.dir.Save(statedir.Saved, s.prefix+name, value)
}

// ports gives every target port its relative target port identifier, for life.
type ports struct {
	state    *statedir.Dir
	relative map[string]uint16 // by "IQN,TAG"
}

// portsRecord is the payload of docs/formats/state.md, kind 2.
type portsRecord struct {
	Relative map[string]uint16 `json:"relative"`
}

func loadPorts(state *statedir.Dir) (*ports, error) {
	p := &ports{state: state, relative: map[string]uint16{}}
	b, err := state.Load(statedir.Ports, "ports")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	var rec portsRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, fmt.Errorf("target port identifiers: %w", err)
	}
	seen := map[uint16]string{}
	for key, id := range rec.Relative {
		if _, _, ok := strings.Cut(key, ","); !ok || id == 0 || seen[id] != "" {
			return nil, fmt.Errorf("target port identifiers: %q has %d", key, id)
		}
		seen[id] = key
		p.relative[key] = id
	}
	return p, nil
}

// assign gives the targets their identifiers at each tag: by IQN, then tag. What is new
// is saved before it is used.
func (p *ports) assign(iqns []string, tags []uint16) (map[string]map[uint16]uint16, error) {
	used := map[uint16]bool{}
	for _, id := range p.relative {
		used[id] = true
	}
	all := map[string]map[uint16]uint16{}
	next, changed := uint16(1), false
	for _, iqn := range iqns {
		all[iqn] = map[uint16]uint16{}
		for _, tag := range tags {
			key := fmt.Sprintf("%s,%d", iqn, tag)
			if p.relative[key] == 0 {
				for used[next] {
					if next++; next == 0 {
						return nil, errors.New("no relative target port identifier is left in the state directory")
					}
				}
				p.relative[key] = next
				used[next] = true
				changed = true
			}
			all[iqn][tag] = p.relative[key]
		}
	}
	if !changed {
		return all, nil
	}
	b, err := json.Marshal(portsRecord{p.relative})
	if err != nil {
		return nil, fmt.Errorf("target port identifiers: %w", err)
	}
	return all, p.state.Save(statedir.Ports, "ports", b)
}
