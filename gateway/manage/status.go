package manage

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/target"
)

// Status is the state of the server in a few numbers.
type Status struct {
	Started  time.Time  `json:"started"`
	Applied  *time.Time `json:"applied,omitempty"` // when the configuration last changed
	Config   string     `json:"config,omitempty"`  // its file
	Portals  []Portal   `json:"portals"`
	Targets  int        `json:"targets"`
	Sessions int        `json:"sessions"`
	Devices  int        `json:"devices"`
	Closing  []string   `json:"closing,omitempty"` // removed devices that still have commands
	Memory   *Memory    `json:"memory,omitempty"`
	// Goroutines are those of the whole program that have something to do, or to wait
	// for: a number that grows and does not come back is a leak. Workers that stand by
	// do not count; they are bounded.
	Goroutines int `json:"goroutines"`
}

// Portal is where initiators connect.
type Portal struct {
	Listen   string `json:"listen"`
	Announce string `json:"announce,omitempty"`
	Tag      uint16 `json:"tag"`
}

// Memory is the budget of data in flight, in bytes.
type Memory struct {
	Limit int64 `json:"limit"`
	Used  int64 `json:"used"`
	Peak  int64 `json:"peak"`
}

// DeviceStatus is one device.
type DeviceStatus struct {
	Name      string   `json:"name"`
	Handler   string   `json:"handler"`
	Serial    string   `json:"serial"`
	NAA       string   `json:"naa"`
	Size      int64    `json:"size,omitempty"`       // bytes
	BlockSize uint32   `json:"block_size,omitempty"` // bytes
	Tasks     int      `json:"tasks"`                // in its task set now
	Mapped    []string `json:"mapped"`               // "IQN LUN", of target and group
	Stats     Stats    `json:"stats"`
}

// Stats counts what a device, or a session, has done.
type Stats struct {
	Commands uint64 `json:"commands"`
	Reads    uint64 `json:"reads"`
	Writes   uint64 `json:"writes"`
	BytesIn  uint64 `json:"bytes_in"`  // to initiators
	BytesOut uint64 `json:"bytes_out"` // from initiators
	Errors   uint64 `json:"errors"`
	Aborted  uint64 `json:"aborted"`
}

// TargetStatus is one target.
type TargetStatus struct {
	IQN      string        `json:"iqn"`
	Alias    string        `json:"alias,omitempty"`
	CHAP     bool          `json:"chap"`
	LUNs     []LUNStatus   `json:"luns"` // for initiators that no group names
	Groups   []GroupStatus `json:"groups,omitempty"`
	Sessions int           `json:"sessions"`
	Ports    []PortStatus  `json:"ports"`
}

