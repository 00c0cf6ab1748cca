//go:build system

package soak

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
)

var (
	duration = flag.Duration("duration", 30*time.Second, "how long the sessions work")
	seed     = flag.Uint64("seed", 0, "seed of the random choices, 0 for a new one")
)

const (
	iqn      = "iqn.2026-11.org.targate:soak"
	sessions = 16
	blocks   = 128 // of each session on each disk
	slack    = 48 << 20
	changes  = 400 * time.Millisecond // between two of the configuration
)

// disks are the block lengths of LUN 0 and on, in the order of config.
var disks = []int{512, 4096, 512, 512}

// The other LUNs.
const (
	changing = 8  // comes, is another disk, goes
	grown    = 9  // grows with each apply
	scratch  = 11 // what it holds, nobody knows
	masked   = 10 // LUN 3's disk, read only, for sessions of odd numbers while a group names them
)

// step is by how many blocks grown grows: eight for each session.
const step = 8 * sessions

// layout is the configuration after n changes.
func layout(n int64) string {
	disks := "0: ram, 1: ram4k, 2: thin, 3: plain, 9: grown, 11: scratch"
	extra := "  - {name: extra, handler: mem, size: 1MiB}\n"
	switch n % 3 {
	case 0:
		disks += ", 8: extra"
	case 1:
		disks += ", 8: ram"
	case 2: // its device is gone, too
		extra = ""
	}
	odd := "odd"
	if n%2 == 0 {
		odd = "nobody"
	}
	return fmt.Sprintf(`
alua: {explicit: true, implicit: true, groups: [{tag: 1}]}
devices:
  - {name: ram, handler: mem, size: 16MiB}
  - {name: ram4k, handler: mem, size: 16MiB, block_size: 4096}
  - {name: thin, handler: file, path: ./thin.img, size: 16MiB, thin: true}
  - {name: plain, handler: file, path: ./plain.img, size: 16MiB}
  - {name: scratch, handler: mem, size: 1MiB}
  - {name: grown, handler: file, path: ./grown.img, size: %d}
%stargets:
  - iqn: %q
    luns: {%s}
    groups: [{name: odd, initiators: ["*.%s.*"], luns: {%s, 10: {device: plain, read_only: true}}}]
`, (n+1)*step*512, extra, iqn, disks, odd, disks)
}

// soak is what all hosts share.
type soak struct {
	t      *testing.T
	target *daemon.Targate
	// resets counts what ends tasks of others, from when it is asked for; resetting is
	// how many of those are not answered yet. colds and cooling are those that end
	// sessions too.
	resets, resetting, colds, cooling atomic.Int64
	// asked and applied are how many changes of the configuration were begun and done.
	asked, applied atomic.Int64

	mu     sync.Mutex
	counts map[string]int // operations that ended well, by name
}

func (s *soak) count(name string) {
	s.mu.Lock()
	s.counts[name]++
	s.mu.Unlock()
}

// TestSoak is the whole of it.
func TestSoak(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	target, err := daemon.StartTargate(daemon.TargateOptions{Dir: t.TempDir(), Config: layout(0)})
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, target: target, counts: map[string]int{}}
	hosts := make([]*host, sessions)
	for n := range hosts {
		hosts[n] = &host{soak: s, n: n, rand: rand.New(rand.NewPCG(*seed, uint64(n)))}
		for lun, size := range disks {
			hosts[n].media = append(hosts[n].media, newMedium(uint16(lun), size, n*blocks, blocks))
		}
	}
	// A tenth of the time shows what the work needs; it shall need no more later.
	before := s.work(hosts, *duration/10)
	after := before
	if !t.Failed() {
		after = s.work(hosts, *duration-*duration/10)
	}
	if !t.Failed() {
		if after.RSS > before.RSS+slack {
			t.Errorf("resident memory grew from %d to %d MiB", before.RSS>>20, after.RSS>>20)
		}
		ctx, cancel := context.WithTimeout(t.Context(), answerLimit)
		defer cancel()
		if _, err := target.Await(ctx, func(now *daemon.Status) bool { return now.Goroutines <= before.Goroutines }); err != nil {
			t.Errorf("goroutines %d before: %v", before.Goroutines, err)
		}
		for _, o := range operations {
			if s.counts[o.name] == 0 && *duration >= 20*time.Second {
				t.Errorf("no %s ended well", o.name)
			}
		}
	}
	if t.Failed() {
		t.Logf("seed %d; %v; the last lines of targate:\n%s", *seed, s.counts, target.Log.Tail(30))
	}
	if err := target.Stop(); err != nil {
		t.Error(err)
	}
	if strings.Contains(target.Log.String(), "panic") {
		t.Errorf("targate panicked:\n%s", target.Log.Tail(60))
	}
	if t.Failed() {
		return
	}
	all := 0
	for _, name := range slices.Sorted(maps.Keys(s.counts)) {
		t.Logf("%8d %s", s.counts[name], name)
		all += s.counts[name]
	}
	figure.Report(t, "soak: %d operations of %d sessions in %v: 0 miscompares, 0 hangs, goroutines %d -> %d, resident memory %d -> %d MiB",
		all, sessions, *duration, before.Goroutines, after.Goroutines, before.RSS>>20, after.RSS>>20)
}

// work lets all hosts work for d and gives the status when all have logged out.
func (s *soak) work(hosts []*host, d time.Duration) *daemon.Status {
	ctx, cancel := context.WithTimeout(s.t.Context(), d+4*answerLimit)
	defer cancel()
	over, stop := context.WithTimeout(ctx, d)
	defer stop()
	var wg sync.WaitGroup
	for _, h := range hosts {
		wg.Go(func() {
			if err := h.live(ctx, over); err != nil {
				s.t.Errorf("session %d: %v", h.n, err)
				stop()
			}
		})
	}
	wg.Go(func() { s.changeMaps(over) })
	wg.Wait()
	if s.t.Failed() {
		return new(daemon.Status)
	}
	status, err := s.target.Await(ctx, func(now *daemon.Status) bool { return now.Sessions == 0 && now.Memory.Used == 0 })
	if err != nil {
		s.t.Errorf("sessions are left: %v", err)
		return new(daemon.Status)
	}
	return status
}

// live works until over is done, and logs out.
func (h *host) live(ctx, over context.Context) error {
	if err := h.back(ctx); err != nil {
		return err
	}
	for over.Err() == nil {
		o := h.pick()
		e, err := o.run(h, ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		switch e {
		case good:
			h.count(o.name)
		case lost:
			if err := h.back(ctx); err != nil {
				return err
			}
		}
	}
	for {
		e, err := h.readAll(ctx)
		if err != nil {
			return err
		}
		if e == good {
			break
		}
		if e == lost {
			if err := h.back(ctx); err != nil {
				return err
			}
		}
	}
	if err := h.s.Logout(ctx); err != nil {
		return h.ended(err)
	}
	return nil
}

// changeMaps applies one configuration after the other. The last one has as many devices
// and LUNs as the first, so that two statuses can be compared.
func (s *soak) changeMaps(over context.Context) {
	for last := false; !last; {
		select {
		case <-over.Done():
			last = true
		case <-time.After(changes):
		}
		n := s.asked.Load() + 1
		for last && n%6 != 0 {
			n++
		}
		s.asked.Store(n)
		err := s.target.Write(layout(n))
		if err == nil {
			err = s.target.Apply()
		}
		if err != nil {
			s.t.Errorf("apply: %v", err)
			return
		}
		s.applied.Store(n)
		s.count("apply")
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
