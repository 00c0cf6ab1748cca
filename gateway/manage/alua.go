package manage

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/targate/targate/core/alua"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/manage/statedir"
)

// transitionLimit bounds how long a target port group waits for the commands that run
// through it: clients of the API wait for half a minute.
const transitionLimit = 20 * time.Second

// ErrNoALUA means that the configuration has no target port groups.
var ErrNoALUA = errors.New("the configuration has no alua")

// ALUAStatus is the target port groups.
type ALUAStatus struct {
	Explicit bool              `json:"explicit"` // initiators may change states
	Implicit bool              `json:"implicit"` // administration may
	Groups   []PortGroupStatus `json:"groups"`
}

// PortGroupStatus is one target port group.
type PortGroupStatus struct {
	Tag       uint16     `json:"tag"`
	State     alua.State `json:"state"`
	Preferred bool       `json:"preferred"`
}

// ALUA is the target port groups as they are now, or ErrNoALUA.
func (mg *Manager) ALUA() (ALUAStatus, error) {
	g := mg.portGroups()
	if g == nil {
		return ALUAStatus{}, ErrNoALUA
	}
	tpgs := g.TPGS()
	s := ALUAStatus{Implicit: tpgs&1 != 0, Explicit: tpgs&2 != 0, Groups: []PortGroupStatus{}}
	for _, x := range g.List() {
		s.Groups = append(s.Groups, PortGroupStatus{x.ID, x.State, x.Preferred})
	}
	return s, nil
}

// SetALUA puts the target port group tag into a state, and returns when that is in
// effect and saved. The error is ErrNoALUA or one of package alua.
func (mg *Manager) SetALUA(ctx context.Context, tag uint16, s alua.State) error {
	g := mg.portGroups()
	if g == nil {
		return ErrNoALUA
	}
	if err := g.Set(ctx, tag, s); err != nil {
		return err
	}
	mg.log.Info("target port group set", "tag", tag, "state", s.String())
	return nil
}

func (mg *Manager) portGroups() *alua.Groups {
	mg.mu.Lock()
	defer mg.mu.Unlock()
	return mg.alua
}

func toGroup(g config.PortGroup) alua.Group {
	return alua.Group{ID: g.Tag, State: g.State, Preferred: g.Preferred}
}

// aluaPlan is what a plan does to target port groups.
type aluaPlan struct {
	begin    bool // there were none
	add, set []config.PortGroup
}

// compareALUA finds the groups that are new or, by the file, changed. A state that was
// set by other means stays until the file says something new.
func (p *plan) compareALUA(old *config.Model) (faults config.Faults) {
	is, was := p.m.ALUA, old.ALUA
	if p.mg.running == nil {
		p.alua.begin = is != nil
		return nil
	}
	at := config.Pos{Line: 1, Col: 1}
	if is != nil {
		at = is.At
	}
	if (is == nil) != (was == nil) {
		return append(faults, p.m.Fault(at, "alua cannot come or go while the server runs; restart it"))
	}
	if is == nil {
		return nil
	}
	if is.Explicit != was.Explicit || is.Implicit != was.Implicit {
		faults = append(faults, p.m.Fault(at, "alua cannot change explicit or implicit while the server runs; restart it"))
	}
	left := slices.Clone(was.Groups)
	for _, g := range is.Groups {
		name := strconv.Itoa(int(g.Tag))
		i := slices.IndexFunc(left, func(x config.PortGroup) bool { return x.Tag == g.Tag })
		if i < 0 {
			p.alua.add = append(p.alua.add, g)
			p.diff.add("add", "target port group", name, g.State.String())
			continue
		}
		before := left[i]
		left = slices.Delete(left, i, i+1)
		if before.State == g.State && before.Preferred == g.Preferred {
			continue
		}
		if !is.Implicit {
			faults = append(faults, p.m.Fault(g.At, "target port group %d cannot change: its state is for initiators; alua has implicit: false", g.Tag))
			continue
		}
		p.alua.set = append(p.alua.set, g)
		detail := g.State.String()
		if g.Preferred {
			detail += ", preferred"
		}
		p.diff.add("change", "target port group", name, detail)
	}
	for _, g := range left {
		faults = append(faults, p.m.Fault(at, "target port group %d cannot go while the server runs; restart it", g.Tag))
	}
	// Those that become active come before those that cease to be.
	slices.SortStableFunc(p.alua.set, func(a, b config.PortGroup) int { return int(a.State) - int(b.State) })
	return faults
}

// beginALUA makes the groups that units are opened with.
func (p *plan) beginALUA() error {
	if !p.alua.begin {
		return nil
	}
	a := p.m.ALUA
	cfg := alua.Config{Explicit: a.Explicit, Implicit: a.Implicit, Timeout: transitionLimit,
		Saved: savedValues{p.mg.o.State, "gateway/"}}
	for _, g := range a.Groups {
		cfg.Groups = append(cfg.Groups, toGroup(g))
	}
	g, err := alua.New(cfg)
	if errors.Is(err, statedir.ErrCorrupt) {
		return err // of no line of the file
	}
	if err != nil {
		return config.Faults{p.m.Fault(a.At, "%v", err)}
	}
	p.mg.alua = g
	return nil
}

// setALUA changes groups that exist.
func (p *plan) setALUA(ctx context.Context) error {
	for _, g := range p.alua.set {
		err := p.mg.alua.Set(ctx, g.Tag, g.State)
		if err == nil {
			err = p.mg.alua.SetPreferred(ctx, g.Tag, g.Preferred)
		}
		if err != nil {
			return config.Faults{p.m.Fault(g.At, "target port group %d: %v", g.Tag, err)}
		}
	}
	return nil
}

// addALUA defines new groups.
func (p *plan) addALUA() {
	for _, g := range p.alua.add {
		if err := p.mg.alua.Add(toGroup(g)); err != nil {
			// The model was checked for all that Add refuses.
			p.mg.log.Error("a target port group that was checked is refused", "tag", g.Tag, "error", err)
		}
	}
}
