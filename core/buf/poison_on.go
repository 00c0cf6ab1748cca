//go:build invariants

package buf

import (
	"bytes"
	"fmt"
)

// poison mangles freed buffers, so that a use after Free shows in any test that looks at data;
// a write after Free is a panic when the buffer is lent again.
const poison = true

const mangled = 0xdb

func (b *Buf) mangle() { Mangle(b.B) }

// Mangle overwrites what nobody may use any more.
func Mangle(p []byte) {
	if len(p) == 0 {
		return
	}
	p[0] = mangled
	for n := 1; n < len(p); n *= 2 { // the race detector takes each copy as one access
		copy(p[n:], p[:n])
	}
}

// check holds a buffer that was free against what mangle left.
func (b *Buf) check() {
	all := b.B[:cap(b.B)]
	if n := bytes.Count(all, []byte{mangled}); n != len(all) {
		panic(fmt.Sprintf("buf: %d bytes of a buffer of class %d were written after Free", len(all)-n, b.class))
	}
}
