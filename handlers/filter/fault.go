package filter

import (
	"errors"
	"fmt"

	"github.com/targate/targate/core/block"
)

// errMedium is a failure of no class: the disk reports a medium error.
var errMedium = errors.New("failed by a rule of the filter")

var classes = map[string]error{
	"medium":    errMedium,
	"no-space":  block.ErrNoSpace,
	"corrupt":   block.ErrCorrupt,
	"read-only": block.ErrReadOnly,
	"gone":      block.ErrGone,
}

// parseFail makes a rule that fails a call before anything is done.
func parseFail(r *Rule, v map[string]string) error {
	class, ok := classes[v["class"]]
	if !ok {
		return fmt.Errorf("class %q is not one of medium, no-space, corrupt, read-only, gone", v["class"])
	}
	first := r.first
	r.make = plain(func(c call, _ func() error) error {
		return &fault{op: c.op, lba: max(c.lba, first), err: class}
	})
	return nil
}

// fault is a failure in blocks; Store turns it into bytes.
type fault struct {
	op  op
	lba int64
	err error
}

func (f *fault) Error() string { return fmt.Sprintf("%s at block %d: %v", f.op, f.lba, f.err) }
func (f *fault) Unwrap() error { return f.err }
