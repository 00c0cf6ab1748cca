package manage

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/targate/targate/gateway/manage/config"
)

// Change is one difference between what ran and what runs.
type Change struct {
	Action string `json:"action"` // "add", "remove" or "change"
	Kind   string `json:"kind"`   // "device", "target", "target port group", "portal", "iscsi"
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
}

func (c Change) String() string {
	s := c.Action + " " + c.Kind
	if c.Name != "" {
		s += " " + c.Name
	}
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	return s
}

// Diff is what an Apply changed, in the order of kinds and names.
type Diff struct {
	Changes []Change `json:"changes"`
}

func (d *Diff) add(action, kind, name, detail string) {
	d.Changes = append(d.Changes, Change{action, kind, name, detail})
}

// diffTargets compares the targets of two models.
func (d *Diff) diffTargets(old, m *config.Model) {
	before, after := map[string]*config.Target{}, map[string]*config.Target{}
	for i := range old.Targets {
		before[old.Targets[i].IQN] = &old.Targets[i]
	}
	for i := range m.Targets {
		after[m.Targets[i].IQN] = &m.Targets[i]
	}
	for _, iqn := range slices.Sorted(maps.Keys(before)) {
		if after[iqn] == nil {
			d.add("remove", "target", iqn, "")
		}
	}
	for _, iqn := range slices.Sorted(maps.Keys(after)) {
		a, b := before[iqn], after[iqn]
		if a == nil {
			d.add("add", "target", iqn, "")
			continue
		}
		if detail := targetChanges(a, b); len(detail) > 0 {
			d.add("change", "target", iqn, strings.Join(detail, "; "))
		}
	}
}

func targetChanges(a, b *config.Target) []string {
	var list []string
	say := func(changed bool, what string) {
		if changed {
			list = append(list, what)
		}
	}
	say(a.Alias != b.Alias, "alias")
	say(a.MaxSessions != b.MaxSessions, "max_sessions")
	say(!slices.Equal(a.Portals, b.Portals), "portals")
	say(!sameRedirect(a.Redirect, b.Redirect), "redirect")
	say(!sameCHAP(a.CHAP, b.CHAP), "chap")
	if s := lunChanges(a.LUNs, b.LUNs); s != "" {
		list = append(list, "luns "+s)
	} else {
		say(a.HasLUNs != b.HasLUNs, "luns")
	}
	groups := map[string]*config.Group{}
	for i := range a.Groups {
		groups[a.Groups[i].Name] = &a.Groups[i]
	}
	order := slices.EqualFunc(a.Groups, b.Groups, func(x, y config.Group) bool { return x.Name == y.Name })
	for i := range b.Groups {
		g := &b.Groups[i]
		was := groups[g.Name]
		delete(groups, g.Name)
		switch {
		case was == nil:
			say(true, "group "+g.Name+" added")
			continue
		case !slices.Equal(was.Initiators, g.Initiators):
			say(true, "group "+g.Name+" initiators")
		}
		if s := lunChanges(was.LUNs, g.LUNs); s != "" {
			say(true, "group "+g.Name+" luns "+s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		say(true, "group "+name+" removed")
	}
	say(len(list) == 0 && !order, "order of groups")
	return list
}

// lunChanges says how b differs from a: "+1 disk1 -2 disk0 3 disk4 read-only".
func lunChanges(a, b []config.LUN) string {
	text := func(l config.LUN) string {
		s := fmt.Sprintf("%d %s", l.LUN, l.Device)
		if l.ReadOnly {
			s += " read-only"
		}
		return s
	}
	had, has := map[string]bool{}, map[string]bool{}
	for _, l := range a {
		had[text(l)] = true
	}
	for _, l := range b {
		has[text(l)] = true
	}
	var list []string
	for _, l := range a {
		if !has[text(l)] {
			list = append(list, "-"+text(l))
		}
	}
	for _, l := range b {
		if !had[text(l)] {
			list = append(list, "+"+text(l))
		}
	}
	return strings.Join(list, ", ")
}

func sameRedirect(a, b *config.Redirect) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Address == b.Address && a.Permanent == b.Permanent
}

func sameCHAP(a, b *config.CHAP) bool {
	if a == nil || b == nil {
		return a == b
	}
	same := func(x, y config.Credential) bool { return x.Name == y.Name && bytes.Equal(x.Secret, y.Secret) }
	if !slices.EqualFunc(a.Users, b.Users, same) {
		return false
	}
	if a.Mutual == nil || b.Mutual == nil {
		return a.Mutual == b.Mutual
	}
	return same(*a.Mutual, *b.Mutual)
}
