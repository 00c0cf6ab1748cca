package library

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/targate/targate/vtl/ssc"
)

// hold waits for the robot. The caller releases it.
func (l *Library) hold(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.robot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Library) release() { <-l.robot }

// commit makes ch durable, then true in memory. The robot is held, or nobody else has the
// library yet.
func (l *Library) commit(ch change) error { return l.commitWith(ch, batch{}) }

// commitWith is commit with what else changes at the same time.
//
// An error leaves open whether the file has the change (store.commit), so what it may have is
// written again with the next one: memory is right.
func (l *Library) commitWith(ch change, b batch) error {
	b.cartridges = map[string]*cartridgeRecord{}
	for id := range l.unsure {
		if c := l.inv.byID[id]; c != nil {
			b.cartridges[id] = &c.rec
		} else {
			b.cartridges[id] = nil
		}
	}
	for c, r := range ch {
		b.cartridges[c.id] = r
	}
	next := b.library
	if next == nil {
		r := l.inv.library
		b.library = &r
	}
	drives := map[int]*driveRecord{}
	for n := range l.unsureDrives {
		if drives[n] = nil; n <= len(l.inv.bays) {
			drives[n] = &l.inv.bays[n-1].rec
		}
	}
	maps.Copy(drives, b.drives)
	b.drives = drives
	if err := l.write(b); err != nil {
		return err
	}
	clear(l.unsure)
	clear(l.unsureDrives)
	l.mu.Lock()
	defer l.mu.Unlock()
	if next != nil {
		l.inv.library = *next
	}
	l.inv.apply(ch)
	return nil
}

// write makes b durable, or notes that it may be.
func (l *Library) write(b batch) error {
	err := l.store.commit(b)
	if err == nil {
		return nil
	}
	for id := range b.cartridges {
		l.unsure[id] = struct{}{}
	}
	for n := range b.drives {
		l.unsureDrives[n] = struct{}{}
	}
	return fmt.Errorf("inventory: %w", err)
}

// step is one cartridge on its way.
type step struct {
	c    *cartridge
	from Place
	to   Place
}

// carry has the robot carry cartridges, each to a place that is empty or becomes so, and
// commits that in one transaction. The robot is held; places have been checked.
func (l *Library) carry(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := l.reachable(s); err != nil {
			return err
		}
	}
	out := make([]step, 0, len(steps))
	for _, s := range steps {
		if s.from.Kind != Drive {
			continue
		}
		if err := l.inv.bays[s.from.N-1].drive.Remove(ctx); err != nil {
			l.putBack(out)
			return fmt.Errorf("%v: %w", s.from, removeReason(err))
		}
		out = append(out, s)
	}
	for _, s := range steps {
		if err := l.motion(ctx, Motion{MotionMove, s.from, s.to, s.c.rec.Barcode, l.cfg.Model.Timing.Move}); err != nil {
			l.putBack(out)
			return err
		}
	}
	ch := change{}
	for _, s := range steps {
		s.record(ch.edit(s.c))
	}
	lib := l.inv.library
	lib.Moves += uint64(len(steps))
	if len(steps) > 1 {
		lib.Exchanges++
	}
	if err := l.commitWith(ch, batch{library: &lib}); err != nil {
		l.putBack(out)
		return err
	}
	for _, s := range steps {
		if s.to.Kind == Drive {
			l.insert(s.c, s.to)
		}
	}
	return nil
}

// record is the step in the record of its cartridge.
func (s step) record(r *cartridgeRecord) {
	r.Place, r.ByHand = s.to, false
	r.Moves++
	r.Moved = time.Now().UTC()
	if s.from.Kind == Slot || s.from.Kind == Mailslot {
		r.Home = s.from
	}
	if s.to.Kind == Drive {
		r.Loads++
	}
	if s.from.Kind == Drive && r.UsesLeft > 0 {
		r.UsesLeft-- // it has cleaned, even if a restart had it do so twice
	}
}

