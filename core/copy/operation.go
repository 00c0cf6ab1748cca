package copy

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/targate/targate/core"
	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/sense"
)

// listID is a list identifier. Those of one byte and those of four are apart.
type listID struct {
	lid4 bool
	id   uint32
}

// operation is a copy operation: under way, or finished and not yet forgotten.
type operation struct {
	path   *core.Path // the I_T_L nexus that it came by
	id     listID
	action uint8 // service action of the command that began it
	named  bool  // the list identifier leads to it
	hold   bool  // also once it is finished
	immed  bool  // it outlives its command

	ctx    context.Context // ends with the operation, or to end it
	cancel context.CancelFunc
	cmd    *core.Command // that it runs in; nil in the background and at the end

	segments atomic.Uint32 // done
	bytes    atomic.Uint64 // copied
	visits   atomic.Uint32 // reads and writes, modulo 65536 (OPERATION COUNTER)

	ended chan struct{} // closed at the end; the rest is valid then
	err   error
	token []byte // of a POPULATE TOKEN that succeeded
	unit  uint64 // bytes in which the token commands count: a logical block
}

func (o *operation) running() bool {
	select {
	case <-o.ended:
		return false
	default:
		return true
	}
}

// errTerminated is how a copy ends that its initiator ended by COPY OPERATION ABORT.
var errTerminated = sense.New(sense.CopyAborted, sense.NoAdditionalSense)

// begin enters o, which has path, id, action, named, hold and immed. A finished
// operation of the same identifier is forgotten, one that is under way is an error, as is
// a copy beyond the limits.
func (s *Service) begin(o *operation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.begun[o.path]
	running := 0
	for _, p := range list {
		if !p.running() {
			continue
		}
		if o.named && p.named && p.id == o.id {
			return sense.New(sense.IllegalRequest, sense.OperationInProgress)
		}
		running++
	}
	if running >= maxNexusCopies {
		return sense.Busy
	}
	select {
	case s.m.slots <- struct{}{}:
	default:
		return sense.Busy
	}
	if o.named {
		list = slices.DeleteFunc(list, func(p *operation) bool { return p.named && p.id == o.id })
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.ended = make(chan struct{})
	s.begun[o.path] = append(list, o)
	return nil
}

// follow makes a context that ends with c's task. It does not touch c after stop, so that
// c may be used again.
func follow(c *core.Command) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	stop = cancel
	go func(aborted <-chan struct{}) {
		select {
		case <-aborted:
			cancel()
		case <-ctx.Done():
		}
	}(c.Done())
	return ctx, stop
}

// run does work, which ends o; in the background with IMMED. The error is that of the
// command c.
func (s *Service) run(c *core.Command, o *operation, work func() error) error {
	if o.immed {
		go func() { s.finish(o, work()) }()
		return nil
	}
	ctx, stop := follow(c)
	defer stop()
	defer context.AfterFunc(ctx, o.cancel)()
	o.cmd = c
	err := work()
	o.cmd = nil
	s.finish(o, err)
	if c.Err() != nil {
		return sense.TaskAborted
	}
	return o.err
}

// stopped says whether o is to end. Its own goroutine asks, between two visits.
func (o *operation) stopped() bool {
	return o.ctx.Err() != nil || o.cmd != nil && o.cmd.Err() != nil
}

// finish ends o.
func (s *Service) finish(o *operation, err error) {
	if err != nil && o.ctx.Err() != nil {
		err = errTerminated // whatever the visit said that was under way
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.err = err
	o.cancel()
	close(o.ended)
	<-s.m.slots
	gone := o.path.Nexus().Path(o.path.LUN) != o.path // then Lost has been, or will never be
	if !o.hold || gone {
		s.drop(o)
	}
	s.prune(o.path)
}

// prune forgets the oldest finished operations beyond maxRecords. mu is held.
func (s *Service) prune(p *core.Path) {
	finished := 0
	for _, o := range s.begun[p] {
		if !o.running() {
			finished++
		}
	}
	s.begun[p] = slices.DeleteFunc(s.begun[p], func(o *operation) bool {
		if finished <= maxRecords || o.running() {
			return false
		}
		finished--
		return true
	})
	if len(s.begun[p]) == 0 {
		delete(s.begun, p)
	}
}

// drop forgets o. mu is held.
func (s *Service) drop(o *operation) {
	list := slices.DeleteFunc(s.begun[o.path], func(p *operation) bool { return p == o })
	if len(list) == 0 {
		delete(s.begun, o.path)
	} else {
		s.begun[o.path] = list
	}
}

// forget ends and forgets the operations of the paths that match.
func (s *Service) forget(match func(*core.Path) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, list := range s.begun {
		if match(p) {
			for _, o := range list {
				o.cancel()
			}
			delete(s.begun, p)
		}
	}
}

// find gives the operation that id names for c's nexus. Without one it
// is INVALID FIELD IN CDB at the list identifier (SPC-4).
func (s *Service) find(c *core.Command, id listID) (*operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.begun[c.Path] {
		if o.named && o.id == id {
			return o, nil
		}
	}
	return nil, sense.Field(2)
}

// reported forgets o when all n bytes about its end have been returned by c (SPC-4,
// 5.17.4).
func (s *Service) reported(c *core.Command, o *operation, n int) {
	if o.running() || c.Moved() < n {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(o)
}

// abort is COPY OPERATION ABORT (SPC-4): GOOD means that the copy has ended.
func (s *Service) abort(c *core.Command) error {
	o, err := s.find(c, lid4(c, 2))
	if err != nil {
		return err
	}
	if !o.running() {
		return sense.Field(2)
	}
	o.cancel()
	select {
	case <-o.ended:
		return nil
	case <-c.Done():
		return sense.TaskAborted
	}
}

// outcome is the error of a finished operation as status and sense data.
func (o *operation) outcome() (status uint8, data []byte) {
	if o.err == nil {
		return 0, nil
	}
	var st sense.Status
	if errors.As(o.err, &st) {
		return uint8(st), nil
	}
	return uint8(scsi.CheckCondition), sense.Of(o.err).Append(nil, false)
}
