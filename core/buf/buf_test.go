package buf

import (
	"testing"
	"unsafe"
)

func TestAligned(t *testing.T) {
	p := NewPool(1 << 30)
	for n := 1; n <= MaxLen; n *= 2 {
		for range 3 {
			b := p.Get(n)
			if a := uintptr(unsafe.Pointer(unsafe.SliceData(b.B))); a%4096 != 0 {
				t.Fatalf("Get(%d) is at %#x", n, a)
			}
			if len(b.B) != n {
				t.Fatalf("Get(%d) has length %d", n, len(b.B))
			}
			defer b.Free()
		}
	}
}

func TestBudget(t *testing.T) {
	p := NewPool(3 * 4096)
	a, b, c := p.Get(1), p.Get(4096), p.Get(100)
	if a == nil || b == nil || c == nil {
		t.Fatal("refused within the budget")
	}
	if p.Get(1) != nil {
		t.Fatal("lent above the budget")
	}
	b.Free()
	if b = p.Get(4096); b == nil {
		t.Fatal("a freed buffer did not count")
	}
	if p.Get(MaxLen+1) != nil {
		t.Fatal("lent above MaxLen")
	}
	for _, x := range []*Buf{a, b, c} {
		x.Free()
	}
	if p.Used() != 0 {
		t.Fatalf("used %d after all were freed", p.Used())
	}
}

func TestNoAllocs(t *testing.T) {
	p := NewPool(1 << 20)
	p.Get(4096).Free()
	if n := testing.AllocsPerRun(1000, func() { p.Get(4096).Free() }); n > 0.1 {
		t.Fatalf("%v allocations per Get and Free", n)
	}
}