// reachable says what keeps the robot from its source and destination.
func (l *Library) reachable(s step) error {
	for _, p := range []Place{s.from, s.to} {
		if p.Kind == Mailslot && l.doorOpen.Load() {
			return fmt.Errorf("%v: %w", p, ErrMailslotOpen)
		}
		if l.inv.removed(p) {
			return fmt.Errorf("%v: %w", p, ErrDriveRemoved)
		}
	}
	if s.from.Kind == Drive {
		st := l.inv.bays[s.from.N-1].drive.State()
		switch {
		case st.Prevented:
			return fmt.Errorf("%v: %w", s.from, ErrDrivePrevented)
		case st.Loaded && l.cfg.Model.UnloadBeforeMove:
			return fmt.Errorf("%v: %w", s.from, ErrNotUnloaded)
		}
	}
	return nil
}

// removeReason is why a drive does not give its cartridge away.
func removeReason(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, ssc.ErrPrevented) {
		return ErrDrivePrevented
	}
	return fmt.Errorf("%w: %w", ErrUnload, err)
}

// putBack undoes that cartridges were taken out of drives.
func (l *Library) putBack(out []step) {
	for _, s := range out {
		l.insert(s.c, s.from)
	}
}

// insert puts c into the drive at p, which is empty: a failure is a mistake of ours, and the
// inventory still knows where the cartridge is.
func (l *Library) insert(c *cartridge, p Place) {
	if err := l.inv.bays[p.N-1].drive.Insert(l.shell(c)); err != nil {
		l.log.Error("a drive takes no cartridge", "drive", p.N, "barcode", c.rec.Barcode, "err", err)
	}
}

// motion has the robot move.
func (l *Library) motion(ctx context.Context, m Motion) error {
	if l.cfg.Motion == nil {
		return nil
	}
	return l.cfg.Motion(ctx, m)
}

// plan is the steps of a move from one place of the library to another. The robot is held. None
// means that source and destination are one (SMC-3, 6.6).
func (l *Library) plan(from, to Place) ([]step, error) {
	if err := l.inside(from, to); err != nil {
		return nil, err
	}
	c, err := l.inv.occupant(from)
	if err != nil || from == to {
		return nil, err
	}
	if *l.inv.at(to) != nil {
		return nil, fmt.Errorf("%v: %w", to, ErrFull)
	}
	return []step{{c, from, to}}, nil
}

// inside refuses places that are not in the library.
func (l *Library) inside(places ...Place) error {
	for _, p := range places {
		if l.inv.at(p) == nil {
			return fmt.Errorf("%v: %w", p, ErrNoElement)
		}
	}
	return nil
}

// Carry is MOVE MEDIUM: it moves the cartridge at from to to, both in the library.
func (l *Library) Carry(ctx context.Context, from, to Place) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.release()
	return l.carryOne(ctx, from, to)
}

// carryOne is Carry with the robot held.
func (l *Library) carryOne(ctx context.Context, from, to Place) error {
	steps, err := l.plan(from, to)
	if err != nil || steps == nil {
		return err
	}
	return l.carry(ctx, steps)
}

// Exchange is EXCHANGE MEDIUM: it moves the cartridge at source to first, and the one that
// was there to second, which may be source. All are in the library.
func (l *Library) Exchange(ctx context.Context, source, first, second Place) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.release()
	if err := l.inside(source, first, second); err != nil {
		return err
	}
	c, err := l.inv.occupant(source)
	if err != nil {
		return err
	}
	if source == first { // nothing for the first step to do
		return l.carryOne(ctx, first, second)
	}
	d, err := l.inv.occupant(first)
	if err != nil {
		return err
	}
	if second == first || second != source && *l.inv.at(second) != nil {
		return fmt.Errorf("%v: %w", second, ErrFull)
	}
	return l.carry(ctx, []step{{c, source, first}, {d, first, second}})
}

// Position is POSITION TO ELEMENT: it moves the picker in front of a place, if that exists.
func (l *Library) Position(ctx context.Context, p Place) error {
	if err := l.hold(ctx); err != nil {
		return err
	}
	defer l.release()
	if err := l.inside(p); err != nil {
		return err
	}
	return l.motion(ctx, Motion{Kind: MotionPosition, To: p, Time: l.cfg.Model.Timing.Move})
}
