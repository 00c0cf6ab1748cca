package personality

import (
	"fmt"
	"strings"
)

// Pos is a place in a file, from 1 on.
type Pos struct{ Line, Col int }

// Fault is a mistake in a data file.
type Fault struct {
	File string
	Pos
	Message string
}

func (f Fault) String() string { return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Message) }

// Faults are all mistakes of all files, in order.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}
