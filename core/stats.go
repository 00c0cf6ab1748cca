package core

import (
	"sync/atomic"

	"github.com/targate/targate/core/latency"
	"github.com/targate/targate/core/scsi"
)

// Stats counts what a unit or a path has done since it was made.
type Stats struct {
	Commands    uint64 // carried out, whatever their status
	Reads       uint64 // commands that read the medium
	Writes      uint64 // commands that write it
	BytesIn     uint64 // moved to the initiator by those reads
	BytesOut    uint64 // moved from the initiator by those writes
	Errors      uint64 // ended with CHECK CONDITION other than UNIT ATTENTION
	Aborted     uint64
	Blocked     uint64 // went to a worker because they could not run on the reader
	TaskSetFull uint64
}

// Add sums two counts.
func (s *Stats) Add(o Stats) {
	s.Commands += o.Commands
	s.Reads += o.Reads
	s.Writes += o.Writes
	s.BytesIn += o.BytesIn
	s.BytesOut += o.BytesOut
	s.Errors += o.Errors
	s.Aborted += o.Aborted
	s.Blocked += o.Blocked
	s.TaskSetFull += o.TaskSetFull
}

// Stats are the counters of one path.
func (p *Path) Stats() Stats { return p.stats.load() }

// counters live in a Path, so that nexuses do not fight for a cache line.
type counters struct {
	other, reads, writes, in, out, errors, aborted, blocked, full atomic.Uint64
}

// class is what kind of command c is.
func (c *Command) class() latency.Class {
	switch {
	case c.Row == nil:
		return latency.Other
	case c.Row.Gate&ReadsMedium != 0 && c.Row.Dir == scsi.In:
		return latency.Read
	case c.Row.Gate&WritesMedium != 0:
		return latency.Write
	}
	return latency.Other
}

func (n *counters) count(c *Command) {
	switch c.class() {
	case latency.Read:
		n.reads.Add(1)
		n.in.Add(uint64(c.Moved()))
	case latency.Write:
		n.writes.Add(1)
		n.out.Add(uint64(len(c.Out)))
	default:
		n.other.Add(1)
	}
	switch c.Status {
	case scsi.Good, scsi.ConditionMet:
	case scsi.CheckCondition:
		n.errors.Add(1)
	case scsi.TaskSetFull:
		n.full.Add(1)
	}
}

func (n *counters) load() Stats {
	s := Stats{
		Reads: n.reads.Load(), Writes: n.writes.Load(),
		BytesIn: n.in.Load(), BytesOut: n.out.Load(),
		Errors: n.errors.Load(), Aborted: n.aborted.Load(),
		Blocked: n.blocked.Load(), TaskSetFull: n.full.Load(),
	}
	s.Commands = n.other.Load() + s.Reads + s.Writes
	return s
}
