package session

import (
	"fmt"

	"github.com/targate/targate/core/scsi"
	"github.com/targate/targate/core/taskset"
)

// check holds a task that ended against what the core promises of it.
func (t *task) check() {
	if what := t.breach(); what != "" {
		name := "a command without row"
		if t.Row != nil {
			name = t.Row.Name
		}
		panic(fmt.Sprintf("session: %s, status %v: %s; in %d of %d, room %d", name, t.Status, what,
			t.Moved(), t.InLen, t.InMax))
	}
}

func (t *task) breach() string {
	there := len(t.In)
	for _, b := range t.Lent {
		there += len(b)
	}
	switch {
	case t.recycled:
		return "answered after it was recycled"
	case t.State() != taskset.Ended:
		return "answered before its end"
	case (t.Status == scsi.CheckCondition) != (t.SenseLen > 0):
		return "sense data goes with CHECK CONDITION"
	case t.InLen < 0 || t.InMax < 0 || t.OutLen < 0:
		return "a length below zero"
	case t.hasData() && there < t.Moved():
		return "less Data-In than is moved"
	case t.hasData() && t.Moved() > int(t.ExpectedIn):
		return "more Data-In than the initiator expects"
	}
	return ""
}
