package sbc

import (
	"sync/atomic"

	"github.com/targate/targate/core/sense"
)

// operation is a FORMAT UNIT or SANITIZE under way.
type operation struct {
	code  sense.Code // of the NOT READY that others get
	done  atomic.Uint64
	total uint64 // bytes, over all passes
}

// progress is how much is done, in 65536ths.
func (o *operation) progress() uint16 {
	return uint16(min(float64(o.done.Load())/float64(o.total)*65536, 65535))
}
