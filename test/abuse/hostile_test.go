//go:build system

package abuse

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/initiator"
)

const (
	depth    = 8
	measured = 1500 * time.Millisecond
)

// victim is the well-behaved session whose speed is measured.
type victim struct{ s *initiator.Session }

// rate keeps depth READs of 4 KiB outstanding for a while and gives how many ended per
// second.
func (v victim) rate(ctx context.Context) (float64, error) {
	var n atomic.Int64
	begin := time.Now()
	end := begin.Add(measured)
	err := parallel(depth, depth, func(i int) error {
		for lba := uint32(i); time.Now().Before(end); lba += depth {
			r, err := v.s.Do(ctx, &initiator.Command{CDB: initiator.Read10(lba%8192*8, 8), In: 4096})
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				return err
			}
			n.Add(1)
		}
		return nil
	})
	return float64(n.Load()) / time.Since(begin).Seconds(), err
}

// attack begins an abuse of the target that goes on until ctx ends; wait returns when
// all of it has ended.
type attack struct {
	name  string
	begin func(ctx context.Context, target *daemon.Targate) (wait func(), err error)
}

var attacks = []attack{
	{"garbage", garbage},
	{"garbage after login", garbageInSession},
	{"stall in login", stall},
	{"never reads", deaf},
	{"log in and die", mayfly},
	{"10,000 connections", crowd},
}

// paced runs f at most perSecond times a second, on workers goroutines, until ctx
// ends. The attackers share the machine with the target: at full speed they would take
// the processor from it by themselves.
func paced(ctx context.Context, workers, perSecond int, f func(i int)) (wait func()) {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					f(int(next.Add(1)))
				}
			}
		})
	}
	return func() {
		wg.Wait()
		tick.Stop()
	}
}

// drain reads until the target closes, at most for a second.
func drain(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, c)
}

// garbage sends random bytes in place of a login.
func garbage(ctx context.Context, target *daemon.Targate) (func(), error) {
	random := rand.NewChaCha8([32]byte{7})
	var mu sync.Mutex
	return paced(ctx, 16, 500, func(int) {
		c, err := net.Dial("tcp", target.Portal)
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 4096)
		mu.Lock()
		random.Read(b)
		mu.Unlock()
		c.Write(b)
		drain(c)
	}), nil
}

// garbageInSession logs in first.
func garbageInSession(ctx context.Context, target *daemon.Targate) (func(), error) {
	return paced(ctx, 16, 200, func(i int) {
		c, err := initiator.Connect(ctx, target.Portal)
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := initiator.Login(c, options(target, i)); err != nil {
			return
		}
		p := &initiator.PDU{Raw: true}
		for j := range p.BHS {
			p.BHS[j] = byte(rand.Uint32())
		}
		p.Data = make([]byte, 8192)
		c.Send(p)
		drain(c)
	}), nil
}

// stall sends half a Login Request and waits.
func stall(ctx context.Context, target *daemon.Targate) (func(), error) {
	return hold(ctx, 500, func(c net.Conn, _ int) { c.Write([]byte{0x43, 0x87, 0, 0, 0, 0}) }, target)
}

// crowd opens many connections and says nothing.
func crowd(ctx context.Context, target *daemon.Targate) (func(), error) {
	return hold(ctx, 10000, func(net.Conn, int) {}, target)
}

// hold keeps n connections open until ctx ends. The target may refuse or close them.
func hold(ctx context.Context, n int, hello func(net.Conn, int), target *daemon.Targate) (func(), error) {
	conns := make([]net.Conn, n)
	err := parallel(n, 16, func(i int) (err error) {
		d := net.Dialer{Timeout: 10 * time.Second}
		if conns[i], err = d.DialContext(ctx, "tcp", target.Portal); err == nil {
			hello(conns[i], i)
		}
		return err
	})
	return func() {
		<-ctx.Done()
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}, err
}

// deaf asks for a lot of data in many sessions and reads none of it.
func deaf(ctx context.Context, target *daemon.Targate) (func(), error) {
	const sessions, commands = 16, 64
	var conns []*initiator.Conn
	for i := range sessions {
		c, err := initiator.Connect(ctx, target.Portal)
		if err != nil {
			return nil, err
		}
		conns = append(conns, c)
		p, err := initiator.Login(c, options(target, i))
		if err != nil {
			return nil, err
		}
		for n := range commands {
			q := new(initiator.PDU)
			q.BHS[0], q.BHS[1] = initiator.OpCommand, initiator.Final|0x40|initiator.Simple
			q.PutU32(16, uint32(n))
			q.PutU32(20, 1<<20)
			q.PutU32(24, p.CmdSN+uint32(n))
			q.PutU32(28, p.ExpStatSN)
			copy(q.BHS[32:], initiator.Read10(0, 2048))
			if err := c.Send(q); err != nil {
				return nil, err
			}
		}
	}
	return func() {
		<-ctx.Done()
		for _, c := range conns {
			c.Close()
		}
	}, nil
}

// mayfly logs in as one initiator port again and again and drops the connection.
func mayfly(ctx context.Context, target *daemon.Targate) (func(), error) {
	return paced(ctx, 8, 2000, func(int) {
		o := options(target, 1)
		o.Timeout = 5 * time.Second
		if s, err := initiator.Dial(ctx, o); err == nil {
			s.Close()
		}
	}), nil
}

// pair measures the session alone and under a.
func (v victim) pair(ctx context.Context, t *testing.T, a attack, target *daemon.Targate) (base, under float64) {
	base, err := v.rate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	actx, stop := context.WithCancel(ctx)
	defer stop()
	wait, err := a.begin(actx, target)
	if err != nil {
		t.Error(err)
	}
	under, err = v.rate(ctx)
	stop()
	if wait != nil {
		wait()
	}
	if err != nil {
		t.Fatalf("the session broke: %v", err)
	}
	return base, under
}

// TestHostile measures a session alone and under each attack: at least half of its speed
// stays, and nothing is left of an attack when it is over.
func TestHostile(t *testing.T) {
	target := start(t, "memory: 256MiB\n")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := dial(ctx, target, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	v := victim{s}
	if _, err := v.rate(ctx); err != nil { // warms up
		t.Fatal(err)
	}
	alone := func() (*daemon.Status, error) {
		return target.Await(ctx, func(s *daemon.Status) bool { return s.Sessions == 1 && s.Memory.Used == 0 })
	}
	before, err := alone()
	if err != nil {
		t.Fatal(err)
	}
	worst, worstName := 1e9, ""
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			// Both figures of a pair come from one mood of the machine, which others may
			// share: a pair that looks bad is measured again.
			var base, under float64
			for range 3 {
				base, under = v.pair(ctx, t, a, target)
				t.Logf("%.0f commands/s alone, %.0f under attack", base, under)
				if under >= base/2 {
					break
				}
			}
			if under < base/2 {
				t.Errorf("%.0f commands/s of %.0f are left, three times", under, base)
			}
			if share := under / base; share < worst {
				worst, worstName = share, a.name
			}
			after, err := target.Await(ctx, func(s *daemon.Status) bool {
				return s.Sessions == 1 && s.Goroutines <= before.Goroutines+1
			})
			if err != nil {
				t.Errorf("something is left: %v", err)
			} else if after.Memory.Peak > after.Memory.Limit {
				t.Errorf("a peak of %d bytes in flight, the budget is %d", after.Memory.Peak, after.Memory.Limit)
			}
		})
	}
	if err := s.Logout(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	figure.Report(t, "hostile: under %d attacks a session keeps at least %.0f%% of its speed (%s)", len(attacks), worst*100, worstName)
}