// LUNStatus is one entry of a LUN map.
type LUNStatus struct {
	LUN      uint32 `json:"lun"`
	Device   string `json:"device"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

// GroupStatus is one group of a target.
type GroupStatus struct {
	Name       string      `json:"name"`
	Initiators []string    `json:"initiators"`
	LUNs       []LUNStatus `json:"luns"`
}

// PortStatus is one SCSI target port.
type PortStatus struct {
	Tag      uint16 `json:"tag"`
	Relative uint16 `json:"relative"`
}

// SessionStatus is one session.
type SessionStatus struct {
	Target    string    `json:"target"`
	Initiator string    `json:"initiator"`
	ISID      string    `json:"isid"`
	TSIH      uint16    `json:"tsih"`
	Peer      string    `json:"peer"`
	Portal    string    `json:"portal"`
	Since     time.Time `json:"since"`
	Group     string    `json:"group,omitempty"`
	// Lost: the connection was, and Time2Retain is not over.
	Lost  bool        `json:"lost,omitempty"`
	LUNs  []LUNStatus `json:"luns"`
	Stats Stats       `json:"stats"` // of the LUNs that it sees now
}

// Status is the state of the server.
func (mg *Manager) Status() Status {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	s := Status{Started: mg.started, Portals: []Portal{}, Devices: len(mg.devices),
		Targets: len(mg.o.Gateway.Targets()), Sessions: len(mg.o.Gateway.Sessions()),
		Goroutines: runtime.NumGoroutine() - core.IdleWorkers()}
	if mg.running != nil {
		applied := mg.applied
		s.Applied, s.Config = &applied, mg.running.File
	}
	for _, p := range mg.o.Gateway.Portals() {
		s.Portals = append(s.Portals, Portal{p.Listen, p.Announce, p.GroupTag()})
	}
	for name, done := range mg.closing {
		select {
		case <-done:
			delete(mg.closing, name)
		default:
			s.Closing = append(s.Closing, name)
		}
	}
	slices.Sort(s.Closing)
	if p := mg.o.Pool; p != nil {
		s.Memory = &Memory{p.Limit(), p.Used(), p.Peak()}
	}
	return s
}

// Config is the file that was last applied and its text.
func (mg *Manager) Config() (file string, text []byte) {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	if mg.running == nil {
		return "", nil
	}
	return mg.running.File, mg.running.Text
}

// blockCounter is an optional interface of a core.Handler with logical blocks.
type blockCounter interface{ Blocks() uint64 }

// Devices are all devices in order of name.
func (mg *Manager) Devices() []DeviceStatus {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	mapped := map[*core.Unit][]string{}
	note := func(t *target.Target, group string, m target.LUNMap) {
		for l, x := range m {
			s := fmt.Sprintf("%s %d", t.Name(), l)
			if group != "" {
				s = fmt.Sprintf("%s group %s %d", t.Name(), group, l)
			}
			mapped[x.Unit] = append(mapped[x.Unit], s)
		}
	}
	for _, t := range mg.o.Gateway.Targets() {
		spec := t.Spec()
		note(t, "", spec.LUNs)
		for _, g := range spec.Groups {
			note(t, g.Name, g.LUNs)
		}
	}
	list := []DeviceStatus{}
	for _, d := range mg.devices {
		s := DeviceStatus{Name: d.cfg.Name, Handler: d.cfg.Kind, Serial: d.id.Serial,
			NAA: fmt.Sprintf("%x", d.id.NAA), Tasks: d.unit.Tasks().Len(), Mapped: mapped[d.unit],
			Stats: toStats(d.unit.Stats())}
		if s.Mapped == nil {
			s.Mapped = []string{}
		}
		slices.Sort(s.Mapped)
		if b, ok := core.As[blockCounter](d.unit.Handler()); ok {
			if size := d.unit.Handler().Profile().BlockSize; size != nil {
				s.BlockSize = size()
				s.Size = int64(b.Blocks()) * int64(s.BlockSize)
			}
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b DeviceStatus) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func toStats(s core.Stats) Stats {
	return Stats{s.Commands, s.Reads, s.Writes, s.BytesIn, s.BytesOut, s.Errors, s.Aborted}
}

func lunStatus(m target.LUNMap) []LUNStatus {
	list := []LUNStatus{}
	for l, x := range m {
		list = append(list, LUNStatus{uint32(l), x.Unit.Name(), x.ReadOnly})
	}
	slices.SortFunc(list, func(a, b LUNStatus) int { return int(a.LUN) - int(b.LUN) })
	return list
}

// Targets are all targets in order of name.
func (mg *Manager) Targets() []TargetStatus {
	list := []TargetStatus{}
	for _, t := range mg.o.Gateway.Targets() {
		spec := t.Spec()
		s := TargetStatus{IQN: t.Name(), Alias: spec.Alias, CHAP: spec.Auth != nil,
			LUNs: lunStatus(spec.LUNs), Sessions: len(t.Sessions())}
		for _, g := range spec.Groups {
			s.Groups = append(s.Groups, GroupStatus{g.Name, g.Initiators, lunStatus(g.LUNs)})
		}
		for _, p := range t.Ports() {
			s.Ports = append(s.Ports, PortStatus{p.Group, p.Relative})
		}
		list = append(list, s)
	}
	return list
}

// Sessions are all sessions, oldest first.
func (mg *Manager) Sessions() []SessionStatus {
	list := []SessionStatus{}
	for _, s := range mg.o.Gateway.Sessions() {
		m := target.LUNMap{}
		for _, p := range s.Nexus.Paths() {
			m[p.LUN] = core.Mapping{Unit: p.Unit(), ReadOnly: p.ReadOnly}
		}
		list = append(list, SessionStatus{Target: s.Target.Name(), Initiator: s.Initiator.Name,
			ISID: s.Initiator.Session, TSIH: s.TSIH, Peer: s.Peer, Portal: s.Portal.Listen,
			Since: s.Since, Group: s.Group(), Lost: s.Parked(), LUNs: lunStatus(m), Stats: toStats(s.Stats())})
	}
	return list
}
