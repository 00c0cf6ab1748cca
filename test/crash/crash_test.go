//go:build system

package crash

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/targate/targate/test/daemon"
	"github.com/targate/targate/test/figure"
	"github.com/targate/targate/test/initiator"
)

var (
	kills = flag.Int("kills", 40, "how often targate is killed")
	seed  = flag.Uint64("seed", 0, "seed of the random choices, 0 for a new one")
)

const (
	iqn0 = "iqn.2026-11.org.targate:crash"
	iqn1 = "iqn.2026-11.org.targate:crash.other"

	config = `
devices:
  - {name: disk0, handler: file, path: ./disk0.img, size: 16MiB}
  - {name: disk1, handler: file, path: ./disk1.img, size: 16MiB}
  - {name: disk2, handler: file, path: ./disk2.img, size: 16MiB}
targets:
  - {iqn: "` + iqn0 + `", luns: {0: disk0, 1: disk1, 2: disk2}}
  - {iqn: "` + iqn1 + `", luns: {0: disk1, 1: disk0, 2: disk2}}
`
	// answerLimit bounds each request, cycleLimit everything between two kills.
	answerLimit = 20 * time.Second
	cycleLimit  = time.Minute
)

// worker is one thread of requests with a model of what they leave behind.
type worker interface {
	// open logs in.
	open(ctx context.Context, portal string) error
	// check compares what targate has now with the model, settles which state the
	// request that was in flight has left, and forgets that request.
	check(ctx context.Context) error
	// step carries out one request. After an error of the connection the request
	// is in flight until check; another fault is given as a *fault.
	step(ctx context.Context) error
	// close drops the sessions.
	close()
}

// fault is an answer that the model does not allow.
type fault struct{ error }

func faultf(format string, args ...any) error { return fault{fmt.Errorf(format, args...)} }

// lab is a targate that is killed and started again on the same files.
type lab struct {
	t      *testing.T
	rand   *rand.Rand
	config string
	// identify is what must stay the same for ever.
	identify func(ctx context.Context, portal string) ([]byte, error)
	dir      string
	portal   string
	run      *daemon.Targate
	killed   int
}

func newLab(t *testing.T, config string, identify func(context.Context, string) ([]byte, error)) *lab {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	return &lab{t: t, rand: rand.New(rand.NewPCG(*seed, 1)), dir: t.TempDir(), config: config, identify: identify}
}

func (l *lab) start() {
	l.t.Helper()
	var err error
	l.run, err = daemon.StartTargate(daemon.TargateOptions{Dir: l.dir, Portal: l.portal, Config: l.config})
	if err != nil {
		l.t.Fatal(err)
	}
	l.portal = l.run.Portal
}

// stillborn starts targate and kills it while it starts.
func (l *lab) stillborn() {
	l.t.Helper()
	bin, err := daemon.Binary()
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := daemon.Start(exec.Command(bin, "serve", "--config", l.run.Config))
	if err != nil {
		l.t.Fatal(err)
	}
	wait(p.Done(), time.Duration(l.rand.Int64N(int64(60*time.Millisecond))))
	p.Kill()
	l.killed++
}

// wait returns after d or when done is closed.
func wait(done <-chan struct{}, d time.Duration) {
	select {
	case <-done:
	case <-time.After(d):
	}
}

// TestKill is the whole of it.
func TestKill(t *testing.T) {
	l := newLab(t, config, identities)
	var workers []worker
	for i := range 2 {
		workers = append(workers, newWriter(i, rand.New(rand.NewPCG(*seed, uint64(10+i)))))
	}
	workers = append(workers, newRegistrants(rand.New(rand.NewPCG(*seed, 20))), newModes(rand.New(rand.NewPCG(*seed, 30))))

	steps, inFlight := l.kill(workers)
	if t.Failed() {
		return
	}
	figure.Report(t, "crash: %d kills, %d requests acknowledged, %d in flight: nothing lost, nothing mixed", l.killed, steps, inFlight)
}

