package manage

import (
	"slices"
	"strings"
	"time"

	"github.com/targate/targate/core/latency"
)

// Latency is how long commands took.
type Latency struct {
	// Since is when counting began: the start of the server, or the last reset. What a
	// session says begins with the session if that is later.
	Since    time.Time        `json:"since"`
	Stages   []StageDoc       `json:"stages"`
	Devices  []DeviceLatency  `json:"devices"`
	Sessions []SessionLatency `json:"sessions"`
}

// StageDoc says what a stage is.
type StageDoc struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

// DeviceLatency is what one device took, for all initiators since Since.
type DeviceLatency struct {
	Name   string         `json:"name"`
	Stages []StageLatency `json:"stages"`
}

// SessionLatency is what one I_T nexus was given, by the logical units that it sees now.
type SessionLatency struct {
	TSIH      uint16         `json:"tsih"`
	Initiator string         `json:"initiator"`
	Target    string         `json:"target"`
	Stages    []StageLatency `json:"stages"`
}

// StageLatency is how long the commands of one class spent in one stage, in nanoseconds.
type StageLatency struct {
	Class   string           `json:"class"`
	Stage   string           `json:"stage"`
	Count   uint64           `json:"count"` // commands, those that the measured ones stand for included
	Mean    int64            `json:"mean_ns"`
	P50     int64            `json:"p50_ns"`
	P90     int64            `json:"p90_ns"`
	P99     int64            `json:"p99_ns"`
	P999    int64            `json:"p999_ns"`
	Max     int64            `json:"max_ns"` // of those that were measured
	Buckets []latency.Bucket `json:"buckets"`
}

// Latency is how long commands took, of devices in order of name and of sessions, oldest first.
func (mg *Manager) Latency() Latency {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	l := Latency{Since: mg.counting, Devices: []DeviceLatency{}, Sessions: []SessionLatency{}}
	for _, s := range latency.Stages {
		l.Stages = append(l.Stages, StageDoc(s))
	}
	for _, d := range mg.devices {
		l.Devices = append(l.Devices, DeviceLatency{d.cfg.Name, stages(d.unit.Latency())})
	}
	slices.SortFunc(l.Devices, func(a, b DeviceLatency) int { return strings.Compare(a.Name, b.Name) })
	for _, s := range mg.o.Gateway.Sessions() {
		l.Sessions = append(l.Sessions, SessionLatency{s.TSIH, s.Initiator.Name, s.Target.Name(), stages(s.Latency())})
	}
	return l
}

// ResetLatency begins to count anew.
func (mg *Manager) ResetLatency() {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	for _, d := range mg.devices {
		d.unit.ResetLatency()
	}
	mg.counting = time.Now()
}

func stages(s *latency.Snapshot) []StageLatency {
	list := []StageLatency{}
	for class := range s {
		for stage := range s[class] {
			h := &s[class][stage]
			if h.Count() == 0 {
				continue
			}
			list = append(list, StageLatency{Class: latency.Class(class).String(), Stage: latency.Stage(stage).String(),
				Count: h.Count(), Mean: h.Mean(), P50: h.Quantile(.5), P90: h.Quantile(.9), P99: h.Quantile(.99),
				P999: h.Quantile(.999), Max: h.Max(), Buckets: h.Buckets()})
		}
	}
	return list
}
