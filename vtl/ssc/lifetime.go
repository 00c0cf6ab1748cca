package ssc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/wire"
)

// lifetime is what a drive counts from its first day on (docs/formats/drive-lifetime.md).
type lifetime struct {
	state core.State // nil: nothing outlives the program

	mu     sync.Mutex // guards all below
	counts lifeCounts
	since  time.Time // counts.seconds is that of this time
}

// lifeCounts are the counters.
type lifeCounts struct{ loads, cleanings, seconds, cycles uint64 }

const (
	lifetimeName    = "lifetime"
	lifetimeVersion = 1
)

func (c lifeCounts) encode() []byte {
	b := binary.BigEndian.AppendUint16(nil, lifetimeVersion)
	for _, v := range []uint64{c.loads, c.cleanings, c.seconds, c.cycles} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func decodeLifetime(b []byte) (c lifeCounts, err error) {
	r := wire.NewReader(b)
	if v := r.U16(); !r.OK() || v != lifetimeVersion {
		return c, fmt.Errorf("version %d, this program knows %d", v, lifetimeVersion)
	}
	c = lifeCounts{r.U64(), r.U64(), r.U64(), r.U64()}
	if !r.OK() || r.Len() != 0 {
		return lifeCounts{}, fmt.Errorf("%d bytes", len(b))
	}
	return c, nil
}

// begin reads the counters, and counts another power cycle. What cannot be read begins anew: err says why.
func (l *lifetime) begin(state core.State) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state, l.since = state, time.Now()
	if state != nil {
		var b []byte
		if b, err = state.Load(lifetimeName); err == nil {
			l.counts, err = decodeLifetime(b)
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	l.counts.cycles++
	return err
}

// count changes the counters by f, and saves them.
func (l *lifetime) count(f func(*lifeCounts)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.counts)
	now := time.Now()
	if whole := now.Sub(l.since) / time.Second; whole > 0 {
		l.counts.seconds += uint64(whole)
		l.since = l.since.Add(whole * time.Second)
	}
	if l.state == nil {
		return nil
	}
	return l.state.Save(lifetimeName, l.counts.encode())
}

// now is the counters, the time that passes included.
func (l *lifetime) now() lifeCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.seconds += uint64(max(0, time.Since(l.since)) / time.Second)
	return c
}

// outlive counts what happened to the drive by f. That it cannot be saved is in the log.
func (d *Drive) outlive(f func(*lifeCounts)) {
	if err := d.life.count(f); err != nil {
		d.log.Warn("the counters of a drive cannot be saved", "err", err)
	}
}
