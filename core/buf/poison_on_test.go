//go:build invariants

package buf

import (
	"fmt"
	"strings"
	"testing"
)

// TestWriteAfterFree: who writes to a buffer that he gave back is noticed when it is lent again.
func TestWriteAfterFree(t *testing.T) {
	p := NewPool(1 << 20)
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "1 bytes of a buffer of class 12 were written after Free") {
			t.Errorf("the panic is %q", got)
		}
	}()
	for range 100 { // under the race detector the free list forgets some
		b := p.Get(4096)
		all := b.B
		b.Free()
		all[17] = 1
		p.Get(4096).Free()
	}
}
