//go:build system

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/targate/targate/test/initiator"
)

const (
	// answerLimit is when a request without an answer counts as a hang. The target is
	// asked whether it still has it after firstQuery, then ever more seldom.
	answerLimit = 40 * time.Second
	firstQuery  = 20 * time.Millisecond
	lastQuery   = time.Second
	// pause after BUSY and TASK SET FULL.
	pause = 5 * time.Millisecond
)

// Status codes of SAM.
const (
	statusCheck    = 0x02
	statusMet      = 0x04
	statusBusy     = 0x08
	statusConflict = 0x18
	statusFull     = 0x28
	statusAborted  = 0x40
)

// host is one initiator with its session.
type host struct {
	*soak
	n     int
	rand  *rand.Rand
	s     *initiator.Session
	media []*medium
	steps []*medium // of the disk that grows
	// mine counts what the host itself did that ends its tasks without an answer.
	mine  int64
	colds int64 // soak.colds at the login
}

// end is how a command ended.
type end int

const (
	good    end = iota
	refused     // not carried out: a reservation
	unsure      // aborted, in part carried out or not
	lost        // as unsure, and the session with it
)

func (h *host) login(ctx context.Context) error {
	h.colds = h.soak.colds.Load() - h.cooling.Load()
	s, err := initiator.Dial(ctx, initiator.Options{Addr: h.target.Portal, TargetName: iqn, Timeout: answerLimit,
		InitiatorName: fmt.Sprintf("iqn.2026-11.org.targate:soak.%s.%d", []string{"even", "odd"}[h.n%2], h.n), ISID: [6]byte{0x80, 0, 0, byte(h.n)},
		Keys: []initiator.Key{{Name: "iSCSIProtocolLevel", Value: "2"}}}) // QUERY TASK
	if err != nil {
		return err
	}
	if h.s != nil {
		h.s.Close() // the new session has ended it
	}
	h.s = s
	return nil
}

// back logs in again after the session was lost. A cold reset may hit that login too.
func (h *host) back(ctx context.Context) error {
	for {
		err := h.login(ctx)
		if err == nil || ctx.Err() != nil || h.ended(err) != nil {
			return err
		}
	}
}

// excuses counts what can end a task of h on any LUN without an answer.
func (h *host) excuses() int64 { return h.resets.Load() + h.mine }

// tracked is a command on its way.
type tracked struct {
	c       *initiator.Command
	t       *initiator.Task
	excuses int64
}

// start sends c; an error means that the session has ended.
func (h *host) start(c *initiator.Command) (*tracked, error) {
	k := &tracked{c: c, excuses: h.excuses() - h.resetting.Load()}
	var err error
	k.t, err = h.s.Start(c)
	return k, err
}

// await gives the end of k; r is valid when there was an answer.
func (h *host) await(ctx context.Context, k *tracked) (end, *initiator.Result, error) {
	query := firstQuery
	for begin := time.Now(); ; query = min(2*query, lastQuery) {
		limited, cancel := context.WithTimeout(ctx, query)
		_, err := k.t.Wait(limited)
		cancel()
		switch {
		case err == nil:
			return good, k.t.Result(), nil
		case errors.Is(err, initiator.ErrClosed):
			return lost, nil, h.ended(err)
		case !errors.Is(err, context.DeadlineExceeded):
			return lost, nil, fmt.Errorf("CDB %x: %w", k.c.CDB, err)
		case time.Since(begin) > answerLimit:
			return lost, nil, fmt.Errorf("HANG: LUN %d CDB %x: no answer in %v", k.c.LUN, k.c.CDB, answerLimit)
		}
		answer, err := h.tmf(ctx, initiator.QueryTask, k.c.LUN, k.t)
		switch {
		case errors.Is(err, initiator.ErrClosed):
			return lost, nil, h.ended(err)
		case err != nil:
			return lost, nil, err
		case answer == initiator.FunctionSucceeded, answer == initiator.LUNDoesNotExist:
			continue // it is still there; or its LUN is not, which says nothing of the task
		}
		select {
		case <-k.t.Ended():
			continue
		default: // the target has forgotten it: an answer would have come before this one
		}
		if k.excuses == h.excuses() {
			return lost, nil, fmt.Errorf("LOST: LUN %d CDB %x has no answer, the target does not know it (QUERY TASK %d), and nothing was reset",
				k.c.LUN, k.c.CDB, answer)
		}
		h.s.Forget(k.t)
		return unsure, nil, nil
	}
}

// ended says whether the session may have ended.
func (h *host) ended(err error) error {
	if h.colds == h.soak.colds.Load() {
		return fmt.Errorf("the session ended without a reason: %w", err)
	}
	return nil
}

// tmf is a task management function that must be answered; t may be nil.
func (h *host) tmf(ctx context.Context, function uint8, lun uint16, t *initiator.Task) (uint8, error) {
	itt, sn := uint32(initiator.NoTag), uint32(0)
	if t != nil {
		itt, sn = t.ITT, t.CmdSN()
	}
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	r, err := h.s.TMF(limited, function, lun, itt, sn)
	if err != nil && limited.Err() != nil {
		err = fmt.Errorf("HANG: task management function %d on LUN %d: %w", function, lun, err)
	}
	return r, err
}

// judge sorts an answer; again means that the command was not carried out and may be sent
// once more. Sense keys in also are expected, and left to the caller.
func (h *host) judge(k *tracked, r *initiator.Result, also ...uint8) (e end, again bool, err error) {
	switch {
	case r.Err() == nil || r.Response == 0 && r.Status == statusMet:
		return good, false, nil
	case r.Status == statusBusy || r.Status == statusFull:
		return unsure, true, nil
	case r.Status == statusConflict:
		return refused, false, nil
	case r.Status == statusAborted && k.excuses != h.excuses():
		return unsure, false, nil
	case r.Status == statusCheck && r.Key() == 6:
		return unsure, true, nil
	case r.Status == statusCheck && r.Key() == 0x0b && k.excuses != h.excuses():
		return unsure, false, nil
	}
	for _, key := range also {
		if r.Status == statusCheck && r.Key() == key {
			return unsure, false, nil
		}
	}
	return unsure, false, fmt.Errorf("LUN %d CDB %x: %w", k.c.LUN, k.c.CDB, r.Err())
}

// do carries out c.
func (h *host) do(ctx context.Context, c *initiator.Command, also ...uint8) (end, *initiator.Result, error) {
	for {
		k, err := h.start(c)
		if err != nil {
			return lost, nil, h.ended(err)
		}
		e, r, err := h.await(ctx, k)
		if err != nil || e != good {
			return e, r, err
		}
		e, again, err := h.judge(k, r, also...)
		if err != nil || !again {
			return e, r, err
		}
		if r.Status != statusCheck {
			<-time.After(pause)
		}
	}
}