// kill lets the workers work until targate has been killed often enough, and stops it in good order.
func (l *lab) kill(workers []worker) (steps, inFlight int) {
	t := l.t
	var identity []byte
	for l.start(); l.killed < *kills; l.start() {
		s, f := l.cycle(workers, &identity)
		steps, inFlight = steps+s, inFlight+f
		if t.Failed() {
			break
		}
		if l.rand.IntN(4) == 0 && l.killed < *kills {
			l.stillborn()
		}
	}
	if t.Failed() {
		t.Logf("seed %d, after %d kills; the last lines of targate:\n%s", *seed, l.killed, l.run.Log.Tail(20))
		l.run.Kill()
		return steps, inFlight
	}
	if err := l.run.Stop(); err != nil {
		t.Error(err)
	}
	return steps, inFlight
}

// cycle checks what the last kill left, works, and kills.
func (l *lab) cycle(workers []worker, identity *[]byte) (steps, inFlight int) {
	t := l.t
	ctx, cancel := context.WithTimeout(t.Context(), cycleLimit)
	defer cancel()
	now, err := l.identify(ctx, l.portal)
	switch {
	case err != nil:
		t.Errorf("identity: %v", err)
	case *identity == nil:
		*identity = now
	case !bytes.Equal(*identity, now):
		t.Errorf("the identities were\n%q\nand are\n%q", *identity, now)
	}
	for _, w := range workers {
		defer w.close()
		if err = w.open(ctx, l.portal); err == nil {
			err = w.check(ctx)
		}
		if err != nil {
			t.Errorf("%T after kill %d: %v", w, l.killed, err)
		}
	}
	if t.Failed() {
		return 0, 0
	}

	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, w := range workers {
		wg.Go(func() {
			n := 0
			err := error(nil)
			for ; err == nil; n++ {
				err = w.step(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			steps += n - 1
			inFlight++
			if f, ok := err.(fault); ok {
				t.Errorf("%T: %v", w, f)
			}
		})
	}
	// Most kills come early, where the first requests and the sync of the first
	// files are.
	limit := 40 * time.Millisecond << l.rand.IntN(4)
	wait(l.run.Done(), time.Duration(l.rand.Int64N(int64(limit))))
	select {
	case <-l.run.Done():
		t.Error("targate ended by itself")
	default:
	}
	l.run.Kill()
	l.killed++
	wg.Wait()
	return steps, inFlight
}

// identities is what INQUIRY says of all disks through both targets: the standard data,
// the serial number, and the designators with the relative target port identifier.
func identities(ctx context.Context, portal string) ([]byte, error) {
	var all []byte
	for _, iqn := range []string{iqn0, iqn1} {
		s, err := dial(ctx, portal, iqn, "inquiry")
		if err != nil {
			return nil, err
		}
		defer s.Close()
		for lun := range uint16(3) {
			for _, cdb := range [][]byte{{0x12, 0, 0, 2, 0, 0}, {0x12, 1, 0x80, 2, 0, 0}, {0x12, 1, 0x83, 2, 0, 0}} {
				r, err := do(ctx, s, &initiator.Command{LUN: lun, CDB: cdb, In: 512})
				if err != nil {
					return nil, err
				}
				all = append(all, r.Data...)
			}
		}
	}
	return all, nil
}

func dial(ctx context.Context, portal, iqn, who string) (*initiator.Session, error) {
	return initiator.Dial(ctx, initiator.Options{Addr: portal, TargetName: iqn,
		InitiatorName: "iqn.2026-11.org.targate:crash." + who})
}

// do carries out c; unit attentions are taken and c is sent again. An answer other than
// GOOD is a fault, as is none within answerLimit.
func do(ctx context.Context, s *initiator.Session, c *initiator.Command) (*initiator.Result, error) {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	for {
		r, err := s.Do(limited, c)
		switch {
		case err != nil && limited.Err() != nil:
			return nil, faultf("CDB %x: no answer: %v", c.CDB, err)
		case err != nil:
			return nil, err
		case r.Key() == 6:
		case r.Err() != nil:
			return nil, faultf("CDB %x: %v", c.CDB, r.Err())
		default:
			return r, nil
		}
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(m.Run())
}
