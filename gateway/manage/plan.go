package manage

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/targate/targate/core"
	"github.com/targate/targate/gateway/manage/config"
	"github.com/targate/targate/gateway/target"
)

// plan is one Apply: what is to be done, and what has been done of it.
type plan struct {
	mg   *Manager
	m    *config.Model
	diff Diff

	add    []config.Device
	remove []*device
	grow   []growth
	alua   aluaPlan

	addEntries, follow []*config.Entry
	removeEntries      []*collection

	listen, unlisten []target.Portal
	early            []target.Portal // of unlisten: in the way of a new one

	// done so far
	opened        map[string]*device
	openedEntries []*collection
	listened      []target.Portal
	closed        []target.Portal
	gateway       target.Config
}

type growth struct {
	d    *device
	cfg  config.Device
	size int64
}

// plan compares m with what runs.
func (mg *Manager) plan(m *config.Model) (*plan, error) {
	p := &plan{mg: mg, m: m, opened: map[string]*device{}}
	old := mg.running
	if old == nil {
		old = &config.Model{StateDir: m.StateDir, Memory: m.Memory, API: m.API}
	}
	faults := fixed(old, m)
	faults = append(faults, p.compareDevices()...)
	faults = append(faults, p.compareEntries()...)
	faults = append(faults, p.compareALUA(old)...)
	if len(faults) > 0 {
		return nil, &Conflict{faults}
	}
	p.comparePortals(old)
	p.diff.diffTargets(old, m)
	if mg.running != nil && old.ISCSI.Sessions != m.ISCSI.Sessions {
		p.diff.add("change", "iscsi", "", "limits.sessions")
	}
	if mg.running != nil && old.ISCSI.Time2Wait != m.ISCSI.Time2Wait {
		p.diff.add("change", "iscsi", "", fmt.Sprintf("time2wait %d", m.ISCSI.Time2Wait))
	}
	if mg.running != nil && old.ISCSI.Time2Retain != m.ISCSI.Time2Retain {
		p.diff.add("change", "iscsi", "", fmt.Sprintf("time2retain %d", m.ISCSI.Time2Retain))
	}
	if mg.running != nil && !sameCHAP(old.ISCSI.Discovery, m.ISCSI.Discovery) {
		p.diff.add("change", "iscsi", "", "discovery_chap")
	}
	return p, nil
}

func (p *plan) compareDevices() (faults config.Faults) {
	want := map[string]bool{}
	for _, c := range p.m.Devices {
		want[c.Name] = true
		d := p.mg.devices[c.Name]
		if d != nil && d.of != nil {
			faults = append(faults, p.m.Fault(c.At, "there is a device %s of %s; give this one another name, or apply without it first", c.Name, keyOf(&d.of.entry)))
			continue
		}
		if d == nil {
			if p.mg.isClosing(c.Name) {
				faults = append(faults, p.m.Fault(c.At, "device %s was removed and still has commands; try again later", c.Name))
				continue
			}
			p.add = append(p.add, c)
			p.diff.add("add", "device", c.Name, c.Kind)
			continue
		}
		if f := p.compareDevice(d, c); f != nil {
			faults = append(faults, *f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.mg.devices)) {
		d := p.mg.devices[name]
		if d.of != nil {
			continue
		}
		if !want[name] {
			p.remove = append(p.remove, d)
			p.diff.add("remove", "device", name, "")
		}
	}
	return faults
}

// compareDevice takes up the growth of d; every other change of a device that exists is
// a fault.
func (p *plan) compareDevice(d *device, c config.Device) *config.Fault {
	const advice = "remove the device, apply, and add it again"
	if d.cfg.Kind != c.Kind {
		f := p.m.Fault(c.At, "device %s cannot change its handler from %s to %s; %s", c.Name, d.cfg.Kind, c.Kind, advice)
		return &f
	}
	keys := maps.Clone(d.cfg.Values)
	maps.Copy(keys, c.Values)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		was, is := d.cfg.Values[key], c.Values[key]
		if reflect.DeepEqual(was, is) {
			continue
		}
		at := c.At
		if x, ok := c.ValuesAt[key]; ok {
			at = x
		}
		size, isSize := is.(int64)
		if key != "size" || is != nil && !isSize {
			f := p.m.Fault(at, "device %s cannot change %s while it exists; %s", c.Name, key, advice)
			return &f
		}
		if is == nil {
			continue // the size is whatever it is now
		}
		if before, ok := was.(int64); ok && size < before {
			f := p.m.Fault(at, "device %s cannot shrink from %s to %s", c.Name, config.FormatSize(before), config.FormatSize(size))
			return &f
		}
		if _, ok := core.As[Resizer](d.unit.Handler()); !ok {
			f := p.m.Fault(at, "device %s cannot grow while it exists; %s", c.Name, advice)
			return &f
		}
		p.grow = append(p.grow, growth{d, c, size})
		p.diff.add("change", "device", c.Name, "size "+config.FormatSize(size))
	}
	return nil
}

