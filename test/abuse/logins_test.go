//go:build system

package abuse

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/initiator"
)

// parallel runs f for 0..n-1 on workers goroutines and gives the first error.
func parallel(n, workers int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(i); err != nil {
					errs <- fmt.Errorf("%d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// TestLogins logs in and out 10,000 times. Goroutines and memory are flat: what the first
// thousand needed is enough for all.
func TestLogins(t *testing.T) {
	const warm, all, workers = 1000, 10000, 16
	target := start(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	login := func(i int) error {
		s, err := dial(ctx, target, i)
		if err != nil {
			return err
		}
		return s.Logout(ctx)
	}
	if err := parallel(warm, workers, login); err != nil {
		t.Fatal(err)
	}
	before := quiet(ctx, t, target)
	begin := time.Now()
	if err := parallel(all, workers, login); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	// The goroutine of a connection ends a little after its session.
	after, err := target.Await(ctx, func(s *daemon.Status) bool {
		return s.Sessions == 0 && s.Goroutines <= before.Goroutines
	})
	if err != nil {
		t.Errorf("goroutines %d before: %v", before.Goroutines, err)
	}
	const slack = 16 << 20 // of a garbage collector's mood
	if after.RSS > before.RSS+slack {
		t.Errorf("resident memory grew from %d to %d MiB", before.RSS>>20, after.RSS>>20)
	}
	figure.Report(t, "logins: %d in %.1f s, goroutines %d -> %d, resident memory %d -> %d MiB",
		all, took.Seconds(), before.Goroutines, after.Goroutines, before.RSS>>20, after.RSS>>20)
}

// TestSessions keeps 1,000 sessions at work at once, each with 1 MiB in flight and more,
// four times what the budget allows.
func TestSessions(t *testing.T) {
	const sessions, budget, size = 1000, 256 << 20, 1 << 20
	target := start(t, fmt.Sprintf("memory: %d\n", budget))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	idle := quiet(ctx, t, target)
	all := make([]*initiator.Session, sessions)
	err := parallel(sessions, 16, func(i int) (err error) {
		all[i], err = dial(ctx, target, i)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	open, err := target.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if open.Sessions != sessions {
		t.Errorf("%d sessions are open, not %d", open.Sessions, sessions)
	}

	data := bytes.Repeat([]byte("targate!"), size/8)
	work := func(i int) error {
		lba := uint32(i%64) * (size / 512)
		for range 2 {
			if _, err := patient(ctx, all[i], &initiator.Command{CDB: initiator.Write10(lba, size/512), Out: data}); err != nil {
				return err
			}
			r, err := patient(ctx, all[i], &initiator.Command{CDB: initiator.Read10(lba, size/512), In: size})
			if err != nil {
				return err
			}
			if !bytes.Equal(r.Data, data) {
				return fmt.Errorf("%d bytes read, not those written", len(r.Data))
			}
		}
		return nil
	}
	if err := parallel(sessions, sessions, work); err != nil {
		t.Error(err)
	}
	busy, err := target.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if busy.Memory.Limit != budget || busy.Memory.Peak > budget {
		t.Errorf("data in flight had a peak of %d of %d bytes, the budget is %d", busy.Memory.Peak, busy.Memory.Limit, budget)
	}
	// The disk itself, the budget with half of it again for buffers of sizes that are
	// not wanted now and for garbage, and what a session costs.
	const most = 64<<20 + budget*3/2 + sessions*64<<10
	if grown := busy.RSS - idle.RSS; grown > most {
		t.Errorf("resident memory grew by %d MiB, more than %d", grown>>20, most>>20)
	}
	if err := parallel(sessions, 16, func(i int) error { return all[i].Logout(ctx) }); err != nil {
		t.Error(err)
	}
	quiet(ctx, t, target)
	figure.Report(t, "sessions: %d at once, an idle one costs %d KiB; at work a peak of %d of %d MiB in flight, resident memory %d MiB",
		sessions, (open.RSS-idle.RSS)/sessions>>10, busy.Memory.Peak>>20, budget>>20, busy.RSS>>20)
}

// patient repeats a command that the target has no room for now.
func patient(ctx context.Context, s *initiator.Session, c *initiator.Command) (*initiator.Result, error) {
	const busy, taskSetFull = 0x08, 0x28
	for {
		r, err := s.Do(ctx, c)
		switch {
		case err != nil:
			return nil, err
		case r.Status != busy && r.Status != taskSetFull:
			return r, r.Err()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
