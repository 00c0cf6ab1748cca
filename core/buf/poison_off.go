//go:build !invariants

package buf

const poison = false

func (*Buf) mangle() {}
func (*Buf) check()  {}