func toPortal(p config.Portal) target.Portal {
	t := target.Portal{Listen: p.Listen, Announce: p.Announce, Tag: p.Tag}
	if p.Redirect != nil {
		t.Redirect = target.Redirect{Address: p.Redirect.Address, Permanent: p.Redirect.Permanent}
	}
	return t
}

func (p *plan) comparePortals(old *config.Model) {
	before, after := map[string]target.Portal{}, map[string]target.Portal{}
	for _, x := range old.ISCSI.Portals {
		before[x.Listen] = toPortal(x)
	}
	for _, x := range p.m.ISCSI.Portals {
		after[x.Listen] = toPortal(x)
	}
	for _, addr := range slices.Sorted(maps.Keys(before)) {
		was, is := before[addr], after[addr]
		// A listener knows its tag, so another tag is another listener.
		if is.Listen == "" || is.Tag != was.Tag {
			p.unlisten = append(p.unlisten, was)
			p.diff.add("remove", "portal", addr, "")
		} else if is != was {
			p.diff.add("change", "portal", addr, "announce "+is.Announce)
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(after)) {
		if was, is := before[addr], after[addr]; was.Listen == "" || is.Tag != was.Tag {
			p.listen = append(p.listen, is)
			p.diff.add("add", "portal", addr, "")
		}
	}
	p.unlisten = slices.DeleteFunc(p.unlisten, func(u target.Portal) bool {
		inTheWay := slices.ContainsFunc(p.listen, func(l target.Portal) bool { return config.Overlap(u.Listen, l.Listen) })
		if inTheWay {
			p.early = append(p.early, u)
		}
		return inTheWay
	})
}

// prepare does all that can fail. undo takes it back.
func (p *plan) prepare(ctx context.Context) error {
	if err := p.beginALUA(); err != nil {
		return err
	}
	var faults config.Faults
	for _, c := range p.add {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := p.mg.openDevice(c)
		if err != nil {
			faults = append(faults, describe(p.m, c.At, c.Name, err))
			continue
		}
		p.opened[c.Name] = d
	}
	f, err := p.openEntries(ctx)
	if err != nil {
		return err
	}
	if faults = append(faults, f...); len(faults) > 0 {
		return faults
	}
	relative, err := p.mg.ports.assign(p.names())
	if err != nil {
		return err
	}
	for _, x := range p.early {
		if err := p.mg.o.Door.Close(x.Listen); err != nil {
			p.mg.log.Warn("a portal did not close well", "portal", x.Listen, "error", err)
		}
		p.closed = append(p.closed, x)
	}
	for _, x := range p.listen {
		if err := p.mg.o.Door.Listen(x); err != nil {
			faults = append(faults, p.m.Fault(p.portalAt(x.Listen), "portal %s: %v", x.Listen, err))
			continue
		}
		p.listened = append(p.listened, x)
	}
	if len(faults) > 0 {
		return faults
	}
	for _, g := range p.grow {
		r, _ := core.As[Resizer](g.d.unit.Handler())
		if err := r.Resize(g.size); err != nil {
			return append(faults, describe(p.m, g.cfg.ValuesAt["size"], g.cfg.Name, fmt.Errorf("growing to %s: %w", config.FormatSize(g.size), err)))
		}
		g.d.cfg.Values = maps.Clone(g.d.cfg.Values)
		g.d.cfg.Values["size"] = g.size
	}
	if err := p.followEntries(ctx); err != nil {
		return err
	}
	p.gateway = p.gatewayConfig(relative)
	return p.setALUA(ctx)
}

// undo takes back what prepare has done.
func (p *plan) undo() {
	for _, d := range p.opened {
		if err := d.unit.Close(); err != nil {
			p.mg.log.Warn("a device that was not used did not close well", "device", d.cfg.Name, "error", err)
		}
	}
	for _, c := range p.openedEntries {
		if err := c.Close(); err != nil {
			p.mg.log.Warn("a "+c.entry.Collection+" that was not used did not close well", "name", c.entry.Name, "error", err)
		}
	}
	for _, x := range p.listened {
		if err := p.mg.o.Door.Close(x.Listen); err != nil {
			p.mg.log.Warn("a portal that was not used did not close well", "portal", x.Listen, "error", err)
		}
	}
	for _, x := range p.closed {
		if err := p.mg.o.Door.Listen(x); err != nil {
			p.mg.log.Error("a portal that was closed for one that cannot be had does not open again", "portal", x.Listen, "error", err)
		}
	}
	p.mg.o.Door.Start()
	if p.alua.begin {
		p.mg.alua = nil
	}
}

// commit does the rest, which cannot fail: what goes is taken out of every LUN map
// first, then waited for, then closed.
func (p *plan) commit() {
	mg := p.mg
	p.addALUA()
	dropped, err := mg.o.Gateway.Apply(p.gateway)
	if err != nil {
		// The model was checked for all that the gateway refuses.
		mg.log.Error("the gateway refuses a model that was checked", "error", err)
	}
	mg.o.Door.Start()
	for _, s := range dropped {
		mg.log.Info("session dropped", "initiator", s.Initiator.String(), "target", s.Target.Name())
	}
	for _, x := range p.unlisten {
		if err := mg.o.Door.Close(x.Listen); err != nil {
			mg.log.Warn("a portal did not close well", "portal", x.Listen, "error", err)
		}
	}
	for name, d := range p.opened {
		mg.devices[name] = d
	}
	for _, c := range p.openedEntries {
		mg.collections[keyOf(&c.entry)] = c
	}
	for _, c := range p.removeEntries {
		delete(mg.collections, keyOf(&c.entry))
		for _, d := range mg.devices {
			if d.of == c {
				p.remove = append(p.remove, d)
			}
		}
	}
	for _, d := range p.remove {
		delete(mg.devices, d.cfg.Name)
	}
	mg.retire(p.remove, p.removeEntries)
	for _, c := range p.m.Devices {
		// The keys are those that the device runs with; where they stand is new.
		d := mg.devices[c.Name]
		values := d.cfg.Values
		d.cfg = c
		d.cfg.Values = values
	}
}

// names are the targets and the tags that need identifiers, in a stable order.
func (p *plan) names() (iqns []string, tags []uint16) {
	for _, t := range p.m.Targets {
		iqns = append(iqns, t.IQN)
	}
	seen := map[uint16]bool{target.DefaultTag: true}
	for _, x := range p.m.ISCSI.Portals {
		seen[toPortal(x).GroupTag()] = true
	}
	return iqns, slices.Sorted(maps.Keys(seen))
}

func (p *plan) portalAt(addr string) config.Pos {
	for _, x := range p.m.ISCSI.Portals {
		if x.Listen == addr {
			return x.At
		}
	}
	return config.Pos{Line: 1, Col: 1}
}

// gatewayConfig translates the model.
func (p *plan) gatewayConfig(relative map[string]map[uint16]uint16) target.Config {
	c := target.Config{MaxSessions: p.m.ISCSI.Sessions, Discovery: toAuth(p.m.ISCSI.Discovery),
		Time2Wait: p.m.ISCSI.Time2Wait, Time2Retain: p.m.ISCSI.Time2Retain}
	for _, x := range p.m.ISCSI.Portals {
		c.Portals = append(c.Portals, toPortal(x))
	}
	for i := range p.m.Targets {
		t := &p.m.Targets[i]
		s := target.Spec{Name: t.IQN, Alias: t.Alias, Auth: toAuth(t.CHAP), MaxSessions: t.MaxSessions,
			Portals: t.Portals, Relative: relative[t.IQN]}
		if x := t.Redirect; x != nil {
			s.Redirect = &target.Redirect{Address: x.Address, Permanent: x.Permanent}
		}
		if t.HasLUNs {
			s.LUNs = p.lunMap(t.LUNs)
		}
		for _, g := range t.Groups {
			s.Groups = append(s.Groups, target.Group{Name: g.Name, Initiators: g.Initiators, LUNs: p.lunMap(g.LUNs)})
		}
		c.Targets = append(c.Targets, s)
	}
	return c
}

func (p *plan) lunMap(luns []config.LUN) target.LUNMap {
	m := target.LUNMap{}
	for _, l := range luns {
		d := p.opened[l.Device]
		if d == nil {
			d = p.mg.devices[l.Device]
		}
		m[l.LUN] = core.Mapping{Unit: d.unit, ReadOnly: l.ReadOnly}
	}
	return m
}

func toAuth(c *config.CHAP) *target.Auth {
	if c == nil {
		return nil
	}
	a := &target.Auth{}
	for _, u := range c.Users {
		a.Users = append(a.Users, target.Credential{Name: u.Name, Secret: u.Secret})
	}
	if c.Mutual != nil {
		a.Mutual = &target.Credential{Name: c.Mutual.Name, Secret: c.Mutual.Secret}
	}
	return a
}
