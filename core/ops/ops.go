// Package ops binds command rows to the functions that carry them out. A handler
// kind declares its commands once, as []ops.Op[*itsType], and everything else is
// derived (core.Row).
package ops

import (
	"fmt"

	"github.com/targate/targate/core"
)

// Op is one command of a device type whose state is an L.
type Op[L any] struct {
	core.Row
	Run func(L, *core.Command) error
}

// Set is a compiled list of Ops.
type Set[L any] struct {
	rows []*core.Row
	run  []func(L, *core.Command) error
}

// Compile joins lists of Ops into a Set. It panics on an Op without a function:
// a command that is not implemented has no row.
func Compile[L any](lists ...[]Op[L]) *Set[L] {
	s := &Set[L]{}
	for _, list := range lists {
		for i := range list {
			r := list[i].Row
			if list[i].Run == nil {
				panic(fmt.Sprintf("ops: %s has no function", r.Name))
			}
			r.Index = len(s.rows)
			s.rows = append(s.rows, &r)
			s.run = append(s.run, list[i].Run)
		}
	}
	return s
}

// Rows are what core.Profile wants. A Set's rows belong to one unit: compile a set
// per device, which is also how a feature that is off takes its rows away.
func (s *Set[L]) Rows() []*core.Row { return s.rows }

// Execute runs cmd's row.
func (s *Set[L]) Execute(l L, cmd *core.Command) error {
	return s.run[cmd.Row.Index](l, cmd)
}
